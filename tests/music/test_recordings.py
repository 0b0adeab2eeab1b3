"""What recordings are worth a loop, where loops begin, and their time."""

import numpy as np
import numpy.typing as npt
import pytest

import unravel_lib as unravel
from unravel_lib.errors import UsageError
from unravel_lib.music.recordings import GOLDEN, Recordings, first_place, loudness_of, period_of, stretched
from unravel_lib.statistics.measure import Encoding, Statistics, measure

Array = npt.NDArray[np.float64]
RATE = 20.0  # frames a second


def beats(n_frames: int, period: float, seed: int = 0, dims: int = 3) -> Array:
    """A recording [dims, n] that is struck every `period` frames and decays, with noise."""
    rng = np.random.default_rng(seed)
    phase = np.arange(n_frames) % period
    course = np.exp(-phase / 4)
    return np.outer(rng.uniform(1, 2, dims), course) + 0.05 * rng.standard_normal((dims, n_frames))


def with_descriptors(recorded: list[Array], loudness: list[Array]) -> Statistics:
    """Statistics of recordings whose loudness is known; the other descriptors follow it."""
    encodings = tuple(
        Encoding(latents, np.stack([loud, loud / 10 + 12, np.maximum(0, np.diff(loud, prepend=loud[0]))]), f"take {i}")
        for i, (latents, loud) in enumerate(zip(recorded, loudness, strict=True))
    )
    return measure(encodings, frame_rate=RATE)


@pytest.mark.parametrize("period", [10.0, 23.4, 40.0])
def test_a_period_is_found_to_a_fraction_of_a_frame(period: float) -> None:
    found = period_of(beats(400, period).T, RATE)
    assert found is not None and found / period == pytest.approx(round(found / period), abs=0.01) and found < 3 * period


def test_what_has_no_period_gets_none() -> None:
    """Catches: a peak of noise, or a slope, taken for a beat; a recording shorter than one and a half periods."""
    rng = np.random.default_rng(0)
    assert period_of(rng.standard_normal((400, 3)).cumsum(axis=0), RATE) is None
    assert period_of(rng.standard_normal((400, 3)), RATE) is None
    assert period_of(np.exp(-np.arange(200) / 30)[:, np.newaxis], RATE) is None
    assert period_of(beats(50, 40.0).T, RATE) is None
    assert period_of(np.ones((100, 2)), RATE) is None


@pytest.mark.parametrize("factor", [0.81, 0.98, 1.0, 1.03, 1.23])
def test_stretching_leaves_attacks_alone(factor: float) -> None:
    frames = beats(200, 20.0).T
    places = stretched(frames, factor)
    assert len(places) == round(200 * factor) and (np.diff(places) >= 0).all() and (np.diff(places) <= 3).all()
    attacks = np.arange(20, 200, 20)
    assert np.isin(attacks, places).all() and (np.bincount(places, minlength=200)[attacks] == 1).all()


def test_loops_begin_evenly_over_the_recordings_whatever_the_number_of_files() -> None:
    """Recordings by their share of what is loud; each file's place depends on its number only."""
    loud = [np.full(300, -20.0), np.concatenate([np.full(100, -20.0), np.full(200, -70.0)]), np.full(300, -70.0)]
    recordings = Recordings(with_descriptors([beats(300, 20.0, seed) for seed in range(3)], loud))
    every = [True] * 3
    places = [(first_place(1) + i * GOLDEN) % 1 for i in range(80)]
    names = [recordings.moment_at(place, False, every)[0].name for place in places]
    assert [names.count(f"take {n}") for n in range(3)] == pytest.approx([60, 20, 0], abs=3)
    roots = [recordings.moment_at(place, True, every)[0].name for place in places]
    assert roots.count("take 1") > 25  # the square root of a third
    assert len({first_place(seed) for seed in range(9)}) == 9


def test_silence_is_no_part_of_loops() -> None:
    """Every loop of recordings that are mostly silent is loud somewhere."""
    envelope = np.where(np.arange(300) % 100 < 20, -20.0, -70.0)
    recorded = [beats(300, 20.0, seed) * 10 ** (envelope / 40) for seed in range(3)]
    statistics = with_descriptors(recorded, [envelope] * 3)
    everything = np.concatenate(recorded, axis=1)
    loud = np.abs(everything[:, np.tile(envelope, 3) > -70])
    for name in ("retrace", "oracle", "excerpt"):
        for seed in range(30):
            ring = unravel.draw(name, statistics, 11, seed)
            assert np.abs(ring).max() > np.quantile(loud, 0.2), (name, seed)
    silent = with_descriptors(recorded, [np.full(300, -70.0)] * 3)  # where there is nothing else, silence is used
    assert unravel.draw("retrace", silent, 11).shape == (11, 3)


