"""How a model behaves when it is called: found by calling it on noise, never by its family.

The context of a frame, how many frames before and after it its result depends on, is measured too: one frame in the
middle of a signal is changed; the frames of the result that change with it depend on it. Both calls begin at the same
seed and the same state, so that only the change can make a difference.

All of it uses the global random generator: measure between files, never within one.
"""

import bisect
import logging
import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unravel_lib.audio.blocks import in_windows
from unravel_lib.errors import ModelError
from unravel_lib.models.contract import PROBE_FRAMES, Block, Contract, Direction, with_conditions
from unravel_lib.models.runner import Draws, Runner
from unravel_lib.models.torchscript import CallError

Flags = npt.NDArray[np.bool_]  # [frames]

TRIED_FRAMES = (24, 64, 160, 640)  # lengths of the signal, tried until all that one frame changes is inside
TRIALS = 2  # signals: a unit that is inactive in one may be active in another
LEVEL = 0.1  # of the noise that the signals are made of
ROUNDING = 1e-6  # of the peak: a smaller difference is rounding

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """Frames before (`left`) and after (`right`) a frame that its result depends on."""

    left: int
    right: int


NO_CONTEXT = Context(0, 0)
UNMEASURED = Context(32, 32)  # for models whose result never changes: more than any known export needs


@dataclass(frozen=True)
class Behaviour:
    """How one direction of a model behaves.

    Attributes
    ----------
    carries_state : a call continues where the last one ended, as in streaming exports
    takes_any_length : lengths that are no whole number of frames are taken as they are
    takes_batches : several signals go through one call; exports that make two channels out of one take one at a time
    random_share : by how much results differ from seed to seed, as a share of their level; 0 for equal results
    """

    carries_state: bool
    takes_any_length: bool
    takes_batches: bool
    random_share: float


class OutOfTimeError(ModelError):
    """Measuring would end after the deadline."""


