"""What a loaded TorchScript export states about itself: its family, by marks, and where each family holds its facts.

A family is one entry of `FAMILIES`. What a file does not state stays unknown.
"""

import contextlib
import fnmatch
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from unravel_lib.inspection.facts import Facts, Method, Part, count, joined, json_value
from unravel_lib.models import torchscript
from unravel_lib.models.contract import LIVE, condition_names, method_params, stated_sample_rate
from unravel_lib.models.torchscript import MODEL_ERRORS, Module, class_name, has, inner_rave, submodule, value

CODES, ANGLES = "integer codes", "angles"
LATENTS = {"DiscreteEncoder": CODES, "SphericalEncoder": ANGLES}  # encoders whose latents are no real numbers
OWN_METHODS = frozenset(("get_methods", "get_attributes"))
PORTS = {  # places of facts in `<method>_params`; what encode states is the last word
    "play": {"out_channels": 2},  # of live files
    "decode": {"dims": 0, "compression": 1, "out_channels": 2},
    "encode": {"in_channels": 0, "dims": 2, "compression": 3},
}
RAVE_VERSIONS = {"stereo_mode": "2.3 or later", "stereo": "2.0 to 2.2"}  # by an attribute, where the mark implies none


class Mark(NamedTuple):
    """What identifies a family: the class of the outermost module (a glob pattern), attributes that it has, or both."""

    class_name: str = ""
    attributes: str = ""
    version: str | None = None

    def fits(self, name: str, module: Module) -> bool:
        """Return True if the class name and the attributes of a module are those of the mark."""
        return fnmatch.fnmatchcase(name, self.class_name or "*") and has(module, *self.attributes.split())

    def text(self, name: str) -> str:
        """Return the mark as the report names it."""
        names = " and ".join(self.attributes.split())
        return f"class {name}" if self.class_name else f"attribute{'s' if ' ' in names else ''} {names}"


class Family(NamedTuple):
    """A family of models; attributes, separated by blanks, are looked up in the module first, then in its parts.

    Attributes
    ----------
    marks : each of them identifies the family
    parts : submodules that have some of the attributes
    facts : of those that `<method>_params` do not state, the attributes, of which the first that holds a count is it
    details : attributes that are reported as they are
    more : returns what attributes alone do not state: more(module, facts)
    """

    name: str
    marks: tuple[Mark, ...]
    parts: str = ""
    facts: Mapping[str, str] = {}
    details: str = ""
    more: Callable[[Module, Facts], Part] | None = None


def _rave(module: Module, facts: Facts) -> Part:
    """Return what only RAVE has; `latent_size` of version 1 is the full size. Without caches it is offline."""
    source, full = inner_rave(module) or module, facts.full_dims
    if full is None and has(source, "cropped_latent_size"):
        full = count(value(source, "latent_size"))
    part: Part = {"full_dims": full, "streaming": facts.streaming or False} | _no_pca(facts, full)
    known_by = next((attribute for attribute in RAVE_VERSIONS if has(module, attribute)), None)
    if facts.version is None and known_by is not None:
        part |= {"version": RAVE_VERSIONS[known_by], "mark": f"{facts.mark}, attribute {known_by}"}
    norms = sum(class_name(inner) == "AdaptiveInstanceNormalization" for inner in source.modules())
    if norms > 1:  # every RAVE 2 export has one that is not used
        part["details"] = {**part.get("details", {}), "AdaIN layers": norms - 1}
    if "VariationalEncoder" in (facts.encoder or "") or facts.version == "1":
        part |= _shares(value(source, "fidelity"))
    return part


def _shares(fidelity: object) -> Part:
    """Return the share of the variance per dim: differences of `fidelity`, cumulative over the PCA's dims."""
    if not isinstance(fidelity, torch.Tensor) or fidelity.dim() != 1 or fidelity.numel() < 2:
        return {}
    values = fidelity.detach().double().cpu()
    if not bool(torch.isfinite(values).all()) or float(values.abs().max()) == 0:
        return {}  # not measured: the training did not reach its second phase
    shares = torch.diff(values, prepend=torch.zeros(1, dtype=torch.float64))
    if float(shares.min()) < -1e-4 or float(values.max()) > 1 + 1e-3:
        return {"warnings": ["fidelity does not grow from 0 to 1: the share of variance per dim is unknown"]}
    return {"variance_shares": [max(0.0, float(share)) for share in shares]}


def _no_pca(facts: Facts, full_dims: int | None) -> Part:
    """Return that codes and angles stand for a vector of more values, from which no dims were cut off."""
    kind = next((latents for encoder, latents in LATENTS.items() if encoder in (facts.encoder or "")), None)
    if kind is None:
        return {}
    return {"full_dims": None, "details": {"latents": kind, "values behind a frame": full_dims}}


def _live(module: Module, facts: Facts) -> Part:
    """Return whose latents a live file draws, and from how much; it carries its state from call to call."""
    details = dict(zip(("latents of", "recordings", "minutes"), (value(module, name) for name in LIVE), strict=True))
    return {"details": details, "streaming": True, "delay_samples": 0}


