"""What a transform is: a decorated function that changes a loop as it passes. The catalogue is in `transforms`.

The names of its parameters select its inputs:

    loop     float64 [n_frames, dims], the loop
    index    which loop of the file it is, from 0
    start    which frame of the file is the first of the loop, from 0
    std      float64 [dims], how far the values of the encodings spread
    centre   float64 [dims], around which they spread
    rng      a NumPy random generator of the step's own
    step     the step behind this one, for transforms that wrap another: `step(loop)` applies it, to some of the dims
             with `step(loop[:, dims], dims)`; `step.keeps_length` says whether it keeps the number of frames

Every other parameter is an option, an int, float, bool, str or `Literal` of str, given in this order behind the name
of the transform. It returns the new loop [frames, dims].

A loop that is repeated is transformed once, unless the transform asks for `index`, `start` or `rng`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from unravel_lib.latents.blocks import Frames
from unravel_lib.music.options import Options
from unravel_lib.music.pattern import checked_frames
from unravel_lib.music.registry import Entry, Function, Registry
from unravel_lib.music.tempo import MAX_LATENTS

VARYING = {"index", "start", "rng"}


@dataclass(frozen=True, eq=False)
class Transform(Entry):
    """A transform, as it is registered.

    Attributes
    ----------
    keeps_length : bool
        Whether a loop keeps its number of frames.
    """

    kind = "transform"
    offered = ("loop", "index", "start", "std", "centre", "rng", "step")

    keeps_length: bool = True

    @property
    def wraps(self) -> bool:
        """Whether another step follows its arguments."""
        return "step" in self.inputs

    @property
    def varies(self) -> bool:
        """Whether the same loop may become another one each time."""
        return not VARYING.isdisjoint(self.inputs)

    @property
    def arguments(self) -> str:
        """What follows the name: " ONSETS STEPS [ROTATION]"."""
        names = (f" {n.upper()}" if p.default is p.empty else f" [{n.upper()}]" for n, p in self.parameters.items())
        return "".join(names) + (" STEP" if self.wraps else "")

    @property
    def description(self) -> str:
        """What it does."""
        return self.summary

    def apply(self, inputs: Mapping[str, Any], options: Options) -> Frames:
        """Transform one loop.

        Raises
        ------
        UsageError
            The function failed, or returned something that is no loop; names the user's file and the line.
        """
        loop: Frames = inputs["loop"]
        with self.naming_errors(), np.errstate(all="ignore"):  # what is not finite is refused
            result = checked_frames(self.function(**{n: inputs[n] for n in self.inputs}, **options), loop.shape[1])
            kept = self.keeps_length and (not self.wraps or inputs["step"].keeps_length)
            if kept and len(result) != len(loop):
                raise ValueError(
                    f"a loop of {len(loop)} frames has {len(result)} now: declare @transform(keeps_length=False)"
                )
            if len(result) > max(len(loop), MAX_LATENTS):
                raise ValueError(f"a loop has {len(result):,} frames now, at most {MAX_LATENTS:,}: make it shorter")
        return result


def check_at_least(minimum: float, **given: float) -> None:
    """Raise ValueError where an argument is too small: `check_at_least(1, frames=frames)`."""
    for name, value in given.items():
        if value < minimum:
            raise ValueError(f"{name.upper()} is {value:g}, expected at least {minimum:g}")


def check_probability(probability: float) -> None:
    """Raise ValueError where an argument is no probability."""
    if not 0 <= probability <= 1:
        raise ValueError(f"PROBABILITY is {probability:g}, expected 0 to 1")


TRANSFORMS = Registry(Transform)


@overload
def transform(name: Function) -> Function: ...
@overload
def transform(name: str | None = None, *, keeps_length: bool = ...) -> Callable[[Function], Function]: ...
def transform(
    name: str | Function | None = None, *, keeps_length: bool = True
) -> Function | Callable[[Function], Function]:
    """Make a function a transform: `@transform`, or `@transform("name", keeps_length=False)`; see `Transform`."""
    return TRANSFORMS.decorate(name, keeps_length=keeps_length)  # type: ignore[no-any-return]
