"""A model file opened once: what kind it is, whether it is complete, whether its code is harmless. No torch.

Model files are zip archives (TorchScript, checkpoints since PyTorch 1.6) or safetensors. Everything here reads bytes;
nothing is made, imported or executed. PyTorch does not read a TorchScript file itself: Python's `zipfile` and PyTorch
may find different things in the same bytes. It gets a new archive of what was checked (`ModelFile.screened`).
"""

import collections
import contextlib
import enum
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from unravel_lib.errors import ModelError
from unravel_lib.models.screening import object_table
from unravel_lib.models.screening.archive import AGAIN, Archive, inner, is_code, is_loaded, is_text
from unravel_lib.models.screening.code import Code
from unravel_lib.text import printable

HEAD_BYTES = 512
NAMES_BYTES = 1 << 20  # the header of safetensors begins with the names
ZIP_START = b"PK\x03\x04"
OLD_CHECKPOINT_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # torch.save before PyTorch 1.6
MODEL_EXTENSIONS = (".ts", ".ckpt", ".pt", ".pth", ".safetensors")


# What a file is, and how it begins (without leading blanks, in lower case).
STARTS = {
    "is a git-lfs pointer, not the model itself: fetch it with git lfs pull": (b"version https://git-lfs",),
    f"is a web page, not a model: the download went wrong, {AGAIN}": (b"<!doctype", b"<html"),
    f"is an XML text, not a model: the download went wrong, {AGAIN}": (b"<?xml",),
    "is a NumPy array (latents?), not a model: give a model file": (b"\x93numpy",),
    "is a sound file, not a model: give a model file": (b"riff", b"flac", b"oggs", b"id3"),
    "is an HDF5 file, expected a TorchScript export or a PyTorch checkpoint": (b"\x89hdf",),
    "is a gzip archive: unpack it first": (b"\x1f\x8b",),
    "is a 7-Zip archive: unpack it first": (b"7z\xbc\xaf",),
    "is a RAR archive: unpack it first": (b"rar!",),
    "is an empty zip archive, not a model: give a model file": (b"pk\x05\x06",),
}


class Trainer(NamedTuple):
    """What trains models of a family: a name that its checkpoints contain, and how it exports them."""

    family: str
    mark: bytes
    export: str
    writes_gin: bool = False


TRAINERS = (
    Trainer("RAVE", b"latent_pca", 'export it with "rave export"', writes_gin=True),
    Trainer("MSPrior", b"decoder.predictor.predictors", 'export it with "msprior export"', writes_gin=True),
    Trainer("music2latent", b"gen_state_dict", "export it with the code of music2latent-scripted"),
    Trainer("vschaos2", b"concat_embeddings", "export it with vschaos2's script.py"),
    Trainer("Stable Audio Tools", b"encoder.layers.0.weight_v", "its autoencoder must be exported to TorchScript"),
    Trainer("AFTER", b"model_state", 'export it with "after export_autoencoder"', writes_gin=True),
)


class Kind(enum.Enum):
    """The kinds of model files."""

    TORCHSCRIPT = "TorchScript"
    CHECKPOINT = "PyTorch checkpoint"
    SAFETENSORS = "safetensors"


@contextlib.contextmanager
def open_model(path: Path) -> Iterator["ModelFile"]:
    """Open a model file; its first bytes and its list of members determine its kind.

    Raises
    ------
    ModelError
        Missing, a folder, unreadable, empty, truncated, or no model; the text says which.
    """
    _refuse_no_file(path)
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(open(path, "rb"))
            head = file.read(HEAD_BYTES)
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror}", path=path) from error
        if not head:
            raise ModelError("is empty (0 bytes)", path=path, remedy=AGAIN)
        archive = Archive(file, path) if head.startswith(ZIP_START) else None
        kind = _kind_of_zip(path, archive) if archive is not None else _kind(path, file, head)
        if archive is None and zipfile.is_zipfile(file):  # after other bytes: refused by `check`
            archive = Archive(file, path)
        yield ModelFile(path, file, kind, archive)


