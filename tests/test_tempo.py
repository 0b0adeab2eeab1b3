"""Tempo: the formula, exact rounding, the way back from BPM to frames."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unravel_lib import tempo

SEED_TABLE = {1: 1291.99, 3: 430.66, 5: 258.39, 6: 215.33, 7: 184.57, 9: 143.55, 11: 117.45, 15: 86.13, 20: 64.59}


@pytest.mark.parametrize(("n_frames", "expected"), SEED_TABLE.items())
def test_tempi_of_the_common_model(n_frames: int, expected: float) -> None:
    """The documented table, which cuts some tempi off where others are rounded, is never more than 0.01 away."""
    assert float(tempo.exact_bpm(n_frames, 44100, 2048)) == 60 * (44100 / 2048) / n_frames
    assert abs(float(tempo.format_bpm(tempo.exact_bpm(n_frames, 44100, 2048))) - expected) < 0.0101


@pytest.mark.parametrize(
    ("n_frames", "sample_rate", "expected"),
    [(2, 48000, "703.13"), (11, 44100, "117.45"), (5, 44100, "258.40"), (1, 44100, "1291.99"), (10**6, 44100, "0.00")],
)
def test_two_decimals_are_rounded_half_up(n_frames: int, sample_rate: int, expected: str) -> None:
    """703.125 has an exact half cent, which Python's own rounding of floats takes down."""
    assert tempo.format_bpm(tempo.exact_bpm(n_frames, sample_rate, 2048)) == expected


@given(st.integers(1, 5000), st.sampled_from([22050, 44100, 48000, 96000.5]), st.sampled_from([128, 512, 1024, 2048]))
def test_there_and_back(n_frames: int, sample_rate: float, compression: int) -> None:
    beat = tempo.exact_bpm(n_frames, sample_rate, compression)
    shown = Fraction(tempo.format_bpm(beat))
    assert abs(shown - beat) <= Fraction(1, 200)
    assert (
        tempo.frames_for_bpm(float(tempo.exact_bpm(n_frames, sample_rate, compression)), sample_rate, compression)
        == n_frames
    )


@given(st.floats(0.5, 5000), st.sampled_from([44100, 48000]))
def test_no_other_length_comes_nearer(wanted: float, sample_rate: int) -> None:
    found = tempo.frames_for_bpm(wanted, sample_rate, 2048)

    def distance(n: int) -> float:
        return abs(float(tempo.exact_bpm(n, sample_rate, 2048)) - wanted)

    around = range(max(1, found - 3), found + 4)
    assert distance(found) <= min(distance(n) for n in around) + 1e-9


def test_120_bpm_is_11_frames_and_not_10() -> None:
    """In frames 10.77 is nearer to 11; in BPM too: 117.45 is 2.55 away, 129.20 is 9.20 away."""
    assert tempo.frames_for_bpm(120, 44100, 2048) == 11
    assert tempo.frames_for_bpm(1e6, 44100, 2048) == 1


def test_nearest_is_meant_in_bpm() -> None:
    """900 BPM is 1.44 frames: nearer to 1 frame than to 2, but the tempo of 2 frames is the nearer one."""
    assert tempo.frames_for_bpm(900, 44100, 2048) == 2  # 254 away from 2 frames, 392 from 1
    assert tempo.frames_for_bpm(980, 44100, 2048) == 1  # 334 away from 2 frames, 312 from 1; 1.32 frames


@pytest.mark.parametrize("wanted", [0, -1, math.nan, math.inf])
def test_impossible_tempi_are_refused(wanted: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        tempo.frames_for_bpm(wanted, 44100, 2048)


@pytest.mark.parametrize("values", [(0, 44100, 2048), (1, 0, 2048), (1, math.nan, 2048), (1, 44100, 0)])
def test_impossible_rates_are_refused(values: tuple[int, float, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        tempo.exact_bpm(*values)


def test_table() -> None:
    lines = tempo.table(44100, 2048).splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["1", "1291.99", "-"],
        ["2", "646.00", "1291.99"],
        ["3", "430.66", "-"],
        ["4", "323.00", "646.00"],
    ]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("compression", "beats", "first", "last"), [(2048, 1, 1, 22), (2048, 4, 4, 90), (128, 4, 56, 1400)]
)
def test_the_table_ends_below_60_bpm_in_round_steps(compression: int, beats: int, first: int, last: int) -> None:
    rows = [line.split() for line in tempo.table(44100, compression, beats).splitlines()[1:]]
    frames = [int(row[0]) for row in rows]
    assert (frames[0], frames[-1]) == (first, last) and len(frames) < 64
    assert float(rows[-1][1]) < 60 <= float(rows[-2][1])
    steps = np.diff(frames)
    assert all(n % step == 0 for n, step in zip(frames[1:], steps, strict=True)) and (np.diff(steps) >= 0).all()
