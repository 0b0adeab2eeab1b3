"""Facts about model files: every family, every kind of checkpoint, damaged and hostile files."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import fixtures_models as models
import numpy as np
import pytest
import torch
from fixtures_runs import Run
from safetensors.torch import save_file

from unravel_lib.errors import ModelError
from unravel_lib.inspection import checkpoints, exports, inspect
from unravel_lib.inspection.facts import json_value

RATIO = models.RATIO
RAVE1 = {
    "family": "RAVE",
    "version": "1",
    "dims": 4,
    "full_dims": 8,
    "sample_rate": 44100,
    "compression": RATIO,
    "in_channels": 1,
    "out_channels": 2,
    "encoder": "Encoder (EncoderV2)",
    "decoder": "Generator",
}
RAVE23 = {"family": "RAVE", "version": "2.3 or later", "full_dims": 8, "sample_rate": 48000, "compression": RATIO}
SAT = {"family": "Stable Audio Tools", "dims": 6, "in_channels": 2, "methods": None, "streaming": None}
CONFIGURED = {**SAT, "out_channels": 2, "compression": 512, "sample_rate": 32000, "encoder": "oobleck"}
BARE = {**SAT, "out_channels": None, "compression": None, "sample_rate": None, "encoder": None}

# What each file says about itself; None where it does not say.
EXPECTED: dict[str, dict[str, Any]] = {
    "rave1": {**RAVE1, "streaming": False, "delay_samples": 0, "parameters": 3},
    "rave1_combined": {**RAVE1, "attributes": {}},
    "rave20": {
        **RAVE23,
        "version": "2.0 to 2.2",
        "dims": 4,
        "in_channels": 1,
        "out_channels": 2,
        "encoder": "VariationalEncoder (EncoderV2)",
        "decoder": "GeneratorV2",
    },
    "rave23": {
        **RAVE23,
        "dims": 4,
        "in_channels": 1,
        "out_channels": 1,
        "attributes": {"learn_target": False},
        "mark": "class VariationalScriptedRAVE, attribute stereo_mode",
        "encode_context": [1, 1],
        "warnings": [],
    },
    "rave23_stereo": {**RAVE23, "dims": 4, "in_channels": 2, "out_channels": 2, "streaming": False},
    "rave23_streaming": {**RAVE23, "dims": 4, "streaming": True, "delay_samples": RATIO, "encode_delay": RATIO},
    "rave_discrete": {
        **RAVE23,
        "full_dims": None,
        "dims": 4,
        "encoder": "DiscreteEncoder (EncoderV2)",
        "encode_context": None,
        "decode_context": [1, 1],
    },
    "rave_wasserstein": {**RAVE23, "dims": 8, "encoder": "WasserteinEncoder (EncoderV2)", "variance_shares": None},
    "rave_spherical": {
        **RAVE23,
        "full_dims": None,
        "dims": 7,
        "encoder": "SphericalEncoder (EncoderV2)",
        "variance_shares": None,
    },
    "msprior": {
        "family": "MSPrior",
        "dims": None,
        "compression": None,
        "sample_rate": None,
        "encoder": None,
        "streaming": None,
        "delay_samples": None,
        "attributes": {"temperature": 1},
        "warnings": [],
    },
    "msprior_combined": {
        "family": "MSPrior",
        "dims": 4,
        "full_dims": None,
        "sample_rate": 48000,
        "compression": RATIO,
        "in_channels": 1,
        "out_channels": 1,
        "encoder": "DiscreteEncoder (EncoderV2)",
    },
    "vschaos2": {"family": "vschaos2", "dims": 4, "compression": RATIO, "sample_rate": None},
    "after_codec": {
        "family": "AFTER",
        "dims": 6,
        "compression": RATIO,
        "sample_rate": None,
        "out_channels": 1,
        "encoder": "EncoderV2",
        "decoder": "GeneratorV2",
    },
    "after_streamer": {
        "family": "AFTER",
        "dims": 6,
        "compression": RATIO,
        "sample_rate": 44100,
        "streaming": None,
        "encoder": None,
    },
    "after2": {"family": "AFTER", "version": "2", "dims": 16, "compression": RATIO, "sample_rate": None},
    "stable_audio": {
        "family": "Stable Audio Tools",
        "dims": 6,
        "compression": RATIO,
        "sample_rate": 32000,
        "in_channels": 2,
        "out_channels": 2,
        "warnings": [],
    },
    "music2latent": {"family": "music2latent-scripted", "dims": 6, "mark": "class ScriptedUNet"},
    "plain": {
        "family": None,
        "version": None,
        "dims": None,
        "mark": None,
        "sample_rate": None,
        "parameters": 0,
        "methods": [dict.fromkeys(("in_channels", "in_ratio", "out_channels", "out_ratio")) | {"name": "forward"}],
    },
    "mismatched": {
        "family": None,
        "dims": 4,
        "warnings": [
            "does not say its sample rate: the other scripts have to be told",
            "delay and receptive field could not be measured: "
            "encodes 4 dims but decodes 5: it cannot decode its own latents",
        ],
    },
    "sat_training": {**CONFIGURED, "parameters": 398, "mark": "model_type in model_config"},
    "sat_unwrapped": {**CONFIGURED, "parameters": 396, "mark": "model_type in sat_unwrapped.json beside it"},
    "sat_bare": BARE,
    "sat_safetensors": {**BARE, "kind": "safetensors", "parameters": 396},
    "legacy": BARE,
    "rave_training": {"family": "RAVE", "full_dims": 8, "dims": None, "sample_rate": None},
    "other": {"family": None, "parameters": 6, "warnings": []},
    "msprior_training": {"family": "MSPrior", "sample_rate": None},
    "music2latent_training": {"family": "music2latent", "sample_rate": None},
    "vschaos2_training": {"family": "vschaos2", "sample_rate": None},
    "after_training": {"family": "AFTER", "sample_rate": None},
}

DETAILS = {
    "rave1": {"deterministic": True, "max_batch_size": 8, "stereo": True},
    "rave_discrete": {"latents": "integer codes", "values behind a frame": 8},
    "rave_spherical": {"latents": "angles", "values behind a frame": 8},
    "msprior": {"seq_len": 128, "num_rave_quantizers": 16, "num_tokens": 1024},
    "msprior_combined": {"seq_len": 128, "latents": "integer codes"},
    "vschaos2": {"conditions of decode": ["pitch", "octave"]},
    "after_streamer": {"ae_ratio": RATIO, "zs_channels": 4, "zt_channels": 3},
    "sat_training": {"bottleneck": "vae", "epoch": 3},
    "rave_training": {"pytorch-lightning_version": "1.9.0", "global_step": 7},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: models.script(folder, name) for name in models.SCRIPTS} | models.checkpoints(folder)


def facts_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(inspect.inspect(path).facts.as_json(), allow_nan=False))
    return found


def test_every_fixture_is_expected(files: dict[str, Path]) -> None:
    assert set(files) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_facts(name: str, files: dict[str, Path]) -> None:
    found = facts_of(files[name])
    assert {key: found[key] for key in EXPECTED[name]} == EXPECTED[name]
    wanted = DETAILS.get(name, {})
    assert {key: found["details"].get(key) for key in wanted} == wanted
    assert found["bytes"] == files[name].stat().st_size and len(found["sha256"]) == 64


def test_methods_tell_attributes_from_methods(files: dict[str, Path]) -> None:
    methods = {m["name"]: m for m in facts_of(files["rave23"])["methods"]}
    assert list(methods) == ["encode", "decode", "forward"]  # get_methods' order; learn_target_params is no method
    assert methods["encode"]["out_channels"] == 4 and methods["encode"]["out_ratio"] == RATIO
    assert facts_of(files["msprior"])["methods"] == [
        {"name": "forward", "in_channels": 1, "in_ratio": RATIO, "out_channels": 17, "out_ratio": RATIO}
    ]


def test_variance_shares_are_differences_of_fidelity(files: dict[str, Path]) -> None:
    shares = facts_of(files["rave23"])["variance_shares"]
    assert shares == pytest.approx([0.5, 0.3, 0.1, 0.06, 0.02, 0.01, 0.005, 0.005], abs=1e-6)


@pytest.mark.parametrize(
    ("fidelity", "warned"), [(torch.zeros(8), False), (torch.linspace(1, 0.1, 8), True), (torch.full((8,), 3.0), True)]
)
def test_fidelity_that_is_none_gives_no_shares(fidelity: torch.Tensor, warned: bool, tmp_path: Path) -> None:
    module = models.SCRIPTS["rave23"]()
    module.fidelity.copy_(fidelity)  # type: ignore[operator,union-attr]
    torch.jit.script(module).save(str(tmp_path / "m.ts"))
    found = facts_of(tmp_path / "m.ts")
    assert found["variance_shares"] is None
    assert any("fidelity" in warning for warning in found["warnings"]) is warned


class Raising(torch.nn.Module):
    """Every question that it is asked ends in an error of its own, which TorchScript raises as torch.jit.Error."""

    def __init__(self) -> None:
        super().__init__()
        self.sr = 44100
        for name in ("encode_params", "decode_params"):
            self.register_buffer(name, torch.tensor([1, 1, 4, 64] if name[0] == "e" else [4, 64, 1, 1]))

    @torch.jit.export
    def get_methods(self) -> list[str]:
        raise ValueError("no methods today")

    @torch.jit.export
    def get_attributes(self) -> list[str]:
        raise ValueError("no attributes today")

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("no latents today")

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        raise ValueError("no sound today")


def test_a_model_that_raises_is_reported_as_far_as_it_goes(tmp_path: Path) -> None:
    torch.jit.script(Raising()).save(str(tmp_path / "m.ts"))
    found = inspect.inspect(tmp_path / "m.ts")
    assert found.failure is None and (found.facts.dims, found.facts.sample_rate) == (4, 44100)
    assert found.facts.methods is None and found.facts.attributes is None and len(found.facts.warnings) == 1
    assert "could not be measured" in found.facts.warnings[0] and "today" in found.facts.warnings[0]


def test_a_bug_of_ours_costs_no_facts(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_conditions", lambda module: {}["bug"])
    found = inspect.inspect(files["rave23"], measure=False)
    assert "KeyError" in str(found.failure) and (found.facts.dims, found.facts.sample_rate) == (4, 48000)
    assert "KeyError" in found.facts.warnings[-1]


@pytest.mark.parametrize("size", [math.inf, math.nan, 4.5, -4.0])
def test_a_size_that_is_no_count_is_unknown(size: float, tmp_path: Path) -> None:
    module = models.SCRIPTS["rave23"]()
    module.full_latent_size = size  # type: ignore[assignment]
    torch.jit.script(module).save(str(tmp_path / "m.ts"))
    assert (found := facts_of(tmp_path / "m.ts"))["full_dims"] is None and found["warnings"] == []


def test_a_class_of_a_common_name_is_not_taken_for_rave(tmp_path: Path) -> None:
    class Combined(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    torch.jit.trace(Combined(), torch.zeros(1)).save(str(tmp_path / "m.ts"))
    assert facts_of(tmp_path / "m.ts")["family"] is None


def test_measuring_leaves_the_state_as_it_was_loaded(files: dict[str, Path]) -> None:
    found = inspect.inspect(files["rave23_streaming"])
    assert found.facts.delay_samples == RATIO
    assert not found.tensors["encoder.cache.pad"].any()


def test_without_measuring(files: dict[str, Path]) -> None:
    found = inspect.inspect(files["rave23_streaming"], measure=False).facts
    assert (found.streaming, found.delay_samples, found.encode_context) == (True, None, None)


def test_a_model_of_senseless_size_is_not_run(tmp_path: Path) -> None:
    module = models.SCRIPTS["rave23"]()
    for name, values in (("encode_params", [1, 1, 4, 2**40]), ("decode_params", [4, 2**40, 1, 1])):
        getattr(module, name).copy_(torch.tensor(values))
    torch.jit.script(module).save(str(tmp_path / "m.ts"))
    found = facts_of(tmp_path / "m.ts")
    assert found["compression"] == 2**40 and found["encode_context"] is None and "not run" in found["warnings"][0]


def test_hostile_model_is_reported_but_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.script(models.Trap()).save("trap.ts")
    found = inspect.inspect(Path("trap.ts"))
    assert isinstance(found.failure, ModelError) and found.failure.remedy_options == ("trust_model",)
    assert found.module is None and found.facts.kind == "TorchScript" and found.facts.sha256
    assert found.facts.details == {}
    assert any("trust_model" in warning for warning in found.facts.warnings)
    assert not Path("trapped").exists()
    assert inspect.inspect(Path("trap.ts"), trust=True).module is not None
    assert Path("trapped").exists()


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("evil"),)  # type: ignore[return-value]


def test_checkpoint_that_imports_is_named_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": models.oobleck(), "callback": Evil()}, "evil.ckpt")
    found = inspect.inspect(Path("evil.ckpt"))
    assert found.failure is not None and "pathlib" in str(found.failure) and "\n" not in str(found.failure)
    assert not Path("evil").exists() and not found.tensors


@pytest.mark.parametrize("name", ["rave23", "sat_bare", "sat_safetensors"])
def test_damaged_and_truncated(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    data = files[name].read_bytes()
    path = tmp_path / files[name].name
    path.write_bytes(data[: len(data) - 40])
    found = inspect.inspect(path)
    assert found.failure is not None and found.facts.warnings and found.facts.bytes == len(data) - 40
    assert "\n" not in str(found.failure)


def test_wrong_checksum_is_not_loaded_but_reported(files: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(files["rave23"].read_bytes())
    with zipfile.ZipFile(files["rave23"]) as file:
        info = next(i for i in file.infolist() if i.filename.endswith("data/0"))
    data[info.header_offset + 30 + len(info.filename) + 80] ^= 4
    (tmp_path / "x.ts").write_bytes(data)
    found = inspect.inspect(tmp_path / "x.ts")
    assert "checksum" in str(found.failure) or "damaged" in str(found.failure)
    assert found.module is None and found.facts.kind == "TorchScript"


def test_torchscript_of_a_future_pytorch(files: dict[str, Path], tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> tuple[str, bytes]:
        return name, b"9999\n" if name.endswith("/version") else data

    found = inspect.inspect(models.rewrite(files["rave23"], tmp_path / "x.ts", change))
    assert "this PyTorch cannot load it" in str(found.failure) and "\n" not in str(found.failure)
    assert found.facts.format_version == "9999"


def test_config(files: dict[str, Path]) -> None:
    for name in ("sat_training", "sat_unwrapped"):
        assert inspect.inspect(files[name]).config() == models.SAT_CONFIG
    for name, expected in (("sat_bare", "no training config"), ("rave23", "TorchScript export")):
        with pytest.raises(ModelError, match=expected):
            inspect.inspect(files[name], measure=False).config()


def test_weights_are_believed_before_a_config(tmp_path: Path) -> None:
    wrong = {**models.SAT_CONFIG, "model": {**models.SAT_CONFIG["model"], "latent_dim": 64}}  # type: ignore[dict-item]
    torch.save({"state_dict": models.oobleck(), "model_config": wrong}, tmp_path / "x.ckpt")
    found = facts_of(tmp_path / "x.ckpt")
    assert found["dims"] == 6


def test_a_broken_config_is_no_crash(tmp_path: Path) -> None:
    config = {"model_type": "x", "sample_rate": "fast", "model": {"latent_dim": True, "encoder": 3, "io_channels": -1}}
    torch.save({"state_dict": {"a": torch.zeros(1)}, "model_config": config}, tmp_path / "x.ckpt")
    found = facts_of(tmp_path / "x.ckpt")
    assert [found[key] for key in ("dims", "sample_rate", "encoder", "in_channels")] == [None] * 4


RAVE_WEIGHTS = {name: torch.zeros(8) for name in ("latent_pca", "latent_mean", "fidelity")}


@pytest.mark.parametrize("name", ["model_config.json", "config.json"])
@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        (RAVE_WEIGHTS, "RAVE"),
        ({**RAVE_WEIGHTS, "autoencoder.x": torch.zeros(1)}, "RAVE"),
        ({"a": torch.zeros(1)}, None),
        (models.oobleck(), "Stable Audio Tools"),
        ({f"pretransform.model.{key}": value for key, value in models.oobleck().items()}, "Stable Audio Tools"),
        ({"conditioner.conditioners.a": torch.zeros(1)}, "Stable Audio Tools"),
    ],
)
def test_a_config_of_another_model_in_the_folder_is_not_believed(
    name: str, tensors: dict[str, torch.Tensor], family: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(json.dumps(models.SAT_CONFIG))
    torch.save({"state_dict": tensors}, tmp_path / "x.ckpt")
    found = inspect.inspect(tmp_path / "x.ckpt")
    sat = family == "Stable Audio Tools"
    assert (found.facts.family, found.facts.sample_rate) == (family, 32000 if sat else None)
    assert found.facts.full_dims == (8 if family == "RAVE" else None)
    if sat:
        assert found.config() == models.SAT_CONFIG
    else:
        with pytest.raises(
            ModelError, match=r"has no training config: .* in a JSON of its name beside it, or in the conf"
        ):
            found.config()


GIN = """
import rave
from rave import blocks

