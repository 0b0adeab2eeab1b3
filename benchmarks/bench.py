"""Compare UnRAVEl with the model alone (alone.py) and with a straightforward script (plain.py): `make bench`.

Each row has medians, measured in turn on the same machine in the same run. No other process may run meanwhile: it would
change the timings of PyTorch several-fold.
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from inputs import COMPRESSION, RATE, ROOT, SHORT_FILES, SHORT_SECONDS, long_recording, short_recordings

MINUTES = 9
ALONE = "benchmarks/alone.py"


@dataclass
class Cost:
    """Seconds of a process by the clock, or as alone.py states them; and its peak memory in MiB."""

    seconds: float
    memory: float


def run(*command: object) -> Cost:
    """Run one process and measure it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)  # has the peak memory of this one process
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(map(str, command[:3]))} failed: {errors.read().decode()[-500:]}")
        return Cost(float(out.read()) if command[0] == ALONE else seconds, usage.ru_maxrss / 1024)


def medians(times: int, *commands: tuple[object, ...]) -> list[Cost]:
    """Return the median cost of each command, run in turn."""
    costs = [[run(*command) for command in commands] for _ in range(times)]
    return [
        Cost(statistics.median(c.seconds for c in slot), statistics.median(c.memory for c in slot))
        for slot in zip(*costs, strict=True)
    ]


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


class Bench:
    """The rows of the tables, and the inputs that they have in common."""

    def __init__(self, zoo: Path, work: Path, times: int) -> None:
        self.offline, self.streaming = zoo / "v2_full.ts", zoo / "v2_full_streaming.ts"
        self.work, self.times = work, times
        self.short = short_recordings(work / "short")
        self.nine, self.latents = long_recording(work / "nine.flac", MINUTES), work / "nine.npy"
        frames, rng = MINUTES * 60 * RATE // COMPRESSION, np.random.default_rng(0)
        np.save(self.latents, rng.standard_normal((1, 16, frames)).astype(np.float32))
        soundfile.write(work / "tiny.flac", np.zeros(COMPRESSION), RATE)
        np.save(work / "tiny.npy", np.zeros((1, 16, 1), np.float32))
        np.save(work / "some.npy", rng.standard_normal((1, 16, 5000)).astype(np.float32))
        (work / "plain").mkdir()

    def ours(self, method: str, model: Path, source: Path, *flags: object) -> tuple[object, ...]:
        """Return the command of encoder.py or decoder.py; each time it replaces what it made before."""
        return (
            f"{method}r.py",
            "--input",
            source,
            "--model",
            model,
            "--output",
            self.work / "ours",
            "--overwrite",
            *flags,
        )

    def models(self) -> None:
        """Our time without the start, against the model alone; and that of the straightforward script, run once."""
        row("work", "the model alone", "UnRAVEl", "ratio, without the start", "straightforward script", "ratio")
        row(*["---"] * 6)
        short = f"encode {SHORT_FILES} short recordings ({SHORT_SECONDS} s)"
        for work, method, model, source in (
            (short, "encode", self.offline, self.short),
            (f"{short}, streaming export", "encode", self.streaming, self.short),
            (f"encode {MINUTES} minutes in one file", "encode", self.offline, self.nine),
            (f"decode {MINUTES} minutes", "decode", self.offline, self.latents),
        ):
            files = sorted(source.iterdir()) if source.is_dir() else [source]
            tiny = self.work / ("tiny.flac" if method == "encode" else "tiny.npy")
            alone, ours, start = medians(
                self.times,
                (ALONE, method, model, *files),
                self.ours(method, model, source),
                self.ours(method, model, tiny),
            )
            plain = run("benchmarks/plain.py", method, model, self.work / "plain", *files)
            row(
                work,
                f"{alone.seconds:.1f} s",
                f"{ours.seconds:.1f} s, of it start {start.seconds:.1f} s; {ours.memory:.0f} MiB",
                f"{(ours.seconds - start.seconds) / alone.seconds:.2f}",
                f"{plain.seconds:.1f} s, {plain.memory:.0f} MiB",
                f"{plain.seconds / ours.seconds:.1f} x",
            )

    def flags(self) -> None:
        """What flags change."""
        row("work", "flags", "without", "with", "ratio")
        row(*["---"] * 5)
        for work, method, source, flags in (
            (f"encode {MINUTES} minutes in one file", "encode", self.nine, ("--precision", "bf16")),
            (f"decode {MINUTES} minutes", "decode", self.latents, ("--precision", "bf16")),
            (f"encode {SHORT_FILES} short recordings", "encode", self.short, ("--precision", "bf16")),
            (f"encode {SHORT_FILES} short recordings", "encode", self.short, ("--jobs", 0)),
        ):
            command = self.ours(method, self.offline, source)
            self.ratio(f"{work} | `{' '.join(map(str, flags))}`", command, (*command, *flags))
        sixty = long_recording(self.work / "sixty.flac", 60)
        nine, long = medians(1, *(self.ours("encode", self.offline, path) for path in (self.nine, sixty)))
        row("peak memory", "60 minutes in place of 9", f"{nine.memory:.0f} MiB", f"{long.memory:.0f} MiB", "")

    def ratio(self, work: str, before: tuple[object, ...], after: tuple[object, ...], times: int = 1) -> None:
        base, mine = medians(times * self.times, before, after)
        row(work, f"{base.seconds:.2f} s", f"{mine.seconds:.2f} s", f"{base.seconds / mine.seconds:.2f} x")

    def generator(self) -> None:
        """Against the straightforward script; a transform against the same run without; the help of each script."""
        row("work", "straightforward script, or without", "UnRAVEl, or with", "ratio")
        row(*["---"] * 4)
        source, out = self.work / "some.npy", self.work / "generated"
        out.mkdir()
        for pattern, k, r in (("blender", 64, 8), ("swapper", 256, 8), ("loop", 10, 4)):
            plain = ("benchmarks/plain.py", "generate", pattern, k, r, out, source)
            ours = ("generator.py", "--input", source, "--output", out, "--run", pattern, "--overwrite")
            ours = (*ours, "--pattern", pattern, "--num_latents", k, "--num_loops", r)
            self.ratio(f"generator: {pattern}, k={k}, D=16, r={r}, with pictures", plain, ours)
            if pattern != "swapper":
                self.ratio("the same without pictures", plain, (*ours, "--no_plots"))
            if pattern == "blender":
                for step in ("rev", "degrade 0.1"):
                    self.ratio(
                        f"blender with {step}", (*ours, "--no_plots"), (*ours, "--no_plots", "--transform", step)
                    )
        for name in ("encoder", "generator", "decoder", "inspector"):
            self.ratio(f"{name}.py --help", ("benchmarks/plain.py", "help"), (f"{name}.py", "--help"), 3)


