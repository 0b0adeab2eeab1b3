"""Ctrl-C, SIGTERM, kill -9, two runs at the same time: no file is ever incomplete.

`make stress` kills many more runs at random moments.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import ROOT, TONE, Run, Z, foreground_signals, npy, snapshot, wav

import decoder
import encoder
import generator
from unravel_lib.cli.batch import SOME_FAILED, Batch
from unravel_lib.cli.run import RESUME

COUNT = 50
KEPT = "finished files are kept, no half file is left"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many short recordings, so that a signal comes while the run is working."""
    folder = tmp_path_factory.mktemp("sounds")
    for index in range(COUNT):
        (folder / f"{index:03}.wav").write_bytes(wav(TONE[:8000] * (index + 1) / COUNT))
    return folder


@pytest.fixture(scope="module")
def uninterrupted(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of encoder.py without any interruption."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert encoder.main(["--input", str(sounds), "--output", str(folder)]) == 0
    return results_in(folder)


def results_in(folder: Path) -> dict[str, bytes]:
    """The files of a folder, the sidecars without its path, which their commands name."""
    return {name: data.replace(os.fsencode(folder), b"") for name, data in snapshot(folder).items()}


def assert_whole(folder: Path, suffix: str) -> None:
    """Check that files with final names are complete, and that sidecars belong to the files beside them."""
    for path in folder.iterdir():
        if path.suffix == ".json":
            facts = json.loads(path.read_bytes())
            assert hashlib.sha256(path.with_suffix(suffix).read_bytes()).hexdigest() == facts["file_sha256"]
        elif path.suffix == suffix == ".npy":
            assert np.load(path).shape[:2] == (1, 8)
        else:
            assert path.suffix in (suffix, ".part", ".descriptors")


# ---------------------------------------------------------------- signals to a real process

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command with the signals of the foreground; what still runs at the end is killed."""
    running = []

    def go(*command: object, ignored: tuple[int, ...] = ()) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            preexec_fn=lambda: foreground_signals(*ignored),
        )
        running.append(process)
        return process

    yield go
    for process in running:
        process.kill()
        process.communicate()


def snippet(start: Start, body: str, **options: tuple[int, ...]) -> "subprocess.Popen[bytes]":
    """Start a script whose main is `body`; returns once it prints "ready"."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    code = "import os, sys, time\nfrom pathlib import Path\nfrom unravel_lib.cli import run as cli\n"
    code += "from unravel_lib.files import atomic as files\n"
    code += f"def main(argv):\n{lines}    return 0\ncli.run(main)\n"
    process = start("-c", code, **options)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


READY = "print('ready', flush=True)\n"


@pytest.mark.parametrize(
    ("signum", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "the terminal")],
)
def test_a_stopped_batch_is_resumed_to_the_same_bytes(
    start: Start,
    run: Run,
    sounds: Path,
    uninterrupted: dict[str, bytes],
    tmp_path: Path,
    signum: int,
    code: int,
    word: str,
) -> None:
    flags = ("--input", sounds, "--output", tmp_path / "out", "--skip_existing")
    process = start("encoder.py", *flags)
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    last = err.decode().splitlines()[-1]
    assert last.startswith(f"error: {word}") and last.endswith(f"{KEPT}; {RESUME}") and b"Traceback" not in err
    assert_whole(tmp_path / "out", ".npy")
    assert not list((tmp_path / "out").glob(".*"))
    complete = len(list((tmp_path / "out").glob("*.json")))
    assert 1 <= complete < COUNT
    assert len(run("encoder", *flags).out.splitlines()) == COUNT - complete
    assert results_in(tmp_path / "out") == uninterrupted


def test_a_stopped_run_of_the_generator_says_how_to_begin_again(start: Start, run: Run, tmp_path: Path) -> None:
    (tmp_path / "z.npy").write_bytes(npy(Z))
    flags = ("--input", tmp_path / "z.npy", "--no_plots", "--embeddings", "--num_files", 3000, "--run", "r")
    process = start("generator.py", *flags, "--output", tmp_path / "out")
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1] == f"error: interrupted: {KEPT}; {generator.REMEDY}"
    assert "--overwrite" in generator.REMEDY and "--run" in generator.REMEDY
    assert run("generator", *flags, "--output", tmp_path / "out").code == 2
    again = run("generator", *flags, "--num_files", 3, "--output", tmp_path / "out", "--overwrite")
    assert again.code == 0 and len(again.paths) == 3


