"""Bad inputs, one row each, with the line on stderr, the exit code and the files in the output folder.

In the line `{in}` stands for the input and `{out}` for the output folder. Every row is run in a new folder; its other
files must stay as they are, there must be no traceback, and stdout must only name files that exist.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

from fixtures_runs import Make, Result, Run, contents, kinds_left, wav

PICKLE = pickle.dumps({"a": 1})
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
E, D = "encoder", "decoder"


@dataclass
class Row:
    """A bad input and what must happen."""

    given: str
    script: str
    make: Make  # writes the input
    line: str
    left: str = "failures.csv"
    code: int = 2
    name: str = "x.wav"


def bytes_of(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def sound(x: object, rate: int = 44100, format_: str = "WAV", subtype: str = "PCM_16", cut: float = 1.0) -> Make:
    data = wav(x, rate, format_, subtype)
    return bytes_of(data[: int(len(data) * cut)])


def nothing(path: Path) -> None:
    """Make nothing."""


def folder(path: Path) -> None:
    path.mkdir()


def folder_with(*names: str) -> Make:
    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"x")

    return make


def link_to(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def in_a_fresh_folder(row: Row, run: Run, tmp_path: Path, flag: str = "--input") -> Result:
    source, out = tmp_path / "given" / row.name, tmp_path / "out"
    source.parent.mkdir()
    row.make(source)
    before = contents(source.parent)
    result = run(row.script, flag, source, "--output", out)
    line = row.line.replace("{in}", str(source)).replace("{out}", str(out))
    assert result.code == row.code, result.err
    if row.line:
        assert len(result.errors) == 1, result.err
        assert result.errors[0] == line or (row.line.endswith((": ", "(")) and result.errors[0].startswith(line))
    else:
        assert result.errors == []
    assert kinds_left(out) == row.left
    assert contents(source.parent) == before
    return result
