"""The catalogue of patterns: loops -> long arrays over time. Knows no models; opens only a user's own pattern file.

`unravel_lib.pattern_contract` tells what a pattern is. One of your own is five lines in a file of yours:

    import numpy as np
    from unravel_lib import pattern

    @pattern
    def stutter(loop, n_loops, times: int = 2):
        'AABBCC AABBCC: every frame several times.'
        return np.tile(np.repeat(loop, times, axis=0), (n_loops, 1))

and plays with `--pattern my_patterns.py:stutter --pattern_args times=3`.
"""

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from unravel_lib.errors import UnravelError, UsageError
from unravel_lib.files.find import refuse_endless
from unravel_lib.latents.blocks import Array, repeat
from unravel_lib.music.registry import PATTERNS, Pattern, failed_line, pattern, seed_global_chance
from unravel_lib.text import did_you_mean, printable

ENOUGH_FRAMES = 4096  # pieces of so many frames are as fast as longer ones


@pattern
def loop(loop: Array, n_loops: int) -> Iterator[Array]:
    """ABC ABC ABC ABC: the loop again and again."""
    yield repeat(loop, n_loops)


@pattern(steady=False)
def fibo(loop: Array, n_loops: int) -> Iterator[Array]:
    """A AB ABC ABCDE ABCDEFGH: ever longer beginnings of the loop, along the Fibonacci numbers."""
    for _ in range(n_loops):
        n, following = 1, 2
        while n <= len(loop):
            yield loop[:n]
            n, following = following, n + following


@pattern
def orale(loop: Array, n_loops: int, std: Array, rng: np.random.Generator, levels: int = 2) -> Iterator[Array]:
    """AAAa AAAa AAAa AAAa': three times and once changed; all of that three times and once changed; and so on.

    A change is one offset per dim, drawn from U(-std, std) for each level, and holds for the whole fourth part.
    """
    if not 1 <= levels <= 12:
        raise ValueError(f"levels={levels} is out of range, expected 1 to 12 (4 ** levels loops)")
    offsets = list(rng.uniform(-std, std, (levels, len(std))))
    part = loop
    while offsets and len(part) < ENOUGH_FRAMES:
        part = np.concatenate([part, part, part, part + offsets.pop(0)])
    above = np.array(offsets).reshape(-1, len(std))  # of the levels above `part`
    places = 4 ** np.arange(len(above))  # of the digits of i to the base 4, where 3 is "changed" on that level
    for _ in range(n_loops):
        for i in range(4 ** len(above)):
            yield part + above[i // places % 4 == 3].sum(axis=0)


@pattern(length=lambda n_frames, dims, n_loops: n_frames * (n_frames * dims + 1) * n_loops)
def blender(
    loop: Array,
    loop_b: Array,
    n_loops: int,
    direction: Literal["forward", "inverted", "mirrored", "mirror-inverted"] = "forward",
) -> Iterator[Array]:
    """AAAA, then value by value A turns into B, each state repeated; `direction` says where the change begins.

    forward: first frame first, first dim first; inverted: last frame first; mirrored: last dim first; mirror-inverted:
    both.
    """
    n_frames, dims = loop.shape
    frames, columns = range(n_frames), range(dims)
    state = loop.copy()
    yield repeat(state.copy(), n_loops)
    for frame in reversed(frames) if direction in ("inverted", "mirror-inverted") else frames:
        for dim in reversed(columns) if direction in ("mirrored", "mirror-inverted") else columns:
            state[frame, dim] = loop_b[frame, dim]
            yield repeat(state.copy(), n_loops)


@pattern(length=lambda n_frames, _, n_loops: n_frames * n_frames * n_loops)
def swapper(loop: Array, loop_b: Array, n_loops: int, rng: np.random.Generator) -> Iterator[Array]:
    """A and B swap one random value, A is repeated, they swap another, and so on, once per frame of the loop."""
    a, b = loop.copy(), loop_b.copy()
    for _ in range(len(loop)):
        point = rng.integers(len(a)), rng.integers(a.shape[1])
        a[point], b[point] = b[point], a[point]
        yield repeat(a.copy(), n_loops)


def find(name: str) -> Pattern:
    """The pattern of that name in the catalogue, or `FILE.py:name` from a user's file, whose code is run for that.

    Raises
    ------
    UsageError
        No such pattern, no such file, or its code fails; names the file, the line and the reason.
    """
    if ".py" not in name:
        if name in PATTERNS:
            return PATTERNS[name]
        known = [n for n, entry in PATTERNS.items() if entry.source is None]
        raise UsageError(
            f"`pattern` {printable(name)} is unknown: choose from {', '.join(known)}, or FILE.py:name for one of your "
            f"own{did_you_mean(name, known)}"
        )
    source, colon, _ = name.rpartition(":")
    if not colon or not source.endswith(".py"):
        raise UsageError(
            f"`pattern` {printable(name)} names no pattern in that file: write it like my_patterns.py:stutter"
        )
    _load(source)
    if name not in PATTERNS:
        there = [entry.name for entry in PATTERNS.values() if entry.source == source]
        has = f"it has {', '.join(there)}" if there else "put @pattern (from unravel_lib.patterns) before a function"
        raise UsageError(f"`pattern` {printable(name)}: no such pattern in that file: {has}")
    return PATTERNS[name]


def _load(source: str) -> None:
    """Run a user's pattern file, so that it registers its patterns; nothing is written beside it.

    It may import what lies beside it, unless a library has the same name.
    """
    refuse_endless(Path(source))
    try:
        code = Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"`pattern` {printable(source)} cannot be read: {error.strerror}: check the path") from error
    module = types.ModuleType(f"pattern_file_{Path(source).stem}")
    module.__file__ = source
    sys.modules[module.__name__] = module  # where dataclasses look for it
    beside = str(Path(os.path.abspath(source)).parent)
    if beside not in sys.path:
        sys.path.append(beside)  # last, so that no file of the user's can take the place of a library's
    sys.dont_write_bytecode = True
    seed_global_chance(np.random.SeedSequence(0))
    try:
        exec(compile(code, source, "exec"), module.__dict__)
    except UnravelError:
        raise
    except (Exception, SystemExit) as error:
        where = f"{printable(source)}, line {failed_line(error, source) or 1}"
        text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise UsageError(f"{where}: {type(error).__name__}: {text}".rstrip(": ")) from error


def listing(chosen: str = "") -> list[tuple[str, str]]:
    """(name, what it does, with its options and their defaults) of every pattern in the catalogue.

    Where a user's file is chosen (`FILE.py:name` or `FILE.py`), it is run, and its patterns are listed too.

    Raises
    ------
    UsageError
        The file cannot be read, or its code fails.
    """
    source = chosen if chosen.endswith(".py") else chosen.rpartition(":")[0]
    if source:
        _load(source)
    listed = [(name, e) for name, e in PATTERNS.items() if e.source in (None, source)]
    return [(printable(name), f"{e.summary}{e.usage}") for name, e in listed]
