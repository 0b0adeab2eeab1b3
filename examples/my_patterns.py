"""Patterns of one's own: take this file, rename it, change it.

    python generator.py --input latents/ --pattern my_patterns.py:stutter --pattern_args times=3

A pattern is a function with @pattern before it. It asks for what it needs by the names of its parameters:

    loop      the loop (A), an array of --num_latents frames x dims
    loop_b    a second loop (B) of the same size, drawn independently
    n_loops   what --num_loops says
    std       how far the values of each dim spread in the encodings
    rng       random numbers; take them from here only, so that the same seed makes the same piece again

Every parameter with another name is an option for --pattern_args; its default gives its type. The first line of the
docstring is its description. What comes back is the whole piece, frames x dims; or `yield` it loop by loop, a repeated
one as `Repeat(loop, times)`.
"""

from collections.abc import Iterator

import numpy as np

from unravel_lib import Repeat, pattern


@pattern
def stutter(loop: np.ndarray, n_loops: int, times: int = 2) -> Repeat:
    """AABBCC AABBCC: every frame several times."""
    return Repeat(np.repeat(loop, times, axis=0), n_loops)


@pattern
def crumble(loop: np.ndarray, n_loops: int, std: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """ABCD ACD AD D: each time round a random frame falls out and the others tremble, until nothing is left."""
    for _ in range(n_loops):
        rest = loop
        while len(rest):
            yield rest
            rest = np.delete(rest, rng.integers(len(rest)), axis=0)
            rest = rest + 0.1 * std * rng.standard_normal(rest.shape)
