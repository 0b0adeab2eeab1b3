"""Latent audio and latents files as formats: bytes on disk, and how they are read back."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.sidecar import GeneratedSidecar, write_sidecar
from unravel_lib.latents import formats
from unravel_lib.latents.formats import LatentAudio, Npy, load_latents

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
def test_header_is_plain_and_values_are_untouched(tmp_path: Path, dims: int, subtype: formats.Subtype) -> None:
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
    back = formats.load_latent_audio(path)
    assert back.shape == (dims, 7) and back.dtype == expected.dtype and np.array_equal(back.T, expected)


FORMATS = [Npy(2), LatentAudio(2, 21, 1), LatentAudio(2, 21, 3, hold=True)]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_leave_no_file(tmp_path: Path, form: Npy | LatentAudio, bad: float) -> None:
    with pytest.raises(UsageError, match="not finite"):
        form.write(tmp_path / f"x{form.suffix}", np.array([[0.0, bad]]))
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_32_bits(tmp_path: Path) -> None:
    huge = np.array([[1e39, 0.0]])
    LatentAudio(2, 21, 1, "DOUBLE").write(tmp_path / "x.wav", huge)
    with pytest.raises(UsageError, match="too large for 32 bits"):
        LatentAudio(2, 21, 1, "FLOAT").write(tmp_path / "y.wav", huge)
    with pytest.raises(UsageError, match="too large for 32 bits"):
        Npy(2).write(tmp_path / "y.npy", huge)
    with pytest.raises(InputError, match="expected finite values"):  # decoders work in float32
        formats.load_latent_audio(tmp_path / "x.wav")


def test_four_gigabytes_are_the_end(tmp_path: Path) -> None:
    """The largest WAV there can be fills RIFF's size field to the last whole frame, and one frame more is refused."""
    most = (2**32 - 1 - (formats.WAV_HEADER_BYTES - 8)) // (16 * 8)
    header = formats.wav_header(most, 16, 21, "DOUBLE")
    assert struct.unpack("<I", header[4:8])[0] <= 2**32 - 1
    assert LatentAudio(16, 44100, 2048).n_bytes(most) == len(header) + most * 16 * 8
    with pytest.raises(UsageError, match="4 GiB"):
        LatentAudio(16, 44100, 2048).n_bytes(most + 1)
    with pytest.raises(UsageError, match="4 GiB"):
        LatentAudio(16, 44100, 2048, hold=True).write(tmp_path / "x.wav", np.zeros((most // 2048 + 1, 16)))


def test_both_forms_hold_the_same_latents(tmp_path: Path) -> None:
    """What decodes from latent audio is what decodes from the latents file: equal as float32."""
    values = np.random.default_rng(0).normal(0, 3, (50, 4))
    LatentAudio(4, 21, 1).write(tmp_path / "x.wav", values)
    Npy(4).write(tmp_path / "x.npy", values)
    assert (tmp_path / "x.npy").stat().st_size == Npy(4).n_bytes(50)
    from_wav = formats.load_latent_audio(tmp_path / "x.wav").astype(np.float32)
    assert np.array_equal(from_wav, load_latents(tmp_path / "x.npy"))


@pytest.mark.parametrize("subtype", ["DOUBLE", "FLOAT"])
def test_frames_are_held_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtype: formats.Subtype
) -> None:
    monkeypatch.setattr(formats, "HELD_VALUES", 50)
    values = np.arange(303.0).reshape(101, 3)
    LatentAudio(3, 9, 5, subtype, hold=True).write(tmp_path / "x.wav", values)
    assert np.array_equal(soundfile.read(tmp_path / "x.wav")[0], np.repeat(values, 5, axis=0))


def test_header_golden() -> None:
    """Every byte of the header of 2 frames x 3 dims at 21 Hz; nothing in it depends on the day."""
    assert formats.wav_header(2, 3, 21, "FLOAT").hex(" ", 4) == (
        "52494646 48000000 57415645 666d7420 10000000 03000300 15000000 fc000000 0c002000 66616374 04000000 02000000 "
        "64617461 18000000"
    )


@pytest.mark.parametrize(
    ("sample_rate", "compression", "rate"),
    [(44100, 2048, 21), (48000, 2048, 23), (44100, 1024, 43), (48000, 512, 93), (44100, 441, 100), (1000, 2048, 1)],
)
def test_frame_rate(sample_rate: float, compression: int, rate: int) -> None:
    assert LatentAudio(1, sample_rate, compression).rate == rate


def held(folder: Path, options: dict[str, object] | None, rate: int = 44100, compression: int = 4) -> Path:
    path = folder / "held.wav"
    LatentAudio(2, rate, compression, hold=True).write(path, BEYOND)
    if options is not None:
        write_sidecar(path, GeneratedSidecar(compression=compression, **options))
    return path


def test_hold_is_undone_by_the_sidecar(tmp_path: Path) -> None:
    path = held(tmp_path, {"hold": True})
    assert soundfile.info(path).frames == 12
    assert np.array_equal(formats.load_latent_audio(path), BEYOND.T)
    assert np.array_equal(formats.load_latent_audio(path, 2), BEYOND.T)  # the sidecar knows better


def test_hold_without_a_sidecar(tmp_path: Path) -> None:
    path = held(tmp_path, None)
    with pytest.raises(InputError, match=r"put its \.json beside it"):
        formats.load_latent_audio(path)
    assert np.array_equal(formats.load_latent_audio(path, 4), BEYOND.T)
    with pytest.raises(InputError, match="expected a multiple of 5"):
        formats.load_latent_audio(path, 5)


def test_what_is_not_held_is_left_as_it_is(tmp_path: Path) -> None:
    assert formats.load_latent_audio(held(tmp_path, {"hold": False})).shape == (2, 12)
    assert formats.load_latent_audio(held(tmp_path, None, rate=21), 4).shape == (2, 12)


def test_holding_and_undoing_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "HELD_VALUES", 50)
    values = np.random.default_rng(1).normal(size=(37, 3))
    LatentAudio(3, 48000, 8, hold=True).write(tmp_path / "x.wav", values)
    assert np.array_equal(formats.load_latent_audio(tmp_path / "x.wav", 8), values.T)


def broken(folder: Path, kind: str) -> Path:
    path = folder / "x.wav"
    good = formats.wav_header(3, 2, 21, "DOUBLE") + BEYOND.tobytes()
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
                "none": formats.wav_header(0, 2, 21, "DOUBLE"),
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
        ("empty", r"is empty \(0 bytes\)"),
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
        formats.load_latent_audio(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_peoples_float_wavs_are_read(tmp_path: Path) -> None:
    """With PEAK chunk or as WAVEX, as libsndfile and DAWs write them."""
    for form in ("WAV", "WAVEX"):
        soundfile.write(tmp_path / "x.wav", BEYOND, 21, format=form, subtype="DOUBLE")
        assert np.array_equal(formats.load_latent_audio(tmp_path / "x.wav"), BEYOND.T)


@pytest.mark.parametrize("hold", [1, 4])
def test_latent_audio_that_is_cut_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: int) -> None:
    path = tmp_path / "x.wav"
    LatentAudio(2, 21, hold, hold=True).write(path, np.ones((50_000, 2)))

    def then_cut(*args: object) -> int:
        with open(path, "r+b") as file:
            file.truncate(100_000)
        return hold

    monkeypatch.setattr(formats, "_hold_of", then_cut)
    with pytest.raises(InputError) as error:
        formats.load_latent_audio(path)
    assert (error.value.path, error.value.remedy) == (path, "run this again")
