"""decoder.py as a user runs it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

import decoder
from unravel_lib.cli import run
from unravel_lib.latents.npy import save_latents


def decode(capfdbinary: pytest.CaptureFixture[bytes], *args: object) -> tuple[int, list[Path], str]:
    """(exit code, files named on stdout, stderr)."""
    with pytest.raises(SystemExit) as left:
        run.run(decoder.main, [str(a) for a in args])
    out, err = capfdbinary.readouterr()
    return left.value.code, [Path(os.fsdecode(line)) for line in out.splitlines()], err.decode()  # type: ignore[return-value]


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    """A folder of two latents files that fit the pocket model."""
    folder = tmp_path / "latents"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, frames in (("a", 30), ("b", 1)):
        save_latents(folder / f"{name}.npy", rng.standard_normal((8, frames)))
    return folder


def test_latents_become_sound(latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    code, written, _ = decode(capfdbinary, "--input", latents, "--output", tmp_path / "out")
    assert code == 0
    assert [path.name.split("--")[:2] for path in written] == [["decoded", "a"], ["decoded", "b"]]
    for path, frames in zip(written, (30, 1), strict=True):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (44100, 1, frames * 2048, "PCM_24")
        sound = soundfile.read(path)[0]
        assert 0.001 < np.abs(sound).max() < 1
        assert json.loads(path.with_suffix(".json").read_text())["frames"] == frames


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_subtypes(latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], subtype: str) -> None:
    _, (written,), _ = decode(capfdbinary, "--input", latents / "a.npy", "--output", tmp_path, "--subtype", subtype)
    assert soundfile.info(written).subtype == subtype


def test_same_seed_same_bytes_whatever_the_file_is_like(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """(dims, frames), big-endian and float64 hold the same latents: they sound the same."""
    values = np.load(latents / "a.npy")
    np.save(tmp_path / "plain.npy", values[0])
    np.save(tmp_path / "wide.npy", values.astype(">f8"))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(values))
    sounds = []
    for source in (latents / "a.npy", tmp_path / "plain.npy", tmp_path / "wide.npy", tmp_path / "fortran.npy"):
        code, (written,), _ = decode(capfdbinary, "--input", source, "--output", tmp_path / "out")
        assert code == 0
        sounds.append(written.read_bytes())
    assert len(set(sounds)) == 1


def test_wrong_dims_are_refused_before_the_model_runs(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unravel_lib.models import codec
    from unravel_lib.models.model import Model

    save_latents(latents / "c.npy", np.ones((16, 4)))
    order = []
    plain_check, plain_decode = codec.check_fit, Model.decode
    monkeypatch.setattr(codec, "check_fit", lambda m, s: (order.append("check"), plain_check(m, s))[1])
    monkeypatch.setattr(Model, "decode", lambda *a: (order.append("decode"), plain_decode(*a))[1])
    code, written, err = decode(capfdbinary, "--input", latents, "--output", tmp_path / "out")
    assert (code, len(written)) == (1, 2)
    assert "c.npy has 16 dims, pocket.ts decodes 8: decode with the model it was encoded with" in err
    assert order == ["check"] * 3 + ["decode"] * 2


def test_latent_audio_decodes_like_its_latents(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    values = np.load(latents / "a.npy")[0]
    soundfile.write(tmp_path / "latent.wav", values.T, 21, subtype="DOUBLE", format="WAV")
    _, (from_wav,), _ = decode(capfdbinary, "--input", tmp_path / "latent.wav", "--output", tmp_path / "out")
    _, (from_npy,), _ = decode(capfdbinary, "--input", latents / "a.npy", "--output", tmp_path / "out")
    assert from_wav.read_bytes() == from_npy.read_bytes()


def test_in_a_folder_only_latent_audio_counts(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    soundfile.write(latents / "song.wav", np.zeros(4410), 44100)
    soundfile.write(latents / "latent.wav", np.zeros((5, 8)), 21, subtype="DOUBLE", format="WAV")
    code, written, _ = decode(capfdbinary, "--input", latents, "--output", latents / "sound")
    assert (code, [path.name.split("--")[1] for path in written]) == (0, ["a", "b", "latent"])
    again = decode(capfdbinary, "--input", latents, "--output", latents / "sound")  # its own output is no input
    assert [path.name for path in again[1]] == [path.name for path in written]


def test_damaged_latent_audio_in_a_folder_is_named(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Not being able to look into a file of ours is no reason to take it for a song and say nothing."""
    from unravel_lib.files.sidecar import Sidecar, write_sidecar

    for name in ("cut", "odd"):
        soundfile.write(latents / f"{name}.wav", np.zeros((5, 8)), 21, subtype="DOUBLE", format="WAV")
        write_sidecar(latents / f"{name}.wav", Sidecar(dims=8, frames=5, sample_rate=44100, compression=2048))
    (latents / "cut.wav").write_bytes((latents / "cut.wav").read_bytes()[:30])
    sidecar = latents / "odd.json"
    sidecar.write_text(sidecar.read_text().replace('"format_version": 1', '"format_version": 2'))
    code, written, err = decode(capfdbinary, "--input", latents, "--output", tmp_path / "out")
    assert (code, len(written)) == (1, 2)
    assert "2 of 4 inputs failed" in err and "cut.wav" in err and "odd.json has format version 2" in err


