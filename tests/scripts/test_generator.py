"""generator.py as a musician runs it: flags, files, seeds, messages, exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixtures_runs import ROOT, Result, Run, snapshot, spy

import generator
from unravel_lib.errors import UnravelError
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, read_sidecar, write_sidecar
from unravel_lib.generator.flags import build_parser
from unravel_lib.generator.results import MAX_DRAWN
from unravel_lib.latents import formats
from unravel_lib.latents.formats import MAX_DIMS, load_latents, save_latents
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.composition import Composition

DIMS = 3
OWN_PATTERNS = [name for name, entry in PATTERNS.items() if entry.source is None]


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two encodings that move slowly, with sidecars as encoder.py writes them."""
    folder = tmp_path_factory.mktemp("encodings")
    for i in range(2):
        steps = np.random.default_rng(i).normal(size=(DIMS, 200)).cumsum(axis=1)
        path = folder / f"encoded-{i}.npy"
        save_latents(path, steps / 5)
        write_sidecar(path, Sidecar(48000, 1024, DIMS, 200, model="voice.ts", model_sha256="a" * 64))
    return folder


@pytest.fixture(scope="module")
def bare(encodings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the encodings, without a sidecar."""
    path = tmp_path_factory.mktemp("bare") / "x.npy"
    save_latents(path, load_latents(encodings / "encoded-0.npy"))
    return path


def made(result: Result) -> list[Path]:
    """The sounds and latents among the files that a run made."""
    return [path for path in result.paths if path.suffix in (".wav", ".npy")]


# Every distribution with and without --iqr, every pattern with both and in both forms; not every one with every other:
# a pattern gets loops, whatever they were drawn by.
COMBINATIONS = [
    (distribution, iqr, OWN_PATTERNS[(2 * index + iqr) % len(OWN_PATTERNS)], (index // 5 + iqr) % 2 == 0)
    for index, distribution in enumerate(DISTRIBUTIONS)
    for iqr in (False, True)
]


@pytest.mark.parametrize(("distribution", "iqr", "pattern", "embeddings"), COMBINATIONS)
def test_every_distribution_and_every_pattern_runs(
    tmp_path: Path,
    encodings: Path,
    run: Run,
    distribution: str,
    iqr: bool,
    pattern: str,
    embeddings: bool,
) -> None:
    flags = ["--iqr"] * iqr + ["--embeddings"] * embeddings
    flags += ["--target", str(encodings / "encoded-0.npy")] if "target" in DISTRIBUTIONS[distribution].inputs else []
    result = run(
        "generator",
        "--input",
        encodings,
        "--output",
        tmp_path,
        "--run",
        "r",
        "--no_plots",
        "--num_latents",
        3,
        "--num_loops",
        2,
        "--distribution",
        distribution,
        "--pattern",
        pattern,
        *flags,
    )
    assert result.code == 0, result.err
    [path] = made(result)
    latents = load_latents(path) if embeddings else formats.load_latent_audio(path)
    lengths = {"loop": 6, "fibo": (1 + 2 + 3) * 2, "orale": 96, "blender": 3 * (3 * DIMS + 1) * 2, "swapper": 18}
    assert latents.shape[0] == DIMS and latents.shape[1] == lengths.get(pattern, latents.shape[1]) > 0
    assert latents.dtype == (np.float32 if embeddings else np.float64)
    measured = np.concatenate([load_latents(encoding) for encoding in sorted(encodings.glob("*.npy"))], axis=1)
    spread = measured.std(axis=1, keepdims=True)
    assert (np.abs(latents - measured.mean(axis=1, keepdims=True)) < 12 * spread).all()  # from these statistics
    facts = read_sidecar(path)
    assert isinstance(facts, GeneratedSidecar) and facts.distribution == distribution and facts.iqr is iqr
    assert (facts.frames, facts.dims) == (latents.shape[1], DIMS)


def test_the_documented_example(tmp_path: Path, encodings: Path, run: Run) -> None:
    """Every flag of the documented command line, pictures included."""
    result = run(
        "generator",
        "--input",
        encodings,
        "--seed",
        123,
        "--iqr",
        "--num_latents",
        21,
        "--num_loops",
        4,
        "--sample_rate",
        48000,
        "--num_files",
        3,
        "--distribution",
        "correlation-based",
        "--pattern",
        "swapper",
        "--embeddings",
        "--output",
        tmp_path,
    )
    assert result.code == 0, result.err
    names = [path.name for path in result.paths]
    stem = "swapper_correlation-based_iqr_seed123_"
    results = [f"{stem}000{i}_embeddings.npy" for i in range(3)]
    assert names == results  # nothing else, so that decoder.py can take them from a pipe
    [folder] = tmp_path.iterdir()
    for name in ("statistics.csv", "results.png", "distribution.png", "correlation.png"):
        assert str(folder / name) in result.err.splitlines() and (folder / name).is_file()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_swapper_correlation-based_iqr_seed123", folder.name)
    assert all(path.is_file() and path.parent == folder for path in result.paths)
    beside = {path.with_suffix(".json") for path in made(result)} | {folder / "statistics.json"}
    assert set(result.paths) | beside <= set(folder.iterdir())
    for path in made(result):
        array = np.load(path)
        assert array.shape == (1, DIMS, 21 * 21 * 4) and array.dtype == np.float32 and array.flags.c_contiguous
    assert "nan" not in result.err.lower()


def test_defaults(tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 frames at 2048 (here 20 at 1024), 4 loops, 1 file, normal, loop, seed 42, 64 bits, ./_generator-output."""
    monkeypatch.chdir(tmp_path)
    result = run("generator", "--input", encodings, "--no_plots")
    assert result.code == 0
    [path] = made(result)
    assert path.name == "loop_normal_seed42_0000.wav" and path.parent.parent == Path("_generator-output")
    values, rate = soundfile.read(path)
    assert values.shape == (80, DIMS) and rate == 46 and soundfile.info(path).subtype == "DOUBLE"
    assert np.array_equal(values[:20], values[60:])
    assert "a loop of 20 frames at 48000 Hz / 1024 is 140.63 BPM (double time 281.25)" in result.err
    assert "80 frames x 3 dims, 1.7 s of sound" in result.err


def bytes_of(files: list[Path]) -> dict[str, bytes]:
    folder = files[0].parent
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_command_same_bytes(tmp_path: Path, encodings: Path, run: Run) -> None:
    """Every file of the run, pictures, tables and sidecars too; another seed makes others."""
    flags = ["--input", encodings, "--output", tmp_path, "--pattern", "orale", "--num_files", 2]
    first = bytes_of(run("generator", *flags).paths)
    again = bytes_of(run("generator", *flags).paths)
    other = bytes_of(run("generator", *flags, "--seed", 43).paths)
    assert first == again and len(first) == 11
    assert first["orale_normal_seed42_0000.wav"] != other["orale_normal_seed43_0000.wav"]
    assert first["orale_normal_seed42_0000.wav"] != first["orale_normal_seed42_0001.wav"]
    assert len(list(tmp_path.iterdir())) == 3


def test_file_0_is_the_same_however_many(tmp_path: Path, encodings: Path, run: Run) -> None:
    flags = ["--input", encodings, "--output", tmp_path, "--no_plots", "--pattern", "swapper"]
    one = bytes_of(run("generator", *flags).paths)
    three = bytes_of(run("generator", *flags, "--num_files", 3).paths)
    assert all(three[name] == data for name, data in one.items())


def test_loop_a_is_the_same_for_every_pattern(tmp_path: Path, encodings: Path, run: Run) -> None:
    starts = []
    for pattern in ("loop", "orale", "blender"):
        flags = ["--output", tmp_path, "--no_plots", "--pattern", pattern]
        files = made(run("generator", "--input", encodings, *flags))
        starts.append(formats.load_latent_audio(files[0])[:, :10])
    assert np.array_equal(starts[0], starts[1]) and np.array_equal(starts[0], starts[2])


GOLDEN = [[-1.314838, -0.115175], [1.750398, -0.927686]]


def test_golden_values(tmp_path: Path, run: Run) -> None:
    """Mean 0, std 1, seed 42: the draws of the first child of the first child of the seed."""
    save_latents(tmp_path / "x.npy", np.array([[-1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2))
    flags = ["--num_latents", 2, "--num_loops", 1, "--no_plots"]
    files = made(run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "o", *flags))
    sequence = np.random.SeedSequence(42).spawn(1)[0].spawn(3)[0]
    expected = np.random.default_rng(sequence).standard_normal((2, 2)).T
    found = formats.load_latent_audio(files[0])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found, GOLDEN, atol=1e-5)


def test_the_sidecar_tells_all(tmp_path: Path, encodings: Path, run: Run) -> None:
    flags_of_content = ["--pattern", "orale", "--pattern_args", "levels=1", "--num_latents", "5", "--hold"]
    files = made(run("generator", "--input", encodings, "--output", tmp_path, "--no_plots", *flags_of_content))
    facts = read_sidecar(files[0])
    assert isinstance(facts, GeneratedSidecar)
    assert facts == GeneratedSidecar(
        48000, 1024, DIMS, 80, "voice.ts", "a" * 64, str(encodings), None, 42,
        script=str(ROOT / "generator.py"),
        command=("--input", str(encodings), *flags_of_content, "--output", str(tmp_path)),
        distribution="normal", pattern="orale", pattern_args={"levels": 1, "amount": 0.25}, num_latents=5,
        num_loops=4, bpm=562.5, file_index=0, hold=True, statistics_sha256=facts.statistics_sha256,
    )  # fmt: skip
    info = soundfile.info(files[0])
    assert (info.samplerate, info.frames, info.subtype) == (48000, 80 * 1024, "FLOAT")
    assert formats.load_latent_audio(files[0]).shape == (DIMS, 80)


def test_both_forms_are_the_same_music(tmp_path: Path, encodings: Path, run: Run) -> None:
    arrays = []
    for flags in ([], ["--hold"], ["--wav_subtype", "FLOAT"], ["--embeddings"]):
        made_flags = ["--output", tmp_path, "--no_plots", "--pattern", "blender", *flags]
        [path] = made(run("generator", "--input", encodings, "--num_latents", 2, *made_flags))
        arrays.append((load_latents if path.suffix == ".npy" else formats.load_latent_audio)(path).astype(np.float32))
    assert all(np.array_equal(arrays[0], array) for array in arrays[1:])


def test_statistics_of_an_earlier_run(tmp_path: Path, encodings: Path, run: Run) -> None:
    """They stand in for the encodings: same music, same rates and model."""
    flags = ["--output", tmp_path, "--no_plots", "--distribution", "copula"]
    first = run("generator", "--input", encodings, *flags)
    table = first.paths[0].with_name("statistics.csv")
    again = run("generator", "--statistics", table, *flags)
    assert again.code == 0, again.err
    np.testing.assert_allclose(*[formats.load_latent_audio(made(result)[0]) for result in (first, again)], atol=1e-12)
    facts = read_sidecar(made(again)[0])
    assert facts is not None and (facts.sample_rate, facts.model) == (48000, "voice.ts")
    result = run("generator", "--statistics", table, *flags[:3], "--distribution", "empirical")
    assert result.code == 2 and "--input" in result.err


@pytest.mark.parametrize("iqr", [[], ["--iqr"]])
def test_measure_only_writes_the_statistics_of_a_whole_run_and_nothing_else(
    tmp_path: Path, encodings: Path, run: Run, iqr: list[str]
) -> None:
    flags = ["--input", encodings, "--output", tmp_path, *iqr]
    whole = run("generator", *flags, "--no_plots", "--run", "whole")
    alone = run("generator", *flags, "--measure_only", "--run", "alone")
    assert alone.code == 0, alone.err
    assert alone.paths == [] and str(tmp_path / "alone" / "statistics.csv") in alone.err
    left = snapshot(tmp_path / "alone")
    assert sorted(left) == ["correlation.csv", "quantiles.csv", "statistics.csv", "statistics.json"]
    assert left.items() <= snapshot(tmp_path / "whole").items()
    assert "in use" in alone.err and "BPM" not in alone.err and "in use" in whole.err
    refused = run("generator", *flags, "--measure_only", "--run", "alone")
    assert refused.code == 2 and "exists already" in refused.err


def test_flags_tell_what_no_sidecar_says(tmp_path: Path, bare: Path, run: Run) -> None:
    flags = ["--output", tmp_path, "--no_plots", "--sample_rate", 44100, "--compression", 512]
    result = run("generator", "--input", bare, *flags)
    facts = read_sidecar(made(result)[0])
    assert facts is not None and (facts.sample_rate, facts.compression) == (44100, 512)
    assert soundfile.info(made(result)[0]).samplerate == 86 and "44100 Hz / 512" in result.err


@pytest.mark.parametrize(("flag", "stated", "given"), [("sample_rate", 48000, 44100), ("compression", 1024, 2048)])
def test_flags_that_contradict_the_sidecars_are_refused(
    tmp_path: Path, encodings: Path, run: Run, flag: str, stated: int, given: int
) -> None:
    """As encoder and decoder refuse what contradicts the model; the same value is no contradiction."""
    out = tmp_path / "o"
    flags = ["--output", out, "--no_plots", "--run", "r", f"--{flag}"]
    [statistics, *_] = run("generator", "--input", encodings, *flags, stated).paths
    for source in (["--input", encodings], ["--statistics", statistics], ["--tempo_table", "--input", encodings]):
        result = run("generator", *source, "--output", tmp_path / "none", f"--{flag}", given)
        line = f"error: --{flag} is {stated} by the encodings' sidecars, not {given}: leave it out\n"
        assert (result.code, result.paths, result.err) == (2, [], line)
    assert not (tmp_path / "none").exists()


def test_bpm_picks_the_nearest_length(tmp_path: Path, bare: Path, run: Run) -> None:
    flags = ["--output", tmp_path, "--no_plots", "--sample_rate", 44100, "--compression", 2048, "--num_loops", 1]
    result = run("generator", "--input", bare, "--bpm", 120, *flags)
    assert "nearest to 120 BPM: a loop of 11 frames at 44100 Hz / 2048 is 117.45 BPM\n" in result.err
    assert formats.load_latent_audio(made(result)[0]).shape == (DIMS, 11)
    assert "do not apply" not in result.err
    assert (
        "not all loops that are played have this length: the tempo does not apply"
        in run("generator", "--input", bare, "--pattern", "fibo", *flags).err
    )


def test_unknown_rates_are_said(tmp_path: Path, run: Run) -> None:
    save_latents(tmp_path / "x.npy", np.eye(3))
    result = run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "o", "--no_plots")
    assert "states --sample_rate: taking 44100\n" in result.err and "states --compression: taking 2048\n" in result.err
    assert soundfile.info(made(result)[0]).samplerate == 21


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--list_patterns", [*OWN_PATTERNS, "levels", "direction"]),
        ("--list_distributions", [*DISTRIBUTIONS]),
        ("--tempo_table", ["1291.99", "117.45", "double time"]),
    ],
)
def test_lists_need_no_input(flag: str, words: list[str], run: Run) -> None:
    """The lists are what was asked for, so they go to stdout, as --help does."""
    result = run("generator", flag)
    assert result.code == 0 and all(word in result.text for word in words)
    assert "`" not in result.text  # options are flags there


