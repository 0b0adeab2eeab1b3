"""failures.csv in the output folder: the inputs that failed, until a later run finds them repaired or removed.

Each shard has a list of its own, failures-3-of-8.csv, so that shards need no locks.
"""

import csv
import io
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import atomic_write, folder_lock
from unravel_lib.files.find import WHOLE, Shard, open_input
from unravel_lib.text import cell_text, printable

NAME = "failures.csv"
HEADER = ["input", "reason"]

log = logging.getLogger("unravel_lib")


def update(folder: Path, failures: Sequence[tuple[Path, str]], checked: Collection[Path], shard: Shard = WHOLE) -> None:
    """Add the failures of this run, remove those of inputs that are repaired or removed; keep those of other inputs.

    Parameters
    ----------
    failures : (input, reason) pairs
    checked : inputs that this run worked on, and folders that it searched
    shard : the part of the inputs that this run took

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    target = folder / shard.named(NAME)
    if not failures and not target.exists():
        return
    keys = {_key(path) for path in checked}
    with folder_lock(folder):
        before = _read(target)
        if before is None:
            log.error(f"{printable(target)} is no list of failures and is not changed: this run's are printed only")
            return
        kept = [row for row in before if not _settled(row[0], keys)]
        rows = sorted(kept + [[_key(path), cell_text(text)] for path, text in failures])
        if rows != before or not rows:
            _write(target, rows)


def merge(folder: Path, count: int) -> int:
    """Write failures.csv from the lists of `count` shards: the list that one run over all inputs makes.

    Returns
    -------
    how many failures are listed

    Raises
    ------
    OutputError
        The file cannot be written, or there is one that is no list of failures.
    """
    if _read(folder / NAME) is None:
        raise OutputError(f"{printable(folder / NAME)} is no list of failures: move it away")
    lists = [_read(folder / Shard(index, count).named(NAME)) or [] for index in range(1, count + 1)]
    rows = {tuple(row) for rows in lists for row in rows}  # each shard lists the folders that cannot be read
    _write(folder / NAME, [list(row) for row in sorted(rows)])
    return len(rows)


def unexplained(folder: Path, shard: Shard, targets: Mapping[Path, Path]) -> list[Path]:
    """Return the inputs of a shard that have neither a result, in `targets`, nor a line in its list of failures."""
    listed = {row[0] for row in _read(folder / shard.named(NAME)) or []}
    return [path for path, target in targets.items() if not target.is_file() and _key(path) not in listed]


def _write(target: Path, rows: list[list[str]]) -> None:
    if not rows:
        target.unlink(missing_ok=True)
        return
    with atomic_write(target) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


def _settled(key: str, checked: Collection[str]) -> bool:
    """Return True for what was checked, and for what was removed from a folder that was checked."""
    if key in checked:
        return True
    is_path = "\\" not in key  # with escapes it is not the name
    return is_path and str(Path(key).parent) in checked and not os.path.lexists(key)


def _key(path: Path) -> str:
    return cell_text(printable(os.path.abspath(path)))


def _read(target: Path) -> list[list[str]] | None:
    """Read the rows of an earlier file: [] where there is no file, None where it is another kind of file."""
    if not os.path.lexists(target):
        return []
    try:
        with open_input(target) as file:
            rows = list(csv.reader(io.TextIOWrapper(file, newline="", encoding="utf-8", errors="replace")))
    except (InputError, csv.Error):
        return None
    ours = rows[:1] == [HEADER] and all(len(row) == 2 for row in rows)
    return rows[1:] if ours else None
