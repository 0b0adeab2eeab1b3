"""Facts about any model file: what it is, what it takes and gives, what its tensors hold. Nothing is trusted."""

import ast
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unravel_lib.errors import InputError, ModelError, UnravelError
from unravel_lib.files.atomic import sha256_of
from unravel_lib.inspection import checkpoints, families
from unravel_lib.inspection.facts import Facts
from unravel_lib.inspection.tensors import SafeTensors
from unravel_lib.models import model_file, object_table
from unravel_lib.models.contract import MODEL_ERRORS, prints_to_stderr
from unravel_lib.models.state import weights_sha256
from unravel_lib.text import last_line, printable, unexpected_error

FALLBACK_RATE = 44100.0  # Hz; only to run a model that does not say its rate, never told as a fact
MAX_COMPRESSION = 1 << 16  # samples per frame; RAVE has up to 8192
MAX_DIMS = 4096

log = logging.getLogger(__name__)


@dataclass
class Inspection:
    """One model file, opened.

    Attributes
    ----------
    facts : what it says
    tensors : its state_dict; tensors are read as they are used
    module : the loaded TorchScript module, None for checkpoints
    entries : what a checkpoint holds at its top
    failure : why it could not be opened, None if it was; then only the facts that its bytes tell are there
    """

    facts: Facts
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    module: Any = None
    entries: Mapping[str, Any] = field(default_factory=dict)
    failure: UnravelError | None = None


@prints_to_stderr()
def inspect(path: Path, trust: bool = False, measure: bool = True) -> Inspection:
    """Tell what is in a model file; a file that cannot be opened is told about as far as its bytes allow.

    Parameters
    ----------
    trust : load TorchScript although its code could touch files (`trust_model`)
    measure : run the model to find its delay and receptive field, some seconds for a large one
    """
    facts = Facts(name=path.name, path=str(path))
    found = Inspection(facts)
    try:
        if path.is_file():
            facts.bytes, facts.sha256 = path.stat().st_size, sha256_of(path)
        kind = model_file.identify(path)
        facts.kind = kind.value
        if kind is not model_file.Kind.SAFETENSORS and zipfile.is_zipfile(path):
            facts.format_version = model_file.format_version(path)
        if kind is model_file.Kind.TORCHSCRIPT:
            _class_in_file(path, facts)
            found.module = _load_script(path, trust)
        else:
            model_file.check(path)
            _open_checkpoint(path, kind, found)
    except (ModelError, InputError) as error:
        found.failure = error
        facts.warnings.append(str(error).removeprefix(f"{printable(path)} "))
        return found
    if found.module is not None:
        try:
            _read_script(path, found, measure)
        except Exception as error:  # also a bug of ours: what is known so far is told all the same
            log.debug("traceback of the failure below", exc_info=True)
            facts.warnings.append(f"failed unexpectedly: {unexpected_error(error)}")
            found.failure = ModelError(f"{printable(path)} {facts.warnings[-1]}")
    return found


def _open_checkpoint(path: Path, kind: model_file.Kind, found: Inspection) -> None:
    if kind is model_file.Kind.SAFETENSORS:
        import safetensors

        try:
            found.tensors = SafeTensors(path)
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ModelError(f"{printable(path)} is damaged ({reason}): {model_file.AGAIN}") from error
        found.entries = found.tensors.metadata
    else:
        found.entries = checkpoints.load(path)
        found.tensors = checkpoints.state_dict_of(found.entries)
    if not found.tensors:
        found.facts.warnings.append("it holds no tensors")
    checkpoints.read(path, found.entries, found.tensors, found.facts)


def _class_in_file(path: Path, facts: Facts) -> None:
    """The family by the class of the outermost object, which is the first name in data.pkl; nothing is loaded."""
    names = _table_of_objects(path)
    facts.details["code members"] = len(model_file.code_members(path))
    if names and names[0].startswith("__torch__."):
        name = names[0].rpartition(".")[2]
        facts.details["class"] = name
        told = families.family_of_class(name)
        if told is not None:
            facts.family, facts.version = told
            facts.mark = f"class {name}"


