"""The frames of an MP3. It has no container: frames follow each other, and the first may state how many there are."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from unravel_lib.audio.containers import SEARCH_BYTES, peek, tags_end

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
    """A frame of an MP3: where it begins, and its bytes."""

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
        """In Hz."""
        return _sample_rate(self.data)

    @property
    def channels(self) -> int:
        """1 or 2."""
        return 1 if self.kind[2] else 2

    @property
    def samples(self) -> int:
        """Samples per channel."""
        return 1152 if self.kind[0] == MPEG1 else 576

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
        behind = min(tags_end(file, at), stop)
        # The frame before may be cut short, and the next begin inside it.
        found = _find_frame(file, behind if behind > at else before, stop)
        there = stop if found is None else found
        if there < behind or any(peek(file, behind, min(there - behind, SEARCH_BYTES))):
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
        window = peek(file, at, SEARCH_BYTES)
    return None


def _row(file: BinaryIO, at: int, stop: int) -> Iterator[Mp3Frame]:
    """Yield the whole frames of one kind that follow each other from `at` on."""
    kind = None
    while length := _frame_bytes(head := peek(file, at, 4)):
        frame = Mp3Frame(at, head + file.read(length - 4))
        if len(frame.data) < length or frame.end > stop or kind not in (None, frame.kind):
            return
        yield frame
        kind, at = frame.kind, frame.end


def _sample_rate(head: bytes) -> int:
    """Return the sample rate in the header of a frame in Hz, 0 if it is none."""
    return (44100, 48000, 32000, 0)[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[head[1] >> 3 & 3]


def _frame_bytes(head: bytes) -> int:
    """Return the length of the frame with this header, 0 if it is none.

    Source: ISO 11172-3 and 13818-3, layer III.
    """
    if len(head) < 4 or not FRAME_HEADER.match(head):
        return 0
    first = head[1] & 0x18 == MPEG1
    kbits, rate = KBITS[first][head[2] >> 4], _sample_rate(head)
    return (144_000 if first else 72_000) * kbits // rate + (head[2] >> 1 & 1) if kbits and rate else 0
