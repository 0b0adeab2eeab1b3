"""Patterns: what each makes, against straightforward reference code; the contract; patterns of a user's own."""

import doctest
import importlib
import itertools
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unravel_lib as unravel
from unravel_lib.errors import InputError, UsageError
from unravel_lib.music import patterns
from unravel_lib.music.catalogue import PATTERNS
from unravel_lib.music.patterns import Piece, Repeat, loops_of

OWN = [name for name, entry in PATTERNS.items() if entry.source is None]
DIRECTIONS = ("forward", "inverted", "mirrored", "mirror-inverted")


@dataclass(frozen=True)
class Material:
    """The inputs of a pattern, and the seed of its random numbers."""

    loops: Callable[[int], np.ndarray]
    n_loops: int
    std: np.ndarray
    seed: np.random.SeedSequence


def material(k: int = 3, dims: int = 2, r: int = 2, seed: int = 5) -> Material:
    """A and B with every value different from all others, and easy to read: A 0.., B 100.."""
    a = np.arange(k * dims, dtype=float).reshape(k, dims)
    return Material([a, a + 100].__getitem__, r, np.linspace(0.1, 0.2, dims), np.random.SeedSequence(seed))


def whole(name: str, of: Material, *options: str) -> np.ndarray:
    entry = PATTERNS.find(name)
    return joined(loops_of(entry, entry.read_options(options), **vars(of)), len(of.std))


def joined(loops: Iterable[np.ndarray], dims: int) -> np.ndarray:
    return Piece.of(loops, dims).frames


def reference(name: str, of: Material, **options: Any) -> np.ndarray:
    """Each pattern in the plainest way, frame by frame and value by value."""
    a, b, r = of.loops(0).copy(), of.loops(1).copy(), of.n_loops
    k, dims = a.shape
    rng = np.random.default_rng(np.random.SeedSequence(of.seed.entropy))
    out: list[np.ndarray] = []
    if name == "loop":
        out = [row for _ in range(r) for row in a]
    elif name == "fibo":
        numbers = [1, 2]
        while numbers[-1] <= k:
            numbers.append(numbers[-1] + numbers[-2])
        out = [row for _ in range(r) for n in numbers if n <= k for row in a[:n]]
    elif name == "orale":
        offsets = options.get("amount", 0.25) * rng.uniform(-of.std, of.std, (options.get("levels", 2), dims))
        part = a
        for offset in offsets:
            part = np.concatenate([part, part, part, part + offset])
        out = [row for _ in range(r) for row in part]
    elif name == "blender":
        frames, columns = list(range(k)), list(range(dims))
        direction = options.get("direction", "forward")
        frames = frames[::-1] if "inverted" in direction else frames
        columns = columns[::-1] if "mirror" in direction else columns
        out = [row.copy() for _ in range(r) for row in a]
        for frame, dim in itertools.product(frames, columns):
            a[frame, dim] = b[frame, dim]
            out += [row.copy() for _ in range(r) for row in a]
    elif name == "swapper":
        for _ in range(k):
            frame, dim = rng.integers(k), rng.integers(dims)
            a[frame, dim], b[frame, dim] = b[frame, dim], a[frame, dim]
            out += [row.copy() for _ in range(r) for row in a]
    elif name == "form":
        out = [row for letter in options.get("form", "AABA") for _ in range(r) for row in (a if letter == "A" else b)]
    elif name == "morph":
        steps = options.get("steps", 4)
        out = [row for i in range(steps + 1) for _ in range(r) for row in a + (b - a) * i / steps]
    return np.stack(out)


@pytest.mark.parametrize("name", OWN)
def test_every_pattern_keeps_the_contract(name: str) -> None:
    """Shape, dtype, finite, same seed same bytes, inputs untouched; and a longer loop never makes it shorter."""
    for k, dims, r in [(1, 1, 1), (1, 8, 3), (4, 3, 2), (13, 16, 4)]:
        of = material(k, dims, r)
        given_values = of.loops(0), of.loops(1), of.std
        before = [array.copy() for array in given_values]
        for array in given_values:
            array.flags.writeable = False
        result = whole(name, of)
        assert (result.ndim == 2 and result.shape[1] == dims and len(result) >= k * r) or name == "fibo"
        assert result.dtype == np.float64 and np.isfinite(result).all()
        assert whole(name, of).tobytes() == result.tobytes()
        assert all(np.array_equal(x, y) for x, y in zip(before, given_values, strict=True))
        entry = PATTERNS.find(name)
        assert entry.summary and not entry.summary.startswith("(no")