@dataclass(frozen=True)
class ModelFile:
    """An open model file.

    Attributes
    ----------
    path, file : where it is, and open for reading
    kind : according to its first bytes and its list of members
    archive : its members; None for files that are no zip archive
    """

    path: Path
    file: IO[bytes]
    kind: Kind
    archive: Archive | None

    def check(self, trust: bool = False, copy: zipfile.ZipFile | None = None) -> None:
        """Make sure that the file is complete and harmless; costs about 0.2 s for a 150 MB model.

        Parameters
        ----------
        trust : leave out the scan of the code (`trust_model`), never the rest
        copy : takes the members that PyTorch needs

        Raises
        ------
        ModelError
            A member with a wrong checksum, an archive that PyTorch never wrote, or, unless `trust`, code that could
            touch files or run something outside the model.
        """
        if self.archive is None:
            return
        self.archive.refuse_strange(os.fstat(self.file.fileno()).st_size)
        screening = self.kind is Kind.TORCHSCRIPT and not trust
        texts: dict[zipfile.ZipInfo, bytes] = {}
        code_bytes = 0
        for info in self.archive.members:
            blocks = _copied(self.archive.blocks(info), info, copy)
            if screening and is_text(info):
                code_bytes += info.file_size if is_code(info) else 0
                self.archive.refuse_large(info, code_bytes)
                texts[info] = b"".join(blocks)
            else:
                collections.deque(blocks, maxlen=0)
        found = next(_suspicions(texts, self.archive), None)
        if found is not None:
            raise ModelError(
                f"contains {printable(found)}, which could reach files or memory outside the model",
                path=self.path,
                expected="only audio computations",
                remedy="if you know who made it, allow it",
                remedy_options=("trust_model",),
            )

    @contextlib.contextmanager
    def screened(self, trust: bool = False) -> Iterator[str | IO[bytes]]:
        """Yield what to give to `torch.jit.load`: a new archive of exactly the bytes that were checked.

        Raises
        ------
        ModelError
            As `check`; or the folder for temporary files is full.
        """
        with contextlib.ExitStack() as opened:
            try:
                copy = opened.enter_context(tempfile.TemporaryFile())
                with zipfile.ZipFile(copy, "w") as target:
                    self.check(trust, target)
                source = for_torch(copy)
            except OSError as error:
                raise ModelError(
                    f"cannot be copied to the folder for temporary files: {error.strerror}",
                    path=self.path,
                    remedy="set TMPDIR to a folder with more free space",
                ) from error
            yield source

    def format_version(self) -> str | None:
        """Return the version of the file format, from the member `version`; PyTorch does not store its own version."""
        found = self.member("version")
        return None if found is None else found.decode("ascii", "replace").strip()[:20]

    def member(self, name: str) -> bytes | None:
        """Return the bytes of one member, named without the archive's root; None where there is none of that name."""
        info = self.archive.find(name) if self.archive is not None else None
        return self.archive.text(info) if self.archive is not None and info is not None else None

    def checkpoint_names(self) -> bytes:
        """Return bytes that contain the names of a checkpoint's tensors; nothing is unpickled."""
        if self.kind is Kind.SAFETENSORS:
            self.file.seek(0)
            return self.file.read(NAMES_BYTES)
        return self.member("data.pkl") or b""

    def code_members(self) -> list[str]:
        """Return the names of the code members."""
        return [info.filename for info in self.archive.members if is_code(info)] if self.archive is not None else []


def for_torch(file: IO[bytes]) -> str | IO[bytes]:
    """Return the name of an open file, whatever it is called and also after its removal; the file where it has none.

    PyTorch reads a named file piece by piece, any other whole into memory; it does not take names that are no UTF-8.
    Call this before each time that it is read: on macOS it is read from where the last reader stopped.
    """
    file.seek(0)  # also writes what is still in memory
    name = f"/dev/fd/{file.fileno()}"
    return name if os.path.exists(name) else file


def _refuse_no_file(path: Path) -> None:
    if not os.path.lexists(path):
        raise ModelError("does not exist", path=path, remedy="check the path")
    if path.is_dir():
        raise ModelError("is a folder", path=path, expected="a model file")
    if not path.exists():
        raise ModelError("is a link to something that does not exist", path=path, remedy="check the path")
    if not path.is_file():
        raise ModelError("is not a regular file", path=path, expected="a model file")