def _table_of_objects(path: Path) -> list[str]:
    try:
        data = model_file.member(path, "data.pkl")
        return object_table.imports(data) if data is not None else []
    except (ModelError, ValueError, IndexError):
        return []


def _load_script(path: Path, trust: bool) -> Any:
    try:
        with model_file.screened(path, trust) as source:
            return torch.jit.load(source, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (*MODEL_ERRORS, OSError) as error:
        raise ModelError(
            f"{printable(path)} is TorchScript, but this PyTorch cannot load it: {last_line(error)}"
        ) from error


def _read_script(path: Path, found: Inspection, measure: bool) -> None:
    facts, module = found.facts, found.module
    facts.family = facts.version = facts.mark = None  # told anew, with all the marks
    try:
        families.read(module, facts)
    except MODEL_ERRORS as error:
        facts.warnings.append(f"its attributes cannot be read: {last_line(error)}")
    found.tensors = module.state_dict()
    facts.weights_sha256 = weights_sha256(module)
    names = {method.name for method in facts.methods or []} | set(module._c._method_names())
    codec = {"encode", "decode"} <= names
    if codec and facts.sample_rate is None:
        facts.warnings.append("does not say its sample rate: give `sample_rate` to the other scripts")
    sane = (facts.compression or 1) <= MAX_COMPRESSION and max(facts.dims or 1, facts.in_channels or 1) <= MAX_DIMS
    if not sane:
        facts.warnings.append("its compression, dims or channels are beyond all sense: not run")
    elif codec and measure and families.round_trip(facts):
        _measure(path, module, facts)
    elif facts.streaming is False:
        facts.delay_samples = 0


def _measure(path: Path, module: Any, facts: Facts) -> None:
    """Run the model to find its delay and its receptive field; a model that cannot be run gives a warning."""
    from unravel_lib.models.model import Model

    try:
        model = Model(path, module, torch.device("cpu"), facts.sample_rate or FALLBACK_RATE)
        facts.streaming = model.streaming
        coded = facts.details.get("latents") == families.CODES  # codes hide what a change of sound reaches
        encode = None if coded else model.encode_context
        decode = model.decode_context
        facts.encode_context = None if encode is None else (encode.left, encode.right)
        facts.decode_context = None if decode is None else (decode.left, decode.right)
        facts.encode_delay, facts.decode_delay = model.delay.encode_samples, model.delay.decode_samples
        facts.delay_samples = facts.encode_delay + facts.decode_delay
        facts.dims, facts.compression = facts.dims or model.dims, facts.compression or model.compression
        facts.in_channels = facts.in_channels or model.in_channels
        facts.out_channels = facts.out_channels or model.out_channels
    except (UnravelError, *MODEL_ERRORS) as error:
        facts.warnings.append(f"delay and receptive field could not be measured: {last_line(error)}")


def config(found: Inspection, path: Path) -> dict[str, Any]:
    """The training config of a checkpoint.

    Raises
    ------
    ModelError
        There is none, inside or beside it.
    """
    if found.failure is not None:
        raise found.failure
    if found.module is not None:
        raise ModelError(
            f"{printable(path)} is a TorchScript export, which keeps no training config: give a checkpoint"
        )
    told = checkpoints.config_of(path, found.entries, found.tensors)
    if told is None:
        beside = printable(path.with_suffix(".json").name)
        raise ModelError(
            f"{printable(path)} has no training config inside, and no JSON that is surely its own lies beside it: "
            f"if you have it, name it {beside}"
        )
    return told[0]


def declared(path: Path, qualified_name: str) -> list[str]:
    """The attributes that a class declares in a TorchScript file's code, read as text, nothing is run."""
    module, _, name = qualified_name.rpartition(".")
    source = model_file.member(path, f"code/{module.replace('.', '/')}.py")
    try:
        tree = ast.parse((source or b"").decode("utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    lines = [line for node in classes for line in node.body if isinstance(line, ast.AnnAssign)]
    return [line.target.id for line in lines if isinstance(line.target, ast.Name)]
