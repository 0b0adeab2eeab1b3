"""decoder.py as a user runs it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import fixtures_codecs as codecs
import numpy as np
import pyloudnorm
import pytest
import soundfile
from fixtures_runs import Run, spy

import unravel_lib
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, read_sidecar, write_sidecar
from unravel_lib.latents.formats import save_latents
from unravel_lib.models.model import Model, load


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    """A folder of two latents files that fit the pocket model."""
    folder = tmp_path / "latents"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, frames in (("a", 30), ("b", 1)):
        save_latents(folder / f"{name}.npy", rng.standard_normal((8, frames)))
    return folder


def test_latents_become_sound(latents: Path, tmp_path: Path, run: Run) -> None:
    result = run("decoder", "--input", latents, "--output", tmp_path / "out")
    assert result.code == 0
    assert [path.name.split("--")[0] for path in result.paths] == ["a", "b"]
    for path, frames in zip(result.paths, (30, 1), strict=True):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (44100, 1, frames * 2048, "PCM_24")
        sound = soundfile.read(path)[0]
        assert 0.001 < np.abs(sound).max() < 1
        assert json.loads(path.with_suffix(".json").read_text())["frames"] == frames


def test_names_leave_embeddings_out(latents: Path, tmp_path: Path, run: Run) -> None:
    (latents / "a.npy").rename(latents / "a_embeddings.npy")
    flags = ("--input", latents, "--output", tmp_path / "out", "--skip_existing")
    paths = run("decoder", *flags).paths
    assert [path.name.split("--")[0] for path in paths] == ["a", "b"]
    again = run("decoder", *flags)
    assert (again.code, again.paths) == (0, []) and "2 of 2 files finished before" in again.err
    paths[0].write_bytes(b"cut short")
    assert run("decoder", *flags).paths == [paths[0]]


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_subtypes(latents: Path, tmp_path: Path, run: Run, subtype: str) -> None:
    [written] = run("decoder", "--input", latents / "a.npy", "--output", tmp_path, "--subtype", subtype).paths
    assert soundfile.info(written).subtype == subtype


def test_same_seed_same_bytes_whatever_the_file_is_like(latents: Path, tmp_path: Path, run: Run) -> None:
    """The same latents as (dims, frames), big-endian float64 or in Fortran order give the same sound."""
    values = np.load(latents / "a.npy")
    np.save(tmp_path / "plain.npy", values[0])
    np.save(tmp_path / "wide.npy", values.astype(">f8"))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(values))
    sounds = []
    for source in (latents / "a.npy", tmp_path / "plain.npy", tmp_path / "wide.npy", tmp_path / "fortran.npy"):
        result = run("decoder", "--input", source, "--output", tmp_path / "out")
        [written] = result.paths
        assert result.code == 0
        sounds.append(written.read_bytes())
    assert len(set(sounds)) == 1


def test_wrong_dims_are_refused_before_the_model_runs(
    latents: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unravel_lib.models import codec

    save_latents(latents / "c.npy", np.ones((16, 4)))
    calls = Mock()
    for place, name in ((codec, "check_fit"), (Model, "decode")):
        calls.attach_mock(spy(monkeypatch, place, name), name)
    result = run("decoder", "--input", latents, "--output", tmp_path / "out")
    assert (result.code, len(result.paths)) == (1, 2)
    assert (
        "c.npy has 16 dims, pocket.ts decodes 8: decode with the model, with which it was made (--model)" in result.err
    )
    assert [name for name, *_ in calls.mock_calls] == ["check_fit"] * 3 + ["decode"] * 2


def test_latent_audio_decodes_like_its_latents(latents: Path, tmp_path: Path, run: Run) -> None:
    values = np.load(latents / "a.npy")[0]
    soundfile.write(tmp_path / "latent.wav", values.T, 21, subtype="DOUBLE", format="WAV")
    [from_wav] = run("decoder", "--input", tmp_path / "latent.wav", "--output", tmp_path / "out").paths
    [from_npy] = run("decoder", "--input", latents / "a.npy", "--output", tmp_path / "out").paths
    assert from_wav.read_bytes() == from_npy.read_bytes()


def test_in_a_folder_only_latent_audio_counts(latents: Path, tmp_path: Path, run: Run) -> None:
    soundfile.write(latents / "song.wav", np.zeros(4410), 44100)
    soundfile.write(latents / "latent.wav", np.zeros((5, 8)), 21, subtype="DOUBLE", format="WAV")
    result = run("decoder", "--input", latents, "--output", latents / "sound")
    assert (result.code, [path.name.split("--")[0] for path in result.paths]) == (0, ["a", "b", "latent"])
    again = run("decoder", "--input", latents, "--output", latents / "sound")  # its own output is no input
    assert again.paths == result.paths


def test_damaged_latent_audio_in_a_folder_is_named(latents: Path, tmp_path: Path, run: Run) -> None:
    """A file with a sidecar that cannot be read is an error; it is not taken for a recording and skipped."""
    for name in ("cut", "odd"):
        soundfile.write(latents / f"{name}.wav", np.zeros((5, 8)), 21, subtype="DOUBLE", format="WAV")
        write_sidecar(latents / f"{name}.wav", GeneratedSidecar(dims=8, frames=5, sample_rate=44100, compression=2048))
    (latents / "cut.wav").write_bytes((latents / "cut.wav").read_bytes()[:30])
    sidecar = latents / "odd.json"
    sidecar.write_text(sidecar.read_text().replace('"format_version": 2', '"format_version": 3'))
    result = run("decoder", "--input", latents, "--output", tmp_path / "out")
    assert (result.code, len(result.paths)) == (1, 2)
    assert "2 of 4 inputs failed" in result.err
    assert "cut.wav" in result.err and "odd.json has format version 3" in result.err


def test_sound_is_not_mistaken_for_latents(tmp_path: Path, run: Run) -> None:
    soundfile.write(tmp_path / "song.flac", np.zeros(100), 44100)
    result = run("decoder", "--input", tmp_path / "song.flac", "--output", tmp_path / "out")
    assert result.code == 2
    assert "song.flac is no .npy and no latent audio .wav: encode sound with encoder.py" in result.err


def test_a_model_of_another_name_is_mentioned(latents: Path, tmp_path: Path, run: Run) -> None:
    write_sidecar(latents / "a.npy", Sidecar(model="voice.ts", model_sha256="0" * 64))
    result = run("decoder", "--input", latents / "a.npy", "--output", tmp_path / "out")
    assert result.code == 0
    assert "a.npy was made with voice.ts, not with pocket.ts" in result.err


def test_a_warning_of_clipping_names_the_flag_that_keeps_the_peak(
    latents: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Model.decode
    monkeypatch.setattr(Model, "decode", lambda *a: (4 * block / np.abs(block).max() for block in plain(*a)))
    flags = ("--input", latents / "a.npy", "--output", tmp_path / "out")
    result = run("decoder", *flags)
    [clipped] = result.paths
    assert "was clipped: it peaks at 4.000, 12.0 dB beyond full scale: bring it to a loudness" in result.err
    assert np.abs(soundfile.read(clipped)[0]).max() == pytest.approx(1, abs=1e-6)
    result = run("decoder", *flags, "--subtype", "FLOAT")
    [kept] = result.paths
    assert "clipped" not in result.err
    assert np.abs(soundfile.read(kept)[0]).max() == pytest.approx(4)


def test_skip_existing(latents: Path, tmp_path: Path, run: Run) -> None:
    flags = ("--input", latents, "--output", tmp_path / "out", "--skip_existing")
    assert len(run("decoder", *flags).paths) == 2
    assert run("decoder", *flags).paths == []
    assert len(run("decoder", *flags, "--subtype", "FLOAT").paths) == 2


def test_two_models_do_not_share_a_result(tmp_path: Path, run: Run) -> None:
    """Latents decoded with a second model do not replace the result of the first."""
    first = codecs.save(codecs.Offline(), tmp_path / "voice.ts")
    second = codecs.save(codecs.Streaming(), tmp_path / "drums.ts")
    save_latents(tmp_path / "piece.npy", np.zeros((codecs.DIMS, 3)))
    flags = ("--input", tmp_path / "piece.npy", "--output", tmp_path / "out")
    [written] = run("decoder", *flags, "--model", first).paths
    before = written.read_bytes()
    result = run("decoder", *flags, "--model", second)
    assert (result.code, result.paths, written.read_bytes()) == (2, [], before)
    assert (
        f"error: {written} was made with voice.ts, not with drums.ts: choose another folder, or replace it "
        "(--output, --overwrite)"
    ) in result.err
    again = run("decoder", *flags, "--model", second, "--overwrite")
    assert (again.code, again.paths) == (0, [written])
    assert json.loads(written.with_suffix(".json").read_text())["model"] == "drums.ts"


def test_the_summary_says_an_equal_reason_once(tmp_path: Path, run: Run) -> None:
    voice, drums = (codecs.save(codecs.Offline(), tmp_path / name) for name in ("voice.ts", "drums.ts"))
    for index in range(5):
        save_latents(tmp_path / "in" / f"{index}.npy", np.ones((codecs.DIMS, 1 + index)))
    flags = ("--input", tmp_path / "in", "--output", tmp_path / "out")
    first, *_ = run("decoder", *flags, "--model", voice).paths
    for name in ("x", "y"):
        save_latents(tmp_path / "in" / f"{name}.npy", np.ones((16, 4)))
    result = run("decoder", *flags, "--model", drums)
    assert result.code == 2 and len(result.errors) == 7 + 1  # each at once, and how many
    dims, other = [line for line in result.err.splitlines() if line.startswith("error:   ")]
    assert "x.npy has 16 dims, drums.ts decodes 4: " in dims and dims.endswith(" (and 1 more for the same reason)")
    assert f"{first} was made with voice.ts, not with drums.ts: " in other
    assert other.endswith("(--output, --overwrite) (and 4 more for the same reason)")


def test_a_changed_input_is_decoded_again_and_another_of_the_same_name_is_refused(
    latents: Path, tmp_path: Path, run: Run
) -> None:
    flags = ("--output", tmp_path / "out")
    [written] = run("decoder", "--input", latents / "a.npy", *flags).paths
    save_latents(latents / "a.npy", np.ones((8, 2)))
    again = run("decoder", "--input", latents / "a.npy", *flags)
    assert (again.code, again.paths) == (0, [written])
    before = written.read_bytes()
    (tmp_path / "more").mkdir()
    save_latents(tmp_path / "more" / "a.npy", np.zeros((8, 2)))
    result = run("decoder", "--input", tmp_path / "more" / "a.npy", *flags)
    assert (result.code, result.paths, written.read_bytes()) == (2, [], before)
    assert f"{written} was made from {latents}/a.npy, not from {tmp_path}/more/a.npy: choose another" in result.err


def test_latents_that_are_cut_while_they_are_decoded(
    latents: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a memory-mapped file that has shrunk would end the process."""
    expected = run("decoder", "--input", latents / "a.npy", "--output", tmp_path / "one").paths[0].read_bytes()
    plain = Model.decode

    def cut_first(*args: object) -> object:
        (latents / "a.npy").write_bytes(b"")
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "decode", cut_first)
    result = run("decoder", "--input", latents / "a.npy", "--output", tmp_path / "two")
    [written] = result.paths
    assert (result.code, written.read_bytes()) == (0, expected)


