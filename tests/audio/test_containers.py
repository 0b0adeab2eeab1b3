"""Sound files that contain several recordings in a row, and sound files that are cut short."""

import io
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from fixtures_runs import Run
from fixtures_sounds import ffmpeg_file

from unravel_lib.audio import containers
from unravel_lib.audio import read as audio
from unravel_lib.errors import InputError

LATIN_TAG = b"TAG" + "Café".encode("latin-1").ljust(125, b"\0")
NOISE = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()
KINDS = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
kinds = pytest.mark.parametrize(("format_", "subtype"), KINDS)


def recording(hz: float, seconds: float, format_: str, subtype: str, rate: int = 48000, channels: int = 2) -> bytes:
    t = np.arange(int(seconds * rate)) / rate
    x = 0.4 * np.sin(2 * np.pi * hz * t[:, None] * np.arange(1, channels + 1))
    file = io.BytesIO()
    soundfile.write(file, x, rate, format=format_, subtype=subtype)
    return file.getvalue()


def mp3_by_ffmpeg(seconds: float, xing: bool, rate: int = 44100) -> bytes:
    options = {"write_xing": str(int(xing)), "id3v2_version": "3" if xing else "0"}
    x = 0.4 * np.sin(2 * np.pi * 330 * np.arange(int(seconds * rate)) / rate)
    return ffmpeg_file(x[None], rate, "libmp3lame", "mp3", options)


def id3v2(data: bytes) -> bytes:
    """Return a tag with a picture."""
    frame = b"APIC" + (len(data) + 14).to_bytes(4, "big") + b"\0\0\0image/jpeg\0\3\0" + data
    return b"ID3\3\0\0" + bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0)) + frame


def ape_tag(data: bytes) -> bytes:
    item = len(data).to_bytes(4, "little") + (2).to_bytes(4, "little") + b"Cover Art\0" + data
    ends = (
        b"APETAGEX" + b"".join(n.to_bytes(4, "little") for n in (2000, len(item) + 32, 1, flags)) + bytes(8)
        for flags in (0xA0000000, 0x80000000)
    )
    return next(ends) + item + next(ends)


def read(path: Path, data: bytes) -> np.ndarray:
    path.write_bytes(data)
    with audio.open_audio(path) as sound:
        return np.concatenate(list(sound.blocks()), axis=1)


@kinds
def test_all_recordings_of_a_chain_are_read(tmp_path: Path, format_: str, subtype: str) -> None:
    parts = [recording(hz, seconds, format_, subtype) for hz, seconds in ((220, 1.0), (330, 2.0), (440, 0.5))]
    alone = [read(tmp_path / "x", part) for part in parts]
    np.testing.assert_array_equal(read(tmp_path / "x", b"".join(parts)), np.concatenate(alone, axis=1))


