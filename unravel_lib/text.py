"""Text for people: names that can be printed, one-line errors, counts, durations, sizes, "did you mean"."""

import difflib
import os
import re
from collections.abc import Sequence

MIN_BEGINNING = 3  # letters
FORMULA_STARTS = ("=", "+", "-", "@")  # a spreadsheet would run a cell that begins with these


def count_text(count: int, noun: str) -> str:
    """Return "1 file" or "2 files"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unexpected_error(error: BaseException) -> str:
    """Return the class and the text of an unexpected error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f' ({printable(text)[:300]})' if text else ''}"


def library_error(error: Exception) -> str:
    """Return the text of an error of libsndfile, FFmpeg or the operating system as one line without a full stop."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """Return "; did you mean X?" for the known name closest to the given one; nothing where none is close.

    A name that the given one begins with (rev of reverse), or that begins with it, is closest.
    """
    begins = [name for name in known if len(name) >= MIN_BEGINNING and given.lower().startswith(name.lower())]
    if len(given) >= MIN_BEGINNING:
        begins += [name for name in known if name.lower().startswith(given.lower())]
    close = begins or difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def printable(path: str | os.PathLike[str]) -> str:
    """Return the path as one printable line: newlines, control characters and undecodable bytes become escapes."""
    text = os.fspath(path)
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in safe)


def cell_text(text: str) -> str:
    """Return the text as a cell of a CSV file, with an apostrophe in front where a spreadsheet would run a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def last_line(error: BaseException) -> str:
    """Return the last line of a PyTorch error, the cause: printable, without colours, at most 200 characters."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return printable(lines[-1][:200]) if lines else type(error).__name__


def frames_text(n_frames: int) -> str:
    """Return "1 frame" or "2,500 frames"."""
    return f"{n_frames:,} frame{'' if n_frames == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """Format a duration: "32.7 s", "0:02:10"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{seconds:.1f} s" if seconds < 60 else f"{hours}:{minutes:02d}:{rest:02d}"


def size_text(n_bytes: float) -> str:
    """Format a size: "480 bytes", "22.1 KiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n_bytes < 1024 or unit == "GiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:,.0f} {unit}" if unit == "bytes" else f"{n_bytes:,.1f} {unit}"


def table(rows: Sequence[Sequence[str]], right: bool = False) -> str:
    """Format rows of cells as lines of aligned columns, two blanks apart; flush left or, for numbers, `right`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([c.rjust(w) if right else c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)
