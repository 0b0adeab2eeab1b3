"""--input takes several paths in every script."""

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import Run, npy

from unravel_lib.files.sidecar import GeneratedSidecar
from unravel_lib.latents.formats import save_latents
from unravel_lib.models import POCKET

RNG = np.random.default_rng(3)


@pytest.fixture
def pieces(tmp_path: Path) -> list[Path]:
    """Two latents files in folders, and one by itself."""
    paths = [tmp_path / name for name in ("one/a.npy", "two/b.npy", "c.npy")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(npy(RNG.standard_normal((1, 8, 30)).astype(np.float32)))
    return paths


def test_decoder(run: Run, pieces: list[Path], tmp_path: Path) -> None:
    result = run("decoder", "--input", tmp_path / "one", pieces[1], "--input", pieces[2], "--output", tmp_path / "out")
    assert (result.code, [path.name[:3] for path in result.paths]) == (0, ["a--", "b--", "c--"])


def test_generator_learns_from_all_and_takes_its_own_results_by_name_only(
    run: Run, pieces: list[Path], tmp_path: Path
) -> None:
    save_latents(tmp_path / "one" / "own.npy", np.zeros((8, 4)), GeneratedSidecar())
    flags = ("--output", tmp_path / "out", "--no_plots")
    result = run("generator", "--input", tmp_path / "one", *pieces[1:], *flags)
    assert result.code == 0
    assert "3 encodings, 90 frames, 8 dims" in result.err
    assert f"leaving out 1 result of generator.py in {tmp_path}/one and 2 more" in result.err
    named = run("generator", "--input", tmp_path / "one", tmp_path / "one" / "own.npy", pieces[2], *flags)
    assert named.code == 0 and "3 encodings, 64 frames" in named.err
    missing = run("generator", "--input", tmp_path / "one", tmp_path / "gone", *flags)
    assert missing.errors == [f"error: {tmp_path}/gone does not exist: check the path (--input)"]


def test_inspector_gives_a_list_and_goes_on_after_a_bad_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "copy.ts").write_bytes(POCKET.read_bytes())
    result = run("inspector", "--input", POCKET, tmp_path / "gone.ts", tmp_path / "copy.ts", "--json")
    assert result.code == 1
    assert len(json.loads(result.out)) == 2
    found = f"{tmp_path}/gone.ts does not exist: check the path, with quotes around blanks (--input)"
    assert result.errors[0] == f"error: {found}"


def test_tables_of_two_models_of_one_name_do_not_replace_each_other(run: Run, tmp_path: Path) -> None:
    import fixtures_codecs as codecs

    written = set()
    for place, model in (("a", codecs.Offline()), ("b", codecs.Streaming())):
        (tmp_path / place).mkdir()
        codecs.save(model, tmp_path / place / "voice.ts")
        result = run("inspector", "--input", tmp_path / place / "voice.ts", "--save", "--output", tmp_path / "out")
        assert result.code == 0
        written |= set(result.out.splitlines())
    (tmp_path / "moved").mkdir()
    (tmp_path / "a" / "voice.ts").rename(tmp_path / "moved" / "voice.ts")
    again = run("inspector", "--input", tmp_path / "moved", "--save", "--output", tmp_path / "out")
    assert len(written) == 4 and set(again.out.splitlines()) < written
