"""Loudness, brightness and attack of each frame of a sound."""

import numpy as np
import pyloudnorm
import pytest

from unravel_lib.audio.descriptors import ATTACK, BRIGHTNESS, LOUDNESS, Describer, describe

RATE = 44100


def noise(seconds: float, seed: int = 0, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, int(seconds * RATE)))


def tone(hertz: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("sound", [noise(3), noise(3, channels=2), tone(60), tone(997), tone(9000)])
def test_loudness_is_that_of_the_standard(sound: np.ndarray) -> None:
    """Catches: no weighting by frequency, channels averaged, amplitude for power."""
    wanted = pyloudnorm.Meter(RATE).integrated_loudness(np.atleast_2d(sound).T)
    inside = describe(sound, RATE, 2048)[LOUDNESS, 2:-2]
    assert 10 * np.log10(np.mean(10 ** (inside.astype(float) / 10))) == pytest.approx(wanted, abs=0.3)


@pytest.mark.parametrize("rate", [22050, 44100, 96000])
def test_brightness_is_the_frequency_of_a_tone_at_any_rate(rate: int) -> None:
    for hertz in (200.0, 3000.0):
        found = describe(tone(hertz, rate=rate), rate, 2048)[BRIGHTNESS, 4:-4]
        assert found == pytest.approx(np.log2(hertz), abs=0.3)


def test_an_attack_is_in_the_frame_where_it_is() -> None:
    for compression in (512, 2048):
        sound = np.zeros(RATE)
        onset = 20 * 1024
        sound[onset:] = noise(1)[0, : RATE - onset]
        attacks = describe(sound, RATE, compression)[ATTACK]
        assert abs(int(attacks.argmax()) - onset // compression) <= 2048 // compression
        assert attacks[: onset // compression - 4 * 2048 // compression].max() == 0
        assert attacks.max() > 5 * np.sort(attacks)[-10 * 2048 // compression]


@pytest.mark.parametrize("compression", [64, 512, 2048, 8192])
@pytest.mark.parametrize("samples", [1, 2047, 30000])
def test_in_blocks_as_in_one_call_a_column_per_frame(compression: int, samples: int) -> None:
    sound = noise(1, channels=2)[:, :samples]
    whole = describe(sound, RATE, compression)
    assert whole.shape == (3, -(-samples // compression)) and whole.dtype == np.float32
    assert np.isfinite(whole).all() and (whole[LOUDNESS] >= -70).all()
    describer = Describer(RATE, compression, channels=2)
    blocks = list(describer.follow(np.array_split(sound, 7, axis=1)))
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), sound)
    np.testing.assert_array_equal(describer.result(whole.shape[1]), whole)


def test_latents_that_are_late_have_descriptors_that_are_late() -> None:
    sound = noise(1)
    describer = Describer(RATE, 2048)
    describer.add(sound)
    late = describer.result(25, delay=3 * 2048 + 100)
    np.testing.assert_array_equal(late[:, 3:], describe(sound, RATE, 2048)[:, :22])
    assert (late[LOUDNESS, :3] == -70).all()
