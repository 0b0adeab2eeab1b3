"""Look into a model file without running it: what kind it is, whether it arrived whole, whether its code is harmless.

Model files are zip archives (TorchScript, checkpoints since PyTorch 1.6) or safetensors. Everything here reads bytes;
nothing is made, imported or executed. PyTorch does not read a TorchScript file itself: Python's `zipfile` and PyTorch
may find different things in the same bytes. It gets a new archive of what was looked at (`screened`).
"""

import contextlib
import enum
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from unravel_lib.errors import ModelError
from unravel_lib.models import code_scan, object_table
from unravel_lib.text import printable

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 512
TEXT_BYTES = 1 << 20  # of all code of a model, and of each object table; real ones have 120 and 50 KiB
CODE_BYTES = 1 << 18  # of one code member, as parsing takes up to 900 times the memory; real ones have 25 KiB
OBJECT_TABLES = ("data.pkl", "constants.pkl")
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
    raise ModelError(f"{printable(path)} {_mistake(path, head)}")


def check(path: Path, trust: bool = False) -> Kind:
    """Make sure that a model file arrived whole and is harmless; costs about 0.2 s for a 150 MB model.

    `trust` leaves out the look at the code (`trust_model`), never the rest.

    Raises
    ------
    ModelError
        As `identify`; also a member with a wrong checksum, an archive that PyTorch never wrote, or, unless `trust`,
        code that could touch files or run something outside the model.
    """
    kind = identify(path)
    if zipfile.is_zipfile(path):
        with _open(path) as archive:
            _read_all(path, archive, trust)
    return kind


@contextlib.contextmanager
def screened(path: Path, trust: bool = False) -> Iterator[str | IO[bytes]]:
    """Yield what to give to `torch.jit.load`: a new archive of exactly the bytes that were checked.

    Parameters
    ----------
    path : a TorchScript file
    trust : leave out the look at the code (`trust_model`), never the rest

    Raises
    ------
    ModelError
        As `check`; or the folder for temporary files has no room.
    """
    with contextlib.ExitStack() as opened:
        try:
            copy = opened.enter_context(tempfile.TemporaryFile())
            with _open(path) as archive, zipfile.ZipFile(copy, "w") as target:
                _read_all(path, archive, trust, target)
            source = for_torch(copy)
        except OSError as error:
            raise ModelError(
                f"{printable(path)} cannot be copied to the folder for temporary files: {error.strerror}: "
                "set TMPDIR to a folder with more room"
            ) from error
        yield source


def for_torch(file: IO[bytes]) -> str | IO[bytes]:
    """The name of an open file, whatever it is called and also after its removal; the file where it has none.

    PyTorch reads a named file piece by piece, any other whole into memory; it does not take names that are no UTF-8.
    Ask anew for each time that it is read: on macOS a name goes on where the last reader stopped.
    """
    file.seek(0)  # also writes what is still in memory
    name = f"/dev/fd/{file.fileno()}"
    return name if os.path.exists(name) else file


def suspicions_in(path: Path) -> list[str]:
    """Everything in a TorchScript file for which `check` wants `trust_model`, as readable phrases."""
    with _open(path) as archive:
        texts = {info: _text(path, archive, info) for info in archive.infolist() if _is_text(info)}
        return list(dict.fromkeys(_suspicions(texts, archive)))


