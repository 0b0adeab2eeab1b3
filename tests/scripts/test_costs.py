"""Tests of speed and memory that do not depend on a clock: counts of loads, calls, copies and imports."""

import platform
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import NonCallableMock

import fixtures_codecs as codecs
import numpy as np
import pytest
import soundfile
import torch
from fixtures_runs import spy

import encoder
from unravel_lib.audio import blocks
from unravel_lib.models import model as models
from unravel_lib.models.runner import Runner

C = codecs.COMPRESSION
CHUNK = 100  # frames


@pytest.fixture(params=["Offline", "Streaming"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> models.Model:
    loaded = models.load(codecs.save(getattr(codecs, request.param)(), tmp_path / "m.ts"))
    loaded.chunk_frames = CHUNK
    for method in ("encode", "decode"):
        loaded._window(method)
    return loaded


def shapes_of(calls: NonCallableMock) -> list[tuple[int, ...]]:
    """The shapes of the tensors that the model was called with."""
    return [call.args[-1].shape for call in calls.call_args_list]


def sound(n_blocks: int, size: int = 5000) -> Iterator[np.ndarray]:
    for i in range(n_blocks):
        yield np.full((1, size), i / n_blocks, np.float32)


def test_a_batch_loads_the_model_once(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = spy(monkeypatch, torch.jit, "load")
    assert encoder.main(["--input", str(recordings), "--output", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.npy"))) == 10
    assert loads.call_count == 1


def test_a_short_file_takes_one_call_and_no_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.load(codecs.save(codecs.Offline(), tmp_path / "m.ts"))
    for method in ("encode", "decode"):
        model.behaviour(method)
    calls = spy(monkeypatch, Runner, "call")
    list(model.encode(sound(1), 0, "k"))
    list(model.decode([np.zeros((codecs.DIMS, 20), np.float32)], 0, "k"))
    assert shapes_of(calls) == [(1, 1, 5000), (1, codecs.DIMS, 20)]
    assert not model._contexts


def test_a_long_file_takes_calls_of_one_shape_and_little_extra(
    model: models.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spy(monkeypatch, Runner, "call")
    frames = sum(block.shape[1] for block in model.encode(sound(40), 0, "k"))
    shapes = shapes_of(calls)
    assert len(set(shapes[:-1])) == 1
    computed = sum(shape[2] for shape in shapes) / C
    context = 0 if model.streaming else 10
    assert frames <= computed <= frames * CHUNK / (CHUNK - context) + context + 1


def test_what_is_held_does_not_grow_with_the_length(model: models.Model) -> None:
    """The samples read but not yet encoded are a chunk and some blocks at most, for any length."""
    most = []
    for n_blocks in (20, 200):
        n_read, held, given = 0, [0], list[weakref.ref[np.ndarray]]()

        def watched(n: int = n_blocks, given: list[weakref.ref[np.ndarray]] = given) -> Iterator[np.ndarray]:
            nonlocal n_read
            for block in sound(n):
                n_read += block.shape[1]
                given.append(weakref.ref(block))
                yield block

        n_encoded = 0
        for block in model.encode(watched(), 0, "k"):
            held.append(n_read - n_encoded * C)
            n_encoded += block.shape[1]
            if n_encoded > CHUNK:
                assert sum(one() is not None for one in given) <= 64  # of 200: tee lets go of 57 at a time
        most.append(max(held))
    assert max(most) <= CHUNK * C + 3 * 5000
    assert most[1] <= most[0] + 5000


def test_each_sample_is_copied_about_once(model: models.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    joins = spy(monkeypatch, blocks.np, "concatenate")
    list(model.encode(sound(4000, 50), 0, "k"))
    windows = [call.args[0] for call in joins.call_args_list if call.kwargs == {"axis": 1}]
    copied = sum(part.shape[1] for parts in windows for part in parts)
    assert copied <= 40 * 5000 * (1.0 if model.streaming else 1.2) + CHUNK * C


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="NOT TESTED: only glibc has the setting that keeps freed memory"
)
def test_freed_memory_is_used_again(root: Path) -> None:
    """Otherwise the system clears the pages of every tensor of a model again."""
    code = """
import resource
from unravel_lib.cli import run as cli

def main(argv):
    for _ in range(6):
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [b"x" * (20 << 20) for _ in range(4)]
        del blocks
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
    return 0

cli.run(main)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    pages = [int(line) for line in done.stdout.split()]
    assert max(pages[1:]) < 100 < pages[0], done


HEAVY = ("torch", "torchaudio", "matplotlib", "pandas", "scipy", "av", "tqdm")
NEEDED = {  # what a run of each script may import of the heavy packages
    "encoder": {"torch", "tqdm"},
    "decoder": {"torch", "tqdm", "av"},
}


@pytest.mark.parametrize("script", NEEDED)
def test_a_run_imports_what_it_needs_and_no_more(
    script: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The WAV is at the model's rate: no resampler; libsndfile reads it: no FFmpeg; decoder.py meters by it."""
    np.save(tmp_path / "z.npy", np.zeros((1, 8, 3), np.float32))
    soundfile.write(tmp_path / "x.wav", np.zeros(9999), 44100)
    source = tmp_path / ("x.wav" if script == "encoder" else "z.npy")
    code = (
        f"import sys, {script}; code = {script}.main(sys.argv[1:]); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "--input", str(source), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(eval(done.stderr.splitlines()[-1])) <= NEEDED[script]
