"""Each input file and its sidecar is opened once in a run."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import Run

from unravel_lib.files.sidecar import EncodingSidecar
from unravel_lib.latents.formats import save_latents

Openings = Callable[..., Counter[str]]


@pytest.fixture(scope="session")
def opened() -> dict[str, Counter[str]]:
    """How often each file was opened in the folders that are its keys; Python keeps the hook until it ends."""
    watched: dict[str, Counter[str]] = {}
    before: list[object] = [None]

    def count(event: str, args: tuple[object, ...]) -> None:
        if event == "open" and watched and isinstance(args[0], str | bytes):
            by_opener = args[1] is None and args[0] == before[0]  # one opening is told twice: by open and by os.open
            before[0] = None if by_opener else args[0]
            path = os.path.abspath(os.fsdecode(args[0]))
            for folder, counts in () if by_opener else watched.items():
                if path.startswith(folder):
                    counts[path] += 1

    sys.addaudithook(count)
    return watched


@pytest.fixture
def openings(run: Run, opened: dict[str, Counter[str]]) -> Openings:
    """Run a script; returns how many files of which suffix it opened in a folder, each of them once."""

    def watch(script: str, folder: Path, *flags: object) -> Counter[str]:
        opened[str(folder)] = counts = Counter[str]()
        try:
            assert run(script, *flags).code == 0
        finally:
            del opened[str(folder)]
        assert set(counts.values()) == {1}, counts
        return Counter(Path(name).suffix for name in counts)

    return watch


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
def test_the_generator_opens_each_encoding_once(
    tmp_path: Path, encodings: Path, openings: Openings, flags: tuple[str, ...]
) -> None:
    given = ("--input", encodings, "--output", tmp_path / "out", *flags)
    assert openings("generator", encodings, *given) == {".npy": 10, ".json": 10}


@pytest.mark.parametrize("flags", [(), ("--normalize", "-20"), ("--skip_existing",)])
def test_the_decoder_opens_each_file_once(
    tmp_path: Path, encodings: Path, openings: Openings, flags: tuple[str, ...]
) -> None:
    given = ("--input", encodings, "--output", tmp_path / "out", *flags)
    assert openings("decoder", encodings, *given) == {".npy": 10, ".json": 10}


def test_the_inspector_opens_each_file_once(encodings: Path, openings: Openings) -> None:
    assert openings("inspector", encodings, "--input", encodings) == {".npy": 10, ".json": 10}
