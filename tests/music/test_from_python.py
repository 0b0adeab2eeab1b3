"""Music from Python: arguments that make no sense, patterns of the running code, annotations for type checkers."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import unravel_lib as unravel
from unravel_lib.errors import UsageError
from unravel_lib.statistics.measure import Statistics

if TYPE_CHECKING:
    from nowhere import Count, Sized
    from numpy.typing import NDArray

LOOP = np.arange(12.0).reshape(6, 2)


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return unravel.measure([np.random.default_rng(0).normal(size=(2, 60))])


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "8", True, None, 10**12])
def test_numbers_of_frames_and_repetitions_are_checked(statistics: Statistics, wrong: Any) -> None:
    calls = {
        "n_frames": lambda: unravel.draw("walk", statistics, wrong),
        "n_loops": lambda: unravel.arrange("loop", LOOP, n_loops=wrong),
        "num_latents": lambda: unravel.Composition(statistics, "walk", {}, "loop", {}, wrong, 4, 1),  # type: ignore
        "num_loops": lambda: unravel.Composition(statistics, "walk", {}, "loop", {}, 8, wrong, 1),  # type: ignore
    }
    for option, call in calls.items():
        with pytest.raises(ValueError, match="expected a whole number from 1 to") as caught:
            call()
        assert isinstance(caught.value, UsageError) and caught.value.option == option


@pytest.mark.parametrize(
    "wrong", [np.zeros(4), np.zeros((0, 2)), np.zeros((3, 0)), [["a", "b"]], np.full((3, 2), np.nan)]
)
def test_loops_are_checked(statistics: Statistics, wrong: Any) -> None:
    for option, given in [("loop", (wrong,)), ("loop_b", (LOOP, 4, 42, wrong))]:
        with pytest.raises(ValueError, match="expected finite numbers of shape") as caught:
            unravel.arrange("swapper", *given)
        assert isinstance(caught.value, UsageError) and caught.value.option == option
    with pytest.raises(
        UsageError, match=r"loop_b has shape \(5, 2\) and type float64, expected finite numbers of shape \(6, 2\)"
    ):
        unravel.arrange("blender", LOOP, loop_b=LOOP[:5])
    with pytest.raises(UsageError, match=r"expected finite numbers of shape \(8, 2\)"):
        unravel.Composition(
            statistics, unravel.DISTRIBUTIONS["walk"], {}, unravel.PATTERNS["loop"], {}, 8, 4, 1, given_loops=(LOOP,)
        )


@pytest.mark.parametrize("std", [1.0, np.ones(3), np.full(2, np.nan)])
def test_spreads_are_checked(std: Any) -> None:
    with pytest.raises(UsageError, match=r"std has shape .*, expected finite numbers of shape \(2,\)"):
        unravel.arrange("orale", LOOP, std=std)


def test_more_loops_than_a_pattern_takes_are_refused(statistics: Statistics) -> None:
    of = statistics, unravel.DISTRIBUTIONS["walk"], {}, unravel.PATTERNS["loop"], {}, 6, 4, 1
    assert unravel.Composition(*of, given_loops=(LOOP,)).label == "loop_input-loop_seed1"
    with pytest.raises(UsageError, match="pattern loop takes fewer than 2 loops"):
        unravel.Composition(*of, given_loops=(LOOP, LOOP))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("orale", {"levels": 2.5}),
        ("orale", {"levels": "2.5"}),
        ("blender", {"direction": "mirord"}),
        ("loop", {"n": 1}),
    ],
)
def test_options_given_as_values_are_checked(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"pattern {name} has"):
        unravel.arrange(name, LOOP, **options)


def test_a_text_is_one_step(statistics: Statistics) -> None:
    np.testing.assert_array_equal(unravel.arrange("loop", LOOP, 2, transform="every 2 rev")[6:], LOOP[::-1])
    plain, one, several = (
        unravel.Composition(
            statistics, unravel.DISTRIBUTIONS["walk"], {}, unravel.PATTERNS["loop"], {}, 8, 2, seed=1, steps=steps
        )
        for steps in ((), "every 2 rev", ["rev", "rev"])
    )
    np.testing.assert_array_equal(one.piece(0).frames[8:], plain.piece(0).frames[8:][::-1])
    np.testing.assert_array_equal(several.piece(0).frames, plain.piece(0).frames)
    assert [step.text for step in one.steps] == ["every 2 rev"]


@pytest.mark.parametrize("wrong", [None, 3, len, [None], [b"rev"], "", [""]])
def test_what_is_no_step_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"transform .* is no step, expected a text such as every 4 rev"):
        unravel.arrange("loop", LOOP, transform=wrong)


def test_a_composition_fills_in_defaults(statistics: Statistics) -> None:
    of = unravel.DISTRIBUTIONS["retrace"], {}, unravel.PATTERNS["orale"], {}
    composition = unravel.Composition(statistics, *of, 8, 1, seed=1)
    assert composition.pattern_options == {"levels": 2, "amount": 0.25} and composition.piece(0).frames.shape == (
        128,
        2,
    )
    assert composition.distribution_options["near"] == 8 and composition.distribution_options["fit"] is True
    with pytest.raises(UsageError, match="pattern orale has no option level"):
        unravel.Composition(statistics, *of[:3], {"level": 1}, 8, 1, seed=1)


@pytest.fixture
def own() -> dict[str, Any]:
    """Functions of the running code, whose annotations are not there while it runs."""

    @unravel.pattern
    def thrice(loop: "NDArray[Any]", times: "Count" = 3) -> "Sized":
        """A loop three times."""
        return np.tile(loop, (times, 1))

    @unravel.distribution
    def flat(statistics: "NDArray", n_frames: "Count", value: "float" = 1.0) -> "Sized":
        """The same value everywhere."""
        return np.full((n_frames, statistics.dims), value)

    @unravel.transform
    def louder(loop: "NDArray[Any]", by: "Count" = 2, way: "Literal['up', 'down']" = "up") -> "Sized":  # noqa: F821
        """Louder."""
        return loop * by if way == "up" else loop / by

    return {"thrice": thrice, "flat": flat, "louder": louder}


def test_ones_own_are_found_by_name_and_as_functions(statistics: Statistics, own: dict[str, Any]) -> None:
    for name in ("thrice", own["thrice"], unravel.PATTERNS["thrice"]):
        np.testing.assert_array_equal(unravel.arrange(name, LOOP, times=2), np.tile(LOOP, (2, 1)))
    for name in ("flat", own["flat"]):
        assert (unravel.draw(name, statistics, 4, value=7) == 7).all()
    np.testing.assert_array_equal(unravel.arrange("loop", LOOP, 1, transform="louder 3 down"), LOOP / 3)
    mine = unravel.Composition(statistics, unravel.DISTRIBUTIONS["flat"], {}, unravel.PATTERNS["thrice"], {}, 4, 1, 1)
    assert (mine.piece(0).frames == 1).all() and mine.label == "thrice_flat_seed1"
    with pytest.raises(UsageError, match="did you mean thrice"):
        unravel.arrange("trice", LOOP)


def test_functions_that_are_none(own: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="<lambda> is no pattern: put @pattern"):
        unravel.arrange(lambda loop: loop, LOOP)
    with pytest.raises(UsageError, match="flat is no pattern"):
        unravel.arrange(own["flat"], LOOP)


def test_what_is_defined_again_takes_the_place_of_the_old(caplog: pytest.LogCaptureFixture) -> None:
    """As in a notebook; the library's own stay."""

    def define(value: float) -> Any:
        @unravel.pattern
        def again(loop: Any) -> Any:
            return loop * value

        return again

    first = define(2)
    define(3)
    np.testing.assert_array_equal(unravel.arrange("again", LOOP), 3 * LOOP)
    np.testing.assert_array_equal(unravel.arrange(first, LOOP), 2 * LOOP)

    @unravel.pattern
    def fibo(loop: Any) -> Any:
        return loop * 9

    assert "pattern fibo is one of the library's" in caplog.text
    assert len(unravel.arrange("fibo", LOOP, 1)) == 1 + 2 + 3 + 5
    np.testing.assert_array_equal(unravel.arrange(fibo, LOOP), 9 * LOOP)


