"""Wishes for how a loop sounds, such as loud in its middle, in ranks of the recordings: 0 the least, 1 the most."""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unravel_lib.audio.descriptors import NAMES
from unravel_lib.errors import UsageError
from unravel_lib.music.recordings import Index, Recordings
from unravel_lib.statistics.measure import Array
from unravel_lib.text import did_you_mean, printable

FILE = re.compile(r"\.(npy|csv:.+)$", re.IGNORECASE)  # what names a file of ranks
SOON_SECONDS = 0.15  # a jump is judged by the mean of what follows the moment within this time
TOLERANCE = 0.2  # in ranks; a path jumps away from a moment that is further off


def split_wish(text: str) -> tuple[str, str]:
    """Split a wish into the name of the descriptor and its ranks, or its file, which may be in quotes."""
    name, *wanted = text.split(maxsplit=1) or [""]
    return name, re.sub(r"^(['\"])(.*?)\1", r"\2", "".join(wanted).strip())


def read_wishes(texts: str | Sequence[str], read_file: Callable[[str, str], Array] | None = None) -> dict[str, Array]:
    """Read wishes such as "loudness 0.1 0.9 0.1": ranks over the loop by name of a descriptor.

    Parameters
    ----------
    texts : str or sequence of str
    read_file : function of the descriptor and the name of a file, optional
        Returns the ranks of "loudness curve.csv:column" or "loudness other.npy".

    Raises
    ------
    UsageError
        No such descriptor, one that was wished for already, or no ranks from 0 to 1 after it.
    """
    wishes: dict[str, Array] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        name, wanted = split_wish(text)
        fields: dict[str, Any] = {"option": "steer", "value": text}
        if name not in NAMES:
            known = f"{', '.join(NAMES)}{did_you_mean(name, NAMES)}"
            raise UsageError(f"is no wish: {printable(name)} is none of {known}", **fields)
        if name in wishes:
            raise UsageError(f"wishes for {name} twice", remedy="give it once", **fields)
        ranks = np.empty(0)
        with contextlib.suppress(ValueError):
            if read_file is not None and FILE.search(wanted):
                ranks = read_file(name, wanted)
            else:
                ranks = np.array([float(word) for word in wanted.split()])
        if not ranks.size or not ((ranks >= 0) & (ranks <= 1)).all():
            needs = f'needs ranks from 0 to 1, in quotes with it, such as "{name} 0.1 0.9 0.1"'
            files = "" if read_file is None else ", or FILE.csv:COLUMN, or an encoding (.npy)"
            raise UsageError(f"is no wish: {name} {needs}{files}", **fields)
        wishes[name] = ranks
    return wishes


@dataclass(frozen=True, eq=False)
class Wishes:
    """The ranks wished for in each frame of a loop, and those of each moment of all recordings.

    Attributes
    ----------
    wanted : float64 [wishes, before + n_frames]
    now, soon : float64 [wishes, moments]
        The rank of each moment, and the mean rank of the moments that follow it within 0.15 s.
    """

    wanted: Array
    now: Array
    soon: Array

    @classmethod
    def of(cls, recordings: Recordings, wishes: Mapping[str, Array], n_frames: int, before: int = 0) -> "Wishes":
        """Interpolate ranks linearly over a loop, and put those of its last `before` frames in front of it.

        Raises
        ------
        ValueError
            A recording has no descriptors.
        """
        joined = recordings.joined
        if joined.descriptors is None:
            raise ValueError("steering needs the descriptors of all recordings: encode them again by encoder.py")
        rows = joined.descriptors[[NAMES.index(name) for name in wishes]].astype(np.float64)
        now = np.array([np.searchsorted(np.sort(row[joined.worthy]), row) for row in rows]) / joined.worthy.sum()
        ahead = max(1, round(SOON_SECONDS * recordings.frame_rate))
        following = np.pad(now[:, 1:], ((0, 0), (0, ahead)), mode="edge")
        soon = np.lib.stride_tricks.sliding_window_view(following, ahead, axis=1).mean(axis=2)
        places = np.linspace(0, 1, n_frames)
        wanted = [np.interp(places, np.linspace(0, 1, len(ranks)), ranks) for ranks in wishes.values()]
        return cls(np.pad(wanted, ((0, 0), (before, 0)), mode="wrap"), now, soon)

    def missed(self, moment: int, frame: int) -> bool:
        """Whether a moment itself is too far from what is wished for in a frame, in any of the wishes."""
        return bool(np.abs(self.now[:, moment] - self.wanted[:, frame]).max() > TOLERANCE)

    def distances(self, moments: Index, frame: int) -> Array:
        """How far what follows the moments is from what is wished for in a frame: mean difference of ranks."""
        result: Array = np.abs(self.soon[:, moments] - self.wanted[:, frame, np.newaxis]).mean(axis=0)
        return result

    def closest(self, moments: Index, frame: int, n: int) -> Index:
        """The `n` moments with the smallest `distances`, the smallest first."""
        return moments[np.argsort(self.distances(moments, frame), kind="stable")[:n]]