def measure(runner: Runner, direction: Direction) -> Behaviour:
    """Measure one direction, and whether buffers are all of the state that it keeps: else it is restored by copies."""
    step, noise = direction.step_in, _noise(direction, 1, PROBE_FRAMES * direction.step_in)

    def repeated() -> tuple[Block | None, Block | None, Block | None]:
        shorter = noise[..., : PROBE_FRAMES // 2 * step]  # files differ in length
        first, second, _ = _results(runner, direction, noise, noise, shorter)
        [again] = _results(runner, direction, noise)
        return first, second, again

    first, second, again = repeated()
    if not _alike(first, again):
        runner.by_copies = True
        first, second, again = repeated()
    if not _alike(first, again):
        found = "keeps state that cannot be restored: the result of a file depends on the one before"
        log.warning("%s %s", runner.name, found)
    # results are compared, not buffers: one may change (a counter, say) without any effect on the sound
    caches = any(name.endswith(".cache.pad") for name, _ in runner.module.named_buffers())
    carries_state = caches or not _alike(first, second)
    [other] = _results(runner, direction, noise, seed=1)
    return Behaviour(
        carries_state,
        takes_any_length=step == 1 or all(_takes(runner, direction, 1, n) for n in (step + 1, 1)),
        takes_batches=not carries_state and _takes(runner, direction, 2, 4 * step),
        random_share=_share(first, other),
    )


def longest_call(runner: Runner, direction: Direction, frames: int) -> int:
    """Return how many frames one call takes: `frames`, or less where the model has a largest length."""

    def refuses(n: int) -> bool:
        return not _takes(runner, direction, 1, n * direction.step_in)

    return bisect.bisect_left(range(1, frames + 1), True, key=refuses)


def why_seams(runner: Runner, direction: Direction, context: Context | None) -> str:
    """Return why two windows, joined, differ from one call, as those of a model that fades at the borders; "" if equal.

    Random parts are held still, as more or shorter calls draw other numbers.

    Parameters
    ----------
    context : of a frame; none for a model that carries state
    """
    if context is None:
        return "its context has no limit"
    window = max(PROBE_FRAMES, 2 * (context.left + context.right) + 1)
    frames = 2 * window - context.left - context.right - 3  # the last window of a file is shorter
    signal = np.random.default_rng(0).uniform(-0.5, 0.5, direction.shape_in(1, frames)).astype(np.float32)
    runner.restore()
    try:
        with Draws(still=True):
            whole = runner.call(direction, signal)[0]
            runner.restore()
            steps = {"step_in": direction.step_in, "step_out": direction.step_out}
            extent = {"window": window, "left": context.left, "right": context.right}
            windows = in_windows([signal[0]], lambda x: runner.call(direction, x), **steps, **extent)
            same = _alike(whole, np.concatenate(list(windows), axis=1))
    except CallError:
        same = False
    runner.restore()
    return "" if same else f"{direction.method} gives other results at the borders of calls"


def find_context(runner: Runner, contract: Contract, method: str, deadline: float = math.inf) -> Context | None:
    """Find the context of encode or decode; None if one frame changes everything (global normalisation, attention).

    Parameters
    ----------
    runner : whose way to restore was found out by `measure`
    deadline : a time as `time.thread_time` returns it: on a busy machine this thread waits for other programs

    Raises
    ------
    OutOfTimeError
        It would not be done at the deadline.
    """
    seconds_per_square = 0.0  # attention takes time by the square of the length
    for frames in TRIED_FRAMES:
        started = time.thread_time()
        if started + seconds_per_square * frames**2 > deadline:
            raise OutOfTimeError("measuring would take too long")
        try:
            changes, coded = _change(runner, contract, method, frames)
        except ModelError:  # longer than the model takes
            return None
        seconds_per_square = (time.thread_time() - started) / frames**2
        changed = np.flatnonzero(changes)
        if not changed.size:
            return UNMEASURED
        first, last, middle = int(changed[0]), int(changed[-1]), frames // 2
        if first > 1 and last < frames - 2:
            # an output at frame k depends on the inputs from k - (last - middle) to k + (middle - first)
            left, right = last - middle, middle - first
            # integer codes hide small differences, so they get half as much again; all get one frame more
            spare = 1 + (max(left, right) // 2 if coded else 0)
            return Context(max(left, 0) + spare, max(right, 0) + spare)
    return None


def _change(runner: Runner, contract: Contract, method: str, frames: int) -> tuple[Flags, bool]:
    """Return whether each frame of the result changes with the one in the middle, and True for integer codes.

    All conditions are 0.
    """
    encode, direction = contract.direction("encode"), contract.direction(method)
    rng, middle = np.random.default_rng(0), frames // 2
    shape = encode.shape_in(TRIALS, frames)
    signal, other = ((LEVEL * rng.standard_normal(shape)).astype(np.float32) for _ in range(2))
    changed = signal.copy()
    if method == "encode":
        place = slice(middle * encode.step_in, (middle + 1) * encode.step_in)
        changed[..., place] = 2 * other[..., place]
    else:
        signal = _one_by_one(runner, encode, signal)  # so that codes are valid
        changed = signal.copy()
        offset = np.random.default_rng(1).standard_normal(signal[..., middle].shape)
        changed[..., middle] = signal[::-1, :, middle] + offset * max(1.0, float(signal.std()))
        conditions = np.zeros(len(contract.conditions), np.float32)
        signal, changed = (with_conditions(x, conditions) for x in (signal, changed))
    before, after = (_one_by_one(runner, direction, x).astype(np.float64) for x in (signal, changed))
    differs = np.abs(after - before) > ROUNDING * np.abs(before).max(initial=0.0)
    changes = differs.reshape(*differs.shape[:2], frames, -1).any(axis=(0, 1, 3))
    return changes, method == "encode" and bool((before == np.round(before)).all())


def _one_by_one(runner: Runner, direction: Direction, signals: Block) -> Block:
    """Return the results of signals, each from the load-time state and seed 0."""
    results = []
    for signal in signals:
        runner.restore()
        torch.manual_seed(0)
        results.append(runner.call(direction, signal[np.newaxis]))
    runner.restore()
    return np.concatenate(results)


def _results(runner: Runner, direction: Direction, *signals: Block, seed: int = 0) -> list[Block | None]:
    """Results of signals, one after the other from the load-time state, each from a seed; None if it fails."""
    results: list[Block | None] = []
    runner.restore()
    for signal in signals:
        torch.manual_seed(seed)
        try:
            results.append(runner.call(direction, signal))
        except CallError:
            results.append(None)
    runner.restore()
    return results


def _takes(runner: Runner, direction: Direction, batch: int, n: int) -> bool:
    [result] = _results(runner, direction, _noise(direction, batch, n))
    return result is not None


def _noise(direction: Direction, batch: int, n: int) -> Block:
    shape = batch, direction.channels_in, n
    return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5).numpy()


def _alike(a: Block | None, b: Block | None) -> bool:
    """Return True if equal but for rounding, which differs from call to call on a GPU."""
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=1e-4 * max(1e-6, float(np.abs(a).max()))))


def _share(a: Block | None, b: Block | None) -> float:
    """Return by how much two results differ, as a share of the level of the first; 0 if but for rounding."""
    if a is None or b is None or _alike(a, b):
        return 0.0
    level = float(np.square(a).mean())
    return math.sqrt(float(np.square(a - b).mean()) / level) if level else math.inf
