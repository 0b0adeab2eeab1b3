"""Imported first by every script: Ctrl-C while Python imports ends the run without a traceback."""

# ruff: noqa: PTH120  pathlib takes 10 ms to import

import sys
from os.path import abspath, basename, dirname


def _hook(kind: type[BaseException], error: BaseException, trace: object) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]


_main = getattr(sys.modules["__main__"], "__file__", None) or ""
_is_beside_library = dirname(abspath(_main)) == dirname(dirname(dirname(abspath(__file__))))
if _main and (_is_beside_library or basename(_main).startswith("unravel-")):
    sys.excepthook = _hook  # immediately: even `signal` takes 10 ms to import

    import signal

    # Not in the background, where the shell had Ctrl-C ignored. From `cli.run` on, `signals` handles it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