def code_members(path: Path) -> list[str]:
    """The names of the code members of a TorchScript file."""
    with _open(path) as archive:
        return [info.filename for info in archive.infolist() if _is_code(info)]


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
    name = printable(path)
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
        raise ModelError(f"{printable(path)} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ModelError(
            f"{printable(path)} is truncated or damaged (its table of contents is missing): {AGAIN}"
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
        raise ModelError(f"{printable(path)} is a zip archive that holds {printable(models[0])}: unpack it first")
    raise ModelError(f"{printable(path)} is a zip archive, but not a model: it has neither constants.pkl nor data.pkl")


def _is_safetensors(path: Path, head: bytes) -> bool:
    """A safetensors file begins with the length of its JSON header (8 bytes, little endian), then the header."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    length = struct.unpack("<Q", head[:8])[0]
    if not 2 <= length <= min(100_000_000, path.stat().st_size - 8):
        if path.suffix.lower() == ".safetensors":
            raise ModelError(f"{printable(path)} is truncated or damaged (its header does not fit in it): {AGAIN}")
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
        return ModelError(f"{printable(path)} is not an archive as PyTorch writes it: {why}: {AGAIN}")

    infos = archive.infolist()
    seen: set[str] = set()
    root = infos[0].filename.split("/", 1)[0] + "/"
    for info in infos:
        name = info.filename.lower()
        if name in seen:
            raise strange(f"it has two members named {printable(info.filename)}")
        seen.add(name)
        if not info.filename.startswith(root) or "\\" in name or "/../" in name:
            raise strange(f"its member {printable(info.filename)} is outside of {printable(root)}")
        if name.split("/", 1)[1] == "model.json":
            raise strange("it has a model.json, as only PyTorch before 1.2 wrote")
        if info.flag_bits & 0x1:
            raise strange(f"its member {printable(info.filename)} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise strange(f"its member {printable(info.filename)} is packed in an unknown way")
    if min(info.header_offset for info in infos) != 0:
        raise strange("there is something else in front of it")
    if archive.comment:
        raise strange("there is something else behind it")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > UNPACKED_RATIO * path.stat().st_size + UNPACKED_SPARE:
        raise strange(f"it would unpack to {unpacked / 2**30:.1f} GiB")


def _read_all(path: Path, archive: zipfile.ZipFile, trust: bool, target: zipfile.ZipFile | None = None) -> None:
    """Read every member once: into its checksum, into `target` where PyTorch needs it, and into the screen."""
    refuse_strange_archive(path, archive)
    screening = _kind_of_zip(path, archive) is Kind.TORCHSCRIPT and not trust
    texts: dict[zipfile.ZipInfo, bytes] = {}
    code_bytes = 0
    for info in archive.infolist():
        kept: list[bytes] = []
        with contextlib.ExitStack() as opened:
            takers: list[Callable[[bytes], Any]] = []
            if target is not None and _is_loaded(info):
                copy = zipfile.ZipInfo(info.filename)
                takers.append(opened.enter_context(target.open(copy, "w", force_zip64=True)).write)
            if screening and _is_text(info):
                code_bytes += info.file_size if _is_code(info) else 0
                _refuse_large(path, info, code_bytes)
                takers.append(kept.append)
            for block in _blocks(path, archive, info):
                for take in takers:
                    take(block)
        if kept:
            texts[info] = b"".join(kept)
    found = next(_suspicions(texts, archive), None)
    if found is not None:
        raise ModelError(
            f"{printable(path)} contains {printable(found)}, which could touch files or run something outside the "
            "model, expected only audio computations: if you know who made it, allow it with `trust_model`"
        )


def _blocks(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of one member, 1 MiB at a time; raises ModelError at its end where they are not what they were."""
    try:
        with archive.open(info) as member:
            count = 0
            while block := member.read(BLOCK_BYTES):
                count += len(block)
                yield block
        whole = count == info.file_size
    except UNREADABLE:
        whole = False
    if not whole:
        raise ModelError(
            f"{printable(path)} is damaged inside: checksum of {printable(info.filename)} is wrong: {AGAIN}"
        )


def _suspicions(texts: dict[zipfile.ZipInfo, bytes], archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield what the code and the object tables of a TorchScript archive contain that no honest model needs."""
    sizes = {_inner(info).lower(): info.file_size for info in archive.infolist()}
    for info, text in texts.items():
        inner = _inner(info)
        if _is_code(info):
            found = code_scan.code(text)
        else:
            folder = f"{inner.lower().removesuffix('.pkl')}/"
            found = object_table.suspicions(
                text, {name.removeprefix(folder): size for name, size in sizes.items() if name.startswith(folder)}
            )
        for what in found:
            yield f"{what} in {inner}"


def _inner(info: zipfile.ZipInfo) -> str:
    """The name of a member without the archive's root, which is the name of the model."""
    return info.filename.split("/", 1)[-1]


def _is_code(info: zipfile.ZipInfo) -> bool:
    return _inner(info).lower().startswith("code/") and info.filename.lower().endswith(".py")


def _is_text(info: zipfile.ZipInfo) -> bool:
    return _is_code(info) or _inner(info).lower() in OBJECT_TABLES


def _is_loaded(info: zipfile.ZipInfo) -> bool:
    """True for what PyTorch needs: the rest (where in its source each line of code came from) is left behind."""
    inner = _inner(info).lower()
    tables = (*OBJECT_TABLES, "version", ".data/version", "byteorder")
    return _is_code(info) or inner in tables or inner.startswith(("data/", "constants/"))


def _refuse_large(path: Path, info: zipfile.ZipInfo, code_bytes: int = 0) -> None:
    """Refuse what would take long to look through; `code_bytes` are those of all code members up to this one."""
    if info.file_size > (CODE_BYTES if _is_code(info) else TEXT_BYTES) or code_bytes > TEXT_BYTES:
        raise ModelError(
            f"{printable(path)} has more code or larger tables than real exports: {info.file_size >> 10} KiB in "
            f"{printable(_inner(info))}, {code_bytes >> 10} KiB of code up to there, which is not looked through: if "
            "you know who made it, allow it with `trust_model`"
        )


def _text(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _refuse_large(path, info)
    try:
        return archive.read(info)
    except UNREADABLE as error:
        raise ModelError(
            f"{printable(path)} is damaged inside: {printable(info.filename)} cannot be read: {AGAIN}"
        ) from error
