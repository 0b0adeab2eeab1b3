"""generator.py --transform and --input_loop as a musician runs them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import Run

from unravel_lib.files.find import sha256_of
from unravel_lib.files.sidecar import Sidecar, write_sidecar
from unravel_lib.latents.formats import load_latents, save_latents

LATENTS = np.random.default_rng(4).normal(size=(3, 60)).astype(np.float32)


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encodings") / "x.npy"
    save_latents(path, LATENTS)
    write_sidecar(path, Sidecar(44100, 2048, 3, 60, model="voice.ts", model_sha256="a" * 64))
    return path


def generated(run: Run, folder: Path, *flags: object) -> tuple[np.ndarray, dict[str, object], str]:
    """The frames that a run makes [frames, dims], the options in its sidecar, and stderr."""
    fixed = ("--embeddings", "--no_plots", "--output", folder, "--run", "r", "--overwrite")
    result = run("generator", *fixed, *flags)
    assert result.code == 0, result.err
    [path] = [path for path in result.paths if path.suffix == ".npy"]
    return load_latents(path).T, json.loads(path.with_suffix(".json").read_text())["options"], result.err


def test_steps_change_the_loops_and_stand_in_the_sidecar(run: Run, tmp_path: Path, encoding: Path) -> None:
    flags = ("--input", encoding, "--num_latents", 4, "--num_loops", 3)
    plain, without, _ = generated(run, tmp_path, *flags)
    assert without["transform"] == [] and without["files_sha256"] == {}
    changed, options, err = generated(run, tmp_path, *flags, "--transform", "every 2  rev", "ply 2")
    loop = plain[:4]
    np.testing.assert_array_equal(changed, np.repeat(np.concatenate([loop, loop[::-1], loop]), 2, axis=0))
    assert options["transform"] == ["every 2 rev", "ply 2"] and options["code_sha256"] == {}
    assert "as it is played, a loop of 8 frames is 161.50 BPM" in err
    assert "1 x latents file: 24 frames x 3 dims" in err


def test_lengths_that_differ_have_no_tempo(run: Run, tmp_path: Path, encoding: Path) -> None:
    frames, _, err = generated(run, tmp_path, "--input", encoding, "--num_loops", 4, "--transform", "every 2 take 3")
    assert len(frames) == 26 and "not all loops that are played have this length: the tempo does not apply" in err


def test_announced_lengths_hold_for_steps_that_keep_them(run: Run, tmp_path: Path, encoding: Path) -> None:
    for pattern, steps in (("orale", ["sometimes 0.5 rev"]), ("swapper", ["degrade 0.2"]), ("blender", ["palindrome"])):
        flags = ("--input", encoding, "--num_latents", 4, "--num_loops", 2, "--pattern", pattern)
        plain, changed = (generated(run, tmp_path, *flags, *more)[0] for more in ((), ("--transform", *steps)))
        assert len(changed) == (2 if steps == ["palindrome"] else 1) * len(plain)


def test_latent_audio_has_them_too(run: Run, tmp_path: Path, encoding: Path) -> None:
    result = run("generator", "--input", encoding, "--no_plots", "--output", tmp_path, "--transform", "rev")
    assert result.code == 0 and sum(path.suffix == ".wav" for path in result.paths) == 1


def test_a_wrong_step_is_one_line_and_a_mark(run: Run, tmp_path: Path, encoding: Path) -> None:
    """Nothing is written; the mark stands below the error."""
    for step, mark in (("every 4 revv", "^^^^"), ("dims 9 rev", "^"), ("take 0", "^")):
        result = run("generator", "--input", encoding, "--output", tmp_path / "o", "--transform", step)
        assert result.code == 2 and len(result.errors) == 1
        assert result.err.splitlines()[-2:] == [f"    {step}", f"    {' ' * (step + ' ').rindex(mark_of(step))}{mark}"]
        assert not (tmp_path / "o").exists()


def mark_of(step: str) -> str:
    return {"every 4 revv": "revv", "dims 9 rev": "9", "take 0": "0"}[step]


def test_words_without_quotes_are_explained(run: Run, tmp_path: Path, encoding: Path) -> None:
    result = run("generator", "--input", encoding, "--output", tmp_path, "--transform", "every", "4", "rev")
    assert result.code == 2 and "put the words of a step in quotes" in result.err


def test_the_list(run: Run) -> None:
    result = run("generator", "--list_transforms", "--transform", "every 2 examples/my_transforms.py:hocket 2")
    assert result.code == 0 and "  rot FRAMES " in result.text and "my_transforms.py:hocket PARTS" in result.text


def test_a_loop_from_a_file(run: Run, tmp_path: Path, encoding: Path) -> None:
    """The frames as they are, played by the pattern; the statistics are those of the file."""
    frames, options, err = generated(run, tmp_path, "--input_loop", f"{encoding}:10:14", "--num_loops", 2)
    np.testing.assert_array_equal(frames, np.tile(LATENTS[:, 10:14].T, (2, 1)))
    assert options["distribution"] is None and options["num_latents"] == 4
    assert options["files_sha256"] == {str(encoding): sha256_of(encoding)}
    assert "1 encoding, 60 frames, 3 dims" in err and "loop of 4 frames at 44100 Hz / 2048" in err
    assert (tmp_path / "r" / "loop_input-loop_seed42_0000_embeddings.npy").exists()
    by_time, _, _ = generated(run, tmp_path, "--input_loop", f"{encoding}:0.465s:0.65s", "--num_loops", 2)
    np.testing.assert_array_equal(by_time, frames)
    whole, _, _ = generated(run, tmp_path, "--input_loop", encoding, "--num_loops", 1)
    np.testing.assert_array_equal(whole, LATENTS.T)
    np.testing.assert_array_equal(
        generated(run, tmp_path, "--input_loop", f"{encoding}::5", "--num_loops", 1)[0], LATENTS.T[:5]
    )
    np.testing.assert_array_equal(
        generated(run, tmp_path, "--input_loop", f"{encoding}:55:", "--num_loops", 1)[0], LATENTS.T[55:]
    )


def test_latent_audio_alone_is_a_loop_too(run: Run, tmp_path: Path, encoding: Path) -> None:
    result = run("generator", "--input", encoding, "--output", tmp_path, "--run", "a", "--no_plots")
    [sound] = [path for path in result.paths if path.suffix == ".wav"]
    frames, _, err = generated(run, tmp_path / "o", "--input_loop", f"{sound}:0:4", "--num_loops", 1)
    assert len(frames) == 4 and "1 encoding, 40 frames" in err


def test_equal_files_are_told(run: Run, tmp_path: Path, encoding: Path) -> None:
    flags = ("--input_loop", f"{encoding}:0:4", "--num_files", 2, "--no_plots", "--output", tmp_path)
    for more, equal in (((), True), (("--transform", "rev"), True), (("--transform", "every 2 degrade 0.5"), False)):
        result = run("generator", *flags, *more)
        assert ("nothing in it is random, the files are equal" in result.err) is equal
        sounds = {path.read_bytes() for path in result.paths if path.suffix == ".wav"}
        assert len(sounds) == (1 if equal else 2)


def test_two_loops_from_files(run: Run, tmp_path: Path, encoding: Path) -> None:
    """Blender turns the first into the second; with one loop, the other is drawn."""
    two = ("--input_loop", f"{encoding}:0:4", f"{encoding}:20:24", "--pattern", "blender", "--num_loops", 1)
    frames, _, _ = generated(run, tmp_path, *two)
    np.testing.assert_array_equal(frames[:4], LATENTS.T[:4])
    np.testing.assert_array_equal(frames[-4:], LATENTS.T[20:24])
    one = ("--input", encoding, "--distribution", "walk", "--pattern", "blender", "--num_loops", 1)
    frames, options, _ = generated(run, tmp_path, *one, "--input_loop", f"{encoding}:0:4")
    np.testing.assert_array_equal(frames[:4], LATENTS.T[:4])
    assert options["distribution"] == "walk" and not (frames[-4:] == LATENTS.T[20:24]).any()
    drawn, _, _ = generated(run, tmp_path, *one, "--num_latents", 4)
    np.testing.assert_array_equal(frames[-4:], drawn[-4:])  # loop B is the same whatever loop A is


def test_statistics_of_other_files_with_a_loop(run: Run, tmp_path: Path, encoding: Path) -> None:
    """shift moves by the standard deviation of --input, not of the loop."""
    frames, _, _ = generated(
        run, tmp_path, "--input", encoding, "--input_loop", f"{encoding}:0:3", "--transform", "shift 1"
    )
    std = LATENTS.T.astype(np.float64).std(axis=0, ddof=1)
    np.testing.assert_allclose(frames[:3], LATENTS.T[:3] + std, rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("{x}:5:5",), "has 60 frames, 2.79 s, expected FILE:A:B with 0 <= A < B"),
        (("{x}:-5:",), "expected FILE:A:B with 0 <= A < B"),
        (("{x}:0:4", "{x}:4:8"), "pattern loop takes fewer than 2 loops: give fewer"),
        (("{x}:0:61",), "has 60 frames, 2.79 s, expected FILE:A:B"),
        (("{x}:0:4", "{x}:0:5", "--pattern", "morph"), "gives one loop 4 frames x 3 dims, another 5 frames x 3 dims"),
        (("{x}", "{x}", "{x}"), "pattern loop takes fewer than 3 loops"),
        (("nowhere.npy:0:4",), "nowhere.npy"),
        (
            ("{x}:0:4", "--num_latents", 8),
            "--num_latents cannot be combined with others: leave it out, or these .--input_loop",
        ),
        (("{x}:0:4", "--input", "{wide}"), "has 3 dims, the encodings have 5"),
        (("{x}:0:4", "--input", "{other}"), "has another model than"),
    ],
)
def test_wrong_loops(run: Run, tmp_path: Path, encoding: Path, flags: tuple[object, ...], message: str) -> None:
    wide, other = tmp_path / "wide.npy", tmp_path / "other.npy"
    save_latents(wide, np.random.default_rng(0).normal(size=(5, 30)))
    save_latents(other, LATENTS)
    write_sidecar(other, Sidecar(44100, 2048, 3, 60, model="other.ts", model_sha256="b" * 64))
    given = [str(flag).format(x=encoding, wide=wide, other=other) for flag in flags]
    result = run("generator", "--output", tmp_path / "o", "--input_loop", *given)
    assert result.code == 2 and len(result.errors) == 1
    assert re.search(message, result.errors[0]), result.errors
    assert not (tmp_path / "o").exists()


def test_a_distribution_that_draws_nothing_is_told(run: Run, tmp_path: Path, encoding: Path) -> None:
    flags = ("--input_loop", f"{encoding}:0:4", "--distribution", "walk")
    result = run("generator", "--input", encoding, *flags, "--no_plots", "--output", tmp_path)
    assert result.code == 0 and "warning: --distribution changes nothing: --input_loop gives every loop" in result.err


def test_a_transform_in_a_folder_with_blanks(run: Run, tmp_path: Path, encoding: Path) -> None:
    """Quoted inside the step as in a shell; the sidecar makes it again; the list shows the file's own."""
    mine = tmp_path / "my own" / "mine.py"
    mine.parent.mkdir()
    mine.write_text("from unravel_lib import transform\n@transform\ndef times(loop, by: int):\n    return loop * by\n")
    flags = ("--input", encoding, "--num_latents", 4)
    plain, _, _ = generated(run, tmp_path / "a", *flags)
    for number, word in enumerate((f'"{mine}:times"', f"'{mine}':times", f"{mine}:times".replace(" ", "\\ "))):
        frames, options, _ = generated(run, tmp_path / f"b{number}", *flags, "--transform", f"every 1 {word} 2", "rev")
        np.testing.assert_array_equal(frames[:4], 2 * plain[:4][::-1])
        assert options["transform"] == [f"every 1 '{mine}:times' 2", "rev"]
        [piece] = (tmp_path / f"b{number}" / "r").glob("*.npy")
        again = ("--again", piece, "--trust_code", "--embeddings", "--no_plots", "--output", tmp_path / f"c{number}")
        [made] = [path for path in run("generator", *again).paths if path.suffix == ".npy"]
        assert made.read_bytes() == piece.read_bytes()
    listed = run("generator", "--list_transforms", "--transform", f'"{mine}:times" 2').text
    assert re.search(rf"{mine}:times BY +\(no description\)", listed)