def growth(bench: Bench, picture: Path) -> None:
    """Draw how seconds and memory (medians) grow with length, number of files and dims."""
    from matplotlib.figure import Figure

    work, minutes, files, dims = bench.work, (1, 3, 9, 27), (1, 10, 40, 165), (1, 8, 32, 128)
    every = sorted(bench.short.iterdir())
    commands: list[list[tuple[object, ...]]] = [[], [], []]
    for n in minutes:
        commands[0].append(bench.ours("encode", bench.offline, long_recording(work / f"{n}.flac", n)))
    for n in files:
        command = bench.ours("encode", bench.offline, every[0])
        commands[1].append((*command, "--input", *every[1:n]) if n > 1 else command)
    for n in dims:
        np.save(work / f"{n}.npy", np.random.default_rng(0).standard_normal((1, n, 20_000)).astype(np.float32))
        flags = ("--pattern", "swapper", "--num_latents", 64, "--no_plots", "--run", "d", "--overwrite")
        commands[2].append(("generator.py", "--input", work / f"{n}.npy", "--output", work, *flags))
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    labels = ("encode: minutes in one file", "encode: short files", "generate: dims")
    for axes, label, x, some in zip(figure.subplots(1, 3), labels, (minutes, files, dims), commands, strict=True):
        costs = medians(bench.times, *some)
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
    parser.add_argument("--only", nargs="+", help="the tables to make: models, flags, generator")
    parser.add_argument("--picture", type=Path, help="draw how cost grows into this .png, and nothing else")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unravel-bench-") as folder:
        bench = Bench(args.zoo, Path(folder), args.times)
        if args.picture:
            growth(bench, args.picture)
            return
        tables: dict[str, Callable[[], None]] = {
            name: getattr(bench, name) for name in ("models", "flags", "generator")
        }
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{machine}, load {os.getloadavg()[0]:.1f}, medians of {args.times}")
        for name, table in tables.items():
            if not args.only or name in args.only:
                print()
                table()


if __name__ == "__main__":
    main()
