"""What `cli.run` and `Batch` do: one-line errors, exit codes, the list of failures."""

import csv
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures_runs import ROOT, SCRIPTS, keeping_signals

from unravel_lib.cli import failures, signals
from unravel_lib.cli.batch import DONE, NOTHING_DONE, SOME_FAILED, Batch
from unravel_lib.cli.parser import Parser, number, one_of, path, whole_number
from unravel_lib.cli.run import log, run
from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.find import Shard


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restore signal handlers and the logger after each test."""
    with keeping_signals():
        yield


def exit_code(main: Callable[[list[str]], int], *argv: str) -> object:
    with pytest.raises(SystemExit) as left:
        run(main, list(argv))
    return left.value.code


def raising(error: BaseException) -> Callable[[list[str]], int]:
    def main(argv: list[str]) -> int:
        raise error

    return main


MEMORY = "close other programs, take fewer files, or raise the limit (ulimit -v)"
ERRORS = [
    (UsageError("a b: do c"), 2, "error: a b: do c\n"),
    (MemoryError(), 2, f"error: out of memory: {MEMORY}\n"),
    (MemoryError("8 GiB"), 2, f"error: out of memory: 8 GiB: {MEMORY}\n"),
    (OSError(5, "Input/output error", "a\nb"), 2, "error: a\\nb: Input/output error\n"),
    (OSError(5, "Input/output error"), 2, "error: Input/output error\n"),
    (
        ZeroDivisionError("one\ntwo"),
        2,
        "error: this should not happen: ZeroDivisionError (one two): --debug shows where; please report it\n",
    ),
    (KeyboardInterrupt(), 130, f"error: interrupted: {signals.KEPT}\n"),
]


@pytest.mark.parametrize(("error", "code", "line"), ERRORS, ids=[repr(e[0]) for e in ERRORS])
def test_each_error_has_its_line_and_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    assert exit_code(raising(error)) == code
    assert capsys.readouterr() == ("", line)


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(UsageError("x")), "--debug") == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("error: x\n")


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_code_of_main_is_the_exit_code(code: int) -> None:
    assert exit_code(lambda argv: code) == code


def test_levels_of_messages(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> int:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            log.log(level, "two\nlines")
        return 0

    exit_code(main)
    assert capsys.readouterr().err == "two\nlines\nwarning: two lines\nerror: two lines\n"


def parser() -> Parser:
    result = Parser("d", "e")
    result.add_argument("--whole", type=whole_number(1, 9))
    result.add_argument("--real", type=number(0.5, 9))
    result.add_argument("--place", type=path)
    result.add_argument("--kind", type=one_of(("alpha", "beta")))
    return result


GOOD = [
    (["--whole", "9"], "whole", 9),
    (["--whole=1"], "whole", 1),
    (["--real", "0.5"], "real", 0.5),
    (["--real", "9"], "real", 9.0),
    (["--kind", "beta"], "kind", "beta"),
    (["--place", "-"], "place", Path("-")),
    (["--place", "h"], "place", Path("h")),  # not -h
]


@pytest.mark.parametrize(("argv", "name", "value"), GOOD)
def test_good_flags(argv: list[str], name: str, value: object) -> None:
    assert getattr(parser().parse(argv), name) == value


BAD = [
    (["--whole", "0"], "--whole 0 is not a whole number from 1 to 9"),
    (["--whole", "10"], "--whole 10 is not a whole number from 1 to 9"),
    (["--whole", "9" * 5000], f"--whole {'9' * 40} is not a whole number from 1 to 9"),
    (["--real", "0.4"], "--real 0.4 is not a number from 0.5 to 9"),
    (["--real", "nan"], "--real nan is not a number from 0.5 to 9"),
    (["--real=-inf"], "--real -inf is not a number from 0.5 to 9"),
    (["--kind", "alfa"], "--kind alfa is unknown: choose from alpha, beta; did you mean alpha?"),
    (["--kind", "a'\"b"], "--kind a'\"b is unknown: choose from alpha, beta"),
    (["--knid", "x"], "unknown argument --knid; did you mean --kind?"),
    (["--knid=x"], "unknown argument --knid=x; did you mean --kind?"),
    (["--whol", "3"], "unknown argument --whol; did you mean --whole?"),
    (["--place"], "--place needs a value (one that begins with a dash is written --place=-value)"),
    (["--place", ""], "--place is empty: is a variable of the shell unset?"),
    (["--place="], "--place is empty: is a variable of the shell unset?"),
    (
        ["\udcff\x07"],
        "\\udcff\\x07 belongs to no flag: write --input in front of inputs",
    ),
]


@pytest.mark.parametrize(("argv", "line"), BAD, ids=[line for _, line in BAD])
def test_bad_flags(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str], line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["x.py"])
    assert exit_code(lambda args: parser().parse(args) and 0, *argv) == 2
    assert capsys.readouterr().err == f"x.py: error: {line} (--help shows all flags)\n"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_quick_and_plain(script: str) -> None:
    """--help needs no package but Python's own (-S hides the others), fits 80 columns, and is ASCII."""
    done = subprocess.run(
        [sys.executable, "-S", f"{script}.py", "--help"],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
        text=True,
    )
    assert done.returncode == 0 and done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80 and "--debug" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("log.warning('x'); return 0", 0),
        ("log.error('x'); return 1", 1),
        ("import warnings; warnings.warn('x'); print('x', file=sys.stderr); return 0", 0),
        ("raise ValueError", 2),
        ("Parser('', '').parse(['--nonsense'])", 2),
        ("sys.stderr.write('no end of a line'); return 0", 0),
    ],
)
def test_messages_that_cannot_be_written_end_nothing(root: Path, body: str, code: int) -> None:
    program = f"""
import sys
from unravel_lib.cli.parser import Parser
from unravel_lib.cli.run import log, run

def main(argv):
    print("result")
    {body}

run(main)
"""
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, stderr=full, text=True)
    assert (done.returncode, done.stdout) == (code, "result\n")


