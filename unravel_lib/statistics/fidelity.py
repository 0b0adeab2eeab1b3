"""How true generated latents are to recorded ones: distances between the two, and what to compare those with.

Everything is measured in standard deviations of the recordings, dim by dim, and nothing crosses from one file to the
next. The only random numbers are those of the generator that is passed: it chooses windows where there are too many,
and draws the frames of the ceiling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unravel_lib.errors import InputError
from unravel_lib.latents import Latents
from unravel_lib.statistics import distances
from unravel_lib.statistics.distances import APART, WINDOW, Array
from unravel_lib.text import frames_text, table

BLOCK = 64  # frames of the blocks of the floor
SEED = 0  # of the choice of windows
MAX_VALUES = 1 << 22  # compared per side; their windows take 128 MiB
REPORTED = (  # attribute, format, what it is, what is good
    ("marginal_ks", ".3f", "values of each dim", "low"),
    ("autocorrelation", ".3f", "correlation over time", "low"),
    ("step_cross_correlation", ".3f", "steps of dims together", "low"),
    ("step_ks", ".3f", "sizes of steps", "low"),
    ("asymmetry", ".3f", "direction of time", "low"),
    ("nearest_neighbour", ".3f", "windows told apart", "near 0.5; less: copies"),
    ("coverage", ".3f", "recorded frames reached", "high"),
    ("copied_share", ".3f", "windows copied", "0, unless copies are wanted"),
    ("near_copied_share", ".3f", "windows nearly copied", "0, unless copies are wanted"),
    ("longest_copy", "d", "longest copy, frames", "0, unless copies are wanted"),
    ("seam_percentile", ".0f", "seam among the steps, percentile", "below 95"),
)


@dataclass(frozen=True)
class Fidelity:
    """Distances between generated and recorded latents.

    Attributes
    ----------
    marginal_ks : float, 0 to 1
        Kolmogorov-Smirnov distance of the values of a dim, mean of all dims.
    autocorrelation : float, 0 to 2
        Mean absolute difference of the autocorrelations at lags 1 to 16.
    step_cross_correlation : float, 0 to 2
        Mean absolute difference of the correlations between the steps of all pairs of dims at lags 0 to 4.
    step_ks : float, 0 to 1
        Kolmogorov-Smirnov distance of the step sizes.
    asymmetry : float, from 0
        Mean absolute difference of E[d^3] / E[d^2]^1.5 of the steps d, which changes its sign when time is reversed.
    nearest_neighbour : float, 0 to 1, or None
        How well windows of 4 frames are told apart, 0.5 not at all, below 0.5 for copies; `distances.two_sample`
        explains it and when it is None.
    coverage : float, 0 to 1, or None
        Share of the recorded frames that have a generated one near them (Naeem et al. 2020); None as above.
    copied_share, near_copied_share : float, 0 to 1
        Share of the generated windows of 4 frames that are copies of recorded ones, or nearly (copies included).
    longest_copy : int
        Frames of the longest copied run.
    seam_percentile : float, 0 to 100, or None
        Where the step from the last frame to the first stands among the steps of its file, mean of all files. None
        for the floor and the ceiling, which are no loops.
    """

    marginal_ks: float
    autocorrelation: float
    step_cross_correlation: float
    step_ks: float
    asymmetry: float
    nearest_neighbour: float | None
    coverage: float | None
    copied_share: float
    near_copied_share: float
    longest_copy: int
    seam_percentile: float | None


def fidelity(generated: Sequence[Latents], recorded: Sequence[Latents], rng: np.random.Generator) -> Fidelity:
    """Measure how true generated latents are to recorded ones.

    Generate at least as many frames as the recordings have: fewer are compared with windows that lie further apart in
    time than their own, and small samples differ by chance.

    Parameters
    ----------
    generated, recorded : sequences of arrays [dims, frames]
        One array per file. Of more than MAX_VALUES values a random choice of files is compared.
    rng : numpy.random.Generator
        Chooses windows.

    Raises
    ------
    InputError
        No file of one side has 4 frames, or the dims differ.
    """
    files, others = _files(generated, "generated", rng), _files(recorded, "recorded", rng)
    if files[0].shape[1] != others[0].shape[1]:
        raise InputError(f"the generated latents have {files[0].shape[1]} dims, the recorded ones {others[0].shape[1]}")
    std = _std(others)
    return _compare([file / std for file in files], [file / std for file in others], rng)


def floor(recorded: Sequence[Latents], rng: np.random.Generator) -> Fidelity:
    """Measure how far recordings are from themselves: every second block of 64 frames against the blocks between.

    Between two blocks of a recording 16 frames are left out, so that no window is adjacent to one of the other side. A
    recording that is shorter than a block is a block; where there is only one block, its halves are compared.

    Raises
    ------
    InputError
        The recordings have no two blocks of 4 frames.
    """
    files = _files(recorded, "recorded", rng)
    std = _std(files)
    blocks = [file[i : i + BLOCK] / std for file in files for i in range(0, len(file), BLOCK + APART)]
    blocks = [block for block in blocks if len(block) >= WINDOW]
    if len(blocks) == 1:
        blocks = np.array_split(blocks[0], 2)
    if len(blocks[-1]) < WINDOW:
        has = frames_text(len(blocks[0]) + len(blocks[1]))
        raise InputError(f"the recorded latents have {has}, comparing them with themselves needs {2 * WINDOW} or more")
    return replace(_compare(blocks[1::2], blocks[::2], rng), seam_percentile=None)


def ceiling(recorded: Sequence[Latents], rng: np.random.Generator) -> Fidelity:
    """Measure how far draws that know no more than mean and standard deviation of each dim are from the recordings.

    The frames are independent and normal, as many per file as the recordings have.

    Raises
    ------
    InputError
        No recording has 4 frames.
    """
    files = _files(recorded, "recorded", rng)
    std = _std(files)
    files = [file / std for file in files]
    everything = np.concatenate(files)
    mean, spread = everything.mean(axis=0), everything.std(axis=0)
    draws = [mean + spread * rng.standard_normal(file.shape) for file in files]
    return replace(_compare(draws, files, rng), seam_percentile=None)


def compared(generated: Sequence[Latents], recorded: Sequence[Latents]) -> dict[str, Fidelity]:
    """How true generated latents are to recorded ones: `value`, and the `floor` and `ceiling` to compare it with.

    The same latents give the same figures. Raises InputError as `fidelity` and `floor` do.
    """
    return {
        "value": fidelity(generated, recorded, np.random.default_rng(SEED)),
        "floor": floor(recorded, np.random.default_rng(SEED)),
        "ceiling": ceiling(recorded, np.random.default_rng(SEED)),
    }


def report(value: Fidelity, floor: Fidelity, ceiling: Fidelity) -> str:
    """Write the measures as an aligned table, one line each: the value, the floor, the ceiling and what is good."""
    rows = [["", "value", "floor", "ceiling", "good is"]]
    for name, form, label, good in REPORTED:
        values = (getattr(one, name) for one in (value, floor, ceiling))
        rows.append([label, *("-" if one is None else format(one, form) for one in values), good])
    return table(rows)


def _files(latents: Sequence[Latents], what: str, rng: np.random.Generator) -> list[Array]:
    """The files as float64 [frames, dims], about MAX_VALUES values at most; one is long enough for a window."""
    dims = sorted({array.shape[0] for array in latents})
    if len(dims) > 1:
        raise InputError(f"the {what} latents have {dims[0]} and {dims[-1]} dims, expected the same in all files")
    longest = max((array.shape[1] for array in latents), default=0)
    if longest < WINDOW:
        raise InputError(f"the {what} latents have {frames_text(longest)} at most, comparing needs {WINDOW} or more")
    left = MAX_VALUES // dims[0]
    order = list(range(len(latents)))
    if sum(array.shape[1] for array in latents) > left:
        rng.shuffle(order)
    files = []
    for index in order:
        files.append(latents[index][:, :left].T.astype(np.float64, order="C"))
        left -= len(files[-1])
        if left < WINDOW:
            break
    return files


def _std(files: Sequence[Array]) -> Array:
    """The standard deviation [dims] of all frames; 1 for a dim that never moves."""
    everything = np.concatenate(files)
    return np.where(np.ptp(everything, axis=0) == 0, 1.0, everything.std(axis=0))


def _compare(files: Sequence[Array], others: Sequence[Array], rng: np.random.Generator) -> Fidelity:
    """Compare generated files with recorded others [frames, dims], both in standard deviations."""
    near_copied_share, copied = distances.copies(files, others, rng)
    return Fidelity(
        marginal_ks=distances.marginal_ks(files, others),
        autocorrelation=distances.autocorrelation_error(files, others),
        step_cross_correlation=distances.cross_correlation_error(files, others),
        step_ks=distances.step_ks(files, others),
        asymmetry=distances.asymmetry_error(files, others),
        nearest_neighbour=distances.two_sample(files, others, rng),
        coverage=distances.coverage(files, others, rng),
        copied_share=float(np.mean(np.concatenate(copied))),
        near_copied_share=near_copied_share,
        longest_copy=distances.longest_run(copied),
        seam_percentile=distances.seam_percentile(files),
    )
