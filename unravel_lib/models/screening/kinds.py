"""What a file is, by its first bytes and the names of its members: a kind of model, or some other file.

Nothing is unpacked, imported or executed.
"""

import enum
import os
from pathlib import Path
from typing import NamedTuple

from unravel_lib.errors import ModelError
from unravel_lib.text import printable

AGAIN = "download or export it again"
HEAD_BYTES = 512
HEADER_BYTES = 100_000_000  # the most that safetensors allows
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


def refuse_no_file(path: Path) -> None:
    """Raise ModelError where there is no file to open."""
    if not os.path.lexists(path):
        raise ModelError("does not exist", path=path, remedy="check the path")
    if path.is_dir():
        raise ModelError("is a folder", path=path, expected="a model file")
    if not path.exists():
        raise ModelError("is a link to something that does not exist", path=path, remedy="check the path")
    if not path.is_file():
        raise ModelError("is not a regular file", path=path, expected="a model file")


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
