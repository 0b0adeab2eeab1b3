"""failures.csv in the output folder: the inputs that failed, until a later run over them finds them repaired or gone.

Each shard has a list of its own, failures-3-of-8.csv, so that shards need no locks.
"""

import csv
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import atomic_write, folder_lock
from unravel_lib.files.find import WHOLE, Shard, open_input
from unravel_lib.text import cell_text, printable

NAME = "failures.csv"
HEADER = ["input", "reason"]

log = logging.getLogger("unravel_lib")


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
        The file cannot be written.
    """
    target = folder / shard.named(NAME)
    if not failures and not target.exists():
        return
    now = [[_key(path), cell_text(text)] for path, text in failures]
    places = {Path(_key(path)) for path in inputs}.union(Path(key) for key, _ in now)
    with folder_lock(folder):
        before = _read(target)
        if before is None:
            log.error(f"{printable(target)} is no list of failures and is not changed: this run's are printed only")
            return
        kept = [row for row in before if places.isdisjoint([Path(row[0]), *Path(row[0]).parents])]
        _write(target, sorted(kept + now))


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
