"""The screen of a terminal during a run, and the lines on stderr without a terminal."""

import fcntl
import logging
import os
import pty
import resource
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest
from fixtures_runs import ROOT, SCRIPTS, TONE, Run, Z, foreground_signals, npy, wav

from unravel_lib.cli.run import RESUME, log
from unravel_lib.cli.terminal import Progress, error_line

COLUMNS, ROWS = 240, 60


class Terminal:
    """A command in a pseudo-terminal."""

    def __init__(self, *command: object) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)

        def in_the_terminal() -> None:
            foreground_signals()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=in_the_terminal,
        )
        os.close(slave)

    def lines(self) -> list[str]:
        """The screen as it is, without empty lines at its end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    def read(self, enough: Callable[[list[str]], bool] = lambda lines: False) -> list[str]:
        """Read what the command writes until `enough` of the lines, or to its end."""
        while not enough(self.lines()):
            try:
                data = os.read(self._master, 4096)
            except OSError:  # the command has ended
                data = b""
            if not data:
                self.process.wait(timeout=30)
                break
            self._stream.feed(data)
        return self.lines()

    def press(self, keys: bytes) -> None:
        """Type on its keyboard."""
        os.write(self._master, keys)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Three recordings."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.wav").write_bytes(wav(TONE))
    return folder


def test_paths_are_on_lines_of_their_own_above_the_bar(sounds: Path, tmp_path: Path) -> None:
    terminal = Terminal("encoder.py", "--input", sounds, "--output", tmp_path / "out")
    first, *paths, bar, total = terminal.read()
    assert terminal.process.returncode == 0
    assert first.startswith("no --model given")
    assert sorted(paths) == sorted(map(str, (tmp_path / "out").glob("*.npy"))) and len(paths) == 3
    assert bar.startswith("100%") and "| 3/3 files [" in bar
    assert total == "3 files: 45 frames, 2.1 s of sound"


def test_one_decoded_file_shows_the_bar_and_its_level(tmp_path: Path) -> None:
    (tmp_path / "z.npy").write_bytes(npy(Z[:, :, :29]))
    terminal = Terminal("decoder.py", "--input", tmp_path / "z.npy", "--output", tmp_path / "out")
    lines = terminal.read()
    assert terminal.process.returncode == 0 and len(lines) == 5, lines
    assert lines[2].startswith("100%")
    assert lines[3].split() == ["length", "LUFS", "peak", "dBFS", "sound"]


def test_the_pictures_of_the_page_are_counted(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.npy").write_bytes(npy(Z[:, :, :9]))
    out = tmp_path / "out"
    terminal = Terminal("decoder.py", "--input", *tmp_path.glob("*.npy"), "--output", out, "--page")
    lines = terminal.read()
    assert terminal.process.returncode == 0, lines
    assert [line.startswith("100%") and "| 3/3 pictures [" in line for line in lines].count(True) == 1, lines
    assert lines[-1] == f"open {out}/index.html in a browser to listen"


def test_ctrl_c_prints_below_the_bar_how_to_go_on(sounds: Path, tmp_path: Path) -> None:
    for index in range(100):
        (sounds / f"more{index}.wav").write_bytes(wav(TONE))
    terminal = Terminal("encoder.py", "--input", sounds, "--output", tmp_path / "out")
    terminal.read(lambda lines: any(line.endswith(".npy") for line in lines))
    terminal.press(b"\x03")
    *_, bar, last = terminal.read()
    assert terminal.process.returncode == 130
    assert "103 files [" in bar
    assert last == f"error: interrupted: finished files are kept, no half file is left; {RESUME}"


def test_a_second_ctrl_c_prints_one_line(tmp_path: Path) -> None:
    code = (
        "import time\nfrom unravel_lib.cli import run as cli\ndef main(argv):\n    for _ in range(2):\n        try:\n"
    )
    code += "            print('ready', end='', flush=True)\n            time.sleep(9)\n        except BaseException:\n"
    code += "            pass\n    return 0\ncli.run(main)"
    terminal = Terminal("-c", code)
    terminal.read(lambda lines: lines[0].count("ready") == 1)
    terminal.press(b"\x03")
    terminal.read(lambda lines: lines[0].count("ready") == 2)
    time.sleep(0.1)
    terminal.press(b"\x03")
    assert terminal.read() == ["ready^Cready^C", "error: interrupted: finished files are kept, no half file is left"]
    assert terminal.process.returncode == 130


def test_a_run_with_nothing_to_do_says_so(run: Run, sounds: Path, tmp_path: Path) -> None:
    flags = ("--input", sounds, "--output", tmp_path / "out", "--skip_existing")
    assert "before" not in run("encoder", *flags).err
    result = run("encoder", *flags)
    assert (result.code, result.out, result.err.splitlines()[1:]) == (
        0,
        b"",
        ["3 of 3 files finished before: left alone"],
    )
    next((tmp_path / "out").glob("*.npy")).unlink()
    *_, total, before = run("encoder", *flags).err.splitlines()
    assert (total, before) == ("3 files: 45 frames, 2.1 s of sound", "2 of 3 files finished before: left alone")
    one = ("--input", next((tmp_path / "out").glob("*.npy")), "--output", tmp_path / "sound", "--skip_existing")
    run("decoder", *one)
    assert run("decoder", *one).err.splitlines()[1:] == ["1 of 1 file finished before: left alone"]


# ---------------------------------------------------------------- without a terminal


def test_without_a_terminal_progress_is_printed_now_and_then(
    run: Run, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--input", sounds, "--output", tmp_path / "out")
    assert "%:" not in run("encoder", *flags).err
    monkeypatch.setattr("unravel_lib.cli.terminal.LINE_SECONDS", 0.0)
    lines = [line for line in run("encoder", *flags).err.splitlines() if "%:" in line]
    assert lines[-1] == "100 %: 3 of 3 files" and len(lines) >= 3


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The lines of progress, all of them, however little time is between two."""
    monkeypatch.setattr("unravel_lib.cli.terminal.LINE_SECONDS", 0.0)
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "level", logging.INFO)
    return caplog


