"""encoder.py as a user runs it."""

import json
import os
import re
import sys
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch
from fixtures_runs import TONE, Run, Script, snapshot, spy

from unravel_lib.models import POCKET
from unravel_lib.models.model import Model


@pytest.fixture
def sounds(tmp_path: Path, recordings: Path) -> Path:
    """A folder with nested folders, odd names, hidden files and files that are no sound."""
    folder = tmp_path / "sounds"
    (folder / "deep" / "er").mkdir(parents=True)
    t = np.arange(9001) / 44100
    x = 0.3 * np.sin(2 * np.pi * 330 * t)
    for name in (
        "kick.wav",
        "deep/kick.wav",
        "deep/er/UPPER.WAV",
        "with space é ü.flac",
        "-dash.aiff",
        "odd\nname.wav",
    ):
        soundfile.write(folder / name, x, 44100)
    soundfile.write(folder / "deep" / ".hidden.wav", x, 44100)
    (folder / "notes.txt").write_text("no sound")
    return folder


def test_a_folder_becomes_latents(sounds: Path, tmp_path: Path, run: Run) -> None:
    result = run("encoder", "--input", sounds, "--output", tmp_path / "out")
    assert result.code == 0
    assert "using the bundled pocket model (8 dims)" in result.err
    assert len(result.paths) == len(set(result.paths)) == 6  # the two kicks do not collide, the hidden one is left out
    assert all(re.fullmatch(r".+--[0-9a-f]{8}\.npy", path.name) for path in result.paths)
    assert {path for path in (tmp_path / "out").iterdir() if path.suffix == ".npy"} == set(result.paths)
    for path in result.paths:
        latents = np.load(path)
        assert latents.dtype == np.float32
        assert latents.shape == (1, 8, 5)  # ceil(9001 / 2048)
        assert latents.flags.c_contiguous
    assert result.err.splitlines()[-1] == f"6 files: 30 frames, {30 * 2048 / 44100:.1f} s of sound"
    again = run("encoder", "--input", sounds, "--output", tmp_path / "out", "--skip_existing")
    assert "frames" not in again.err


def test_the_latents_are_those_of_the_model(recordings: Path, tmp_path: Path, run: Run) -> None:
    source = recordings / "loop_compus.flac"
    [written] = run("encoder", "--input", source, "--output", tmp_path).paths
    x, rate = soundfile.read(source, dtype="float32", always_2d=True)
    assert rate == 44100
    with torch.no_grad():
        expected = torch.jit.load(POCKET).encode(torch.from_numpy(x.mean(1, dtype=np.float32))[None, None])
    np.testing.assert_allclose(np.load(written), expected, atol=1e-4)


def test_the_sidecar_has_all_facts(recordings: Path, tmp_path: Path, run: Run) -> None:
    source = recordings / "ambi_piano.flac"
    [written] = run("encoder", "--input", source, "--output", tmp_path, "--seed", 7).paths
    facts = json.loads(written.with_suffix(".json").read_text())
    assert (facts["sample_rate"], facts["compression"], facts["dims"]) == (44100, 2048, 8)
    assert facts["frames"] == np.load(written).shape[2]
    assert (facts["model"], facts["seed"], facts["source"]) == ("pocket.ts", 7, str(source))
    assert len(facts["model_sha256"]) == len(facts["source_sha256"]) == 64


def test_alone_or_in_a_batch_gives_the_same_bytes(recordings: Path, tmp_path: Path, run: Run) -> None:
    together = run("encoder", "--input", recordings, "--output", tmp_path / "all").paths
    for path in together[::4]:
        source = recordings / f"{path.name.split('--')[0]}.flac"
        [alone] = run("encoder", "--input", source, "--output", tmp_path / "one").paths
        assert alone.name == path.name
        assert alone.read_bytes() == path.read_bytes()
        of_all, of_one = (note.with_suffix(".json").read_text() for note in (path, alone))
        assert of_one == of_all.replace(str(tmp_path / "all"), str(tmp_path / "one"))  # its command names the folder


