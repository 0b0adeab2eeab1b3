"""Transforms of one's own: take this file, rename it, change it.

    python generator.py --input latents/ --transform "my_transforms.py:hocket 2"

A transform is a function with @transform before it. It gets a loop, an array of frames x dims, and returns what is
played in its place. It may ask for more by the names of its parameters: docs/your-own.md lists them. Every other
parameter is an argument, written behind the name.
"""

import numpy as np

from unravel_lib import transform


@transform
def hocket(loop: np.ndarray, index: int, parts: int) -> np.ndarray:
    """ABCD -> AACC BBDD: of every PARTS frames one plays, in the next loop the next one."""
    places = np.arange(len(loop)) // parts * parts + index % parts
    return loop[np.minimum(places, len(loop) - 1)]


@transform
def stumble(loop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """ABCD -> ABBCD: one frame, a random one, is played twice."""
    place = rng.integers(len(loop))
    return np.insert(loop, place, loop[place], axis=0)
