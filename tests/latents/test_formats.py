"""What latents are written as: bytes on disk."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unravel_lib.errors import InputError, UsageError
from unravel_lib.latents import latent_audio
from unravel_lib.latents.latent_audio import LatentAudio
from unravel_lib.latents.npy import Npy, load_latents

BEYOND = np.array([[-3.5, 1e-9], [7.25, -1.0], [0.1, 2.0]])  # values beyond +-1 are the point


def chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a RIFF WAVE, whose sizes must add up to the file."""
    assert data[:4] == b"RIFF" and data[8:12] == b"WAVE" and struct.unpack("<I", data[4:8])[0] == len(data) - 8
    found, at = {}, 12
    while at < len(data):
        name, size = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
        found[name] = data[at + 8 : at + 8 + size]
        at += 8 + size
    assert at == len(data)
    return found


@pytest.mark.parametrize("subtype", ["DOUBLE", "FLOAT"])
@pytest.mark.parametrize("dims", [1, 2, 3, 8, 64, 65, 128])
def test_header_is_plain_and_values_are_untouched(tmp_path: Path, dims: int, subtype: latent_audio.Subtype) -> None:
    """Format tag 3 and never 0xFFFE, whatever the number of channels; libsndfile reads back what went in."""
    values = np.random.default_rng(dims).normal(0, 5, (7, dims))
    path = tmp_path / "x.wav"
    form = LatentAudio(dims, 21, 1, subtype)
    form.write(path, values)
    found = chunks(path.read_bytes())
    width = 8 if subtype == "DOUBLE" else 4
    assert list(found) == [b"fmt ", b"fact", b"data"]
    assert struct.unpack("<HHIIHH", found[b"fmt "]) == (3, dims, 21, 21 * dims * width, dims * width, 8 * width)
    assert struct.unpack("<I", found[b"fact"]) == (7,)
    assert path.stat().st_size == form.n_bytes(7)
    expected = values if subtype == "DOUBLE" else values.astype(np.float32)
    read, rate = soundfile.read(path, dtype="float64", always_2d=True)
    assert rate == 21 and np.array_equal(read, expected)
    assert soundfile.info(path).subtype == subtype and soundfile.info(path).format == "WAV"
    back = latent_audio.load_latent_audio(path)
    assert back.shape == (dims, 7) and back.dtype == expected.dtype and np.array_equal(back.T, expected)


FORMATS = [Npy(2), LatentAudio(2, 21, 1), LatentAudio(2, 21, 3, hold=True)]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_leave_no_file(tmp_path: Path, form: Npy | LatentAudio, bad: float) -> None:
    with pytest.raises(UsageError, match="not finite"):
        form.write(tmp_path / "x", np.array([[0.0, bad]]))
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_32_bits(tmp_path: Path) -> None:
    huge = np.array([[1e39, 0.0]])
    LatentAudio(2, 21, 1, "DOUBLE").write(tmp_path / "x.wav", huge)
    with pytest.raises(UsageError, match="too large for 32 bits"):
        LatentAudio(2, 21, 1, "FLOAT").write(tmp_path / "y.wav", huge)
    with pytest.raises(UsageError, match="too large for 32 bits"):
        Npy(2).write(tmp_path / "y.npy", huge)
    with pytest.raises(InputError, match="expected finite values"):  # decoders work in float32
        latent_audio.load_latent_audio(tmp_path / "x.wav")


def test_four_gigabytes_are_the_end(tmp_path: Path) -> None:
    """The largest WAV there can be fills RIFF's size field to the last whole frame, and one frame more is refused."""
    most = (2**32 - 1 - (latent_audio.HEADER_BYTES - 8)) // (16 * 8)
    header = latent_audio.wav_header(most, 16, 21, "DOUBLE")
    assert struct.unpack("<I", header[4:8])[0] <= 2**32 - 1
    assert LatentAudio(16, 44100, 2048).max_frames == most
    with pytest.raises(UsageError, match="4 GiB"):
        LatentAudio(16, 44100, 2048, hold=True).write(tmp_path / "x.wav", np.zeros((most // 2048 + 1, 16)))


def test_both_forms_hold_the_same_latents(tmp_path: Path) -> None:
    """What decodes from latent audio is what decodes from the latents file: equal as float32."""
    values = np.random.default_rng(0).normal(0, 3, (50, 4))
    LatentAudio(4, 21, 1).write(tmp_path / "x.wav", values)
    Npy(4).write(tmp_path / "x.npy", values)
    from_wav = latent_audio.load_latent_audio(tmp_path / "x.wav").astype(np.float32)
    assert np.array_equal(from_wav, load_latents(tmp_path / "x.npy"))


def test_header_of_the_npy_is_what_numpy_writes(tmp_path: Path) -> None:
    Npy(2).write(tmp_path / "x.npy", BEYOND)
    np.save(tmp_path / "y.npy", BEYOND.T.astype(np.float32)[np.newaxis])
    plain = np.load(tmp_path / "y.npy")
    np.save(tmp_path / "y.npy", np.ascontiguousarray(plain))
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
    assert (tmp_path / "x.npy").stat().st_size == Npy(2).n_bytes(3)


@pytest.mark.parametrize("subtype", ["DOUBLE", "FLOAT"])
def test_frames_are_held_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtype: latent_audio.Subtype
) -> None:
    monkeypatch.setattr(latent_audio, "BLOCK_VALUES", 50)
    values = np.arange(303.0).reshape(101, 3)
    LatentAudio(3, 9, 5, subtype, hold=True).write(tmp_path / "x.wav", values)
    assert np.array_equal(soundfile.read(tmp_path / "x.wav")[0], np.repeat(values, 5, axis=0))
