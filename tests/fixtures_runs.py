"""Scripts run in this process, and the small files they are run on."""

import functools
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

import decoder
import encoder
import generator
import inspector
from unravel_lib.cli import run as cli

SCRIPTS: dict[str, ModuleType] = {
    "encoder": encoder,
    "decoder": decoder,
    "generator": generator,
    "inspector": inspector,
}
Make = Callable[[Path], object]  # writes something at a path


@dataclass
class Result:
    """What a run left behind."""

    code: int
    out: bytes
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines that tell what went wrong, without the summary of a batch."""
        return [line for line in self.err.splitlines() if "error: " in line and not line.startswith("error:   ")]


def runner(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> "Run":
    """run("encoder", "--input", path) -> Result; the bundled model is loaded once, since that takes half a second."""
    from unravel_lib.models import model

    load = model.load
    monkeypatch.setattr(model, "load", lambda path, *rest: _pocket(*rest) if path is None else load(path, *rest))

    def run(script: str, *args: object) -> Result:
        monkeypatch.setattr(sys, "argv", [f"{script}.py"])
        with keeping_signals(), pytest.raises(SystemExit) as left:
            cli.run(SCRIPTS[script].main, [str(arg) for arg in args])
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err, err.decode()
        assert script == "inspector" or all(os.path.exists(line) for line in out.splitlines())
        code = left.value.code
        assert isinstance(code, int)
        return Result(code, out, err.decode())

    return run


Run = Callable[..., Result]


@functools.cache
def _pocket(device: str, trust: bool, sample_rate: float | None) -> object:
    import torch

    from unravel_lib.models import model

    return model.Model(model.POCKET, torch.jit.load(model.POCKET).eval(), torch.device("cpu"), sample_rate)


@contextmanager
def keeping_signals() -> Iterator[None]:
    """`cli.run` answers signals and takes the logger over until its process ends; here the process goes on."""
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
    """Everything below a folder: names and bytes."""
    found: dict[bytes, bytes | None] = {}
    for place, folders, names in os.walk(os.fsencode(folder)):
        for name in folders + names:
            path = os.path.join(place, name)
            file = Path(os.fsdecode(path))
            found[path] = file.read_bytes() if file.is_file() else None
    return found


def kinds_left(folder: Path) -> str:
    """The suffixes of the files in an output folder, sorted: ".json .npy", "failures.csv"; "-" without the folder."""
    if not folder.is_dir():
        return "-"
    return " ".join(sorted(p.name if p.name == "failures.csv" else p.suffix or p.name for p in folder.iterdir()))


def wav(x: object, rate: int = 44100, format_: str = "WAV", subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(x, np.float64), rate, format=format_, subtype=subtype)
    return buffer.getvalue()


TONE = 0.3 * np.sin(np.arange(30000) / 20)


def npy(x: object, name: str = "x.npy", fortran: bool = False) -> bytes:
    buffer = io.BytesIO()  # pickled where `x` holds objects: the hostile file that must be refused
    np.save(buffer, np.asfortranarray(x) if fortran else x, allow_pickle=True)
    return buffer.getvalue()


Z = np.random.default_rng(0).standard_normal((1, 8, 30)).astype(np.float32)