@pytest.mark.parametrize("name", OWN)
def test_built_in_functions_change_nothing_they_are_given(name: str) -> None:
    """Also when called directly, as a user's own pattern may do."""
    of = material()
    everything = {**vars(of), "loop": of.loops(0), "loop_b": of.loops(1), "rng": np.random.default_rng(of.seed)}
    given_values = {n: everything[n] for n in PATTERNS[name].inputs}
    kept = {n: v.copy() for n, v in given_values.items() if isinstance(v, np.ndarray)}
    loops = list(PATTERNS[name].function(**given_values))
    assert loops and all(np.array_equal(given_values[n], v) for n, v in kept.items())
    arrays = [np.tile(loop.loop, (loop.times, 1)) if isinstance(loop, Repeat) else loop for loop in loops]
    assert np.array_equal(joined(arrays, 2), whole(name, of))  # loops are not changed afterwards either


sizes = st.tuples(st.integers(1, 14), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**40))


@settings(max_examples=40, deadline=None)
@given(sizes, st.sampled_from(OWN))
def test_against_the_reference(size: tuple[int, int, int, int], name: str) -> None:
    of = material(*size)
    np.testing.assert_allclose(whole(name, of), reference(name, of), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(sizes, st.sampled_from(DIRECTIONS), st.integers(1, 4))
def test_options_against_the_reference(size: tuple[int, int, int, int], direction: str, levels: int) -> None:
    of = material(*size)
    found = whole("blender", of, f"direction={direction}")
    np.testing.assert_array_equal(found, reference("blender", of, direction=direction))
    np.testing.assert_array_equal(found[-len(of.loops(1)) :], of.loops(1))
    found = whole("orale", of, f"levels={levels}")
    np.testing.assert_allclose(found, reference("orale", of, levels=levels), atol=1e-12)


def test_the_boundaries_of_loops_stay() -> None:
    """What a pattern yields are loops, until they are written: none is joined, none is cut."""
    of = material(3, 2, 2)
    lengths = {"loop": {3}, "fibo": {1, 2, 3}, "orale": {3}, "blender": {3}, "swapper": {3}, "form": {3}, "morph": {3}}
    for name, wanted in lengths.items():
        loops = loops_of(PATTERNS[name], PATTERNS[name].complete({}), **vars(of))
        assert {len(loop) for loop in loops} == wanted, name


def test_examples_in_docstrings() -> None:
    found = doctest.testmod(patterns, extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize(
    ("direction", "changed"),
    [
        ("forward", [100, 1, 2, 3]),
        ("inverted", [0, 1, 102, 3]),
        ("mirrored", [0, 101, 2, 3]),
        ("mirror-inverted", [0, 1, 2, 103]),
    ],
)
def test_blender_golden(direction: str, changed: list[int]) -> None:
    """2 frames x 2 dims: A is [0 1], [2 3]; which value becomes B's (+ 100) first tells the direction."""
    result = whole("blender", material(2, 2, 1), f"direction={direction}")
    assert result[:2].ravel().tolist() == [0, 1, 2, 3]
    assert result[2:4].ravel().tolist() == changed


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("orale", ["levels"], "not name=value"),
        ("orale", ["levels=x"], "has levels=x, expected a whole number"),
        ("orale", ["levels=2.5"], "expected a whole number"),
        ("orale", ["level=2"], "has no option level: it takes levels, amount; did you mean levels"),
        ("loop", ["levels=2"], "it takes none"),
        ("loop", ["n_loops=2"], "it takes none"),
        ("blender", ["direction=mirord"], "forward, inverted, mirrored, mirror-inverted; did you mean mirrored"),
    ],
)
def test_wrong_options_are_told(name: str, options: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        PATTERNS[name].read_options(options)


@pytest.mark.parametrize("levels", [0, -1, 13])
def test_levels_out_of_range(levels: int) -> None:
    with pytest.raises(UsageError, match=r"pattern orale: levels=.* out of range"):
        whole("orale", material(), f"levels={levels}")


@pytest.mark.parametrize("name", ["blend", "no", ""])
def test_unknown_pattern(name: str) -> None:
    hint = "did you mean blender" if name == "blend" else "choose from loop"
    with pytest.raises(UsageError, match=hint):
        PATTERNS.find(name)


def test_two_loops_are_not_arranged_as_three() -> None:
    with pytest.raises(UsageError, match="pattern form takes 3 loops here, expected 2 at most"):
        patterns.arrange("form", np.ones((3, 2)), form="ABC")


def own_file(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text("import numpy as np\nfrom unravel_lib import Repeat, pattern\n" + text)
    return str(path)


STUTTER = '''
@pattern
def stutter(loop, n_loops, times: int = 2):
    """Every frame several times."""
    return np.tile(np.repeat(loop, times, axis=0), (n_loops, 1))
'''


def test_a_pattern_of_ones_own(tmp_path: Path) -> None:
    file = own_file(tmp_path, STUTTER)
    assert whole(f"{file}:stutter", material(2, 1, 2), "times=3").ravel().tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert PATTERNS.find(f"{file}:stutter").summary == "Every frame several times."
    assert "stutter" not in dict(PATTERNS.listing())
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]  # nothing is written beside it


def test_own_pattern_may_change_its_arrays_and_share_names(tmp_path: Path) -> None:
    """In-place work does no harm, and a user's `loop` does not take the place of ours."""
    file = own_file(
        tmp_path, "@pattern\ndef loop(loop, loop_b):\n    loop += loop_b\n    yield loop\n    yield loop * 0\n"
    )
    of = material(2, 1, 1)
    for _ in range(2):
        assert whole(f"{file}:loop", of).ravel().tolist() == [100, 102, 0, 0]
    assert whole("loop", of).ravel().tolist() == [0, 1]


def test_own_pattern_may_give_an_array_again_that_it_has_changed(tmp_path: Path) -> None:
    """Each time it is another loop, also for the steps behind it, also where a transform does the same."""
    code = "@pattern\ndef f(loop):\n    for _ in range(3):\n        yield loop\n        loop += 1\n"
    code += "from unravel_lib import transform\nbuffer = np.zeros((2, 1))\n"
    code += "@transform\ndef same(loop):\n    buffer[:] = loop\n    return buffer\n"
    file = own_file(tmp_path, code)
    made = unravel.arrange(f"{file}:f", np.array([[0.0], [5.0]]), transform=[f"{file}:same", "rev"])
    assert made.ravel().tolist() == [5, 0, 6, 1, 7, 2]


def test_own_pattern_may_return_or_yield_repeats(tmp_path: Path) -> None:
    """A repetition is checked as a loop is."""
    text = "@pattern\ndef f(loop, n_loops):\n    return Repeat(loop, n_loops)\n"
    assert whole(f"{own_file(tmp_path, text)}:f", material(2, 1, 3)).ravel().tolist() == [0, 1] * 3
    for wrong, message in [("loop[:, :1], 2", "a loop has shape"), ("loop, 1.5", "TypeError")]:
        file = own_file(tmp_path, f"@pattern\ndef f(loop):\n    yield Repeat({wrong})\n")
        with pytest.raises(UsageError, match=rf"mine\.py line \d: {message}"):
            whole(f"{file}:f", material())


def test_option_types(tmp_path: Path) -> None:
    file = own_file(
        tmp_path,
        "from typing import Literal\n@pattern\ndef f(loop, a: float, b: bool = False, c='x', d=3, e: str = 'q', *, "
        "g: Literal['u', 'v'] = 'u'):\n    return loop\n",
    )
    entry = PATTERNS.find(f"{file}:f")
    assert entry.read_options(["a=1e-3", "b=yes", "c=a=b", "d=-4", "g=v"]) == {
        "a": 0.001,
        "b": True,
        "c": "a=b",
        "d": -4,
        "e": "q",
        "g": "v",
    }
    for wrong, message in [
        (["a=nan"], "a number of at most"),
        (["a=1", "b=perhaps"], "yes or no"),
        ([], "pattern f needs a=float: pattern_args"),
    ]:
        with pytest.raises(UsageError, match=message):
            entry.read_options(wrong)


FAILING = [
    ("@pattern\ndef f(loop):\n    x = loop[\n", r"line 5: SyntaxError"),
    ("import nowhere_to_be_found\n", r"line 3: ModuleNotFoundError"),
    ("@pattern\ndef f(loop):\n    return 1 / 0\n", r"line 5: ZeroDivisionError: division by zero"),
    ("@pattern\ndef f(loop):\n    yield loop\n    raise ValueError('too\\nodd')\n", r"line 6: too odd"),
    ("def g(x):\n    return x[99]\n@pattern\ndef f(loop):\n    return g(loop)\n", r"line 4: IndexError"),
    ("@pattern\ndef f(loop):\n    return loop[:, :1]\n", r"shape \(3, 1\), expected \(frames, 2\)"),
    ("@pattern\ndef f(loop):\n    return loop.astype(str)\n", r"<U32 values, expected real numbers"),
    ("import sys\nsys.exit()\n", r"line 4: SystemExit$"),
    ("import sys\n@pattern\ndef f(loop):\n    yield loop\n    sys.exit(0)\n", r"line 7: SystemExit: 0$"),
    ("@pattern\ndef f(loop):\n    return None\n", r"mine.py line \d: TypeError"),
    ("@pattern\ndef f(loop):\n    return loop / 0\n", r"not finite"),
    (
        "@pattern\ndef f(loop, *rest):\n    return loop\n",
        r"line 3: TypeError: pattern f: \*rest cannot be given",
    ),
    ("@pattern\ndef f(loop, x: list = ()):\n    return loop\n", r"line 3: TypeError: option x is of type list"),
    ("def f(loop):\n    return loop\n", r"put @pattern"),
    ("@pattern\ndef other(loop):\n    return loop\n", r"choose from other"),
]


@pytest.mark.parametrize(("text", "message"), FAILING)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_errors_in_ones_own_pattern_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    file = own_file(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        whole(f"{file}:f", material())
    assert "\n" not in str(caught.value)


OTHER_CHANCE = """
import random
table = np.random.rand(3)
@pattern
def f(loop):
    return loop * np.random.rand(*loop.shape) * random.random() * table[:, None]
"""


def test_own_pattern_that_turns_to_the_chance_of_all(tmp_path: Path) -> None:
    """np.random and random: same seed, same bytes, whatever was drawn before; another seed makes others."""
    name = f"{own_file(tmp_path, OTHER_CHANCE)}:f"
    results = []
    for seed in (1, 1, 2):
        np.random.rand()
        results.append(whole(name, material(seed=seed)))
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


HELPED = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from unravel_lib import pattern
from {helper} import twice
@dataclass
class Step:
    size: int | None = None
@pattern
def f(loop, times: int = 1):
    "Twice."
    from {helper} import late
    return late(twice(loop), Step(times))
"""


def test_own_pattern_file_is_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dataclasses and imports from the file's folder work, then and later; no bytecode is left there."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    helper = f"helper_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{helper}.py").write_text("def twice(x):\n    return x * 2\ndef late(x, step):\n    return x\n")
    (tmp_path / "mine.py").write_text(HELPED.format(helper=helper))
    assert whole(f"{tmp_path / 'mine.py'}:f", material(2, 1, 1)).ravel().tolist() == [0, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"mine.py", f"{helper}.py"}


def test_a_file_beside_ones_own_pattern_takes_no_librarys_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('not the library')\n")
    PATTERNS.find(f"{own_file(tmp_path, STUTTER)}:stutter")
    assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_listing_of_ones_own_file(tmp_path: Path) -> None:
    file = own_file(tmp_path, STUTTER)
    for chosen in (f"{file}:stutter", f"{file}:typo", file):
        listed = dict(PATTERNS.listing(chosen))
        assert listed[f"{file}:stutter"] == "Every frame several times. [times=int, default 2]"
        assert set(OWN) < set(listed)
    assert f"{file}:stutter" not in dict(PATTERNS.listing("loop"))
    with pytest.raises(InputError, match="cannot be read"):
        PATTERNS.listing(str(tmp_path / "nowhere.py:f"))


def test_missing_or_unnamed_pattern_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        PATTERNS.find(str(tmp_path / "nowhere.py:f"))
    with pytest.raises(UsageError, match="is not in that file: choose from stutter"):
        PATTERNS.find(own_file(tmp_path, STUTTER))
