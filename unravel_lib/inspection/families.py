"""The marks of each family of TorchScript models: which attributes tell what it is, and where its facts are.

RAVE is told by the classes its export script has had, the others likewise; what a file does not say stays unknown.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from unravel_lib.inspection.facts import Facts, Method, whole
from unravel_lib.models.contract import MODEL_ERRORS, method_params, methods_of, stated_sample_rate

RAVE, MSPRIOR, VSCHAOS, AFTER, POCKET = "RAVE", "MSPrior", "vschaos2", "AFTER", "UnRAVEl pocket model"
EXPORT_CLASS = (
    "ScriptedRAVE"  # ends the class names of RAVE 2: Variational..., Discrete..., Wasserstein..., Spherical...
)
INNER = ("_rave", "rave_model")  # where combined files keep the RAVE
CONDITIONS, CODES, ANGLES = "conditions of decode", "integer codes", "angles"
CONFIRMED_BY = {"Combined": ("_rave",), "CombinedModule": ("rave_model",), "Pocket": ("encode_params",)}  # common words
OWN_METHODS = frozenset(("get_methods", "get_attributes"))


def family_of_class(name: str) -> tuple[str, str | None] | None:
    """(family, version) that the class name of a model tells by itself, without loading it."""
    if name.endswith(EXPORT_CLASS):
        return RAVE, None
    known: dict[str, tuple[str, str | None]] = {
        "TraceModel": (RAVE, "1"),
        "Combined": (RAVE, "1"),
        "ScriptedPrior": (MSPRIOR, None),
        "CombinedModule": (MSPRIOR, None),
        "ScriptableSpectralAutoEncoder": (VSCHAOS, None),
        "Pocket": (POCKET, None),
    }
    return known.get(name)


def read(module: Any, facts: Facts) -> None:
    """Fill in what a loaded TorchScript module says about itself. Calls nothing but its `get_...` answers."""
    inner = next((part for part in (_part(module, name) for name in INNER) if part is not None), None)
    _family(module, inner, facts)
    _methods(module, facts)
    _coders(module if inner is None else inner, facts)
    with contextlib.suppress(*MODEL_ERRORS):
        rate = stated_sample_rate(module)
        if rate is None and inner is not None:
            rate = stated_sample_rate(inner)
        facts.sample_rate = None if rate is None else whole(rate)
    facts.parameters = sum(p.numel() for p in module.parameters())
    if any(name.endswith(".cache.pad") for name, _ in module.named_buffers()):
        facts.streaming = True
    elif facts.family == RAVE:
        facts.streaming = False
    special = {RAVE: _rave, MSPRIOR: _msprior, VSCHAOS: _vschaos, AFTER: _after}.get(facts.family or "")
    if special is not None:
        special(module, inner, facts)
    _mismatch(facts)
    if _value(module, "training") is True and facts.family == RAVE:
        facts.details["saved in training mode"] = True


def _has(module: Any, *names: str) -> bool:
    return all(module._c.hasattr(name) for name in names)


def _value(module: Any, name: str) -> Any:
    """The attribute's value; None where it does not exist or cannot be told."""
    if module is None or not _has(module, name):
        return None
    try:
        value = getattr(module, name)
    except MODEL_ERRORS:
        return None
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    return value


def _part(module: Any, name: str) -> Any:
    """A submodule, or None: an attribute of that name may exist and be None."""
    value = _value(module, name)
    return value if isinstance(value, torch.nn.Module) else None


