"""Sound files in: WAV, AIFF and the like by libsndfile, all others by FFmpeg; as float32 blocks [channels, n]."""

import contextlib
import errno
import itertools
import logging
import os
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

import numpy as np
import soundfile

from unravel_lib.audio import containers
from unravel_lib.audio.blocks import Sound, resampled, to_channels, trim
from unravel_lib.audio.containers import cut_short, damaged
from unravel_lib.audio.mp3 import MOST_PADDING, Mp3Frame, Mp3Header, mp3_frames
from unravel_lib.errors import InputError
from unravel_lib.files.find import open_input
from unravel_lib.text import library_error, printable

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame, AudioStream, Packet
    from av.container import InputContainer

    AudioPacket = Packet[AudioStream]

BLOCK_SAMPLES = 1 << 17  # samples per block, about 3 s
SAMPLE_RATES = (1000, 2_000_000)  # Hz; below is latent audio, above are damaged headers
LOSSY_SLACK = 0.2  # seconds by which the length of compressed sound may differ from what is stated: padding of codecs
# FFmpeg's names of streams without a container, whose length it guesses from the bit rate of the first frames.
GUESSED_LENGTH = ("aac", "mp3", "ac3", "eac3", "dts", "loas", "amr", "rm", "mpeg", "mpegts")
# What FFmpeg may read: single sound and film files. No playlists, which could refer to other files or to the network.
FORMATS = (
    "aac,ac3,aiff,alac,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp2,"
    "mp3,mpc,mpc8,mpeg,mpegts,ogg,opus,rm,tak,tta,w64,wav,wv"
)
VORBIS_BLOCK = 4096  # samples, the longest in use; so many may be too much at the end
W64 = b"riff"
WITH_CHECKSUMS = ("flac", "tta", "tak", "wavpack")  # in each packet of these codecs
EXACT_TIMES = ("ogg", "flac")  # each packet states where it begins, to the sample

log = logging.getLogger("unravel_lib")


class Recording(NamedTuple):
    """One recording in a sound file; most files hold one.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    channels : int
    samples : int or None
        Length in samples per channel as the file states it; None where it does not.
    blocks : iterator of Sound
        The output of the decoder.
    slack : float
        Seconds by which the length may differ from what is stated.
    is_hint : bool
        The stated length is often wrong; whether the file is cut short is looked at elsewhere.
    """

    sample_rate: int
    channels: int
    samples: int | None
    blocks: Iterator[Sound]
    slack: float = LOSSY_SLACK
    is_hint: bool = False


