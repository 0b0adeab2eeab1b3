"""Scripts run in this process, and small files to run them on."""

import functools
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol
from unittest.mock import NonCallableMock, create_autospec

import numpy as np
import pytest
import soundfile

import decoder
import encoder
import generator
import inspector
from unravel_lib.cli import run as cli

ROOT = Path(__file__).resolve().parent.parent

SCRIPTS: dict[str, ModuleType] = {
    "encoder": encoder,
    "decoder": decoder,
    "generator": generator,
    "inspector": inspector,
}
Make = Callable[[Path], object]  # writes something at a path
Script = Callable[..., "subprocess.CompletedProcess[str]"]  # runs a script in another process


REPORTS = (
    "--list_patterns",
    "--list_distributions",
    "--list_transforms",
    "--tempo_table",
)  # flags for which stdout has no paths


@dataclass(frozen=True)
class Result:
    """The exit code and the output of a run."""

    code: int
    out: bytes
    err: str

    @property
    def paths(self) -> list[Path]:
        """The files that stdout names."""
        return [Path(os.fsdecode(line)) for line in self.out.splitlines()]

    @property
    def text(self) -> str:
        """What stdout says."""
        return self.out.decode()

    @property
    def errors(self) -> list[str]:
        """The lines with errors, without the summary of a batch."""
        return [line for line in self.err.splitlines() if "error: " in line and not line.startswith("error:   ")]


class Run(Protocol):
    """Runs a script in this process: run("encoder", "--input", path)."""

    def __call__(self, script: str, *args: object, stdin: str | None = None) -> Result:
        """Run `script`.py with these arguments and this text on stdin."""


def runner(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a `Run`; it loads the bundled model only once, since that takes half a second.

    inspector.py opens models in this process, not in one of its own.
    """
    from unravel_lib.models import model
    from unravel_lib.process import Process

    monkeypatch.setattr(Process, "call", lambda process, function, *args: function(*args))
    monkeypatch.setattr(model, "load", sharing_pocket(model.load))

    def run(script: str, *args: object, stdin: str | None = None) -> Result:
        argv = [str(arg) for arg in args]
        monkeypatch.setattr(sys, "argv", [f"{script}.py"])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capfdbinary.readouterr()
        with keeping_signals(), pytest.raises(SystemExit) as left:
            cli.run(SCRIPTS[script].main, argv)
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err, err.decode()
        code = left.value.code
        assert isinstance(code, int)
        result = Result(code, out, err.decode())
        assert script == "inspector" or set(REPORTS) & set(argv) or all(path.exists() for path in result.paths)
        return result

    return run


def spy(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> NonCallableMock:
    """Count the calls of a function or method, which still does its work; returns the mock that has the calls."""
    plain = getattr(place, name)
    mock: NonCallableMock = create_autospec(plain, side_effect=plain)
    monkeypatch.setattr(place, name, mock)
    return mock


def sharing_pocket(load: Callable[..., object]) -> Callable[..., object]:
    """Return `load` for models, where the pocket model is loaded once in this process."""

    def shared(path: Path | None = None, *rest: object, **named: object) -> object:
        return _pocket(*rest, **named) if path is None else load(path, *rest, **named)  # type: ignore[arg-type]

    return shared


@functools.cache
def _pocket(
    device: str = "cpu", trust: bool = False, sample_rate: float | None = None, precision: str = "fp32"
) -> object:
    import torch

    from unravel_lib.models import POCKET, model

    return model.Model(POCKET, torch.jit.load(POCKET).eval(), torch.device("cpu"), sample_rate, precision)


def foreground_signals(*ignored: int) -> None:
    """Set the signals of a new process as in the foreground, also where the tests run in the background or by nohup.

    Give it to subprocess.Popen as `preexec_fn`.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)


@contextmanager
def keeping_signals() -> Iterator[None]:
    """Restore what `cli.run` changes for the rest of its process: signal handlers, the logger, sys.unraisablehook."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(name) for name in names]
    hook = sys.unraisablehook
    handlers, level, propagate = cli.log.handlers[:], cli.log.level, cli.log.propagate
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        sys.unraisablehook = hook
        cli.log.handlers[:], cli.log.level, cli.log.propagate = handlers, level, propagate
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


def contents(folder: Path) -> dict[bytes, bytes | None]:
    """Return everything below a folder: names and bytes."""
    found: dict[bytes, bytes | None] = {}
    for place, folders, names in os.walk(os.fsencode(folder)):
        for name in folders + names:
            path = os.path.join(place, name)
            file = Path(os.fsdecode(path))
            found[path] = file.read_bytes() if file.is_file() else None
    return found


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return names and bytes of the files in a folder without subfolders."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kinds_left(folder: Path) -> str:
    """Return the suffixes of the files in a folder, sorted: ".json .npy", "failures.csv"; "-" if there is no folder."""
    if not folder.is_dir():
        return "-"
    return " ".join(sorted(p.name if p.name == "failures.csv" else p.suffix or p.name for p in folder.iterdir()))


def wav(x: object, rate: int = 44100, format_: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """Return the bytes of a sound file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(x, np.float64), rate, format=format_, subtype=subtype)
    return buffer.getvalue()


TONE = 0.3 * np.sin(np.arange(30000) / 20)


def npy(x: object, fortran: bool = False) -> bytes:
    """Return the bytes of an .npy; an array of objects is pickled, as in a file that must be refused."""
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(x) if fortran else x, allow_pickle=True)
    return buffer.getvalue()


Z = np.random.default_rng(0).standard_normal((1, 8, 30)).astype(np.float32)
