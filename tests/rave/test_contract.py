"""The model contract on real RAVE exports: every file of the zoo, through `model.py`, against the bare module.

`make test-rave` builds the zoo and runs this; the last lines printed are a table, one row per export. It runs on the
CPU; UNRAVEL_DEVICE=cuda runs it on a GPU, UNRAVEL_ZOO names another folder of exports.
"""

import functools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unravel_lib.models import model as models
from unravel_lib.models.runner import _has_bfloat16
from unravel_lib.models.torchscript import weights_sha256

ZOO = Path(os.environ.get("UNRAVEL_ZOO", Path(__file__).resolve().parents[2] / ".zoo"))
CHUNK = 12  # frames: small, so that many chunks are quick; the model makes it larger where its context asks for more
MANY = 100  # frames: several windows of the deepest model here
DEVICE = os.environ.get("UNRAVEL_DEVICE", "cpu")
BF16_TOLERANCE = 2**-5  # of the peak: a few steps of bfloat16, which streaming exports add up
TOLERANCE = 1e-5 if DEVICE == "cpu" else 1e-4  # of the peak
INDEX = ZOO / "zoo.json"
EXPORTS: list[dict[str, Any]] = json.loads(INDEX.read_text())["exports"] if INDEX.is_file() else []
EXPORTS = [entry for entry in EXPORTS if not entry["file"].startswith("v2_full")]  # those are for the benchmarks
if DEVICE != "cpu":  # a GPU machine may have a part of the zoo only
    EXPORTS = [entry for entry in EXPORTS if (ZOO / entry["file"]).is_file()]

