"""What users give by mistake or by malice, one row each, with the exact line that they see.

A row: what is given, the exit code, the line on stderr, the files left in the output folder. `{in}` is the input,
`{out}` the output folder. Every row is run in a fresh folder; whatever else lies there must stay as it is, no row may
show a traceback, and stdout names nothing but files that exist.
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
    """What is given, and what is to happen."""

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
    """Nothing at all."""


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
