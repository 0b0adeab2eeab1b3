"""What the container of a sound file states before it is decoded: length, recordings, damage.

No sound is decoded here. An Ogg numbers its pages and has a checksum in each; WAV and its relatives state the bytes of
their sound.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from unravel_lib.audio.blocks import Sound
from unravel_lib.errors import InputError

BLOCK_SAMPLES = 1 << 17  # samples per block that is read, about 3 s
LOSSY_SLACK = 0.2  # seconds by which the length of compressed sound may differ from what is stated: padding of codecs
ID3_HEAD, ID3V1_BYTES, APE_HEAD = 10, 128, 32
MOST_BYTES = 1 << 62
SEARCH_BYTES = 1 << 16  # read in one call while searching
REST_BYTES = 1 << 16  # more than this behind the sound of a WAV, if these are no chunks, may be lost sound


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


def not_sound(path: Path) -> InputError:
    """Return the error for a file that no reader knows."""
    found = "is not a sound file of a format that is read, or is damaged"
    return InputError(found, path=path, remedy="convert it to WAV")


def cut_short(path: Path, what: str) -> InputError:
    """Return the error for an incomplete file; `what` names the part that is missing."""
    remedy = "copy it again, or open it in an audio editor and save what is left"
    return InputError(f"is cut short ({what})", path=path, remedy=remedy)


def damaged(path: Path, what: str) -> InputError:
    """Return the error for a file whose bytes were changed, lost or doubled."""
    return InputError(f"is damaged: {what}", path=path)


def id3_end(file: BinaryIO, at: int = 0) -> int:
    """Return where the ID3v2 tags end that begin at `at`; `at` if there are none. Pictures in them may look like sound.

    Source: id3.org, ID3v2.4.0 structure, section 3.1.
    """
    while (head := peek(file, at, ID3_HEAD))[:3] == b"ID3" and len(head) == ID3_HEAD and max(head[6:]) < 0x80:
        footer = ID3_HEAD if head[5] & 0x10 else 0
        at += ID3_HEAD + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + footer
    return at


def tags_end(file: BinaryIO, at: int) -> int:
    """Return where the tags that begin at `at` end. Source: APE tags specification 2.0."""
    while True:
        head, start = peek(file, at, APE_HEAD), at
        at = id3_end(file, at)
        if head.startswith(b"APETAGEX"):
            is_header = len(head) == APE_HEAD and head[23] & 0x20
            at += int.from_bytes(head[12:16], "little") + APE_HEAD if is_header else APE_HEAD
        elif head.startswith(b"TAG"):
            at += ID3V1_BYTES
        if at == start:
            return at


def tags_start(file: BinaryIO, size: int) -> int:
    """Return where the tags begin that a file ends with; `size` if there are none. Some readers take them for sound."""
    if peek(file, max(0, size - ID3V1_BYTES), 3) == b"TAG":
        size -= ID3V1_BYTES
    foot = peek(file, max(0, size - APE_HEAD), APE_HEAD)
    if foot.startswith(b"APETAGEX") and len(foot) == APE_HEAD:
        length = int.from_bytes(foot[12:16], "little") + APE_HEAD * (foot[23] >> 7)
        return size - length if length <= size else size
    return size


def peek(file: BinaryIO, at: int, length: int) -> bytes:
    """Return up to `length` bytes from `at` on."""
    if at > MOST_BYTES:  # what a damaged header says
        return b""
    file.seek(at)
    return file.read(length)


# WAV, AIFF and their relatives: chunks


class Form(NamedTuple):
    """How the chunks of a file are written: each is an id, a size, and that many bytes."""

    head: int  # bytes before the first chunk
    id_bytes: int
    size_bytes: int
    order: Literal["little", "big"]
    sound: bytes  # the id of the chunk of sound
    align: int = 2  # a chunk begins at a multiple
    counts_itself: bool = False  # the size includes id and size


FORMS = {
    b"RIFF": Form(12, 4, 4, "little", b"data"),
    b"RF64": Form(12, 4, 4, "little", b"data"),
    b"BW64": Form(12, 4, 4, "little", b"data"),
    b"RIFX": Form(12, 4, 4, "big", b"data"),
    b"FORM": Form(12, 4, 4, "big", b"SSND"),
    b"caff": Form(8, 4, 8, "big", b"data", 1),
    b"riff": Form(40, 16, 8, "little", bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"), 8, True),  # W64
    b"DSD ": Form(28, 4, 8, "little", b"data", 1, True),  # DSF
    b".snd": Form(4, 0, 4, "big", b""),  # AU, one chunk; its header has no id, but the place of the sound
}
WHOLE_SIZE = (b"RIFF", b"RIFX", b"FORM")  # the size of the file is in bytes 4 to 8
UNKNOWN_SIZES = (1 << 31, 1 << 32, 1 << 63, 1 << 64)  # writers to a pipe put about such a size: they cannot know it
UNKNOWN_SLACK = 0x1000


def read_chunks(path: Path, file: BinaryIO, start: int, size: int) -> tuple[bytes, int]:
    """Compare the sizes that WAV, AIFF, AU, CAF, W64 or DSF state with the size of the file.

    Returns what belongs in front of the sound, where the sizes of sound and file were never written; else nothing. And
    how many bytes behind the sound are no chunks.

    Sources: RIFF (Microsoft 1991), EBU Tech 3306 (RF64), AIFF 1.3, Apple Core Audio Format 1.0, Sony Wave64, Sony
    DSF 1.01, Sun AU.

    Raises
    ------
    InputError
        The file is cut short.
    """
    magic = peek(file, start, 4)
    form, wide = FORMS[magic], 0
    for name, field, body, stated in _chunks(file, form, start + form.head):
        if name == b"ds64":
            wide = body + 8  # RF64 has the size of its sound here
        if name != form.sound:
            if body + stated > size:
                raise cut_short(path, f"{max(0, size - body)} bytes of {stated}")
            continue
        width, there = form.size_bytes, size - body
        if wide and stated in (0, 0xFFFFFFFF):
            field, width = wide, 8
            stated = int.from_bytes(peek(file, wide, 8), "little")
        is_tidy = _only_chunks(file, form, body + stated, size)
        if there > 0 and (_is_unknown(stated, there) or (not stated and not is_tidy)):
            value = there + form.counts_itself * (form.id_bytes + form.size_bytes)
            written = min(value, (1 << 8 * width) - 1).to_bytes(width, form.order)
            return peek(file, start, field - start) + written + peek(file, field + width, body - field - width), 0
        whole = start + 8 + int.from_bytes(peek(file, start + 4, 4), form.order) if magic in WHOLE_SIZE else 0
        if stated > there or (whole > size + 8 and not _is_unknown(whole, size)):
            raise cut_short(path, f"{there} bytes of {stated}" if stated > there else f"{size} bytes of {whole}")
        rest = size - body - stated
        return b"", 0 if is_tidy or rest < REST_BYTES else rest
    return b"", 0


def _chunks(file: BinaryIO, form: Form, at: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield of each chunk its id, where its size is, where its bytes begin, and its size."""
    head = form.id_bytes + form.size_bytes
    while len(data := peek(file, at, head)) == head:
        field, body = at + form.id_bytes, at + head
        stated = int.from_bytes(data[form.id_bytes :], form.order)
        if not form.id_bytes:
            body, field = at - 4 + stated, at + 4
            stated = int.from_bytes(peek(file, field, 4), form.order)
        stated = max(0, stated - head * form.counts_itself)
        yield data[: form.id_bytes], field, body, stated
        at = body + stated + -stated % form.align