pytestmark = pytest.mark.rave
Rows = dict[str, dict[str, str]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "entry" in metafunc.fixturenames:
        wanted = [e for e in EXPORTS if getattr(metafunc.function, "wants", lambda _: True)(e)]
        metafunc.parametrize("entry", wanted, ids=[e["file"] for e in wanted])


def only(condition: Any) -> Any:
    """Run a test on the exports for which `condition(entry)` holds."""

    def mark(function: Any) -> Any:
        function.wants = condition
        return function

    return mark


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small run faster on one thread, and much faster where other work runs beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    """What the tests find out about each export, printed at the end."""
    found: Rows = {e["file"]: {} for e in EXPORTS}
    yield found
    columns = (
        "facts",
        "context",
        "chunked-whole encode",
        "decode",
        "repeat",
        "bf16 encode",
        "bf16 decode",
        "speed encode",
        "decode x",
    )
    widths = [max(len(c), *(len(r.get(c, "")) for r in found.values())) for c in columns] if found else []
    print("\n\n" + "  ".join(["export".ljust(36), *(c.ljust(w) for c, w in zip(columns, widths, strict=False))]))
    for name, row in found.items():
        print("  ".join([name.ljust(36), *(row.get(c, "-").ljust(w) for c, w in zip(columns, widths, strict=False))]))


def load(entry: dict[str, Any]) -> models.Model:
    model = models.load(ZOO / entry["file"], DEVICE)
    model.chunk_frames = CHUNK
    return model


def bare_module(entry: dict[str, Any]) -> Any:
    module = torch.jit.load(ZOO / entry["file"]).eval().to(DEVICE)
    if entry["encoder"] == "Spherical":  # its streaming exports are saved with NaN in what they remember
        for name, buffer in module.named_buffers():
            if name.endswith((".pad", ".cache")):
                buffer.nan_to_num_(nan=0.0)
    return module


def bare(entry: dict[str, Any], method: str, x: np.ndarray) -> np.ndarray:
    """One call of the raw module on everything, from the state it was loaded in."""
    module = bare_module(entry)
    with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        return np.asarray(getattr(module, method)(torch.from_numpy(x)[None].to(DEVICE))[0].cpu())


def sound(entry: dict[str, Any], samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.2 * rng.standard_normal((entry["channels_in"], samples))).astype(np.float32)


def latents(entry: dict[str, Any], frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (entry["dims"], frames)
    if entry["encoder"] == "Discrete":
        return rng.integers(0, 1024, shape).astype(np.float32)
    if entry["encoder"] == "Spherical":
        return rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    return rng.standard_normal(shape).astype(np.float32)


def joined(blocks: Any) -> np.ndarray:
    return np.concatenate(list(blocks), axis=1)


def encode(model: models.Model, x: np.ndarray, key: str = "key", **options: bool) -> np.ndarray:
    return joined(model.encode(np.array_split(x, 3, axis=1) if x.shape[1] > 3 else [x], 0, key, **options))


def decode(model: models.Model, z: np.ndarray, key: str = "key", **options: bool) -> np.ndarray:
    return joined(model.decode(np.array_split(z, 3, axis=1) if z.shape[1] > 3 else [z], 0, key, **options))


def difference(result: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, as a share of the peak."""
    assert result.shape == expected.shape
    assert np.isfinite(result).all()
    return float(np.abs(result - expected).max() / max(np.abs(expected).max(), 1e-6))


def test_the_zoo_is_there() -> None:
    """A zoo that was not built must not look like a zoo that passed."""
    least = 40 if DEVICE == "cpu" else 1
    assert len(EXPORTS) >= least, f"{INDEX} lists {len(EXPORTS)} exports: run make test-rave, which builds them"
    for entry in EXPORTS:
        assert (ZOO / entry["file"]).stat().st_size == entry["bytes"]


def test_facts(entry: dict[str, Any], rows: Rows) -> None:
    model = load(entry)
    found = {
        "sample_rate": model.sample_rate, "compression": model.compression, "dims": model.dims,
        "channels_in": model.in_channels, "channels_out": model.out_channels, "streaming": model.streaming,
    }  # fmt: skip
    assert found == {name: entry[name] for name in found}
    facts = (
        f"{entry['sample_rate']} Hz /{model.compression} {model.dims} dims {model.in_channels}->{model.out_channels}"
    )
    rows[entry["file"]]["facts"] = facts
    if not model.streaming:
        contexts = (model.context("encode"), model.context("decode"))
        rows[entry["file"]]["context"] = " ".join(f"{c.left},{c.right}" if c else "all" for c in contexts)


@only(lambda e: "encode" not in e["random"])
def test_encoding_in_chunks_equals_the_whole(entry: dict[str, Any], rows: Rows) -> None:
    model = load(entry)
    c, chunk = entry["compression"], CHUNK * entry["compression"]
    worst = 0.0
    for samples in (1, c - 1, c, c + 1, chunk - 1, chunk, chunk + 1, MANY * c, MANY * c + c // 3):
        x = sound(entry, samples)
        expected = bare(entry, "encode", x)
        if entry["encoder"] == "Spherical":  # silence has no direction: the bare module says NaN, model.py 0
            expected = np.nan_to_num(expected)
        worst = max(worst, difference(encode(model, x), expected))
    rows[entry["file"]]["chunked-whole encode"] = f"{worst:.0e}"
    assert worst < TOLERANCE


@only(lambda e: "decode" not in e["random"])
def test_decoding_in_chunks_equals_the_whole(entry: dict[str, Any], rows: Rows) -> None:
    model = load(entry)
    worst = 0.0
    for frames in (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, MANY + 5):
        z = latents(entry, frames)
        worst = max(worst, difference(decode(model, z), bare(entry, "decode", z)))
    rows[entry["file"]]["decode"] = f"{worst:.0e}"
    assert worst < TOLERANCE


@pytest.mark.skipif(not _has_bfloat16(torch.device(DEVICE)), reason="NOT TESTED: no bfloat16 on this machine")
@only(lambda e: e["encoder"] not in ("Discrete", "Spherical"))  # there, a little beyond a border is another number
@pytest.mark.parametrize("method", ["encode", "decode"])
def test_bfloat16_is_near_and_its_chunks_equal_the_whole(entry: dict[str, Any], method: str, rows: Rows) -> None:
    x = sound(entry, MANY * entry["compression"]) if method == "encode" else latents(entry, MANY)
    run = encode if method == "encode" else decode
    exact, whole = (models.load(ZOO / entry["file"], DEVICE, precision=precision) for precision in ("fp32", "bf16"))
    low = run(whole, x)
    off = float(np.std(low - run(exact, x)) / np.std(low))
    rows[entry["file"]][f"bf16 {method}"] = f"{off:.0e}"
    assert 0 < off < 0.05
    if method not in entry["random"]:
        whole.chunk_frames = CHUNK
        assert difference(run(whole, x), low) < BF16_TOLERANCE


def test_the_same_file_gives_the_same_bytes_first_last_and_twice(entry: dict[str, Any], rows: Rows) -> None:
    model = load(entry)
    c = entry["compression"]
    first, other = sound(entry, 40 * c + 5, 1), sound(entry, 30 * c, 2)
    alone = encode(model, first, "a")
    assert alone.shape == (entry["dims"], 41)
    encode(model, other, "b")
    again = encode(model, first, "a")
    spoken = decode(model, alone, "a")
    assert spoken.shape == (entry["channels_out"], 41 * c)
    assert np.abs(spoken).max() > 1e-3
    decode(model, latents(entry, 30), "b")
    repeats = [np.abs(again - alone).max(), np.abs(decode(model, alone, "a") - spoken).max()]
    fresh = load(entry)  # decoding first, encoding last, in another run
    repeats += [np.abs(decode(fresh, alone, "a") - spoken).max(), np.abs(encode(fresh, first, "a") - alone).max()]
    rows[entry["file"]]["repeat"] = f"{max(repeats):g}"
    assert max(repeats) == 0.0


@only(lambda e: e["random"] and e["encoder"] != "RAVE 1")
def test_random_parts_follow_the_seed(entry: dict[str, Any]) -> None:
    model = load(entry)
    for method in entry["random"]:
        x = [sound(entry, 20 * entry["compression"])] if method == "encode" else [latents(entry, 20)]
        results = [joined(getattr(model, method)(x, seed, "key")) for seed in (0, 1)]
        assert not np.array_equal(*results)


@only(lambda e: e["streaming"])
def test_a_file_does_not_depend_on_the_one_before_it(entry: dict[str, Any]) -> None:
    """The reset is needed: without it the bare module answers the same file differently."""
    module = bare_module(entry)
    x = torch.from_numpy(sound(entry, 8 * entry["compression"]))[None].to(DEVICE)
    with torch.no_grad():
        torch.manual_seed(0)
        before = torch.nan_to_num(module.encode(x))
        torch.manual_seed(0)
        assert (torch.nan_to_num(module.encode(x)) - before).abs().max() > 1e-3
    model = load(entry)
    expected = encode(model, x[0].cpu().numpy())
    encode(model, sound(entry, 20 * entry["compression"], 9))
    assert np.array_equal(encode(model, x[0].cpu().numpy()), expected)


def test_seams_do_not_stand_out(entry: dict[str, Any]) -> None:
    """Decoded in chunks, the sound jumps no further at the borders of chunks than at the other borders of frames."""
    model = load(entry)
    c = entry["compression"]
    z = latents(entry, MANY + 5)
    y = decode(model, z)
    window, context = model._window("decode")
    first = window - context.right
    seams = set(range(first, z.shape[1], window - context.left - context.right))
    assert len(seams) >= 2
    jumps = np.abs(np.diff(y, n=2, axis=1)).max(axis=0)  # a click is a kink: second differences show it
    at = {frame: jumps[frame * c - 3 : frame * c + 2].max() for frame in range(1, z.shape[1])}
    elsewhere = [jump for frame, jump in at.items() if frame not in seams]
    assert max(at[frame] for frame in seams) <= 1.5 * max(elsewhere)


def pair_of(entry: dict[str, Any]) -> dict[str, Any]:
    """The offline export of the same weights."""
    return next(e for e in EXPORTS if e["file"] == entry["file"].replace("_streaming", ""))


@functools.cache
def weights(file: str) -> str | None:
    return weights_sha256(torch.jit.load(ZOO / file))


@only(lambda e: e["streaming"])
def test_both_exports_and_no_others_have_the_same_weights(entry: dict[str, Any]) -> None:
    own = weights(entry["file"])
    assert [e["file"] for e in EXPORTS if not e["streaming"] and weights(e["file"]) == own] == [pair_of(entry)["file"]]


@only(lambda e: e["streaming"] and "encode" not in e["random"] and e["encoder"] == "Wasserstein")
def test_streaming_equals_offline_once_the_delay_is_removed(entry: dict[str, Any]) -> None:
    """Away from the ends, where zero padding and a past of zeros differ."""
    streaming, offline = load(entry), load(pair_of(entry))
    edge = 30
    x = sound(entry, MANY * entry["compression"])
    late, plain = encode(streaming, x, compensate_delay=True), encode(offline, x)
    assert difference(late[:, edge:-edge], plain[:, edge:-edge]) < 1e-4
    if "decode" not in entry["random"]:
        z = latents(entry, MANY)
        late, plain = decode(streaming, z, compensate_delay=True), decode(offline, z)
        cut = slice(edge * entry["compression"], -edge * entry["compression"])
        assert difference(late[:, cut], plain[:, cut]) < 1e-4


def means(entry: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """What the encoder of a variational model says before it draws: the means of all its dims."""
    module = bare_module(entry)
    with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        bands = module.pqmf(torch.from_numpy(x).to(DEVICE).mean(dim=0)[None, None])
        found = module.encoder(bands)[0]
    return np.asarray(found[: len(found) // 2].cpu())


@only(
    lambda e: (
        e["streaming"] and e["encoder"] == "Variational" and e["channels_in"] == 1 and "resampled" not in e["file"]
    )
)
def test_variational_means_are_as_late_as_the_model_states(entry: dict[str, Any]) -> None:
    delay, edge = load(entry).delay.encode_samples, 30
    frames = -(-delay // entry["compression"])
    x = sound(entry, MANY * entry["compression"])
    late = np.pad(x, ((0, 0), (frames * entry["compression"] - delay, 0)))[:, : x.shape[1]]
    found, plain = means(entry, late)[:, frames:], means(pair_of(entry), x)[:, : -frames or None]
    assert difference(found[:, edge:-edge], plain[:, edge:-edge]) < 1e-4


def test_speed(entry: dict[str, Any], rows: Rows) -> None:
    """Measured for the table; what must hold is only that the chunks of a normal run work."""
    model = models.load(ZOO / entry["file"], DEVICE)
    x = sound(entry, int(11 * entry["sample_rate"]))
    start = time.perf_counter()
    z = encode(model, x)
    middle = time.perf_counter()
    y = decode(model, z)
    end = time.perf_counter()
    seconds = x.shape[1] / entry["sample_rate"]
    rows[entry["file"]]["speed encode"] = f"{seconds / (middle - start):.0f}"
    rows[entry["file"]]["decode x"] = f"{seconds / (end - middle):.0f}"
    assert y.shape[1] == z.shape[1] * entry["compression"] >= x.shape[1]
