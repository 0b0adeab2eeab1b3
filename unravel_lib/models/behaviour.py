"""How a model behaves when it is called: found by calling it on silence and noise, never by its family.

The context of a frame, how many frames before and after it its result depends on, is measured too: one frame in the
middle of a signal is changed; the frames of the result that change with it depend on it. Both calls begin at the same
seed and the same state, so that only the change can make a difference.
"""

import logging
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unravel_lib.audio.blocks import in_windows
from unravel_lib.errors import ModelError
from unravel_lib.models import torchscript
from unravel_lib.models.contract import PROBE_FRAMES, Block, Contract, Direction, with_conditions
from unravel_lib.models.state import State
from unravel_lib.models.torchscript import MODEL_ERRORS, CallError

Energy = npt.NDArray[np.float64]  # [frames]

TRIED_FRAMES = (24, 64, 160, 640)  # lengths of the signal, tried until all that one frame changes is inside
TIMED_FRAMES = 8  # where time is limited, how long it takes is measured on this length first
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
    direction : its shapes
    carries_state : a call continues where the last one ended, as in streaming exports
    takes_any_length : lengths that are no whole number of frames are taken as they are
    takes_batches : several signals go through one call; exports that make two channels out of one take one at a time
    random_share : by how much results differ from seed to seed, as a share of their level; 0 for equal results
    longest_call : the frames that one call takes; None while every call was taken
    context : the frames that a frame depends on; None where no limit was found
    has_seams : windows with this context, joined, differ from one call; None until a long file needs both
    """

    direction: Direction
    carries_state: bool
    takes_any_length: bool
    takes_batches: bool
    random_share: float
    longest_call: int | None = None
    context: Context | None = None
    has_seams: bool | None = None

    def window(self, chunk_frames: int) -> tuple[int, Context, str]:
        """Return the frames in a window of a long file, how many of them are context, and what to warn of."""
        reason, context = "", self.context or NO_CONTEXT
        if self.context is None:
            reason = "its context has no limit"
        elif self.has_seams:
            reason = f"{self.direction.method} gives other results at the borders of calls"
        frames = sys.maxsize if reason else max(chunk_frames, 2 * (context.left + context.right))
        longest = self.longest_call
        if longest is None or longest >= frames:
            warning = f"{reason}: each file runs in one call, which needs more memory" if reason else ""
            return frames, NO_CONTEXT if reason else context, warning
        if not reason and longest > context.left + context.right:
            return longest, context, ""
        warning = (
            f"{self.direction.method} takes at most {longest} frames at once: longer files run in chunks, "
            "and differ from one call at their borders"
        )
        return longest, NO_CONTEXT, warning


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


class _StillRandomNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, every random number that a module draws is 0."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        drawn = torch.Tag.nondeterministic_seeded in func.tags and isinstance(result, torch.Tensor)
        return result.zero_() if drawn else result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise PyTorch imports its compiler here, which takes a second


class Probe:
    """Calls a module to measure its behaviour; restores the load-time state after each measurement.

    It uses the global random generator: use it between files, never within one.

    Parameters
    ----------
    name : the model's, for messages
    """

    def __init__(self, state: State, name: str, device: torch.device) -> None:
        self._state, self._name, self._device = state, name, device

    def measure(self, direction: Direction) -> Behaviour:
        """Measure what short files need."""
        carries_state = self._carries_state(direction)  # first: it decides how the others are undone
        batch = None if carries_state else self.silence(direction.method, *direction.shape_in(2, 4))
        takes_batches = batch is not None and batch.shape[0] == 2
        any_length = direction.step_in == 1 or all(self._gives_all(direction, n) for n in (direction.step_in + 1, 1))
        return Behaviour(direction, carries_state, any_length, takes_batches, self._random_share(direction))

    def silence(self, method: str, *shape: int) -> torch.Tensor | None:
        """Return what a method gives for silence [batch, channels, n]; None where it refuses it."""
        result = self._call(method, torch.zeros(shape))
        self._state.restore()
        return result

    def _carries_state(self, direction: Direction) -> bool:
        """Compare results, not buffers: one may change (a counter, say) without any effect on the sound."""
        first, second, again = self._twice_and_again(direction)
        if not _alike(first, again):
            self._state.restore_by_copies()
            first, second, again = self._twice_and_again(direction)
        if not _alike(first, again):
            log.warning(
                "%s keeps state that cannot be restored: the result of a file depends on the one before", self._name
            )
        caches = any(name.endswith(".cache.pad") for name, _ in self._state.module.named_buffers())
        return caches or not _alike(first, second)

    def _twice_and_again(self, direction: Direction) -> tuple[torch.Tensor | None, ...]:
        """Return the results of two calls after each other, and of the first of them from the load-time state."""
        self._state.restore()
        first, second = self._noise(direction), self._noise(direction)
        self._noise(direction, PROBE_FRAMES // 2)  # files differ in length
        self._state.restore()
        again = self._noise(direction)
        self._state.restore()
        return first, second, again

    def _random_share(self, direction: Direction) -> float:
        results = []
        for seed in (0, 1):
            self._state.restore()
            results.append(self._noise(direction, seed=seed))
        self._state.restore()
        first, second = results
        if first is None or second is None or first.shape != second.shape or _alike(first, second):
            return 0.0
        level = float(first.nan_to_num(nan=0.0).square().mean())
        return math.sqrt(float((first - second).nan_to_num(nan=0.0).square().mean()) / level) if level else math.inf

    def has_seams(self, direction: Direction, context: Context) -> bool:
        """Return True if two windows, joined, differ from one call: the model fades at the borders of calls, say.

        Random parts are held still, as more or shorter calls draw other numbers.

        Parameters
        ----------
        context : of a frame; none for a model that carries state
        """
        window = max(PROBE_FRAMES, 2 * (context.left + context.right) + 1)
        frames = 2 * window - context.left - context.right - 3  # the last window of a file is shorter
        signal = np.random.default_rng(0).uniform(-0.5, 0.5, direction.shape_in(1, frames)).astype(np.float32)

        self._state.restore()
        try:
            with _StillRandomNumbers():  # type: ignore[no-untyped-call]
                whole = self._result(direction, signal)[0]
                self._state.restore()
                steps = {"step_in": direction.step_in, "step_out": direction.step_out}
                extent = {"window": window, "left": context.left, "right": context.right}
                windows = in_windows([signal[0]], lambda x: self._result(direction, x), **steps, **extent)
                parts = np.concatenate(list(windows), axis=1)
        except CallError:
            return True
        finally:
            self._state.restore()
        return not _alike(torch.from_numpy(whole), torch.from_numpy(parts))

    def context(self, contract: Contract, method: str, deadline: float = math.inf) -> Context | None:
        """Measure the context of encode or decode, whose state can be restored; see `find_context`."""
        return find_context(lambda frames: self._change(contract, method, frames), deadline)

    def _change(self, contract: Contract, method: str, frames: int) -> tuple[Energy, bool]:
        """Return how the result changes with one frame, as `response` of `find_context`, all conditions 0."""
        encode, direction = contract.direction("encode"), contract.direction(method)
        rng, middle = np.random.default_rng(0), frames // 2
        shape = encode.shape_in(TRIALS, frames)
        signal, other = ((LEVEL * rng.standard_normal(shape)).astype(np.float32) for _ in range(2))
        changed = signal.copy()
        if method == "encode":
            place = slice(middle * encode.step_in, (middle + 1) * encode.step_in)
            changed[..., place] = 2 * other[..., place]
        else:
            signal = self._one_by_one(encode, signal)  # so that codes are valid
            changed = signal.copy()
            offset = np.random.default_rng(1).standard_normal(signal[..., middle].shape)
            changed[..., middle] = signal[::-1, :, middle] + offset * max(1.0, float(signal.std()))
            conditions = np.zeros(len(contract.conditions), np.float32)
            signal, changed = (with_conditions(x, conditions) for x in (signal, changed))
        before, after = (self._one_by_one(direction, x).astype(np.float64) for x in (signal, changed))
        difference = np.abs(after - before)
        difference[difference < ROUNDING * np.abs(before).max(initial=0.0)] = 0.0
        energy = (difference**2).reshape(*difference.shape[:2], frames, -1).sum(axis=(0, 1, 3))
        return energy, method == "encode" and bool((before == np.round(before)).all())

    def _one_by_one(self, direction: Direction, signals: Block) -> Block:
        """Return the results of signals, each from the load-time state and seed 0."""
        results = []
        for signal in signals:
            self._state.restore()
            torch.manual_seed(0)
            results.append(self._result(direction, signal[np.newaxis]))
        self._state.restore()
        return np.concatenate(results)

    def longest_call(self, direction: Direction, frames: int) -> int:
        """Return how many frames one call takes: `frames`, or less where the model has a largest length."""
        self._state.restore()
        fits, too_long = 0, frames + 1
        tried = frames
        while fits + 1 < too_long:
            if self._gives_all(direction, tried * direction.step_in):
                fits = tried
            else:
                too_long = tried
            tried = (fits + too_long) // 2
        return fits

    def _gives_all(self, direction: Direction, n: int) -> bool:
        result = self.silence(direction.method, 1, direction.channels_in, n)
        return result is not None and tuple(result.shape) == direction.shape_out(1, n)

    def _noise(self, direction: Direction, frames: int = PROBE_FRAMES, seed: int = 0) -> torch.Tensor | None:
        torch.manual_seed(seed)
        noise = torch.rand(direction.shape_in(1, frames), generator=torch.Generator().manual_seed(0)) - 0.5
        return self._call(direction.method, noise)

    def _result(self, direction: Direction, x: Block) -> Block:
        """Return the result for whole frames; raise CallError where it is not finite or of another shape."""
        result = self._call(direction.method, torch.from_numpy(x))
        if result is None or tuple(result.shape) != direction.shape_out(len(x), x.shape[2]):
            raise CallError(f"{direction.method} fails")
        values = direction.values(result)
        if not np.isfinite(values).all():
            raise CallError(f"{direction.method} gives NaN or Inf")
        return values

    def _call(self, method: str, x: torch.Tensor) -> torch.Tensor | None:
        """Return the result, or None where the model refuses this shape."""
        try:
            result = torchscript.call(self._state.module, self._name, method, x.to(self._device))
        except MODEL_ERRORS as error:
            if isinstance(error, NotImplementedError) or "not implemented for" in str(error):
                raise
            return None
        return result if isinstance(result, torch.Tensor) and result.dim() == 3 else None


def _alike(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Return True if equal but for rounding, which differs from call to call on a GPU."""
    if a is None or b is None:
        return a is b
    peak = float(a.nan_to_num(nan=0.0).abs().max())
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-4 * max(1e-6, peak), equal_nan=True)
