"""Each input file and its sidecar is opened once in a run."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import ROOT

from unravel_lib.files.sidecar import EncodingSidecar
from unravel_lib.latents.npy import save_latents

COUNTING = """
import collections, json, os, runpy, sys
script, folder, counts = sys.argv[1:4]
opened = collections.Counter()
def count(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(args[0]))
        if path.startswith(folder):
            opened[path] += 1
sys.addaudithook(count)
sys.argv = sys.argv[4:]
sys.path.insert(0, os.path.dirname(script))
import unravel_lib.cli.run
unravel_lib.cli.run.exit_fast = sys.exit
try:
    runpy.run_path(script, run_name="__main__")
finally:
    with open(counts, "w") as file:
        json.dump(opened, file)
"""


def openings(script: str, folder: Path, counts: Path, *flags: object) -> Counter[str]:
    """Run a script; return how often it opened files of which suffix in the folder, and at most any of them."""
    path = ROOT / f"{script}.py"
    command = [sys.executable, "-c", COUNTING, path, folder, counts, path, *flags]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    opened: dict[str, int] = json.loads(counts.read_text())
    assert set(opened.values()) == {1}, opened
    return Counter(Path(name).suffix for name in opened)


@pytest.fixture
def encodings(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    facts = EncodingSidecar(sample_rate=44100, compression=2048, dims=8, model="a.ts", model_sha256="a" * 64)
    (tmp_path / "in").mkdir()
    for number in range(10):
        save_latents(tmp_path / "in" / f"{number}.npy", rng.normal(size=(8, 40)), facts)
    return tmp_path / "in"


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--pattern", "orale", "--num_files", "3", "--iqr"),
        ("--distribution", "retrace", "--fidelity", "--no_plots", "--num_files", "2", "--num_latents", "64"),
        ("--measure_only",),
        ("--tempo_table",),
    ],
)
def test_the_generator_opens_each_encoding_once(tmp_path: Path, encodings: Path, flags: tuple[str, ...]) -> None:
    given = ("--input", encodings, "--output", tmp_path / "out", *flags)
    assert openings("generator", encodings, tmp_path / "counts", *given) == {".npy": 10, ".json": 10}


@pytest.mark.parametrize("flags", [(), ("--normalize", "-20"), ("--skip_existing",)])
def test_the_decoder_opens_each_file_once(tmp_path: Path, encodings: Path, flags: tuple[str, ...]) -> None:
    given = ("--input", encodings, "--output", tmp_path / "out", *flags)
    assert openings("decoder", encodings, tmp_path / "counts", *given) == {".npy": 10, ".json": 10}


def test_the_inspector_opens_each_file_once(tmp_path: Path, encodings: Path) -> None:
    assert openings("inspector", encodings, tmp_path / "counts", "--input", encodings) == {".npy": 10, ".json": 10}
