"""A model file opened once: what kind it is, whether it is complete, whether its code is harmless. No torch.

Model files are zip archives (TorchScript, checkpoints since PyTorch 1.6) or safetensors. Everything here reads bytes;
nothing is made, imported or executed. PyTorch does not read a TorchScript file itself: Python's `zipfile` and PyTorch
may find different things in the same bytes. It gets a new archive of what was checked (`ModelFile.screened`).
"""

import contextlib
import enum
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from unravel_lib.errors import ModelError
from unravel_lib.models.screening import object_table
from unravel_lib.models.screening.code import Code
from unravel_lib.text import printable

NAMES_BYTES = 1 << 20  # the header of safetensors begins with the names
TEXT_BYTES = 1 << 20  # of all code of a model, and of each object table; real ones have 120 and 50 KiB
CODE_BYTES = 1 << 18  # of one code member, as parsing takes up to 900 times the memory; real ones have 25 KiB
OBJECT_TABLES = ("data.pkl", "constants.pkl")
LOADED = (*OBJECT_TABLES, "version", ".data/version", "byteorder")  # in addition to code and tensors
UNPACKED_RATIO = 16  # PyTorch stores tensors unpacked: an archive that grows more than this is no model
UNPACKED_SPARE = 64 << 20
# what zipfile raises about damaged archives; an OSError where an offset points before the start
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error, OSError)

AGAIN = "download or export it again"
HEAD_BYTES = 512
HEADER_BYTES = 100_000_000  # the most that safetensors allows
ZIP_START = b"PK\x03\x04"
OLD_CHECKPOINT_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # torch.save before PyTorch 1.6
MODEL_EXTENSIONS = (".ts", ".ckpt", ".pt", ".pth", ".safetensors")


# What a file is, and how it begins (without leading blanks, in lower case).
STARTS = {
    "is a git-lfs pointer, not the model itself: fetch it with git lfs pull": (b"version https://git-lfs",),
    f"is a web page, not a model: the download went wrong, {AGAIN}": (b"<!doctype", b"<html", b"<?xml"),
    "is a NumPy array (latents?), not a model: give a model file": (b"\x93numpy",),
    "is a sound file, not a model: give a model file": (b"riff", b"flac", b"oggs", b"id3"),
    "is an HDF5 file, expected a TorchScript export or a PyTorch checkpoint": (b"\x89hdf",),
    "is a packed archive: unpack it first": (b"\x1f\x8b", b"7z\xbc\xaf", b"rar!"),
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
    Trainer("Stable Audio Tools", b"conditioner.conditioners", "its autoencoder must be exported to TorchScript"),
    Trainer("AFTER", b"model_state", 'export it with "after export_autoencoder"', writes_gin=True),
    Trainer("", b"", "export it with the code that trained it"),  # any other
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
    if not path.exists():  # or the end of a link
        raise ModelError("does not exist", path=path, remedy="check the path")
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is not a regular file"
        raise ModelError(found, path=path, expected="a model file")
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(open(path, "rb"))
            head = file.read(HEAD_BYTES)
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror}", path=path) from error
        if not head:
            raise ModelError("is empty (0 bytes)", path=path, remedy=AGAIN)
        yield ModelFile(path, file, head)


class ModelFile:
    """An open model file.

    Parameters
    ----------
    path, file : where it is, and open for reading
    head : its first bytes

    Attributes
    ----------
    kind : according to its first bytes and its list of members
    members : what its zip archive holds; nothing for other files

    Raises
    ------
    ModelError
        It is no model, or a zip archive without a table of contents.
    """

    def __init__(self, path: Path, file: IO[bytes], head: bytes) -> None:
        self.path, self.file = path, file
        begins_as_zip = head.startswith(ZIP_START)
        kind = None if begins_as_zip else kind_of(path, head)
        # an archive behind other bytes is refused by `check`
        self._zip = _opened_zip(path, file) if begins_as_zip or zipfile.is_zipfile(file) else None
        self.members = [] if self._zip is None else self._zip.infolist()
        self.kind = kind or kind_of_archive(path, [info.filename for info in self.members])

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
        if self._zip is None:
            return
        strange = _strangeness(self._zip, os.fstat(self.file.fileno()).st_size)
        if strange is not None:
            raise ModelError(f"is not an archive as PyTorch writes it: {strange}", path=self.path, remedy=AGAIN)
        texts: dict[str, bytes] = {}
        code_bytes = 0
        for info in self.members:
            is_screened = self.kind is Kind.TORCHSCRIPT and not trust and (_is_code(info) or _is_table(info))
            if is_screened:
                code_bytes += info.file_size if _is_code(info) else 0
                self._refuse_large(info, code_bytes)
            data = self._read(info)
            if copy is not None and _is_loaded(info):
                copy.writestr(zipfile.ZipInfo(info.filename), data)
            if is_screened:
                texts[_inner(info)] = data
        try:
            self._check_texts(texts)
        except ValueError as error:
            text = f"contains {printable(str(error))}, which could reach files or memory outside the model"
            raise self._untrusted(text, "only audio computations") from None

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

    def member(self, name: str) -> bytes | None:
        """Return the bytes of a small member, named without the archive's root; None where there is none of that name.

        Raises
        ------
        ModelError
            It is damaged, or larger than code and object tables are.
        """
        info = next((info for info in self.members if _inner(info) == name), None)
        if info is None:
            return None
        self._refuse_large(info)
        return self._read(info)

    def names(self) -> bytes:
        """Return bytes that contain the names of a checkpoint's tensors; nothing is unpickled."""
        if self.kind is Kind.SAFETENSORS:
            self.file.seek(0)
            return self.file.read(NAMES_BYTES)
        return self.member("data.pkl") or b""

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        """Return the bytes of one member; raise ModelError where they or their checksum are wrong."""
        try:
            data = self._zip.read(info) if self._zip is not None else b""
        except UNREADABLE:
            data = None
        if data is None or len(data) != info.file_size:
            found = f"is damaged inside: checksum of {printable(info.filename)} is wrong"
            raise ModelError(found, path=self.path, remedy=AGAIN)
        return data

    def _refuse_large(self, info: zipfile.ZipInfo, code_bytes: int = 0) -> None:
        """Refuse what would take long to scan; `code_bytes` are those of all code members up to this one."""
        if info.file_size > (CODE_BYTES if _is_code(info) else TEXT_BYTES) or code_bytes > TEXT_BYTES:
            raise self._untrusted(
                f"has more code or larger tables than real exports: {info.file_size >> 10} KiB in "
                f"{printable(_inner(info))}, {code_bytes >> 10} KiB of code up to there, which is not scanned"
            )

    def _untrusted(self, found: str, expected: str = "") -> ModelError:
        remedy = "if you know who made it, allow it"
        return ModelError(found, path=self.path, expected=expected, remedy=remedy, remedy_options=("trust_model",))

    def _check_texts(self, texts: dict[str, bytes]) -> None:
        """Raise ValueError for what no model needs in the code and the object tables of a TorchScript archive."""
        sizes = {_inner(info).lower(): info.file_size for info in self.members}
        tables = {name: text for name, text in texts.items() if name.lower() in OBJECT_TABLES}
        code = Code({name: text for name, text in texts.items() if name not in tables})
        code.check()
        for name, table in tables.items():  # these are judged by the code
            folder = f"{name.lower().removesuffix('.pkl')}/"
            tensors = {key.removeprefix(folder): size for key, size in sizes.items() if key.startswith(folder)}
            object_table.check(name, table, tensors, code.classes)


