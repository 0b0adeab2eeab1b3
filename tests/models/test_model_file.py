"""What a model file is, whether it is whole and whether its code is harmless: found without running it."""

import io
import os
import re
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fixtures_models as models
import pytest
import torch
from torch import nn

from unravel_lib.errors import ModelError
from unravel_lib.models.screening import model_file, object_table
from unravel_lib.models.screening.code import ATEN, PRIM, RESULTS, Code
from unravel_lib.models.screening.model_file import Kind, open_model


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.script(tmp_path_factory.mktemp("plain"), "plain")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return models.checkpoints(tmp_path_factory.mktemp("checkpoints"))


def identify(path: Path) -> Kind:
    with open_model(path) as file:
        return file.kind


def check(path: Path, trust: bool = False) -> Kind:
    with open_model(path) as file:
        file.check(trust)
        return file.kind


def suspicion(source: bytes) -> str:
    """What is refused in code, nothing where it is harmless."""
    try:
        Code({"code/__torch__/x.py": source}).check()
    except ValueError as error:
        return str(error).removesuffix(" in code/__torch__/x.py")
    return ""


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return buffer.getvalue()


def test_kinds(plain: Path, checkpoints: dict[str, Path]) -> None:
    assert identify(plain) is check(plain) is Kind.TORCHSCRIPT
    assert check(checkpoints["sat_bare"]) is Kind.CHECKPOINT
    assert check(checkpoints["legacy"]) is Kind.CHECKPOINT
    assert check(checkpoints["sat_safetensors"]) is Kind.SAFETENSORS


