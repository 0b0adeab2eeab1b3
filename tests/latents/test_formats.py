"""What latents are written as: bytes on disk, written loop by loop."""

import itertools
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from unravel_lib.errors import InputError, UsageError
from unravel_lib.latents import latent_audio
from unravel_lib.latents.blocks import Repeat
from unravel_lib.latents.formats import Format, HeldLatentAudio, LatentAudio, LatentsFile
from unravel_lib.latents.npy import load_latents

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
    form.write(path, [values[:3], values[3:]], 7)
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


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 7), st.booleans())
def test_pieces_make_the_same_file_as_one_array(
    tmp_path_factory: pytest.TempPathFactory, dims: int, lengths: list[int], hold: int, embeddings: bool
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    n = sum(lengths)
    if n == 0:
        return
    whole = np.random.default_rng(n).normal(size=(n, dims))
    edges = list(itertools.accumulate(lengths, initial=0))
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    if embeddings:
        LatentsFile(dims).write(folder / "x.npy", pieces, n)
        assert (folder / "x.npy").stat().st_size == LatentsFile(dims).n_bytes(n)
        stored = np.load(folder / "x.npy")
        assert stored.dtype == np.float32 and stored.shape == (1, dims, n) and stored.flags.c_contiguous
        assert np.array_equal(stored[0].T, whole.astype(np.float32))
        assert np.array_equal(load_latents(folder / "x.npy"), stored[0])
    else:
        HeldLatentAudio(dims, 44100, hold).write(folder / "x.wav", pieces, n)
        read, _ = soundfile.read(folder / "x.wav", always_2d=True)
        assert np.array_equal(read, np.repeat(whole, hold, axis=0))


def test_long_arrays_across_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that their seams fall everywhere; `watch` sees every frame once, in order."""
    monkeypatch.setattr("unravel_lib.latents.blocks.reblock.__defaults__", (12,))
    whole = np.arange(303.0).reshape(101, 3)
    seen: list[np.ndarray] = []
    LatentsFile(3).write(tmp_path / "x.npy", [Repeat(whole, 2)], 202, lambda block: seen.append(block.copy()))
    HeldLatentAudio(3, 9, 5, "FLOAT").write(tmp_path / "x.wav", [Repeat(whole, 2)], 202)
    twice = np.concatenate([whole, whole])
    assert len(seen) == 51 and np.array_equal(np.concatenate(seen), twice)
    assert np.array_equal(np.load(tmp_path / "x.npy")[0].T, twice)
    assert np.array_equal(soundfile.read(tmp_path / "x.wav")[0], np.repeat(twice, 5, axis=0))


FORMATS = [LatentsFile(2), LatentAudio(2, 21, 1), HeldLatentAudio(2, 21, 3)]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("announced", [2, 4])
def test_another_length_than_announced_leaves_no_file(tmp_path: Path, form: Format, announced: int) -> None:
    with pytest.raises(UsageError, match=r"did not make the .* frames again"):
        form.write(tmp_path / "x", [BEYOND], announced)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_leave_no_file(tmp_path: Path, form: Format, bad: float) -> None:
    with pytest.raises(UsageError, match="not finite"):
        form.write(tmp_path / "x", [np.array([[0.0, bad]])], 1)
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_32_bits(tmp_path: Path) -> None:
    huge = np.array([[1e39, 0.0]])
    LatentAudio(2, 21, 1, "DOUBLE").write(tmp_path / "x.wav", [huge], 1)
    with pytest.raises(UsageError, match="too large for 32 bits"):
        LatentAudio(2, 21, 1, "FLOAT").write(tmp_path / "y.wav", [huge], 1)
    with pytest.raises(UsageError, match="too large for 32 bits"):
        LatentsFile(2).write(tmp_path / "y.npy", [huge], 1)
    with pytest.raises(InputError, match="expected finite values"):  # decoders work in float32
        latent_audio.load_latent_audio(tmp_path / "x.wav")


def test_four_gigabytes_are_the_end(tmp_path: Path) -> None:
    """The largest WAV there can be fills RIFF's size field to the last whole frame, and one frame more is refused."""
    most = (2**32 - 1 - (latent_audio.HEADER_BYTES - 8)) // (16 * 8)
    header = latent_audio.wav_header(most, 16, 21, "DOUBLE")
    assert struct.unpack("<I", header[4:8])[0] <= 2**32 - 1
    assert LatentAudio(16, 44100, 2048).max_frames == most
    with pytest.raises(UsageError, match="4 GiB"):
        LatentAudio(16, 44100, 2048).write(tmp_path / "x.wav", iter(()), most + 1)
    with pytest.raises(UsageError, match="4 GiB"):
        HeldLatentAudio(16, 44100, 2048).write(tmp_path / "x.wav", iter(()), most // 2048 + 1)


def test_both_forms_hold_the_same_latents(tmp_path: Path) -> None:
    """What decodes from latent audio is what decodes from the latents file: equal as float32."""
    values = np.random.default_rng(0).normal(0, 3, (50, 4))
    LatentAudio(4, 21, 1).write(tmp_path / "x.wav", [values], 50)
    LatentsFile(4).write(tmp_path / "x.npy", [values], 50)
    from_wav = latent_audio.load_latent_audio(tmp_path / "x.wav").astype(np.float32)
    assert np.array_equal(from_wav, load_latents(tmp_path / "x.npy"))


def test_memory_is_bounded(tmp_path: Path) -> None:
    """128 MiB of file out of 1 MiB of loop grow the process by a few blocks only."""
    code = f"""
import resource, numpy as np
from unravel_lib.latents.blocks import Repeat
from unravel_lib.latents.formats import LatentsFile
loop = Repeat(np.ones((8192, 16)), 256)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
LatentsFile(16).write(__import__("pathlib").Path({str(tmp_path / "x.npy")!r}), [loop], 8192 * 256)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (tmp_path / "x.npy").stat().st_size > 2**27
    if sys.platform == "linux":  # elsewhere ru_maxrss has other units
        assert float(done.stdout) < 60


def test_header_of_the_npy_is_what_numpy_writes(tmp_path: Path) -> None:
    LatentsFile(2).write(tmp_path / "x.npy", [BEYOND], 3)
    np.save(tmp_path / "y.npy", BEYOND.T.astype(np.float32)[np.newaxis])
    plain = np.load(tmp_path / "y.npy")
    np.save(tmp_path / "y.npy", np.ascontiguousarray(plain))
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
    assert json.dumps(np.load(tmp_path / "x.npy").shape) == "[1, 2, 3]"
