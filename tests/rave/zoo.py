"""Builds the zoo: exports of every kind that RAVE users own, made by RAVE's own model and export classes.

    python tests/rave/zoo.py OUT_FOLDER [--full] [--only NAME ...]

Runs in an environment with acids-rave 2.3.1 (`make test-rave` sets it up). The weights are random, layer by layer
brought to unit variance, so that sound goes in and sound comes out. `OUT_FOLDER/zoo.json` tells what each file must
be found to be. What is there and was made by the same recipe is kept.
"""

import argparse
import dataclasses
import hashlib
import json
import logging
import math
import multiprocessing
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECIPE = hashlib.sha256((HERE / "zoo.py").read_bytes() + (HERE / "legacy.py").read_bytes()).hexdigest()[:16]
PROCESSES = 2
LEVEL = 0.15  # of the last convolution, so that the sound stays within full scale


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of export and the facts that must be read off it.

    `configs` are RAVE's gin files, `bindings` what is changed in them; `fidelity_dims` is where the fidelity of a
    variational model passes 0.95; `random` names the methods that draw random numbers.
    """

    configs: tuple[str, ...]
    dims: int
    bindings: tuple[str, ...] = ()
    encoder: str = "Variational"
    compression: int = 2048
    sample_rate: int = 44100
    channels: int = 1
    target_channels: int | None = None
    target_rate: int | None = None
    fidelity_dims: int = 8
    random: tuple[str, ...] = ("encode", "decode")
    capacity: int = 16


STILL = ("NOISE_AUGMENTATION = 0",)
KINDS = {
    "v1": Kind(("v1",), 8),
    "v2": Kind(("v2",), 8),
    "v2_small": Kind(("v2_small",), 16, compression=512, fidelity_dims=16),
    "v2_noise": Kind(("v2", "noise"), 8),
    "v2_1024": Kind(("v2",), 8, ("RATIOS = [4, 4, 2, 2]",), compression=1024),
    "v2_causal": Kind(("v2", "causal"), 8),
    "v2_48k": Kind(("v2",), 8, ("SAMPLING_RATE = 48000",), sample_rate=48000),
    "v2_resampled": Kind(("v2",), 8, compression=4096, sample_rate=88200, target_rate=88200),
    "v2_1dim": Kind(("v2_small",), 1, compression=512, fidelity_dims=0),
    "v2_128dims": Kind(("v2",), 128, fidelity_dims=120, random=("encode",)),
    "v2_stereo": Kind(("v2",), 8, channels=2),
    "v2_wide": Kind(("v2",), 8, target_channels=2),
    "v3": Kind(("v3",), 8),
    "wasserstein": Kind(("v2", "wasserstein"), 16, STILL, "Wasserstein", random=()),
    "wasserstein_noisy": Kind(("v2", "wasserstein"), 16, (), "Wasserstein", random=("decode",)),
    "wasserstein_causal": Kind(("v2", "wasserstein", "causal"), 16, STILL, "Wasserstein", random=()),
    "wasserstein_resampled": Kind(
        ("v2", "wasserstein"), 16, STILL, "Wasserstein", 4096, sample_rate=88200, target_rate=88200, random=()
    ),
    "wasserstein_stereo": Kind(("v2", "wasserstein"), 16, STILL, "Wasserstein", channels=2, random=()),
    "wasserstein_v3": Kind(("v3", "wasserstein"), 16, STILL, "Wasserstein", random=()),
    "spherical": Kind(("v2", "spherical"), 15, (), "Spherical", random=()),
    "discrete": Kind(("discrete",), 16, STILL, "Discrete", 1024, random=()),
    "discrete_noisy": Kind(("discrete",), 16, (), "Discrete", 1024, random=("decode",)),
}
FULL = {"v2_full": Kind(("v2",), 16, fidelity_dims=16, capacity=96)}
LEGACY = {
    "legacy_stereo": {"channels_out": 2, "random": ["encode", "decode"]},
    "legacy_stereo_still": {"channels_out": 2, "random": []},
    "legacy_combined": {"channels_out": 1, "random": []},
}


def facts_of(kind: Kind, streaming: bool) -> dict[str, Any]:
    """What must be found in an export of this kind."""
    return {
        "config": [*kind.configs, *kind.bindings],
        "encoder": kind.encoder,
        "streaming": streaming,
        "sample_rate": kind.sample_rate,
        "compression": kind.compression,
        "dims": kind.dims,
        "channels_in": kind.channels,
        "channels_out": kind.target_channels or kind.channels,
        "random": list(kind.random),
    }


def legacy_facts(name: str) -> dict[str, Any]:
    common = {"config": ["own code"], "encoder": "RAVE 1", "streaming": False, "sample_rate": 44100}
    return {**common, "compression": 2048, "dims": 8, "channels_in": 1, **LEGACY[name]}


def configure(kind: Kind) -> None:
    """Hand RAVE's configuration of this kind to gin."""
    import gin
    import rave

    folder = Path(rave.__file__).parent / "configs"
    gin.add_config_file_search_path(str(folder))
    bindings = [f"CAPACITY = {kind.capacity}", *kind.bindings]
    gin.parse_config_files_and_bindings([str(folder / f"{name}.gin") for name in kind.configs], bindings)


def rave_model(kind: Kind, streaming: bool) -> Any:
    """RAVE's own model of this kind, as `gin` is configured, without the weight norm that only training needs."""
    import cached_conv
    import rave
    import torch

    cached_conv.use_cached_conv(streaming)
    model = rave.RAVE(n_channels=kind.channels).eval()
    for module in model.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
    return model


