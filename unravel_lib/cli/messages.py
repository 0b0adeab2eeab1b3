"""Messages for the terminal: options as flags, every error as one line."""

import sys
from pathlib import Path

from unravel_lib.errors import UnravelError
from unravel_lib.text import printable, unexpected_error

LIBRARY_WITHOUT_MEMORY = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")  # of glibc
REPORT = "--debug shows where; please report it"


def written(message: UnravelError) -> str:
    """Return an error or a warning that has fields as one line, with flags."""
    return message.sentence(lambda option: f"--{option}")


def error_line(error: Exception) -> str:
    """Return why a run ended, as one line."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, UnravelError):
        name = f"{printable(error.filename)}: " if isinstance(error.filename, str) else ""
        return f"{name}{error.strerror}"
    return _known(error) or f"this should not happen: {unexpected_error(error)}: {REPORT}"


def input_error_line(path: Path, error: Exception) -> str:
    """Return why one of many inputs failed, as one line."""
    if isinstance(error, MemoryError):
        return f"{printable(path)} needs more memory than there is: {str(error) or 'close other programs'}"
    return _known(error) or f"{printable(path)} failed unexpectedly: {unexpected_error(error)}: {REPORT}"


def _known(error: Exception) -> str | None:
    """Return the text of an error that is not a bug in this program."""
    if isinstance(error, UnravelError):
        return written(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {str(error) or 'close other programs or take fewer files'}"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("unravel_lib"):
        return (
            f"{printable(error.name)} is not installed in this Python ({printable(sys.executable)}): activate the "
            "environment with `. .venv/bin/activate`, or install it with `pip install -r requirements.txt`"
        )
    if isinstance(error, ImportError) and any(sign in str(error) for sign in LIBRARY_WITHOUT_MEMORY):
        return f"out of memory: {printable(str(error))}: close other programs, or raise the limit (ulimit -v)"
    return None
