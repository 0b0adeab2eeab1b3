"""Small models with the class names, attributes and shapes of every family, and files that are no models.

They compute next to nothing; what the files say about themselves is that of real exports.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import List, Optional, Tuple  # noqa: UP035

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

RATIO = 64  # samples per frame of most models here
FIDELITY = torch.tensor([0.5, 0.8, 0.9, 0.96, 0.98, 0.99, 0.995, 1.0])


class EncoderV2(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Cache(nn.Module):
    """Delays by one frame, as the cached convolutions of a streaming export do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pad", torch.zeros(64, 16, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c = x.shape[0], x.shape[1]
        joined = torch.cat([self.pad[:b, :c], x], 2)
        self.pad[:b, :c] = joined[:, :, -1:]
        return joined[:, :, :-1]


class Same(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Padded(nn.Module):
    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return x


class CachedConv1d(nn.Module):
    """States a delay of one frame as cached_conv does; computes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stride, self.cumulative_delay = (RATIO,), 1
        self.cache, self.downsampling_delay = Padded(2 * RATIO), Padded(0)

    def forward(self, x: Tensor) -> Tensor:
        return x


class CachedConvTranspose1d(nn.Module):
    """States that it adds no delay."""

    def __init__(self) -> None:
        super().__init__()
        self.stride, self.padding, self.cumulative_delay = (RATIO,), (0,), 0

    def forward(self, x: Tensor) -> Tensor:
        return x


class VariationalEncoder(nn.Module):
    def __init__(self, streaming: bool) -> None:
        super().__init__()
        self.encoder = EncoderV2()
        self.cache = Cache() if streaming else Same()
        self.conv = CachedConv1d() if streaming else Same()

    def forward(self, x: Tensor) -> Tensor:
        return self.cache(self.encoder(x))


class DiscreteEncoder(VariationalEncoder):
    pass


class WasserteinEncoder(VariationalEncoder):
    pass


class SphericalEncoder(VariationalEncoder):
    pass


class Encoder(VariationalEncoder):
    pass


class GeneratorV2(nn.Module):
    def __init__(self, streaming: bool = False) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.conv = CachedConvTranspose1d() if streaming else Same()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain[0]


class Generator(GeneratorV2):
    pass


class AdaptiveInstanceNormalization(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Codec(nn.Module):
    """encode and decode with the right shapes, and the facts that nn~ reads."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, dims: int, ratio: int, ins: int = 1, outs: int = 1):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.z, self.ratio, self.outs = dims, ratio, outs
        self._methods = ["encode", "decode", "forward"]
        self._attributes = ["none", "learn_target"]
        self.learn_target = (False,)
        self.register_buffer("learn_target_params", torch.tensor([0.0]))
        self.register_buffer("encode_params", torch.tensor([ins, 1, dims, ratio]))
        self.register_buffer("decode_params", torch.tensor([dims, ratio, outs, 1]))
        self.register_buffer("forward_params", torch.tensor([ins, 1, outs, 1]))

    @torch.jit.export
    def get_methods(self) -> List[str]:  # noqa: UP006
        return self._methods

    @torch.jit.export
    def get_attributes(self) -> List[str]:  # noqa: UP006
        return self._attributes

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.pad(x.mean(1, keepdim=True), [0, (-x.shape[2]) % self.ratio])
        z = x.reshape(x.shape[0], 1, -1, self.ratio).mean(3)
        return self.encoder(z.repeat(1, self.z, 1))

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        y = z.mean(1, keepdim=True).repeat_interleave(self.ratio, 2)
        return self.decoder(y.repeat(1, self.outs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class ScriptedRAVE(Codec):
    def __init__(self, encoder: nn.Module, dims: int, version: str, channels: int = 1, outs: Optional[int] = None):  # noqa: UP045
        super().__init__(
            encoder, GeneratorV2(isinstance(encoder.cache, Cache)), dims, RATIO, channels, outs or channels
        )
        self.sr, self.latent_size, self.full_latent_size = 48000, dims, 8
        self.fake_adain = AdaptiveInstanceNormalization()
        self.resampler = None
        for name, value in (
            ("latent_pca", torch.eye(8)),
            ("latent_mean", torch.zeros(8)),
            ("fidelity", FIDELITY.clone()),
        ):
            self.register_buffer(name, value)
        if version == "2.3":
            self.stereo_mode, self.n_channels, self.target_channels = False, channels, outs or channels
        else:
            self.stereo = (outs or channels) == 2


class VariationalScriptedRAVE(ScriptedRAVE):
    pass


class DiscreteScriptedRAVE(ScriptedRAVE):
    pass


class WasserteinScriptedRAVE(ScriptedRAVE):
    pass


class SphericalScriptedRAVE(ScriptedRAVE):
    pass


class TraceModel(Codec):
    """RAVE 1: `latent_size` is the full one, the rate is a tensor, encode is mono and decode stereo."""

    def __init__(self) -> None:
        super().__init__(Encoder(False), Generator(), 4, RATIO, 1, 2)
        self.latent_size, self.cropped_latent_size = 8, 4
        self.deterministic, self.max_batch_size, self.stereo = True, 8, True
        self.register_buffer("sampling_rate", torch.tensor(44100))


class Combined(nn.Module):
    """RAVE 1 with its prior: the rate is only inside."""

    def __init__(self) -> None:
        super().__init__()
        self._rave, self._prior = TraceModel(), Same()
        self.register_buffer("encode_params", torch.tensor([1, 1, 4, RATIO]))
        self.register_buffer("decode_params", torch.tensor([4, RATIO, 2, 1]))

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return self._rave.encode(x)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return self._rave.decode(z)

    def forward(self, x: Tensor) -> Tensor:
        return self._prior(x)


class ScriptedPrior(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seq_len, self.num_rave_quantizers, self.num_tokens = 128, 16, 1024
        self.register_buffer("forward_params", torch.tensor([1, RATIO, 17, RATIO]))
        self.register_buffer("temperature_params", torch.tensor([2.0]))
        self.temperature = (1.0,)

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(1, 17, 1)

    @torch.jit.export
    def get_methods(self) -> List[str]:  # noqa: UP006
        return ["forward"]

    @torch.jit.export
    def get_attributes(self) -> List[str]:  # noqa: UP006
        return ["none", "temperature"]


class CombinedModule(nn.Module):
    """MSPrior with the RAVE that it controls."""

    def __init__(self) -> None:
        super().__init__()
        self.rave_model, self.prior = DiscreteScriptedRAVE(DiscreteEncoder(False), 4, "2.3"), ScriptedPrior()

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return self.rave_model.encode(x)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return self.rave_model.decode(z)

    def forward(self, x: Tensor) -> Tensor:
        return self.rave_model(x)


class ScriptableSpectralAutoEncoder(Codec):
    """vschaos2, conditioned: decode takes two labels more than encode gives."""

    def __init__(self) -> None:
        super().__init__(Same(), Same(), 4, RATIO)
        self.latent_dim, self.hop_length = 4, RATIO
        self.decode_input_labels = [*(f"latent {i}" for i in range(4)), "pitch", "octave"]
        self.decode_params = torch.tensor([6, RATIO, 1, 1])


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = EncoderV2(), GeneratorV2()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class AfterCodec(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Inner()
        self.latent_size, self.comp_ratio, self.target_channels = 6, RATIO, 1

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Streamer(nn.Module):
    """AFTER's generator: no encode, `pad` in a buffer although it does not stream."""

    def __init__(self) -> None:
        super().__init__()
        self.sr, self.ae_ratio, self.ae_latents, self.zs_channels, self.zt_channels = 44100, RATIO, 6, 4, 3
        self.register_buffer("pad", torch.zeros(1))
        self.register_buffer("forward_params", torch.tensor([7, RATIO, 6, RATIO]))

    def forward(self, x: Tensor) -> Tensor:
        return x


class AE_Spectral(Codec):  # noqa: N801
    """AFTER 2.0."""

    def __init__(self) -> None:
        super().__init__(Same(), Same(), 16, RATIO)


class AutoencoderPretransform(Codec):
    """Stable Audio, exported for nn~: the rate is named `sample_rate`."""

    def __init__(self) -> None:
        super().__init__(Same(), Same(), 6, RATIO, 2, 2)
        self.model = Inner()
        self.sample_rate, self.encoded_channels, self.downsampling_ratio, self.io_channels = 32000, 6, RATIO, 2


class ScriptedUNet(Codec):
    """music2latent-scripted."""

    def __init__(self) -> None:
        super().__init__(Same(), Same(), 6, RATIO)
        self.stft_processor = Same()


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 12345.0


class Trap(nn.Module):
    """Writes a file named `trapped` into the working folder as soon as it is loaded."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> Tuple[Tensor, bool]:  # noqa: UP006
        return (torch.zeros(1), self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[Tensor, bool]) -> None:  # noqa: UP006
        torch.save(state[0], "trapped")
        self.training = state[1]


class Mismatched(Codec):
    def __init__(self) -> None:
        super().__init__(Same(), Same(), 4, RATIO)
        self.decode_params = torch.tensor([5, RATIO, 1, 1])


def _stereo() -> nn.Module:
    return VariationalScriptedRAVE(VariationalEncoder(False), 4, "2.3", 2)


SCRIPTS: dict[str, Callable[[], nn.Module]] = {
    "rave1": TraceModel,
    "rave1_combined": Combined,
    "rave20": lambda: VariationalScriptedRAVE(VariationalEncoder(False), 4, "2.0", 1, 2),
    "rave23": lambda: VariationalScriptedRAVE(VariationalEncoder(False), 4, "2.3"),
    "rave23_stereo": _stereo,
    "rave23_streaming": lambda: VariationalScriptedRAVE(VariationalEncoder(True), 4, "2.3"),
    "rave_discrete": lambda: DiscreteScriptedRAVE(DiscreteEncoder(False), 4, "2.3"),
    "rave_wasserstein": lambda: WasserteinScriptedRAVE(WasserteinEncoder(False), 8, "2.3"),
    "rave_spherical": lambda: SphericalScriptedRAVE(SphericalEncoder(False), 7, "2.3"),
    "msprior": ScriptedPrior,
    "msprior_combined": CombinedModule,
    "vschaos2": ScriptableSpectralAutoEncoder,
    "after_codec": AfterCodec,
    "after_streamer": Streamer,
    "after2": AE_Spectral,
    "stable_audio": AutoencoderPretransform,
    "music2latent": ScriptedUNet,
    "plain": Plain,
    "mismatched": Mismatched,
}

SAT_CONFIG = {
    "model_type": "autoencoder",
    "sample_rate": 32000,
    "audio_channels": 2,
    "model": {
        "encoder": {"type": "oobleck", "config": {"channels": 4}},
        "decoder": {"type": "oobleck"},
        "bottleneck": {"type": "vae"},
        "latent_dim": 6,
        "downsampling_ratio": 512,
        "io_channels": 2,
    },
}


CHECKPOINTS: dict[str, dict[str, object]] = {  # what only the trainer of each family writes
    "msprior_training": {"state_dict": {"decoder.predictor.predictors.0.predictor.0.weight": torch.zeros(2)}},
    "music2latent_training": {"gen_state_dict": {"gain": torch.zeros(2)}, "ema_state_dict": {}},
    "vschaos2_training": {"state_dict": {"concat_embeddings.pitch.weight": torch.zeros(2)}},
    "after_training": {"model_state": {"encoder.net.0.weight": torch.zeros(2)}, "opt_state": {}},
}


def script(folder: Path, name: str) -> Path:
    """Build one of `SCRIPTS` as `<name>.ts`."""
    path = folder / f"{name}.ts"
    torch.jit.script(SCRIPTS[name]().eval()).save(str(path))
    return path


def oobleck(prefix: str = "") -> dict[str, Tensor]:
    """Return the weights that identify an oobleck autoencoder: 2 channels, 6 dims."""
    return {
        f"{prefix}encoder.layers.0.weight_v": torch.arange(56.0).reshape(4, 2, 7),
        f"{prefix}encoder.layers.0.weight_g": torch.ones(4, 1, 1),
        f"{prefix}decoder.layers.0.weight_v": torch.ones(8, 6, 7),
    }


def checkpoints(folder: Path) -> dict[str, Path]:
    """Write every kind of checkpoint, each in a folder of its own, so that no other config is beside it."""
    found = {}
    for name in ("sat_training", "sat_unwrapped", "sat_bare", "sat_safetensors", "rave_training", "legacy", "other"):
        (folder / name).mkdir()
        found[name] = folder / name / f"{name}.ckpt"
    weights = {**oobleck("autoencoder."), "discriminator.w": torch.zeros(2)}
    torch.save({"state_dict": weights, "model_config": SAT_CONFIG, "epoch": 3}, found["sat_training"])
    torch.save({"state_dict": oobleck()}, found["sat_unwrapped"])
    found["sat_unwrapped"].with_suffix(".json").write_text(json.dumps(SAT_CONFIG), encoding="utf-8")
    torch.save({"state_dict": oobleck()}, found["sat_bare"])
    found["sat_safetensors"] = found["sat_safetensors"].with_suffix(".safetensors")
    save_file(oobleck(), found["sat_safetensors"])
    rave = {"latent_pca": torch.eye(8), "latent_mean": torch.zeros(8), "fidelity": FIDELITY}
    torch.save({"state_dict": rave, "pytorch-lightning_version": "1.9.0", "global_step": 7}, found["rave_training"])
    torch.save({"state_dict": oobleck()}, found["legacy"], _use_new_zipfile_serialization=False)
    torch.save({"a": torch.ones(2, 3)}, found["other"])
    for name, entries in CHECKPOINTS.items():
        (folder / name).mkdir()
        found[name] = folder / name / f"{name}.ckpt"
        torch.save(entries, found[name])
    return found


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
    """Copy a zip archive member by member through `change(name, bytes)`; None leaves a member out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            changed = change(info.filename, old.read(info))
            if changed is not None:
                new.writestr(*changed)
    return target


def with_code(source: Path, target: Path, statement: str) -> Path:
    """Copy a model with one more statement at the start of its first method."""

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if name.endswith("/fixtures_models.py"):
            data = data.replace(b"    return ", b"    " + statement.encode() + b"\n    return ", 1)
        return name, data

    return rewrite(source, target, change)
