"""Sound files of which FFmpeg reads the container, or decodes the frames: all but WAV, AIFF and the like."""

import contextlib
import errno
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

import av
import numpy as np
from av.codec.context import Flags2
from av.container import InputContainer

from unravel_lib.audio import containers
from unravel_lib.audio.blocks import Sound, trim
from unravel_lib.audio.containers import BLOCK_SAMPLES, LOSSY_SLACK, Recording, cut_short, damaged, not_sound, peek
from unravel_lib.errors import InputError
from unravel_lib.text import library_error, printable

if TYPE_CHECKING:
    AudioPacket = av.Packet[av.AudioStream]

# FFmpeg's names of streams without a container, whose length it guesses from the bit rate of the first frames.
GUESSED_LENGTH = ("aac", "mp3", "ac3", "eac3", "dts", "loas", "amr", "rm", "mpeg", "mpegts")
# What FFmpeg may read: single sound and film files. No playlists, which could refer to other files or to the network.
FORMATS = (
    "aac,ac3,aiff,alac,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp2,"
    "mp3,mpc,mpc8,mpeg,mpegts,ogg,opus,rm,tak,tta,w64,wav,wv"
)
VORBIS_BLOCK = 4096  # samples, the longest in use; so many may be too much at the end
WITH_CHECKSUMS = ("flac", "tta", "tak", "wavpack")  # in each packet of these codecs
EXACT_TIMES = ("ogg", "flac")  # each packet states where it begins, to the sample

log = logging.getLogger("unravel_lib")


def recordings(path: Path, file: BinaryIO, start: int, stop: int) -> Iterator[Recording]:
    """Yield the recording in a part of a file, of an MP3 all recordings; one must be read before the next is asked for.

    Raises
    ------
    InputError
        FFmpeg does not know the format, or finds the sound damaged.
    """
    source = _part(path, file, start, stop)
    with contextlib.ExitStack() as stack:
        with _failures(path, not_sound(path)):
            options = {"format_whitelist": FORMATS}
            container = stack.enter_context(av.open(source, "r", options=options, metadata_errors="replace"))
            if not container.streams.audio:
                raise InputError("holds no sound", path=path, expected="at least one audio track")
            stream, form = container.streams.audio[0], container.format.name
            codec = stream.codec_context
            if codec is None:  # one that FFmpeg does not have
                raise not_sound(path)
            rate, channels = codec.sample_rate, codec.channels
        if form == "mp3" and codec.name.startswith("mp3"):
            container.close()
            yield from _mp3_recordings(path, file, start, stop)
            return
        if not rate or not channels:
            raise InputError("does not say its sample rate or channels", path=path, remedy="is it complete?")
        if codec.name in WITH_CHECKSUMS:
            codec.options = {"err_detect": "crccheck+explode"}
        packets = _packets(path, container, stream)
        if form == "ogg" and codec.name == "vorbis":
            with _failures(path):
                blocks, samples = _vorbis(path, stream, packets)
            slack = 0.0
        else:
            is_whole = form in EXACT_TIMES and codec.name == "flac"
            blocks = _decoded(path, codec, packets, is_whole)
            samples = None if form in GUESSED_LENGTH else _stated_samples(container, stream)
            # Musepack's length is in units of more than a second
            slack = 0.0 if is_whole else max(LOSSY_SLACK, float(stream.time_base or 0))
        yield Recording(rate, channels, samples, blocks, slack)


def _part(path: Path, file: BinaryIO, start: int, stop: int) -> str:
    """Return by which name FFmpeg opens a part of an open file anew: what it calls in Python loses Ctrl-C."""
    name = f"/dev/fd/{file.fileno()}"
    return f"subfile,,start,{start},end,{stop},,:{name if os.path.exists(name) else path}"


