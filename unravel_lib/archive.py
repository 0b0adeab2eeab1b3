"""Look into a model file without running it: what kind it is, whether it arrived whole, whether its code is harmless.

Model files are zip archives (TorchScript, checkpoints since PyTorch 1.6) or safetensors. Everything here reads bytes;
nothing is unpickled, imported or executed, and torch is not needed.
"""

import enum
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from unravel_lib import screen
from unravel_lib.errors import ModelError
from unravel_lib.files import shown

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 512
TEXT_BYTES = 16 << 20  # the largest code member or pickle that is read at once; real ones have up to 1 MiB
UNPACKED_RATIO = 16  # PyTorch stores tensors unpacked: an archive that grows more than this is no model
UNPACKED_SPARE = 64 << 20
ZIP_START = b"PK\x03\x04"
OLD_CHECKPOINT_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # torch.save before PyTorch 1.6
AGAIN = "download or export it again"
# what zipfile raises about damaged archives; an OSError where an offset points before the start
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error, OSError)

# What people give by mistake: how the file begins (without leading blanks, in lower case), what to tell them.
MISTAKES = (
    (b"version https://git-lfs", "is a git-lfs pointer, not the model itself: fetch it with `git lfs pull`"),
    (b"<!doctype", f"is a web page, not a model: the download went wrong, {AGAIN}"),
    (b"<html", f"is a web page, not a model: the download went wrong, {AGAIN}"),
    (b"<?xml", f"is an XML text, not a model: the download went wrong, {AGAIN}"),
    (b"\x93numpy", "is a NumPy array (latents?), not a model: give a model file"),
    (b"riff", "is a sound file, not a model: give a model file"),
    (b"flac", "is a sound file, not a model: give a model file"),
    (b"oggs", "is a sound file, not a model: give a model file"),
    (b"id3", "is a sound file, not a model: give a model file"),
    (b"\x89hdf", "is an HDF5 file, expected a TorchScript export or a PyTorch checkpoint"),
    (b"\x1f\x8b", "is a gzip archive: unpack it first"),
    (b"7z\xbc\xaf", "is a 7-Zip archive: unpack it first"),
    (b"rar!", "is a RAR archive: unpack it first"),
    (b"pk\x05\x06", "is an empty zip archive, not a model: give a model file"),
)


class Kind(enum.Enum):
    """The kinds of model files."""

    TORCHSCRIPT = "TorchScript"
    CHECKPOINT = "PyTorch checkpoint"
    SAFETENSORS = "safetensors"


def identify(path: Path) -> Kind:
    """Tell what kind of model file `path` is, from its first bytes and its list of members.

    Raises
    ------
    ModelError
        Missing, a folder, unreadable, empty, truncated, or no model; the text says which.
    """
    head = _head(path)
    if head.startswith(ZIP_START):
        with _open(path) as archive:
            return _kind_of_zip(path, archive)
    if head.startswith(OLD_CHECKPOINT_START):
        return Kind.CHECKPOINT
    if _is_safetensors(path, head):
        return Kind.SAFETENSORS
    raise ModelError(f"{shown(path)} {_mistake(path, head)}")


def check(path: Path, trust: bool = False) -> Kind:
    """Make sure that a model file arrived whole and is safe to load; run this before every load.

    Costs about 0.2 s for a 150 MB model. `trust` leaves out the look at the code (`--trust_model`), never the rest.

    Raises
    ------
    ModelError
        As `identify`; also a member with a wrong checksum, an archive that PyTorch never wrote, or, unless `trust`,
        code that could touch files or run something outside the model.
    """
    kind = identify(path)
    if not zipfile.is_zipfile(path):
        return kind
    with _open(path) as archive:
        refuse_strange_archive(path, archive)
        bad = wrong_checksum(archive)
        if bad is not None:
            raise ModelError(f"{shown(path)} is damaged inside: checksum of {shown(bad)} is wrong: {AGAIN}")
        if kind is Kind.TORCHSCRIPT and not trust:
            found = next(suspicions(path, archive), None)
            if found is not None:
                raise ModelError(
                    f"{shown(path)} contains {shown(found)}, which could touch files or run something outside the "
                    "model, expected only audio computations: if you know who made it, allow it with --trust_model"
                )
    return kind


def suspicions_in(path: Path) -> list[str]:
    """Everything in a TorchScript file for which `check` wants `--trust_model`, as readable phrases."""
    with _open(path) as archive:
        return list(dict.fromkeys(suspicions(path, archive)))


def code_members(path: Path) -> list[str]:
    """The names of the code members of a TorchScript file."""
    with _open(path) as archive:
        return [i.filename for i in archive.infolist() if _is_code(i.filename)]


def member(path: Path, name: str) -> bytes | None:
    """The bytes of one member, named without the archive's root; None where there is none of that name."""
    with _open(path) as archive:
        for info in archive.infolist():
            if info.filename.split("/", 1)[-1] == name:
                return _text(path, archive, info)
    return None


def format_version(path: Path) -> str | None:
    """The number of the file format in the archive's `version` member; PyTorch does not store its own version."""
    found = member(path, "version")
    return None if found is None else found.decode("ascii", "replace").strip()[:20]


