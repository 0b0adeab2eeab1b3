"""The loops that generator.py takes from files: `FILE[:A:B]`, the frames A to B - 1 of latents."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.find import refuse_endless
from unravel_lib.latents.blocks import Frames
from unravel_lib.latents.read import read_latents
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.text import frames_text, printable

MAX_LOOPS = 2  # A and B


@dataclass(frozen=True, eq=False)
class InputLoop:
    """A loop, float64 [frames, dims], and where it comes from: the frames `first` to `end` - 1 of a file."""

    path: Path
    first: int
    end: int
    frames: Frames

    def facts(self) -> dict[str, Any]:
        """What a sidecar says about it."""
        return {"file": self.path.name, "sha256": sha256_of(self.path), "frames": [self.first, self.end]}


def read_input_loops(texts: Sequence[str]) -> list[InputLoop]:
    """Read the loops that `input_loop` names.

    Raises
    ------
    InputError
        A file cannot be read, or is shorter.
    UsageError
        More than two, no frames, too many, or the two do not have the same number of frames and dims.
    """
    if len(texts) > MAX_LOOPS:
        raise UsageError(f"`input_loop` names {len(texts)} loops, expected one or two: loop A, and loop B")
    loops = [_read(text) for text in texts]
    for loop in loops[1:]:
        if loop.frames.shape != loops[0].frames.shape:
            has, other = ("{} frames x {} dims".format(*one.frames.shape) for one in loops)
            raise UsageError(f"`input_loop`: loop A has {has}, loop B {other}: take as many frames of the same model")
    return loops


def refuse_other_dims(loops: Sequence[InputLoop], dims: int) -> None:
    """Raise InputError where the loops have other dims than the statistics."""
    for loop in loops:
        if loop.frames.shape[1] != dims:
            raise InputError(
                f"`input_loop` {printable(loop.path)} has {loop.frames.shape[1]} dims, the encodings have {dims}: take "
                "latents of the same model"
            )


def _read(text: str) -> InputLoop:
    found = None if Path(text).exists() else re.fullmatch(r"(.+?):(\d*):(\d*)", text, re.DOTALL)
    name, first, end = found.groups() if found else (text, "", "")
    path = Path(name).expanduser()
    refuse_endless(path)
    latents = read_latents(path)
    has, begin = latents.shape[1], int(first or 0)
    stop = int(end or has)
    if not begin < stop <= has:
        raise InputError(
            f"`input_loop` {printable(text)}: {printable(path)} has {frames_text(has)}, expected FILE:A:B with A less "
            "than B and B no more than that"
        )
    if stop - begin > MAX_LATENTS:
        raise UsageError(
            f"`input_loop` {printable(text)} has {frames_text(stop - begin)}, at most {MAX_LATENTS:,}: give FILE:A:B"
        )
    return InputLoop(path, begin, stop, np.ascontiguousarray(latents[:, begin:stop].T, np.float64))