def test_tempo_table_of_ones_encodings(encodings: Path, bare: Path, run: Run) -> None:
    assert "1406.25" in run("generator", "--tempo_table", "--input", encodings).text
    result = run("generator", "--tempo_table", "--input", bare, "--sample_rate", 88200)
    assert "2583.98" in result.text and "rounded to two decimals" in result.text


def test_own_pattern_file(tmp_path: Path, encodings: Path, run: Run) -> None:
    """Five lines in a file; its random length is the same when it is counted and when it is written."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from unravel_lib import Repeat, pattern\n\n@pattern\ndef gaps(loop, rng, most: int = 9):\n"
        "    for frame in loop:\n        yield Repeat(frame[None], rng.integers(1, most))\n"
    )
    flags = ["--output", tmp_path / "o", "--no_plots", "--pattern", f"{mine}:gaps", "--num_files", 3]
    result = run("generator", "--input", encodings, *flags)
    assert result.code == 0, result.err
    lengths = [formats.load_latent_audio(path).shape[1] for path in made(result)]
    assert len(set(lengths)) > 1 and [path.name[:16] for path in made(result)] == ["gaps_normal_seed"] * 3
    facts = read_sidecar(made(result)[0])
    assert isinstance(facts, GeneratedSidecar) and facts.pattern == "mine.py:gaps" and facts.frames == lengths[0]
    assert list(facts.code_sha256) == ["mine.py:gaps"] and facts.pattern_args == {"most": 9}


def test_own_distribution_file(tmp_path: Path, encodings: Path, run: Run) -> None:
    """As with patterns: drawn from, listed, its options set; the sidecar says which file and which options."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import numpy as np\nfrom unravel_lib import distribution\n\n@distribution\n"
        "def flat(statistics, n_frames, at: float = 0.0):\n    'Always the same.'\n"
        "    return np.full((n_frames, statistics.dims), at)\n"
    )
    flags = ["--output", tmp_path / "o", "--no_plots", "--distribution", f"{mine}:flat"]
    result = run("generator", "--input", encodings, *flags, "--distribution_args", "at=2.5")
    assert result.code == 0, result.err
    assert (formats.load_latent_audio(made(result)[0]) == 2.5).all()
    assert made(result)[0].name == "loop_flat_seed42_0000.wav"
    facts = read_sidecar(made(result)[0])
    assert isinstance(facts, GeneratedSidecar) and facts.distribution == "mine.py:flat"
    assert list(facts.code_sha256) == ["mine.py:flat"] and facts.distribution_args == {"at": 2.5}
    listed = run("generator", "--list_distributions", "--distribution", mine)
    assert f"{mine}:flat  Always the same. [at=float, default 0.0]" in listed.text
    result = run("generator", "--input", encodings, *flags, "--distribution_args", "att=1")
    assert result.code == 2 and "--distribution flat has no option att: it takes at; did you mean at?" in result.err