def _head(path: Path) -> bytes:
    name = shown(path)
    if not os.path.lexists(path):
        raise ModelError(f"{name} does not exist: check the path")
    if path.is_dir():
        raise ModelError(f"{name} is a folder, expected a model file")
    if not path.exists():
        raise ModelError(f"{name} is a link to something that does not exist: check the path")
    if not path.is_file():
        raise ModelError(f"{name} is not a regular file, expected a model file")
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ModelError(f"{name} cannot be read: {error.strerror}") from error
    if not head:
        raise ModelError(f"{name} is empty (0 bytes): {AGAIN}")
    return head


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise ModelError(f"{shown(path)} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ModelError(
            f"{shown(path)} is truncated or damaged (its table of contents is missing): {AGAIN}"
        ) from error


def _kind_of_zip(path: Path, archive: zipfile.ZipFile) -> Kind:
    names = archive.namelist()
    inner = {name.split("/", 1)[1] for name in names if "/" in name}
    if "constants.pkl" in inner:
        return Kind.TORCHSCRIPT
    if "data.pkl" in inner:
        return Kind.CHECKPOINT
    models = [name for name in names if name.lower().endswith((".ts", ".ckpt", ".pt", ".pth", ".safetensors"))]
    if models:
        raise ModelError(f"{shown(path)} is a zip archive that holds {shown(models[0])}: unpack it first")
    raise ModelError(f"{shown(path)} is a zip archive, but not a model: it has neither constants.pkl nor data.pkl")


def _is_safetensors(path: Path, head: bytes) -> bool:
    """A safetensors file begins with the length of its JSON header (8 bytes, little endian), then the header."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    length = struct.unpack("<Q", head[:8])[0]
    if not 2 <= length <= min(100_000_000, path.stat().st_size - 8):
        if path.suffix.lower() == ".safetensors":
            raise ModelError(f"{shown(path)} is truncated or damaged (its header does not fit in it): {AGAIN}")
        return False
    with open(path, "rb") as file:
        file.seek(8)
        try:
            return isinstance(json.loads(file.read(length)), dict)
        except (ValueError, RecursionError):
            return False


def _mistake(path: Path, head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for begins, text in MISTAKES:
        if start.startswith(begins):
            return text
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "is a bare Python pickle, which is never loaded: expected a TorchScript export or a PyTorch checkpoint"
    if not head.strip(b"\0"):
        return f"holds only zeros: the download is not finished, {AGAIN}"
    try:
        text = head[:-3].decode("utf-8") if len(head) == HEAD_BYTES else head.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if text.strip() and all(c.isprintable() or c in "\r\n\t" for c in text):
        return f"is a text file, not a model: it begins with {text.split()[0][:40]!r}"
    return "is not a model file: expected a TorchScript export (.ts), a PyTorch checkpoint or safetensors"


def refuse_strange_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse archives that PyTorch would not have written and might read in another way than we do.

    PyTorch ignores the case of member names, takes the name before the first slash as root of everything, and reads
    files that carry a FlatBuffers mark near their start in a quite different way.
    """

    def strange(why: str) -> ModelError:
        return ModelError(f"{shown(path)} is not an archive as PyTorch writes it: {why}: {AGAIN}")

    infos = archive.infolist()
    seen: set[str] = set()
    root = infos[0].filename.split("/", 1)[0] + "/"
    for info in infos:
        name = info.filename.lower()
        if name in seen:
            raise strange(f"it has two members named {shown(info.filename)}")
        seen.add(name)
        if not info.filename.startswith(root) or "\\" in name or "/../" in name:
            raise strange(f"its member {shown(info.filename)} is outside of {shown(root)}")
        if name.split("/", 1)[1] == "model.json":
            raise strange("it has a model.json, as only PyTorch before 1.2 wrote")
        if info.flag_bits & 0x1:
            raise strange(f"its member {shown(info.filename)} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise strange(f"its member {shown(info.filename)} is packed in an unknown way")
    if min(info.header_offset for info in infos) != 0:
        raise strange("there is something else in front of it")
    if archive.comment:
        raise strange("there is something else behind it")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > UNPACKED_RATIO * path.stat().st_size + UNPACKED_SPARE:
        raise strange(f"it would unpack to {unpacked / 2**30:.1f} GiB")


def wrong_checksum(archive: zipfile.ZipFile) -> str | None:
    """The name of the first member whose bytes do not fit their checksum, or None; reads in blocks of 1 MiB."""
    for info in archive.infolist():
        try:
            with archive.open(info) as member:
                while member.read(BLOCK_BYTES):
                    pass
        except UNREADABLE:
            return info.filename
    return None


def suspicions(path: Path, archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield what the code and the object tables of a TorchScript archive contain that no honest model needs."""
    for info in archive.infolist():
        inner = info.filename.split("/", 1)[-1]
        if _is_code(info.filename):
            for what in screen.code(_text(path, archive, info)):
                yield f"{what} in {inner}"
        elif inner.lower() in ("data.pkl", "constants.pkl"):
            for what in screen.pickle(_text(path, archive, info)):
                yield f"{what} in {inner}"


def _is_code(name: str) -> bool:
    return name.lower().endswith(".py")


def _text(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > TEXT_BYTES:
        raise ModelError(f"{shown(path)}: {shown(info.filename)} has {info.file_size >> 20} MiB, at most 16 are read")
    try:
        return archive.read(info)
    except UNREADABLE as error:
        raise ModelError(f"{shown(path)} is damaged inside: {shown(info.filename)} cannot be read: {AGAIN}") from error
