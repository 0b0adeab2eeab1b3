"""`make stress`: kills at random moments, work in shards, thousands of files: check that nothing is lost.

Each run is a fork of this process, which has imported PyTorch but not used it. So a run takes a fraction of a second,
and the signals come during the work, not during the imports.
"""

import argparse
import contextlib
import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402  imported once for all runs

import decoder  # noqa: E402
import encoder  # noqa: E402
import generator  # noqa: E402
from unravel_lib.cli import failures  # noqa: E402
from unravel_lib.cli import run as cli  # noqa: E402
from unravel_lib.cli.batch import Batch  # noqa: E402
from unravel_lib.latents import formats  # noqa: E402
from unravel_lib.statistics import tables  # noqa: E402, F401

MAIN = {"encoder": encoder.main, "decoder": decoder.main, "generator": generator.main}
FILES = 12
SUFFIX = {"encoder": ".npy", "decoder": ".wav", "generator": ".npy"}


def forked(work: Callable[[], object], errors: Path) -> int:
    """Run `work` in another process without stdout and with stderr in a file; return the process id."""
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # until `cli.run`: signals before it are not tested
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        return child
    code = 99
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(os.open(errors, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
        torch.set_num_threads(1)
        work()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 99
    finally:
        os._exit(code)


def run(script: str, flags: list[str], errors: Path, die_after: float | None = None, by: int = signal.SIGKILL) -> int:
    """Run a script, kill it after some seconds; return the exit code, or minus the signal."""

    def work() -> None:
        cli.run(MAIN[script], flags)

    child = forked(work, errors)
    if die_after is not None:
        time.sleep(die_after)
        os.kill(child, by)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def snapshot(folder: Path) -> dict[str, str]:
    """Return names and SHA-256 of all files in a folder except the part files of killed runs.

    As if the folder were another one, which commands in sidecars name.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes().replace(bytes(folder), b"")).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".part")
    }


def assert_whole(folder: Path, final: dict[str, str]) -> None:
    """Check that all files with final names have the bytes of an uninterrupted run."""
    for name, digest in snapshot(folder).items():
        assert final.get(name) == digest, f"{folder / name} is not what an uninterrupted run makes"
    for note in folder.rglob("encoded*.json"):
        assert json.loads(note.read_bytes())["file_sha256"] == final[str(note.with_suffix(".npy").relative_to(folder))]


def jobs(place: Path) -> dict[str, list[str]]:
    """Write the inputs of each script; return its flags."""
    rng = np.random.default_rng(0)
    for index in range(FILES):
        t = np.arange(30_000 * (index + 1)) / 44100
        (place / "sounds").mkdir(exist_ok=True)
        soundfile.write(place / "sounds" / f"{index}.wav", 0.3 * np.sin(2 * np.pi * 110 * (index + 1) * t), 44100)
        (place / "latents").mkdir(exist_ok=True)
        formats.save_latents(place / "latents" / f"{index}.npy", rng.standard_normal((8, 20 * (index + 1))))
    music = ["--pattern", "fibo", "--num_files", "8", "--num_loops", "30", "--embeddings", "--no_plots"]
    return {
        "encoder": ["--input", str(place / "sounds"), "--skip_existing"],
        "decoder": ["--input", str(place / "latents"), "--skip_existing"],
        "generator": ["--input", str(place / "latents"), "--run", "r", "--overwrite", *music],
    }


def kill_at_random_moments(place: Path, kills: int, rng: random.Random) -> None:
    """Kill, resume, kill, ...; a third of the signals are Ctrl-C and SIGTERM, which must leave no part file either."""
    errors, moments = place / "errors", Counter[str]()
    for script, flags in jobs(place).items():
        began = time.monotonic()
        assert run(script, [*flags, "--output", str(place / "final" / script)], errors) == 0, errors.read_text()
        seconds = time.monotonic() - began
        final = snapshot(place / "final" / script)
        out = place / "out" / script
        for index in range(-(-kills // len(MAIN))):
            by = rng.choice(
                (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
            )
            code = run(script, [*flags, "--output", str(out)], errors, rng.uniform(0, seconds), by)
            assert code in (0, -by, 128 + by), f"{script}: exit code {code}: {errors.read_text()}"
            assert "Traceback" not in errors.read_text(), errors.read_text()
            done = len(snapshot(out))
            moments[f"{script}: {'nothing' if not done else 'all' if done == len(final) else 'a part'} done"] += 1
            assert_whole(out, final)
            if done == len(final) or index % 8 == 7:
                assert run(script, [*flags, "--output", str(out)], errors) == 0, errors.read_text()
                assert snapshot(out) == final
                shutil.rmtree(out)
        say(f"{script}: killed {index + 1} times within {seconds:.1f} s of work, resumed to the same bytes")
    for moment, times in sorted(moments.items()):
        say(f"  {moment}: {times} times")


def kill_one_of_two(place: Path, times: int, rng: random.Random) -> None:
    """Kill one of two runs on the same folder: the other must finish."""
    flags = ["--input", str(place / "sounds"), "--output", str(place / "two")]
    final = snapshot(place / "final" / "encoder")
    for _ in range(times):
        first, second = (
            forked(lambda: cli.run(encoder.main, flags), place / f"errors {name}") for name in ("first", "second")
        )
        time.sleep(rng.uniform(0, 1.0))
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        assert os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]) == 0
        assert snapshot(place / "two") == final, snapshot(place / "two").keys() ^ final.keys()
    say(f"two runs at the same time, one of them killed, {times} times: the other made everything")


def shard_jobs(place: Path) -> dict[str, list[str]]:
    """Write inputs with equal names, in folders, some of them broken; return the flags of each script."""
    rng = np.random.default_rng(1)
    for index in range(FILES):
        sounds, latents = place / "shard sounds" / f"{index % 3}", place / "shard latents" / f"{index % 3}"
        for folder in (sounds, latents):
            folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(sounds / f"take {index // 3}.wav", 0.3 * rng.standard_normal(20_000 * (index + 1)), 44100)
        formats.save_latents(latents / f"take {index // 3}.npy", rng.standard_normal((8, 20 * (index + 1))))
        if index % 5 == 0:
            (sounds / f"broken {index}.wav").write_bytes(b"no sound")
            (latents / f"broken {index}.npy").write_bytes(b"no latents")
    return {
        "encoder": ["--input", str(place / "shard sounds"), "--skip_existing"],
        "decoder": ["--input", str(place / "shard latents"), "--skip_existing"],
    }


def run_shards(script: str, flags: list[str], count: int, place: Path, seconds: float, rng: random.Random) -> int:
    """Run all shards, in any order, up to three at once, until none was killed; return how many were."""
    todo, killed = [*range(1, count + 1)], 0
    while todo:
        rng.shuffle(todo)
        running = {}
        for index in todo[: rng.randint(1, 3)]:
            work = partial(cli.run, MAIN[script], [*flags, "--shard", f"{index}/{count}"])
            running[index] = forked(work, place / f"errors {index}")
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, seconds / count))
            for child in running.values():
                os.kill(child, rng.choice((signal.SIGKILL, signal.SIGINT)))
        for index, child in running.items():
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 1, 130, -signal.SIGKILL, -signal.SIGINT), (code, (place / f"errors {index}").read_text())
            if code in (0, 1):
                todo.remove(index)
            else:
                killed += 1
    return killed


def shards(place: Path, times: int, rng: random.Random) -> None:
    """Do the work in up to 7 shards, in any order, some at once, with kills: together they make what one run makes."""
    for script, flags in shard_jobs(place).items():
        one, out = place / "one" / script, place / "shards" / script
        began = time.monotonic()
        assert run(script, [*flags, "--output", str(one)], place / "errors") == 1, (place / "errors").read_text()
        seconds = time.monotonic() - began
        final = snapshot(one)
        assert len(final) == (3 if script == "encoder" else 2) * FILES + 1  # failures.csv; an encoding has descriptors
        killed = 0
        for _ in range(times):
            count = rng.randint(1, 7)
            killed += run_shards(script, [*flags, "--output", str(out)], count, place, seconds, rng)
            failures.merge(out, count)
            found = {name: data for name, data in snapshot(out).items() if not name.startswith("failures-")}
            assert found == final, f"{script}, {count} shards: {found.items() ^ final.items()}"
            shutil.rmtree(out)
        say(f"{script}: in shards {times} times, {killed} of them killed: the bytes of one run")


@contextlib.contextmanager
def measured() -> Iterator[list[tuple[int, int, float]]]:
    """Collect open files, threads and MiB after every 500th file."""
    found: list[tuple[int, int, float]] = []
    count = 0
    plain = Batch.wrote

    def wrote(self: Batch, path: Path) -> None:
        nonlocal count
        count += 1
        if count % 500 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            found.append((len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), pages / 256))  # noqa: PTH208
        plain(self, path)

    Batch.wrote = wrote  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Batch.wrote = plain  # type: ignore[method-assign]


def many_small_files(place: Path, count: int) -> None:
    """Process thousands of files in one process: files, threads and memory must not grow."""

    def work() -> None:
        for script, make in (("encoder", _small_sound), ("decoder", _small_latents)):
            folder = place / f"many {script}"
            folder.mkdir()
            for index in range(count):
                make(folder, index)
            with measured() as found, contextlib.suppress(SystemExit):
                cli.run(MAIN[script], ["--input", str(folder), "--output", str(place / "many out" / script)])
            first, last = found[0], found[-1]
            print(f"{script}, {count} files: open files, threads, MiB: {first} -> {last}", file=sys.stderr)
            assert last[0] <= first[0] and last[1] <= first[1] and last[2] - first[2] < 30, found
            assert len(list((place / "many out" / script).glob(f"*{SUFFIX[script]}"))) == count
            assert not (place / "many out" / script / "failures.csv").exists()

    child = forked(work, place / "errors")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for line in (place / "errors").read_text().splitlines():
        if "open files" in line or code:
            say(line)
    assert code == 0


def _small_sound(folder: Path, index: int) -> None:
    soundfile.write(folder / f"{index:05}.wav", np.full(300, index / 1e5), 44100)


def _small_latents(folder: Path, index: int) -> None:
    formats.save_latents(folder / f"{index:05}.npy", np.full((8, 1), index / 1e4))


def a_file_of_5_gb(place: Path) -> None:
    """Encode an RF64 of 5 GB of zeros, 64 channels at 384 kHz, in as much memory as a small file."""
    path = place / "5gb.wav"
    with soundfile.SoundFile(path, "w", 384_000, 64, "FLOAT", format="RF64") as file:
        file.write(np.zeros((10, 64), np.float32))
    size, frames = 5 << 30, (5 << 30) // 256
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 8
    at = data.index(b"ds64") + 8
    data[at : at + 24] = b"".join(n.to_bytes(8, "little") for n in (size + start - 8, size, frames))
    path.write_bytes(data)
    os.truncate(path, start + size)  # sparse: it takes no space on the disk

    def work() -> None:
        with contextlib.suppress(SystemExit):
            cli.run(encoder.main, ["--input", str(path), "--output", str(place / "5gb")])
        made = formats.load_latents(next((place / "5gb").glob("*.npy")))
        assert made.shape[1] == math.ceil(math.ceil(frames * 44100 / 384_000) / 2048), made.shape
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"5 GB: {made.shape[1]} frames, peak memory {peak:.0f} MiB", file=sys.stderr)
        assert peak < 2048

    child = forked(work, place / "errors")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    say((place / "errors").read_text().strip().splitlines()[-1])
    assert code == 0


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """Run all of it; the first failed assertion ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=240)
    parser.add_argument("--shards", type=int, default=20, help="how often work is done in shards")
    parser.add_argument("--only_shards", action="store_true")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    say(f"--seed {args.seed}")
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shards(place, args.shards, rng)
        if args.only_shards:
            return
        kill_at_random_moments(place, args.kills, rng)
        kill_one_of_two(place, 20, rng)
        a_file_of_5_gb(place)
        if args.files:
            many_small_files(place, args.files)
    say("nothing lost")


if __name__ == "__main__":
    main()