@pytest.mark.parametrize("name", ["retrace", "excerpt", "oracle"])
def test_in_time_the_recorded_beats_fill_the_loop(name: str) -> None:
    """A recording of 20 frames a beat fills loops of 44 and 88 frames with beats of 22."""
    statistics = measure([beats(400, 20.0)], frame_rate=RATE)
    notes: list[str] = []

    def struck(n_frames: int, in_time: bool) -> float:
        """Correlation of the loop with itself, half of it later."""
        ring = unravel.draw(name, statistics, n_frames, 0, place=0.3, in_time=in_time, note=notes.append)[:, 0]
        return float(np.corrcoef(ring, np.roll(ring, n_frames // 2))[0, 1])

    assert struck(44, True) > 0.8 and struck(88, True) > 0.8
    assert struck(44, False) < struck(44, True) - 0.2
    assert notes[0] == "recording 0: 2 beats of 1.00 s stretched by 1.10"
    assert len(notes) == 3  # none where no tempo was asked for


@pytest.mark.parametrize(("n_frames", "period"), [(400, 12.43), (120, 30.47)])
def test_the_beat_does_not_drift_however_often_it_jumps(n_frames: int, period: float) -> None:
    """Catches: periods rounded to frames at each jump, and jumps out of time where no moment is a period away."""
    turns = np.exp(-2j * np.pi * np.arange(240) / period)
    statistics = measure([beats(n_frames, period)], frame_rate=RATE)
    for seed in range(5):
        ring = unravel.draw("retrace", statistics, 240, seed, jump_seconds=0.1)[:, 0]
        assert np.abs(ring @ turns) > 0.78 * np.abs(beats(240, period)[0] @ turns)


@pytest.mark.parametrize("name", ["retrace", "oracle"])
def test_rests_are_part_of_a_rhythm(name: str) -> None:
    """Catches: silence in a bar left out, as silence elsewhere is, so that the beat is lost; silent short loops."""
    loud = np.where(np.arange(300) % 30 < 9, -20.0, -70.0)
    statistics = with_descriptors([beats(300, 30.0)], [loud])
    turns = np.exp(-2j * np.pi * np.arange(120) / 30)
    for seed in range(5):
        ring = unravel.draw(name, statistics, 120, seed)[:, 0]
        assert np.abs(ring @ turns) > 0.75 * np.abs(beats(120, 30.0)[0] @ turns)
        assert unravel.draw(name, statistics, 10, seed)[:, 0].max() > 0.2


def test_wishes_are_followed_by_what_is_loud_then() -> None:
    loud = [np.full(300, -40.0 + 10 * seed) for seed in range(3)]
    recorded = [beats(300, 20.0, seed) + 3.0 * seed for seed in range(3)]
    statistics = with_descriptors(recorded, loud)
    ring = unravel.draw("retrace", statistics, 120, wishes="loudness 0 1 0")
    middle, ends = ring[50:70].mean(), np.concatenate([ring[:10], ring[-10:]]).mean()
    assert middle > ends + 2
    notes: list[str] = []
    last = unravel.draw("retrace", statistics, 9, place=1, in_time=True, wishes="loudness 1", note=notes.append)
    assert last.shape == (9, 3) and notes == ["steered: the loop goes through all recordings, not fitted to the tempo"]
    plan = unravel.Composition(statistics, "oracle", {}, "loop", {}, 9, 1, seed=1, wishes="loudness 1")
    assert plan.wishes["loudness"].tolist() == [1.0]
    with pytest.raises(UsageError, match="steering needs the descriptors of all recordings"):
        unravel.draw("oracle", measure(recorded), 9, wishes=["loudness 1"])
    for text, expected in (
        ("loud 1", "did you mean loudness"),
        ("loudness", "needs ranks"),
        ("attack 2", "needs ranks"),
    ):
        with pytest.raises(UsageError, match=expected):
            unravel.draw("retrace", statistics, 9, wishes=text)
    with pytest.raises(UsageError, match="distribution walk takes no wishes: take retrace or oracle"):
        unravel.draw("walk", statistics, 9, wishes="loudness 1")


def test_mosaic_follows_the_course_of_its_target() -> None:
    """In like material it is the target itself; in other material its order of low and high."""
    recorded = [beats(200, 20.0, seed) for seed in range(2)]
    statistics = measure(recorded)
    target = recorded[1].T[40:100]
    same = unravel.draw("mosaic", statistics, 60, target=target, match="none")
    np.testing.assert_allclose(same, target, atol=1e-9)
    other = unravel.draw("mosaic", statistics, 60, target=100 * target + 7)
    assert np.corrcoef(other[:, 0], target[:, 0])[0, 1] > 0.8
    varied = [unravel.draw("mosaic", statistics, 60, seed, target=target, vary=0.5) for seed in (1, 2)]
    assert not np.array_equal(*varied)
    assert unravel.draw("mosaic", statistics, 90, target=target).shape == (90, 3)
    with pytest.raises(UsageError, match=r"the target has shape \(60, 2\), expected \(frames, 3\)"):
        unravel.draw("mosaic", statistics, 60, target=target[:, :2])
    with pytest.raises(UsageError, match="needs a target"):
        unravel.draw("mosaic", statistics, 60)


def test_frames_are_as_loud_as_the_recorded_ones_nearest_to_them() -> None:
    latents = np.tile([0.0, 1.0, 5.0], 4)[np.newaxis]
    descriptors = np.tile(np.float32([-60, -20, -10]), (3, 4))
    known = measure([Encoding(latents, descriptors)])
    assert loudness_of(np.array([[0.1], [4.0], [1.2]]), known) == pytest.approx([-60, -10, -20])
    assert loudness_of(np.zeros((1, 1)), measure([latents])) is None
    mixed = measure([*known.encodings, Encoding(latents + 100)])
    assert loudness_of(np.zeros((1, 1)), mixed) is None  # else all would be as loud as what is known