def _only_chunks(file: BinaryIO, form: Form, at: int, size: int) -> bool:
    """Return whether there are chunks only from `at` to the end, or a tag, or nothing."""
    at = id3_end(file, at)
    at += -at % form.align
    for name, _, body, stated in _chunks(file, form, at):
        if not form.id_bytes or not all(0x20 <= letter < 0x7F for letter in name[:4]):
            return False
        at = body + stated
    return at <= size + form.align and size - at < form.id_bytes + form.size_bytes


def _is_unknown(stated: int, there: int) -> bool:
    return stated > there and any(abs(stated - size) <= UNKNOWN_SLACK for size in UNKNOWN_SIZES)


# Ogg: pages

OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")  # first bytes of a stream of sound
OGG_FIRST, OGG_LAST = 2, 4  # flags of the first and the last page of a stream
OGG_HEAD = 27
OGG_NO_GRANULE = -1  # on a page where no packet ends
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_recordings(path: Path, file: BinaryIO, start: int, size: int) -> list[tuple[int, int]]:
    """Return where the recordings of an Ogg begin and end: several in a chain, as internet radios write it.

    Each begins with the first pages of all its streams. Source: RFC 3533, sections 4 and 6.

    Raises
    ------
    InputError
        A page is damaged, missing or not in order, or the file is cut short.
    """
    starts: list[int] = []
    numbers: dict[bytes, int] = {}  # serial number of a stream -> number of its next page
    unended: dict[bytes, int] = {}  # streams of sound whose last page was not found yet -> their last granule position
    was_first = False
    for at, page in _ogg_pages(path, file, start, size):
        is_first, serial, number = bool(page[5] & OGG_FIRST), page[14:18], int.from_bytes(page[18:22], "little")
        granule = int.from_bytes(page[6:14], "little", signed=True)
        if is_first and not was_first:
            if unended:
                break
            starts.append(at)
            numbers.clear()
        if not is_first and number != numbers.get(serial):
            raise damaged(path, f"its Ogg page {number} at byte {at} does not follow the one before it")
        numbers[serial] = number + 1
        if is_first and page[OGG_HEAD + page[26] :].startswith(OGG_SOUND):
            unended[serial] = granule
        if granule != OGG_NO_GRANULE and serial in unended:
            if granule < unended[serial]:
                raise damaged(path, f"its Ogg page at byte {at} states a time before that of the page before it")
            unended[serial] = granule
        if page[5] & OGG_LAST:
            unended.pop(serial, None)
            numbers.pop(serial)
        was_first = is_first
    if unended:
        raise cut_short(path, "it ends without an end-of-stream mark")
    return list(zip(starts, [*starts[1:], size], strict=True))


