"""The workflow: what it makes are the bytes that the scripts make, whatever is killed meanwhile."""

import math
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures_runs import ROOT, TONE, Run, wav
from projects import CONFIG, PIECES, Project, needs_snakemake

pytestmark = needs_snakemake

N_RECORDINGS = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a project lies while it runs: sidecars state absolute paths, so all runs have the same."""
    return tmp_path_factory.mktemp("home") / "a project"


@pytest.fixture(scope="module")
def finished(place: Path) -> Iterator[Project]:
    """A project in which the workflow has run without any interruption."""
    project = Project(place).make(N_RECORDINGS)
    code, output = project.run()
    assert code == 0, output
    assert "1 input failed: out/latents/failures.csv says why" in output and "Listen: out/sound/index.html" in output
    place.rename(place.with_name("finished"))
    yield Project(place.with_name("finished"))


@pytest.fixture
def again(place: Path, finished: Project) -> Iterator[Project]:
    """The same project in the same place, in which nothing has run."""
    yield Project(place).make(N_RECORDINGS)
    place.rename(place.with_name(f"used at {time.time_ns()}"))


def test_it_makes_what_the_scripts_make(
    finished: Project, again: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(again.folder)
    assert run("encoder", "--input", "my recordings", "--output", "out/latents").code == 1
    measure = ("--run", "statistics", "--measure_only", "--iqr")
    assert run("generator", "--input", "out/latents", "--output", "out", *measure).code == 0
    for piece in PIECES:
        source = (
            ("--input", "out/latents") if piece["name"] == "song" else ("--statistics", "out/statistics/statistics.csv")
        )
        flags = (
            "--distribution",
            piece["distribution"],
            "--pattern",
            piece["pattern"],
            "--embeddings",
            *piece["flags"],
            *(["--transform", *piece["transform"]] if "transform" in piece else []),
        )
        for seed in piece.get("seeds", [42]):
            output = ("--output", f"out/generated/{piece['name']}", "--run", f"seed-{seed}")
            assert run("generator", *source, *flags, *output, "--seed", seed).code == 0
    assert run("decoder", "--input", "out/generated", "--output", "out/sound", "--page").code == 0
    by_hand = again.results()
    assert sum(name.endswith(".wav") for name in by_hand) == 3
    found = {name: data for name, data in finished.results().items() if not re.search(r"failures-\d-of-\d", name)}
    assert found == by_hand


def test_killed_in_the_middle_it_goes_on_with_what_is_missing(finished: Project, again: Project) -> None:
    latents, sound = again.folder / "out" / "latents", again.folder / "out" / "sound"
    kept: dict[Path, int] = {}
    for folder, count in ((latents, random.randint(5, N_RECORDINGS - 5)), (sound, 1)):
        process = again.start("--cores", 2)
        while process.poll() is None and len(list(folder.glob("*.json"))) < count:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        whole = list(folder.glob("*.json"))
        assert folder == sound or count <= len(whole) < N_RECORDINGS, "it was not killed in the middle"
        for path in (path for note in whole for path in folder.glob(f"{note.stem}.*")):
            kept[path] = path.stat().st_mtime_ns
        assert again.check("--unlock")[0] == 0
    code, output = again.run()
    assert code == 0, output
    assert again.results() == finished.results()
    assert [path.name for path, before in kept.items() if path.stat().st_mtime_ns != before] == []


CRASH = """
import os, sys
if any(word.endswith("encoder.py") for word in sys.orig_argv):
    os._exit(1)  # as Python ends where a package is missing
"""


def test_a_script_that_cannot_start_is_no_finished_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path / "home").make(2, shards={"encode": 1, "decode": 1})
    done = project.folder / "out" / "done" / "encode-1-of-1"
    assert project.run("--cores", 1, "--until", "encode")[0] == 0 and done.exists()
    done.unlink()
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, _ = project.run("--cores", 1, "--until", "encode")  # the results of the first run are there
    assert code != 0 and not done.exists()


def test_a_new_recording_concerns_one_shard_and_what_follows(finished: Project) -> None:
    assert "Nothing to be done" in finished.check("-n")[1]
    new = finished.folder / "my recordings" / "new.wav"
    new.write_bytes(wav(TONE))
    code, output = finished.check("-n")
    new.unlink()
    assert code == 0 and jobs(output) == {
        "encode": 1,
        "failures": 2,
        "statistics": 1,
        "generate": 2,
        "decode": 2,
        "page": 1,
        "all": 1,
    }


def jobs(output: str) -> dict[str, int]:
    """Return how many jobs of each rule a run has."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def test_shards_are_the_jobs_not_files(tmp_path: Path) -> None:
    project = Project(tmp_path / "many").make(200, shards={"encode": 20, "decode": 5})
    code, output = project.check("-n")
    assert code == 0, output
    assert jobs(output) == {
        "encode": 20,
        "failures": 2,
        "statistics": 1,
        "generate": 2,
        "decode": 5,
        "page": 1,
        "all": 1,
    }


