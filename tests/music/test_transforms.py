"""Transforms: laws, golden sequences, the language of steps, random numbers, transforms of a user's own."""

import doctest
import itertools
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unravel_lib.errors import UsageError
from unravel_lib.music import rhythms, transforms
from unravel_lib.music.catalogue import TRANSFORMS
from unravel_lib.music.steps import parse_step, transformed, try_steps

OWN = {name: entry for name, entry in TRANSFORMS.items() if entry.source is None}
SEED = np.random.SeedSequence(3, spawn_key=(0, 2))
# one way to write each, with a loop of any length
WRITTEN = {
    "none": "none",
    "rev": "rev",
    "palindrome": "palindrome",
    "rot": "rot 2",
    "ply": "ply 3",
    "take": "take 2",
    "drop": "drop 2",
    "iter": "iter 4",
    "phase": "phase 2",
    "cycle": "cycle 3",
    "chop": "chop 3",
    "scramble": "scramble 3",
    "euclid": "euclid 3 8 1",
    "sieve": "sieve 3@0|5@2",
    "degrade": "degrade 0.4",
    "invert": "invert",
    "scale": "scale 0.5",
    "shift": "shift -1",
    "smooth": "smooth 4",
    "lfo": "lfo triangle 0.3 1",
    "echo": "echo 2 0.7",
    "every": "every 2 rev",
    "sometimes": "sometimes 0.5 rev",
    "dims": "dims 0 rev",
}
LONGER = ("palindrome", "ply", "take", "drop")  # or shorter


