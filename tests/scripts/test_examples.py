"""The shell scripts and the patterns in examples/ do what their first lines say."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixtures_runs import ROOT
from fixtures_sounds import sounds_that_differ
from PIL import Image

import generator
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS

EXAMPLES = ROOT / "examples"
RATE = 44100

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with spaces in its name, two short sounds in folders, and a file that is none."""
    folder = tmp_path_factory.mktemp("my recordings")
    (folder / "more of them").mkdir()
    rng = np.random.default_rng(1)
    for name in ("a b.wav", "more of them/c.flac"):
        soundfile.write(folder / name, 0.1 * rng.standard_normal(RATE), RATE)
    return folder


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latents file of noise."""
    path = tmp_path_factory.mktemp("latents") / "noise.npy"
    np.save(path, np.random.default_rng(2).standard_normal((1, 8, 60), np.float32))
    return path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a script of examples/ from another folder, as users do: shell("folder", arguments..., VARIABLE=value)."""

    def run(name: str, *arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = ["sh", str(EXAMPLES / f"{name}.sh"), *map(str, arguments)]
        environment = os.environ | {"PYTHON": sys.executable} | variables
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run


def lines(done: "subprocess.CompletedProcess[str]") -> list[str]:
    return done.stdout.splitlines()


def test_without_arguments_a_script_prints_its_usage(shell):
    done = shell("folder")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ") and "folder.sh" in done.stderr


def test_the_demo_ends_with_a_page_of_sounds_that_neither_clip_nor_are_silent(shell, tmp_path):
    out = tmp_path / "demo"
    done = shell("demo", out)
    assert done.returncode == 0, done.stderr
    assert lines(done)[-1].split(maxsplit=1)[1] == f"open {out}/index.html"
    sounds = sorted(out.glob("*.wav"))
    assert len(sounds) == 12
    page = (out / "index.html").read_text()
    assert page.count("<article") == 12 and "clipped</span>" not in page
    for path in sounds:
        samples, _ = soundfile.read(path)
        assert 0.05 < np.abs(samples).max() < 0.95, path
        assert path.name in page
    assert lines(done)[4].split()[0] == "Sound:" and lines(done)[5].split()[0] == "Look:"
    for line in lines(done)[4:7]:  # the files that it names are there
        assert list(out.glob(line.split()[2 if line.startswith("Pure") else 1].removeprefix(f"{out}/"))), line


def test_folder_makes_new_sound_from_every_recording_and_names_a_broken_one(shell, recordings, tmp_path):
    shutil.copytree(recordings, tmp_path / "some")
    (tmp_path / "some" / "broken.wav").write_text("no sound")
    done = shell("folder", "some", "my output")
    assert done.returncode == 1
    assert "broken.wav" in done.stderr
    sounds = [tmp_path / line for line in lines(done)]
    assert sorted(path.name.split("--")[0] for path in sounds) == ["a b", "c"]
    assert sorted(path.name for path in (tmp_path / "my output" / "sound").glob("*.*")) == sorted(
        f"{path.stem}{suffix}" for path in sounds for suffix in (".json", ".wav")
    )
    for path in sounds:
        assert soundfile.info(path).frames == 4**2 * 16 * 2048  # orale: 16 loops of 16 frames
    shutil.rmtree(tmp_path / "some" / "more of them")
    again = [line for line in lines(done) if "/a b--" in line]
    assert lines(shell("folder", "some", "my output")) == again, "a second run replaces the files"


def test_folder_stops_where_the_model_cannot_be_used(shell, recordings, tmp_path):
    (tmp_path / "model.ts").write_text("no model")
    done = shell("folder", recordings, "output", "model.ts")
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.ts" in done.stderr


def test_a_python_that_cannot_start_is_no_success(shell, recordings):
    assert shell("folder", recordings, "output", PYTHON="false").returncode == 2  # 1: some are done


def play(latents: Path, output: Path, pattern: str, *flags: str) -> np.ndarray:
    """Return what generator.py writes for a pattern of examples/my_patterns.py: [frames, dims]."""
    name = f"{EXAMPLES / 'my_patterns.py'}:{pattern}"
    arguments = ["--input", str(latents), "--output", str(output), "--run", "own", "--embeddings", "--no_plots"]
    assert generator.main([*arguments, "--pattern", name, *flags]) == 0
    (path,) = (output / "own").glob("*.npy")
    return np.load(path)[0].T


def test_stutter_repeats_every_frame(latents, tmp_path):
    flags = ["--num_latents", "5", "--num_loops", "2"]
    stuttered = play(latents, tmp_path / "1", "stutter", *flags, "--pattern_args", "times=3")
    plain = play(latents, tmp_path / "2", "stutter", *flags, "--pattern_args", "times=1")
    assert plain.shape == (10, 8)
    assert (stuttered == np.repeat(plain, 3, axis=0)).all()


def test_crumble_loses_a_frame_each_time_round(latents, tmp_path):
    flags = ["--num_latents", "4", "--num_loops", "3"]
    found = play(latents, tmp_path / "1", "crumble", *flags)
    assert found.shape == (3 * (4 + 3 + 2 + 1), 8)
    assert (found == play(latents, tmp_path / "2", "crumble", *flags)).all()
    first, second = found[:4], found[4:7]
    nearest = [int(np.abs(first - frame).max(axis=1).argmin()) for frame in second]
    assert nearest == sorted(set(nearest)) and np.abs(first[nearest] - second).max() < 1  # in order, one missing


def test_figures_draws_the_pictures_that_the_readme_shows(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLES)
    figures = importlib.import_module("figures")
    monkeypatch.setattr(figures, "PICTURES", tmp_path)
    figures.main()
    kept = {path.name for path in (EXAMPLES / "pictures").iterdir()}
    assert kept == {path.name for path in tmp_path.iterdir()}, "run make figures"
    for name in kept:
        new, old = (
            np.asarray(Image.open(path / name).convert("L"), float) for path in (tmp_path, EXAMPLES / "pictures")
        )
        assert new.shape == old.shape and np.abs(new - old).mean() < 4, f"{name} shows something else: run make figures"
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 600_000


def test_one_loop_makes_two_minutes(shell: Shell, recordings: Path, tmp_path: Path) -> None:
    """One sound of 120 s that is neither silent nor the same loop all the time."""
    sound = tmp_path / "tone.wav"
    soundfile.write(sound, np.sin(np.arange(RATE * 2) ** 1.3 / 500) * 0.3, RATE)
    done = shell("one_loop", sound, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    [path] = lines(done)
    values, rate = soundfile.read(path, always_2d=True)
    assert abs(len(values) / rate - 120) < 1 and values.std() > 1e-3
    [latents] = (tmp_path / "out" / "pieces").glob("tone--*/*.npy")
    loops = np.load(latents)[0].T.reshape(162, -1)
    assert 20 < len(np.unique(loops, axis=0)) <= 162
    assert shell("one_loop", recordings, tmp_path / "out").returncode == 2  # a folder


def test_sounds_renders_what_the_readme_links_to(monkeypatch, tmp_path):
    """Two sounds for every pattern, one for every distribution, and latent audio for latent_nn.pd."""
    monkeypatch.syspath_prepend(EXAMPLES)
    sounds = importlib.import_module("sounds")
    monkeypatch.setattr(sounds, "SOUNDS", tmp_path)
    sounds.render_library()
    patterns, distributions = ([name for name, _ in one.listing()] for one in (PATTERNS, DISTRIBUTIONS))
    made = {f"{name}-{number}.mp3" for name in patterns for number in (1, 2)} | {
        f"{name}.mp3" for name in distributions
    }
    assert {path.name for path in tmp_path.iterdir()} == {"latent_audio.wav", *made}
    assert sounds_that_differ(tmp_path, EXAMPLES / "sounds") == []
    for path in tmp_path.glob("*.mp3"):
        values, rate = soundfile.read(path)
        assert 6 < len(values) / rate < 12 and 0.5 < np.abs(values).max() < 1
    assert sum(path.stat().st_size for path in (EXAMPLES / "sounds").iterdir()) < 1_400_000
    assert sum(path.stat().st_size for path in (EXAMPLES / "sounds" / "tutorial").iterdir()) < 1_500_000