def test_the_page_names_every_key_with_its_default() -> None:
    import yaml

    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
    page = (ROOT / "docs" / "cluster.md").read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) \|", page, re.MULTILINE)
    shown = {key: default for keys, default in rows for key in re.findall(r"\w+", keys)}
    assert shown.keys() == schema["properties"].keys()
    words = {"needed": None, "none": [], "the pocket model": None}
    for key, text in shown.items():
        assert (text == "needed") == (key in schema["required"])
        default = words[text] if text in words else yaml.safe_load(text.strip("`"))
        assert schema["properties"][key].get("default") == default, key


def test_the_hours_on_the_page_follow_from_its_formula() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    rows = re.findall(r"\| (\d+) \| (\d+) \| 2 \| ([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for at_once, shards, hours in rows:
        seconds = math.ceil(int(shards) / int(at_once)) * (2 + 1000 * 3600 / (int(shards) * 80))
        assert f"{seconds / 3600:.2f}" == hours


BAD = [
    ({"recordings": "nowhere"}, "nowhere does not exist: check the path (--input)"),
    ({"recordngs": "x"}, "Additional properties are not allowed ('recordngs' was unexpected)"),
    ({"shards": {"encode": 0, "decode": 1}}, "shards.encode: 0 is less than the minimum of 1"),
    ({"model": "gone.ts"}, "model gone.ts does not exist"),
    ({"encoder_flags": ["--devise", "cpu"]}, "encoder.py: unknown argument --devise; did you mean --device?"),
    ({"pieces": [PIECES[0], PIECES[0]]}, "two pieces have the same name"),
    (
        {"pieces": [PIECES[0] | {"flags": ["--bmp", 9]}]},
        "piece song: generator.py: unknown argument --bmp; did you mean",
    ),
    ({"pieces": [PIECES[0] | {"pattern": "oral"}]}, "piece song: --pattern oral is unknown: choose from loop"),
    (
        {"pieces": [PIECES[1] | {"flags": ["--hold"]}]},
        "piece drift: --embeddings cannot be combined with others: leave it out, or these (--hold",
    ),
    ({"pieces": [PIECES[1] | {"flags": ["--measure_only"]}]}, "piece drift: --measure_only"),
    ({"pieces": [PIECES[1] | {"flags": ["--input_loop", "nope.npy"]}]}, "piece drift: nope.npy"),
    ({"pieces": [PIECES[1] | {"transform": ["euclid 9 8"]}]}, "piece drift: transform euclid: 9 onsets in 8 steps"),
    ({"pieces": [PIECES[1] | {"transform": ["revv"]}]}, "piece drift: --transform revv is unknown"),
    ({"pieces": [PIECES[1] | {"seeds": [2**63]}]}, "pieces"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD)
def test_a_configuration_that_cannot_work_is_refused_before_any_job(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    code, output = Project(tmp_path).make(1, **changes).check()
    assert code != 0 and "Traceback" not in output
    assert [line for line in output.splitlines() if line.startswith(f"The configuration cannot be used: {reason}")]
    assert not (tmp_path / "out").exists()


def test_the_configuration_that_users_copy_is_accepted_and_its_pieces_are_those_that_these_tests_make(
    tmp_path: Path,
) -> None:
    import yaml

    text = (ROOT / "config" / "config.yaml").read_text()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(text)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    code, output = Project(tmp_path).check("-n")
    given = yaml.safe_load(text)
    assert code == 0 and jobs(output)["encode"] == given["shards"]["encode"], output
    assert CONFIG.keys() <= given.keys() and len(given["pieces"]) == len(PIECES)
    for piece, copied in zip(PIECES, given["pieces"], strict=True):
        for key in ("name", "distribution", "pattern"):
            assert piece[key] == copied[key]
        for key in ("transform", "flags"):
            assert piece.get(key, [])[: len(copied.get(key, []))] == copied.get(key, [])