def enliven(model: Any, kind: Kind) -> None:
    """Random weights that carry a signal: every convolution in turn is brought to unit variance on noise.

    Plain random weights shrink a signal to nothing over forty layers. After Mishkin and Matas, "All you need is a good
    init", 2015.
    """
    import numpy as np
    import torch

    dims = model.latent_size
    model.latent_pca.copy_(torch.linalg.qr(torch.randn(dims, dims))[0])
    model.latent_mean.copy_(0.1 * torch.randn(dims))
    fidelity = np.where(np.arange(dims) < kind.fidelity_dims, 0.9, 0.96) + np.linspace(0.0, 0.039, dims)
    model.fidelity.copy_(torch.from_numpy(fidelity))

    settled = []

    def settle(module: Any, _: Any, output: Any) -> Any:
        settled.append(module)
        scale = 1.0 / output.std().clamp(min=1e-6)
        module.weight.mul_(scale)
        if module.bias is not None:
            module.bias.mul_(scale)
        return output * scale

    layers = (torch.nn.Conv1d, torch.nn.ConvTranspose1d)
    hooks = [m.register_forward_hook(settle) for part in (model.encoder, model.decoder) for m in part.modules()
             if isinstance(m, layers)]  # fmt: skip
    latents = model.encode(0.3 * torch.randn(1, kind.channels, 1 << 16))
    model.decode(torch.randn(1, _decoder_dims(model), latents.shape[-1]))
    for hook in hooks:
        hook.remove()
    synth = getattr(model.decoder, "synth", None)  # RAVE 1: waveform, loudness and noise side by side
    wave = settled[-1] if synth is None else next(m for m in synth.branches[0].modules() if isinstance(m, layers))
    wave.weight.mul_(LEVEL)
    if kind.encoder == "Discrete":
        for i, layer in enumerate(model.encoder.rvq.layers):
            layer._codebook.embed.normal_().mul_(0.8**i)
            layer._codebook.inited.fill_(1.0)


def _decoder_dims(model: Any) -> int:
    import torch

    return next(m for m in model.decoder.net.modules() if isinstance(m, torch.nn.Conv1d)).in_channels


def export(name: str, kind: Kind, streaming: bool, target: Path) -> None:
    """Build one export as `rave export` does."""
    import cached_conv
    import scripts.export
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))
    if kind.target_channels:  # these work for a batch of one only, and nn_tilde tries four unless told this
        cached_conv.MAX_BATCH_SIZE = 1
    configure(kind)
    model = rave_model(kind, False)
    enliven(model, kind)
    if streaming:  # the same weights in cached convolutions
        weights = model.state_dict()
        model = rave_model(kind, True)
        missing = model.load_state_dict(weights, strict=False)
        assert not missing.unexpected_keys, missing.unexpected_keys
        assert all(key.endswith(".pad") for key in missing.missing_keys), missing.missing_keys
    prefix = kind.encoder.replace("Wasserstein", "Wassertein")  # sic, as RAVE spells it
    scripted = getattr(scripts.export, f"{prefix}ScriptedRAVE")(
        model, channels=kind.target_channels, fidelity=0.95, target_sr=kind.target_rate
    )
    scripted.decode(scripted.encode(torch.zeros(1, kind.channels, 2**14)))
    scripted.export_to_ts(str(target))


def build(job: tuple[str, str, bool, Path]) -> dict[str, Any]:
    """Build one file unless it is there; its entry in the index."""
    name, file, streaming, out = job
    target, entry_path = out / file, out / f"{file}.json"
    facts = legacy_facts(name) if name in LEGACY else facts_of({**KINDS, **FULL}[name], streaming)
    if target.is_file() and entry_path.is_file():
        entry: dict[str, Any] = json.loads(entry_path.read_text())
        if entry["recipe"] == RECIPE and entry["bytes"] == target.stat().st_size:
            return entry
    start = time.monotonic()
    part = target.with_suffix(".part")
    if name in LEGACY:
        import legacy
        import torch

        torch.manual_seed(0)
        torch.jit.script(legacy.BUILDERS[name]().eval()).save(str(part))
    else:
        export(name, {**KINDS, **FULL}[name], streaming, part)
    part.replace(target)
    entry = {"file": file, **facts, "bytes": target.stat().st_size, "recipe": RECIPE}
    entry_path.write_text(json.dumps(entry, indent=1) + "\n")
    print(f"{file}: {entry['bytes'] / 1e6:.1f} MB, {time.monotonic() - start:.1f} s", file=sys.stderr)
    return entry


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--full", action="store_true", help="also v2 at full size, for the benchmarks")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="build these kinds, and leave the index alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kinds = {**KINDS, **(FULL if args.full else {})}
    jobs = [(name, f"{name}{'_streaming' if s else ''}.ts", s, args.out) for name in kinds for s in (False, True)]
    jobs += [(name, f"{name}.ts", False, args.out) for name in LEGACY]
    jobs = [job for job in jobs if not args.only or job[0] in args.only]
    start = time.monotonic()
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    # one process per export: gin and cached_conv keep global state; forked after the slow imports, before any work
    import rave  # noqa: F401
    import scripts.export  # noqa: F401

    logging.disable(logging.ERROR)  # RAVE narrates
    with multiprocessing.get_context("fork").Pool(PROCESSES, maxtasksperchild=1) as pool:
        entries = pool.map(build, jobs, chunksize=1)
    if not args.only:
        index = args.out / "zoo.json"
        part = index.with_suffix(".part")
        part.write_text(json.dumps({"recipe": RECIPE, "exports": entries}, indent=1) + "\n")
        part.replace(index)
    print(f"{len(entries)} exports in {args.out}, {math.ceil(time.monotonic() - start)} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
