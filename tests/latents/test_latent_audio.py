"""Latent audio: its header, and how it is read back."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import GeneratedSidecar, write_sidecar
from unravel_lib.latents import latent_audio
from unravel_lib.latents.latent_audio import LatentAudio

BEYOND = np.array([[-3.5, 1e-9], [7.25, -1.0], [0.1, 2.0]])  # values beyond +-1 are the point


def test_header_golden() -> None:
    """Every byte of the header of 2 frames x 3 dims at 21 Hz; nothing in it depends on the day."""
    assert latent_audio.wav_header(2, 3, 21, "FLOAT").hex(" ", 4) == (
        "52494646 48000000 57415645 666d7420 10000000 03000300 15000000 fc000000 0c002000 66616374 04000000 02000000 "
        "64617461 18000000"
    )


@pytest.mark.parametrize(
    ("sample_rate", "compression", "rate"),
    [(44100, 2048, 21), (48000, 2048, 23), (44100, 1024, 43), (48000, 512, 93), (44100, 441, 100), (1000, 2048, 1)],
)
def test_frame_rate(sample_rate: float, compression: int, rate: int) -> None:
    assert latent_audio.frame_rate(sample_rate, compression) == rate


def held(folder: Path, options: dict[str, object] | None, rate: int = 44100, compression: int = 4) -> Path:
    path = folder / "held.wav"
    LatentAudio(2, rate, compression, hold=True).write(path, BEYOND)
    if options is not None:
        write_sidecar(path, GeneratedSidecar(compression=compression, **options))
    return path


def test_hold_is_undone_by_the_sidecar(tmp_path: Path) -> None:
    path = held(tmp_path, {"hold": True})
    assert soundfile.info(path).frames == 12
    assert np.array_equal(latent_audio.load_latent_audio(path), BEYOND.T)
    assert np.array_equal(latent_audio.load_latent_audio(path, 2), BEYOND.T)  # the sidecar knows better


def test_hold_without_a_sidecar(tmp_path: Path) -> None:
    path = held(tmp_path, None)
    with pytest.raises(InputError, match=r"put its \.json beside it"):
        latent_audio.load_latent_audio(path)
    assert np.array_equal(latent_audio.load_latent_audio(path, 4), BEYOND.T)
    with pytest.raises(InputError, match="expected a multiple of 5"):
        latent_audio.load_latent_audio(path, 5)


def test_what_is_not_held_is_left_as_it_is(tmp_path: Path) -> None:
    assert latent_audio.load_latent_audio(held(tmp_path, {"hold": False})).shape == (2, 12)
    assert latent_audio.load_latent_audio(held(tmp_path, None, rate=21), 4).shape == (2, 12)


def test_holding_and_undoing_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_audio, "BLOCK_VALUES", 50)
    values = np.random.default_rng(1).normal(size=(37, 3))
    LatentAudio(3, 48000, 8, hold=True).write(tmp_path / "x.wav", values)
    assert np.array_equal(latent_audio.load_latent_audio(tmp_path / "x.wav", 8), values.T)


def broken(folder: Path, kind: str) -> Path:
    path = folder / "x.wav"
    good = latent_audio.wav_header(3, 2, 21, "DOUBLE") + BEYOND.tobytes()
    if kind == "missing":
        return path
    if kind == "pcm":
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(b"\0" * 20)
    elif kind == "flac":
        soundfile.write(path, np.zeros(9), 8000, format="FLAC")
    elif kind == "aiff":
        soundfile.write(path, np.zeros(9), 21, format="AIFF", subtype="FLOAT")
    else:
        path.write_bytes(
            {
                "empty": b"",
                "text": b"no sound at all",
                "cut": good[:-9],
                "head": good[:30],
                "none": latent_audio.wav_header(0, 2, 21, "DOUBLE"),
                "nan": good[:-8] + struct.pack("<d", np.nan),
            }[kind]
        )
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "cannot be read: No such file"),
        ("pcm", "PCM_16, expected a WAV of floats"),
        ("flac", "is FLAC"),
        ("aiff", "is AIFF FLOAT"),
        ("empty", "0 bytes"),
        ("text", "cannot be read as a WAV"),
        ("cut", "is cut short"),
        ("head", "is cut short"),
        ("none", "at least one frame"),
        ("nan", "nan at dim 1, frame 2"),
    ],
)
def test_broken_latent_audio_is_named(tmp_path: Path, kind: str, message: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(InputError, match=message) as caught:
        latent_audio.load_latent_audio(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_peoples_float_wavs_are_read(tmp_path: Path) -> None:
    """With PEAK chunk or as WAVEX, as libsndfile and DAWs write them."""
    for form in ("WAV", "WAVEX"):
        soundfile.write(tmp_path / "x.wav", BEYOND, 21, format=form, subtype="DOUBLE")
        assert np.array_equal(latent_audio.load_latent_audio(tmp_path / "x.wav"), BEYOND.T)


@pytest.mark.parametrize("hold", [1, 4])
def test_latent_audio_that_is_cut_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: int) -> None:
    path = tmp_path / "x.wav"
    LatentAudio(2, 21, hold, hold=True).write(path, np.ones((50_000, 2)))

    def then_cut(*args: object) -> int:
        with open(path, "r+b") as file:
            file.truncate(100_000)
        return hold

    monkeypatch.setattr(latent_audio, "_hold_of", then_cut)
    with pytest.raises(InputError) as error:
        latent_audio.load_latent_audio(path)
    assert (error.value.path, error.value.remedy) == (path, "run this again")