# Parameters for Adam:
# ==============================================================================
torch.optim.Adam.lr = 0.0001  # per step
CAPACITY = 96
RATIOS = \\
    [4, 4, 4,
     2]

model.RAVE.latent_size = %LATENT_SIZE
model.RAVE.encoder = @blocks.VariationalEncoder
model.RAVE.name = "a = b # c"
model.RAVE.gan = {'weight': 1.5}
model.RAVE.none = None
"""
PARSED = {
    "torch.optim.Adam.lr": 0.0001,
    "CAPACITY": 96,
    "RATIOS": [4, 4, 4, 2],
    "model.RAVE.latent_size": "%LATENT_SIZE",
    "model.RAVE.encoder": "@blocks.VariationalEncoder",
    "model.RAVE.name": "a = b # c",
    "model.RAVE.gan": {"weight": 1.5},
    "model.RAVE.none": None,
}


@pytest.mark.parametrize("folder", [".", "version_0/checkpoints"])
def test_config_gin_of_a_run(folder: str, tmp_path: Path) -> None:
    (tmp_path / "config.gin").write_text(GIN)
    path = tmp_path / folder / "best.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": RAVE_WEIGHTS}, path)
    assert inspect.inspect(path).config() == PARSED


def test_config_gin_is_not_taken_for_that_of_another_family(tmp_path: Path) -> None:
    (tmp_path / "config.gin").write_text(GIN)
    torch.save({"state_dict": models.oobleck()}, tmp_path / "x.ckpt")
    with pytest.raises(ModelError, match="has no training config"):
        inspect.inspect(tmp_path / "x.ckpt").config()


@pytest.mark.parametrize("text", ["", "a = [1,\n", "= 3\n", "a\n:\n b = (\n", "\\", "a = \\\n", "\0#'\n  = \n"])
def test_a_broken_config_gin_is_no_crash(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.gin").write_text(text)
    torch.save({"state_dict": RAVE_WEIGHTS}, tmp_path / "x.ckpt")
    assert isinstance(inspect.inspect(tmp_path / "x.ckpt").config(), dict)


def test_slow_models_are_measured_for_a_limited_time(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "MEASURE_SECONDS", 0.0)
    found = facts_of(files["rave23"])
    assert (found["encode_context"], found["decode_context"], found["streaming"]) == (None, None, False)
    for method in ("encode", "decode"):
        assert f"receptive field of {method} not measured: it would take longer than 0 s" in found["warnings"]


def test_conditioned_models_are_measured(files: dict[str, Path]) -> None:
    found = facts_of(files["vschaos2"])
    assert found["details"]["conditions of decode"] == ["pitch", "octave"]
    assert found["encode_context"] == found["decode_context"] == [1, 1]


def test_the_version_of_pytorch_where_a_trainer_wrote_it(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "pytorch_version": str(torch.__version__)}, tmp_path / "x.ckpt")
    save_file({"a": torch.zeros(1)}, tmp_path / "y.safetensors", {"torch_version": "2.1.0"})
    assert facts_of(tmp_path / "x.ckpt")["torch_version"] == torch.__version__
    assert facts_of(tmp_path / "y.safetensors")["torch_version"] == "2.1.0"


def test_our_own_sidecar_beside_a_checkpoint_is_no_config(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"format": "unravel-sidecar", "format_version": 1, "model": "v.ts"}')
    assert checkpoints.config_of(tmp_path / "x.ckpt", {}, {}) is None


def test_declared_attributes_are_listed_without_running(files: dict[str, Path]) -> None:
    found = inspect.inspect(files["rave23"], measure=False)
    listed = {attribute.name: attribute.kind for attribute in found.attributes()}
    assert listed["encode"] == "method" and listed["sr"] == listed["encode_params"] == listed["encoder"] == "data"
    assert listed["_methods"] == "data" and "named_parameters" not in listed


TENSORS = {
    "large": torch.randn(3, 1 << 20, generator=torch.manual_seed(0)),
    "far from zero": 1e6 + torch.randn((1 << 21) + 7, generator=torch.manual_seed(1)).double(),
    "transposed": torch.arange(12.0).reshape(3, 4).t(),
    "every other": torch.randn(2, (1 << 21) + 2, generator=torch.manual_seed(2))[:, ::2],
    "integers": torch.tensor([[1, -3], [2**40, 5]]),
    "truth": torch.tensor([True, False, True]),
    "half": torch.tensor([60000.0, 60000.0], dtype=torch.float16),
    "single": torch.tensor(3.5),
}


@pytest.mark.parametrize("name", TENSORS)
def test_statistics_agree_with_numpy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = inspect.describe(name, TENSORS[name])
    values = TENSORS[name].numpy().astype(np.float64)
    wanted = (values.mean(), values.std(), values.min(), values.max())
    assert (found.mean, found.std, found.min, found.max) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert found.shape == "x".join(map(str, values.shape))


def test_statistics_of_what_has_none() -> None:
    for tensor in (torch.zeros(0, 3), torch.zeros(2, 2).to_sparse()):
        found = inspect.describe("x", tensor)
        assert math.isnan(found.mean) and math.isnan(found.min) and found.shape == "x".join(map(str, tensor.shape))
    assert math.isnan(inspect.describe("x", torch.tensor([1.0, math.nan, 3.0])).max)
    assert inspect.describe("x", torch.tensor([3 + 4j])).max == 5


ODD = {
    "meta": torch.empty(10**6, 10**6, device="meta"),
    "quantised": torch.quantize_per_tensor(torch.ones(40, 50), 0.1, 3, torch.quint8),
    "per channel": torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8),
    "packed": torch.quantize_per_channel(torch.ones(4, 4), torch.ones(4), torch.zeros(4), 0, torch.quint4x2),
    "sparse": torch.eye(40).to_sparse(),
    "sparse rows": torch.eye(40).to_sparse_csr(),
    "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "expanded": torch.ones(1).expand(10**9),
    "overlapping": torch.as_strided(torch.arange(10.0), (10**6, 10**6), (0, 0)),
    "float8": torch.ones(3000).to(torch.float8_e4m3fn),
    "uint64": torch.ones(3000, dtype=torch.uint64),
    "complex32": torch.ones(3, dtype=torch.complex32),
    "conjugate": torch.ones(3, dtype=torch.complex64).conj(),
    "trained": torch.ones(3, requires_grad=True),
    "bits": torch.ones(4, dtype=torch.uint8).view(torch.bits8),
    "encoder.layers.0.weight_v": torch.nested.nested_tensor([torch.ones(2)]),
    "decoder.layers.0.weight_v": torch.nested.nested_tensor([torch.ones(2)]),
}


@pytest.mark.filterwarnings("ignore")
def test_tensors_without_plain_values_are_shown_as_far_as_they_go(run: Run, tmp_path: Path) -> None:
    torch.save({"state_dict": ODD, **ODD}, tmp_path / "x.ckpt")
    for flag in ("--dict", "--attr"):
        done = run("inspector", "--input", tmp_path / "x.ckpt", flag, stdin="*\n")
        assert (done.code, done.errors) == (0, [])
        assert all(f"\n{name}: " in done.text for name in ODD)
    assert "  1000000x1000000 float32" in run("inspector", "--input", tmp_path / "x.ckpt", "--dict", stdin="").text
    assert run("inspector", "--input", tmp_path / "x.ckpt", "--save", "--output", tmp_path / "out").code == 0
    assert "tensor" in str(json_value(ODD["nested"])) and "tensor" in str(json_value(ODD["meta"]))


def test_safetensors_of_bfloat16_with_missing_keys(tmp_path: Path) -> None:
    save_file({"a": torch.full((2, 2), 1.5, dtype=torch.bfloat16)}, tmp_path / "x.safetensors", {"made": "here"})
    found = inspect.inspect(tmp_path / "x.safetensors")
    assert found.failure is None and found.facts.family is None and found.facts.parameters == 4
    assert "b" not in found.tensors and inspect.describe("a", found.tensors["a"]).mean == 1.5
    assert dict(found.entries) == {"made": "here"}


def test_plain_values() -> None:
    assert json_value({"a": (math.inf, 2.0, torch.tensor([1, 2])), 3: {"x"}}) == {"a": [None, 2, [1, 2]], "3": ["x"]}
    assert json_value(torch.zeros(100)) == "float32 tensor of shape (100,)"
    endless: list[Any] = []
    endless.append(endless)
    assert "..." in str(json_value(endless))
