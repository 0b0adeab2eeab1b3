"""Compare UnRAVEl with plain scripts (plain.py) and with the speed of the bare model (ceiling.py): `make bench`.

Each row is the ratio of two medians, measured in turn on the same machine in the same run. No other process may run
meanwhile: it would change the timings of PyTorch several-fold.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from inputs import (
    COMPRESSION,
    RATE,
    ROOT,
    SHORT_FILES,
    SHORT_SECONDS,
    equal_recordings,
    long_recording,
    short_recordings,
)

sys.path.insert(0, str(ROOT))

from unravel_lib.files.find import Shard, find_files

SHARDS = 8


@dataclass
class Cost:
    """Wall-clock seconds and peak memory in MiB of a process."""

    seconds: float
    memory: float


def run(*command: object) -> Cost:
    """Run one process and measure it."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)  # has the peak memory of this one process
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(map(str, command[:3]))} failed: {errors.read().decode()[-500:]}")
    return Cost(seconds, usage.ru_maxrss / 1024)


def median(times: int, *commands: tuple[object, ...], before: Callable[[], None] = lambda: None) -> list[Cost]:
    """Return the median cost of each command, run in turn, each after a call of `before`."""
    costs: list[list[Cost]] = [[] for _ in commands]
    for _ in range(times):
        for slot, command in zip(costs, commands, strict=True):
            before()
            slot.append(run(*command))
    return [
        Cost(statistics.median(c.seconds for c in slot), statistics.median(c.memory for c in slot)) for slot in costs
    ]


def at_once(workers: int, commands: list[tuple[object, ...]]) -> float:
    """Run all commands, so many at once; return the seconds that it takes."""
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda command: run(*command), commands))
    return time.perf_counter() - start


