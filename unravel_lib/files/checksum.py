"""Checksums of files."""

import hashlib
from pathlib import Path

from unravel_lib.files.find import open_input


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits; reads in blocks, so the file may have any size.

    Raises
    ------
    InputError
        It cannot be read, or is a pipe or a device.
    """
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
