"""Changes of the sample rate and of the number of channels, block by block."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from unravel_lib.audio.windows import Sound, in_windows
from unravel_lib.errors import InputError

MAX_STEP = 2000  # a rate ratio is taken as p/q with p and q up to this, so that the filter stays small
RESAMPLE_SECONDS = 3.0  # length of one resampled window


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
        with torch.no_grad():
            result: Sound = resample(torch.from_numpy(x)).numpy()
        return result

    sizes = {"step_in": step_in, "step_out": step_out, "window": window, "left": context, "right": context}
    yield from in_windows(blocks, process, **sizes)
