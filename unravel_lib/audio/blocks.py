"""Sound that passes in blocks: in overlapping windows, longer or shorter, with other channels, at another rate.

All run in constant memory.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError

Sound = npt.NDArray[np.float32]  # [channels, samples]; in this module also latents, with dims as channels
Process = Callable[[Sound], Sound]

MAX_STEP = 2000  # a rate ratio is taken as p/q with p and q up to this, so that the filter stays small
RESAMPLE_SECONDS = 3.0  # length of one resampled window


def in_windows(
    blocks: Iterable[Sound],
    process: Process,
    *,
    step_in: int,
    step_out: int,
    window: int,
    left: int = 0,
    right: int = 0,
    batch: int = 1,
) -> Iterator[Sound]:
    """Apply `process` to a long signal window by window; the result equals one call for the whole signal.

    A *step* is `step_in` values of input and `step_out` values of output. Every window but the last is `window` steps
    long and begins on a step. Its first `left` and last `right` steps are context: they are computed and discarded,
    except at the two ends of the signal.

        signal   |=======================================|
        window 1 |kkkkkkkkkkkkkrr|                          k keep, l left, r right context
        window 2           |llkkkkkkkkkkkrr|
        window 3                     |llkkkkkkkkkkkkkkkkk|

    With left = right = 0 a `process` that carries state of its own is given the signal chunk by chunk.

    Parameters
    ----------
    blocks : iterable of Sound
        Arrays [channels, n], any n.
    process : callable
        Maps [batch, channels, n] to [batch, channels_out, ceil(n / step_in) * step_out], or less for a last step that
        is not complete.
    step_in, step_out : int
        Values per step, before and after `process`.
    window : int
        Length of a window in steps.
    left, right : int
        Context in steps.
    batch : int
        How many windows go into one call at most.

    Yields
    ------
    Sound
        Arrays [channels_out, m].

    Raises
    ------
    ValueError
        A window is not longer than its context.
    """
    if window <= left + right:
        raise ValueError(f"a window of {window} steps is too short for {left} + {right} steps of context")
    held: list[Sound] = []  # what no window has seen to its end
    length, lead = 0, 0
    pending: list[tuple[Sound, int]] = []  # windows that wait for a full batch, and the context before each

    def flush() -> Iterator[Sound]:
        if pending:
            results = process(np.stack([signal for signal, _ in pending]))
            for result, (_, skip) in zip(results, pending, strict=True):
                yield result[:, skip * step_out : (window - right) * step_out]
            pending.clear()

    for block in blocks:
        held.append(block)
        length += block.shape[1]
        while length > window * step_in:
            signal = held[0] if len(held) == 1 else np.concatenate(held, axis=1)
            pending.append((signal[:, : window * step_in], lead))
            held = [signal[:, (window - right - left) * step_in :]]
            length, lead = held[0].shape[1], left
            if len(pending) == batch:
                yield from flush()
    yield from flush()
    if length:
        yield process(np.concatenate(held, axis=1)[np.newaxis])[0][:, lead * step_out :]


def pad(blocks: Iterable[Sound], step: int, extra: int, hold: bool = False) -> Iterator[Sound]:
    """Yield the signal, lengthened to a multiple of `step` plus `extra` values.

    The new values are zeros, or with `hold` the last value of the signal repeated.
    """
    length = 0
    last: Sound | None = None
    for block in blocks:
        if block.shape[1]:
            length, last = length + block.shape[1], block[:, -1:]
        yield block
    if last is not None:
        yield np.repeat(last if hold else np.zeros_like(last), -length % step + extra, axis=1)


def trim(blocks: Iterable[Sound], start: int, end: int, padding: Callable[[int], int] | None = None) -> Iterator[Sound]:
    """Yield the signal without its first `start` and its last `end` values.

    `padding` is called at the end, with the length behind `start`, and returns how many values to leave out in place
    of `end`, which is then the largest number.
    """
    held: list[Sound] = []
    length = 0
    for block in blocks:
        skipped = min(start, block.shape[1])
        start -= skipped
        length += block.shape[1] - skipped
        rest = np.concatenate([*held, block[:, skipped:]], axis=1)
        ready = max(0, rest.shape[1] - end)
        if ready:
            yield rest[:, :ready]
        held = [rest[:, ready:]]
    left_out = end if padding is None else padding(length)
    for rest in held:
        if rest.shape[1] > left_out:
            yield rest[:, : rest.shape[1] - left_out]


def to_channels(blocks: Iterable[Sound], channels: int) -> Iterator[Sound]:
    """Yield the blocks with `channels` channels.

    Blocks that have as many stay as they are; others are mixed to mono, by their mean, which is then repeated.
    """
    for block in blocks:
        if block.shape[0] != channels:
            mono = block.mean(axis=0, keepdims=True, dtype=np.float32)
            block = np.repeat(mono, channels, axis=0)
        yield block


def resampled(blocks: Iterable[Sound], sample_rate: float, target: float) -> Iterator[Sound]:
    """Yield the sound at another sample rate; the result equals resampling it in one call.

    The length becomes ceil(samples * target / sample_rate). The ratio of the rates is rounded to a fraction of numbers
    up to 2000: for every rate in use a pitch error below 0.01 cent and a drift of a few ms per hour at most.

    Source: the filter is torchaudio.transforms.Resample with its defaults (Hann window, six zero crossings).

    Parameters
    ----------
    blocks : iterable of Sound
        Float32 arrays [channels, n], any n.
    sample_rate : float
        Of the blocks, in Hz.
    target : float
        Of the result, in Hz.

    Raises
    ------
    InputError
        The ratio of the rates is too far from any such fraction.
    """
    ratio = Fraction(target / sample_rate).limit_denominator(max(1, int(MAX_STEP * min(1, sample_rate / target))))
    if not ratio or abs(ratio * sample_rate / target - 1) > 1e-4:
        found = f"{sample_rate:g} Hz cannot be turned into {target:g} Hz"
        raise InputError(found, remedy="resample the recording first")
    if ratio == 1:
        yield from blocks
        return
    import torch
    import torchaudio.transforms

    step_out, step_in = ratio.numerator, ratio.denominator
    resample = torchaudio.transforms.Resample(step_in, step_out)
    context = math.ceil(resample.width / step_in) + 1
    window = max(math.ceil(RESAMPLE_SECONDS * sample_rate / step_in), 4 * context)

    def process(x: Sound) -> Sound:
        result: Sound = resample(torch.from_numpy(x)).numpy()
        return result

    sizes = {"step_in": step_in, "step_out": step_out, "window": window, "left": context, "right": context}
    yield from in_windows(blocks, process, **sizes)
