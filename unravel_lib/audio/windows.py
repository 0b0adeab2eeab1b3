"""Long signals in overlapping windows, so that a process with a finite context runs in constant memory."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float32]  # [channels, samples]; in this module also latents, with dims as channels
Process = Callable[[Sound], Sound]


class _Buffer:
    """A first-in, first-out buffer of blocks [channels, n] that copies each value once."""

    def __init__(self) -> None:
        self.blocks: list[Sound] = []
        self.length = 0

    def append(self, block: Sound) -> None:
        if block.shape[1]:
            self.blocks.append(block)
            self.length += block.shape[1]

    def head(self, length: int) -> Sound:
        """Return the first `length` values, joined; they stay in the buffer."""
        taken, parts = 0, []
        for block in self.blocks:
            parts.append(block[:, : length - taken])
            taken += parts[-1].shape[1]
            if taken >= length:
                break
        return np.concatenate(parts, axis=1)

    def drop(self, length: int) -> None:
        self.length -= length
        while length and length >= self.blocks[0].shape[1]:
            length -= self.blocks.pop(0).shape[1]
        if length:
            self.blocks[0] = self.blocks[0][:, length:]


def in_windows(
    blocks: Iterable[Sound],
    process: Process,
    *,
    step_in: int,
    step_out: int,
    window: int,
    left: int = 0,
    right: int = 0,
    batch: int = 1,
) -> Iterator[Sound]:
    """Apply `process` to a long signal window by window; the result equals one call for the whole signal.

    A *step* is `step_in` values of input and `step_out` values of output. Every window but the last is `window` steps
    long and begins on a step. Its first `left` and last `right` steps are context: they are computed and discarded,
    except at the two ends of the signal.

        signal   |=======================================|
        window 1 |kkkkkkkkkkkkkrr|                          k keep, l left, r right context
        window 2           |llkkkkkkkkkkkrr|
        window 3                     |llkkkkkkkkkkkkkkkkk|

    With left = right = 0 a `process` that carries state of its own is given the signal chunk by chunk.

    Parameters
    ----------
    blocks : iterable of Sound
        Arrays [channels, n], any n.
    process : callable
        Maps [batch, channels, n] to [batch, channels_out, ceil(n / step_in) * step_out], or less for a last step that
        is not complete.
    step_in, step_out : int
        Values per step, before and after `process`.
    window : int
        Length of a window in steps.
    left, right : int
        Context in steps.
    batch : int
        How many windows go into one call at most.

    Yields
    ------
    Sound
        Arrays [channels_out, m].

    Raises
    ------
    ValueError
        A window is not longer than its context.
    """
    if window <= left + right:
        raise ValueError(f"a window of {window} steps is too short for {left} + {right} steps of context")
    buffer, lead = _Buffer(), 0
    pending: list[tuple[Sound, int]] = []  # windows that wait for a full batch, and the context before each

    def flush() -> Iterator[Sound]:
        if pending:
            results = process(np.stack([signal for signal, _ in pending]))
            for result, (_, skip) in zip(results, pending, strict=True):
                yield result[:, skip * step_out : (window - right) * step_out]
            pending.clear()

    for block in blocks:
        buffer.append(block)
        while buffer.length > window * step_in:
            pending.append((buffer.head(window * step_in), lead))
            buffer.drop((window - right - left) * step_in)
            lead = left
            if len(pending) == batch:
                yield from flush()
    yield from flush()
    if buffer.length:
        yield process(buffer.head(buffer.length)[np.newaxis])[0][:, lead * step_out :]


def pad(blocks: Iterable[Sound], step: int, extra: int, hold: bool = False) -> Iterator[Sound]:
    """Yield the signal, lengthened to a multiple of `step` plus `extra` values.

    The new values are zeros, or with `hold` the last value of the signal repeated.
    """
    length = 0
    last: Sound | None = None
    for block in blocks:
        if block.shape[1]:
            length, last = length + block.shape[1], block[:, -1:]
        yield block
    if last is not None:
        yield np.repeat(last if hold else np.zeros_like(last), -length % step + extra, axis=1)


def trim(blocks: Iterable[Sound], start: int, end: int, padding: Callable[[int], int] | None = None) -> Iterator[Sound]:
    """Yield the signal without its first `start` and its last `end` values.

    `padding` is called at the end, with the length behind `start`, and returns how many values to leave out in place
    of `end`, which is then the largest number.
    """
    held, length = _Buffer(), 0
    for block in blocks:
        skipped = min(start, block.shape[1])
        start -= skipped
        length += block.shape[1] - skipped
        held.append(block[:, skipped:])
        ready = held.length - end
        if ready > 0:
            yield held.head(ready)
            held.drop(ready)
    kept = held.length - (end if padding is None else padding(length))
    if kept > 0:
        yield held.head(kept)


def take(stream: Iterator[Sound], length: int) -> tuple[list[Sound], bool]:
    """Return the first blocks until they exceed `length` values; True if they do."""
    taken, total = [], 0
    for block in stream:
        taken.append(block)
        total += block.shape[1]
        if total > length:
            return taken, True
    return taken, False


class Recorded:
    """Passes blocks on, and keeps them until `stop`."""

    def __init__(self, blocks: Iterator[Sound]) -> None:
        self._blocks = blocks
        self._kept: list[Sound] = []
        self.is_recording = True

    def __iter__(self) -> Iterator[Sound]:
        for block in self._blocks:
            if self.is_recording:
                self._kept.append(block)
            yield block

    def stop(self) -> None:
        """Drop what was kept, and keep no more."""
        self.is_recording = False
        self._kept.clear()

    def again(self) -> Iterator[Sound]:
        """Yield all blocks from the first."""
        return itertools.chain(self._kept, self._blocks)