def test_kill_9_at_random_moments(
    start: Start, run: Run, sounds: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    flags = ("--input", sounds, "--output", tmp_path / "out", "--skip_existing")
    rng = random.Random(0)
    for _ in range(2):
        process = start("encoder.py", *flags)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.wait()
        assert_whole(tmp_path / "out", ".npy")
    assert run("encoder", *flags).code == 0
    for part in (tmp_path / "out").glob(".*.part"):
        part.unlink()  # a later run does this, once they are a minute old
    assert results_in(tmp_path / "out") == uninterrupted


@pytest.mark.parametrize("script", ["encoder", "decoder"])
def test_a_run_may_begin_with_any_file(script: str, tmp_path: Path) -> None:
    """A resumed run begins with another file: the first call of a model must not differ from later ones."""
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        if script == "encoder":
            (tmp_path / "in" / f"{name}.wav").write_bytes(wav(TONE))
        else:
            (tmp_path / "in" / f"{name}.npy").write_bytes(npy(Z + (name == "b")))
    main = {"encoder": encoder.main, "decoder": decoder.main}[script]
    b = next((tmp_path / "in").glob("b.*"))
    assert main(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "both")]) == 0
    assert main(["--input", str(b), "--output", str(tmp_path / "alone")]) == 0
    alone = {name: data for name, data in snapshot(tmp_path / "alone").items() if not name.endswith(".json")}
    assert len(alone) == (2 if script == "encoder" else 1) and alone == {
        name: data for name, data in snapshot(tmp_path / "both").items() if name in alone
    }


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.2])
def test_ctrl_c_while_torch_is_imported_or_the_model_loads(start: Start, tmp_path: Path, seconds: float) -> None:
    (tmp_path / "in").mkdir()
    for number in range(300):  # more than are encoded before the signal, however fast the machine is
        (tmp_path / "in" / f"{number}.flac").symlink_to(ROOT / "examples" / "audio" / "loop_compus.flac")
    process = start("encoder.py", "--input", tmp_path / "in", "--output", tmp_path / "out")
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT)  # both are 130 in a shell
    assert b"Traceback" not in err and b"ignored" not in err


def test_ctrl_c_in_a_block_that_no_exception_may_leave_stops_behind_it(start: Start) -> None:
    process = snippet(
        start,
        f"""from unravel_lib.cli import signals
with signals.held_back():
    try:
        {READY.strip()}
        time.sleep(0.5)
        print("whole", file=sys.stderr)
    except BaseException:
        print("left", file=sys.stderr)
print("went on", file=sys.stderr)""",
    )
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130 and err.startswith(b"whole\nerror: interrupted")


def test_ctrl_c_that_a_library_swallows_still_stops(start: Start, tmp_path: Path) -> None:
    body = f"""from unravel_lib.cli.batch import Batch
batch = Batch(Path({str(tmp_path)!r}))
for name in "ab":
    with batch.attempt(Path(name)):
        try:
            {READY.strip()}
            time.sleep(5)
        except BaseException:
            pass
return batch.finish()"""
    process = snippet(start, body)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err.decode()) == (130, f"error: interrupted: {KEPT}\n")
    assert time.monotonic() - began < 4


def test_ctrl_c_that_a_library_turns_into_another_error_is_still_ctrl_c(start: Start, tmp_path: Path) -> None:
    body = f"""from unravel_lib.cli.batch import Batch
batch = Batch(Path({str(tmp_path)!r}))
with batch.attempt(Path("a")):
    try:
        {READY.strip()}
        time.sleep(5)
    except BaseException as error:
        raise RuntimeError("something else") from error"""
    process = snippet(start, body)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err.decode()) == (130, f"error: interrupted: {KEPT}\n")


