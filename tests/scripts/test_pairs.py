"""The offline and the streaming export of the same weights: encoded with one, played or decoded with the other."""

import re
from pathlib import Path

import fixtures_models
import pytest
import torch
from fixtures_runs import TONE, Result, Run, wav

from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.models.torchscript import weights_sha256

NAMES = {"offline": "rave23", "streaming": "rave23_streaming"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """offline.ts and streaming.ts are a pair; other.ts has the shapes of offline.ts, but other weights."""
    folder = tmp_path_factory.mktemp("models")
    for name, kind in NAMES.items():
        fixtures_models.script(folder, kind).rename(folder / f"{name}.ts")
    other = torch.jit.load(folder / "offline.ts")  # type: ignore[no-untyped-call]
    with torch.no_grad():
        other.decoder.gain.mul_(2)
    other.save(folder / "other.ts")
    return folder


@pytest.fixture
def latents(models: Path, tmp_path: Path, run: Run) -> Path:
    """A folder with an encoding by each export of the pair."""
    for name in NAMES:
        (tmp_path / f"{name}.wav").write_bytes(wav(TONE))
        result = run(
            "encoder",
            "--input",
            tmp_path / f"{name}.wav",
            "--model",
            models / f"{name}.ts",
            "--output",
            tmp_path / "latents",
        )
        assert result.code == 0, result.err
    return tmp_path / "latents"


def facts_of(path: Path) -> Sidecar:
    facts = read_sidecar(path)
    assert facts is not None
    return facts


def decoded(run: Run, source: Path, model: Path, out: Path) -> Result:
    result = run("decoder", "--input", source, "--model", model, "--output", out)
    assert result.code == 0, result.err
    return result


def test_only_other_weights_give_a_warning(models: Path, latents: Path, tmp_path: Path, run: Run) -> None:
    by_offline, by_streaming = sorted(latents.glob("*.npy"))
    for source, name in ((by_offline, "streaming"), (by_streaming, "offline")):
        assert "was made with" not in decoded(run, source, models / f"{name}.ts", tmp_path / name).err
        assert (
            f"was made with {facts_of(source).model}, not with other.ts"
            in decoded(run, source, models / "other.ts", tmp_path / "other").err
        )


def test_generator_takes_encodings_of_both(models: Path, latents: Path, tmp_path: Path, run: Run) -> None:
    """Its results from both, or from their statistics, fit both models."""
    flags = ["--embeddings", "--no_plots", "--output", tmp_path]
    first = run("generator", "--input", latents, "--run", "first", *flags)
    assert first.code == 0 and "2 encodings" in first.err, first.err
    statistics = tmp_path / "first" / "statistics.csv"
    assert run("generator", "--statistics", statistics, "--run", "second", *flags).code == 0
    made = [path for run_ in ("first", "second") for path in (tmp_path / run_).glob("*.npy")]
    assert len(made) == 2
    for path in made:
        facts = facts_of(path)
        assert facts.model == "offline.ts" and facts.weights_sha256 is not None
        for name in NAMES:
            assert "was made with" not in decoded(run, path, models / f"{name}.ts", tmp_path / name).err


def test_only_these_go_into_a_live_file(models: Path, latents: Path, tmp_path: Path, run: Run) -> None:
    for name in (*NAMES, "other"):
        target = tmp_path / f"live_{name}.ts"
        result = run("generator", "--input", latents, "--live", target, "--with_model", models / f"{name}.ts")
        assert target.exists() == (name in NAMES), result.err
    text = "other.ts has other weights than the model of the encodings: they are of offline.ts, give that"
    assert (result.code, result.errors) == (2, [f"error: {text} (--with_model)"])


def test_the_state_of_a_model_is_no_part_of_its_weights(models: Path) -> None:
    module = torch.jit.load(models / "streaming.ts")  # type: ignore[no-untyped-call]
    before = weights_sha256(module)
    module.encode(torch.randn(1, 1, 6400))
    assert weights_sha256(module) == before is not None


def test_inspector_shows_the_hash_that_a_pair_has_in_common(models: Path, run: Run) -> None:
    found = {name: run("inspector", "--input", models / f"{name}.ts") for name in (*NAMES, "other")}
    lines = {name: re.findall(r"weights SHA-256 +(\w{64})\n", result.err) for name, result in found.items()}
    assert all(len(line) == 1 for line in lines.values())
    assert lines["offline"] == lines["streaming"] != lines["other"]


def test_names_shapes_and_types_count() -> None:
    """The same bytes in another shape, type or place are other weights; without parameters there is no answer."""
    modules = [torch.nn.Module() for _ in range(4)]
    for module, name, value in zip(modules, "wwwv", [(2, 2), (4, 1), (2, 1), (2, 2)], strict=True):
        kind = torch.complex64 if value == (2, 1) else torch.float32
        module.register_parameter(name, torch.nn.Parameter(torch.zeros(value, dtype=kind)))
    assert len({weights_sha256(module) for module in modules}) == 4
    assert weights_sha256(torch.nn.BatchNorm1d(3, affine=False)) is None