def kind_of(path: Path, head: bytes) -> Kind:
    """Return the kind of a file that does not begin as a zip archive; raise ModelError, which says what it is."""
    if head.startswith(OLD_CHECKPOINT_START):
        return Kind.CHECKPOINT
    length = int.from_bytes(head[:8], "little")  # safetensors: of the JSON behind it
    if head[8:9] == b"{" and length <= HEADER_BYTES:
        if length > path.stat().st_size - 8:
            raise ModelError("is truncated or damaged (its header does not fit in it)", path=path, remedy=AGAIN)
        return Kind.SAFETENSORS
    raise ModelError(_mistake(head, len(head) < HEAD_BYTES), path=path)


def kind_of_archive(path: Path, names: list[str]) -> Kind:
    """Return the kind of a zip archive with members of these names; raise ModelError where it holds no model."""
    below_root = {inside.split("/", 1)[1] for inside in names if "/" in inside}
    if "constants.pkl" in below_root:
        return Kind.TORCHSCRIPT
    if "data.pkl" in below_root:
        return Kind.CHECKPOINT
    models = [inside for inside in names if inside.lower().endswith(MODEL_EXTENSIONS)]
    if models:
        raise ModelError(f"is a zip archive that holds {printable(models[0])}", path=path, remedy="unpack it first")
    raise ModelError("is a zip archive, but not a model: it has neither constants.pkl nor data.pkl", path=path)


def trainer_of(names: bytes) -> Trainer:
    """Return what trained a checkpoint, from the names of its entries and tensors."""
    return next(trainer for trainer in TRAINERS if trainer.mark in names)


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


def for_torch(file: IO[bytes]) -> str | IO[bytes]:
    """Return the name of an open file, whatever it is called and also after its removal; the file where it has none.

    PyTorch reads a named file piece by piece, any other whole into memory; it does not take names that are no UTF-8.
    Call this before each time that it is read: on macOS it is read from where the last reader stopped.
    """
    file.seek(0)  # also writes what is still in memory
    name = f"/dev/fd/{file.fileno()}"
    return name if os.path.exists(name) else file


def _opened_zip(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", path=path) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        found = "is truncated or damaged (its table of contents is missing)"
        raise ModelError(found, path=path, remedy=AGAIN) from error


def _inner(info: zipfile.ZipInfo) -> str:
    """Return the name of a member without the archive's root, which is the name of the model."""
    return info.filename.split("/", 1)[-1]


def _is_code(info: zipfile.ZipInfo) -> bool:
    return _inner(info).lower().startswith("code/") and info.filename.lower().endswith(".py")


def _is_table(info: zipfile.ZipInfo) -> bool:
    return _inner(info).lower() in OBJECT_TABLES


def _is_loaded(info: zipfile.ZipInfo) -> bool:
    """Return True for what PyTorch needs; the rest maps each line of code to its source."""
    name = _inner(info).lower()
    return _is_code(info) or name in LOADED or name.startswith(("data/", "constants/"))


def _strangeness(archive: zipfile.ZipFile, file_bytes: int) -> str | None:
    """Return how an archive differs from all that PyTorch writes and reads in the same way as `zipfile`; or None.

    PyTorch ignores the case of member names, takes the name before the first slash as root of everything, and reads
    files with a FlatBuffers mark near their start in a different format.
    """
    members = archive.infolist()
    if not members:
        return "it is empty"
    seen: set[str] = set()
    root = members[0].filename.split("/", 1)[0] + "/"
    for info in members:
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
    if min(info.header_offset for info in members) != 0:
        return "there is something else in front of it"
    if archive.comment:
        return "there is something else behind it"
    unpacked = sum(info.file_size for info in members)
    if unpacked > UNPACKED_RATIO * file_bytes + UNPACKED_SPARE:
        return f"it would unpack to {unpacked / 2**30:.1f} GiB"
    return None
