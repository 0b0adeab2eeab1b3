"""What a distribution is: a decorated function that draws frames from statistics. The catalogue is in `distributions`.

The names of its parameters select its inputs:

    statistics   what was measured (see `Statistics`); `location`, `scale` and `active_...` follow `iqr`
    rng          a NumPy random generator, the only source of random numbers: same state, same bytes
    n_frames     how many frames to draw

Every other parameter is an option of the distribution, set by `distribution_args` name=value. It returns float64
[n_frames, dims].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np

from unravel_lib.errors import UsageError
from unravel_lib.latents.blocks import Frames
from unravel_lib.music import user_code
from unravel_lib.music.options import Options
from unravel_lib.music.registry import Entry, Function, Registry
from unravel_lib.statistics.measure import FLOAT32_MAX, Statistics

Spread = Literal["always", "with_iqr", "never"]


@dataclass(frozen=True, eq=False)
class Distribution(Entry):
    """A distribution, as it is registered.

    Attributes
    ----------
    needs_frames : bool
        Whether it takes frames of the encodings, which statistics read from a table do not have.
    spreads_by_iqr : "always", "with_iqr" or "never"
        When the spread of what it draws is the IQR: always, with `iqr`, as `scale` is, or never.
    """

    kind = "distribution"
    offered = ("statistics", "rng", "n_frames")

    needs_frames: bool = False
    spreads_by_iqr: Spread = "with_iqr"

    def draw(
        self, statistics: Statistics, rng: np.random.Generator, n_frames: int, options: Options | None = None
    ) -> Frames:
        """Draw frames: float64 [n_frames, dims], finite and within float32.

        Parameters
        ----------
        statistics : Statistics
            What was measured; `statistics.iqr` chooses between the classic and the robust statistics.
        rng : numpy.random.Generator
            The only source of random numbers.
        n_frames : int
            At least 1.
        options : dict, optional
            Options of the distribution.

        Raises
        ------
        UsageError
            It cannot be used with these statistics, its function failed, or drew values that latents cannot have.
        """
        if self.needs_frames and not statistics.encodings:
            raise UsageError(f"`distribution` {self.name} takes frames of encodings: give `input`, not `statistics`")
        given = {"statistics": statistics, "rng": rng, "n_frames": n_frames}
        if self.source is not None:
            user_code.seed_global_generators(rng.bit_generator.seed_seq)
        with self.naming_errors():
            drawn = self.function(**{name: given[name] for name in self.inputs}, **(options or {}))
            frames = np.asarray(drawn, dtype=np.float64)
        self._check(frames, (n_frames, statistics.dims))
        return frames

    def _check(self, frames: Frames, shape: tuple[int, int]) -> None:
        if frames.shape != shape:
            raise UsageError(
                f"`distribution` {self.name} returned shape {frames.shape}, expected (frames, dims) = {shape}: correct "
                "the function"
            )
        if not np.isfinite(frames).all():
            raise UsageError(f"`distribution` {self.name} returned NaN or Inf: correct the function or choose another")
        largest = float(np.abs(frames).max())
        if largest > FLOAT32_MAX:  # which the encodings nearly reach, and a draw may go beyond them
            raise UsageError(
                f"`distribution` {self.name} drew values up to {largest:.2g}, latents are at most {FLOAT32_MAX:.2g} "
                "(32 bits): take copula, which stays within the measured values, or encodings with smaller ones"
            )

    def frozen_dims(self, statistics: Statistics) -> list[int]:
        """List the dims that vary in the encodings and will be constant in what is drawn.

        Silence, most of whose frames are equal, makes the IQR 0; a distribution that spreads by the IQR then gives
        the same value in every frame.
        """
        by_iqr = self.spreads_by_iqr == "always" or (statistics.iqr and self.spreads_by_iqr == "with_iqr")
        return np.flatnonzero((statistics.robust_std == 0) & (statistics.std > 0)).tolist() if by_iqr else []


DISTRIBUTIONS = Registry(Distribution)


@overload
def distribution(name: Function) -> Function: ...
@overload
def distribution(
    name: str | None = None, *, needs_frames: bool = ..., spreads_by_iqr: Spread = ...
) -> Callable[[Function], Function]: ...
def distribution(
    name: str | Function | None = None, *, needs_frames: bool = False, spreads_by_iqr: Spread = "with_iqr"
) -> Function | Callable[[Function], Function]:
    """Make a function a distribution: `@distribution`, or `@distribution("name", ...)`; see `Distribution`."""
    return DISTRIBUTIONS.decorate(name, needs_frames=needs_frames, spreads_by_iqr=spreads_by_iqr)  # type: ignore[no-any-return]