def test_a_default_holds_whatever_its_annotation_says(statistics: Statistics) -> None:
    @unravel.distribution
    def odd(statistics: Any, n_frames: int, value: int = 1.5, seed: int = 0) -> Any:  # type: ignore[assignment]
        return np.full((n_frames, statistics.dims), value + seed)

    composition = unravel.Composition(statistics, odd, {}, "loop", {}, 4, 1, seed=1)  # type: ignore[arg-type]
    assert (composition.piece(0).frames == 1.5).all()
    other = replace(composition, distribution_options={"seed": 2})  # an option may be named as a parameter of ours
    assert (other.piece(0).frames == 3.5).all()


def test_an_option_of_a_type_that_is_not_there_needs_a_default() -> None:
    with pytest.raises(TypeError, match="option times is of type Count"):

        @unravel.pattern
        def missing(loop: Any, times: "Count") -> Any:
            return loop


SCRIPT = """
import pathlib, sys
import numpy as np
import unravel_lib as unravel
{more}
print("running", flush=True)

@unravel.pattern
def mine(loop, times: int = 2):
    return np.tile(loop, (times, 1))

for name in ("mine", mine, __file__ + ":mine", pathlib.Path(__file__).name + ":mine"):
    print(len(unravel.arrange(name, np.ones((3, 2)))))
"""


