"""Loudness, peak, normalising and fades; pyloudnorm, another implementation of EBU R128, is the reference."""

from pathlib import Path

import numpy as np
import pyloudnorm
import pytest

from unravel_lib.audio.level import CEILING, Level, Meter, Normalised, faded, looped


def noise(seconds: float, rate: int = 48000, channels: int = 1, gain: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (gain * rng.standard_normal((channels, round(seconds * rate)))).astype(np.float32)


def level_of(x: np.ndarray, rate: int = 48000, blocks: int = 3) -> Level:
    meter = Meter(rate, len(x))
    for block in np.array_split(x, blocks, axis=1):
        meter.add(block)
    return meter.level


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_loudness_is_that_of_another_implementation(rate: int, channels: int) -> None:
    """Half of it is quiet, so that the relative gate counts; a mean without gates would be 2.6 LU lower."""
    x = noise(6, rate, channels)
    x[:, x.shape[1] // 2 :] *= 0.05
    expected = pyloudnorm.Meter(rate).integrated_loudness(x.T.astype(float))
    assert level_of(x, rate).loudness == pytest.approx(expected, abs=0.1)


def test_a_sine_of_997_hz_at_full_scale_is_minus_3_lufs() -> None:
    """BS.1770-4: 0 dBFS at 997 Hz in one channel reads -3.01 LKFS."""
    x = np.sin(2 * np.pi * 997 * np.arange(5 * 48000) / 48000)[None].astype(np.float32)
    level = level_of(x)
    assert level.loudness == pytest.approx(-3.01, abs=0.02)
    assert level.peak == pytest.approx(1, abs=1e-3)


def test_blocks_do_not_matter_and_peaks_beyond_full_scale_count() -> None:
    x = noise(2, gain=0.5)
    assert level_of(x, blocks=1) == level_of(x, blocks=1000)
    assert level_of(x).peak == np.abs(x).max() > 1


def test_a_short_sound_has_a_loudness_silence_has_none() -> None:
    full, part = noise(0.4), noise(0.4)
    part[:, part.shape[1] // 4 :] = 0
    short = part[:, : part.shape[1] // 4]
    assert level_of(full).loudness is not None
    assert level_of(short).loudness == pytest.approx(level_of(part).loudness, abs=0.01)
    assert level_of(np.zeros((1, 48000), np.float32)) == Level(None, 0.0, silent=True)
    assert level_of(noise(1, rate=1000), rate=1000).loudness is None  # the filter makes no sense there


@pytest.mark.parametrize("channels", [3, 8, 16])
def test_any_number_of_channels(channels: int) -> None:
    loudness = level_of(noise(1, channels=channels)).loudness
    single = level_of(noise(1)).loudness
    assert loudness is not None and single is not None
    assert loudness == pytest.approx(single + 10 * np.log10(channels), abs=0.3)


@pytest.mark.parametrize(("target", "reached"), [(-30, -30), (-20, -20), (-3, None)])
def test_normalised_sound_has_the_loudness_and_never_clips(
    tmp_path: Path, target: float, reached: float | None
) -> None:
    x = noise(3, channels=2, gain=0.02)
    normalised = Normalised(np.array_split(x, 5, axis=1), 48000, 2, target, 90.0, tmp_path)
    y = np.concatenate(list(normalised), axis=1)
    np.testing.assert_allclose(y, x * normalised.gain, rtol=1e-6)
    level = level_of(y)
    assert level.peak <= CEILING * (1 + 1e-6)
    if reached is None:
        assert level.peak == pytest.approx(CEILING)
    else:
        assert level.loudness == pytest.approx(reached, abs=0.02)
    assert list(tmp_path.iterdir()) == []


def test_quiet_parts_that_a_gain_brings_above_the_gate_are_counted(tmp_path: Path) -> None:
    """4 s at -66 LUFS and 16 s at -73, below the gate: one gain by the first measurement would miss by 4.4 LU."""
    x = noise(20)
    loudness = level_of(x).loudness
    assert loudness is not None
    x[:, : 4 * 48000] *= 10 ** ((-66 - loudness) / 20)
    x[:, 4 * 48000 :] *= 10 ** ((-73 - loudness) / 20)
    assert level_of(x).loudness == pytest.approx(-66, abs=0.3)
    for target in (-40, -30):
        normalised = Normalised([x], 48000, 1, target, 90.0, tmp_path)
        y = np.concatenate(list(normalised), axis=1)
        np.testing.assert_allclose(y, x * normalised.gain, rtol=1e-6)
        reference = pyloudnorm.Meter(48000).integrated_loudness(y.T.astype(float))
        assert reference == pytest.approx(target, abs=0.2)
        once = level_of(x * np.float32(10 ** ((target - level_of(x).loudness) / 20))).loudness
        assert once == pytest.approx(target - 4.4, abs=0.4)


def test_silence_stays_silence(tmp_path: Path) -> None:
    normalised = Normalised([np.zeros((1, 9), np.float32)], 48000, 1, -16, 90.0, tmp_path)
    assert (np.concatenate(list(normalised), axis=1) == 0).all()
    assert normalised.gain == 1


@pytest.mark.parametrize("sizes", [[100], [3, 1, 6, 80, 2, 8], [1] * 100])
def test_fades_reach_the_ends_and_nothing_else(sizes: list[int]) -> None:
    x = np.ones((2, 100), np.float32)
    blocks = np.split(x, np.cumsum(sizes)[:-1], axis=1)
    y = np.concatenate(list(faded(blocks, 100, 10)), axis=1)
    assert (y[:, 10:90] == 1).all() and (x == 1).all()
    assert 0 < y[0, 0] < 0.01
    assert (np.diff(y[0, :10]) > 0).all()
    np.testing.assert_array_equal(y, y[:, ::-1])


def test_short_sounds_and_no_fade() -> None:
    x = np.ones((1, 5), np.float32)
    assert (next(faded([x], 5, 0)) == x).all()
    short = next(faded([x], 5, 100))
    assert short[0, 2] == 1 and short[0, 0] < short[0, 1] < 1


def test_a_loop_goes_on_over_its_seam() -> None:
    """A tone whose period does not divide the loop: no jump, no hole, neither at the cross-fade nor at the seam."""
    lead, samples, fade = 4000, 9973, 882
    whole = np.sin(np.arange(lead + samples + lead) * 2 * np.pi / 441)[np.newaxis].astype(np.float32)
    cut = np.concatenate(list(looped(np.array_split(whole, 13, axis=1), lead, samples, fade)), axis=1)
    assert cut.shape == (1, samples) and cut.dtype == np.float32
    np.testing.assert_array_equal(cut[:, : samples - fade], whole[:, lead : lead + samples - fade])
    twice = np.tile(cut, 2)[0]
    assert np.abs(np.diff(twice)).max() < 2.5 * np.abs(np.diff(whole[0])).max()
    quietest = np.sqrt(np.lib.stride_tricks.sliding_window_view(twice**2, 441).mean(axis=1)).min()
    assert quietest > 0.3


def test_what_is_silent_and_what_is_static_is_told() -> None:
    rng = np.random.default_rng(0)
    steady = 0.1 * rng.standard_normal((1, 44100 * 2)).astype(np.float32)
    moving = steady * (1 + np.sin(np.arange(steady.shape[1]) / 8000)).astype(np.float32)
    for sound, silent, static in (
        (steady, False, True),
        (moving, False, False),
        (0.001 * moving, True, False),
        (0.001 * steady, True, False),
        (steady[:, :300], False, False),
    ):
        meter = Meter(44100, 1)
        for block in np.array_split(sound, 5, axis=1):
            meter.add(block)
        assert (meter.level.silent, meter.level.static) == (silent, static)


def test_a_quiet_sound_is_raised_by_no_more_than_is_allowed(tmp_path: Path) -> None:
    sound = (1e-3 * np.random.default_rng(0).standard_normal((1, 44100))).astype(np.float32)
    for most in (6.0, 20.0):
        normalised = Normalised([sound], 44100, 1, -16.0, most, tmp_path)
        np.testing.assert_allclose(np.concatenate(list(normalised), axis=1), sound * 10 ** (most / 20), rtol=1e-5)
