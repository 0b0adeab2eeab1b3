"""Checksums of files."""

import hashlib
from pathlib import Path

from unravel_lib.errors import InputError
from unravel_lib.text import printable


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits; reads in blocks, so the file may have any size.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
