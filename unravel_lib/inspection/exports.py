"""What a loaded TorchScript export states about itself: its family, by marks, and where each family holds its facts.

A family is one entry of `FAMILIES`. What a file does not state stays unknown.
"""

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from unravel_lib.inspection.facts import Facts, Method, Part, int_if_whole, joined, json_value
from unravel_lib.models import torchscript
from unravel_lib.models.contract import LIVE, condition_names, method_params, stated_sample_rate
from unravel_lib.models.torchscript import MODEL_ERRORS, Module, class_name, has, inner_rave, submodule, value

CONDITIONS, CODES, ANGLES = "conditions of decode", "integer codes", "angles"
LATENTS = {"DiscreteEncoder": CODES, "SphericalEncoder": ANGLES}  # encoders whose latents are no real numbers
OWN_METHODS = frozenset(("get_methods", "get_attributes"))
RAVE_VERSIONS = {"stereo_mode": "2.3 or later", "stereo": "2.0 to 2.2"}  # by an attribute, where the mark implies none


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
    parts : submodules that have some of the attributes
    dims, full_dims, compression, out_channels : attributes, of which the first that holds a count is the fact, for what
        `<method>_params` do not state
    details : attributes that are reported as they are
    more : returns what attributes alone do not state: more(module, facts)
    """

    name: str
    marks: tuple[Mark, ...]
    parts: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    full_dims: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()
    out_channels: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    more: Callable[[Module, Facts], Part] | None = None


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


def _rave(module: Module, facts: Facts) -> Part:
    """Return what only RAVE has; `latent_size` of version 1 is the full size. Without caches it is offline."""
    source, full = inner_rave(module) or module, facts.full_dims
    if full is None and has(source, "cropped_latent_size"):
        full = count([source], "latent_size")
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
    behind = {} if full_dims is None else {"values behind a frame": full_dims}
    return {"full_dims": None, "details": {"latents": kind, **behind}}


def _vschaos(module: Module, facts: Facts) -> Part:
    """Return the latent dims, which its methods may have further channels beside."""
    hints = sorted({rate for rate in (count([part], "sr") for part in module.modules()) if rate})
    details = {"sample rates named inside": hints} if hints and facts.sample_rate is None else {}
    return {"dims": count([module], "latent_dim") or facts.dims, "details": details}


def _live(module: Module, facts: Facts) -> Part:
    """Return whose latents a live file draws, and from how much; it carries its state from call to call."""
    details = dict(zip(("latents of", "recordings", "minutes"), (value(module, name) for name in LIVE), strict=True))
    play = method_params(module, "play")
    sound = {} if play is None else {"out_channels": play[2]}
    return {"details": details, "streaming": True, "delay_samples": 0, **sound}


FAMILIES = (
    Family(
        "AFTER",
        (
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
        "RAVE",
        (
            Mark("*ScriptedRAVE"),  # RAVE 2: Variational..., Discrete..., Wasserstein..., Spherical...
            Mark("TraceModel", version="1"),
            Mark("Combined", ("_rave",), version="1"),
            Mark(attributes=("cropped_latent_size",), version="1"),
            Mark(attributes=("full_latent_size", "latent_pca")),
        ),
        parts=("_rave",),
        dims=("cropped_latent_size", "latent_size"),
        full_dims=("full_latent_size",),
        details=("deterministic", "max_batch_size", "stereo", "n_channels", "target_channels"),
        more=_rave,
    ),
    Family(
        "MSPrior",
        (Mark("ScriptedPrior"), Mark("CombinedModule", ("rave_model",))),
        parts=("prior_model", "prior", "rave_model"),
        full_dims=("full_latent_size",),
        details=("seq_len", "num_rave_quantizers", "num_tokens"),
        more=lambda module, facts: _no_pca(facts, facts.full_dims),
    ),
    Family("vschaos2", (Mark("ScriptableSpectralAutoEncoder"),), compression=("hop_length",), more=_vschaos),
    Family(
        "Stable Audio Tools",
        (Mark("AutoencoderPretransform"),),
        dims=("encoded_channels",),
        compression=("downsampling_ratio",),
        out_channels=("io_channels",),
    ),
    Family("music2latent-scripted", (Mark("ScriptedUNet", ("stft_processor",)),)),
    Family("UnRAVEl pocket model", (Mark("Pocket", ("encode_params",)),)),
    Family(
        "UnRAVEl live file",
        (Mark("Live", LIVE),),
        dims=("dims",),
        compression=("compression",),
        more=_live,
    ),
)
# Class names are more reliable than attributes.
MARKS = sorted(((mark, family) for family in FAMILIES for mark in family.marks), key=lambda m: m[0].class_name is None)


def identify(name: str, module: Module | None = None) -> tuple[Family | None, Part]:
    """Return the family with its version and mark, by the class name of a model and, once loaded, its attributes."""
    mark, family = next(((mark, family) for mark, family in MARKS if mark.fits(name, module)), (None, None))
    if mark is None or family is None:
        return None, {"family": None, "version": None, "mark": None}
    return family, {"family": family.name, "version": mark.version, "mark": mark.text(name)}


def parts(module: Module) -> Iterator[Part]:
    """Yield what a loaded TorchScript module states about itself. Calls only its `get_...` methods."""
    family, identity = identify(class_name(module), module)
    found = [identity]
    yield identity
    for part in _stated(module, family):
        found.append(part)
        yield part
    for more in (family and family.more, _conditions):  # by what was found so far
        if more:
            found.append(more(module, joined(found)))
            yield found[-1]
    yield {"warnings": mismatches(joined(found))}


def _stated(module: Module, family: Family | None) -> Iterator[Part]:
    inner = inner_rave(module)
    if family is not None:
        yield _of_family(family, module)
    yield _ports(module, inner)
    yield _methods(module)
    yield {"attributes": json_value(dict(_attributes(module)))}
    yield _coders(inner or module)
    yield _rate(module)
    yield {"parameters": sum(parameter.numel() for parameter in module.parameters())}
    if any(name.endswith(".cache.pad") for name, _ in module.named_buffers()):
        yield {"streaming": True}


def _of_family(family: Family, module: Module) -> Part:
    inside = (submodule(module, name) for name in family.parts)
    owners = [module, *(part for part in inside if part is not None)]
    facts = ("dims", "full_dims", "compression", "out_channels")
    part: Part = {fact: count(owners, *getattr(family, fact)) for fact in facts}
    values = {
        name: next((v for v in (value(o, name) for o in owners) if v is not None), None) for name in family.details
    }
    return part | {"details": {name: found for name, found in values.items() if found is not None}}


def _ports(module: Module, inner: Module | None) -> Part:
    """Return channels, dims and compression by `<method>_params`, of the module first."""
    part: Part = {}
    for owner in (module, *([] if inner is None else [inner])):
        encode, decode = method_params(owner, "encode"), method_params(owner, "decode")
        if encode and "dims" not in part:
            part |= {"in_channels": encode[0], "dims": encode[2], "compression": encode[3]}
        if decode:
            part = {"dims": decode[0], "compression": decode[1], "out_channels": decode[2]} | part
    return part


def _methods(module: Module) -> Part:
    with contextlib.suppress(*MODEL_ERRORS):
        names = [name for name in torchscript.stated_methods(module) if name not in OWN_METHODS]
        return {"methods": [Method(name, *(method_params(module, name) or ())) for name in names]}
    return {}


def _attributes(module: Module) -> Iterator[tuple[str, object]]:
    """Yield the attributes that nn~ can set, with their values."""
    with contextlib.suppress(*MODEL_ERRORS):
        names = getattr(module, "get_attributes")() if "get_attributes" in torchscript.compiled_methods(module) else []  # noqa: B009
        for name in names:
            if name != "none":  # the first entry, which nn~ adds
                found = value(module, name)
                yield str(name), found[0] if isinstance(found, tuple) and len(found) == 1 else found


def _coders(module: Module) -> Part:
    """Return encoder and decoder by class, the outer one first: "VariationalEncoder (EncoderV2)"."""
    owner = module if submodule(module, "encoder") is not None else submodule(module, "model")
    part: Part = {}
    for name in ("encoder", "decoder"):
        coder = submodule(owner, name) if owner is not None else None
        if coder is not None:
            within = submodule(coder, name)
            part[name] = class_name(coder) + (f" ({class_name(within)})" if within is not None else "") or None
    return part


def _rate(module: Module) -> Part:
    with contextlib.suppress(*MODEL_ERRORS):
        rate = stated_sample_rate(module)
        return {"sample_rate": None if rate is None else int_if_whole(rate)}
    return {}


def _conditions(module: Module, facts: Facts) -> Part:
    encode, decode = _encode_and_decode(facts)
    names = condition_names(module, encode.out_channels or 0, decode.in_channels or 0)
    return {"details": {CONDITIONS: list(names)} if names else {}}


def mismatches(facts: Facts) -> list[str]:
    """Return how decode does not take what encode gives; nothing where it does, as far as the file states it."""
    encode, decode = _encode_and_decode(facts)
    found = []
    if encode.out_channels != decode.in_channels and CONDITIONS not in facts.details:
        found.append(f"encode gives {encode.out_channels} dims, decode takes {decode.in_channels}")
    if encode.out_ratio != decode.in_ratio:
        found.append(f"encode compresses by {encode.out_ratio}, decode expands by {decode.in_ratio}")
    return found


def _encode_and_decode(facts: Facts) -> tuple[Method, Method]:
    """Return the two methods; without any numbers where one of them is missing or states none."""
    params = {method.name: method for method in facts.methods or []}
    encode, decode = params.get("encode"), params.get("decode")
    if encode is None or decode is None or None in (encode.out_channels, decode.in_channels):
        return Method("encode"), Method("decode")
    return encode, decode
