"""Sound files that only FFmpeg writes; tags, and the pages of Ogg files, for damage."""

import io
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile


def ffmpeg_file(
    x: np.ndarray,
    rate: int,
    codec: str,
    format_: str,
    options: Mapping[str, str] | None = None,
    configure: Callable[[av.AudioStream], None] = lambda stream: None,
) -> bytes:
    """Return the bytes of a sound file of [channels, samples]; `options` are those of the format."""
    file = io.BytesIO()
    with av.open(file, "w", format=format_, options=dict(options or {})) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo" if len(x) == 2 else "mono")
        stream.bit_rate = 128_000
        configure(stream)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x, np.float32), "fltp", stream.layout.name)
        frame.sample_rate = rate
        fifo = av.AudioResampler(stream.format, stream.layout, rate, frame_size=stream.frame_size or 1024)
        for piece in [*fifo.resample(frame), *fifo.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux([packet for packet in stream.encode(None) if packet.size])  # that of FLAC is empty
    return file.getvalue()


def sndfile(x: np.ndarray, rate: int, format_: str, subtype: str) -> bytes:
    """Return the bytes of a sound file of [channels, samples] that libsndfile writes."""
    file = io.BytesIO()
    soundfile.write(file, x.T, rate, format=format_, subtype=subtype)
    return file.getvalue()


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


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    """Return the data with some bytes overwritten."""
    return data[:at] + new + data[at + len(new) :]


def pages(data: bytes) -> list[bytes]:
    """Return the pages of an Ogg."""
    found, at = [], 0
    while at < len(data):
        stop = at + 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        found.append(data[at:stop])
        at = stop
    return found


def with_checksum(page: bytes) -> bytes:
    """Source: RFC 3533, section 6: zlib's CRC with all bits reversed, starting from 0."""
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(bytes(int(f"{b:08b}"[::-1], 2) for b in range(256)))
    checksum = int(f"{zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)
    return page[:22] + checksum.to_bytes(4, "little") + page[26:]


def renumbered(given: list[bytes]) -> list[bytes]:
    """Return the pages with numbers in order."""
    return [with_checksum(replaced(page, 18, number.to_bytes(4, "little"))) for number, page in enumerate(given)]


def granule(page: bytes) -> int:
    """Return the time at the end of a page."""
    return int.from_bytes(page[6:14], "little", signed=True)


def with_granule(page: bytes, value: int) -> bytes:
    """Return the page with another time."""
    return with_checksum(replaced(page, 6, value.to_bytes(8, "little", signed=True)))


def mp3_counts(data: bytes) -> int:
    """Return where the count of frames stands in an MP3; the count of bytes follows it."""
    return max(data[:400].find(b"Info"), data[:400].find(b"Xing")) + 8


def course_of_loudness(sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Root mean square of each 1024 samples; of a shorter file all."""
    size = min(1024, sound.size)
    blocks = sound.ravel()[: sound.size // size * size].reshape(-1, size)
    level: npt.NDArray[np.float64] = np.sqrt((blocks**2).mean(axis=1))
    return level


def sounds_that_differ(folder: Path, other: Path) -> list[str]:
    """Return which of the sounds below a folder are missing in another, or have another course of loudness there.

    Samples are not compared: a last digit that differs between versions of numpy gives the decoder other noise.
    """
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if not (other / name).is_file():
            found.append(f"{name} is missing: run make figures")
            continue
        new, old = (course_of_loudness(soundfile.read(where / name)[0]) for where in (folder, other))
        if new.shape != old.shape or np.abs(new - old).mean() > 0.2 * old.mean():
            found.append(f"{name} sounds different: run make figures")
    return found