def test_sound_is_not_mistaken_for_latents(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    soundfile.write(tmp_path / "song.flac", np.zeros(100), 44100)
    code, _, err = decode(capfdbinary, "--input", tmp_path / "song.flac", "--output", tmp_path / "out")
    assert code == 2
    assert "song.flac is no .npy and no latent audio .wav: encode sound with encoder.py" in err


def test_a_model_of_another_name_is_mentioned(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from unravel_lib.files.sidecar import Sidecar, write_sidecar

    write_sidecar(latents / "a.npy", Sidecar(model="voice.ts", model_sha256="0" * 64))
    code, _, err = decode(capfdbinary, "--input", latents / "a.npy", "--output", tmp_path / "out")
    assert code == 0
    assert "a.npy was made with voice.ts, not with pocket.ts" in err


def test_clipping_is_told_with_the_flag_that_keeps_the_peak(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unravel_lib.models.model import Model

    plain = Model.decode
    monkeypatch.setattr(Model, "decode", lambda *a: (4 * block / np.abs(block).max() for block in plain(*a)))
    flags = ("--input", latents / "a.npy", "--output", tmp_path / "out")
    _, (clipped,), err = decode(capfdbinary, *flags)
    assert "was clipped: it peaks at 4.000, 12.0 dB beyond full scale (--subtype FLOAT keeps it)" in err
    assert np.abs(soundfile.read(clipped)[0]).max() == pytest.approx(1, abs=1e-6)
    _, (kept,), err = decode(capfdbinary, *flags, "--subtype", "FLOAT")
    assert "clipped" not in err
    assert np.abs(soundfile.read(kept)[0]).max() == pytest.approx(4)


def test_skip_existing(latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    flags = ("--input", latents, "--output", tmp_path / "out", "--skip_existing")
    assert len(decode(capfdbinary, *flags)[1]) == 2
    assert decode(capfdbinary, *flags)[1] == []
    assert len(decode(capfdbinary, *flags, "--subtype", "FLOAT")[1]) == 2


def test_two_models_do_not_share_a_result(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """To compare what two models make of a piece, one decodes it twice; the first result is not replaced."""
    import fixtures_codecs as codecs

    first = codecs.save(codecs.Offline(), tmp_path / "voice.ts")
    second = codecs.save(codecs.Streaming(), tmp_path / "drums.ts")
    save_latents(tmp_path / "piece.npy", np.zeros((codecs.DIMS, 3)))
    flags = ("--input", tmp_path / "piece.npy", "--output", tmp_path / "out")
    _, (written,), _ = decode(capfdbinary, *flags, "--model", first)
    before = written.read_bytes()
    code, none, err = decode(capfdbinary, *flags, "--model", second)
    assert (code, none, written.read_bytes()) == (2, [], before)
    assert f"error: {written} was made with voice.ts, not with drums.ts: choose another --output, or add" in err
    assert decode(capfdbinary, *flags, "--model", second, "--overwrite")[:2] == (0, [written])
    assert json.loads(written.with_suffix(".json").read_text())["model"] == "drums.ts"


def test_a_piece_that_was_made_anew_is_decoded_anew_and_another_of_the_same_name_is_refused(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    flags = ("--output", tmp_path / "out")
    _, (written,), _ = decode(capfdbinary, "--input", latents / "a.npy", *flags)
    save_latents(latents / "a.npy", np.ones((8, 2)))
    assert decode(capfdbinary, "--input", latents / "a.npy", *flags)[:2] == (0, [written])
    before = written.read_bytes()
    (tmp_path / "more").mkdir()
    save_latents(tmp_path / "more" / "a.npy", np.zeros((8, 2)))
    code, none, err = decode(capfdbinary, "--input", tmp_path / "more" / "a.npy", *flags)
    assert (code, none, written.read_bytes()) == (2, [], before)
    assert f"{written} was made from {latents}/a.npy, not from {tmp_path}/more/a.npy: choose another" in err


def test_latents_that_are_cut_while_they_are_decoded(
    latents: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a mapped file that shrinks, the next look at it ends the process."""
    from unravel_lib.models.model import Model

    expected = decode(capfdbinary, "--input", latents / "a.npy", "--output", tmp_path / "one")[1][0].read_bytes()
    plain = Model.decode

    def cut_first(*args: object) -> object:
        (latents / "a.npy").write_bytes(b"")
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "decode", cut_first)
    code, (written,), _ = decode(capfdbinary, "--input", latents / "a.npy", "--output", tmp_path / "two")
    assert (code, written.read_bytes()) == (0, expected)
