"""How true latents are, as the scripts say it: inspector.py on latents and --against, generator.py --fidelity."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import Run

import unravel_lib as unravel
from unravel_lib.files.sidecar import Sidecar, write_sidecar


@pytest.fixture
def encodings(tmp_path: Path) -> Path:
    folder = tmp_path / "encodings"
    folder.mkdir()
    for number in range(3):
        values = np.random.default_rng(number).standard_normal((4, 200)).cumsum(axis=1) / 5
        unravel.write_latents(folder / f"{number}.npy", values)
        write_sidecar(folder / f"{number}.npy", Sidecar(44100, 2048, 4, 200, model="voice.ts", model_sha256="a" * 64))
    return folder


def test_what_latents_hold(run: Run, encodings: Path) -> None:
    result = run("inspector", "--input", encodings)
    assert (result.code, result.out) == (0, b"")
    lines = result.err.splitlines()
    assert lines[0].split() == ["latents", "dims", "frames", "seconds", "Hz", "model"]
    assert lines[1].split() == [str(encodings / "0.npy"), "4", "200", "9.3", "21.533", "voice.ts"]
    assert any("3 encodings, 600 frames, 4 dims" in line for line in lines)
    one = run("inspector", "--input", encodings / "1.npy", "--json")
    document = json.loads(one.out)
    assert document["files"][0]["frames"] == 200 and len(document["lag_1"]) == 4 and "fidelity" not in document


def test_latents_against_encodings(run: Run, encodings: Path, tmp_path: Path) -> None:
    """A copy is a copy, noise is near the ceiling; latent audio is compared as latents are."""
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(encodings / "0.npy", copy / "x.npy")
    noise = np.random.default_rng(9).standard_normal((600, 4))
    unravel.write_latent_audio(tmp_path / "noise.wav", noise, 44100, 2048)
    found = {}
    for name, path in (("copy", copy), ("noise", tmp_path / "noise.wav")):
        result = run("inspector", "--input", path, "--against", encodings, "--json")
        assert result.code == 0, result.err
        found[name] = json.loads(result.out)["fidelity"]
        assert "windows told apart" in result.err and "ceiling" in result.err
    assert found["copy"]["value"]["copied_share"] == 1 and found["noise"]["value"]["copied_share"] == 0
    assert found["noise"]["value"]["step_ks"] > 0.5 > found["copy"]["value"]["step_ks"]
    assert found["copy"]["floor"] == found["noise"]["floor"]  # the same figures each time


def test_the_generator_says_how_true_its_results_are(run: Run, encodings: Path, tmp_path: Path) -> None:
    flags = ("--input", encodings, "--output", tmp_path / "out", "--num_latents", 64, "--no_plots", "--fidelity")
    result = run("generator", *flags, "--distribution", "retrace", "--run", "a")
    assert result.code == 0 and "windows told apart" in result.err
    table = tmp_path / "out" / "a" / "statistics.csv"
    refused = run("generator", "--statistics", table, "--output", tmp_path / "out", "--fidelity")
    assert refused.code == 2
    assert refused.errors == ["error: --statistics cannot be combined with others: leave it out, or these (--fidelity)"]
    short = run("generator", *flags[:4], "--no_plots", "--fidelity", "--num_latents", 1, "--num_loops", 1, "--run", "b")
    assert short.code == 0 and "warning: --fidelity: the generated latents have 1 frame at most" in short.err


def test_failures_come_before_fidelity(run: Run, encodings: Path, tmp_path: Path) -> None:
    """Where no result was written there is nothing to compare."""
    code = "from unravel_lib import transform\n@transform\ndef f(loop, index):\n    assert index < 3\n    return loop\n"
    (tmp_path / "mine.py").write_text(code)
    flags = ("--pattern", "orale", "--transform", f"{tmp_path}/mine.py:f", "--fidelity", "--run", "r")
    result = run("generator", "--input", encodings, "--output", tmp_path / "out", *flags)
    assert result.code == 2 and "generated latents" not in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--against", "{e}"], "inspector.py: error: --against compares latents: give these by --input"),
        (["--input", "{e}", "--save"], "inspector.py: error: --save, --config, --dict and --attr are for model files"),
        (
            ["--input", "{e}/0.npy", "--against", "{e}/gone"],
            "error: {e}/gone does not exist: check the path (--against)",
        ),
        (
            ["--input", "{e}/0.npy", "--against", "{e}/../other.npy"],
            "error: {e}/../other.npy has 3 dims, {e}/0.npy has 4: ",
        ),
        (
            ["--input", "{e}/0.npy", "--against", "{e}/../short.npy"],
            "error: the recorded latents have 2 frames at most",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(run: Run, encodings: Path, flags: list[str], line: str) -> None:
    unravel.write_latents(encodings.parent / "other.npy", np.ones((3, 9)))
    unravel.write_latents(encodings.parent / "short.npy", np.ones((4, 2)))
    result = run("inspector", *(flag.replace("{e}", str(encodings)) for flag in flags))
    assert result.code == 2
    [error] = result.errors
    assert error.startswith(line.replace("{e}", str(encodings)))
