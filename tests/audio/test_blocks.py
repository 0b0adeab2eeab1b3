"""Windows with context equal one call for the whole signal; pad and trim change its length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unravel_lib.audio.blocks import in_windows, pad, trim

KERNEL = np.array([0.2, -1.0, 3.0, 0.5, 0.7], np.float32)  # context: 2 values before, 2 after


def fir(x: np.ndarray) -> np.ndarray:
    return np.stack([[np.convolve(c, KERNEL, "same")[: len(c)] for c in signal] for signal in x]).astype(np.float32)


def cut(x: np.ndarray, places: list[int]) -> list[np.ndarray]:
    return np.split(x, sorted(min(p, x.shape[1]) for p in places), axis=1)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(5, 400),
    places=st.lists(st.integers(0, 400), max_size=6),
    window=st.integers(5, 60),
    batch=st.integers(1, 4),
    spare=st.integers(0, 2),
)
def test_windows_equal_one_call_on_the_whole(n: int, places: list[int], window: int, batch: int, spare: int) -> None:
    x = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    sizes = {"step_in": 1, "step_out": 1, "window": window + 2 * spare, "left": 2 + spare, "right": 2 + spare}
    result = np.concatenate(list(in_windows(cut(x, places), fir, batch=batch, **sizes)), axis=1)
    np.testing.assert_allclose(result, fir(x[None])[0], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), window=st.integers(1, 9), places=st.lists(st.integers(0, 300), max_size=5))
def test_without_context_each_value_is_seen_once_and_in_order(n: int, window: int, places: list[int]) -> None:
    x = np.arange(n, dtype=np.float32)[None]
    seen: list[np.ndarray] = []

    def halves(block: np.ndarray) -> np.ndarray:
        seen.append(block[0])
        return block[..., ::2]

    result = np.concatenate(list(in_windows(cut(x, places), halves, step_in=2, step_out=1, window=window)), axis=1)
    np.testing.assert_array_equal(np.concatenate(seen, axis=1), x)
    np.testing.assert_array_equal(result, x[:, ::2])
    assert all(block.shape[1] == 2 * window for block in seen[:-1])  # one shape for all but the last call


def test_a_window_must_hold_more_than_its_context() -> None:
    with pytest.raises(ValueError, match="too short"):
        list(in_windows([np.zeros((1, 9), np.float32)], fir, step_in=1, step_out=1, window=4, left=2, right=2))


def test_memory_does_not_grow_with_the_signal() -> None:
    """At most a window and a block are in memory, for any length of the signal."""
    held, most = 0, 0

    def source() -> object:
        nonlocal held
        for _ in range(500):
            held += 100
            yield np.zeros((1, 100), np.float32)

    for block in in_windows(source(), fir, step_in=1, step_out=1, window=50, left=2, right=2):
        held -= block.shape[1]
        most = max(most, held)
    assert most <= 200


def test_pad_fills_up_and_adds() -> None:
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert np.concatenate(list(pad([x], 4, 2)), axis=1).tolist() == [[1, 2, 3, 0, 0, 0]]
    assert np.concatenate(list(pad([x[:, :2], x[:, 2:]], 1, 2, hold=True)), axis=1).tolist() == [[1, 2, 3, 3, 3]]


@given(
    n=st.integers(0, 40),
    places=st.lists(st.integers(0, 40), max_size=5),
    start=st.integers(0, 9),
    end=st.integers(0, 9),
)
def test_trim_equals_slicing(n: int, places: list[int], start: int, end: int) -> None:
    x = np.arange(n, dtype=np.float32)[None]
    result = np.concatenate([np.zeros((1, 0)), *trim(cut(x, places), start, end)], axis=1)
    np.testing.assert_array_equal(result, x[:, start : max(n - end, start)] if n > end else x[:, :0])