# ---------------------------------------------------------------- batches


def failing(folder: Path, *names: str, good: tuple[str, ...] = ()) -> int:
    batch = Batch(folder, inputs=[Path(name) for name in good])
    for name in names + good:
        with batch.attempt(Path(name)):
            if name in names:
                raise UsageError(f"{name} is bad")
    return batch.finish()


def listed(folder: Path) -> list[list[str]]:
    with open(folder / "failures.csv", newline="") as file:
        return list(csv.reader(file))[1:]


def test_the_exit_code_of_a_batch_is_done_some_failed_or_nothing_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(tmp_path, good=("a", "b")) == DONE
    assert not (tmp_path / "failures.csv").exists()
    assert failing(tmp_path, "a", "b", good=("c",)) == SOME_FAILED
    assert failing(tmp_path, "a") == NOTHING_DONE
    assert listed(tmp_path) == [[os.path.abspath(name), f"{name} is bad"] for name in "ab"]


def test_failures_that_are_repaired_leave_the_list_and_those_of_other_runs_stay(tmp_path: Path) -> None:
    failing(tmp_path, "a", "b")
    failing(tmp_path, "c")
    failing(tmp_path, good=("a",))
    assert [row[1] for row in listed(tmp_path)] == ["b is bad", "c is bad"]
    failing(tmp_path, good=("b", "c"))
    assert not (tmp_path / "failures.csv").exists()


@pytest.mark.parametrize("content", [b"", b"mine", b"input,reason\na,b,c\n", b"\xff,\xfe\n"])
def test_a_failures_csv_that_is_not_ours_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "failures.csv").write_bytes(content)
    assert failing(tmp_path, "a", good=("b",)) == SOME_FAILED
    assert failing(tmp_path, good=("a", "b")) == DONE
    assert (tmp_path / "failures.csv").read_bytes() == content


def test_a_pipe_in_place_of_the_list_of_failures_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "failures.csv")
    assert failing(tmp_path, "a", good=("b",)) == SOME_FAILED
    assert failing(tmp_path, good=("a",)) == DONE


def test_what_a_shard_left_unexplained(tmp_path: Path) -> None:
    shard = Shard(1, 2)
    targets = {tmp_path / name: tmp_path / f"{name}.npy" for name in ("done", "bad", "gone")}
    (tmp_path / "done.npy").touch()
    failures.update(tmp_path, [(tmp_path / "bad", "bad")], [tmp_path], shard)
    assert failures.unexplained(tmp_path, shard, targets) == [tmp_path / "gone"]


def test_a_list_of_failures_that_cannot_be_written_is_no_second_failure(tmp_path: Path) -> None:
    (tmp_path / "failures.csv").mkdir()
    assert failing(tmp_path, "a", good=("b",)) == SOME_FAILED
    assert failing(tmp_path / "gone", "a", good=("b",)) == SOME_FAILED


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    failing(tmp_path, "=1+1", "@x", "-x", "new\nline")
    assert [row[1] for row in listed(tmp_path)] == ["'-x is bad", "'=1+1 is bad", "'@x is bad", "new\nline is bad"]


@pytest.mark.parametrize(("loaded", "last"), [("torch", ""), ("other", "destroyed\n")])
def test_exit_skips_the_teardown_of_modules_once_pytorch_is_loaded(root: Path, loaded: str, last: str) -> None:
    code = f"""
import atexit, sys
from unravel_lib.cli import run as cli

class Heavy:
    def __del__(self):
        print("destroyed")

sys.modules["{loaded}"] = Heavy()
atexit.register(print, "atexit")
cli.run(lambda argv: print("done") or 1)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, f"done\natexit\n{last}")


def test_alike_failures_are_named_once_and_names_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["`seed`.wav", "{b}.wav", "c.wav"]

    def main(argv: list[str]) -> int:
        batch = Batch(None)
        for name in names:
            with batch.attempt(Path(name)):
                raise InputError("is too long", path=name, remedy="cut it", remedy_options=("seconds",))
        return batch.finish()

    assert exit_code(main) == NOTHING_DONE
    lines = [f"error: {name} is too long: cut it (--seconds)" for name in names]
    alike = f"{lines[0].replace('error: ', 'error:   ')} (and 2 more for the same reason)"
    assert capsys.readouterr().err.splitlines() == [*lines, "error: 3 of 3 inputs failed:", alike]


def test_a_warning_with_fields_is_written_with_flags(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> int:
        log.warning(InputError("runs at 9 Hz", path="`x`.wav", remedy="set it", remedy_options=("sample_rate",)))
        return 0

    exit_code(main)
    assert capsys.readouterr().err == "warning: `x`.wav runs at 9 Hz: set it (--sample_rate)\n"