def _stated_samples(container: InputContainer, stream: av.AudioStream) -> int | None:
    """Return the length that is stated for a stream, or in Matroska for the file, if that holds nothing else."""
    if stream.duration and stream.time_base:
        start = max(0, stream.start_time or 0) if stream.codec_context.name == "opus" else 0  # FFmpeg counts it in Ogg
        start *= container.format.name == "ogg"
        return int((stream.duration - start) * stream.time_base * stream.codec_context.sample_rate)
    if container.duration and len(container.streams) == 1:
        return container.duration * stream.codec_context.sample_rate // 1_000_000  # in microseconds
    return None


@contextlib.contextmanager
def _failures(path: Path, otherwise: InputError | None = None) -> Iterator[None]:
    """Raise what FFmpeg and PyAV raise, or a failure of the disk, as an InputError."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        if isinstance(error, OSError) and error.errno == errno.EIO:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from error
        is_late = isinstance(error, IndexError)  # PyAV knows the tracks that are there at the beginning
        text = "a track begins in its middle" if is_late else library_error(error)
        raise otherwise or damaged(path, text) from error


def _packets(path: Path, container: InputContainer, stream: av.AudioStream) -> "Iterator[AudioPacket]":
    """Yield the packets of a stream; each begins where the one before it ended."""
    is_exact, seconds = container.format.name in EXACT_TIMES, float(stream.time_base or 0)
    slack, end = VORBIS_BLOCK * seconds if stream.codec_context.name == "vorbis" else 0.0, None
    rest = container.size if container.format.name == "aac" else 0  # nothing but frames
    for packet in container.demux(stream):
        rest -= packet.size
        if packet.pts is not None:
            gap = 0.0 if end is None else (packet.pts - end) * seconds
            kind = "missing" if gap > 0 else "repeated"
            text = f"{abs(gap):.2f} s of sound are {kind} at {packet.pts * seconds:.1f} s"
            if is_exact and abs(gap) > slack:
                raise damaged(path, text)
            if abs(gap) > LOSSY_SLACK:
                log.warning("%s: %s", printable(path), text)
            end = packet.pts + (packet.duration or 0)
        yield packet
    if rest > 0:
        log.warning("%s: %d bytes are no frames: sound may be missing", printable(path), rest)


def _decoded(
    path: Path, context: av.AudioCodecContext, packets: "Iterable[AudioPacket]", is_whole: bool = False
) -> Iterator[Sound]:
    """Decode packets; with `is_whole` each must give as many samples as it lasts."""
    convert = None
    with _failures(path):
        for packet in packets:
            frames = context.decode(packet)
            if is_whole and sum(frame.samples for frame in frames) != (packet.duration or 0):
                raise damaged(path, f"samples are missing or repeated in a packet of {packet.duration}")
            for frame in frames:
                if convert is None:  # PyAV cannot take many planes out of a frame
                    convert = av.AudioResampler("flt", frame.layout, frame.sample_rate, frame_size=BLOCK_SAMPLES)
                yield from _arrays(convert.resample(frame))
        if convert is not None:
            yield from _arrays(convert.resample(None))


def _arrays(frames: list[av.AudioFrame]) -> Iterator[Sound]:
    for frame in frames:
        yield np.asarray(frame.to_ndarray(), np.float32).reshape(-1, frame.layout.nb_channels).T


def _vorbis(path: Path, stream: av.AudioStream, packets: "Iterator[AudioPacket]") -> tuple[Iterator[Sound], int | None]:
    """Return the blocks of an Ogg Vorbis, and how many samples it states.

    FFmpeg itself leaves out too much or too little where all sound is on one page, or where time does not begin at 0.
    """
    context = stream.codec_context
    context.flags2 |= Flags2.skip_manual
    first = next(packets)  # by itself it gives no sound
    skip = first.duration or 0
    samples = (stream.duration or 0) + (stream.start_time or 0) - (first.pts + skip if first.pts else 0)

    def padding(length: int) -> int:
        excess = length - samples
        return excess if stream.duration and 0 < excess <= VORBIS_BLOCK else 0

    blocks = _decoded(path, context, itertools.chain([first], packets))
    return trim(blocks, skip, VORBIS_BLOCK, padding), samples if stream.duration else None


# MP3. It has no container: frames follow each other, and the first may state how many there are.

FRAME_HEADER = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # MPEG 2.5, 2 and 1, layer III
MPEG1 = 0x18  # bits of the version in a header
KBITS = {  # bit rates by index in MPEG 1, and in MPEG 2 and 2.5
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
DECODER_DELAY = 529  # samples that a decoder of MP3 adds in front; LAME's tag does not count them
MOST_PADDING = 4095  # samples, the largest number in LAME's tag


class Mp3Header(NamedTuple):
    """What a frame without sound, at the beginning of a recording, states; all may be wrong.

    Attributes
    ----------
    frames, size : int
        Of the frames behind it, and bytes of all; 0 where it does not say.
    skip, padding : int
        Samples of silence in front of the sound and behind it.
    """

    frames: int = 0
    size: int = 0
    skip: int = 0
    padding: int = 0


class Mp3Frame(NamedTuple):
    """A frame of an MP3: where it begins, and its bytes, or the first four, which are its header."""

    start: int
    data: bytes

    @property
    def end(self) -> int:
        """Where the next frame begins."""
        return self.start + len(self.data)

    @property
    def kind(self) -> tuple[int, int, bool]:
        """Version, index of the sample rate, and whether it is mono."""
        return self.data[1] & 0x18, self.data[2] & 0x0C, self.data[3] >> 6 == 3

    @property
    def sample_rate(self) -> int:
        """In Hz; 0 if its header is none."""
        return (44100, 48000, 32000, 0)[self.data[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[self.data[1] >> 3 & 3]

    @property
    def channels(self) -> int:
        """1 or 2."""
        return 1 if self.kind[2] else 2

    @property
    def samples(self) -> int:
        """Samples per channel."""
        return 1152 if self.kind[0] == MPEG1 else 576

    @property
    def length(self) -> int:
        """Bytes of the frame as its header states, 0 if it is none. Source: ISO 11172-3 and 13818-3, layer III."""
        if len(self.data) < 4 or not FRAME_HEADER.match(self.data):
            return 0
        kbits, rate = KBITS[self.kind[0] == MPEG1][self.data[2] >> 4], self.sample_rate
        return 125 * self.samples * kbits // rate + (self.data[2] >> 1 & 1) if kbits and rate else 0

    @property
    def header(self) -> Mp3Header | None:
        """What a Xing, Info or VBRI header states; None for a frame of sound.

        Sources: the Xing VBR header SDK, LAME's "Mp3 Info Tag" revision 1, Fraunhofer's VBRI header.
        """
        data = self.data
        if data[36:40] == b"VBRI":
            return Mp3Header(int.from_bytes(data[50:54], "big"), int.from_bytes(data[46:50], "big"))
        version, _, is_mono = self.kind
        at = 4 + ((17 if is_mono else 32) if version == MPEG1 else (9 if is_mono else 17))
        if data[at : at + 4] not in (b"Xing", b"Info"):
            return None
        flags, at = data[at + 7], at + 8
        frames = int.from_bytes(data[at : at + 4], "big") if flags & 1 else 0
        at += 4 * (flags & 1)
        size = int.from_bytes(data[at : at + 4], "big") if flags & 2 else 0
        at += 2 * (flags & 2) + 25 * (flags & 4) + 4 * bool(flags & 8)
        if data[at : at + 4] not in (b"LAME", b"Lavf", b"Lavc"):
            return Mp3Header(frames, size)
        delays = int.from_bytes(data[at + 21 : at + 24], "big")
        skip, padding = (delays >> 12) + DECODER_DELAY, max(0, (delays & MOST_PADDING) - DECODER_DELAY)
        return Mp3Header(frames, size, skip, padding)


def mp3_frames(file: BinaryIO, start: int, stop: int, skipped: Callable[[int], None]) -> Iterator[Mp3Frame]:
    """Yield the frames of an MP3, a part of a file; tags between them are skipped by the length that they state.

    What else is between them ends where three frames of one kind follow each other, so that it is no coincidence;
    unless it is zeros, `skipped` is called with its length in bytes.
    """
    at = before = start
    while True:
        behind = min(containers.tags_end(file, at), stop)
        # The frame before may be cut short, and the next begin inside it.
        found = _find_frame(file, behind if behind > at else before, stop)
        there = stop if found is None else found
        if there < behind or any(peek(file, behind, min(there - behind, containers.SEARCH_BYTES))):
            skipped(abs(there - behind))
        if found is None:
            return
        for frame in _row(file, found, stop):
            yield frame
            before, at = frame.start + 1, frame.end


def _find_frame(file: BinaryIO, at: int, stop: int) -> int | None:
    """Return where the first frame from `at` on begins that two of its kind follow."""
    window = peek(file, at, 64)
    while len(window) >= 4 and at < stop:
        for match in FRAME_HEADER.finditer(window):
            if len([*itertools.islice(_row(file, at + match.start(), stop), 3)]) == 3:
                return at + match.start()
        at += len(window) - 1
        window = peek(file, at, containers.SEARCH_BYTES)
    return None


def _row(file: BinaryIO, at: int, stop: int) -> Iterator[Mp3Frame]:
    """Yield the whole frames of one kind that follow each other from `at` on."""
    kind = None
    while length := (head := Mp3Frame(at, peek(file, at, 4))).length:
        frame = Mp3Frame(at, head.data + file.read(length - 4))
        if len(frame.data) < length or frame.end > stop or kind not in (None, frame.kind):
            return
        yield frame
        kind, at = frame.kind, frame.end


def _mp3_recordings(path: Path, file: BinaryIO, start: int, stop: int) -> Iterator[Recording]:
    """Yield the recordings of an MP3; one begins at a frame that describes it, or where the kind of frames changes."""
    number, kind = 0, None

    def recording_of(frame: Mp3Frame) -> int:
        nonlocal number, kind
        number += frame.header is not None or frame.kind != kind
        kind = frame.kind
        return number

    skipped: list[int] = []
    for _, frames in itertools.groupby(mp3_frames(file, start, stop, skipped.append), recording_of):
        first = next(frames)
        samples = None
        if first.header is None:
            frames = itertools.chain([first], frames)
        elif first.header.frames > 1:
            samples = first.header.frames * first.samples - first.header.skip - first.header.padding
        yield Recording(first.sample_rate, first.channels, samples, _mp3_blocks(path, first, frames), is_hint=True)
    if skipped:
        log.warning("%s: %d bytes are no frames: sound may be missing", printable(path), sum(skipped))


def _mp3_blocks(path: Path, first: Mp3Frame, frames: Iterator[Mp3Frame]) -> Iterator[Sound]:
    """Decode the frames of a recording, without the silence that its encoder put around it."""
    header = first.header or Mp3Header()
    count, end = 0, first.end

    def packets() -> "Iterator[AudioPacket]":
        nonlocal count, end
        for frame in frames:
            count, end = count + 1, frame.end
            yield cast("AudioPacket", av.Packet(frame.data))

    def padding(_: int) -> int:
        if count < header.frames and end - first.start + containers.ID3V1_BYTES < header.size:
            raise cut_short(path, f"{count} of {header.frames} frames")
        return header.padding if count == header.frames else 0

    decoder = cast("av.AudioCodecContext", av.CodecContext.create("mp3float", "r"))  # "mp3" gives 16 bits
    yield from trim(_decoded(path, decoder, packets()), header.skip, MOST_PADDING, padding)