@kinds
def test_other_rates_and_channels_follow_the_first(tmp_path: Path, format_: str, subtype: str) -> None:
    first, second = recording(220, 1, format_, subtype), recording(330, 1, format_, subtype, 24000, 1)
    stereo, mono = read(tmp_path / "x", first + second), read(tmp_path / "x", second + first)
    own = 48000 if subtype == "OPUS" else 24000  # Opus always runs at 48 kHz
    assert stereo.shape == (2, 96000)
    assert mono.shape == (1, 2 * own)
    np.testing.assert_array_equal(stereo[0, 48000:], stereo[1, 48000:])
    for x, rate in ((stereo[0, 60000:84000], 48000), (mono[0, own // 4 : 3 * own // 4], own)):
        spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
        assert spectrum.argmax() * rate / len(x) == pytest.approx(330, abs=2)
        assert spectrum.max() / len(x) == pytest.approx(0.1, rel=0.05)


@kinds
def test_a_chain_whose_last_recording_is_cut_is_refused(tmp_path: Path, format_: str, subtype: str) -> None:
    parts = [recording(220, 1, format_, subtype), recording(330, 4, format_, subtype)]
    for data in (parts[0] + parts[1][: len(parts[1]) // 2], parts[1][: len(parts[1]) // 2] + parts[0]):
        with pytest.raises(InputError, match=r"x is (cut short|damaged)"):
            read(tmp_path / "x", data)


def test_a_chain_is_encoded_whole_and_quietly(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    for format_, subtype in KINDS:
        one = recording(220, 2, format_, subtype)
        (tmp_path / "in" / f"{subtype}.{format_.lower()}").write_bytes(one + one)
    result = run("encoder", "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert result.code == 0, result.err
    assert "arning" not in result.err
    assert [np.load(path).shape[2] for path in (tmp_path / "out").glob("*.npy")] == [87, 87, 87]


BEHIND = {
    "nothing": b"",
    "tags": LATIN_TAG + id3v2(NOISE),
    "APE tag": ape_tag(NOISE) + LATIN_TAG,
    "zeros": bytes(5000),
    "noise": NOISE,
}


@pytest.mark.parametrize("between", BEHIND.values(), ids=BEHIND)
def test_joined_mp3s_with_anything_between_them(tmp_path: Path, between: bytes) -> None:
    first, second = (recording(hz, 1, "MP3", "MPEG_LAYER_III") for hz in (220, 330))
    expected = np.concatenate([read(tmp_path / "x.mp3", part) for part in (first, second)], axis=1)
    np.testing.assert_array_equal(read(tmp_path / "x.mp3", first + between + second + between), expected)


@pytest.mark.parametrize("xing", [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("between", [b"", LATIN_TAG + id3v2(NOISE)], ids=["nothing", "tags"])
def test_joined_mp3s_without_a_count(tmp_path: Path, xing: tuple[bool, bool], between: bytes) -> None:
    """They have the padding of the codec at their ends, up to 0.1 s."""
    first, second = mp3_by_ffmpeg(1, xing[0]), mp3_by_ffmpeg(2, xing[1])
    assert read(tmp_path / "x.mp3", first + between + second).shape[1] / 44100 == pytest.approx(3, abs=0.15)


def test_joined_mp3s_without_a_count_of_two_rates(tmp_path: Path) -> None:
    joined = mp3_by_ffmpeg(1, xing=False) + mp3_by_ffmpeg(1, xing=False, rate=24000)
    assert read(tmp_path / "x.mp3", joined).shape[1] / 44100 == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("xing", [True, False])
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_one_mp3_stays_one(tmp_path: Path, xing: bool, behind: bytes) -> None:
    data = mp3_by_ffmpeg(1, xing)
    np.testing.assert_array_equal(read(tmp_path / "x.mp3", data + behind), read(tmp_path / "x.mp3", data))


def test_a_tag_in_latin_1_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """FFmpeg expects tags in UTF-8; ID3v1 tags and those of old AAC files are not."""
    aac = ffmpeg_file(np.zeros((1, 51_200)), 44100, "aac", "adts")
    assert read(tmp_path / "x.aac", aac + LATIN_TAG).shape[1] > 40_000
    assert read(tmp_path / "x.mp3", mp3_by_ffmpeg(1, xing=False) + LATIN_TAG).shape[1] > 40_000


def test_opening_an_mp3_reads_few_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(recording(220, 60, "MP3", "MPEG_LAYER_III") + LATIN_TAG)
    with open(path, "rb") as file:
        next(containers.mp3_frames(file))
        assert file.tell() < 5000


# Ogg pages


def pages(data: bytes) -> list[bytes]:
    return [b"OggS" + page for page in data.split(b"OggS")[1:]]


def film(path: Path) -> bytes:
    """Ogg with a video stream and a sound stream."""
    with av.open(str(path), "w", format="ogg") as container:
        video, sound = container.add_stream("libvpx", rate=25), container.add_stream("libopus", rate=48000)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        sound.layout = "mono"
        for i in range(50):
            picture = av.VideoFrame.from_ndarray(np.full((48, 32), i, np.uint8), "yuv420p")
            container.mux(video.encode(picture))
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), "flt", "mono")
            frame.sample_rate, frame.pts = 48000, 1920 * i
            container.mux(sound.encode(frame))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path.read_bytes()


def test_sound_of_a_film_in_ogg_is_read(tmp_path: Path) -> None:
    data = film(tmp_path / "film.ogg")
    assert read(tmp_path / "x.ogg", data).shape[1] == pytest.approx(96000, abs=2000)
    assert read(tmp_path / "x.ogg", data + data).shape[1] == pytest.approx(192000, abs=4000)
    without_mark = bytes_with_flags(data, stream=pages(data)[0][14:18])  # of the video only
    assert read(tmp_path / "x.ogg", without_mark).shape[1] == pytest.approx(96000, abs=2000)
    with pytest.raises(InputError, match=r"x\.ogg is cut short"):
        read(tmp_path / "x.ogg", data[: len(data) // 2])


def bytes_with_flags(data: bytes, stream: bytes) -> bytes:
    """The file without the end-of-stream marks of a stream."""
    return b"".join(
        with_checksum(page[:5] + bytes([page[5] & ~4]) + page[6:]) if page[14:18] == stream else page
        for page in pages(data)
    )


def with_checksum(page: bytes) -> bytes:
    """Source: RFC 3533, section 6: zlib's CRC with all bits reversed, starting from 0."""
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(bytes(int(f"{b:08b}"[::-1], 2) for b in range(256)))
    checksum = int(f"{zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)
    return page[:22] + checksum.to_bytes(4, "little") + page[26:]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_cut_between_two_pages_is_refused(tmp_path: Path, subtype: str) -> None:
    data = recording(220, 3, "OGG", subtype)
    for last in range(2, len(pages(data))):
        with pytest.raises(InputError, match=r"x\.ogg is cut short"):
            read(tmp_path / "x.ogg", b"".join(pages(data)[:last]))
    with pytest.raises(InputError, match=r"x\.ogg is cut short"):
        read(tmp_path / "x.ogg", b"".join(pages(data)[:-1]) + data)


# CAF


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "ALAC_16"])
@pytest.mark.parametrize("left", [0.3, 0.9, 0.999])
def test_caf_that_is_cut_short_is_refused(tmp_path: Path, subtype: str, left: float) -> None:
    data = recording(220, 4, "CAF", subtype)
    assert read(tmp_path / "x.caf", data).shape == (2, 192000)
    with pytest.raises(InputError, match=r"x\.caf is cut short"):
        read(tmp_path / "x.caf", data[: int(left * len(data))])


def test_caf_that_does_not_say_its_size_is_read(tmp_path: Path) -> None:
    """A recorder that was not closed leaves -1 there."""
    data = recording(220, 1, "CAF", "PCM_16")
    at = data.index(b"data", 64) + 4
    x = read(tmp_path / "x.caf", data[:at] + b"\xff" * 8 + data[at + 8 :])
    np.testing.assert_array_equal(x, read(tmp_path / "x.caf", data))
