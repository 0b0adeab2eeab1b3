"""Repeated loops: no array until the piece is put together."""

from dataclasses import dataclass

from unravel_lib.latents import Frames as Frames


@dataclass(frozen=True, eq=False)
class Repeat:
    """The same loop [frames, dims] several times in a row, without using memory; its length is that of all together.

    >>> len(Repeat(np.zeros((4, 8)), times=1000))
    4000
    """

    loop: Frames
    times: int

    def __len__(self) -> int:
        return len(self.loop) * self.times


Loop = Frames | Repeat
