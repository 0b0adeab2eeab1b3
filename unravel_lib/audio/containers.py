"""The recordings in the bytes of a sound file, and whether it was cut short, before it is decoded.

A chained Ogg, as internet radios write it, and joined MP3s contain several recordings in a row. libsndfile reads the
first one and stops; so they are found here and read one by one.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from unravel_lib.errors import InputError
from unravel_lib.text import printable

OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")  # first bytes of a stream of sound
OGG_FIRST, OGG_LAST = 2, 4  # flags of the first and the last page of a stream
MP3_HEADER = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # MPEG 2.5, 2 and 1, layer III
MP3_KBITS = {  # bit rates by index in MPEG 1, and in MPEG 2 and 2.5
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
MP3_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")  # first bytes of what may be between two MP3s
MP3_TAG_BYTES = 128  # of an ID3v1 tag, which readers accept at the end of a file
MP3_PADDING_FRAMES = 8  # fewer than this after the frames that a header counts are padding, not another recording
SEARCH_BYTES = 1 << 16  # read in one call while searching


class Part(NamedTuple):
    """One recording in a file.

    Attributes
    ----------
    start, stop : int
        Where its bytes are.
    counted : bool
        It is an MP3 whose header states how many frames it has.
    """

    start: int
    stop: int
    counted: bool = False


def cut_short(path: Path, what: str) -> InputError:
    """Return the error for an incomplete file; `what` names the part that is missing."""
    return InputError(
        f"{printable(path)} is cut short ({what}): copy it again, or open it in an audio editor and save what is left"
    )


def parts_of(path: Path, file: BinaryIO) -> list[Part]:
    """Find the recordings in a sound file: several in a chained Ogg or in joined MP3s, one in other files.

    Parameters
    ----------
    path : Path
        The name of the file, for error texts.
    file : binary file
        The open file, at its start.

    Raises
    ------
    InputError
        The file is an Ogg or CAF that is cut short.
    """
    head = file.read(4)
    whole = [Part(0, file.seek(0, os.SEEK_END))]
    if head == b"OggS":
        return _ogg_parts(path, file)
    if head == b"caff":
        _refuse_cut_caf(path, file)
    if head[:3] == b"ID3" or MP3_HEADER.match(head):
        return _mp3_parts(file) or whole
    return whole


def _ogg_parts(path: Path, file: BinaryIO) -> list[Part]:
    """Find the recordings in an Ogg file; each begins with the first pages of all its streams.

    Source: RFC 3533, sections 4 and 6.
    """
    size = file.seek(0, os.SEEK_END)
    starts = [0]
    ended: dict[int, bool] = {}  # serial number of a stream of sound -> its last page was found
    first_before = False  # the page before was the first of a stream
    for start, stop, head in _ogg_pages(file):
        if stop > size:
            raise cut_short(path, "its last page is incomplete")
        first, serial = bool(head[5] & OGG_FIRST), int.from_bytes(head[14:18], "little")
        if first and not first_before:
            _refuse_without_end(path, ended)
            starts += [start] if start else []
            ended = {}
        if first and head[27 + head[26] :].startswith(OGG_SOUND):
            ended[serial] = False
        if serial in ended:
            ended[serial] |= bool(head[5] & OGG_LAST)
        first_before = first
    _refuse_without_end(path, ended)
    return [Part(*ends) for ends in zip(starts, [*starts[1:], size], strict=True)]


def _refuse_without_end(path: Path, ended: dict[int, bool]) -> None:
    if not all(ended.values()):
        raise cut_short(path, "it ends without an end-of-stream mark")


def _refuse_cut_caf(path: Path, file: BinaryIO) -> None:
    """Compare the sizes of the chunks with the size of the file; a size of -1 is one that the writer did not know.

    Source: Apple Core Audio Format Specification 1.0.
    """
    size, at = file.seek(0, os.SEEK_END), 8
    while at + 12 <= size:
        file.seek(at + 4)
        stated, there = int.from_bytes(file.read(8), "big", signed=True), size - at - 12
        if stated > there:
            raise cut_short(path, f"{there} bytes of {stated}")
        at += 12 + stated if stated >= 0 else size


def _ogg_pages(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield start, end and first bytes of each page; a page that is cut short ends after the end of the file."""
    start = _find_ogg(file, 0)
    while start is not None:
        file.seek(start)
        head = file.read(27 + 255 + 8)
        segments = head[26] if len(head) > 26 else 0
        if len(head) < 27 + segments:
            head, stop = head.ljust(27, b"\0"), start + 27 + segments
        else:
            stop = start + 27 + segments + sum(head[27 : 27 + segments])
        yield start, stop, head
        start = _find_ogg(file, stop)


def _find_ogg(file: BinaryIO, at: int) -> int | None:
    """Return the position of the first page from `at` on."""
    file.seek(at)
    window = file.read(4)  # in most files it is exactly there
    while len(window) >= 4:
        found = window.find(b"OggS")
        if found >= 0:
            return at + found
        at += len(window) - 3
        file.seek(at)
        window = file.read(SEARCH_BYTES)
    return None


