"""failures.csv in the output folder: the inputs that failed, until a later run over them finds them repaired or gone.

Each shard has a list of its own, failures-3-of-8.csv, so that shards need no locks.
"""

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import atomic_write, folder_lock
from unravel_lib.files.find import WHOLE, Shard, open_input
from unravel_lib.text import cell_text, printable

NAME = "failures.csv"
HEADER = ["input", "reason"]


def update(folder: Path, failures: Sequence[tuple[Path, str]], inputs: Iterable[Path], shard: Shard = WHOLE) -> None:
    """List the failures of this run in place of all earlier ones of its inputs; those of other inputs stay.

    Parameters
    ----------
    failures : (input, reason) pairs
    inputs : the files and folders that the run was given
    shard : the part of the inputs that this run took

    Raises
    ------
    OutputError
        The file cannot be written, or is no list of failures.
    """
    target = folder / shard.named(NAME)
    if not failures and not target.exists():
        return
    now = [[_key(path), cell_text(text)] for path, text in failures]
    places = {Path(_key(path)) for path in inputs}.union(Path(key) for key, _ in now)
    with folder_lock(folder):
        kept = [row for row in _read(target) if places.isdisjoint([Path(row[0]), *Path(row[0]).parents])]
        _write(target, sorted(kept + now))


def merge(folder: Path, count: int) -> int:
    """Write failures.csv from the lists of `count` shards: the list that one run over all inputs makes.

    Returns
    -------
    how many failures are listed

    Raises
    ------
    OutputError
        The file cannot be written, or one of them is no list of failures.
    """
    _read(folder / NAME)
    lists = [_read(folder / Shard(index, count).named(NAME)) for index in range(1, count + 1)]
    rows = {tuple(row) for rows in lists for row in rows}  # each shard lists the folders that cannot be read
    _write(folder / NAME, [list(row) for row in sorted(rows)])
    return len(rows)


def unexplained(folder: Path, shard: Shard, targets: Mapping[Path, Path]) -> list[Path]:
    """Return the inputs of a shard that have neither a result, in `targets`, nor a line in its list of failures."""
    listed = {row[0] for row in _read(folder / shard.named(NAME))}
    return [path for path, target in targets.items() if not target.is_file() and _key(path) not in listed]


def _write(target: Path, rows: list[list[str]]) -> None:
    if not rows:
        target.unlink(missing_ok=True)
        return
    with atomic_write(target) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


def _key(path: Path) -> str:
    return cell_text(printable(os.path.abspath(path)))


def _read(target: Path) -> list[list[str]]:
    """Read the rows of an earlier file; raises OutputError where it is another kind of file."""
    if not os.path.lexists(target):
        return []
    with contextlib.suppress(InputError, csv.Error), open_input(target) as file:
        rows = list(csv.reader(io.TextIOWrapper(file, newline="", encoding="utf-8", errors="replace")))
        if rows[:1] == [HEADER] and all(len(row) == 2 for row in rows):
            return rows[1:]
    raise OutputError("is no list of failures", path=target, remedy="move it away")
