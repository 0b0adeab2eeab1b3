"""Files that are no models, and checkpoints that are no exports: recognised by bytes. No files are read."""

from typing import NamedTuple

AGAIN = "download or export it again"

# How the file begins (without leading blanks, in lower case), and what it is.
STARTS = (
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


class Trainer(NamedTuple):
    """What trains models of a family: a name that its checkpoints contain, and how it exports them."""

    family: str
    mark: bytes
    export: str
    writes_gin: bool = False


TRAINERS = (
    Trainer("RAVE", b"latent_pca", "export it with `rave export`", writes_gin=True),
    Trainer("MSPrior", b"decoder.predictor.predictors", "export it with `msprior export`", writes_gin=True),
    Trainer("music2latent", b"gen_state_dict", "export it with the code of music2latent-scripted"),
    Trainer("vschaos2", b"concat_embeddings", "export it with vschaos2's script.py"),
    Trainer("Stable Audio Tools", b"encoder.layers.0.weight_v", "its autoencoder must be exported to TorchScript"),
    Trainer("AFTER", b"model_state", "export it with `after export_autoencoder`", writes_gin=True),
)


def trainer_of(names: bytes) -> Trainer | None:
    """Return what trained a checkpoint, from the names of its entries and tensors; None if it is not known here."""
    return next((trainer for trainer in TRAINERS if trainer.mark in names), None)


def mistake(head: bytes, is_whole: bool) -> str:
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
    for begins, text in STARTS:
        if start.startswith(begins):
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