class AudioFile:
    """A sound file that is open for reading.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    channels : int
    seconds : float
        Length as the file states it; 0 where it does not.

    Raises
    ------
    InputError
        The sample rate is not one of a sound.
    """

    def __init__(self, path: Path, first: Recording, rest: Iterator[Recording]) -> None:
        self._path, self._first, self._rest = path, first, rest
        self.sample_rate, self.channels = first.sample_rate, first.channels
        self.seconds = (first.samples or 0) / first.sample_rate
        low, high = SAMPLE_RATES
        if not low <= self.sample_rate <= high:
            remedy = "decode latent audio with decoder.py" if self.sample_rate < low else "is its header damaged?"
            found, expected = f"runs at {self.sample_rate} Hz", f"{low} to {high}"
            raise InputError(found, path=path, expected=expected, remedy=remedy)

    def blocks(self) -> Iterator[Sound]:
        """Yield the sound as float32 blocks [channels, n]; works once.

        Raises
        ------
        InputError
            The file is damaged or cut short, contains NaN or Inf, or has no samples.
        """
        is_empty = True
        for recording in itertools.chain([self._first], self._rest):
            blocks = to_channels(self._checked(recording), self.channels)
            for block in resampled(blocks, recording.sample_rate, self.sample_rate):
                is_empty = False
                yield block
        if is_empty:
            raise InputError("holds 0 samples", path=self._path, expected="at least one")

    def _checked(self, recording: Recording) -> Iterator[Sound]:
        """Yield the blocks of a recording; compare their length with what is stated."""
        length, stated = 0, recording.samples
        for block in recording.blocks:
            finite = np.isfinite(block)
            if not finite.all():
                found = f"holds NaN or Inf at sample {length + int(np.argwhere(~finite)[0][1])}"
                raise InputError(found, path=self._path, remedy="repair or render it again")
            length += block.shape[1]
            yield block
        if stated is None or abs(length - stated) <= recording.slack * recording.sample_rate:
            return
        found, said = (f"{samples / recording.sample_rate:.1f} s" for samples in (length, stated))
        if length < stated and not recording.is_hint:
            raise cut_short(self._path, f"{found} of {said}")
        log.warning("%s holds %s of sound, its header says %s: all of it is read", printable(self._path), found, said)


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[AudioFile]:
    """Open a sound file of any format that is read.

    Recordings that follow each other in one Ogg or MP3 file become one sound, with the sample rate and the channels
    of the first.

    Raises
    ------
    InputError
        The file cannot be read, or is not a complete sound file.
    """
    with open_input(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            raise InputError("is empty (0 bytes)", path=path, expected="a sound file")
        with contextlib.closing(_recordings(path, file, size)) as recordings:
            first = next(recordings, None)
            if first is None:
                raise _not_sound(path)
            yield AudioFile(path, first, recordings)


def _not_sound(path: Path) -> InputError:
    found = "is not a sound file of a format that is read, or is damaged"
    return InputError(found, path=path, remedy="convert it to WAV")


def _recordings(path: Path, file: BinaryIO, size: int) -> Generator[Recording]:
    start, size = containers.id3_end(file), containers.tags_start(file, size)
    head = containers.peek(file, start, 4)
    if head == b"OggS":
        for part_start, stop in containers.ogg_recordings(path, file, start, size):
            yield from _by_ffmpeg(path, file, part_start, stop)
        return
    header, rest = containers.read_chunks(path, file, start, size) if head in containers.FORMS else (b"", 0)
    # libsndfile does not skip every tag, and reads tags behind a W64 as sound
    is_plain = head in containers.FORMS and head != W64 and not (start or header)
    sound = _open_libsndfile(file) if is_plain else None
    if sound is None:
        yield from _by_ffmpeg(path, file, start, size, header)
    else:
        with sound:
            yield Recording(sound.samplerate, sound.channels, sound.frames, _libsndfile_blocks(path, sound), 0.0)
    if header:
        log.warning("%s does not say how long it is: it is read to its end", printable(path))
    if rest:
        log.warning("%s: %d bytes behind its sound are not read", printable(path), rest)


# libsndfile


def source_of(file: BinaryIO) -> BinaryIO | int:
    """Return what soundfile.SoundFile should open for an open file: its descriptor, or on Windows the file itself.

    With a descriptor libsndfile reads and writes by itself. With a Python file it calls back into Python, and an
    exception there, KeyboardInterrupt included, is printed and discarded.
    """
    return file if sys.platform == "win32" else file.fileno()


def _open_libsndfile(file: BinaryIO) -> soundfile.SoundFile | None:
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # file.seek() may only move inside its buffer
    try:
        sound = soundfile.SoundFile(source_of(file), closefd=False)
    except soundfile.LibsndfileError:
        return None
    if sound.subtype.startswith(("MPEG", "GSM")):  # libsndfile guesses the length
        sound.close()
        return None
    return sound


def _libsndfile_blocks(path: Path, sound: soundfile.SoundFile) -> Iterator[Sound]:
    try:
        while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            yield np.ascontiguousarray(block.T)
    except (soundfile.LibsndfileError, OSError) as error:
        raise damaged(path, library_error(error)) from error


# FFmpeg


def _by_ffmpeg(path: Path, file: BinaryIO, start: int, stop: int, header: bytes = b"") -> Iterator[Recording]:
    """Open a part of a file with FFmpeg, its first bytes replaced by `header`; yields one recording, of an MP3 all."""
    import av

    with contextlib.ExitStack() as stack:
        source = _part(path, file, start + len(header), stop)
        if header:
            spool = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            spool.write(header)
            source = f"concat:{_part(path, spool, 0, len(header))}|{source}"
        with _failures(path, _not_sound(path)):
            options = {"format_whitelist": FORMATS}
            container = stack.enter_context(av.open(source, "r", options=options, metadata_errors="replace"))
            if not container.streams.audio:
                raise InputError("holds no sound", path=path, expected="at least one audio track")
            stream, form = container.streams.audio[0], container.format.name
            codec = stream.codec_context
            if codec is None:  # one that FFmpeg does not have
                raise _not_sound(path)
            rate, channels = codec.sample_rate, codec.channels
        if form == "mp3" and codec.name.startswith("mp3"):
            container.close()
            yield from _mp3_recordings(path, file, start, stop)
            return
        if not rate or not channels:
            raise InputError("does not say its sample rate or channels", path=path, remedy="is it complete?")
        samples = None if form in GUESSED_LENGTH else _stated_samples(container, stream)
        packets = _packets(path, container, stream)
        slack = max(LOSSY_SLACK, float(stream.time_base or 0))  # Musepack's length is in units of more than a second
        if form == "ogg" and codec.name == "vorbis":
            with _failures(path):
                slack, (blocks, samples) = 0.0, _vorbis(path, stream, packets)
        else:
            is_whole = form in EXACT_TIMES and codec.name == "flac"
            slack, blocks = 0.0 if is_whole else slack, _decoded(path, codec, packets, is_whole)
        if codec.name in WITH_CHECKSUMS:
            codec.options = {"err_detect": "crccheck+explode"}
        yield Recording(rate, channels, samples, blocks, slack, is_hint=bool(header))


def _part(path: Path, file: BinaryIO, start: int, stop: int) -> str:
    """Return by which name FFmpeg opens a part of an open file anew: what it calls in Python loses Ctrl-C."""
    name = f"/dev/fd/{file.fileno()}"
    return f"subfile,,start,{start},end,{stop},,:{name if os.path.exists(name) else path}"


def _stated_samples(container: "InputContainer", stream: "AudioStream") -> int | None:
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
    import av

    try:
        yield
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        if isinstance(error, OSError) and error.errno == errno.EIO:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from error
        is_late = isinstance(error, IndexError)  # PyAV knows the tracks that are there at the beginning
        text = "a track begins in its middle" if is_late else library_error(error)
        raise otherwise or damaged(path, text) from error


def _packets(path: Path, container: "InputContainer", stream: "AudioStream") -> "Iterator[AudioPacket]":
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
    path: Path, context: "AudioCodecContext", packets: "Iterable[AudioPacket]", is_whole: bool = False
) -> Iterator[Sound]:
    """Decode packets; with `is_whole` each must give as many samples as it lasts."""
    import av

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


def _arrays(frames: "list[AudioFrame]") -> Iterator[Sound]:
    for frame in frames:
        yield np.asarray(frame.to_ndarray(), np.float32).reshape(-1, frame.layout.nb_channels).T


def _vorbis(path: Path, stream: "AudioStream", packets: "Iterator[AudioPacket]") -> tuple[Iterator[Sound], int | None]:
    """Return the blocks of an Ogg Vorbis, and how many samples it states.

    FFmpeg itself leaves out too much or too little where all sound is on one page, or where time does not begin at 0.
    """
    from av.codec.context import Flags2

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


# MP3


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
    import av

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

    decoder = cast("AudioCodecContext", av.CodecContext.create("mp3float", "r"))  # "mp3" gives 16 bits
    yield from trim(_decoded(path, decoder, packets()), header.skip, MOST_PADDING, padding)