def _kind(path: Path, file: IO[bytes], head: bytes) -> Kind:
    if head.startswith(OLD_CHECKPOINT_START):
        return Kind.CHECKPOINT
    if _is_safetensors(path, file, head):
        return Kind.SAFETENSORS
    raise ModelError(_mistake(head, len(head) < HEAD_BYTES), path=path)


def _kind_of_zip(path: Path, archive: Archive) -> Kind:
    names = [info.filename for info in archive.members]
    below_root = {inside.split("/", 1)[1] for inside in names if "/" in inside}
    if "constants.pkl" in below_root:
        return Kind.TORCHSCRIPT
    if "data.pkl" in below_root:
        return Kind.CHECKPOINT
    models = [inside for inside in names if inside.lower().endswith(MODEL_EXTENSIONS)]
    if models:
        raise ModelError(f"is a zip archive that holds {printable(models[0])}", path=path, remedy="unpack it first")
    raise ModelError("is a zip archive, but not a model: it has neither constants.pkl nor data.pkl", path=path)


def _is_safetensors(path: Path, file: IO[bytes], head: bytes) -> bool:
    """Return whether the file begins with the length of a JSON header (8 bytes, little endian) and that header."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    length = struct.unpack("<Q", head[:8])[0]
    if not 2 <= length <= min(100_000_000, path.stat().st_size - 8):
        if path.suffix.lower() == ".safetensors":
            raise ModelError("is truncated or damaged (its header does not fit in it)", path=path, remedy=AGAIN)
        return False
    file.seek(8)
    try:
        return isinstance(json.loads(file.read(length)), dict)
    except (ValueError, RecursionError):
        return False


def _copied(blocks: Iterator[bytes], info: zipfile.ZipInfo, target: zipfile.ZipFile | None) -> Iterator[bytes]:
    """Pass on the blocks of one member, which go into `target` too where PyTorch needs them."""
    if target is None or not is_loaded(info):
        yield from blocks
        return
    with target.open(zipfile.ZipInfo(info.filename), "w", force_zip64=True) as copy:
        for block in blocks:
            copy.write(block)
            yield block


def _suspicions(texts: dict[zipfile.ZipInfo, bytes], archive: Archive) -> Iterator[str]:
    """Yield what the code and the object tables of a TorchScript archive contain that no model needs."""
    sizes = {inner(info).lower(): info.file_size for info in archive.members}
    code = Code({inner(info): text for info, text in texts.items() if is_code(info)})
    for info, text in sorted(texts.items(), key=lambda item: not is_code(item[0])):  # tables are judged by the code
        name = inner(info)
        if is_code(info):
            found = code.suspicions(name)
        else:
            folder = f"{name.lower().removesuffix('.pkl')}/"
            tensors = {key.removeprefix(folder): size for key, size in sizes.items() if key.startswith(folder)}
            found = object_table.suspicions(text, tensors, code.classes)
        for what in found:
            yield f"{what} in {name}"


def trainer_of(names: bytes) -> Trainer | None:
    """Return what trained a checkpoint, from the names of its entries and tensors; None if it is not known here."""
    return next((trainer for trainer in TRAINERS if trainer.mark in names), None)


def _mistake(head: bytes, is_whole: bool) -> str:
    """Describe a file that is not a model.

    Parameters
    ----------
    head : its first bytes
    is_whole : True if the file has no more bytes than `head`

    Returns
    -------
    what follows the file's name in an error
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for text, beginnings in STARTS.items():
        if start.startswith(beginnings):
            return text
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "is a bare Python pickle, which is never loaded: expected a TorchScript export or a PyTorch checkpoint"
    if not head.strip(b"\0"):
        return f"holds only zeros: the download is not finished, {AGAIN}"
    try:
        text = (head if is_whole else head[:-3]).decode("utf-8")  # the end may lie inside a character
    except UnicodeDecodeError:
        text = "\0"
    if text.strip() and all(c.isprintable() or c in "\r\n\t" for c in text):
        return f"is a text file, not a model: it begins with {text.split()[0][:40]!r}"
    return "is not a model file: expected a TorchScript export (.ts), a PyTorch checkpoint or safetensors"
