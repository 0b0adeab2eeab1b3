"""How far one frame reaches through a model, measured, never guessed.

One frame in the middle of a signal is changed; where the answer changes too, there the frame reaches. Both calls begin
at the same seed and the same state, so that nothing but the change can make a difference.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.contract import Contract

Block = npt.NDArray[np.float32]
Call = Callable[[Block], Block]

FRAMES = (40, 160, 640)  # lengths tried, until what one frame reaches fits inside
TRIALS = 2  # signals side by side: a unit that is silent in one may speak in another
LEVEL = 0.1  # of the noise that the signals are made of
SILENT = 1e-6  # of the peak: a difference below this is rounding


@dataclass(frozen=True)
class Context:
    """Frames before (`left`) and after (`right`) a frame that its result depends on."""

    left: int
    right: int


def encoder(encode: Call, reset: Callable[[], None], contract: Contract) -> Context | None:
    """Context of the encoder; None if one frame of sound reaches everywhere (global normalisation, attention)."""
    return _context(encode, reset, contract.in_channels, contract.compression, 1)


def decoder(decode: Call, reset: Callable[[], None], contract: Contract) -> Context | None:
    """Context of the decoder; None if one frame of latents reaches everywhere."""
    return _context(decode, reset, contract.dims, 1, contract.compression)


def _context(call: Call, reset: Callable[[], None], channels: int, step_in: int, step_out: int) -> Context | None:
    for frames in FRAMES:
        middle = frames // 2
        strength, coded = response(call, reset, channels, step_in, step_out, frames)
        touched = np.flatnonzero(strength)
        if not touched.size:
            return Context(1, 1)
        first, last = int(touched[0]), int(touched[-1])
        if first > 1 and last < frames - 2:
            # an output at frame k hears the inputs from k - (last - middle) to k + (middle - first)
            left, right = last - middle, middle - first
            # integer codes hide small differences, so they get more room; everything gets one frame to spare
            spare = 1 + (max(left, right) // 2 if coded else 0)
            return Context(max(left, 0) + spare, max(right, 0) + spare)
    return None


def response(
    call: Call, reset: Callable[[], None], channels: int, step_in: int, step_out: int, frames: int
) -> tuple[npt.NDArray[np.float64], bool]:
    """Energy of the difference per frame [frames] after one changed frame in the middle; True for integer codes."""
    rng = np.random.default_rng(0)
    shape = (TRIALS, channels, frames * step_in)
    scale = LEVEL if step_in > 1 else 1.0
    signal = (scale * rng.standard_normal(shape)).astype(np.float32)
    changed = signal.copy()
    frame = slice(frames // 2 * step_in, (frames // 2 + 1) * step_in)
    changed[..., frame] = scale * 2 * rng.standard_normal(changed[..., frame].shape)
    reset()
    before = call(signal).astype(np.float64)
    reset()
    after = call(changed).astype(np.float64)
    reset()
    difference = np.abs(after - before)
    difference[difference < SILENT * np.abs(before).max(initial=0.0)] = 0.0
    energy = (difference**2).reshape(*difference.shape[:2], frames, step_out).sum(axis=(0, 1, 3))
    return energy, bool(step_out == 1 and (before == np.round(before)).all())