FAILURES = [
    ([], "give a .npy of encoder.py or a folder of them, or else (--statistics, --input_loop)"),
    (
        ["--input", "{in}", "--statistics", "x.csv"],
        "--statistics cannot be combined with others: leave it out, or these (--input)",
    ),
    (
        ["--statistics", "x.csv", "--measure_only"],
        "--statistics cannot be combined with others: leave it out, or these (--measure_only)",
    ),
    (["--measure_only"], "--input is missing"),
    (["--input", "{in}", "--measure_only", "--run", "a/b"], "no plain folder name"),
    (["--input", "{in}", "--embeddings", "--hold"], "leave it out, or these (--hold)"),
    (["--input", "{in}", "--embeddings", "--wav_subtype", "FLOAT"], "leave it out, or these (--wav_subtype)"),
    (["--input", "{in}", "--overwrite"], "--overwrite does nothing alone: add (--run, --live)"),
    (["--input", "{in}", "--pattern", "blendr"], "did you mean blender"),
    (["--input", "{in}", "--distribution", "gauss"], "choose from normal"),
    (["--input", "{in}", "--pattern_args", "levels=2"], "it takes none"),
    (["--input", "{in}", "--distribution_args", "levels=2"], "--distribution normal has no option levels"),
    (["--input", "{in}", "--num_latents", "4", "--bpm", "120"], "leave it out, or these (--bpm)"),
    (["--input", "{in}", "--num_latents", "0"], "--num_latents 0 is not a whole number from 1 to 1000000"),
    (["--input", "{in}", "--num_loop", "4"], "did you mean --num_loops"),
    (["--input", "{bare}", "--bpm", "0.1", "--sample_rate", "1e6", "--compression", "1"], "from 1 to 1,000,000"),
    (["--input", "{in}/nothing"], "does not exist"),
    (["--input", "{out}"], "is empty"),
    (["--statistics", "nothing.csv"], "nothing.csv cannot be read"),
    (["--input", "{in}", "--run", "a/b"], "no plain folder name"),
    (["--input", "{in}", "--run", ".."], "no plain folder name"),
    (["--input", "{in}", "--run", ""], "no plain folder name"),
]


