"""Recorded frames in the order in which they resemble another sound."""

from typing import Literal

import numpy as np

from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import distribution
from unravel_lib.music.kinds import check_range
from unravel_lib.music.recordings import Index, Note, Recording, Recordings
from unravel_lib.statistics.measure import Array

NEAR, APPROXIMATION = 24, 1.0  # moments per frame, found up to 1 + APPROXIMATION times as far as the nearest
BACK = 2  # what follows in the recordings the moments of so many frames before is a candidate too
LEAVING, FAR = 0.5, 0.5  # what it costs to leave a recorded run, and per standard deviation between the two moments
LEAD = 16  # frames around the seam that are gone through twice, so that the path closes


@distribution
def mosaic(
    recordings: Recordings,
    rng: np.random.Generator,
    n_frames: int,
    target: Frames,
    note: Note,
    match: Literal["ranks", "none"] = "ranks",
    vary: float = 0.0,
) -> Frames:
    """Recorded frames that follow the course of another sound (--target); copies by design.

    Parameters
    ----------
    match : how the target is brought to the material: `ranks`, each dim rank by rank; `none`, for like material
    vary : how much chance decides: for variations, such as 0.3

    Notes
    -----
    The path with the least costs by Viterbi's algorithm, as in concatenative synthesis: Schwarz, "Data-driven
    concatenative sound synthesis" (2004). Each frame costs its distance from the target, each break of a recorded run
    0.5 and half the distance over the break. `vary` adds Gumbel noise to the costs.
    """
    check_range(0, vary=vary)
    dims = len(recordings.scale)
    if target.ndim != 2 or not len(target) or target.shape[1] != dims:
        raise ValueError(f"the target has shape {target.shape}, expected (frames, {dims})")
    joined = recordings.joined
    course = target[np.linspace(0, len(target) - 1, n_frames).round().astype(np.int64)] / recordings.scale
    if match == "ranks":
        course = _ranked(course, joined.frames[joined.worthy])
    moments = _cheapest_path(joined, course * recordings.weights, rng, vary)
    runs = np.mean(np.diff(moments) == 1) if n_frames > 1 else 0.0
    note(f"mosaic: {100 * runs:.0f} % of the frames go on as recorded")
    return joined.frames[moments] * recordings.scale


def _ranked(course: Frames, material: Frames) -> Frames:
    """Map each dim of the course onto the values of the material, rank by rank."""
    shares = (course.argsort(axis=0).argsort(axis=0) + 0.5) / len(course)
    ordered, places = np.sort(material.T, axis=1), np.linspace(0, 1, len(material))
    return np.stack([np.interp(share, places, m) for share, m in zip(shares.T, ordered, strict=True)], axis=1)


def _cheapest_path(joined: Recording, course: Frames, rng: np.random.Generator, vary: float) -> Index:
    """The moments [n_frames] of the cheapest path; the frames around the seam are gone through twice, so it closes."""
    n_frames, (known, tree) = len(course), joined.worthy_tree
    _, found = tree.query(course, k=np.arange(1, min(NEAR, len(known)) + 1), eps=APPROXIMATION)
    near = known[found]
    lead = min(LEAD, n_frames)
    order = np.arange(-lead, n_frames + lead) % n_frames
    costs, moments, came = np.zeros(0), np.empty(0, np.int64), []
    for step, frame in enumerate(order):
        before, choices = moments, [near[frame]]
        choices += [near[order[step - back]] + back for back in range(1, min(BACK, step) + 1)]
        moments = np.unique(np.minimum(np.concatenate(choices), len(joined) - 1))
        own = np.linalg.norm(joined.weighted[moments] - course[frame], axis=1)
        own += vary * rng.gumbel(size=len(moments)) if vary else 0.0
        if step:
            total = costs[:, np.newaxis] + _breaks(joined, before, moments)
            best = total.argmin(axis=0)
            own += total[best, np.arange(len(moments))]
            came.append((before, best))
        costs = own
    row = int(costs.argmin())
    path = [int(moments[row])]
    for before, best in reversed(came):
        row = int(best[row])
        path.append(int(before[row]))
    return np.array(path[::-1])[lead : lead + n_frames]


def _breaks(joined: Recording, before: Index, moments: Index) -> Array:
    """What it costs to go from each moment to each other, [before, moments]: nothing along the recording."""
    from scipy.spatial.distance import cdist

    following = np.minimum(before + 1, len(joined) - 1)
    costs: Array = LEAVING + FAR * cdist(joined.weighted[following], joined.weighted[moments])
    costs[(moments == before[:, np.newaxis] + 1) & ~joined.ends[before][:, np.newaxis]] = 0.0
    return costs
