"""Files that are no models, given by mistake: recognised by their first bytes. No files are read."""

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
