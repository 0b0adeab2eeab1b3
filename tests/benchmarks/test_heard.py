"""The measures of what is heard, tested by damage: what a listener hears, they must hear."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import heard  # noqa: E402

RATE = 44100


@pytest.fixture(scope="module")
def loop() -> np.ndarray:
    """A recorded loop of drums, 6.5 s, mono."""
    sound, _ = soundfile.read(ROOT / "examples" / "audio" / "loop_compus.flac", always_2d=True)
    return sound.mean(axis=1)


def in_grains(sound: np.ndarray, seconds: float) -> np.ndarray:
    """The sound with its grains in random order, each faded by 2 ms."""
    size = round(seconds * RATE)
    grains = sound[: len(sound) // size * size].reshape(-1, size).copy()
    fade = np.linspace(0, 1, 88)
    grains[:, :88] *= fade
    grains[:, -88:] *= fade[::-1]
    return np.random.default_rng(0).permutation(grains).ravel()


@pytest.mark.parametrize("seconds", [0.046, 0.25])
def test_shuffled_grains_have_lost_the_beat(loop: np.ndarray, seconds: float) -> None:
    recorded = heard.rhythms(loop, RATE)
    shuffled = heard.rhythms(in_grains(loop, seconds), RATE)
    assert heard.beat_distance(recorded, recorded) == pytest.approx(0, abs=1e-9)
    assert heard.beat_distance(shuffled, recorded) > 0.4
    assert heard.steadiness(shuffled) < heard.steadiness(recorded) - 0.3


def test_a_loop_of_whole_beats_divides_and_another_does_not(loop: np.ndarray) -> None:
    """Clicks four to a loop; and at places that have nothing to do with each other."""
    places = np.zeros(2 * RATE)
    places[:: RATE // 2] = 1
    odd = np.zeros(2 * RATE)
    odd[np.random.default_rng(3).integers(0, 2 * RATE, 5)] = 1
    click = np.exp(-np.arange(2000) / 300) * np.random.default_rng(0).standard_normal(2000)
    even, uneven = (np.convolve(x, click)[: 2 * RATE] for x in (places, odd))
    assert heard.division(even, RATE) > 0.8
    assert heard.division(uneven, RATE) < 0.5
    assert heard.division(np.zeros(RATE), RATE) == 0


def test_silence_and_change_of_loudness(loop: np.ndarray) -> None:
    assert not heard.is_silent(loop[:5000], RATE)
    assert heard.is_silent(loop * 1e-3, RATE)
    swelling = loop * (0.1 + np.sin(np.arange(len(loop)) / len(loop) * np.pi))
    assert heard.change_of_loudness(swelling, RATE) > heard.change_of_loudness(loop, RATE) + 2


def test_equal_sounds_are_one_and_others_are_many(loop: np.ndarray) -> None:
    """The Vendi score of n equal sounds is 1, that of very different ones near n."""
    rng = np.random.default_rng(0)
    others = [np.convolve(rng.standard_normal(20000), rng.standard_normal(50) * 0.9 ** np.arange(50)) for _ in range(5)]
    assert heard.distinct([loop] * 5, RATE) == pytest.approx(1 / 5, abs=0.01)
    assert heard.distinct([loop, *others], RATE) > 0.7


def test_the_frechet_distance_hears_a_filter_but_no_order(loop: np.ndarray) -> None:
    darker = np.convolve(loop, np.ones(20) / 20)
    assert heard.mel_frechet([darker], [loop], RATE) > 10 * heard.mel_frechet([in_grains(loop, 0.25)], [loop], RATE)
