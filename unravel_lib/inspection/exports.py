"""What a loaded TorchScript export states about itself, by its methods, its buffers and the table of families."""

import contextlib

from unravel_lib.inspection.facts import Facts, Method, int_if_whole
from unravel_lib.inspection.families import CONDITIONS, Family, count, identify
from unravel_lib.models.conditions import condition_names
from unravel_lib.models.contract import method_params, stated_sample_rate
from unravel_lib.models.torchscript import (
    MODEL_ERRORS,
    Module,
    class_name,
    compiled_methods,
    inner_rave,
    stated_methods,
    submodule,
    value,
)

OWN_METHODS = frozenset(("get_methods", "get_attributes"))


def read(module: Module, facts: Facts) -> None:
    """Fill in what a loaded TorchScript module states about itself. Calls only its `get_...` methods."""
    family, inner = identify(class_name(module), module, facts), inner_rave(module)
    _methods(module, inner, facts)
    _coders(inner or module, facts)
    with contextlib.suppress(*MODEL_ERRORS):
        rate = stated_sample_rate(module)
        facts.sample_rate = None if rate is None else int_if_whole(rate)
    facts.parameters = sum(p.numel() for p in module.parameters())
    if any(name.endswith(".cache.pad") for name, _ in module.named_buffers()):
        facts.streaming = True
    elif family is not None and family.known_offline:
        facts.streaming = False
    if family is not None:
        _attributes_of_family(family, module, facts)
        if family.more is not None:
            family.more(module, facts)
    encode, decode = _encode_and_decode(facts)
    names = condition_names(module, encode.out_channels or 0, decode.in_channels or 0)
    if names:
        facts.details[CONDITIONS] = list(names)
    _mismatch(facts)


def _attributes_of_family(family: Family, module: Module, facts: Facts) -> None:
    parts = (submodule(module, name) for name in family.parts)
    owners = [module, *(part for part in parts if part is not None)]
    for fact in ("dims", "full_dims", "compression", "out_channels"):
        setattr(facts, fact, getattr(facts, fact) or count(owners, *getattr(family, fact)))
    for name in family.details:
        found = next((v for v in (value(owner, name) for owner in owners) if v is not None), None)
        if found is not None:
            facts.details[name] = found


def _methods(module: Module, inner: Module | None, facts: Facts) -> None:
    with contextlib.suppress(*MODEL_ERRORS):
        names = [name for name in stated_methods(module) if name not in OWN_METHODS]
        stated = [method_params(module, name) for name in names]
        facts.methods = [Method(name, *(params or ())) for name, params in zip(names, stated, strict=True)]
    for owner in (module, inner):
        encode = method_params(owner, "encode") if owner is not None else None
        decode = method_params(owner, "decode") if owner is not None else None
        if encode and facts.dims is None:
            facts.in_channels, facts.dims, facts.compression = encode[0], encode[2], encode[3]
        if decode and facts.dims is None:
            facts.dims, facts.compression = decode[0], decode[1]
        if decode and facts.out_channels is None:
            facts.out_channels = decode[2]
    facts.attributes = {}
    with contextlib.suppress(*MODEL_ERRORS):
        names = getattr(module, "get_attributes")() if "get_attributes" in compiled_methods(module) else []  # noqa: B009
        for name in names:
            if name != "none":  # the first entry, which nn~ adds
                found = value(module, name)
                facts.attributes[str(name)] = found[0] if isinstance(found, tuple) and len(found) == 1 else found


def _coders(module: Module, facts: Facts) -> None:
    """Fill in encoder and decoder by class, the outer one first: "VariationalEncoder (EncoderV2)"."""
    owner = module if submodule(module, "encoder") is not None else submodule(module, "model")
    for name in ("encoder", "decoder"):
        coder = submodule(owner, name) if owner is not None else None
        if coder is None:
            continue
        within = submodule(coder, name)
        text = class_name(coder) + (f" ({class_name(within)})" if within is not None else "")
        setattr(facts, name, text or None)


def round_trip(facts: Facts) -> bool:
    """Return True if decode takes what encode gives, as far as the file states it."""
    encode, decode = _encode_and_decode(facts)
    conditions = len(facts.details.get(CONDITIONS, ()))
    taken = None if decode.in_channels is None else decode.in_channels - conditions
    return (encode.out_channels, encode.out_ratio) == (taken, decode.in_ratio)


def _encode_and_decode(facts: Facts) -> tuple[Method, Method]:
    """Return the two methods; without any numbers where one of them is missing or states none."""
    params = {method.name: method for method in facts.methods or []}
    encode, decode = params.get("encode"), params.get("decode")
    if encode is None or decode is None or None in (encode.out_channels, decode.in_channels):
        return Method("encode"), Method("decode")
    return encode, decode


def _mismatch(facts: Facts) -> None:
    encode, decode = _encode_and_decode(facts)
    if encode.out_channels != decode.in_channels and CONDITIONS not in facts.details:
        facts.warnings.append(f"encode gives {encode.out_channels} dims, decode takes {decode.in_channels}")
    if encode.out_ratio != decode.in_ratio:
        facts.warnings.append(f"encode compresses by {encode.out_ratio}, decode expands by {decode.in_ratio}")
