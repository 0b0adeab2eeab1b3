"""The delay of a streaming export, relative to an offline export of the same weights.

A streaming convolution has no future samples: where an offline one uses r samples ahead, its output is r samples
late, and that of a strided one is delayed further, to a whole number of its steps. These delays add up along the path
through the network. Exports made with cached_conv (all of RAVE) store the terms of this sum in their modules. It is not
measured: a response is not symmetric, so neither its centre nor its peak is the shift from the offline export.
"""

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from unravel_lib.models.torchscript import inner_rave

PARALLEL = ("noise_module",)  # runs in parallel to the path that carries the signal


@dataclass(frozen=True)
class Delay:
    """The delays of encode and decode, in samples."""

    encode_samples: int
    decode_samples: int


@dataclass
class _Path:
    """A place on the path through the network: samples per step here, delay so far, and the part passed on."""

    ratio: Fraction
    samples: Fraction = Fraction(0)
    passed_on: int = 0


def stated_delay(module: Any, compression: int) -> Delay | None:
    """Return the delay of a streaming export as its modules state it; None if they do not, or their strides do not fit.

    Parameters
    ----------
    module : the loaded model
    compression : samples per frame
    """
    inner = inner_rave(module) or module
    children = dict(inner.named_children())
    pqmf, resampler = children.get("pqmf"), children.get("resampler")
    encode, decode = _Path(Fraction(1)), _Path(Fraction(compression))
    with contextlib.suppress(LookupError, AttributeError):  # a module is missing, or does not state its delay
        if resampler is not None:
            _walk(resampler.downsample, encode)
        before = encode.ratio
        if pqmf is not None and getattr(inner, "input_mode", "pqmf") == "pqmf":
            _walk(pqmf.forward_conv, encode)
        bands = encode.ratio / before
        _walk(children["encoder"], encode)
        _walk(children["decoder"], decode)
        if pqmf is not None:
            _walk(pqmf.inverse_conv, decode)
            decode.ratio /= bands
        if resampler is not None:
            _walk(resampler.upsample, decode)
            decode.ratio = Fraction(1)
        if encode.ratio == compression and decode.ratio == 1:
            return Delay(round(encode.samples), round(decode.samples))
    return None


def _walk(module: Any, path: _Path) -> None:
    """Move `path` from the module's input to its output."""
    kind = module.original_name
    if kind == "CachedConv1d":
        stride, own = module.stride[0], _own_delay(module, path.passed_on)
        path.samples += own * path.ratio
        path.ratio *= stride
        path.passed_on = module.cumulative_delay
    elif kind == "CachedConvTranspose1d":
        path.ratio /= module.stride[0]
        path.samples += module.padding[0] * path.ratio
        path.passed_on = module.cumulative_delay
    elif kind == "AlignBranches":
        _walk_branches(module, path)
    else:
        # in the order in which the signal passes them: a generator's `net` comes before what follows it
        for name, child in sorted(module.named_children(), key=lambda item: item[0] != "net"):
            if name not in PARALLEL:
                _walk(child, path)


def _walk_branches(module: Any, path: _Path) -> None:
    """Follow the first of parallel branches, which carries the signal; faster ones are delayed to match.

    The others are the identity of a residual, or the loudness and the noise of a v1 generator, the noise at a rate of
    its own.
    """
    first, held_back = next(module.branches.children()), next(module.paddings.children())
    path.samples += held_back.padding * path.ratio
    _walk(first, path)
    path.passed_on = module.cumulative_delay


def _own_delay(conv: Any, passed_on: int) -> int:
    """Return the delay that one cached convolution adds, in steps of its input.

    cached_conv states (look-ahead + wait + passed-on) / stride, where only some networks pass the delay on. The
    look-ahead of a kernel that covers `total` past steps is half of it (centred), 0 (causal) or all of it; the likelier
    reading first, as what is passed on may happen to be as much as half of a kernel.
    """
    total, wait = conv.cache.padding, conv.downsampling_delay.padding
    stated = conv.cumulative_delay * conv.stride[0]
    for possible in ({total // 2, (total + 1) // 2}, {0}, {total}):
        for given in (0, passed_on):
            ahead = stated - wait - given
            if ahead in possible:
                return int(ahead + wait)
    raise LookupError("a module does not state its delay")