class Bench:
    """The rows of the table, and the inputs that they have in common."""

    def __init__(self, zoo: Path, work: Path, times: int) -> None:
        self.offline, self.streaming = zoo / "v2_full.ts", zoo / "v2_full_streaming.ts"
        self.work, self.times = work, times

    def row(self, *cells: str) -> None:
        print(f"| {' | '.join(cells)} |", flush=True)

    def compare(self, work: str, goal: str, plain: tuple[object, ...], ours: tuple[object, ...]) -> None:
        base, mine = median(self.times, plain, ours)
        self.row(
            work,
            f"{base.seconds:.1f} s, {base.memory:.0f} MiB",
            f"{mine.seconds:.2f} s, {mine.memory:.0f} MiB",
            f"{base.seconds / mine.seconds:.1f} x",
            goal,
        )

    def short_files(self) -> None:
        folder = short_recordings(self.work / "short")
        files = sorted(folder.iterdir())
        for name, model, goal in (("offline", self.offline, "4 x"), ("streaming", self.streaming, "6 x")):
            (self.work / "plain").mkdir(exist_ok=True)
            self.compare(
                f"encode {SHORT_FILES} short recordings ({SHORT_SECONDS} s), {name} export",
                goal,
                ("benchmarks/plain.py", "encode", model, self.work / "plain", *files),
                ("encoder.py", "--input", folder, "--model", model, "--output", self.work / f"ours-{name}"),
            )

    def long_file(self) -> None:
        (self.work / "plain").mkdir(exist_ok=True)
        nine = long_recording(self.work / "nine.flac", 9)
        latents = self.work / "plain" / "nine.npy"
        self.compare(
            "encode one 9-minute stereo file",
            "2.5 x, < 1200 MiB",
            ("benchmarks/plain.py", "encode", self.offline, self.work / "plain", nine),
            ("encoder.py", "--input", nine, "--model", self.offline, "--output", self.work / "ours"),
        )
        self.compare(
            "decode its latents",
            "2 x, < 1200 MiB",
            ("benchmarks/plain.py", "decode", self.offline, self.work / "plain", latents),
            ("decoder.py", "--input", latents, "--model", self.offline, "--output", self.work / "ours"),
        )
        sixty = long_recording(self.work / "sixty.flac", 60)
        short, long = (
            run("encoder.py", "--input", path, "--model", self.offline, "--output", self.work / "ours")
            for path in (nine, sixty)
        )
        self.row(
            "peak memory of 60 minutes against 9",
            f"{short.memory:.0f} MiB",
            f"{long.memory:.0f} MiB",
            f"{long.memory / short.memory:.2f}",
            "0.90 to 1.10",
        )

    def ceiling(self) -> None:
        """Speed of the model in the scripts against the best speed of the bare model, both without start-up."""
        nine, latents = long_recording(self.work / "nine.flac", 9), self.work / "frames.npy"
        frames = 9 * 60 * RATE // COMPRESSION
        np.save(latents, np.random.default_rng(0).standard_normal((1, 16, frames)).astype(np.float32))
        for method, script, source in (("encode", "encoder.py", nine), ("decode", "decoder.py", latents)):
            command = (script, "--input", source, "--model", self.offline, "--output", self.work / "ours")
            tiny = self.tiny(method)
            start = (script, "--input", tiny, "--model", self.offline, "--output", self.work / "ours")
            speeds, ours = [], []
            for _ in range(self.times):
                done = subprocess.run(
                    [sys.executable, "benchmarks/ceiling.py", self.offline, method],
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                speeds.append(float(done.stdout))
                ours.append(9 * 60 / (run(*command).seconds - run(*start).seconds))
            share = statistics.median(mine / best for mine, best in zip(ours, speeds, strict=True))
            self.row(
                f"{method}: share of the ceiling",
                f"{statistics.median(speeds):.0f} x realtime",
                f"{statistics.median(ours):.0f} x realtime",
                f"{100 * share:.0f} %",
                "85 %",
            )

    def tiny(self, method: str) -> Path:
        if method == "encode":
            path = self.work / "tiny.flac"
            soundfile.write(path, np.zeros(COMPRESSION), RATE)
        else:
            path = self.work / "tiny.npy"
            np.save(path, np.zeros((1, 16, 1), np.float32))
        return path

    def latents(self) -> Path:
        path = self.work / "latents.npy"
        np.save(path, np.random.default_rng(0).standard_normal((1, 16, 5000)).astype(np.float32))
        (self.work / "generated").mkdir(exist_ok=True)
        return path

    def shards(self) -> None:
        """One shard of 8 against one run, and two workers against one; every process has one thread.

        The recordings have the same length, so that the share of a shard is its number of files.
        """
        folder = equal_recordings(self.work / "equal")
        flags = ("encoder.py", "--input", folder, "--model", self.offline, "--output", self.work / "sharded")
        start = ("encoder.py", "--input", self.tiny("encode"), "--model", self.offline, "--output", self.work / "ours")
        sources = find_files([folder], [".flac"])
        part = Shard(1, SHARDS)
        share = len(part.of(sources)) / len(sources)
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            shard, whole, alone = median(self.times, (*flags, "--shard", str(part)), flags, start)
            walls = {
                workers: statistics.median(
                    at_once(workers, [(*flags, "--shard", f"{i}/{SHARDS}") for i in range(1, SHARDS + 1)])
                    for _ in range(self.times)
                )
                for workers in (1, 2)
            }
        finally:
            del os.environ["OMP_NUM_THREADS"]
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before
        overhead = shard.seconds - share * (whole.seconds - alone.seconds)
        self.row(
            f"overhead of a shard: one of {SHARDS} ({100 * share:.0f} % of the sound) against one run",
            f"{whole.seconds:.1f} s",
            f"{shard.seconds:.1f} s",
            f"{overhead:.2f} s beyond its share",
            f"its start, {alone.seconds:.2f} s",
        )
        self.row(
            f"all {SHARDS} shards, by 2 workers against 1",
            f"{walls[1]:.1f} s",
            f"{walls[2]:.1f} s",
            f"{walls[1] / walls[2]:.2f} x",
            "2 x",
        )

    def generator(self) -> None:
        source, out = self.latents(), self.work / "generated"
        cases = [("blender", 64, 8, "8 x"), ("swapper", 256, 8, "12 x"), ("loop", 10, 4, "2.5 x")]
        for pattern, k, r, goal in cases:
            plain = ("benchmarks/plain.py", "generate", pattern, k, r, out, source)
            flags = ("generator.py", "--input", source, "--output", out, "--run", pattern, "--overwrite")
            ours = (*flags, "--pattern", pattern, "--num_latents", k, "--num_loops", r)
            self.compare(f"generator: {pattern}, k={k}, D=16, r={r}, with pictures", goal, plain, ours)
            if pattern == "loop":
                self.compare("the same without pictures", "8 x", plain, (*ours, "--no_plots"))

    def transforms(self) -> None:
        """A run with a step against the same run without."""
        flags = ("--output", self.work / "generated", "--run", "steps", "--overwrite", "--no_plots")
        plain = ("generator.py", "--input", self.latents(), *flags, "--pattern", "blender")
        plain = (*plain, "--num_latents", 64, "--num_loops", 8)
        for step, goal in (("rev", "< 1.3"), ("degrade 0.1", "< 3")):
            base, mine = median(3 * self.times, plain, (*plain, "--transform", step))
            ratio = f"{mine.seconds / base.seconds:.2f}"
            self.row(f"blender with {step}", f"{base.seconds:.2f} s without", f"{mine.seconds:.2f} s", ratio, goal)

    def help(self) -> None:
        for name in ("encoder", "generator", "decoder", "inspector"):
            base, mine = median(3 * self.times, ("benchmarks/plain.py", "help"), (f"{name}.py", "--help"))
            self.row(
                f"{name}.py --help",
                f"{base.seconds:.1f} s",
                f"{mine.seconds:.2f} s",
                f"{base.seconds / mine.seconds:.0f} x",
                "< 0.2 s",
            )


def growth(model: Path, work: Path, picture: Path, times: int) -> None:
    """Draw how seconds and memory (medians) grow with length, number of files and dims."""
    from matplotlib.figure import Figure

    def encode(source: Path) -> Cost:
        return median(times, ("encoder.py", "--input", source, "--model", model, "--output", work / "grown"))[0]

    minutes, files, dims = (1, 3, 9, 27), (1, 10, 40, 165), (1, 8, 32, 128)
    by_length = [encode(long_recording(work / f"{n}.flac", n)) for n in minutes]
    every = sorted(short_recordings(work / "many").iterdir())
    by_files = []
    for n in files:
        folder = work / f"first-{n}"
        folder.mkdir()
        for path in every[:n]:
            (folder / path.name).symlink_to(path)
        by_files.append(encode(folder))
    by_dims = []
    for n in dims:
        np.save(work / "d.npy", np.random.default_rng(0).standard_normal((1, n, 20_000)).astype(np.float32))
        flags = ("--pattern", "swapper", "--num_latents", 64, "--no_plots", "--run", "d", "--overwrite")
        by_dims += median(times, ("generator.py", "--input", work / "d.npy", "--output", work, *flags))

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    panels = (
        ("encode: minutes in one file", minutes, by_length),
        ("encode: short files", files, by_files),
        ("generate: dims", dims, by_dims),
    )
    for axes, (label, x, costs) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.plot(x, [c.seconds for c in costs], "o-", color="#1f4e8c")
        axes.set(xlabel=label, xticks=(x[0], *x[2:]), ylim=(0, None))
        axes.set_ylabel("seconds", color="#1f4e8c")
        memory = axes.twinx()
        memory.plot(x, [c.memory for c in costs], "s--", color="#c45a00")
        memory.set_ylim(0, 1.3 * max(c.memory for c in costs))
        memory.set_ylabel("peak memory, MiB", color="#c45a00")
    figure.savefig(picture, dpi=100, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--zoo", type=Path, default=ROOT / ".zoo", help="folder with v2_full.ts, v2_full_streaming.ts")
    parser.add_argument("--times", type=int, default=3, help="how often each side is measured (default 3)")
    parser.add_argument("--only", nargs="+", help="names of the rows to measure")
    parser.add_argument("--picture", type=Path, help="draw how cost grows into this .png, and nothing else")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unravel-bench-") as folder:
        if args.picture:
            growth(args.zoo / "v2_full.ts", Path(folder), args.picture, args.times)
            return
        bench = Bench(args.zoo, Path(folder), args.times)
        rows: dict[str, Callable[[], None]] = {
            "short_files": bench.short_files,
            "long_file": bench.long_file,
            "ceiling": bench.ceiling,
            "shards": bench.shards,
            "generator": bench.generator,
            "transforms": bench.transforms,
            "help": bench.help,
        }
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
            f"load {os.getloadavg()[0]:.1f}, medians of {args.times}\n"
        )
        print("| work | straightforward script | UnRAVEl | ratio | goal |\n|---|---|---|---|---|")
        for name, measure in rows.items():
            if not args.only or name in args.only:
                measure()


if __name__ == "__main__":
    main()
