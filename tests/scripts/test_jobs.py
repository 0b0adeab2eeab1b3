"""`--jobs N`: processes that share the inputs of one run make what one process makes, and end with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_runs import ROOT, TONE, Run, Z, foreground_signals, npy, snapshot, wav

from unravel_lib.cli.run import RESUME

COUNT = 40


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Sounds and latents in folders, one of each broken."""
    for index in range(6):
        folder = tmp_path / "in" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.wav").write_bytes(wav(TONE[: 3000 * (index + 1)]))
        (folder / f"{index}.npy").write_bytes(npy(Z[..., : index + 1]))
    (tmp_path / "in" / "broken.wav").write_bytes(b"no sound")
    (tmp_path / "in" / "broken.npy").write_bytes(b"no latents")
    return tmp_path / "in"


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of a folder, the sidecars without its path, which their commands name."""
    return {name: data.replace(os.fsencode(folder), b"") for name, data in snapshot(folder).items()}


@pytest.mark.parametrize("script", ["encoder", "decoder"])
def test_any_number_makes_the_same(run: Run, inputs: Path, tmp_path: Path, script: str) -> None:
    made = []
    for count in (1, 2, 3):
        out = tmp_path / f"{count}"
        given = ("--extensions", "wav") if script == "encoder" else ()
        source = inputs if script == "encoder" else [*inputs.rglob("*.npy")]
        roots = source if isinstance(source, list) else [source]
        result = run(script, "--input", *sorted(roots), "--output", out, "--jobs", count, *given)
        assert result.code == 1 and result.err.count("broken") >= 2
        made.append((result.out.replace(os.fsencode(out), b""), result.err.replace(str(out), ""), files_in(out)))
    assert made[0] == made[1] == made[2]
    assert b'"--jobs",\n   "1"' in next(data for name, data in made[0][2].items() if name.endswith(".json"))
    assert "failures.csv" in made[0][2]


def start(*flags: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "encoder.py", *map(str, flags)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, preexec_fn=foreground_signals, **pipes)  # type: ignore[call-overload, no-any-return]


def children(process: "subprocess.Popen[bytes]") -> list[int]:
    """The processes that its threads have started, the last one last."""
    lists = Path(f"/proc/{process.pid}/task").glob("*/children")
    return sorted(int(word) for path in lists for word in path.read_text().split())


def wait_until_gone(pids: list[int], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end, "a process is left"
        time.sleep(0.05)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    (tmp_path / "many").mkdir()
    for index in range(COUNT):
        (tmp_path / "many" / f"{index:03}.wav").write_bytes(wav(np.tile(TONE, 4)[: 8000 * (index % 9 + 1)]))
    return tmp_path / "many"


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: the children of a process are found in /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_they_end_with_the_run_and_it_can_go_on(run: Run, many: Path, tmp_path: Path, signum: signal.Signals) -> None:
    flags = ("--input", many, "--output", tmp_path / "out", "--skip_existing")
    process = start(*flags, "--jobs", 2)
    assert process.stdout is not None and process.stdout.readline()
    pids = children(process)
    assert len(pids) >= 2
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)
    wait_until_gone(pids)
    if signum != signal.SIGKILL:
        assert process.returncode == 128 + signum
        assert err.decode().splitlines()[-1].endswith(RESUME) and b"Traceback" not in err
    assert not list((tmp_path / "out").glob(".*.part"))
    assert run("encoder", *flags, "--jobs", 3).code == 0
    assert run("encoder", "--input", many, "--output", tmp_path / "one", "--jobs", 1).code == 0
    assert files_in(tmp_path / "out") == files_in(tmp_path / "one")


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: the children of a process are found in /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_what_is_finished_is_printed_when_it_is_stopped(many: Path, tmp_path: Path, signum: signal.Signals) -> None:
    """Also what waits for the long one before it."""
    (many / "001.wav").write_bytes(wav(np.tile(TONE, 4000)))
    process = start("--input", many, "--output", tmp_path / "out", "--jobs", 2)
    assert process.stdout is not None
    printed = process.stdout.readline().splitlines()
    while len(made := [*(tmp_path / "out").glob("*.json")]) < 10:
        time.sleep(0.01)
    time.sleep(0.2)  # their outcomes are on the way
    process.send_signal(signum)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    printed += out.splitlines()
    assert len(set(printed)) == len(printed) and {os.fsencode(path.with_suffix(".npy")) for path in made} <= {*printed}
    assert all(os.path.exists(path) for path in printed) and not list((tmp_path / "out").glob("001*"))


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: the children of a process are found in /proc")
def test_what_a_killed_process_did_not_finish_is_named(many: Path, tmp_path: Path) -> None:
    """Another process takes its place."""
    process = start("--input", many, "--output", tmp_path / "out", "--jobs", 2)
    assert process.stdout is not None and all(process.stdout.readline() for _ in range(COUNT // 3))  # both have begun
    os.kill(children(process)[-1], signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    text = "was not finished: a process has ended, perhaps for lack of memory: run fewer at once (--jobs)"
    assert f"error: 1 of {COUNT} inputs failed:" in err.decode() and text in err.decode()
    assert len((tmp_path / "out" / "failures.csv").read_text().splitlines()) == 2
    assert len(list((tmp_path / "out").glob("*.npy"))) >= COUNT - 1