@pytest.mark.parametrize("how", ["script", "module", "code", "import", "runpy"])
def test_the_running_script_is_not_run_again(tmp_path: Path, how: str) -> None:
    """The process itself is what runs: as a script, by -m, and from standard input, as a notebook does."""
    code = SCRIPT.format(more="")
    if how == "code":
        code = code.replace(', __file__ + ":mine", pathlib.Path(__file__).name + ":mine"', "")
    (tmp_path / "piece.py").write_text(code)
    argv = {
        "script": ["piece.py"],
        "module": ["-m", "piece"],
        "code": ["-"],
        "import": ["-c", "import piece"],
        "runpy": ["-c", "import runpy; runpy.run_path('piece.py')"],
    }[how]
    made = subprocess.run(
        [sys.executable, *argv],
        cwd=tmp_path,
        input=code,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert made.stdout.split() == ["running"] + ["6"] * (2 if how == "code" else 4), made.stderr


def test_a_file_that_names_itself_or_another_that_names_it_is_run_once(tmp_path: Path) -> None:
    """As many lines as files that were run."""
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    for path, names in ((one, [one, other]), (other, [one])):
        calls = "".join(f"unravel.PATTERNS.find({str(name)!r} + ':f')\n" for name in names)
        path.write_text(
            "import unravel_lib as unravel\n"
            f"with open({str(tmp_path / 'runs')!r}, 'a') as file:\n    print(__file__, file=file)\n"
            f"@unravel.pattern\ndef f(loop):\n    return loop\n{calls}"
        )
    np.testing.assert_array_equal(unravel.arrange(f"{one}:f", LOOP), LOOP)
    assert (tmp_path / "runs").read_text().split() == [str(one), str(other)]


@pytest.mark.parametrize("first", ["following", "spectral", "steps"])
def test_a_catalogue_is_full_whatever_is_imported_first(first: str) -> None:
    """In a process of its own: what was imported is the subject."""
    code = f"import unravel_lib.music.{first}\nimport unravel_lib.music.catalogue as all\n"
    code += "print(*all.DISTRIBUTIONS, *all.PATTERNS, *all.TRANSFORMS)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = [
        n for c in (unravel.DISTRIBUTIONS, unravel.PATTERNS, unravel.TRANSFORMS) for n, e in c.items() if not e.source
    ]
    assert made.stdout.split() == own


def test_a_folder_with_blanks(tmp_path: Path) -> None:
    """Quotes inside the step, as in a shell; the step is written so that it can be read again."""
    folder = tmp_path / "my own folder"
    folder.mkdir()
    path = folder / "it's mine.py"
    path.write_text("from unravel_lib import transform\n@transform\ndef times(loop, by: int):\n    return loop * by\n")
    escaped = str(path).replace(" ", "\\ ").replace("'", "\\'")
    for word in (f'"{path}:times"', f'"{path}":times', f"{escaped}:times"):
        np.testing.assert_array_equal(unravel.arrange("loop", LOOP, 1, transform=f"{word} 3"), 3 * LOOP)
        [step] = unravel.music.steps.read_steps(f"every 1 {word} 3")
        assert [s.words for s in unravel.music.steps.read_steps(step.text)] == [step.words]
        with pytest.raises(UsageError, match="has by=x") as caught:
            unravel.arrange("loop", LOOP, 1, transform=f"{word} x")
        assert caught.value.detail.endswith(" ^")
