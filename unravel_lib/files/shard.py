"""Shards: the part of the inputs that one of several runs takes, the same on every machine."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from unravel_lib.files.find import Source


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count` of the inputs; without arguments, all of them.

    Attributes
    ----------
    index : int
        1 to `count`.
    count : int
        How many runs share the inputs.
    """

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        """Return it as `--shard` takes it: "3/8"."""
        return f"{self.index}/{self.count}"

    def of(self, sources: Iterable[Source]) -> list[Source]:
        """Return the inputs of this shard, in their order.

        An input belongs to the shard whose number is 1 + (the SHA-256 of its path below `input`, as a number of 256
        bits) modulo `count`.
        """
        return [source for source in sources if _hash(source) % self.count == self.index - 1]


WHOLE = Shard()


def _hash(source: Source) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(source.relative)).digest())
