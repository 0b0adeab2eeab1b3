"""encoder.py and decoder.py on models that behave as those of other families do."""

import json
from pathlib import Path

import fixtures_codecs as codecs
import numpy as np
import pytest
import soundfile
from fixtures_runs import Run

from unravel_lib.latents.formats import save_latents


@pytest.fixture
def latents(tmp_path: Path) -> list[Path]:
    """Latents of different lengths, as recordings have."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"z{frames}.npy" for frames in (30, 7, 31)]
    for path, frames in zip(paths, (30, 7, 31), strict=True):
        save_latents(path, rng.standard_normal((codecs.DIMS, frames)))
    return paths


def decoded(run: Run, model: Path, source: list[Path], output: Path, *flags: object) -> list[np.ndarray]:
    result = run("decoder", "--model", model, "--input", *source, "--output", output, "--subtype", "FLOAT", *flags)
    assert (result.code, len(result.paths)) == (0, len(source)), result.err
    return [soundfile.read(path)[0] for path in result.paths]


def test_files_of_different_lengths_decode_alike_alone_and_together(
    latents: list[Path], tmp_path: Path, run: Run
) -> None:
    """A list of call lengths is forgotten between files."""
    model = codecs.save(codecs.Listed(), tmp_path / "listed.ts")
    together = decoded(run, model, latents, tmp_path / "together")
    alone = [decoded(run, model, [path], tmp_path / "alone")[0] for path in latents]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_what_a_model_prints_is_kept_from_stdout(tmp_path: Path, run: Run) -> None:
    """Its buffers require a gradient, too."""
    model = codecs.save(codecs.LeafBuffers(), tmp_path / "leaf.ts")
    sources = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in sources:
        soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, 9000), codecs.RATE)
    result = run("encoder", "--model", model, "--input", *sources, "--output", tmp_path / "out")
    assert (result.code, [path.suffix for path in result.paths]) == (0, [".npy", ".npy"])
    assert "Resizing and resetting buffer" in result.err
    first, second = (np.load(path) for path in result.paths)
    assert np.array_equal(first, second)  # the same sound under another name


def test_conditions_shape_the_sound_and_stand_in_the_sidecar(latents: list[Path], tmp_path: Path, run: Run) -> None:
    model = codecs.save(codecs.Conditioned(), tmp_path / "conditioned.ts")
    [plain] = decoded(run, model, latents[:1], tmp_path / "plain")
    [high] = decoded(run, model, latents[:1], tmp_path / "high", "--condition", "pitch=3", "octave=0.5")
    np.testing.assert_allclose(high - plain, 30 + 50, atol=1e-3)
    for folder, stated in (("plain", {}), ("high", {"octave": 0.5, "pitch": 3})):
        [sidecar] = (tmp_path / folder).glob("*.json")
        assert json.loads(sidecar.read_text())["options"]["conditions"] == stated


@pytest.mark.parametrize(
    ("codec", "flags", "message"),
    [
        (codecs.Conditioned, ["--condition", "oktave=3"], "has no condition oktave: its conditions are pitch, octave"),
        (codecs.Offline, ["--condition", "pitch=3"], "decodes without conditions: leave it out (--condition)"),
        (codecs.Conditioned, ["--condition", "pitch"], "pitch is not of the form name=value"),
        (codecs.Conditioned, ["--condition", "pitch=high"], "high is not a number"),
        (codecs.Streaming, ["--compensate_delay"], "does not state its delay"),
    ],
)
def test_flags_that_do_not_fit_the_model_are_refused_once(
    codec: type, flags: list[str], message: str, latents: list[Path], tmp_path: Path, run: Run
) -> None:
    model = codecs.save(codec(), tmp_path / "m.ts")
    result = run("decoder", "--model", model, "--input", *latents, "--output", tmp_path / "out", *flags)
    assert (result.code, result.out) == (2, b"")
    assert result.err.count(message) == 1 and "Traceback" not in result.err