@pytest.mark.parametrize(("flags", "message"), FAILURES)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, encodings: Path, bare: Path, run: Run, flags: list[str], message: str
) -> None:
    """Exit code 2, one line with the remedy, no traceback, and nothing is left behind."""
    out = tmp_path / "o"
    out.mkdir()
    result = run(
        "generator", *[f.format(**{"in": encodings, "bare": bare, "out": out}) for f in flags], "--output", out
    )
    assert result.code == 2 and result.paths == [] and message in result.err
    assert "Traceback" not in result.err and sum("error:" in line for line in result.err.splitlines()) == 1
    assert list(out.iterdir()) == []


def test_beyond_4_gib_is_refused_before_writing(tmp_path: Path, encodings: Path, run: Run) -> None:
    """5 MB, were it not for the 1024 samples of each frame."""
    result = run("generator", "--input", encodings, "--output", tmp_path, "--num_loops", 40_000, "--hold")
    assert result.code == 2 and result.paths == [] and "4 GiB" in result.err and ", --hold)" in result.err
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_disk_holds_is_refused(
    tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file too large, many files too large together, and a pattern without frames."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("usage", (), {"free": 5000}))
    empty = tmp_path / "empty.py"
    flags = ["--input", encodings, "--output", tmp_path / "o", "--embeddings"]
    for more, message in [
        (["--num_loops", 100], "need 23.6 KiB, 4.9 KiB are free"),
        (["--num_files", 10], "need 10.6 KiB, 4.9 KiB are free"),
    ]:
        result = run("generator", *flags, *more)
        assert result.code == 2 and result.paths == [] and message in result.err
    empty.write_text("from unravel_lib import pattern\n@pattern\ndef f(loop):\n    yield loop[:0]\n")
    result = run("generator", *flags, "--pattern", f"{empty}:f")
    assert result.code == 2 and "no frames are left of this loop: check (--pattern, --transform)" in result.err
    assert not (tmp_path / "o").exists()


def test_run_names_are_kept_and_guarded(tmp_path: Path, encodings: Path, run: Run) -> None:
    flags = ["--input", encodings, "--output", tmp_path, "--no_plots", "--run", "take one"]
    assert run("generator", *flags).paths[0].parent == tmp_path / "take one"
    (tmp_path / "take one" / "notes.txt").write_text("mine")
    before = bytes_of([tmp_path / "take one" / "x"])
    result = run("generator", *flags, "--seed", 7)
    assert result.code == 2 and result.paths == []
    assert "exists already: choose another name, or replace it (--run, --overwrite)" in result.err
    assert bytes_of([tmp_path / "take one" / "x"]) == before
    result = run("generator", *flags, "--overwrite")
    assert result.code == 0 and bytes_of([tmp_path / "take one" / "x"]) == before
    (tmp_path / "file").touch()
    result = run("generator", *flags[:-1], "file", "--overwrite")
    assert result.code == 2 and "file exists already: choose another name" in result.err


def test_overwriting_an_input_is_refused(tmp_path: Path, encodings: Path, run: Run) -> None:
    flags = ["--output", tmp_path, "--no_plots", "--run", "r"]
    statistics = run("generator", "--input", encodings, *flags).paths[0].with_name("statistics.csv")
    before = statistics.read_bytes()
    result = run("generator", "--statistics", statistics, *flags, "--overwrite")
    assert result.code == 2 and "is an input of this run" in result.err and statistics.read_bytes() == before


def test_results_inside_the_input_folder_are_not_encodings(tmp_path: Path, encodings: Path, run: Run) -> None:
    for path in encodings.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    flags = ["--input", tmp_path, "--output", tmp_path / "o", "--no_plots", "--embeddings"]
    first, second = (run("generator", *flags) for _ in range(2))
    assert made(first)[0].read_bytes() == made(second)[0].read_bytes()


@pytest.mark.parametrize(
    "more",
    [
        ["--num_latents", 1_000_000, "--num_loops", 200],
        ["--pattern", "orale", "--pattern_args", "levels=12"],
        ["--pattern", "f.py:endless", "--num_latents", 100_000],
    ],
)
def test_a_piece_of_more_than_a_gibibyte_is_refused(
    tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch, more: list[object]
) -> None:
    """A slip such as levels=12 fills neither the memory nor the disk."""
    monkeypatch.chdir(tmp_path)
    code = "from unravel_lib import pattern\n@pattern\ndef endless(loop):\n    while True:\n        yield loop\n"
    (tmp_path / "f.py").write_text(code)
    result = run("generator", "--input", encodings, "--output", tmp_path / "o", "--large", *more)
    assert result.code == 2 and "1 GiB: " in result.err
    assert not (tmp_path / "o").exists()


def test_more_than_a_gibibyte_together_is_asked_for(
    tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unravel_lib.generator.results.LARGE_BYTES", 100)
    few = ["--input", encodings, "--output", tmp_path / "o", "--no_plots", "--num_files", 2]
    result = run("generator", *few)
    assert (
        result.code == 2
        and "are intended (--num_files, --num_loops, --num_latents, --large)" in result.err
        and not (tmp_path / "o").exists()
    )
    assert len(made(run("generator", *few, "--large"))) == 2


def test_latent_audio_is_an_encoding_by_its_name(tmp_path: Path, encodings: Path, run: Run) -> None:
    [path] = made(run("generator", "--input", encodings, "--output", tmp_path, "--no_plots"))
    result = run("generator", "--input", path, "--output", tmp_path / "o")
    assert result.code == 0 and "1 encoding, 80 frames" in result.err
    soundfile.write(tmp_path / "sound.wav", np.zeros(100), 44100)
    result = run("generator", "--input", tmp_path / "sound.wav", "--output", tmp_path / "o")
    assert result.code == 2 and "is it latent audio? encode sound with encoder.py" in result.err


def test_own_results_among_the_encodings_are_left_out(tmp_path: Path, encodings: Path, run: Run) -> None:
    """Where output and input are one folder, the second run measures what the first did; by name a result is taken."""
    for path in encodings.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    flags = ["--no_plots", "--embeddings", "--output", tmp_path]
    first = run("generator", "--input", tmp_path, *flags)
    assert "leaving out" not in first.err
    second = run("generator", "--input", tmp_path, *flags)
    assert f"leaving out 1 result of generator.py in {tmp_path} (one is taken by its name)\n" in second.err
    assert "2 encodings" in second.err and first.paths[0].read_bytes() == second.paths[0].read_bytes()
    result = run("generator", "--input", made(first)[0], *flags)
    assert result.code == 0 and "1 encoding, 80 frames" in result.err
    result = run("generator", "--input", made(first)[0].parent, *flags)
    assert result.code == 2 and result.paths == []
    assert (
        "holds no .npy but results of generator.py: give encodings, or one of these by its name (--input)" in result.err
    )


def test_a_bad_encoding_is_named(tmp_path: Path, encodings: Path, run: Run) -> None:
    good = load_latents(encodings / "encoded-0.npy")
    save_latents(tmp_path / "good.npy", good)
    np.save(tmp_path / "bad.npy", np.full((1, DIMS, 9), np.nan, np.float32))
    result = run("generator", "--input", tmp_path, "--output", tmp_path / "o")
    assert result.code == 2 and result.paths == []
    assert "bad.npy holds nan" in result.err and "good.npy" not in result.err


def test_the_most_dims_cost_seconds_and_megabytes(tmp_path: Path, run: Run) -> None:
    """Tables grow with dims * dims."""
    save_latents(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(MAX_DIMS, 2)))
    result = run("generator", "--input", tmp_path / "x.npy", "--iqr", "--distribution", "walk", "--output", tmp_path)
    assert result.code == 0 and len(result.paths) == 1
    assert sum(path.stat().st_size for path in result.paths[0].parent.iterdir()) < 40e6


def test_a_draw_too_large_is_not_the_patterns_fault(tmp_path: Path, run: Run) -> None:
    save_latents(tmp_path / "x.npy", np.array([[-3e38, 3e38, 3e38, 0.0]]))
    result = run("generator", "--input", tmp_path / "x.npy", "--embeddings", "--output", tmp_path / "o")
    assert result.code == 2 and result.paths == [] and "error: distribution normal: drew values up to" in result.err
    assert "pattern" not in result.err


def test_one_failing_file_does_not_stop_the_others(tmp_path: Path, encodings: Path, run: Run) -> None:
    """A pattern that trips over some random numbers: exit code 1, the rest is written, the failure is on record."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from unravel_lib import pattern\n@pattern\ndef f(loop, rng):\n"
        "    if rng.random() > 0.7:\n        raise RuntimeError('unlucky')\n    return loop\n"
    )
    flags = ["--output", tmp_path / "o", "--run", "r", "--num_files", 12, "--no_plots"]
    result = run("generator", "--input", encodings, "--pattern", f"{mine}:f", *flags)
    lost = 12 - len(made(result))
    assert result.code == 1 and 0 < lost < 12
    assert f"{lost} of 12 inputs failed" in result.err and f"{mine} line 5: RuntimeError: unlucky" in result.err
    assert len((tmp_path / "o" / "r" / "failures.csv").read_text().splitlines()) == lost + 1


def test_more_than_64_channels_are_warned_of(tmp_path: Path, run: Run) -> None:
    save_latents(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(65, 80)))
    flags = ["--input", tmp_path / "x.npy", "--output", tmp_path / "o", "--no_plots"]
    assert "warning: 65 channels: Pure Data's soundfiler takes at most 64" in run("generator", *flags).err
    assert "soundfiler" not in run("generator", *flags, "--embeddings").err


def test_odd_names_everywhere(tmp_path: Path, encodings: Path, run: Run) -> None:
    """Names with spaces, $ and an umlaut go through pictures, sidecars and stdout."""
    odd = tmp_path / "mé $x$ {y}"
    odd.mkdir()
    (odd / "a $b.npy").write_bytes((encodings / "encoded-0.npy").read_bytes())
    result = run("generator", "--input", odd, "--output", odd / "o ü", "--run", "$1 ö")
    assert result.code == 0 and len([*result.paths[0].parent.iterdir()]) == 9, result.err
    facts = json.loads(made(result)[0].with_suffix(".json").read_text())
    assert facts["source"] == str(odd)


def modules_after(*flags: object) -> set[str]:
    """Names of all modules that a run of the script, as a process of its own, has imported."""
    code = (
        "import sys, atexit; sys.argv[0] = 'generator.py'\n"
        "import generator\nfrom unravel_lib.cli import run as cli\n"
        "atexit.register(lambda: print('MODULES', *sys.modules, file=sys.stderr))\n"
        "cli.run(generator.main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, flags)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stderr.rpartition("MODULES")[2].split())


def test_light_imports(tmp_path: Path, encodings: Path) -> None:
    heavy = {"torch", "matplotlib", "pandas", "scipy", "soundfile", "numpy"}
    loaded = modules_after("--input", encodings, "--output", tmp_path, "--no_plots", "--iqr")
    assert heavy & loaded <= {"numpy", "pandas"}
    loaded = modules_after("--input", encodings, "--output", tmp_path)
    assert "matplotlib" in loaded and not {"torch", "matplotlib.pyplot"} & loaded


def test_as_a_command_from_another_folder(tmp_path: Path, encodings: Path) -> None:
    """stdout is one path per line; --help begins with the flags that are used most."""
    script = [sys.executable, ROOT / "generator.py"]
    done = subprocess.run(
        [*script, "--input", encodings, "--no_plots"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    paths = [tmp_path / line for line in done.stdout.splitlines()]
    assert [path.suffix for path in paths] == [".wav"] and all(path.is_file() for path in paths)
    shown_help = subprocess.run(
        [*script, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    ).stdout
    assert "example:\n  python generator.py --input" in shown_help and "(default ./_generator-output)" in shown_help
    flags = re.findall(r"^  (--\w+)", shown_help, re.MULTILINE)
    every = {flag for action in build_parser()._actions for flag in action.option_strings}
    assert set(flags) == every - {"-h", "--help"}
    most_used = "input distribution pattern transform bpm num_loops num_files seed output"
    assert {f"--{name}" for name in most_used.split()} <= set(flags[:10])


def test_interrupting_leaves_no_half_file(
    tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(block: object, dtype: str, **of: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(formats, "narrowed", stop)
    result = run("generator", "--input", encodings, "--output", tmp_path, "--run", "r", "--no_plots")
    assert result.code == 130 and "interrupted" in result.err and made(result) == []
    assert {path.suffix for path in (tmp_path / "r").iterdir()} <= {".csv", ".json"}


def test_errors_are_ours() -> None:
    """`main` raises what `cli.run` prints."""
    with pytest.raises(UnravelError):
        generator.main([])


def test_dims_that_silence_freezes_are_named(tmp_path: Path, run: Run) -> None:
    """Most frames equal: IQR 0, though the dim moves. Warned of only where the IQR is what spreads the draws."""
    values = np.random.default_rng(0).normal(size=(4, 100))
    values[1, :80] = values[3, :80] = 0.5
    values[2] = 0.5  # never moves: no surprise
    save_latents(tmp_path / "x.npy", values)
    flags = ["--input", tmp_path / "x.npy", "--output", tmp_path / "o", "--no_plots"]
    line = (
        "warning: dims that vary in the encodings, with an IQR of 0, are constant in what distribution {} draws: {} ("
    )
    result = run("generator", *flags, "--iqr")
    latents = formats.load_latent_audio(made(result)[0])
    assert line.format("normal", "1, 3") in result.err and (np.ptp(latents, axis=1) == 0).tolist() == [
        False,
        True,
        True,
        True,
    ]
    result = run("generator", *flags, "--distribution", "iqr-uniform")
    assert line.format("iqr-uniform", "1, 3") in result.err
    for quiet in ([], ["--iqr", "--distribution", "copula"], ["--iqr", "--distribution", "empirical"]):
        result = run("generator", *flags, *quiet)
        assert "are constant" not in result.err and np.ptp(formats.load_latent_audio(made(result)[0])[1]) > 0
    values[1, :80] = values[0, :80]
    save_latents(tmp_path / "x.npy", values)
    assert line.format("normal", "3") in run("generator", *flags, "--iqr").err


def test_bpm_is_refused_before_anything_is_measured(bare: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("unravel_lib.generator.plan.measure")
    result = run("generator", "--input", bare, "--bpm", "0.1", "--sample_rate", "1e6", "--compression", "1")
    assert result.code == 2 and "expected a whole number from 1 to 1,000,000" in result.err


def test_one_frame_is_one_frame(tmp_path: Path, run: Run) -> None:
    save_latents(tmp_path / "x.npy", np.ones((2, 1)))
    flags = ["--num_latents", 1, "--num_loops", 1, "--no_plots"]
    result = run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "o", *flags)
    for text in ("1 encoding, 1 frame, 2 dims", "a loop of 1 frame at", ": 1 frame x 2 dims"):
        assert text in result.err


def test_combinations_share_a_run_its_statistics_and_its_pictures(tmp_path: Path, encodings: Path, run: Run) -> None:
    """Each file is the one that a run of its pattern and distribution alone makes, and so is its command."""
    flags = ["--input", encodings, "--num_files", 2, "--no_plots"]
    many = run("generator", *flags, "--output", tmp_path, "--pattern", "loop,fibo", "--distribution", "normal, walk")
    names = [path.name for path in made(many)]
    kinds = [f"{pattern}_{name}" for pattern in ("loop", "fibo") for name in ("normal", "walk")]
    assert names == [f"{kind}_seed42_000{number}.wav" for kind in kinds for number in (0, 1)]
    [folder] = {path.parent for path in many.paths}
    assert folder.name.endswith("_4-combinations_seed42") and many.err.count("lag-1  beyond") == 1
    alone = run("generator", *flags, "--output", tmp_path / "o", "--pattern", "fibo", "--distribution", "walk")
    for path in made(alone):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    again = run("generator", "--again", folder / "fibo_walk_seed42_0001.json", "--output", tmp_path / "a", "--no_plots")
    assert made(again)[0].read_bytes() == (folder / "fibo_walk_seed42_0001.wav").read_bytes()
    result = run("generator", *flags, "--output", tmp_path / "x", "--pattern", "loop,lop")
    assert (result.code, result.paths) == (2, []) and "did you mean loop?" in result.err
    for name in ("one.py", "a, b.py"):
        (tmp_path / name).write_text("from unravel_lib import pattern\n@pattern\ndef x(loop):\n    return [loop]\n")
    assert len(made(run("generator", *flags, "--output", tmp_path / "c", "--pattern", f"{tmp_path}/a, b.py:x"))) == 2
    (tmp_path / "a, b.py").rename(tmp_path / "two.py")
    both = f"{tmp_path}/one.py:x,{tmp_path}/two.py:x"
    result = run("generator", *flags, "--output", tmp_path / "d", "--pattern", both)
    assert (result.code, result.paths) == (2, []) and "have equal names: use them in separate runs" in result.err


def test_decode_makes_what_decoder_makes(tmp_path: Path, recordings: Path, run: Run) -> None:
    """The same bytes and names; stdout has latents and sounds, the page is named on stderr."""
    run("encoder", "--input", recordings / "elec_chime.flac", "--output", tmp_path / "in")
    flags = ["--input", tmp_path / "in", "--output", tmp_path, "--no_plots", "--num_files", 2, "--embeddings"]
    result = run("generator", *flags, "--run", "v17", "--decode", "--page")
    assert result.code == 0, result.err
    apart = run("decoder", "--input", tmp_path / "v17", "--output", tmp_path / "apart").paths
    sounds = result.paths[2:]
    assert [(path.name, path.read_bytes()) for path in sounds] == [(path.name, path.read_bytes()) for path in apart]
    assert [path.name[: len("v17--loop_normal_seed42_0000--")] for path in sounds] == [
        "v17--loop_normal_seed42_0000--",
        "v17--loop_normal_seed42_0001--",
    ]
    page = tmp_path / "v17" / "sound" / "index.html"
    assert page.read_text().count("<article") == 2 and f"open {page} in a browser" in result.err
    again = run("decoder", "--input", tmp_path / "v17", "--output", page.parent, "--skip_existing")
    assert again.paths == [] and "2 of 2 files finished before" in again.err
    (tmp_path / "v18").mkdir()
    (tmp_path / "v18" / "sound").write_text("a file")
    blocked = run("generator", *flags, "--run", "v18", "--overwrite", "--decode")
    assert (blocked.code, blocked.paths) == (2, []) and "sound is a file" in blocked.err


def test_a_model_that_does_not_fit_is_refused_before_anything_is_made(
    tmp_path: Path, encodings: Path, run: Run
) -> None:
    for more, message in [
        (["--decode"], "pocket.ts decodes 8 dims, the latents have 3: they are of voice.ts, give that (--model)"),
        (["--decode", "--model", "nothing.ts"], "nothing.ts"),
        (["--page"], "--page does nothing alone: add (--decode)"),
        (
            ["--decode", "--measure_only"],
            "--measure_only cannot be combined with others: leave it out, or these (--decode)",
        ),
    ]:
        result = run("generator", "--input", encodings, "--output", tmp_path / "o", *more)
        assert (result.code, result.paths) == (2, []) and message in result.err, more
    assert not (tmp_path / "o").exists()


def test_a_failing_picture_costs_no_music(
    tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a picture fails at, all music is written and no input has failed; the pictures are counted apart."""
    from unravel_lib import plots

    def fail(*_: object) -> None:
        raise RuntimeError("no ink")

    flags = ["--input", encodings, "--output", tmp_path, "--run", "r", "--num_files", 2]
    with monkeypatch.context() as patch:
        for name in ("draw_distribution", "draw_results"):
            patch.setattr(plots, name, fail)
        result = run("generator", *flags)
    assert result.code == 1 and [path.suffix for path in result.paths] == [".wav", ".wav"]
    assert "inputs failed" not in result.err and result.err.count("distribution.png: this should not happen") == 1
    assert result.err.splitlines()[-1] == "error: 2 pictures could not be made; the results are complete"
    assert not (tmp_path / "r" / "failures.csv").exists()
    assert run("generator", *flags, "--overwrite").code == 0
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("unravel_lib.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("unravel_lib.plots")
    result = run("generator", *flags, "--overwrite")
    assert result.code == 1 and len(made(result)) == 2


def test_the_table_appears_once_is_explained_and_left_out_by_quiet(tmp_path: Path, encodings: Path, run: Run) -> None:
    flags = ["--input", encodings, "--output", tmp_path, "--no_plots", "--num_files", 3]
    err = run("generator", *flags).err.splitlines()
    assert sum("lag-1  beyond" in line for line in err) == 1
    assert [line for line in err if line.startswith("lag-1: ")] and "beyond: share of frames" in "".join(err)
    assert max(map(len, err[2 : DIMS + 6])) <= 80
    again = run("generator", *flags, "--seed", 7).err.splitlines()
    [table] = [line for line in err if line.endswith("statistics.csv")]
    assert [line for line in again if "in use" in line] == [f"{err[2]}, as before: {table}"] and len(again) < DIMS + 4
    robust = run("generator", *flags, "--iqr").err.splitlines()
    assert sum("lag-1  beyond" in line for line in robust) == 1 and max(map(len, robust[2 : DIMS + 6])) <= 80
    quiet = run("generator", *flags, "--quiet")
    assert "in use" not in quiet.err and len(made(quiet)) == 3


def test_one_sheet_shows_the_first_files_of_a_run(
    tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the pattern made them, with model and tempo; an unsteady pattern has no tempo."""
    from unravel_lib import plots

    sheets = spy(monkeypatch, plots, "draw_results")
    violins = spy(monkeypatch, plots, "draw_distribution")
    flags = ["--input", encodings, "--output", tmp_path, "--num_latents", 8, "--num_loops", 2]
    paths = made(run("generator", *flags, "--pattern", "swapper", "--num_files", MAX_DRAWN + 1))
    path, title, facts, files, frame_seconds = sheets.call_args.args
    assert (path.name, title, frame_seconds) == ("results.png", "swapper_normal_seed42", 1024 / 48000)
    assert facts == "128 frames x 3 dims, 2.7 s | the first 24 files | model voice.ts | loop of 8 frames, 351.56 BPM"
    assert [*files] == [one.name for one in paths[:MAX_DRAWN]]
    for name, piece in files.items():
        np.testing.assert_array_equal(piece.frames, formats.load_latent_audio(path.parent / name).T)
        assert piece.starts.tolist() == list(range(0, 128, 8))
    assert violins.call_args.args[2] == [piece.frames for piece in files.values()]
    run("generator", *flags, "--pattern", "fibo", "--num_files", 2)
    assert sheets.call_args.args[2] == "38 frames x 3 dims, 0.8 s | model voice.ts | loop of 8 frames"
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from unravel_lib import pattern\n@pattern\ndef f(loop, rng):\n    return loop[rng.integers(1, 8):]\n"
    )
    run("generator", *flags, "--pattern", f"{mine}:f", "--num_files", 5)
    assert sheets.call_args.args[2].startswith("up to ")


def test_overwriting_a_run_tells_what_stays(tmp_path: Path, encodings: Path, run: Run) -> None:
    """Latents of another seed stay beside the new ones, where a decoder finds them: that is reported."""
    flags = ["--input", encodings, "--output", tmp_path, "--run", "r"]
    assert "older" not in run("generator", *flags).err
    assert "older" not in run("generator", *flags, "--overwrite").err
    err = run("generator", *flags, "--overwrite", "--seed", 7, "--no_plots").err
    older = f"warning: {tmp_path / 'r'} still holds"
    assert f"{older} 1 older file (such as loop_normal_seed42_0000.wav), which this run did not write" in err
    err = run("generator", *flags, "--overwrite", "--seed", 8, "--no_plots").err
    assert f"{older} 2 older files (such as loop_normal_seed42_0000.wav), which this run did not write" in err


def test_each_file_is_drawn_once(tmp_path: Path, encodings: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    piece = Composition.piece
    monkeypatch.setattr(Composition, "piece", lambda *of: drawn.append(of[1]) or piece(*of))
    run("generator", "--input", encodings, "--output", tmp_path, "--num_files", 3, "--no_plots", "--pattern", "orale")
    assert drawn == [0, 1, 2]
