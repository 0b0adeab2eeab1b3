"""`--precision bf16`: about half the time where the hardware has bfloat16; results differ by rounding."""

import json
from pathlib import Path

import fixtures_codecs as codecs
import numpy as np
import pytest
import torch
from fixtures_runs import TONE, Run, wav

from unravel_lib.models import model as models
from unravel_lib.models import runner

C = codecs.COMPRESSION
ROUNDING = 2**-7  # of the peak: bfloat16 has 8 bits, so that a sum in another order may round to the next number

pytestmark = pytest.mark.skipif(
    not runner._has_bfloat16(torch.device("cpu")), reason="NOT TESTED: this processor has no bfloat16"
)


def results(path: Path, method: str, precision: str, seed: int = 0, chunk: int = 10**6) -> np.ndarray:
    model = models.load(path, precision=precision)
    model.chunk_frames = chunk
    shape = (model.in_channels, 200 * C) if method == "encode" else (model.dims, 200)
    signal = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return np.concatenate(list(getattr(model, method)([signal], seed, "key")), axis=1)


@pytest.mark.parametrize("method", ["encode", "decode"])
def test_it_rounds_and_draws_the_same_random_numbers(tmp_path: Path, method: str) -> None:
    path = codecs.save(codecs.Variational(), tmp_path / "m.ts")
    exact, low, other = (
        results(path, method, precision, seed) for precision, seed in (("fp32", 0), ("bf16", 0), ("fp32", 1))
    )
    assert low.dtype == np.float32
    assert 0 < np.abs(low - exact).std() < 0.1 * np.abs(other - exact).std()


@pytest.mark.parametrize("method", ["encode", "decode"])
@pytest.mark.parametrize("kind", [codecs.Offline, codecs.Streaming])
def test_chunks_equal_one_call_but_for_rounding(tmp_path: Path, kind: type, method: str) -> None:
    path = codecs.save(kind(), tmp_path / "m.ts")
    whole, chunks = (results(path, method, "bf16", chunk=chunk) for chunk in (10**6, 20))
    np.testing.assert_allclose(chunks, whole, rtol=0, atol=ROUNDING * np.abs(whole).max())


def test_a_result_of_another_precision_is_another_result(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    model = codecs.save(codecs.Offline(), tmp_path / "m.ts")
    flags = ("--input", tmp_path / "x.wav", "--model", model, "--output", tmp_path / "out", "--skip_existing")
    first = run("encoder", *flags)
    assert first.code == 0, first.err
    [exact] = first.paths
    before = exact.read_bytes()
    refused = run("encoder", *flags, "--precision", "bf16")
    assert (refused.code, exact.read_bytes()) == (2, before)
    assert f"{exact} was made with fp32, not with bf16: choose another folder" in refused.err
    assert run("encoder", *flags, "--precision", "bf16", "--overwrite").paths == [exact]
    assert exact.read_bytes() != before
    facts = json.loads(exact.with_suffix(".json").read_text())
    assert facts["options"]["precision"] == "bf16"
    assert "--precision bf16" in " ".join(facts["options"]["command"])
    assert run("encoder", *flags, "--precision", "bf16").paths == []


def test_hardware_without_it_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    monkeypatch.setattr(runner, "_has_bfloat16", lambda device: False)
    flags = ("--input", tmp_path / "x.wav", "--output", tmp_path / "out", "--precision", "bf16", "--device", "cpu")
    result = run("encoder", *flags)
    line = "error: --precision bf16 would be slower than fp32: the cpu of this machine has no bfloat16: leave it out"
    assert (result.code, result.errors) == (2, [line])


def test_a_model_that_cannot_calculate_in_it_is_named(run: Run, tmp_path: Path) -> None:
    """The bundled one mixes types in a way that PyTorch refuses."""
    np.save(tmp_path / "z.npy", np.zeros((1, 8, 3), np.float32))
    flags = ("--input", tmp_path / "z.npy", "--output", tmp_path / "out", "--precision", "bf16")
    result = run("decoder", *flags)
    assert (result.code, result.paths) == (2, [])
    assert result.errors[0].endswith("try fp32 (--precision)")
