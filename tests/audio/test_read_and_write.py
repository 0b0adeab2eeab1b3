"""Sound files in and out: what is read is what was written, block by block, at the model's rate and channels."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
import torchaudio.transforms
from fixtures_sounds import ffmpeg_file
from hypothesis import given, settings
from hypothesis import strategies as st

from unravel_lib.audio import SAMPLE_BYTES
from unravel_lib.audio.blocks import resampled, to_channels
from unravel_lib.audio.containers import BLOCK_SAMPLES
from unravel_lib.audio.read import open_audio
from unravel_lib.audio.write import write_audio
from unravel_lib.errors import InputError


def tone(n: int, rate: int, channels: int = 1) -> np.ndarray:
    t = np.arange(n) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * (220 + 110 * c) * t) for c in range(channels)]).astype(np.float32)


def read(path: Path) -> tuple[int, np.ndarray]:
    with open_audio(path) as sound:
        return sound.sample_rate, np.concatenate(list(sound.blocks()), axis=1)


@pytest.mark.parametrize("n", [1, 4097, BLOCK_SAMPLES + 1])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_wav_comes_back_as_it_is(tmp_path: Path, n: int, channels: int, rate: int) -> None:
    x = 3 * tone(n, rate, channels)  # above full scale on purpose
    soundfile.write(tmp_path / "x.wav", x.T, rate, subtype="FLOAT")
    found_rate, y = read(tmp_path / "x.wav")
    assert found_rate == rate
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("suffix", "subtype", "format_"),
    [
        (".mp3", "MPEG_LAYER_III", "MP3"),
        (".opus", "OPUS", "OGG"),
        (".ogg", "VORBIS", "OGG"),
        (".flac", "PCM_16", "FLAC"),
        (".aiff", "PCM_24", "AIFF"),
    ],
)
def test_what_libsndfile_reads(tmp_path: Path, suffix: str, subtype: str, format_: str) -> None:
    x = tone(48000, 48000, 2)
    soundfile.write(tmp_path / f"x{suffix}", x.T, 48000, subtype=subtype, format=format_)
    rate, y = read(tmp_path / f"x{suffix}")
    assert rate == 48000
    assert abs(y.shape[1] - 48000) < 2400
    _same_sound(x, y)


@pytest.mark.parametrize(
    ("suffix", "codec", "format_"),
    [(".m4a", "aac", "ipod"), (".aac", "aac", "adts"), (".webm", "libopus", "webm"), (".wma", "wmav2", "asf")],
)
def test_what_only_ffmpeg_reads(tmp_path: Path, suffix: str, codec: str, format_: str) -> None:
    x = tone(48000, 48000, 2)
    (tmp_path / f"x{suffix}").write_bytes(ffmpeg_file(x, 48000, codec, format_))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(tmp_path / f"x{suffix}")
    rate, y = read(tmp_path / f"x{suffix}")
    assert rate == 48000
    assert abs(y.shape[1] - 48000) < 4800
    _same_sound(x, y)


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("7.1", 8), ("hexadecagonal", 16), ("22.2", 24)])
def test_ffmpeg_reads_many_channels(tmp_path: Path, layout: str, channels: int) -> None:
    x = np.arange(-8 * channels, 3000 * channels - 8 * channels, dtype=np.int16).reshape(-1, channels)
    with av.open(str(tmp_path / "x.mka"), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=44100, layout=layout)
        frame = av.AudioFrame.from_ndarray(x.reshape(1, -1), "s16", layout)
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_array_equal(read(tmp_path / "x.mka")[1], x.T / np.float32(1 << 15))


def _same_sound(x: np.ndarray, y: np.ndarray) -> None:
    """Compare channel by channel, except for loss and padding of the codec: the same peak frequency and level."""
    assert y.shape[0] == x.shape[0]
    middle = slice(12000, 12000 + 19200)
    for a, b in zip(x[:, middle], y[:, middle], strict=True):
        spectrum_a, spectrum_b = (np.abs(np.fft.rfft(s * np.hanning(len(s)))) for s in (a, b))
        assert spectrum_a.argmax() == spectrum_b.argmax()
        assert spectrum_b.max() == pytest.approx(spectrum_a.max(), rel=0.1)


@pytest.mark.parametrize(
    ("format_", "codec", "options"), [("adts", "aac", {}), ("mp3", "libmp3lame", {"write_xing": "0"})]
)
def test_bare_streams_are_read_to_their_end(tmp_path: Path, format_: str, codec: str, options: dict[str, str]) -> None:
    """They do not say how long they are, and a guess from their first frames is far off where the bit rate varies."""

    def constant_quality(stream: av.AudioStream) -> None:  # so silence takes few bits
        stream.options = {"compression_level": "9"}
        stream.codec_context.flags |= 2
        stream.codec_context.global_quality = 118 * 4

    rng = np.random.default_rng(0)
    for levels in ((0.5, 0.0), (0.0, 0.5)):
        parts = [
            level * rng.uniform(-1, 1, (1, 44100 * seconds)) for level, seconds in zip(levels, (5, 25), strict=True)
        ]
        path = tmp_path / "x"
        path.write_bytes(ffmpeg_file(np.concatenate(parts, axis=1), 44100, codec, format_, options, constant_quality))
        assert abs(read(path)[1].shape[1] / 44100 - 30) < 0.2


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    """FFmpeg would read other files that a playlist names."""
    soundfile.write(tmp_path / "secret.wav", tone(4800, 48000).T, 48000)
    (tmp_path / "x.m4a").write_text("ffconcat version 1.0\nfile secret.wav\n")
    (tmp_path / "y.m4a").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n")
    for name in ("x.m4a", "y.m4a"):
        with pytest.raises(InputError, match="is not a sound file"):
            read(tmp_path / name)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_found(tmp_path: Path, bad: float) -> None:
    x = tone(BLOCK_SAMPLES + 100, 44100)
    x[0, BLOCK_SAMPLES + 7] = bad
    soundfile.write(tmp_path / "x.wav", x.T, 44100, subtype="FLOAT")
    with pytest.raises(InputError, match=f"x.wav holds NaN or Inf at sample {BLOCK_SAMPLES + 7}:"):
        read(tmp_path / "x.wav")


def test_no_sample_at_all_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros((0, 1)), 44100)
    with pytest.raises(InputError, match=r"x.wav holds 0 samples"):
        read(tmp_path / "x.wav")


@settings(max_examples=25, deadline=None)
@given(
    rates=st.sampled_from(
        [(44100, 48000), (48000, 44100), (8000, 44100), (96000, 44100), (384000, 48000), (22050, 44100)]
    ),
    n=st.sampled_from([1, 2, 999, 50_001, 400_003]),
    places=st.lists(st.integers(0, 400_003), max_size=5),
)
def test_resampling_in_blocks_equals_the_whole(rates: tuple[int, int], n: int, places: list[int]) -> None:
    x = np.random.default_rng(n).uniform(-1, 1, (1, n)).astype(np.float32)
    expected = torchaudio.transforms.Resample(*rates)(torch.from_numpy(x)).numpy()
    blocks = np.split(x, sorted(min(p, n) for p in places), axis=1)
    result = np.concatenate(list(resampled(blocks, *rates)), axis=1)
    assert result.shape == expected.shape == (1, -(-n * rates[1] // rates[0]))
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_odd_rates_need_no_huge_filter() -> None:
    """44056 to 44100 Hz in lowest terms would be a filter of 11025 phases; 1002/1001 is close enough."""
    x = tone(44056, 44056)
    y = np.concatenate(list(resampled([x], 44056, 44100)), axis=1)
    assert y.shape[1] == 44100 or y.shape[1] == 44101
    np.testing.assert_allclose(y[0, 100:44000], tone(44100, 44100)[0, 100:44000], atol=2e-3)


def test_channels_are_mixed_doubled_or_left(tmp_path: Path) -> None:
    stereo = np.array([[1.0, 3.0], [3.0, 1.0]], np.float32)
    mixed = next(to_channels([stereo], 1))
    assert mixed.tolist() == [[2.0, 2.0]]
    assert next(to_channels([mixed], 2)).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert next(to_channels([stereo], 2)).tolist() == stereo.tolist()


@pytest.mark.parametrize("subtype", SAMPLE_BYTES)
def test_written_sound_reads_back_and_its_peak_is_returned(tmp_path: Path, subtype: str) -> None:
    x = tone(5000, 44100, 2)
    level = write_audio(tmp_path / "x.wav", np.array_split(x, 3, axis=1), 44100.0, 2, subtype, 5000)
    assert level.peak == np.abs(x).max()
    rate, y = read(tmp_path / "x.wav")
    assert rate == 44100
    np.testing.assert_allclose(y, x, atol={"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}[subtype])
    assert b"PEAK" not in (tmp_path / "x.wav").read_bytes()[:200]  # libsndfile's PEAK chunk holds the time of day


def test_beyond_full_scale_is_clipped_not_wrapped(tmp_path: Path) -> None:
    x = np.array([[0.5, 1.7, -1.7]], np.float32)
    assert write_audio(tmp_path / "x.wav", [x], 44100, 1, "PCM_16", 3).peak == pytest.approx(1.7)
    np.testing.assert_allclose(read(tmp_path / "x.wav")[1], [[0.5, 1.0, -1.0]], atol=1e-4)


def test_what_outgrows_riff_becomes_rf64(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", [tone(10, 44100)], 44100, 1, "FLOAT", samples=2**30)
    assert (tmp_path / "x.wav").read_bytes()[:4] == b"RF64"
