"""The families of TorchScript models: the marks of each family, and which attributes hold its facts.

A family is one entry of `FAMILIES`. What a file does not state stays unknown.
"""

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from unravel_lib.inspection.facts import Facts
from unravel_lib.models.torchscript import Module, class_name, has, inner_rave, value

CONDITIONS, CODES, ANGLES = "conditions of decode", "integer codes", "angles"
LATENTS = {"DiscreteEncoder": CODES, "SphericalEncoder": ANGLES}  # encoders whose latents are no real numbers


@dataclass(frozen=True)
class Mark:
    """What identifies a family: the class of the outermost module (a glob pattern), attributes that it has, or both."""

    class_name: str | None = None
    attributes: tuple[str, ...] = ()
    version: str | None = None

    def fits(self, name: str, module: Module | None) -> bool:
        """Return True if the class name, and the attributes of the module where it is given, are those of the mark."""
        if self.class_name is not None and not fnmatch.fnmatchcase(name, self.class_name):
            return False
        return self.class_name is not None if module is None else has(module, *self.attributes)

    def text(self, name: str) -> str:
        """Return the mark as the report names it."""
        if self.class_name is not None:
            return f"class {name}"
        return f"attribute{'s' if len(self.attributes) > 1 else ''} {' and '.join(self.attributes)}"


@dataclass(frozen=True)
class Family:
    """A family of models; attributes are looked up in the module first, then in its parts.

    Attributes
    ----------
    marks : each of them identifies the family
    versions : attribute -> version, where the mark implies none
    parts : submodules that have some of the attributes
    dims, full_dims, compression, out_channels : attributes, of which the first that holds a count is the fact, for what
        `<method>_params` do not state
    details : attributes that are reported as they are
    known_offline : without streaming buffers its files are offline exports
    more : fills in what attributes alone do not state: more(module, facts)
    """

    name: str
    marks: tuple[Mark, ...]
    versions: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    full_dims: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()
    out_channels: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    known_offline: bool = False
    more: Callable[[Module, Facts], None] | None = None


def count(owners: Sequence[Module], *names: str) -> int | None:
    """Return the first attribute that holds a whole number above 0."""
    for name in names:
        for owner in owners:
            found = value(owner, name)
            if isinstance(found, float) and found.is_integer():
                found = int(found)
            if isinstance(found, int) and not isinstance(found, bool) and found > 0:
                return found
    return None


def _rave(module: Module, facts: Facts) -> None:
    """Fill in what only RAVE has; `latent_size` of version 1 is the full size."""
    source = inner_rave(module) or module
    if facts.full_dims is None and has(source, "cropped_latent_size"):
        facts.full_dims = count([source], "latent_size")
    _no_pca(facts)
    norms = sum(class_name(part) == "AdaptiveInstanceNormalization" for part in source.modules())
    if norms > 1:  # every RAVE 2 export has one that is not used
        facts.details["AdaIN layers"] = norms - 1
    if "VariationalEncoder" in (facts.encoder or "") or facts.version == "1":
        _shares(value(source, "fidelity"), facts)


def _shares(fidelity: object, facts: Facts) -> None:
    """Fill in the share of the variance per dim: differences of `fidelity`, cumulative over the PCA's dims."""
    if not isinstance(fidelity, torch.Tensor) or fidelity.dim() != 1 or fidelity.numel() < 2:
        return
    values = fidelity.detach().double().cpu()
    if not bool(torch.isfinite(values).all()) or float(values.abs().max()) == 0:
        return  # not measured: the training did not reach its second phase
    shares = torch.diff(values, prepend=torch.zeros(1, dtype=torch.float64))
    if float(shares.min()) < -1e-4 or float(values.max()) > 1 + 1e-3:
        facts.warnings.append("fidelity does not grow from 0 to 1: the share of variance per dim is unknown")
        return
    facts.variance_shares = [max(0.0, float(share)) for share in shares]


def _no_pca(facts: Facts) -> None:
    """Fill in that codes and angles stand for a vector of more values, from which no dims were cut off."""
    for encoder, latents in LATENTS.items():
        if encoder in (facts.encoder or ""):
            facts.details["latents"] = latents
            if facts.full_dims is not None:
                facts.details["values behind a frame"] = facts.full_dims
            facts.full_dims = None


def _vschaos(module: Module, facts: Facts) -> None:
    """Fill in the latent dims, which its methods may have further channels beside."""
    facts.dims = count([module], "latent_dim") or facts.dims
    hints = sorted({rate for rate in (count([part], "sr") for part in module.modules()) if rate})
    if hints and facts.sample_rate is None:
        facts.details["sample rates named inside"] = hints


FAMILIES = (
    Family(
        name="AFTER",
        marks=(
            Mark("AE_Spectral", version="2"),
            Mark(attributes=("ae_ratio", "ae_latents")),
            Mark(attributes=("comp_ratio", "latent_size")),
        ),
        dims=("latent_size", "ae_latents"),
        compression=("comp_ratio", "ae_ratio"),
        out_channels=("target_channels",),
        details=("ae_ratio", "ae_latents", "zs_channels", "zt_channels"),
    ),
    Family(
        name="RAVE",
        marks=(
            Mark("*ScriptedRAVE"),  # RAVE 2: Variational..., Discrete..., Wasserstein..., Spherical...
            Mark("TraceModel", version="1"),
            Mark("Combined", ("_rave",), version="1"),
            Mark(attributes=("cropped_latent_size",), version="1"),
            Mark(attributes=("full_latent_size", "latent_pca")),
        ),
        versions=(("stereo_mode", "2.3 or later"), ("stereo", "2.0 to 2.2")),
        parts=("_rave",),
        dims=("cropped_latent_size", "latent_size"),
        full_dims=("full_latent_size",),
        details=("deterministic", "max_batch_size", "stereo", "n_channels", "target_channels"),
        known_offline=True,
        more=_rave,
    ),
    Family(
        name="MSPrior",
        marks=(Mark("ScriptedPrior"), Mark("CombinedModule", ("rave_model",))),
        parts=("prior_model", "prior", "rave_model"),
        full_dims=("full_latent_size",),
        details=("seq_len", "num_rave_quantizers", "num_tokens"),
        more=lambda module, facts: _no_pca(facts),
    ),
    Family(
        name="vschaos2",
        marks=(Mark("ScriptableSpectralAutoEncoder"),),
        compression=("hop_length",),
        more=_vschaos,
    ),
    Family(
        name="Stable Audio Tools",
        marks=(Mark("AutoencoderPretransform"),),
        dims=("encoded_channels",),
        compression=("downsampling_ratio",),
        out_channels=("io_channels",),
    ),
    Family(
        name="music2latent-scripted",
        marks=(Mark("ScriptedUNet", ("stft_processor",)),),
    ),
    Family(name="UnRAVEl pocket model", marks=(Mark("Pocket", ("encode_params",)),)),
)
# Class names are more reliable than attributes.
MARKS = sorted(((mark, family) for family in FAMILIES for mark in family.marks), key=lambda m: m[0].class_name is None)


def identify(name: str, module: Module | None, facts: Facts) -> Family | None:
    """Fill in family, version and mark, from the class name of a model and, where it is loaded, its attributes."""
    mark, family = next(((mark, family) for mark, family in MARKS if mark.fits(name, module)), (None, None))
    if mark is None or family is None:
        return None
    facts.family, facts.version, facts.mark = family.name, mark.version, mark.text(name)
    if facts.version is None and module is not None:
        for attribute, version in family.versions:
            if has(module, attribute):
                facts.version, facts.mark = version, f"{facts.mark}, attribute {attribute}"
                break
    return family