def _count(module: Any, name: str) -> int | None:
    value = _value(module, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _class(module: Any) -> str:
    return str(getattr(module, "original_name", "") or "")


def _family(module: Any, inner: Any, facts: Facts) -> None:
    name = _class(module)
    told = family_of_class(name)
    if told is not None and _has(module, *CONFIRMED_BY.get(name, ())):
        facts.family, facts.version = told
        facts.mark = f"class {name}"
    elif _has(module, "cropped_latent_size"):
        facts.family, facts.version, facts.mark = RAVE, "1", "attribute cropped_latent_size"
    elif _has(module, "ae_ratio", "ae_latents"):
        facts.family, facts.mark = AFTER, "attributes ae_ratio and ae_latents"
    elif _has(module, "comp_ratio", "latent_size"):
        facts.family, facts.mark = AFTER, "attributes comp_ratio and latent_size"
    elif _has(module, "full_latent_size", "latent_pca"):
        facts.family, facts.mark = RAVE, "attributes full_latent_size and latent_pca"
    if facts.family == RAVE and facts.version is None:
        if _has(module, "stereo_mode"):
            facts.version, facts.mark = "2.3 or later", f"{facts.mark}, attribute stereo_mode"
        elif _has(module, "stereo"):
            facts.version, facts.mark = "2.0 to 2.2", f"{facts.mark}, attribute stereo"


def _methods(module: Any, facts: Facts) -> None:
    with contextlib.suppress(*MODEL_ERRORS):
        names = [name for name in methods_of(module) if name not in OWN_METHODS]
        stated = [method_params(module, name) for name in names]
        facts.methods = [Method(name, *(params or ())) for name, params in zip(names, stated, strict=True)]
    encode, decode = method_params(module, "encode"), method_params(module, "decode")
    if encode:
        facts.in_channels, facts.dims, facts.compression = encode[0], encode[2], encode[3]
    if decode:
        facts.out_channels = decode[2]
        if not encode:
            facts.dims, facts.compression = decode[0], decode[1]
    facts.attributes = {}
    with contextlib.suppress(*MODEL_ERRORS):
        names = module.get_attributes() if "get_attributes" in module._c._method_names() else []
        for name in names:
            if name != "none":  # nn~'s own first entry
                value = _value(module, name)
                facts.attributes[str(name)] = value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _coders(module: Any, facts: Facts) -> None:
    """Encoder and decoder by class, the outer one first: "VariationalEncoder (EncoderV2)"."""
    owner = module if _part(module, "encoder") is not None else _part(module, "model")
    for name in ("encoder", "decoder"):
        coder = _part(owner, name)
        if coder is None:
            continue
        within = _part(coder, name)
        text = _class(coder) + (f" ({_class(within)})" if within is not None else "")
        setattr(facts, name, text or None)


def _rave(module: Any, inner: Any, facts: Facts) -> None:
    source = module if inner is None else inner
    facts.full_dims = _count(source, "full_latent_size") or (
        _count(source, "latent_size") if _has(source, "cropped_latent_size") else None
    )
    if facts.dims is None:
        facts.dims = _count(source, "cropped_latent_size") or _count(source, "latent_size")
    for name in ("deterministic", "max_batch_size", "stereo", "n_channels", "target_channels"):
        value = _value(source, name)
        if value is not None:
            facts.details[name] = value
    _no_pca(facts)
    norms = sum(_class(part) == "AdaptiveInstanceNormalization" for part in source.modules())
    if norms > 1:  # every RAVE 2 export has one that is not used
        facts.details["AdaIN layers"] = norms - 1
    if "VariationalEncoder" in (facts.encoder or "") or facts.version == "1":
        _shares(_value(source, "fidelity"), facts)


def _no_pca(facts: Facts) -> None:
    """Codes and angles stand for a vector of more values than they are, from which no dims were cut off."""
    for encoder, latents in (("DiscreteEncoder", CODES), ("SphericalEncoder", ANGLES)):
        if encoder in (facts.encoder or ""):
            facts.details["latents"] = latents
            if facts.full_dims is not None:
                facts.details["values behind a frame"] = facts.full_dims
            facts.full_dims = None


def _shares(fidelity: Any, facts: Facts) -> None:
    """The share of the variance per dim: differences of `fidelity`, which is cumulative over the PCA's dims."""
    if not isinstance(fidelity, torch.Tensor) or fidelity.dim() != 1 or fidelity.numel() < 2:
        return
    values = fidelity.detach().double().cpu()
    if not bool(torch.isfinite(values).all()) or float(values.abs().max()) == 0:
        return  # never measured: the model was not trained to the second phase
    shares = torch.diff(values, prepend=torch.zeros(1, dtype=torch.float64))
    if float(shares.min()) < -1e-4 or float(values.max()) > 1 + 1e-3:
        facts.warnings.append("fidelity does not grow from 0 to 1: the share of variance per dim is unknown")
        return
    facts.variance_shares = [max(0.0, float(share)) for share in shares]


def _msprior(module: Any, inner: Any, facts: Facts) -> None:
    prior = next((p for p in (_part(module, "prior_model"), _part(module, "prior")) if p is not None), module)
    for name in ("seq_len", "num_rave_quantizers", "num_tokens"):
        value = _count(module, name) or _count(prior, name)
        if value is not None:
            facts.details[name] = value
    if inner is not None:
        facts.full_dims = _count(inner, "full_latent_size")
        _no_pca(facts)
        encode, decode = method_params(inner, "encode"), method_params(inner, "decode")
        if encode and facts.dims is None:
            facts.in_channels, facts.dims, facts.compression = encode[0], encode[2], encode[3]
        if decode and facts.out_channels is None:
            facts.out_channels = decode[2]


def _vschaos(module: Any, inner: Any, facts: Facts) -> None:
    facts.dims = _count(module, "latent_dim") or facts.dims
    facts.compression = facts.compression or _count(module, "hop_length")
    labels = _value(module, "decode_input_labels")
    decode = method_params(module, "decode")
    if decode and facts.dims and decode[0] > facts.dims:
        facts.details[CONDITIONS] = list(labels[facts.dims :]) if isinstance(labels, list) else decode[0] - facts.dims
    hints = sorted({rate for rate in (_count(part, "sr") for part in module.modules()) if rate})
    if hints and facts.sample_rate is None:
        facts.details["sample rates named inside"] = hints


def _after(module: Any, inner: Any, facts: Facts) -> None:
    facts.dims = facts.dims or _count(module, "latent_size") or _count(module, "ae_latents")
    facts.compression = facts.compression or _count(module, "comp_ratio") or _count(module, "ae_ratio")
    facts.out_channels = facts.out_channels or _count(module, "target_channels")
    for name in ("ae_ratio", "ae_latents", "zs_channels", "zt_channels"):
        value = _count(module, name)
        if value is not None:
            facts.details[name] = value


def round_trip(facts: Facts) -> bool:
    """True if decode takes what encode gives, as far as the file says."""
    params = {method.name: method for method in facts.methods or []}
    encode, decode = params.get("encode"), params.get("decode")
    if encode is None or decode is None or None in (encode.out_channels, decode.in_channels):
        return True
    return (encode.out_channels, encode.out_ratio) == (decode.in_channels, decode.in_ratio)


def _mismatch(facts: Facts) -> None:
    params = {method.name: method for method in facts.methods or []}
    encode, decode = params.get("encode"), params.get("decode")
    if encode is None or decode is None or None in (encode.out_channels, decode.in_channels):
        return
    if encode.out_channels != decode.in_channels and CONDITIONS not in facts.details:
        facts.warnings.append(f"encode gives {encode.out_channels} dims, decode takes {decode.in_channels}")
    if encode.out_ratio != decode.in_ratio:
        facts.warnings.append(f"encode compresses by {encode.out_ratio}, decode expands by {decode.in_ratio}")


def attributes(module: Any, declared: Callable[[str], list[str]]) -> Iterator[tuple[str, str]]:
    """(kind, name) of everything that a module has at its top: methods, properties, data.

    `declared` gives the names that the module's class declares in its code, by its qualified name.
    """
    methods = sorted(module._c._method_names())
    yield from (("method", name) for name in methods)
    properties = sorted(item.name for item in module._c._properties())
    yield from (("property", name) for name in properties)
    names = dict.fromkeys(declared(module._c._type().qualified_name()))
    names.update(dict.fromkeys(name for name, _ in module.named_parameters(recurse=False)))
    names.update(dict.fromkeys(name for name, _ in module.named_buffers(recurse=False)))
    names.update(dict.fromkeys(name for name, _ in module.named_children()))
    known = {*methods, *properties}
    yield from (("data", name) for name in sorted(names) if name not in known and module._c.hasattr(name))