FAMILIES = (
    Family(
        "AFTER",
        (
            Mark("AE_Spectral", version="2"),
            Mark(attributes="ae_ratio ae_latents"),
            Mark(attributes="comp_ratio latent_size"),
        ),
        facts={
            "dims": "latent_size ae_latents",
            "compression": "comp_ratio ae_ratio",
            "out_channels": "target_channels",
        },
        details="ae_ratio ae_latents zs_channels zt_channels",
    ),
    Family(
        "RAVE",
        (
            Mark("*ScriptedRAVE"),  # RAVE 2: Variational..., Discrete..., Wasserstein..., Spherical...
            Mark("TraceModel", version="1"),
            Mark("Combined", "_rave", version="1"),
            Mark(attributes="cropped_latent_size", version="1"),
            Mark(attributes="full_latent_size latent_pca"),
        ),
        parts="_rave",
        facts={"dims": "cropped_latent_size latent_size", "full_dims": "full_latent_size"},
        details="deterministic max_batch_size stereo n_channels target_channels",
        more=_rave,
    ),
    Family(
        "MSPrior",
        (Mark("ScriptedPrior"), Mark("CombinedModule", "rave_model")),
        parts="prior_model prior rave_model",
        facts={"full_dims": "full_latent_size"},
        details="seq_len num_rave_quantizers num_tokens",
        more=lambda module, facts: _no_pca(facts, facts.full_dims),
    ),
    Family(
        "vschaos2",
        (Mark("ScriptableSpectralAutoEncoder"),),
        facts={"compression": "hop_length"},
        more=lambda module, facts: {"dims": count(value(module, "latent_dim")) or facts.dims},  # encode may give more
    ),
    Family(
        "Stable Audio Tools",
        (Mark("AutoencoderPretransform"),),
        facts={"dims": "encoded_channels", "compression": "downsampling_ratio", "out_channels": "io_channels"},
    ),
    Family("music2latent-scripted", (Mark("ScriptedUNet", "stft_processor"),)),
    Family("UnRAVEl pocket model", (Mark("Pocket", "encode_params"),)),
    Family(
        "UnRAVEl live file",
        (Mark("Live", " ".join(LIVE)),),
        facts={"dims": "dims", "compression": "compression"},
        more=_live,
    ),
)
# Class names are more reliable than attributes.
MARKS = sorted(
    ((mark, family) for family in FAMILIES for mark in family.marks), key=lambda found: not found[0].class_name
)


def identify(module: Module) -> tuple[Family | None, Part]:
    """Return the family with its version and mark, by the class name of a model and its attributes."""
    name = class_name(module)
    part: Part = {"details": {"class": name}}
    for mark, family in MARKS:
        if mark.fits(name, module):
            return family, part | {"family": family.name, "version": mark.version, "mark": mark.text(name)}
    return None, part


def add_stated(module: Module, parts: list[Part]) -> None:
    """Add to the parts what a loaded TorchScript module states about itself. Calls only its `get_...` methods."""
    family, identity = identify(module)
    parts.append(identity)
    if family is not None:
        parts.append(_of_family(family, module))
    for stated in (_ports, _methods, _attributes, _coders, _rate, _size, _conditions):
        with contextlib.suppress(*MODEL_ERRORS):
            parts.append(stated(module))
    if family is not None and family.more is not None:
        with contextlib.suppress(*MODEL_ERRORS):
            parts.append(family.more(module, joined(parts)))


def _of_family(family: Family, module: Module) -> Part:
    inside = (submodule(module, name) for name in family.parts.split())
    owners = [module, *(part for part in inside if part is not None)]

    def held(names: str) -> list[Any]:
        found = [value(owner, name) for name in names.split() for owner in owners]
        return [one for one in found if one is not None] or [None]

    counts = {fact: next(filter(None, map(count, held(names))), None) for fact, names in family.facts.items()}
    return {**counts, "details": {name: held(name)[0] for name in family.details.split()}}


def _ports(module: Module) -> Part:
    """Return channels, dims and compression by `<method>_params`, of the module first."""
    owners = [owner for owner in (module, inner_rave(module)) if owner is not None]
    part: Part = {}
    for method, facts in PORTS.items():
        params = next(filter(None, (method_params(owner, method) for owner in owners)), None)
        part |= {fact: params[place] for fact, place in facts.items()} if params else {}
    return part


def _methods(module: Module) -> Part:
    names = [name for name in torchscript.stated_methods(module) if name not in OWN_METHODS]
    return {"methods": [Method(name, *(method_params(module, name) or ())) for name in names]}


def _attributes(module: Module) -> Part:
    """Return the attributes that nn~ can set, with their values."""
    named = getattr(module, "get_attributes")() if "get_attributes" in torchscript.compiled_methods(module) else []  # noqa: B009
    values = {str(name): value(module, name) for name in named if name != "none"}  # the first entry, which nn~ adds
    single = {name: v[0] if isinstance(v, tuple) and len(v) == 1 else v for name, v in values.items()}
    return {"attributes": json_value(single)}


def _coders(module: Module) -> Part:
    """Return encoder and decoder by class, the outer one first: "VariationalEncoder (EncoderV2)"."""
    source = inner_rave(module) or module
    owner = source if submodule(source, "encoder") is not None else submodule(source, "model")
    part: Part = {}
    for name in ("encoder", "decoder"):
        coder = submodule(owner, name) if owner is not None else None
        if coder is not None:
            within = submodule(coder, name)
            part[name] = class_name(coder) + (f" ({class_name(within)})" if within is not None else "") or None
    return part


def _rate(module: Module) -> Part:
    return {"sample_rate": stated_sample_rate(module)}


def _size(module: Module) -> Part:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    streams = any(name.endswith(".cache.pad") for name, _ in module.named_buffers())
    return {"parameters": parameters} | ({"streaming": True} if streams else {})


def _conditions(module: Module) -> Part:
    encode, decode = method_params(module, "encode"), method_params(module, "decode")
    names = condition_names(module, encode[2], decode[0]) if encode and decode else ()
    return {"details": {"conditions of decode": list(names) or None}}
