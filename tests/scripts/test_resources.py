"""Many files leave no open file, thread or memory behind; `make stress` does this with 5000 files."""

import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import fixtures_codecs as codecs
import numpy as np
import pytest
from fixtures_runs import TONE, Run, Z, npy, wav

COUNT = 300
needs_proc = pytest.mark.skipif(
    sys.platform != "linux", reason="NOT TESTED: measured through /proc, which only Linux has"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is faster than the bundled one."""
    return codecs.save(codecs.Streaming(), tmp_path_factory.mktemp("model") / "small.ts")


def resources() -> tuple[int, int, float]:
    """Return this process's number of open files and threads and its private memory in MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1]) - int(Path("/proc/self/statm").read_text().split()[2])
    open_files = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208
    return open_files, len(os.listdir("/proc/self/task")), pages * 4096 / 2**20  # noqa: PTH208


def watched(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> list[tuple[int, int, float]]:
    """Measure the resources before each call of `place.name`."""
    measures: list[tuple[int, int, float]] = []
    plain: Callable[..., object] = getattr(place, name)

    def measured(*args: object, **named: object) -> object:
        if len(measures) % 25 == 0 or len(measures) > COUNT - 2:
            measures.append(resources())
        else:
            measures.append(measures[-1])
        return plain(*args, **named)

    monkeypatch.setattr(place, name, measured)
    return measures


def assert_no_growth(measures: list[tuple[int, int, float]]) -> None:
    assert len(measures) == COUNT
    after_a_while, at_the_end = measures[50], measures[-1]
    assert at_the_end[0] <= after_a_while[0], "files stay open"
    assert at_the_end[1] <= after_a_while[1], "threads stay"
    assert at_the_end[2] - after_a_while[2] < 8, "memory grows (MiB)"


@needs_proc
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_the_encoder_keeps_nothing(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Good files and bad ones, whose errors must close what was opened."""
    from unravel_lib.models import codec

    bad = [b"no sound", wav(TONE)[:999], wav([]), wav(TONE, format_="FLAC")[:3000], wav([np.nan], subtype="FLOAT")]
    for index in range(COUNT):
        data = wav(TONE[: 200 + index], codecs.RATE) if kind == "good" else bad[index % len(bad)]
        (tmp_path / f"{index}.wav").write_bytes(data)
    measures = watched(monkeypatch, codec, "encode_file")
    result = run("encoder", "--input", tmp_path, "--output", tmp_path / "out", "--model", model)
    assert result.code == (0 if kind == "good" else 2)
    assert_no_growth(measures)


@needs_proc
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_the_decoder_keeps_nothing(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from unravel_lib.latents.files import Inputs
    from unravel_lib.models import codec

    bad = [b"no array", npy(Z)[:-9], npy(Z[:, :3]), npy(Z * np.nan), npy(np.array([{}], dtype=object))]
    for index in range(COUNT):
        data = npy(Z[:, : codecs.DIMS, :1] * index / COUNT) if kind == "good" else bad[index % len(bad)]
        (tmp_path / f"{index}.npy").write_bytes(data)
    measures = watched(monkeypatch, *((codec, "decode_file") if kind == "good" else (Inputs, "read")))
    result = run("decoder", "--input", tmp_path, "--output", tmp_path / "out", "--model", model)
    assert result.code == (0 if kind == "good" else 2)
    assert_no_growth(measures)


def test_no_thread_outlives_a_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(Z))
    before = set(threading.enumerate())
    for _ in range(3):
        assert run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "out", "--no_plots").code == 0
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("shape", ["(1, 8, 1000000000)", "(1000000000, 8)", "(1, 1024, 1000000000000)"])
def test_a_size_that_only_the_header_claims_takes_no_memory(run: Run, tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(999))
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for script in ("decoder", "generator"):
        assert run(script, "--input", tmp_path / "x.npy", "--output", tmp_path / "out").code == 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
