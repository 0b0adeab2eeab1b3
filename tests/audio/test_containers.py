"""Sound files that contain several recordings in a row, and sound files that are cut short."""

import contextlib
import io
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from fixtures_runs import Run
from fixtures_sounds import (
    ape_tag,
    ffmpeg_file,
    granule,
    id3v2,
    mp3_counts,
    pages,
    renumbered,
    replaced,
    sndfile,
    with_checksum,
    with_granule,
)

from unravel_lib.audio.ffmpeg import mp3_frames
from unravel_lib.audio.read import open_audio
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


def read(path: Path, data: bytes) -> np.ndarray:
    path.write_bytes(data)
    with open_audio(path) as sound:
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
    path.write_bytes(recording(220, 8, "MP3", "MPEG_LAYER_III") + LATIN_TAG)
    with open(path, "rb") as file:
        next(mp3_frames(file, 0, path.stat().st_size, pytest.fail))
        assert file.tell() < 5000


# Ogg pages


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


# Sound that is not what its container states


def noise(seconds: float, rate: int = 44100, channels: int = 1) -> np.ndarray:
    """Return noise with pauses, so that codecs use long and short blocks."""
    n = int(seconds * rate)
    return np.random.default_rng(n).uniform(-0.4, 0.4, (channels, n)) * (np.arange(n) % 20000 < 9000)


OGGS = {
    "vorbis": lambda: sndfile(noise(5), 44100, "OGG", "VORBIS"),
    "opus": lambda: sndfile(noise(6, 48000), 48000, "OGG", "OPUS"),
    "flac": lambda: ffmpeg_file(noise(10), 44100, "flac", "ogg"),
}
oggs = pytest.mark.parametrize("make", OGGS.values(), ids=OGGS)


def refused_or_whole(path: Path, data: bytes, whole: np.ndarray) -> bool:
    """Read a damaged file; return whether it is refused, and fail if it gives other sound than the whole one."""
    try:
        found = read(path, data)
    except InputError as error:
        assert error.path == path
        return True
    np.testing.assert_allclose(found, whole, atol=1e-5)
    return False


@oggs
@pytest.mark.parametrize("is_numbered", [False, True])
def test_pages_that_are_lost_doubled_or_swapped_are_found(
    tmp_path: Path, make: Callable[[], bytes], is_numbered: bool
) -> None:
    """Also where a program has numbered the pages anew: their times do not fit."""
    data = make()
    given = pages(data)
    first = next(i for i, page in enumerate(given) if granule(page) > 0)
    assert len(given) > first + 4
    for at in (first + 1, len(given) - 3):
        for new in (
            given[:at] + given[at + 1 :],
            given[: at + 1] + given[at:],
            [*given[:at], given[at + 1], given[at], *given[at + 2 :]],
        ):
            with pytest.raises(InputError, match="is damaged"):
                read(tmp_path / "x.ogg", b"".join(renumbered(new) if is_numbered else new))


