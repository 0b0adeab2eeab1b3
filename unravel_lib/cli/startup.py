"""Imported first by every script: Ctrl-C while Python imports ends the run without a traceback."""

import sys
from os.path import basename  # pathlib takes 10 ms to import

SCRIPTS = ("encoder", "decoder", "generator", "inspector")


def _hook(kind: type[BaseException], error: BaseException, trace: object) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]


if basename(sys.argv[0]).partition(".")[0].removeprefix("unravel-") in SCRIPTS:  # not where it is imported for tests
    sys.excepthook = _hook  # immediately: even `signal` takes 10 ms to import

    import signal

    # Not in the background, where the shell had Ctrl-C ignored. From `cli.run` on, `signals` handles it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