def test_an_input_counts_in_full_once_it_is_done_and_never_for_more(lines: pytest.LogCaptureFixture) -> None:
    with Progress(["a", "unknown size", "b"], "files") as bar:
        for name in bar:
            bar.update(7, 0 if name == "unknown size" else 10)
            bar.update(7, 0 if name == "unknown size" else 10)
    assert lines.messages == [
        "23 %: 0 of 3 files",
        "33 %: 0 of 3 files",
        "33 %: 1 of 3 files",
        "33 %: 1 of 3 files",
        "33 %: 1 of 3 files",
        "67 %: 2 of 3 files",
        "90 %: 2 of 3 files",
        "100 %: 2 of 3 files",
        "100 %: 3 of 3 files",
    ]


# ---------------------------------------------------------------- missing packages, little memory


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_python_without_the_requirements_says_how_to_install_them(script: str, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(Z))
    command = [sys.executable, "-S", f"{script}.py", "--input", tmp_path / "x.npy", "--output", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: ") and f"is not installed in this Python ({sys.executable})" in done.stderr
    assert ". .venv/bin/activate" in done.stderr and "pip install -r requirements.txt" in done.stderr


def test_an_import_error_for_lack_of_memory_says_so() -> None:
    error = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    assert error_line(error) == (
        "out of memory: libtorch_cpu.so: failed to map segment from shared object: close other programs, take fewer "
        "files, or raise the limit (ulimit -v)"
    )
    assert error_line(ImportError("x")).startswith("this should not happen")


def test_a_memory_limit_is_named_as_the_reason(tmp_path: Path) -> None:
    """The limit is enough for Python and NumPy, not for PyTorch."""
    (tmp_path / "x.npy").write_bytes(npy(Z))
    limit = 400 << 20
    done = subprocess.run(
        [sys.executable, "decoder.py", "--input", tmp_path / "x.npy", "--output", tmp_path / "out"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: out of memory: ") and not (tmp_path / "out").exists()


def test_a_home_folder_that_cannot_be_written_to_gives_no_message(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(Z))
    flags = ["--input", tmp_path / "x.npy", "--output", tmp_path / "out", "--run", "r"]
    environment = {**os.environ, "HOME": "/proc/nowhere", "MPLBACKEND": "agg"}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "generator.py", *flags], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
    assert "atplotlib" not in done.stderr and "mkdir" not in done.stderr


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("script", ["encoder", "decoder", "inspector"])
def test_a_run_that_fails_before_it_writes_leaves_no_new_folder(run: Run, tmp_path: Path, script: str) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    (tmp_path / "x.npy").write_bytes(npy(Z))
    (tmp_path / "bad.ts").write_bytes(b"none")
    (tmp_path / "mine").mkdir()
    source = {"encoder": "x.wav", "decoder": "x.npy"}.get(script, "bad.ts")
    flags = ["--save"] if script == "inspector" else ["--model", tmp_path / "bad.ts"]
    for output in ("new/deep", "mine"):
        result = run(script, "--input", tmp_path / source, "--output", tmp_path / output, *flags)
        assert result.code == 2
    left = sorted(path.name for path in tmp_path.iterdir())
    assert ("new" in left) == (script == "inspector") and "mine" in left  # the inspector writes failures.csv


def test_a_generator_that_fails_before_it_writes_leaves_no_new_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "x.npy").write_bytes(npy(Z))
    monkeypatch.setattr("unravel_lib.generator.results.write_csv", fail)
    result = run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "new", "--run", "r")
    assert result.code == 2 and not (tmp_path / "new").exists()


def test_a_folder_removed_while_it_was_empty_is_made_again(tmp_path: Path) -> None:
    """Another run may have made it, failed, and removed it."""
    from unravel_lib.files import atomic, output

    folder = output.make_output_folder(tmp_path / "new")
    folder.rmdir()
    with atomic.atomic_write(folder / "x") as part:
        part.write_text("x")
    assert (folder / "x").read_text() == "x"
