"""Guards against getting slow again that no noisy clock can upset: counts of loads, calls, copies and imports."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fixtures_codecs as codecs
import numpy as np
import pytest
import torch

import encoder
from unravel_lib.audio import windows
from unravel_lib.models import model as models
from unravel_lib.models.state import State

C = codecs.COMPRESSION
CHUNK = 100  # frames


@pytest.fixture(params=["Offline", "Streaming"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> models.Model:
    loaded = models.load(codecs.save(getattr(codecs, request.param)(), tmp_path / "m.ts"))
    loaded.chunk_frames = CHUNK
    _ = loaded.encode_context, loaded.decode_context
    return loaded


def counted_calls(model: models.Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    for runner in (model.encoder, model.decoder):
        plain = runner._call_once
        monkeypatch.setattr(runner, "_call_once", lambda x, plain=plain: (shapes.append(x.shape), plain(x))[1])
    return shapes


def sound(n_blocks: int, size: int = 5000) -> Iterator[np.ndarray]:
    for i in range(n_blocks):
        yield np.full((1, size), i / n_blocks, np.float32)


def test_a_batch_loads_the_model_once(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    plain = torch.jit.load
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: (loads.append(a), plain(*a, **k))[1])
    assert encoder.main(["--input", str(recordings), "--output", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.npy"))) == 10
    assert len(loads) == 1


def test_a_short_file_takes_one_call_and_no_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.load(codecs.save(codecs.Offline(), tmp_path / "m.ts"))
    shapes = counted_calls(model, monkeypatch)
    list(model.encode(sound(1), 0, "k"))
    list(model.decode([np.zeros((codecs.DIMS, 20), np.float32)], 0, "k"))
    assert shapes == [(1, 1, 5000), (1, codecs.DIMS, 20)]


def test_a_long_file_takes_calls_of_one_shape_and_little_extra(
    model: models.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = counted_calls(model, monkeypatch)
    frames = sum(block.shape[1] for block in model.encode(sound(40), 0, "k"))
    assert len(set(shapes[:-1])) == 1
    computed = sum(shape[2] for shape in shapes) / C
    context = 0 if model.streaming else 10
    assert frames <= computed <= frames * CHUNK / (CHUNK - context) + context + 1


def test_what_is_held_does_not_grow_with_the_length(model: models.Model) -> None:
    """Samples that have gone in and have not come out as latents: a chunk, a block, no more; for any length."""
    most = []
    for n_blocks in (20, 200):
        gone_in, held = 0, [0]

        def watched(n: int = n_blocks) -> Iterator[np.ndarray]:
            nonlocal gone_in
            for block in sound(n):
                gone_in += block.shape[1]
                yield block

        come_out = 0
        for block in model.encode(watched(), 0, "k"):
            held.append(gone_in - come_out * C)
            come_out += block.shape[1]
        most.append(max(held))
    assert max(most) <= CHUNK * C + 3 * 5000
    assert most[1] <= most[0] + 5000


def test_each_sample_is_copied_about_once(model: models.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    plain = windows._Buffer.head
    monkeypatch.setattr(windows._Buffer, "head", lambda self, n: (copied.append(n), plain(self, n))[1])
    list(model.encode(sound(40), 0, "k"))
    assert sum(copied) <= 40 * 5000 * (1.0 if model.streaming else 1.2) + CHUNK * C


def test_a_new_file_restores_only_what_calls_have_touched(tmp_path: Path) -> None:
    module = torch.jit.load(codecs.save(codecs.Streaming(), tmp_path / "m.ts"))
    state = State(module)
    with torch.no_grad():
        module.encode(torch.ones(1, 1, 4 * C))
    before = {name: buffer._version for name, buffer in module.named_buffers()}
    state.restore()
    touched = [name for name, buffer in module.named_buffers() if buffer._version != before[name]]
    assert touched == ["cache.pad"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="NOT TESTED: only glibc can be told to keep memory")
def test_freed_memory_is_used_again(root: Path) -> None:
    """Catches: a process that is not tuned, where every tensor of a model costs the clearing of its pages."""
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
    "decoder": {"torch", "tqdm"},
}


@pytest.mark.parametrize("script", NEEDED)
def test_a_run_imports_what_it_needs_and_no_more(
    script: str, root: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tabla_tun3.flac is at the model's rate: no resampler; libsndfile reads it: no FFmpeg."""
    np.save(tmp_path / "z.npy", np.zeros((1, 8, 3), np.float32))
    source = recordings / "tabla_tun3.flac" if script == "encoder" else tmp_path / "z.npy"
    code = (
        f"import sys, {script}; code = {script}.main(sys.argv[1:]); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "--input", str(source), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(eval(done.stderr.splitlines()[-1])) <= NEEDED[script]
