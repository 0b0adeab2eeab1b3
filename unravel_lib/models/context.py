"""The context of a frame: how many frames before and after it its result depends on; measured, never guessed.

One frame in the middle of a signal is changed; the frames of the result that change too depend on it. Both calls begin
at the same seed and the same state, so that only the change can make a difference.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import ModelError
from unravel_lib.models.contract import Block, Contract

Energy = npt.NDArray[np.float64]  # [frames]
Call = Callable[[Block], Block]

TRIED_FRAMES = (24, 64, 160, 640)  # lengths of the signal, tried until all that one frame changes is inside
TIMED_FRAMES = 8  # where time is limited, how long it takes is measured on this length first
TRIALS = 2  # signals: a unit that is inactive in one may be active in another
LEVEL = 0.1  # of the noise that the signals are made of
ROUNDING = 1e-6  # of the peak: a smaller difference is rounding


@dataclass(frozen=True)
class Context:
    """Frames before (`left`) and after (`right`) a frame that its result depends on."""

    left: int
    right: int


NO_CONTEXT = Context(0, 0)
UNMEASURED = Context(32, 32)  # for models whose result never changes: more than any known export needs


class OutOfTimeError(ModelError):
    """Measuring would end after the deadline."""


def find_context(response: Callable[[int], tuple[Energy, bool]], deadline: float = math.inf) -> Context | None:
    """Find the context; None if one frame changes everything (global normalisation, attention).

    Parameters
    ----------
    response : called with a number of frames; returns how much each of them changes with the one in the middle, and
        True for integer codes
    deadline : a time as `time.monotonic` returns it

    Raises
    ------
    OutOfTimeError
        It would not be done at the deadline.
    """
    seconds_per_square = 0.0  # attention takes time by the square of the length
    # the first call of all is slow, so that it is made twice
    for frames in (TIMED_FRAMES, TIMED_FRAMES, *TRIED_FRAMES) if deadline < math.inf else TRIED_FRAMES:
        started, worked = time.monotonic(), time.process_time()
        expected = seconds_per_square * frames**2 if frames > TIMED_FRAMES else 0.0
        if started + expected > deadline:
            raise OutOfTimeError("measuring would take too long")
        middle = frames // 2
        try:
            energy, coded = response(frames)
        except ModelError:  # longer than the model takes
            return None
        # on a busy machine a thread of this process waits for other programs
        seconds_per_square = min(time.monotonic() - started, time.process_time() - worked) / frames**2
        if frames == TIMED_FRAMES:
            continue
        touched = np.flatnonzero(energy)
        if not touched.size:
            return UNMEASURED
        first, last = int(touched[0]), int(touched[-1])
        if first > 1 and last < frames - 2:
            # an output at frame k depends on the inputs from k - (last - middle) to k + (middle - first)
            left, right = last - middle, middle - first
            # integer codes hide small differences, so they get half as much again; all get one frame more
            spare = 1 + (max(left, right) // 2 if coded else 0)
            return Context(max(left, 0) + spare, max(right, 0) + spare)
    return None


def change_of_latents(encode: Call, reset: Callable[[], None], contract: Contract, frames: int) -> tuple[Energy, bool]:
    """Measure how the latents change with one frame of sound, as `response` of `find_context`."""
    signal, other = _noise(contract, frames)
    middle = slice(frames // 2 * contract.compression, (frames // 2 + 1) * contract.compression)
    changed = signal.copy()
    changed[..., middle] = 2 * other[..., middle]
    return _difference(encode, reset, signal, changed, frames)


def change_of_sound(
    decode: Call, encode: Call, reset: Callable[[], None], contract: Contract, frames: int
) -> tuple[Energy, bool]:
    """Measure how the sound changes with one frame of latents; they are encoded noise, so that codes are valid."""
    signal = _one_by_one(encode, reset, _noise(contract, frames)[0])
    other, changed = signal[::-1], signal.copy()
    middle = frames // 2
    offset = np.random.default_rng(1).standard_normal(signal[..., middle].shape) * max(1.0, float(signal.std()))
    changed[..., middle] = other[..., middle] + offset
    return _difference(decode, reset, signal, changed, frames)[0], False


def _one_by_one(call: Call, reset: Callable[[], None], signals: Block) -> Block:
    results = []
    for signal in signals:
        reset()
        results.append(call(signal[np.newaxis]))
    reset()
    return np.concatenate(results)


def _noise(contract: Contract, frames: int) -> tuple[Block, Block]:
    rng = np.random.default_rng(0)
    shape = (TRIALS, contract.in_channels, frames * contract.compression)
    signal, other = ((LEVEL * rng.standard_normal(shape)).astype(np.float32) for _ in range(2))
    return signal, other


def _difference(
    call: Call, reset: Callable[[], None], signal: Block, changed: Block, frames: int
) -> tuple[Energy, bool]:
    before, after = (_one_by_one(call, reset, x).astype(np.float64) for x in (signal, changed))
    difference = np.abs(after - before)
    difference[difference < ROUNDING * np.abs(before).max(initial=0.0)] = 0.0
    energy = (difference**2).reshape(*difference.shape[:2], frames, -1).sum(axis=(0, 1, 3))
    return energy, bool((before == np.round(before)).all())