def _mp3_parts(file: BinaryIO) -> list[Part]:
    """Find the recordings in an MP3, without the tags around them; none where no frame is found.

    A recording begins with a frame that counts the others (a Xing or Info header), or after the last frame that such a
    header counts. Without such headers it begins after a tag or where the kind of frames changes.
    """
    size = file.seek(0, os.SEEK_END)
    end = _mp3_stated_end(file)
    if end and end + MP3_TAG_BYTES >= size:
        return [Part(0, size, True)]
    parts: list[Part] = []
    lengths: list[int] = []  # in frames
    kind, stated = (0, 0, False), 0
    for start, head, after_tag in _mp3_frames(file):
        marked, count = _mp3_count(head)
        over = lengths[-1] > stated if stated else after_tag or _mp3_kind(head) != kind
        if not parts or marked or over:
            parts.append(Part(start, start, bool(count)))
            lengths.append(0)
            stated = count
        kind = _mp3_kind(head)
        lengths[-1] += 1
        parts[-1] = parts[-1]._replace(stop=start + _mp3_bytes(head))
    padding = {
        part for part, n in zip(parts[1:], lengths[1:], strict=True) if n < MP3_PADDING_FRAMES and not part.counted
    }
    return [part for part in parts if part not in padding]


def _mp3_stated_end(file: BinaryIO) -> int:
    """Return where the first recording ends if its first frame counts frames and bytes, else 0."""
    start = _find_mp3(file, 0)
    head = b"" if start is None else _peek(file, start)
    if start is None or not _mp3_count(head)[1]:
        return 0
    at = _mp3_mark(head)
    return start + int.from_bytes(head[at + 12 : at + 16], "big") if head[at + 7] & 2 else 0


def _mp3_frames(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Yield start and first bytes of each frame, and whether a tag is before it."""
    at, before, kind = 0, 0, (0, 0, False)
    while True:
        head, after_tag = _peek(file, at), False
        if not _mp3_bytes(head) or _mp3_kind(head) != kind:
            after_tag = head.startswith(MP3_TAGS)
            found = _find_mp3(file, before)  # the frame before may be cut short, and the next begin inside it
            if found is None:
                return
            at, head = found, _peek(file, found)
            kind = _mp3_kind(head)
        yield at, head, after_tag
        at, before = at + _mp3_bytes(head), at + 1


def _peek(file: BinaryIO, at: int) -> bytes:
    file.seek(at)
    return file.read(64)  # enough for a Xing header


def _find_mp3(file: BinaryIO, at: int) -> int | None:
    """Return the position of the first frame from `at` on that two of its kind follow, so that it is no coincidence."""
    window = _peek(file, at)
    while len(window) >= 4:
        for match in MP3_HEADER.finditer(window):
            if _two_follow(file, at + match.start()):
                return at + match.start()
        at += len(window) - 1
        file.seek(at)
        window = file.read(SEARCH_BYTES)
    return None


def _two_follow(file: BinaryIO, at: int) -> bool:
    kinds = set()
    for _ in range(3):
        head = _peek(file, at)
        length = _mp3_bytes(head)
        if not length:
            return False
        kinds.add(_mp3_kind(head))
        at += length
    return len(kinds) == 1


def _mp3_kind(head: bytes) -> tuple[int, int, bool]:
    """Return version, index of the sample rate, and whether it is mono."""
    return head[1] & 0x18, head[2] & 0x0C, head[3] >> 6 == 3


def _mp3_bytes(head: bytes) -> int:
    """Return the length of the frame with this header, 0 if it is none.

    Source: ISO 11172-3 and 13818-3, layer III.
    """
    if len(head) < 4 or not MP3_HEADER.match(head):
        return 0
    version = head[1] >> 3 & 3  # 3, 2 and 0 for MPEG 1, 2 and 2.5
    kbits, rate = MP3_KBITS[version == 3][head[2] >> 4], (44100, 48000, 32000, 0)[head[2] >> 2 & 3]
    if not kbits or not rate:
        return 0
    rate >>= {3: 0, 2: 1, 0: 2}[version]
    return (144_000 if version == 3 else 72_000) * kbits // rate + (head[2] >> 1 & 1)


def _mp3_mark(head: bytes) -> int:
    """Return the position of a Xing or Info header in its frame: where the side information of another frame ends."""
    version, _, mono = _mp3_kind(head)
    return 4 + {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[version == 0x18, mono]


def _mp3_count(head: bytes) -> tuple[bool, int]:
    """Return whether the frame is a Xing or Info header, and how many other frames that counts (0 if it does not)."""
    at = _mp3_mark(head)
    if head[at : at + 4] not in (b"Xing", b"Info"):
        return False, 0
    return True, int.from_bytes(head[at + 8 : at + 12], "big") if head[at + 7] & 1 else 0