NO_MODELS = {  # and more of them in tests/scripts/test_bad_models.py
    "page": (b"\xef\xbb\xbf\n <!DOCTYPE html><html></html>", "web page"),
    "long text": ("wörter ".encode() * 200, "text file"),
    "zeros": (b"\0" * 4000, "only zeros"),
    "noise": (bytes(range(256)) * 8, "not a model file"),
    "zip at its root": (zipped(constants_dot_pkl=b"x"), "neither constants.pkl nor data.pkl"),
    "empty zip": (zipped(), "empty zip"),
    "cut safetensors": (struct.pack("<Q", 900) + b'{"a": 1}', "truncated"),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_no_model_is_reported_in_one_line(name: str, tmp_path: Path) -> None:
    data, expected = NO_MODELS[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    for look in (identify, check):
        with pytest.raises(ModelError, match=expected) as caught:
            look(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ts")
    with pytest.raises(ModelError, match="is not a regular file"):
        identify(tmp_path / "pipe.ts")


def test_truncated(plain: Path, tmp_path: Path) -> None:
    data = plain.read_bytes()
    for length in (30, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.ts").write_bytes(data[:length])
        with pytest.raises(ModelError, match="truncated"):
            check(tmp_path / "cut.ts")
    for hole in (40, len(data) // 2):  # the table of contents then points in front of the file
        (tmp_path / "hole.ts").write_bytes(data[:hole] + data[hole + 9 :])
        with pytest.raises(ModelError, match=r"hole\.ts is"):
            check(tmp_path / "hole.ts")


def test_one_wrong_bit_is_found(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(checkpoints["sat_bare"].read_bytes())
    with zipfile.ZipFile(checkpoints["sat_bare"]) as file:
        info = next(i for i in file.infolist() if i.filename.endswith("data/0"))
    start = data.index(torch.arange(56.0).numpy().tobytes(), info.header_offset)
    data[start + 100] ^= 1
    (tmp_path / "bad.ckpt").write_bytes(data)
    assert identify(tmp_path / "bad.ckpt") is Kind.CHECKPOINT
    with pytest.raises(ModelError, match=r"damaged inside: checksum of sat_bare/data/0 is wrong"):
        check(tmp_path / "bad.ckpt", trust=True)


def test_every_family_passes_the_screen(tmp_path: Path) -> None:
    for name in models.SCRIPTS:
        path = models.script(tmp_path, name)
        assert check(path) is Kind.TORCHSCRIPT


LAYERS = {
    "norms": lambda: (nn.BatchNorm1d(4), nn.GroupNorm(2, 4), nn.LayerNorm(4)),
    "convolutions": lambda: (nn.Conv1d(1, 1, 3, padding=2, padding_mode="circular"), nn.ConvTranspose1d(1, 1, 3)),
    "activations": lambda: (nn.GELU(), nn.SiLU(), nn.GLU(), nn.PReLU(), nn.Softplus(), nn.Hardswish(), nn.ELU()),
    "others": lambda: (nn.Embedding(3, 3), nn.Dropout(), nn.Linear(2, 2), nn.Flatten(), nn.ReflectionPad1d(2)),
}
UNSAFE_LAYERS = {  # their kernels do not check all that they are given
    "torch.lstm": lambda: nn.LSTM(4, 4, 2, bidirectional=True),
    "torch._weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(1, 1, 3)),
    "torch.scaled_dot_product_attention": lambda: Attention(),
}


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize("name", LAYERS)
def test_ordinary_layers_pass_the_screen(name: str, tmp_path: Path) -> None:
    for layer in LAYERS[name]():
        torch.jit.script(layer.eval()).save(tmp_path / "x.ts")
        assert check(tmp_path / "x.ts") is Kind.TORCHSCRIPT, layer


@pytest.mark.parametrize("name", UNSAFE_LAYERS)
def test_layers_that_need_trust(name: str, tmp_path: Path) -> None:
    torch.jit.script(UNSAFE_LAYERS[name]().eval()).save(tmp_path / "x.ts")
    with pytest.raises(ModelError, match=f"contains {name} in "):
        check(tmp_path / "x.ts")
    assert check(tmp_path / "x.ts", trust=True) is Kind.TORCHSCRIPT


def test_the_list_of_operators_is_short_and_has_no_gradients_or_sparse_tensors() -> None:
    names = ATEN | PRIM
    assert len(names) < 350
    assert not names & {"grad", "indices", "retain_grad", "requires_grad_", "requires_grad", "lstm", "gru", "set_"}
    schemas = [s for name in names for s in torch._C._jit_get_schemas_for_operator(f"aten::{name}")]
    places = {a.name for s in schemas for a in s.arguments if a.kwarg_only and a.alias_info and a.alias_info.is_write}
    assert places <= RESULTS
    assert not [name for name in names if re.search("backward|sparse|quant|_aa$|upsample|attention", name)]
    assert all(any(torch._C._jit_get_schemas_for_operator(f"{kind}::{n}") for kind in ("aten", "prim")) for n in names)


HOSTILE = {
    'torch.save(x, "f")': "torch.save",
    'x.save("f")': "torch.save",
    'torch . save ( x, "f")': "torch.save",
    '(torch. # hello\n    save(x, "f"))': "torch.save",
    'ops.aten.save(x, "f")': "torch.ops.aten.save",
    't = torch\n    t.save(x, "f")': "torch under another name",
    "o = ops\n    p = o.aten\n    p.add(x, x)": "ops under another name",
    'getattr(torch, "save")(x, "f")': "torch.save",
    'getattr(torch, "sa" "ve")(x, "f")': "torch.save",
    'getattr(torch, "s\\x61ve")(x, "f")': "torch.save",
    'getattr(x, "save")("f")': "torch.save",
    'y = x.save("f").add(1)': "torch.save",
    'getattr(torch, name)(x, "f")': "a computed getattr",
    'y = torch.from_file("f", True, 3)': "torch.from_file",
    'rpc_sync("w", f)': "rpc_sync",
    "ops.c10d.send(x)": "torch.ops.c10d.send",
    "ops.torchaudio.sox_io_save_audio_file(x)": "torch.ops.torchaudio.sox_io_save_audio_file",
    "y = __torch__.torch.classes.dist_rpc.Agent(x)": "__torch__.torch.classes.dist_rpc.Agent",
    "y = [z.save(x) for z in [x]]": "torch.save",
    'lambda lambda x.add("f")': "unreadable code",
    'g = getattr\n    g(x, "save")("f")': "getattr under another name",
    "y = torch._sparse_coo_tensor_unsafe(x, x, [9])": "torch._sparse_coo_tensor_unsafe",
    "y = x._sparse_mask_projection(x)": "torch._sparse_mask_projection",
    "y = x.set_(x)": "torch.set_",
    "y = torch.unknown_tomorrow(x)": "torch.unknown_tomorrow",
    "y = ops.quantized.add(x, x, 1., 0)": "torch.ops.quantized.add",
    "y = __torch__.torch .classes.dist_rpc.Agent(x)": "__torch__.torch.classes.dist_rpc.Agent",
    "y = x  # type: Tensor": "code that PyTorch does not write",
    "y = 'ä'": "code that PyTorch does not write",
    "y = 1 \\\n + 1": "code that PyTorch does not write",
    "y = " + "-" * 150 + "1": "code nested more than 100 deep",
    "y = " + "(" * 20_000 + "1" + ")" * 20_000: "unreadable code",
    "y = x" + ".a" * 150: "code nested more than 100 deep",
    "y = torch.grad([x], [x])": "torch.grad",
    "y = torch.add(x, x, out=x)": "a result that is written to a given place (out)",
    "y = torch.max(x, 0, max=x, max_values=x)": "a result that is written to a given place (max)",
    "y = torch.zeros([4], dtype=None, layout=1)": "a tensor that is not dense",
    "y = torch.zeros_like(x, layout=n)": "a tensor that is not dense",
    "y = torch.requires_grad_(x)": "torch.requires_grad_",
    "y = torch.indices(x)": "torch.indices",
    "y = torch.max_pool2d_with_indices_backward(x, x)": "torch.max_pool2d_with_indices_backward",
    "y = torch.lstm(x, [x, x], [x], True, 1, 0., False, False, False)": "torch.lstm",
    "y = torch.repeat_interleave(x)": "torch.repeat_interleave with counts",
    "y = torch.repeat_interleave(x, x)": "torch.repeat_interleave with counts",
    "y = torch.repeat_interleave(x, 2, 0, output_size=1)": "torch.repeat_interleave with counts",
    "y = x.repeat_interleave(x)": "torch.repeat_interleave",
    "f = torch.repeat_interleave\n    y = f(x)": "torch.repeat_interleave",
    "int = torch.neg\n    y = torch.repeat_interleave(x, int(x))": "torch.repeat_interleave with counts",
    "n = 2\n    n = x\n    y = torch.repeat_interleave(x, n)": "torch.repeat_interleave with counts",
    "y = unchecked_cast(__torch__.fixtures_models.Same, self)": "unchecked_cast to __torch__.fixtures_models.Same",
    "y = unchecked_cast(List[__torch__.fixtures_models.Same], x)": "unchecked_cast to List[__torch__.fixtures_mod",
    "y = unchecked_cast(Optional[__torch__.fixtures_models.Same], x)": "unchecked_cast to Optional[__torch__.fixt",
    "y = unchecked_cast(Dict[str, Any], x)": "unchecked_cast to Dict[str, Any]",
    "y = unchecked_cast(Tuple[int, int], x)": "unchecked_cast to Tuple[int, int]",
    "c = unchecked_cast\n    y = c(Tensor, x)": "unchecked_cast under another name",
    "y = ops.prim.unchecked_cast(x)": "torch.ops.prim.unchecked_cast",
    "y = ops.prim.unchecked_unwrap_optional(x)": "torch.ops.prim.unchecked_unwrap_optional",
    "y = torch.to(x, -99)": "a dtype that is no ordinary one",
    "y = x.to(-99)": "a dtype that is no ordinary one",
    "d = 300\n    e = d\n    y = torch.to(x, e)": "a dtype that is no ordinary one",
    "y = torch.to(x, ops.prim.device(x), 13)": "a dtype that is no ordinary one",
    "y = torch.view(x, -99)": "a dtype that is no ordinary one",
    "y = torch.softmax(x, 1, 99)": "a dtype that is no ordinary one",
    "y = torch.zeros([1], dtype=22)": "a dtype that is no ordinary one",
    "d = torch.neg(99)\n    y = torch.zeros([1], dtype=d)": "a dtype that is no ordinary one",
}


@pytest.mark.parametrize("statement", HOSTILE)
def test_hostile_code_is_named_and_refused_unless_trusted(statement: str, plain: Path, tmp_path: Path) -> None:
    path = models.with_code(plain, tmp_path / "x.ts", statement)
    with pytest.raises(ModelError) as caught:
        check(path)
    assert (caught.value.path, caught.value.remedy_options) == (path, ("trust_model",))
    assert re.search(f"{re.escape(HOSTILE[statement])}.* in code/__torch__/fixtures_models.py", str(caught.value))
    assert check(path, trust=True) is Kind.TORCHSCRIPT


@pytest.mark.parametrize(
    "source",
    [
        b"def f(self, saved):\n  return torch.add(self.saved_mean, ops.prim.dtype(saved))\n",
        b'def f(x):\n  return torch.format("save {} to ops.c10d", getattr(self.net, "0"))\n',
        b'def f(self):\n  x = self.net.values.wherever\n  return torch.add(x, __torch__.rave.Generator("#\\""))\n',
        b"def f(x, y):\n  d = ops.prim.dtype(x)\n  return torch.to(torch.zeros([1], dtype=d, layout=None), d, True)\n",
        b"def f(x, y):\n  return torch.view(torch.to(torch.to(x, ops.prim.device(y), 6), y, False, False), [-1])\n",
        b"def f(x, t):\n  d = unchecked_cast(int, t)\n  return torch.softmax(torch.zeros([2], dtype=5), 0, d)\n",
        b"",
    ],
)
def test_harmless_code_passes(source: bytes) -> None:
    assert suspicion(source) == ""


def test_an_encoding_of_its_own_hides_nothing() -> None:
    # read as UTF-7, the rest of the line would be a comment
    assert suspicion(b'# coding: utf-7\ny = x +ACM-z; torch.save(x, "f")\n')


def test_null_bytes_are_unreadable() -> None:
    assert suspicion(b"x = 1\0\ntorch.add(x)") == "unreadable code"


def test_code_that_runs_on_loading_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "trap.ts"
    torch.jit.script(models.Trap()).save(str(path))
    with pytest.raises(ModelError, match="__setstate__ in code/"):
        check(path)
    with open_model(path) as file:
        code = file.member("code/__torch__/fixtures_models.py") or b""
    assert suspicion(code.replace(b"__setstate__", b"other")) == "torch.save"
    assert not Path("trapped").exists()
    torch.jit.load(str(path))
    assert Path("trapped").exists(), "this trap is not the threat that it should be"


def rename(old: str, new: str) -> Callable[[str, bytes], tuple[str, bytes]]:
    return lambda name, data: (name.replace(old, new), data)


def test_torch_ignores_case_and_so_does_the_screen(plain: Path, tmp_path: Path) -> None:
    hostile = models.with_code(plain, tmp_path / "a.ts", 'torch.save(x, "f")')
    name = "code/__torch__/fixtures_models.py"
    shouting = models.rewrite(hostile, tmp_path / "b.ts", rename(name, name.upper()))
    torch.jit.load(str(shouting))
    with pytest.raises(ModelError, match=r"torch\.save in CODE/"):
        check(shouting)


def add(path: Path, name: str, data: bytes = b"x", **how: Any) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")  # about the second of a name
        file.writestr(name, data, **how)


STRANGE = {
    "two members named": lambda p: add(p, "plain/DATA.pkl"),
    "is outside of plain/": lambda p: add(p, "elsewhere/code/x.py"),
    "outside": lambda p: add(p, "plain/../x.py"),
    "model.json": lambda p: add(p, "plain/model.json"),
    "in front of it": lambda p: p.write_bytes(zipfile.ZIP_STORED.to_bytes(8, "little") + p.read_bytes()),
    "behind it": lambda p: zipfile.ZipFile(p, "a").__setattr__("comment", b"hello"),
    "unpack to": lambda p: add(p, "plain/data/9", bytes(80 << 20), compress_type=zipfile.ZIP_DEFLATED),
    "unknown way": lambda p: add(p, "plain/data/9", compress_type=zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("expected", STRANGE)
def test_archives_that_pytorch_would_not_write(expected: str, plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(plain.read_bytes())
    STRANGE[expected](path)
    if expected == "in front of it":  # must still look like a zip from its first byte on
        path.write_bytes(b"PK\x03\x04" + path.read_bytes()[4:])
    with pytest.raises(ModelError, match=expected):
        check(path, trust=True)


def test_flatbuffer_in_front_of_a_zip_is_no_model(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_bytes(b"\x20\0\0\0PTMF" + bytes(56) + plain.read_bytes())
    with pytest.raises(ModelError, match="not a model file"):
        identify(tmp_path / "x.ts")


def test_object_tables_that_import(plain: Path, tmp_path: Path) -> None:
    for table, found in (
        (b"\x80\x02cos\nsystem\n.", r"an odd object table .an import of 'os.system'."),
        (b"\x80\x02\x8c\x02os\x8c\x06system\x93.", r"an odd object table .SHORT_BINUNICODE in it."),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"an odd object table .PROTO in it."),
        (b"\x80\x02(ios\nsystem\n.", r"an odd object table .INST in it."),
    ):

        def change(name: str, data: bytes, table: bytes = table) -> tuple[str, bytes]:
            return name, table if name.endswith("/constants.pkl") else data

        path = models.rewrite(plain, tmp_path / "x.ts", change)
        with pytest.raises(ModelError, match=rf"{found} in constants\.pkl"):
            check(path)


def test_a_broken_object_table_is_suspicious() -> None:
    with pytest.raises(ValueError, match="odd object table"):
        object_table.check("data.pkl", b"\x80\x02cos\nsyst", {}, {})
    with pytest.raises(ValueError, match=r"dist_rpc\.Agent'\) in data\.pkl"):
        object_table.check("data.pkl", b"\x80\x02c__torch__.torch.classes.dist_rpc\nAgent\n.", {}, {})


@pytest.mark.parametrize(
    ("count", "size", "name"),
    [(1, model_file.CODE_BYTES + 2, "code/0.py"), (4, model_file.CODE_BYTES - 2, "code/3.py")],
)
def test_huge_code_is_not_read(count: int, size: int, name: str, plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(plain.read_bytes())
    for part in range(count):
        add(path, f"plain/code/{part}.py", b"\n" * size, compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match=f"more code or larger tables than real exports.* KiB in {name}"):
        check(path)
    assert check(path, trust=True) is Kind.TORCHSCRIPT


def test_looking_needs_no_torch() -> None:
    source = "import sys, unravel_lib.models.screening.model_file; sys.exit(bool({'torch', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
