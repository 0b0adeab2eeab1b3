"""The zip archive of a TorchScript file or a checkpoint: its members, and whether PyTorch could have written it."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from unravel_lib.errors import ModelError
from unravel_lib.text import printable

AGAIN = "download or export it again"
BLOCK_BYTES = 1 << 20
TEXT_BYTES = 1 << 20  # of all code of a model, and of each object table; real ones have 120 and 50 KiB
CODE_BYTES = 1 << 18  # of one code member, as parsing takes up to 900 times the memory; real ones have 25 KiB
OBJECT_TABLES = ("data.pkl", "constants.pkl")
LOADED = (*OBJECT_TABLES, "version", ".data/version", "byteorder")  # in addition to code and tensors
UNPACKED_RATIO = 16  # PyTorch stores tensors unpacked: an archive that grows more than this is no model
UNPACKED_SPARE = 64 << 20
# what zipfile raises about damaged archives; an OSError where an offset points before the start
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error, OSError)


def inner(info: zipfile.ZipInfo) -> str:
    """Return the name of a member without the archive's root, which is the name of the model."""
    return info.filename.split("/", 1)[-1]


def is_code(info: zipfile.ZipInfo) -> bool:
    """Return True for TorchScript code."""
    return inner(info).lower().startswith("code/") and info.filename.lower().endswith(".py")


def is_text(info: zipfile.ZipInfo) -> bool:
    """Return True for code and object tables, which are scanned before a model is loaded."""
    return is_code(info) or inner(info).lower() in OBJECT_TABLES


def is_loaded(info: zipfile.ZipInfo) -> bool:
    """Return True for what PyTorch needs; the rest maps each line of code to its source."""
    name = inner(info).lower()
    return is_code(info) or name in LOADED or name.startswith(("data/", "constants/"))


class Archive:
    """An open zip archive.

    Parameters
    ----------
    file : the file, open for reading
    path : for errors

    Attributes
    ----------
    members : the entries of its table of contents

    Raises
    ------
    ModelError
        It has no table of contents.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(file)
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror or error}", path=path) from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            found = "is truncated or damaged (its table of contents is missing)"
            raise ModelError(found, path=path, remedy=AGAIN) from error
        self.members = self._zip.infolist()

    def find(self, name: str) -> zipfile.ZipInfo | None:
        """Return the member of this name (without the archive's root), or None."""
        return next((info for info in self.members if inner(info) == name), None)

    def blocks(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield the bytes of one member, 1 MiB at a time; raise ModelError at its end where its checksum is wrong."""
        try:
            with self._zip.open(info) as member:
                count = 0
                while block := member.read(BLOCK_BYTES):
                    count += len(block)
                    yield block
            whole = count == info.file_size
        except UNREADABLE:
            whole = False
        if not whole:
            found = f"is damaged inside: checksum of {printable(info.filename)} is wrong"
            raise ModelError(found, path=self._path, remedy=AGAIN)

    def text(self, info: zipfile.ZipInfo) -> bytes:
        """Return the bytes of a code member or an object table."""
        self.refuse_large(info)
        try:
            return self._zip.read(info)
        except UNREADABLE as error:
            found = f"is damaged inside: {printable(info.filename)} cannot be read"
            raise ModelError(found, path=self._path, remedy=AGAIN) from error

    def refuse_large(self, info: zipfile.ZipInfo, code_bytes: int = 0) -> None:
        """Refuse what would take long to scan; `code_bytes` are those of all code members up to this one."""
        if info.file_size > (CODE_BYTES if is_code(info) else TEXT_BYTES) or code_bytes > TEXT_BYTES:
            raise ModelError(
                f"has more code or larger tables than real exports: {info.file_size >> 10} KiB in "
                f"{printable(inner(info))}, {code_bytes >> 10} KiB of code up to there, which is not scanned",
                path=self._path,
                remedy="if you know who made it, allow it",
                remedy_options=("trust_model",),
            )

    def refuse_strange(self, file_bytes: int) -> None:
        """Refuse archives that PyTorch would not have written and might read in another way than `zipfile`.

        PyTorch ignores the case of member names, takes the name before the first slash as root of everything, and reads
        files with a FlatBuffers mark near their start in a different format.
        """
        why = self._strangeness(file_bytes)
        if why is not None:
            raise ModelError(f"is not an archive as PyTorch writes it: {why}", path=self._path, remedy=AGAIN)

    def _strangeness(self, file_bytes: int) -> str | None:
        if not self.members:
            return "it is empty"
        seen: set[str] = set()
        root = self.members[0].filename.split("/", 1)[0] + "/"
        for info in self.members:
            name, member = info.filename.lower(), printable(info.filename)
            if name in seen:
                return f"it has two members named {member}"
            seen.add(name)
            if not info.filename.startswith(root) or "\\" in name or "/../" in name:
                return f"its member {member} is outside of {printable(root)}"
            if name.split("/", 1)[1] == "model.json":
                return "it has a model.json, as only PyTorch before 1.2 wrote"
            if info.flag_bits & 0x1:
                return f"its member {member} is encrypted"
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return f"its member {member} is packed in an unknown way"
        if min(info.header_offset for info in self.members) != 0:
            return "there is something else in front of it"
        if self._zip.comment:
            return "there is something else behind it"
        unpacked = sum(info.file_size for info in self.members)
        if unpacked > UNPACKED_RATIO * file_bytes + UNPACKED_SPARE:
            return f"it would unpack to {unpacked / 2**30:.1f} GiB"
        return None