@pytest.fixture
def generated(latents: Path) -> Path:
    """Latents that by their sidecar generator.py made, with the values of a.npy."""
    path = latents.parent / "generated.npy"
    save_latents(path, np.load(latents / "a.npy")[0], GeneratedSidecar())
    return path


def decoded(run: Run, source: Path, output: Path, *flags: object) -> tuple[np.ndarray, dict[str, Any]]:
    """Decode one file; returns the samples and the sidecar."""
    [written] = run("decoder", "--input", source, "--output", output, "--subtype", "FLOAT", *flags).paths
    return soundfile.read(written, dtype="float32")[0], json.loads(written.with_suffix(".json").read_text())


def test_runs_with_equal_names_become_sounds_of_one_folder_by_whatever_way_they_are_named(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index, folder in enumerate(("rev", "euclid")):
        values = np.full((8, 1 + index), 0.1)
        save_latents(tmp_path / "T" / folder / "x.npy", values, GeneratedSidecar())
    output = ("--output", tmp_path / "out")
    one_by_one = [run("decoder", "--input", tmp_path / "T" / name, *output).paths for name in ("euclid", "rev")]
    both = run("decoder", "--input", tmp_path / "T", *output).paths
    assert [[path] for path in both] == one_by_one and len(set(both)) == 2
    monkeypatch.chdir(tmp_path / "T" / "rev")
    for given in ("x.npy", ".", tmp_path / "T" / "rev" / "x.npy"):
        assert run("decoder", "--input", given, *output).paths == both[1:]
    shards = [
        run("decoder", "--input", given, "--output", tmp_path / "2", "--shard", f"{index}/2").paths
        for index in (1, 2)
        for given in (".", "../euclid")
    ]
    assert sorted(path.name for paths in shards for path in paths) == sorted(path.name for path in both)


def test_generated_sound_is_faded_and_recorded_sound_is_exact(
    latents: Path, generated: Path, tmp_path: Path, run: Run
) -> None:
    plain, facts = decoded(run, latents / "a.npy", tmp_path / "1")
    assert facts["options"]["fade_ms"] == 0
    model = load()
    np.testing.assert_array_equal(plain, unravel_lib.decode(model, latents / "a.npy")[0])
    faded, facts = decoded(run, generated, tmp_path / "2")
    assert facts["options"]["fade_ms"] == 5
    n = round(0.005 * 44100)
    np.testing.assert_array_equal(faded[n:-n], plain[n:-n])
    assert abs(faded[0]) < 1e-3 * abs(plain[0]) and abs(faded[-1]) < 1e-3 * abs(plain[-1])
    none, facts = decoded(run, generated, tmp_path / "3", "--fade", 0)
    np.testing.assert_array_equal(none, plain)
    assert facts["options"]["fade_ms"] == 0
    longer, _ = decoded(run, latents / "a.npy", tmp_path / "4", "--fade", 100)
    assert (longer[n : 4 * n] != plain[n : 4 * n]).mean() > 0.9


def test_what_the_latents_say_of_themselves_is_kept_and_does_not_count_as_another_way_to_decode(
    generated: Path, tmp_path: Path, run: Run
) -> None:
    made = GeneratedSidecar(seed=3, pattern="fibo", command=("--seed", "3"))
    write_sidecar(generated, made)
    flags = ("--input", generated, "--output", tmp_path / "out", "--skip_existing")
    [written] = run("decoder", *flags).paths
    assert read_sidecar(written).latents == made  # type: ignore[union-attr]
    assert run("decoder", *flags).paths == []
    write_sidecar(generated, replace(made, command=("--seed", "3", "--beats", "2")))
    assert run("decoder", *flags).paths == []  # the same values


def test_normalized_sound_and_its_gain(latents: Path, tmp_path: Path, run: Run) -> None:
    plain, before = decoded(run, latents / "a.npy", tmp_path / "1")
    loud, facts = decoded(run, latents / "a.npy", tmp_path / "2", "--normalize", -30)
    assert before["gain_db"] is None and before["options"]["normalize"] is None
    assert facts["options"]["normalize"] == -30
    gain = 10 ** (facts["gain_db"] / 20)
    np.testing.assert_allclose(loud, gain * plain, rtol=2e-3)
    assert facts["loudness"] == pytest.approx(-30, abs=0.02)
    assert pyloudnorm.Meter(44100).integrated_loudness(loud.astype(float)) == pytest.approx(
        -30, abs=0.5
    )  # another choice of blocks
    assert facts["peak"] == pytest.approx(np.abs(loud).max(), rel=1e-4)


def test_what_would_clip_stays_quieter_and_is_reported(latents: Path, tmp_path: Path, run: Run) -> None:
    result = run("decoder", "--input", latents, "--output", tmp_path / "out", "--normalize", 0)
    levels = [json.loads(path.with_suffix(".json").read_text())["loudness"] for path in result.paths]
    reached = np.floor(10 * min(levels)) / 10
    reason = f"peaks stay 1 dB below full scale, and --max_gain is 20 dB (all reach --normalize {reached})"
    assert f"2 of 2 sounds could not reach 0 LUFS: {reason}" in result.err
    for path in result.paths:
        assert np.abs(soundfile.read(path)[0]).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    again = run("decoder", "--input", latents, "--output", tmp_path / "out", "--normalize", reached)
    assert "could not reach" not in again.err


def test_what_max_gain_keeps_quieter_is_reported(latents: Path, tmp_path: Path, run: Run) -> None:
    result = run("decoder", "--input", latents, "--output", tmp_path, "--normalize", -1, "--max_gain", 0)
    levels = [json.loads(path.with_suffix(".json").read_text())["loudness"] for path in result.paths]
    reached = np.floor(10 * min(levels)) / 10
    reason = f"peaks stay 1 dB below full scale, and --max_gain is 0 dB (all reach --normalize {reached})"
    assert f"2 of 2 sounds could not reach -1 LUFS: {reason}" in result.err


def test_a_loop_is_not_faded(latents: Path, tmp_path: Path, run: Run) -> None:
    result = run("decoder", "--input", latents, "--output", tmp_path, "--loop", "--fade", 10)
    assert (result.code, result.paths) == (2, [])
    assert result.errors == ["error: --fade would fade the ends of the loop: leave it out (--loop)"]


def test_the_table_lists_sounds_of_this_run_and_finished_ones(latents: Path, tmp_path: Path, run: Run) -> None:
    flags = ("--output", tmp_path / "out", "--skip_existing", "--input")
    [first] = run("decoder", *flags, latents / "a.npy").paths
    result = run("decoder", *flags, latents)
    [second] = result.paths
    head, *rows = [line.split() for line in result.err.splitlines() if line.startswith(" ")]
    assert head == ["length", "LUFS", "peak", "dBFS", "sound"]
    assert [row[-1] for row in rows] == [first.name, second.name]
    measured = json.loads(first.with_suffix(".json").read_text())
    assert rows[0][:4] == ["1.4", "s", f"{measured['loudness']:.1f}", f"{20 * np.log10(measured['peak']):.1f}"]


def test_other_levels_are_decoded_again(latents: Path, tmp_path: Path, run: Run) -> None:
    flags = ("--input", latents / "a.npy", "--output", tmp_path / "out", "--skip_existing")
    [written] = run("decoder", *flags).paths
    assert run("decoder", *flags, "--normalize", -20).paths == [written]
    assert run("decoder", *flags, "--normalize", -20).paths == []
    assert run("decoder", *flags).paths == [written]


def test_the_command_in_a_sidecar_makes_that_sound_again_in_any_folder(
    latents: Path, generated: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of latents in folders in folders, recorded and generated."""
    model = codecs.save(codecs.Conditioned(), tmp_path / "conditioned.ts")
    monkeypatch.chdir(tmp_path)
    for name, facts in (("x", None), ("y/x", None), ("z/x", GeneratedSidecar()), ("z/z/x", GeneratedSidecar())):
        save_latents(Path("in") / f"{name}.npy", np.full((codecs.DIMS, 3), 0.1), facts)
    flags = ("--normalize", -20, "--fade", 2.5, "--subtype", "FLOAT", "--condition", "pitch=3", "octave=-0.5")
    written = run("decoder", "--input", "in", "--output", "out", "--model", model.name, "--seed", 3, *flags).paths
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert len(written) == 4
    Path("out").rename("before")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in written:
        command = json.loads((tmp_path / "before" / path.name).with_suffix(".json").read_text())["options"]["command"]
        again = run("decoder", *command)
        assert (again.code, again.paths) == (0, [tmp_path / path])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