def place(dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Spread and centre of each dim."""
    return np.linspace(0.5, 2, dims), np.linspace(-1, 1, dims)


def on_letters(text: str, letters: str, n_loops: int = 1) -> str:
    """What a step makes of a loop of letters, as docstrings show it; loops are separated by a blank."""
    loop = np.array([[float(ord(letter))] for letter in letters])
    loops = [loop] * n_loops
    results = transformed(loops, [parse_step(text)], np.ones(1), loop.mean(axis=0), np.random.SeedSequence(0))
    return " ".join("".join(chr(round(value)) for value in result[:, 0]) for result in results)


def joined(loops: list[np.ndarray], *texts: str, seed: np.random.SeedSequence = SEED) -> list[np.ndarray]:
    """The loops behind the steps, one by one."""
    return list(transformed(loops, [parse_step(text) for text in texts], *place(loops[0].shape[1]), seed))


def one(loop: np.ndarray, *texts: str) -> np.ndarray:
    [result] = joined([loop], *texts)
    return result


frames = st.integers(1, 17)
loops_of = st.builds(
    lambda n, dims, seed: np.random.default_rng(seed).normal(size=(n, dims)), frames, st.integers(1, 4), st.integers(0)
)
small = st.integers(1, 9)


def test_every_transform_is_tried_here() -> None:
    assert list(WRITTEN) == list(OWN)


@pytest.mark.parametrize("module", [transforms, rhythms])
def test_examples_in_docstrings(module: ModuleType) -> None:
    found = doctest.testmod(module, extraglobs={"on_letters": on_letters})
    assert found.attempted > 0 and found.failed == 0


def test_every_transform_has_an_example_that_its_summary_shows() -> None:
    """The list shows the first line: "ABCD -> DCBA: ..." must be what the example makes."""
    for name, entry in OWN.items():
        examples = doctest.DocTestParser().get_examples(entry.function.__doc__ or "")
        assert examples, name
        if shown := re.match(r"[A-Z]+ -> ([A-Z ]+)[ :]", entry.summary):
            assert shown[1].strip() in examples[0].want.replace("', '", " "), name


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=15, deadline=None)
@given(loops_of)
def test_the_contract(name: str, loop: np.ndarray) -> None:
    """Any loop; same seed same bytes; the loop is not changed; and the length is kept, or not."""
    kept = loop.copy()
    loop.flags.writeable = False
    first, again = (joined([loop, loop, loop], WRITTEN[name]) for _ in range(2))
    assert len(first) == 3 and np.array_equal(loop, kept)
    for result, same in zip(first, again, strict=True):
        assert result.shape[1] == loop.shape[1] and len(result) and np.isfinite(result).all()
        assert result.tobytes() == same.tobytes()
        assert name in LONGER or len(result) == len(loop)


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=10, deadline=None)
@given(loops_of, st.integers(1, 4))
def test_a_repetition_is_the_same_as_its_loops(name: str, loop: np.ndarray, times: int) -> None:
    repeated = joined([loop] * times + [loop + 1], WRITTEN[name])
    each = joined([loop.copy() for _ in range(times)] + [loop + 1], WRITTEN[name])
    np.testing.assert_array_equal(np.concatenate(repeated), np.concatenate(each))


def test_what_does_not_vary_is_transformed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name in ("rev", "phase"):
        entry = TRANSFORMS[name]
        plain = entry.function
        monkeypatch.setitem(entry.__dict__, "function", lambda plain=plain, **k: calls.append(plain) or plain(**k))
    repeated = [np.ones((3, 1))] * 1000
    assert len(joined(repeated, "rev")) == 1000 and len(calls) == 1
    assert len(joined(repeated, "dims 0 phase 2")) == 1000
    assert len(calls) == 1001


# Laws


@settings(deadline=None)
@given(loops_of)
def test_identities(loop: np.ndarray) -> None:
    for texts in (("rev", "rev"), ("rot 0",), ("ply 1",), ("degrade 0",), ("scale 1",), ("shift 0",), ("smooth 1",)):
        np.testing.assert_allclose(one(loop, *texts), loop, atol=1e-12)
    for texts in (("every 3 ply 1",), ("sometimes 0 rev",), ("euclid 5 5",), ("sieve 1@0",), ("lfo sine 1 0",)):
        np.testing.assert_array_equal(one(loop, *texts), loop)
    np.testing.assert_allclose(one(loop, "invert", "invert"), loop, atol=1e-12)
    np.testing.assert_array_equal(one(loop, "palindrome", f"take {len(loop)}"), loop)
    np.testing.assert_allclose(one(loop, "echo 0 1"), loop, atol=1e-12)


@settings(deadline=None)
@given(loops_of, st.integers(-30, 30), st.integers(-30, 30))
def test_rotations_add(loop: np.ndarray, a: int, b: int) -> None:
    np.testing.assert_array_equal(one(loop, f"rot {a}", f"rot {b}"), one(loop, f"rot {a + b}"))
    np.testing.assert_array_equal(one(loop, f"rot {len(loop)}"), loop)


@settings(deadline=None)
@given(loops_of, small)
def test_lengths(loop: np.ndarray, n: int) -> None:
    assert len(one(loop, f"ply {n}")) == n * len(loop) and len(one(loop, "palindrome")) == 2 * len(loop)
    assert len(one(loop, f"take {n}")) == min(n, len(loop)) and len(one(loop, f"drop {n}")) == max(1, len(loop) - n)
    if n < len(loop):
        both = np.concatenate([one(loop, f"take {n}"), one(loop, f"drop {n}")])
        np.testing.assert_array_equal(both, loop)
    np.testing.assert_array_equal(one(loop, f"ply {n}")[::n], loop)


@settings(deadline=None)
@given(loops_of, st.sampled_from([n for n in WRITTEN if n not in ("dims", "every", "sometimes")]))
def test_wrappers_that_always_apply(loop: np.ndarray, name: str) -> None:
    """every 1 and sometimes 1 are the step, every 2 leaves the first loop; dims over all dims are the step."""
    text = WRITTEN[name]
    if "rng" in OWN[name].inputs:  # a wrapped step has random numbers of its own: compare what needs none
        text = text.replace("0.4", "1").replace("3", "1")
    plain = joined([loop, loop], text)
    np.testing.assert_array_equal(np.concatenate(joined([loop, loop], f"every 1 {text}")), np.concatenate(plain))
    np.testing.assert_array_equal(np.concatenate(joined([loop, loop], f"sometimes 1 {text}")), np.concatenate(plain))
    np.testing.assert_array_equal(one(loop, f"every 2 {text}"), loop)
    if name not in LONGER:
        whole = joined([loop, loop], f"dims 0-{loop.shape[1] - 1} {text}")
        np.testing.assert_allclose(np.concatenate(whole), np.concatenate(plain), atol=1e-12)


@settings(deadline=None)
@given(loops_of, small, st.integers(0))
def test_slices_keep_what_they_hold(loop: np.ndarray, parts: int, seed: int) -> None:
    """chop plays every frame once; scramble plays slices from the loop, on the borders of slices."""
    of = np.random.SeedSequence(seed)
    [chopped] = joined([loop], f"chop {parts}", seed=of)
    assert sorted(map(tuple, chopped)) == sorted(map(tuple, loop))
    [scrambled] = joined([loop], f"scramble {parts}", seed=of)
    size = max(1, len(loop) // parts)
    beginnings = {tuple(loop[i]) for i in range(0, size * min(parts, len(loop)), size)}
    places = range(0, size * min(parts, len(loop)), size)
    assert {tuple(scrambled[i]) for i in places} <= beginnings


@settings(deadline=None)
@given(loops_of, st.integers(-20, 20), st.floats(-3, 3))
def test_an_echo_keeps_mean_and_spread(loop: np.ndarray, delay: int, amount: float) -> None:
    result = one(loop, f"echo {delay} {amount}")
    np.testing.assert_allclose(result.mean(axis=0), loop.mean(axis=0), atol=1e-9)
    mixed = loop + amount * np.roll(loop, delay, axis=0)
    moving = mixed.std(axis=0) > 1e-6
    np.testing.assert_allclose(result.std(axis=0)[moving], loop.std(axis=0)[moving], rtol=1e-6, atol=1e-9)


def test_values() -> None:
    """Centre -1 and 1, standard deviation 0.5 and 2."""
    loop = np.array([[0.0, 2.0], [1.0, 5.0]])
    np.testing.assert_array_equal(one(loop, "invert"), [[-2, 0], [-3, -3]])
    np.testing.assert_array_equal(one(loop, "scale 2"), [[1, 3], [3, 9]])
    np.testing.assert_array_equal(one(loop, "shift -2"), [[-1, -2], [0, 1]])
    np.testing.assert_array_equal(one(loop, "dims 1 shift 1"), [[0, 4], [1, 7]])
    np.testing.assert_array_equal(one(loop, "dims 1- shift 1"), [[0, 4], [1, 7]])
    np.testing.assert_array_equal(one(np.array([[0.0], [3], [0], [3], [9]]), "smooth 3").ravel(), [4, 1, 2, 4, 4])


def test_smooth_is_a_circular_mean() -> None:
    loop = np.random.default_rng(0).normal(size=(7, 2))
    for width in (2, 3, 7, 16):
        before = width // 2
        expected = [np.mean([loop[(i + j - before) % 7] for j in range(width)], axis=0) for i in range(7)]
        np.testing.assert_allclose(one(loop, f"smooth {width}"), expected, atol=1e-12)


def test_an_lfo_runs_on_from_loop_to_loop() -> None:
    """Also through loops that another step has made longer: a third of a cycle each, as one sine."""
    loop = np.zeros((12, 1))
    result = np.concatenate(joined([loop] * 3, "lfo sine 0.25 2")).ravel()
    np.testing.assert_allclose(result, np.sin(2 * np.pi * np.arange(36) / 48), atol=1e-12)  # amount 2, std 0.5
    longer = np.concatenate(joined([loop[:6]] * 3, "ply 2", "lfo sine 0.25 2")).ravel()
    np.testing.assert_allclose(longer, result, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("triangle", [0, 0.5, 1, 0.5, 0, -0.5, -1, -0.5]),
        ("saw", [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75]),
        ("square", [1, 1, 1, 1, -1, -1, -1, -1]),
    ],
)
def test_shapes(shape: str, expected: list[float]) -> None:
    np.testing.assert_allclose(one(np.zeros((8, 1)), f"lfo {shape} 1 2").ravel(), expected, atol=1e-12)


GOLDEN = [
    ("rot 3", "ABCDE", 1, "DEABC"),
    ("rot -6", "ABCDE", 1, "EABCD"),
    ("drop 0", "ABC", 1, "ABC"),
    ("iter 3", "ABCDE", 4, "ABCDE BCDEA DEABC ABCDE"),  # 5/3 and 10/3, rounded down
    ("phase 1", "ABC", 4, "ABC BCA CAB ABC"),
    ("cycle 2", "ABCDE", 2, "ABABA BABAB"),
    ("cycle 7", "ABCDE", 3, "ABCDE ABABC DEABA"),  # longer than the loop: it begins again after 7
    ("euclid 3 8", "ABCDEFGHIJ", 1, "AAADDDGGII"),  # the rhythm begins again
    ("euclid 1 4 1", "ABCDEFGH", 1, "HHHDDDDH"),  # the last onset holds into the beginning
    ("sieve 5@4", "ABCD", 1, "AAAA"),  # nothing in the sieve
    ("sieve 3@1", "ABCDEFG", 1, "EBBBEEE"),
    ("every 3 palindrome", "AB", 4, "AB AB ABBA AB"),
    ("every 2 every 4 rev", "AB", 4, "AB AB AB BA"),
    ("every 2 dims 0 every 3 rev", "AB", 6, "AB AB AB AB AB BA"),
]


@pytest.mark.parametrize(("step", "letters", "n_loops", "expected"), GOLDEN)
def test_golden(step: str, letters: str, n_loops: int, expected: str) -> None:
    assert on_letters(step, letters, n_loops) == expected


def test_index_and_start_are_those_of_the_file() -> None:
    """Loops of several lengths and repetitions: cycle counts frames, every counts loops."""
    loops = [np.arange(n)[:, None] for n in (3.0, 5.0, 5.0, 2.0)]
    places = np.concatenate(joined(loops, "cycle 2")).ravel()
    np.testing.assert_array_equal(places, np.arange(15) % 2)
    third = joined(loops, "every 3 rev")
    assert [loop[0, 0] for loop in third] == [0, 0, 4, 0]


NECKLACES = [  # Toussaint 2005
    (2, 5, "x.x.."),
    (3, 4, "x.xx"),
    (3, 5, "x.x.x"),
    (3, 7, "x.x.x.."),
    (3, 8, "x..x..x."),
    (4, 7, "x.x.x.x"),
    (4, 9, "x.x.x.x.."),
    (4, 11, "x..x..x..x."),
    (5, 6, "x.xxxx"),
    (5, 7, "x.xx.xx"),
    (5, 8, "x.xx.xx."),
    (5, 9, "x.x.x.x.x"),
    (5, 12, "x..x.x..x.x."),
    (5, 16, "x..x..x..x..x..."),
    (7, 8, "x.xxxxxx"),
    (7, 12, "x.xx.x.xx.x."),
    (7, 16, "x..x.x.x..x.x.x."),
    (9, 16, "x.xx.x.x.xx.x.x."),
    (11, 24, "x..x.x.x.x.x..x.x.x.x.x."),
    (13, 24, "x.xx.x.x.x.x.xx.x.x.x.x."),
]


def text(onsets: np.ndarray) -> str:
    return "".join("x" if onset else "." for onset in onsets)


@pytest.mark.parametrize(("k", "n", "necklace"), NECKLACES)
def test_published_necklaces(k: int, n: int, necklace: str) -> None:
    """As necklaces: where they begin differs in the literature."""
    assert text(rhythms.bjorklund(k, n)) in necklace + necklace


@pytest.mark.parametrize(("k", "n", "exact"), [(3, 8, "x..x..x."), (5, 8, "x.xx.xx."), (7, 16, "x..x.x.x..x.x.x.")])
def test_beginnings_as_in_live_coding(k: int, n: int, exact: str) -> None:
    assert text(rhythms.bjorklund(k, n)) == exact


@given(st.integers(1, 40), st.integers(0, 40))
def test_bjorklund_is_even(k: int, more: int) -> None:
    """k onsets, the first on 0, and distances that differ by at most one step."""
    n = k + more
    onsets = np.flatnonzero(rhythms.bjorklund(k, n))
    assert len(onsets) == k and onsets[0] == 0
    distances = np.diff([*onsets, n])
    assert distances.max() - distances.min() <= 1


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("3@0", lambda i: i % 3 == 0),
        ("3@5", lambda i: i % 3 == 2),
        ("3@0|5@2", lambda i: i % 3 == 0 or i % 5 == 2),
        ("3@0&2@1", lambda i: i % 3 == 0 and i % 2 == 1),
        ("-3@0", lambda i: i % 3 != 0),
        ("2@0-6@0", lambda i: i % 2 == 0 and i % 6 != 0),
        ("-(2@0|3@0)", lambda i: not (i % 2 == 0 or i % 3 == 0)),
        ("2@0|3@1&4@3", lambda i: i % 2 == 0 or (i % 3 == 1 and i % 4 == 3)),
        ("2@0&-3@0|7@1", lambda i: (i % 2 == 0 and i % 3 != 0) or i % 7 == 1),
    ],
)
def test_sieves(expression: str, expected: object) -> None:
    assert rhythms.sieve(expression, 60).tolist() == [bool(expected(i)) for i in range(60)]  # type: ignore[operator]


# Random numbers


def test_each_step_has_random_numbers_of_its_own() -> None:
    """Steps before, behind or around change none; equal steps differ; files differ."""
    loop = np.arange(200.0)[:, None]
    alone = one(loop, "degrade 0.3")
    np.testing.assert_array_equal(one(loop, "sometimes 0 rev", "degrade 0.3"), alone)
    np.testing.assert_array_equal(one(loop, "degrade 0.0", "degrade 0.3"), alone)
    np.testing.assert_array_equal(one(loop, "degrade 0.3", "sometimes 0 rev"), alone)
    np.testing.assert_array_equal(one(loop, "every 2 degrade 0.3", "degrade 0.3"), alone)
    once, twice = (len(np.unique(one(loop, *["degrade 0.3"] * n))) for n in (1, 2))
    assert twice < 0.9 * once  # with the same random numbers, the second would find most of its frames held already
    other = joined([loop], "degrade 0.3", seed=np.random.SeedSequence(3, spawn_key=(1, 2)))[0]
    assert not np.array_equal(other, alone)


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_probabilities(probability: float) -> None:
    held = np.diff(one(np.arange(4000.0)[:, None], f"degrade {probability}").ravel()) == 0
    assert abs(held.mean() - probability) < 0.03
    loops = joined([np.array([[0.0], [1.0]])] * 4000, f"sometimes {probability} rev")
    assert abs(np.mean([loop[0, 0] for loop in loops]) - probability) < 0.03


# What is wrong is marked

WRONG = [
    ("revv", "transform revv is unknown.*did you mean rev", "^^^^", 0),
    ("every 4 revv", "did you mean rev", "^^^^", 8),
    ("every", "every has too few or too many arguments, expected every LOOPS STEP", "^^^^^", 0),
    ("every 4", "every has too few or too many arguments, expected every LOOPS STEP", "^", 6),
    ("every rev", "every has too few or too many arguments, expected every LOOPS STEP", "^^^", 6),
    ("rot", "expected rot FRAMES: put the words of a step in quotes", "^^^", 0),
    ("rot 1 2", "expected rot FRAMES: .* an argument has no blanks", "^", 6),
    ("rev dims 3 rev", "expected rev: .* quotes, each step in its own", "^^^^^^^^^^", 4),
    ("sieve 3@0 | 5@2", "expected sieve EXPRESSION: .* an argument has no blanks in it", "^^^^^", 10),
    ("rot x", "FRAMES is x, expected a whole number or onset", "^", 4),
    ("rot 1.5", "expected a whole number", "^^^", 4),
    ("rot onset", "needs all dims, and encodings with descriptors: encode them again", "^^^^^", 4),
    ("phase 99999999999", "at most 2,147,483,648", "^^^^^^^^^^^", 6),
    ("degrade nan", "expected a number of at most 2,147,483,648", "^^^", 8),
    ("lfo sin 1 1", "did you mean sine", "^^^", 4),
    ("degrade 1.5", "probability=1.5 is out of range, expected 0 to 1", "^^^", 8),
    ("sometimes -0.1 rev", "probability=-0.1 is out of range, expected 0 to 1", "^^^^", 10),
    ("every 0 rev", "loops=0 is out of range, expected 1 at least", "^", 6),
    ("dims 9 rev", "WHICH is 9, expected dims from 0 to 7", "^", 5),
    ("dims 3-1 rev", "expected dims from 0 to 7", "^^^", 5),
    ("dims 3-- rev", "expected dims from 0 to 7, such as 4-7", "^^^", 5),
    ("dims 9- rev", "expected dims from 0 to 7", "^^", 5),
    ("reverse", "did you mean rev", "^^^^^^^", 0),
    ("dims a rev", "expected dims from 0 to 7, such as 4-7", "^", 5),
    ("dims 0 ply 2", "changes the length of loops", "^", 5),
    ("dims 0 every 9 take 2", "changes the length of loops", "^", 5),
    ("euclid 9 8", "9 onsets in 8 steps", "^^^", 7),
    ("euclid 0 8", "at least 1 onset", "^^^", 7),
    ("every 4 euclid 9 8", "9 onsets in 8 steps", "^^^", 15),
    ("take 0", "frames=0 is out of range, expected 1 at least", "^", 5),
    ("drop -1", "expected 0 at least", "^^", 5),
    ("ply 0", "expected 1 at least", "^", 4),
    ("ply 200000", "10 frames become more than 1,000,000", "^^^^^^", 4),
    ("iter 0", "expected 1 at least", "^", 5),
    ("phase 0", "expected 1 at least", "^", 6),
    ("cycle 0", "expected 1 at least", "^", 6),
    ("chop 0", "expected 1 at least", "^", 5),
    ("scramble 0", "expected 1 at least", "^", 9),
    ("smooth 0", "expected 1 to 1,000,000", "^", 7),
    ("smooth 1000001", "frames=1000001 is out of range", "^^^^^^^", 7),
    ("euclid 9 10001", "10,001 steps, expected at most 10,000", "^^^^^^^", 7),
    ("sieve 3@0|", "is no sieve", "^^^^", 6),
    ("sieve 3", "is no sieve", "^", 6),
    ("sieve 0@1", "modulus 0", "^^^", 6),
    ("sieve " + "(" * 500, "is no sieve", "^" * 500, 6),
    ("scale 1e308", "expected a number of at most 2,147,483,648", "^^^^^", 6),
]


@pytest.mark.parametrize(("step", "message", "mark", "column"), WRONG, ids=[row[0][:30] for row in WRONG])
def test_wrong_steps(step: str, message: str, mark: str, column: int) -> None:
    wide = np.full(8, 10.0), np.zeros(8)
    with pytest.raises(UsageError, match=message) as caught:
        try_steps([parse_step(step)], 10, *wide)
    assert "\n" not in str(caught.value)
    assert caught.value.detail == f"    {step}\n    {' ' * column}{mark}"


def test_no_step_at_all() -> None:
    with pytest.raises(UsageError, match="is no step, expected a text such as every 4 rev"):
        parse_step("  ")


words = st.sampled_from([*OWN, "0", "1", "3", "-2", "0.5", "0-1", "0,1", "sine", "3@0|2@1", "x", "\x1b[31m", "é"])


@settings(max_examples=400, deadline=None)
@given(st.lists(words, max_size=7).map(" ".join), st.integers(1, 9), st.integers(1, 3))
def test_any_words_are_a_step_or_one_line(text: str, n_frames: int, dims: int) -> None:
    """And what passes the trial runs."""
    try:
        step = parse_step(text)
        try_steps([step], n_frames, *place(dims))
    except UsageError as error:
        assert str(error).isprintable()
        return
    assert all(result.shape[1] == dims for result in joined([np.ones((n_frames, dims))] * 3, text))


# Of one's own


def own_file(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text("import numpy as np\nfrom unravel_lib import transform\n" + text)
    return str(path)


def test_a_transform_of_ones_own(tmp_path: Path) -> None:
    file = own_file(
        tmp_path, "@transform\ndef up(loop, std, by: float = 1.0):\n    'Up.'\n    return loop + by * std\n"
    )
    loop = np.zeros((3, 2))
    np.testing.assert_array_equal(one(loop, f"{file}:up"), loop + np.array([0.5, 2]))
    np.testing.assert_array_equal(one(loop, f"dims 1 {file}:up 3"), loop + np.array([0, 6]))
    assert dict(TRANSFORMS.listing(f"{file}:up"))[f"{file}:up [BY]"] == "Up."
    assert "up [BY]" not in dict(TRANSFORMS.listing())


def test_a_wrapper_of_ones_own(tmp_path: Path) -> None:
    """It gets the step; its own arguments come first, also those with a default."""
    body = "    return step(loop) if loop[0, 0] > limit else loop\n"
    file = own_file(tmp_path, f"@transform\ndef loud(loop, step, limit: float = 0.0):\n{body}")
    loops = [np.array([[1.0], [2.0]]), np.array([[-1.0], [2.0]])]
    assert [loop.ravel().tolist() for loop in joined(loops, f"{file}:loud 0.5 rev")] == [[2, 1], [-1, 2]]


def test_start_counts_the_frames_that_are_played(tmp_path: Path) -> None:
    """Also behind loops that the step itself has made longer."""
    code = "@transform\ndef f(loop, start):\n    return np.concatenate([loop, loop]) * 0 + start\n"
    file = own_file(tmp_path, code)
    assert [x[0, 0] for x in joined([np.ones((3, 1))] * 3, f"{file}:f")] == [0, 6, 12]


def test_a_step_is_tried_on_the_dims_that_it_gets(tmp_path: Path) -> None:
    """Inside dims and a wrapper of one's own; also where its wrapper does not call it in the first loop."""
    turn = "@transform\ndef turn(loop):\n    return loop @ np.array([[0, 1], [-1, 0]])\n"
    pair = "@transform\ndef pair(loop, step):\n    loop[:, [0, 2]] = step(loop[:, [0, 2]], [0, 2])\n    return loop\n"
    file = own_file(tmp_path, turn + pair)
    for text in (f"dims 0-1 {file}:turn", f"every 3 dims 1,2 {file}:turn", f"{file}:pair {file}:turn"):
        try_steps([parse_step(text)], 4, *place(4))
    with pytest.raises(UsageError, match="expected dims from 0 to 1") as caught:
        try_steps([parse_step("dims 0-1 every 3 dims 3 shift 1")], 4, *place(4))
    assert caught.value.detail.splitlines()[1] == "    " + " " * 22 + "^"


def test_whole_numbers_and_halves_become_float64(tmp_path: Path) -> None:
    """A transform behind one that gives another dtype neither truncates nor fails."""
    code = "@transform\ndef whole(loop):\n    return loop.astype(int)\n"
    code += "@transform\ndef half(loop):\n    return loop.astype(np.float16)\n"
    file = own_file(tmp_path, code)
    loop = np.array([[0.0, 0], [3, 3]])
    for name in ("whole", "half"):
        np.testing.assert_allclose(one(loop, f"{file}:{name}", "smooth 2"), np.full((2, 2), 1.5))
        assert one(loop, f"{file}:{name}", "dims 0 shift 0.5")[0, 0] == 0.25


def test_dims_refuses_a_step_of_ones_own_that_changes_lengths(tmp_path: Path) -> None:
    """Also behind a wrapper that does not call it in the first loop."""
    file = own_file(tmp_path, "@transform\ndef f(loop, step):\n    return np.concatenate([loop, step(loop)])\n")
    assert len(one(np.zeros((4, 2)), f"{file}:f rev")) == 8
    for text in (f"dims 0 {file}:f rev", f"dims 0 every 9 {file}:f rev"):
        with pytest.raises(UsageError, match="changes the length of loops") as caught:
            try_steps([parse_step(text)], 4, *place(2))
        assert caught.value.detail.splitlines()[1] == "    " + " " * 5 + "^"


def test_in_place_work_of_ones_own_does_no_harm(tmp_path: Path) -> None:
    file = own_file(tmp_path, "@transform\ndef f(loop, index):\n    loop += index\n    return loop\n")
    loop = np.zeros((2, 1))
    assert [x.ravel().tolist() for x in joined([loop] * 3, f"{file}:f")] == [[0, 0], [1, 1], [2, 2]]
    assert not loop.any()


def test_random_numbers_of_ones_own_are_seeded(tmp_path: Path) -> None:
    file = own_file(tmp_path, "@transform\ndef f(loop, index):\n    return loop + np.random.rand()\n")
    first, again = (joined([np.zeros((2, 1))] * 2, f"{file}:f") for _ in range(2))
    np.testing.assert_array_equal(first, again)


FAILING = [
    ("@transform\ndef f(loop):\n    return 1 / 0\n", r"mine\.py line 5: ZeroDivisionError"),
    ("@transform\ndef f(loop):\n    return None\n", r"a loop holds object values"),
    ("@transform\ndef f(loop):\n    return loop / 0 * 0\n", r"not finite"),
    ("def f(loop):\n    return loop\n", r"put @transform \(from unravel_lib\) before a function"),
]


@pytest.mark.parametrize(("code", "message"), FAILING)
def test_errors_in_ones_own_transform(tmp_path: Path, code: str, message: str) -> None:
    file = own_file(tmp_path, code)
    with pytest.raises(UsageError, match=message) as caught:
        try_steps([parse_step(f"{file}:f")], 4, *place(2))
    assert "\n" not in str(caught.value) and "^" in caught.value.detail


def test_the_example_file() -> None:
    path = Path(__file__).parents[2] / "examples" / "my_transforms.py"
    assert on_letters(f"{path}:hocket 2", "ABCDE", n_loops=2) == "AACCE BBDDE"
    assert on_letters(f"{path}:stumble", "ABCD") in {"AABCD", "ABBCD", "ABCCD", "ABCDD"}


def test_no_two_names_differ_by_case_only() -> None:
    assert all(a.lower() != b.lower() for a, b in itertools.combinations(OWN, 2))