@oggs
def test_a_changed_bit_in_a_page_is_found(tmp_path: Path, make: Callable[[], bytes]) -> None:
    data = make()
    for at in range(40, len(data), len(data) // 9):
        with pytest.raises(InputError):
            read(tmp_path / "x.ogg", replaced(data, at, bytes([data[at] ^ 4])))


@oggs
def test_wrong_times_in_an_ogg_cut_nothing(tmp_path: Path, make: Callable[[], bytes]) -> None:
    data = make()
    given, whole = pages(data), read(tmp_path / "x.ogg", data)
    end = granule(given[-1])
    for value in (0, end // 2, 10 * end):
        assert refused_or_whole(tmp_path / "x.ogg", b"".join([*given[:-1], with_granule(given[-1], value)]), whole)
    assert refused_or_whole(tmp_path / "x.ogg", b"".join([*given, given[-1]]), whole)


@pytest.mark.parametrize("start", [1, 1000, 1_000_000, 1 << 33])
@oggs
def test_an_ogg_whose_time_does_not_begin_at_0_is_read_from_its_first_sample(
    tmp_path: Path, make: Callable[[], bytes], start: int
) -> None:
    data = make()
    moved = [with_granule(page, granule(page) + start) if granule(page) > 0 else page for page in pages(data)]
    refused_or_whole(tmp_path / "x.ogg", b"".join(moved), read(tmp_path / "x.ogg", data))
    if b"OpusHead" in data:
        np.testing.assert_array_equal(read(tmp_path / "x.ogg", b"".join(moved)), read(tmp_path / "x.ogg", data))


@pytest.mark.parametrize(("seconds", "rate", "channels"), [(0.1, 48000, 2), (1, 24000, 1), (2, 8000, 1), (9, 44100, 2)])
def test_vorbis_equals_libvorbis(tmp_path: Path, seconds: float, rate: int, channels: int) -> None:
    data = sndfile(noise(seconds, rate, channels), rate, "OGG", "VORBIS")
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].T
    np.testing.assert_allclose(read(tmp_path / "x.ogg", data), expected, atol=1e-5)


def test_sound_on_the_page_of_the_headers_is_read(tmp_path: Path) -> None:
    """libVorbis of 2002 wrote such files."""
    data = sndfile(noise(3), 44100, "OGG", "VORBIS")
    given = pages(data)
    first = next(i for i, page in enumerate(given) if granule(page) > 0)
    joined, lacing = given[1 : first + 1], [page[27 : 27 + page[26]] for page in given[1 : first + 1]]
    body = b"".join(page[27 + page[26] :] for page in joined)
    head = b"OggS\0\0" + given[first][6:18] + bytes(8) + bytes([len(b"".join(lacing))])
    new = renumbered([given[0], head + b"".join(lacing) + body, *given[first + 1 :]])
    np.testing.assert_array_equal(read(tmp_path / "x.ogg", b"".join(new)), read(tmp_path / "x.ogg", data))


@pytest.mark.parametrize("n", [1000, 2500, 40_000])
def test_an_mp3_has_the_length_of_what_was_encoded(tmp_path: Path, n: int) -> None:
    assert read(tmp_path / "x.mp3", sndfile(noise(1)[:, :n], 44100, "MP3", "MPEG_LAYER_III")).shape == (1, n)


@pytest.mark.parametrize("count", [0, 1, 0.5, 2, 10, 1e6])
def test_a_wrong_count_of_frames_cuts_no_mp3(tmp_path: Path, count: float) -> None:
    data = sndfile(noise(4), 44100, "MP3", "MPEG_LAYER_III")
    at, whole = mp3_counts(data), read(tmp_path / "x.mp3", data)
    frames = int(count) if count < 0.5 else int(int.from_bytes(data[at : at + 4], "big") * count)
    found = read(tmp_path / "x.mp3", replaced(data, at, frames.to_bytes(4, "big")))
    np.testing.assert_array_equal(found[:, : whole.shape[1]], whole)
    assert found.shape[1] - whole.shape[1] < 4096  # without a right count the silence at the end stays


@pytest.mark.parametrize("left", [0.1, 0.5, 0.98])
def test_an_mp3_with_less_bytes_than_it_states_is_refused(tmp_path: Path, left: float) -> None:
    data = sndfile(noise(4), 44100, "MP3", "MPEG_LAYER_III")
    for cut in (data[: int(left * len(data))], data[: int(left * len(data))] + id3v2(NOISE)):
        with pytest.raises(InputError, match="is cut short"):
            read(tmp_path / "x.mp3", cut)


def test_sound_in_tags_is_no_sound_of_the_file(tmp_path: Path) -> None:
    data, other = sndfile(noise(2), 44100, "MP3", "MPEG_LAYER_III"), sndfile(noise(1), 44100, "MP3", "MPEG_LAYER_III")
    whole = read(tmp_path / "x.mp3", data)
    flac = sndfile(noise(1), 44100, "FLAC", "PCM_16")
    for inside in (other, flac, sndfile(noise(1), 44100, "OGG", "VORBIS"), sndfile(noise(1), 44100, "WAV", "PCM_16")):
        for tagged in (id3v2(inside) + data, 2 * id3v2(inside) + data, data + ape_tag(inside) + LATIN_TAG):
            np.testing.assert_array_equal(read(tmp_path / "x.mp3", tagged), whole)
    np.testing.assert_array_equal(read(tmp_path / "x", id3v2(other) + flac), read(tmp_path / "x", flac))
    for form in ("WAV", "AIFF", "OGG"):
        subtype = "VORBIS" if form == "OGG" else "PCM_16"
        plain = sndfile(noise(1), 44100, form, subtype)
        np.testing.assert_array_equal(read(tmp_path / "x", id3v2(other) + plain), read(tmp_path / "x", plain))


@pytest.mark.parametrize(("codec", "form"), [("libmp3lame", "mp3"), ("aac", "adts")])
def test_bytes_between_frames_that_are_no_frames_are_named(
    tmp_path: Path, codec: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"write_xing": "0", "id3v2_version": "0"} if form == "mp3" else {}
    data = ffmpeg_file(noise(2), 44100, codec, form, options)
    for whole in (data, data + LATIN_TAG, id3v2(NOISE) + data + ape_tag(NOISE)):
        read(tmp_path / "x", whole)
        assert not caplog.records
    half = len(data) // 2
    for damaged in (data[:half] + data[half + 1 :], data[:half] + data[half - 300 :], data[: half + 100]):
        caplog.clear()
        with contextlib.suppress(InputError):
            read(tmp_path / "x", damaged)
            assert "are no frames: sound may be missing" in caplog.text


@pytest.mark.parametrize(
    ("codec", "form"),
    [("wavpack", "wv"), ("mp2", "wav"), ("ac3", "ac3"), ("flac", "ogg"), ("tta", "tta"), ("mp2", "mp2")],
)
def test_tags_behind_any_sound_are_no_part_of_it(tmp_path: Path, codec: str, form: str) -> None:
    data = ffmpeg_file(noise(1), 44100, codec, form)
    whole = read(tmp_path / "x", data)
    for tags in (LATIN_TAG, ape_tag(NOISE), ape_tag(NOISE) + LATIN_TAG):
        np.testing.assert_array_equal(read(tmp_path / "x", data + tags), whole)


def test_a_film_with_a_track_that_turns_up_late_is_refused(tmp_path: Path) -> None:
    late = b"\x09\0\0\x05" + bytes(7) + b"\x17\0\0\0\0" + b"\0\0\0\x10"
    with pytest.raises(InputError, match="a track begins in its middle"):
        read(tmp_path / "x", ffmpeg_file(noise(20), 44100, "aac", "flv") + 3 * late)


def flac_with_total(data: bytes, total: int) -> bytes:
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return replaced(data, 18, fields.to_bytes(8, "big") + bytes(16))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_flac_of_unknown_or_wrong_length_is_read_whole_or_refused(tmp_path: Path, subtype: str) -> None:
    data = sndfile(noise(3, channels=2), 44100, "FLAC", subtype)
    whole, total = read(tmp_path / "x.flac", data), 3 * 44100
    for behind in (b"", LATIN_TAG, id3v2(NOISE)):
        np.testing.assert_array_equal(read(tmp_path / "x.flac", flac_with_total(data, 0) + behind), whole)
    for wrong in (1, total // 2, total - 5000):
        np.testing.assert_array_equal(read(tmp_path / "x.flac", flac_with_total(data, wrong)), whole)
    for wrong in (total + 1, 2 * total, (1 << 36) - 1):
        with pytest.raises(InputError, match=r"is (cut short|damaged)"):
            read(tmp_path / "x.flac", flac_with_total(data, wrong))


@pytest.mark.parametrize("total", [0, 3 * 44100])
def test_damage_in_a_flac_is_found(tmp_path: Path, total: int) -> None:
    data = flac_with_total(sndfile(noise(3), 44100, "FLAC", "PCM_16"), total)
    whole = read(tmp_path / "x.flac", data)
    for at in range(8300, len(data) - 100, len(data) // 12):
        for new in (
            replaced(data, at, bytes([data[at] ^ 8])),
            data[:at] + data[at + 700 :],
            data[:at] + NOISE + data[at:],
        ):
            assert refused_or_whole(tmp_path / "x.flac", new, whole)


# Where the size of the sound stands: in WAV behind "data", in AIFF behind "SSND", ...
SIZES = {
    ("WAV", "PCM_16"): (b"data", 4, "<I"),
    ("WAV", "FLOAT"): (b"data", 4, "<I"),
    ("WAV", "ALAW"): (b"data", 4, "<I"),
    ("RF64", "PCM_24"): (b"ds64", 16, "<Q"),
    ("AIFF", "PCM_16"): (b"SSND", 4, ">I"),
    ("CAF", "PCM_16"): (b"data", 4, ">Q"),
    ("W64", "PCM_16"): (b"data\xf3\xac", 16, "<Q"),
    ("AU", "PCM_16"): (b".snd", 8, ">I"),
}


@pytest.mark.parametrize(("kind", "place"), SIZES.items(), ids=["-".join(kind) for kind in SIZES])
def test_a_size_that_was_never_written_is_named_and_the_sound_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: tuple[str, str], place: tuple[bytes, int, str]
) -> None:
    """As of a recorder that lost power, and of programs that write to a pipe."""
    mark, offset, form = place
    data = sndfile(noise(2), 44100, *kind)
    whole, at = read(tmp_path / "x", data), data.index(mark) + offset
    for size in (0, 0xFFFFFFFF if form[1] == "I" else (1 << 64) - 1):
        caplog.clear()
        new = replaced(data, at, struct.pack(form, size))
        if kind[0] in ("WAV", "AIFF"):
            new = replaced(new, 4, struct.pack(form, 0))
        np.testing.assert_allclose(read(tmp_path / "x", new), whole, atol=1e-7)
        [line] = caplog.messages
        assert line == f"{tmp_path / 'x'} does not say how long it is: it is read to its end"


def test_a_temporary_folder_without_space_for_the_copy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the size of the sound was never written, or a tag is in front."""
    data = id3v2(bytes(9)) + sndfile(noise(1), 44100, "WAV", "PCM_16")
    (tmp_path / "x").write_bytes(data)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) // 2, limits[1]))  # a write fails, and so does closing
    try:
        with (
            pytest.raises(InputError, match=r"must be copied to .*tmp to be read, which fails: .*TMPDIR"),
            open_audio(tmp_path / "x"),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "tmp").iterdir())


def test_a_wav_with_no_sound_but_other_chunks_is_empty(tmp_path: Path) -> None:
    head = sndfile(noise(0), 44100, "WAV", "PCM_16")
    with pytest.raises(InputError, match="holds 0 samples"):
        read(tmp_path / "x.wav", head + b"LIST" + struct.pack("<I", 4000) + bytes(4000))


def test_sound_behind_the_stated_size_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = sndfile(noise(4), 44100, "WAV", "PCM_16")
    read(tmp_path / "x.wav", replaced(data, data.index(b"data") + 4, struct.pack("<I", 8000)))
    assert caplog.messages == [f"{tmp_path / 'x.wav'}: {2 * 4 * 44100 - 8000} bytes behind its sound are not read"]


@pytest.mark.parametrize("codec", ["mp2", "libmp3lame", "ac3", "pcm_s16le"])
def test_a_cut_wav_is_refused_whatever_is_in_it(tmp_path: Path, codec: str) -> None:
    data = ffmpeg_file(noise(3), 44100, codec, "wav")
    assert read(tmp_path / "x.wav", data).shape[1] / 44100 == pytest.approx(3, abs=0.1)
    for left in (0.3, 0.6, 0.95):
        with pytest.raises(InputError, match="is cut short"):
            read(tmp_path / "x.wav", data[: int(left * len(data))])


def test_chunks_of_no_size_end(tmp_path: Path) -> None:
    data = sndfile(noise(1), 44100, "W64", "PCM_16")
    with pytest.raises(InputError):
        read(tmp_path / "x", replaced(data, data.index(b"fmt ") + 16, bytes(8)))


def test_dsf_is_read_at_the_rate_of_its_bytes(tmp_path: Path) -> None:
    """One bit per sample, eight samples a byte; 0x69 is silence."""
    n = 4096 * 40
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2_822_400, 1, 8 * n, 4096, 0)
    data = b"data" + struct.pack("<Q", 12 + n) + b"\x69" * n
    whole = b"DSD " + struct.pack("<QQQ", 28, 28 + len(fmt) + len(data), 0) + fmt + data
    assert read(tmp_path / "x.dsf", whole).shape == (1, n)
    with pytest.raises(InputError):
        read(tmp_path / "x.dsf", whole[: n // 2])


@pytest.mark.parametrize(
    ("codec", "format_"),
    [("libopus", "webm"), ("flac", "matroska"), ("aac", "ipod"), ("wmav2", "asf"), ("tta", "tta")],
)
def test_lost_parts_of_other_containers_are_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, format_: str
) -> None:
    rate = 48000 if codec == "libopus" else 44100
    data = ffmpeg_file(noise(6, rate), rate, codec, format_)
    whole = read(tmp_path / "x", data)
    assert whole.shape[1] / rate == pytest.approx(6, abs=0.1)
    assert not caplog.messages
    third = len(data) // 3
    for damaged in (data[: 2 * third], data[:third] + data[third + third // 2 :]):
        with pytest.raises(InputError):
            read(tmp_path / "x", damaged)


def test_libraries_write_nothing_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mp3, wma = sndfile(noise(2), 44100, "MP3", "MPEG_LAYER_III"), ffmpeg_file(noise(2), 44100, "wmav2", "asf")
    absurd = (b"x" * 16 + (1 << 54).to_bytes(8, "little")) * 4
    damage = [mp3 + ape_tag(NOISE), mp3[:-700], mp3[:9000] + NOISE + mp3[9000:], NOISE]
    damage += [replaced(wma, int.from_bytes(wma[16:24], "little"), absurd), wma[: len(wma) // 2]]
    for data in damage:
        with contextlib.suppress(InputError):
            read(tmp_path / "x", data)
    assert capfd.readouterr().err == ""


def test_an_rf64_with_damaged_format_is_refused(tmp_path: Path) -> None:
    """FFmpeg, which is asked where libsndfile refuses a file, reads on in it without end."""
    whole = sndfile(np.random.default_rng(0).uniform(-1, 1, (1, 600)), 44100, "RF64", "FLOAT")
    damaged = whole.replace(b"\x80\0\0\xaa\0\x38", b"\x80\xff\xff\xff\xff\x38")
    assert damaged != whole
    (tmp_path / "x.wav").write_bytes(damaged + damaged[-10:])
    with pytest.raises(InputError, match="is not a sound file"), open_audio(tmp_path / "x.wav"):
        pass