@pytest.mark.parametrize("given", [["wav"], [".WAV"], ["wav", "flac"], ["FLAC"]])
def test_extensions_in_any_spelling(sounds: Path, tmp_path: Path, run: Run, given: list[str]) -> None:
    result = run("encoder", "--input", sounds, "--output", tmp_path / "o", "--extensions", *given)
    assert result.code == 0
    wanted = {e.lower().strip(".") for e in given}
    assert len(result.paths) == ("wav" in wanted) * 4 + ("flac" in wanted) * 1


def test_other_rates_give_as_many_frames_as_their_seconds(tmp_path: Path, run: Run) -> None:
    for rate in (8000, 96000):
        soundfile.write(tmp_path / f"{rate}.wav", np.full((rate, 2), 0.1), rate)
        [written] = run("encoder", "--input", tmp_path / f"{rate}.wav", "--output", tmp_path / "out").paths
        assert np.load(written).shape == (1, 8, 22)  # ceil(44100 / 2048)


def test_one_sample_is_enough(tmp_path: Path, run: Run) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([0.5]), 44100)
    result = run("encoder", "--input", tmp_path / "x.wav", "--output", tmp_path / "out")
    [written] = result.paths
    assert (result.code, np.load(written).shape) == (0, (1, 8, 1))


def test_one_bad_file_does_not_stop_the_rest(sounds: Path, tmp_path: Path, run: Run) -> None:
    (sounds / "deep" / "bad.wav").write_bytes(b"RIFF nonsense")
    result = run("encoder", "--input", sounds, "--output", tmp_path / "out")
    assert (result.code, len(result.paths)) == (1, 6)
    assert "1 of 7 inputs failed" in result.err
    assert "bad.wav is not a sound file" in (tmp_path / "out" / "failures.csv").read_text()


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The calls of the model: one for each file that is encoded."""
    return spy(monkeypatch, Model, "encode")


def test_skip_existing_runs_only_what_is_missing_or_different(
    recordings: Path, tmp_path: Path, run: Run, encodings: Mock
) -> None:
    flags = ("--input", recordings, "--output", tmp_path, "--extensions", "flac", "--skip_existing")
    written = run("encoder", *flags).paths
    assert encodings.call_count == len(written) == 10
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = run("encoder", *flags)
    assert (again.code, again.paths) == (0, [])
    assert encodings.call_count == 10
    written[0].unlink()
    written[1].write_bytes(written[1].read_bytes()[:-4])
    written[2].with_suffix(".json").unlink()
    result = run("encoder", *flags)
    assert (result.code, result.paths) == (0, written[:3])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(run("encoder", *flags, "--seed", 1).paths) == 10


def test_it_works_from_the_shell(script: Script, recordings: Path, tmp_path: Path) -> None:
    done = script("encoder", "--input", recordings / "elec_chime.flac", "--output", tmp_path)
    assert done.returncode == 0
    assert Path(done.stdout.strip()).is_file()
    assert "Traceback" not in done.stderr


def pocket_with_another_name(folder: Path) -> Path:
    """A model that is another one by its SHA-256."""
    path = folder / "voice.ts"
    path.write_bytes(POCKET.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pocket/extra/note", "another file")
    return path


def test_results_of_another_model_are_not_replaced(sounds: Path, tmp_path: Path, run: Run) -> None:
    flags = ("--input", sounds / "kick.wav", sounds / "deep" / "er", "--output", tmp_path / "out")
    other = ("--model", pocket_with_another_name(tmp_path))
    written = run("encoder", *flags).paths
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    result = run("encoder", *flags, *other)
    assert (result.code, result.paths) == (2, [])
    line = (
        f"error: {written[0]} was made with pocket.ts, not with voice.ts: choose another folder, "
        "or replace it (--output, --overwrite)"
    )
    assert result.err.splitlines().count(line) == 1
    (tmp_path / "out" / "failures.csv").unlink()
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    again = run("encoder", *flags, *other, "--overwrite")
    assert (again.code, again.paths) == (0, written)
    assert run("encoder", *flags).code == 2


def test_results_of_another_recording_are_not_replaced_but_those_of_a_changed_one_are(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, level in (("monday", 0.1), ("tuesday", 0.2), ("copy", 0.1)):
        (tmp_path / place).mkdir()
        soundfile.write(tmp_path / place / "take.wav", np.full(300, level), 44100)
    monkeypatch.chdir(tmp_path / "monday")
    flags = ("--output", tmp_path / "out")
    [written] = run("encoder", "--input", "take.wav", *flags).paths
    monkeypatch.chdir(tmp_path / "tuesday")  # the same words, another recording
    result = run("encoder", "--input", "take.wav", *flags)
    assert (result.code, result.paths) == (2, [])
    assert (
        f"{written} was made from {tmp_path}/monday/take.wav, not from {tmp_path}/tuesday/take.wav: choose another "
        "folder, or replace it (--output, --overwrite)"
    ) in result.err
    again = run("encoder", "--input", tmp_path / "copy", *flags)  # the same sound
    assert (again.code, again.paths) == (0, [written])
    soundfile.write(tmp_path / "copy" / "take.wav", np.full(300, 0.3), 44100)
    again = run("encoder", "--input", tmp_path / "copy", *flags, "--seed", 1)
    assert (again.code, again.paths) == (0, [written])
    again = run("encoder", "--input", tmp_path / "tuesday", *flags, "--overwrite")
    assert (again.code, again.paths) == (0, [written])


def test_the_same_folder_elsewhere_gives_the_same_names(sounds: Path, tmp_path: Path, run: Run) -> None:
    one = run("encoder", "--input", sounds, "--output", tmp_path / "one").paths
    sounds.rename(tmp_path / "mounted elsewhere")
    two = run("encoder", "--input", tmp_path / "mounted elsewhere", "--output", tmp_path / "two").paths
    assert [path.name for path in one] == [path.name for path in two]
    flags = ("--input", tmp_path / "mounted elsewhere", "--output", tmp_path / "one", "--skip_existing")
    again = run("encoder", *flags)
    assert (again.code, again.paths) == (0, [])


def test_results_under_earlier_names_are_known_by_their_sidecars(sounds: Path, tmp_path: Path, run: Run) -> None:
    """Version 1.0 named them `encoded--`; one whose seed was another, or whose recording has changed, is made again."""
    flags = ("--input", sounds, "--output", tmp_path / "out", "--skip_existing")
    for path in run("encoder", *flags).paths:
        for end in (".npy", ".json", ".descriptors"):
            path.with_suffix(end).rename(path.with_name(f"encoded--{path.stem}{end}"))
    again = run("encoder", *flags)
    assert again.paths == [] and "6 of 6 files finished before: left alone" in again.err
    assert len(run("encoder", *flags, "--seed", 1).paths) == 6


def test_inputs_whose_results_would_have_one_name_are_refused_before_anything_is_done(
    sounds: Path, tmp_path: Path, run: Run
) -> None:
    inputs = sounds / "kick.wav", sounds / "deep" / "kick.wav"
    result = run("encoder", "--input", *inputs, "--output", tmp_path / "out")
    assert (result.code, result.paths, len(result.err.splitlines())) == (2, [], 1)
    assert f"the results of {inputs[0]} and {inputs[1]} would have the same name" in result.err
    assert not (tmp_path / "out").exists()


def test_a_home_folder_several_inputs_and_extensions_with_commas(
    sounds: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    extensions = ("--extensions", ".wav,flac")
    result = run("encoder", "--input=~/sounds", *extensions, "--output=~/out")
    assert (result.code, len(result.paths), result.paths[0].parent) == (0, 5, tmp_path / "out")
    several = (sounds / "deep" / "kick.wav", sounds / "-dash.aiff", "--input", sounds / "deep" / "er")
    result = run("encoder", "--input", *several, "--output", tmp_path / "several")
    assert (result.code, [path.name.split("--")[0] for path in result.paths]) == (0, ["kick", "_dash", "UPPER"])


def test_names_that_the_locale_cannot_write(run: Run, script: Script, tmp_path: Path) -> None:
    """Under an ASCII file system encoding results have the same names, and the same bytes, as under UTF-8."""
    (tmp_path / "in").mkdir()
    for name in ("日本.wav", "é.wav"):
        soundfile.write(tmp_path / "in" / name, np.full(300, 0.1), 44100)
    assert sys.getfilesystemencoding() == "utf-8"
    assert run("encoder", "--input", tmp_path / "in", "--output", tmp_path / "utf8").code == 0
    assert run("decoder", "--input", tmp_path / "utf8", "--output", tmp_path / "utf8" / "sound").code == 0
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    options = {"env": ascii_only, "encoding": "utf-8"}
    done = script("encoder", "--input", tmp_path / "in", "--output", tmp_path / "ascii", **options)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_file() for line in done.stdout.splitlines())
    done = script("decoder", "--input", tmp_path / "ascii", "--output", tmp_path / "ascii" / "sound", **options)
    assert done.returncode == 0, done.stderr
    for kind in ("*.npy", "*.wav"):
        one, two = ({p.name: p.read_bytes() for p in (tmp_path / f).rglob(kind)} for f in ("utf8", "ascii"))
        assert one == two and len(one) == 2


def test_equal_names_with_equal_hashes_overwrite_nothing(tmp_path: Path, run: Run) -> None:
    """The SHA-256 of these two paths begin with the same 8 digits."""
    for folder, level in (("59415", 0.1), ("64880", 0.2)):
        (tmp_path / "in" / folder).mkdir(parents=True)
        soundfile.write(tmp_path / "in" / folder / "take.wav", np.full(300, level), 44100)
    flags = ("--input", tmp_path / "in", "--output", tmp_path / "out")
    result = run("encoder", *flags)
    assert (result.code, len(set(result.paths))) == (0, 2)
    assert [path.name[: len("take--bc97bed5")] for path in result.paths] == ["take--bc97bed5"] * 2
    sources = [json.loads(path.with_suffix(".json").read_text())["source"] for path in result.paths]
    assert sources == [str(tmp_path / "in" / folder / "take.wav") for folder in ("59415", "64880")]
    again = run("encoder", *flags, "--skip_existing")
    assert (again.code, again.paths) == (0, [])


def test_the_command_in_a_sidecar_makes_that_file_alone_in_any_folder(
    sounds: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its name, also that of a recording in a folder within `--input`, and with all flags that shape it."""
    monkeypatch.chdir(sounds.parent)
    written = run("encoder", "--input", sounds.name, "--output", "out", "--seed", 7, "--compensate_delay").paths
    before = snapshot(Path("out"))
    out = Path("out").rename("before").absolute()
    monkeypatch.chdir(tmp_path.parent)
    for path in written:
        facts = json.loads((out / path.name).with_suffix(".json").read_text())
        again = run("encoder", *facts["options"]["command"])
        assert (again.code, again.paths) == (0, [sounds.parent / path])
    assert snapshot(sounds.parent / "out") == before


def test_a_base_that_holds_not_all_inputs_is_refused(sounds: Path, tmp_path: Path, run: Run) -> None:
    result = run("encoder", "--input", sounds, "--output", tmp_path / "out", "--base", sounds / "deep")
    assert result.code == 2 and f"is not in {sounds / 'deep'}: --base" in result.err


def test_output_without_a_value_is_the_default(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("x.wav", TONE, 44100)
    result = run("encoder", "--input", "x.wav", "--output")
    assert result.code == 0 and [path.parent.name for path in result.paths] == ["_encoder-output"]
