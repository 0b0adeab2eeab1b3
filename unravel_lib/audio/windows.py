"""Long signals in overlapping windows: how anything with a finite reach runs in constant memory. No torch, no files."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float32]
Process = Callable[[Block], Block]


class _Buffer:
    """A first-in, first-out buffer of blocks [channels, n] that copies each value once."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.length = 0

    def append(self, block: Block) -> None:
        if block.shape[1]:
            self.blocks.append(block)
            self.length += block.shape[1]

    def head(self, length: int) -> Block:
        """The first `length` values, joined; they stay in the buffer."""
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
    blocks: Iterable[Block],
    process: Process,
    *,
    step_in: int,
    step_out: int,
    window: int,
    left: int = 0,
    right: int = 0,
    batch: int = 1,
) -> Iterator[Block]:
    """Apply `process` to a long signal window by window; the result equals one call on the whole signal.

    A *step* is `step_in` values of input and `step_out` values of output. Every window but the last is `window` steps
    long and begins on a step. Its first `left` and last `right` steps are context: they are computed and discarded,
    except at the ends of the signal, which are real.

        signal   |=======================================|
        window 1 |kkkkkkkkkkkkkrr|                          k keep, l left, r right context
        window 2           |llkkkkkkkkkkkrr|
        window 3                     |llkkkkkkkkkkkkkkkkk|

    With left = right = 0 a `process` that carries state of its own sees the signal chunk by chunk.

    Parameters
    ----------
    blocks : iterable of arrays [channels, n], any n
    process : maps [batch, channels, n] to [batch, channels_out, ceil(n / step_in) * step_out] or a shorter last step
    batch : how many windows go into one call at most

    Yields
    ------
    arrays [channels_out, m]
    """
    if window <= left + right:
        raise ValueError(f"a window of {window} steps has no room for {left} + {right} steps of context")
    buffer, lead = _Buffer(), 0
    pending: list[tuple[Block, int]] = []  # windows that wait for a full batch, and the context before each

    def flush() -> Iterator[Block]:
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


def pad(blocks: Iterable[Block], step: int, extra: int, hold: bool = False) -> Iterator[Block]:
    """The signal, filled up to a multiple of `step`, and `extra` more values: silence, or its last value held."""
    length = 0
    last: Block | None = None
    for block in blocks:
        if block.shape[1]:
            length, last = length + block.shape[1], block[:, -1:]
        yield block
    if last is not None:
        yield np.repeat(last if hold else np.zeros_like(last), -length % step + extra, axis=1)


def trim(blocks: Iterable[Block], start: int, end: int) -> Iterator[Block]:
    """The signal without its first `start` and its last `end` values."""
    held = _Buffer()
    for block in blocks:
        skipped = min(start, block.shape[1])
        start -= skipped
        held.append(block[:, skipped:])
        ready = held.length - end
        if ready > 0:
            yield held.head(ready)
            held.drop(ready)