def _ogg_pages(path: Path, file: BinaryIO, at: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the position and the bytes of each page."""
    while (found := _find(file, at, b"OggS")) is not None:
        head = peek(file, found, OGG_HEAD + 255)
        length = OGG_HEAD + head[26] + sum(head[OGG_HEAD : OGG_HEAD + head[26]]) if len(head) > OGG_HEAD else OGG_HEAD
        if found + length > size or len(head) < OGG_HEAD:
            raise cut_short(path, "its last page is incomplete")
        page = peek(file, found, length)
        if _ogg_checksum(page) != page[22:26]:
            raise damaged(path, f"the checksum of its Ogg page at byte {found} is wrong")
        yield found, page
        at = found + length


def _ogg_checksum(page: bytes) -> bytes:
    """Source: RFC 3533, section 6: the CRC of zlib with all bits in reverse order, and without its inversions."""
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(MIRRORED)
    return (zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "big").translate(MIRRORED)


def _find(file: BinaryIO, at: int, wanted: bytes) -> int | None:
    """Return the position of the first such bytes from `at` on."""
    window = peek(file, at, len(wanted))  # in most files they are exactly there
    while len(window) >= len(wanted):
        if (found := window.find(wanted)) >= 0:
            return at + found
        at += len(window) - len(wanted) + 1
        window = peek(file, at, SEARCH_BYTES)
    return None
