"""Object tables that PyTorch would accept: nested without end, tensors larger than their values, unusual names."""

import re
import struct
from pathlib import Path

import fixtures_models as models
import pytest
import torch

from unravel_lib.errors import ModelError
from unravel_lib.models.screening import object_table
from unravel_lib.models.screening.model_file import open_model

START = b"\x80\x02"


def text(words: str) -> bytes:
    return b"X" + struct.pack("<L", len(words)) + words.encode()


def long(value: int) -> bytes:
    return b"J" + struct.pack("<l", value)


def tensor(
    count: bytes, offset: bytes, size: bytes, stride: bytes, key: str = "0", kind: str = "FloatStorage"
) -> bytes:
    """A tensor of one dimension as a table spells it."""
    values = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + count + b"tQ"
    rest = offset + size + b"\x85" + stride + b"\x85\x89ccollections\nOrderedDict\n)R"
    return START + b"ctorch._utils\n_rebuild_tensor_v2\n(" + values + rest + b"tR."


NESTED = {
    "tuples": START + b")" + b"\x85" * 1_000_000 + b".",
    "lists": START + b"]" * 5000 + b"a" * 4999 + b".",
    "dicts": START + (b"}" + b"K\x00") * 5000 + b"N" + b"s" * 5000 + b".",
    "by memo": START + b")q\x00" + b"h\x00\x85q\x00" * 5000 + b"\x85.",
    "lists by memo": START + b"(]q\x00" + b"]q\x01h\x00aq\x00" * 5000 + b"t.",
    "lists in the memo before they are filled": START + b"(]q\x00" + b"]q\x01h\x00a]q\x00h\x01a" * 2500 + b"t.",
    "overwritten": START + b"}K\x00)" + b"\x85" * 5000 + b"sK\x00Ns.",
    "left behind": START + b")" + b"\x85" * 5000 + b"N.",
    "a type": START
    + b"ctorch.jit._pickle\nrestore_type_tag\n]"
    + text("List[" * 5000 + "int" + "]" * 5000)
    + b"\x86R.",
}


@pytest.mark.parametrize("name", NESTED)
def test_endless_nesting(name: str) -> None:
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        object_table.check("data.pkl", NESTED[name], {}, {})


ODD = {
    "grows later": (START + b"(]q\x00h\x00]at.", "an object that grows after its making"),
    "two values": (START + b"NN.", "values that belong to nothing"),
    "huge memo": (START + b"Nr\xff\xff\xff\xff.", "more references than values"),
    "missing memo": (START + b"h\x07.", "odd object table"),
    "other steps": (START + b"\x8c\x01a.", "SHORT_BINUNICODE in it"),
    "space in a name": (START + b"c__torch__.torch .classes.dist_rpc\nAgent\n)\x81.", "an import of"),
    "space at its end": (START + b"c__torch__.torch \nclasses.dist_rpc.Agent\n)\x81.", "an import of"),
    "registered class": (START + b"c__torch__.torch.classes.quantized\nX\n)\x81.", "torch.classes.quantized.X"),
    "other rebuilding": (START + b"ctorch._utils\n_rebuild_sparse_tensor\n)R.", "_rebuild_sparse_tensor"),
    "more values than bytes": (tensor(long(999), b"K\x00", b"K\x04", b"K\x01"), "999 values for tensor 0, which"),
    "fewer than none": (tensor(long(-1), b"K\x00", b"K\x04", b"K\x01"), "-1 values"),
    "no such values": (tensor(b"K\x04", b"K\x00", b"K\x04", b"K\x01", "1"), "4 values for tensor 1, which has 0"),
    "wider values": (tensor(b"K\x04", b"K\x00", b"K\x04", b"K\x01", "0", "DoubleStorage"), "4 values for tensor 0"),
    "size": (tensor(b"K\x04", b"K\x00", b"K\x05", b"K\x01"), "a tensor larger than its values"),
    "stride": (tensor(b"K\x04", b"K\x00", b"K\x04", b"K\x02"), "a tensor larger than its values"),
    "offset": (tensor(b"K\x04", b"K\x01", b"K\x04", b"K\x01"), "a tensor larger than its values"),
    "repeats": (tensor(b"K\x04", b"K\x00", long((1 << 24) + 1), b"K\x00"), "a tensor that repeats its values"),
    "text for a size": (tensor(b"K\x04", b"K\x00", b"K\x04", b"K\x01").replace(b"K\x04\x85", text("ab")), "odd call"),
    "negative": (tensor(b"K\x04", long(-1), b"K\x04", b"K\x01"), "a tensor of negative size"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables(name: str) -> None:
    table, expected = ODD[name]
    with pytest.raises(ValueError, match=re.escape(expected)):
        object_table.check("data.pkl", table, {"0": 16}, {})


@pytest.mark.parametrize(
    "table",
    [
        tensor(b"K\x04", b"K\x00", b"K\x04", b"K\x01"),
        tensor(b"K\x04", b"K\x03", b"K\x09", b"K\x00"),  # one value, repeated
        tensor(b"K\x00", b"K\x00", b"K\x00", b"K\x01", "1"),  # none, for which the archive has no member
        START + b")" + b"\x85" * 100 + b".",
        START + b"(ctorch.jit._pickle\nbuild_intlist\n](K\x01K\x02e\x85Rq\x00h\x00h\x00t.",
    ],
)
def test_honest_tables(table: bytes) -> None:
    object_table.check("data.pkl", table, {"0": 16}, {})


def test_a_tensor_beyond_its_values_is_refused_in_a_file(tmp_path: Path) -> None:
    honest = models.script(tmp_path, "rave23")  # has a tensor of 3 values

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        assert not name.endswith("/data.pkl") or data.count(b"K\x03tQ") == 1
        return name, data.replace(b"K\x03tQ", b"K\xfftQ")

    path = models.rewrite(honest, tmp_path / "x.ts", change)
    assert max(p.untyped_storage().nbytes() for p in torch.jit.load(path).parameters()) == 1020, "no threat"
    message = r"255 values for tensor \d+, which has 12 bytes.* in data\.pkl"
    with open_model(path) as file, pytest.raises(ModelError, match=message):
        file.check()
