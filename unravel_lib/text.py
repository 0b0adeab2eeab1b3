"""Text for people: names that can be printed, one-line errors, counts, "did you mean"."""

import difflib
import os
import re
from collections.abc import Sequence


def count_text(count: int, noun: str) -> str:
    """ "1 file", "2 files"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unexpected_error(error: BaseException) -> str:
    """An error that nobody foresaw, as one line."""
    text = " ".join(str(error).split())
    return (
        f"{type(error).__name__}{f' ({printable(text)[:300]})' if text else ''}: `debug` shows where; please report it"
    )


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """ "; did you mean X?" for the known name that is closest to what was given, or nothing."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


FORMULA_STARTS = ("=", "+", "-", "@")  # a spreadsheet would run a cell that begins with these


def printable(path: str | os.PathLike[str]) -> str:
    """The path as one printable line: newlines, control characters and undecodable bytes become escapes."""
    text = os.fspath(path)
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in safe)


def cell_text(text: str) -> str:
    """The text as a cell of a CSV file that no spreadsheet takes for a formula: those get an apostrophe in front."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def last_line(error: BaseException) -> str:
    """The last line of a PyTorch error, which says what happened; printable, without colours, at most a line long."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return printable(lines[-1][:200]) if lines else type(error).__name__


def frames_text(n_frames: int) -> str:
    """ "1 frame", "2,500 frames"."""
    return f"{n_frames:,} frame{'' if n_frames == 1 else 's'}"