def test_the_second_ctrl_c_ends_a_run_that_ignores_the_first(start: Start, tmp_path: Path) -> None:
    body = f"""with files.atomic_write(Path({str(tmp_path / "x")!r})) as part:
    for _ in range(2):
        try:
            {READY.strip()}
            time.sleep(5)
        except BaseException:
            pass"""
    process = snippet(start, body)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=4)
    assert (process.returncode, err.decode()) == (130, f"error: interrupted: {KEPT}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_during_atexit_prints_nothing(start: Start) -> None:
    body = f"""import atexit
def at_exit():
    {READY.strip()}
    time.sleep(5)
atexit.register(at_exit)"""
    process = snippet(start, body)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=4)[1] == b""
    assert process.returncode == 130


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_signals_that_the_shell_ignores_stay_ignored(start: Start, signum: signal.Signals) -> None:
    """`encoder.py ... &` in a script must go on after Ctrl-C, `nohup encoder.py` after the end of the session."""
    process = snippet(start, f"{READY}time.sleep(0.5)", ignored=(signum,))
    process.send_signal(signum)
    assert process.communicate()[1] == b"" and process.returncode == 0


def test_stdout_on_a_full_disk_is_one_error_and_the_batch_goes_on(tmp_path: Path) -> None:
    code = f"""from pathlib import Path
from unravel_lib.cli import run as cli
from unravel_lib.cli.batch import Batch
def main(argv):
    batch = Batch(Path({str(tmp_path)!r}))
    for name in ("a.wav", "b.wav"):
        with batch.attempt(Path(name)):
            batch.wrote(Path(name))
    return batch.finish()
cli.run(main)"""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, cwd=ROOT)
    line = "error: a.wav is written, but its name cannot be printed to stdout: No space left on device"
    assert (done.returncode, done.stderr.decode().splitlines()[0]) == (1, line)
    assert done.stderr.count(b"a.wav") == 2 and b"b.wav" not in done.stderr  # the line, and the summary
    command = ["sh", "-c", '"$0" -c "$1" >&-', sys.executable, code]
    closed = subprocess.run(command, stderr=subprocess.PIPE, cwd=ROOT)
    assert (closed.returncode, closed.stderr) == (0, b"")


@pytest.mark.parametrize(
    "settings", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "ascii:strict"}]
)
def test_no_name_is_too_odd_to_print(settings: dict[str, str]) -> None:
    code = "from unravel_lib.cli import run as cli\ndef main(argv):\n"
    code += "    print('\\u00fc\\udcff')\n    cli.log.error('\\u00fc\\udcff')\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}    return 0\ncli.run(main)"],
        capture_output=True,
        env={**os.environ, **settings},
        cwd=ROOT,
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert b"udcff" in done.stdout and b"udcff" in done.stderr


# ---------------------------------------------------------------- two runs at the same time


def test_two_runs_at_the_same_time(start: Start, sounds: Path, tmp_path: Path) -> None:
    """Same folder, different seeds: each result belongs to one of them, with its own sidecar."""
    runs = [start("encoder.py", "--input", sounds, "--output", tmp_path / "out", "--seed", seed) for seed in (1, 2)]
    for process in runs:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert_whole(tmp_path / "out", ".npy")
    assert len(list((tmp_path / "out").iterdir())) == 3 * COUNT


def test_a_batch_goes_on_after_a_bug(tmp_path: Path) -> None:
    """An unexpected error fails one file, not the batch."""
    batch = Batch(tmp_path)
    for name, error in (("a", ZeroDivisionError("oops")), ("b", MemoryError()), ("c", None)):
        with batch.attempt(Path(name)):
            if error is not None:
                raise error
    assert batch.finish() == SOME_FAILED
    reasons = (tmp_path / "failures.csv").read_text().splitlines()
    assert "a: this should not happen: ZeroDivisionError (oops): --debug shows where; please report it" in reasons[1]
    assert "b: out of memory: close other programs" in reasons[2]
    with contextlib.suppress(KeyboardInterrupt), batch.attempt(Path("d")):
        raise KeyboardInterrupt
    assert len(batch.failures) == 2
