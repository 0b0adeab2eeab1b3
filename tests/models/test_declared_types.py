"""Values in an object table must have the types that the code declares: PyTorch reads them as if they had."""

import struct
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple  # noqa: UP035

import pytest
import torch
from torch import Tensor, nn

from unravel_lib.models.screening import object_table
from unravel_lib.models.screening.code import Code
from unravel_lib.models.screening.model_file import open_model

CODE = b"""
class Small(Module):
  training : bool
  def f(self: __torch__.m.Small, x: Tensor) -> Tensor:
    return x
class Large(Module):
  a : int
  b : int
  __annotations__["0"] = int
  c : Final[int] = 3
  def f(self: __torch__.m.Large, x: int) -> int:
    return x
class Maker(Interface):
  def f(self: __torch__.m.Maker, x: Tensor) -> Tensor:
    pass
class Pair(NamedTuple):
  first : int
  second : Tensor
class Root(Module):
  x : TYPE
"""


def text(words: str) -> bytes:
    return b"X" + struct.pack("<L", len(words)) + words.encode()


def made(name: str, **attributes: bytes) -> bytes:
    """An object of a class of the file."""
    pairs = b"".join(text(key.lstrip("_")) + value for key, value in attributes.items())
    return f"c__torch__.m\n{name}\n".encode() + b")\x81}(" + pairs + b"ub"


def tagged(value: bytes, tag: str) -> bytes:
    return b"ctorch.jit._pickle\nrestore_type_tag\n" + value + text(tag) + b"\x86R"


def listed(tag: str, *items: bytes) -> bytes:
    return tagged(b"](" + b"".join(items) + b"e", f"List[{tag}]")


def mapped(tag: str, *items: bytes) -> bytes:
    return tagged(b"}(" + b"".join(items) + b"u", f"Dict[{tag}]")


ONE, TRUE, HALF, NONE, WORD = b"K\x01", b"\x88", b"G" + struct.pack(">d", 0.5), b"N", text("word")
STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
)
DEVICE = b"ctorch\ndevice\n" + text("cpu") + b"\x85R"
INTS = b"ctorch.jit._pickle\nbuild_intlist\n](K\x01K\x02e\x85R"
SMALL = made("Small", training=TRUE)
LARGE = made("Large", a=ONE, b=ONE, _0=ONE)
M = "__torch__.m."


def found(declared: str, value: bytes) -> str:
    code = Code({"code/__torch__/m.py": CODE.replace(b"TYPE", declared.encode())})
    code.check()
    return odd(b"\x80\x02" + made("Root", x=value) + b".", code)


def odd(table: bytes, code: Code) -> str:
    """Return what is refused in a table, nothing where it is as PyTorch writes it."""
    try:
        object_table.check("data.pkl", table, {"0": 16}, code.classes)
    except ValueError as error:
        return str(error)
    return ""


HONEST = {
    "int": ONE,
    "float": HALF,
    "bool": TRUE,
    "str": WORD,
    "NoneType": NONE,
    "number": HALF,
    "Device": DEVICE,
    "Tensor": TENSOR,
    "Any": TENSOR,
    "Optional[int]": NONE,
    "Optional[ __torch__.m.Large]": LARGE,
    "Union[int, str]": WORD,
    f"{M}Large": LARGE,
    f"{M}Maker": SMALL,
    f"{M}Pair": ONE + TENSOR + b"\x86",
    "List[int]": INTS,
    "List[str]": listed("str", WORD, WORD),
    f"List[{M}Large]": listed(f"{M}Large", LARGE, LARGE),
    f"Dict[str, {M}Large]": mapped(f"str, {M}Large", WORD, LARGE),
    "Dict[int, int]": mapped("int, int", ONE, ONE),
    "Tuple[int, str]": ONE + WORD + b"\x86",
    "Tuple[()]": b")",
    "Dict[str, List[Tuple[int, Optional[Tensor]]]]": mapped(
        "str, List[Tuple[int, Optional[Tensor]]]",
        WORD,
        listed("Tuple[int, Optional[Tensor]]", ONE + NONE + b"\x86", ONE + TENSOR + b"\x86"),
    ),
}


@pytest.mark.parametrize("declared", HONEST)
def test_values_of_their_types(declared: str) -> None:
    assert found(declared, HONEST[declared]) == ""


OTHERS = {
    "another class": (f"{M}Large", SMALL),
    "none": (f"{M}Large", NONE),
    "a number for an object": (f"{M}Large", ONE),
    "a tensor for an object": (f"{M}Large", TENSOR),
    "an object for a number": ("int", LARGE),
    "a class that is not made": ("int", b"c__torch__.m\nSmall\n"),
    "an object without its attributes": (f"{M}Small", b"c__torch__.m\nSmall\n)\x81"),
    "in an optional": (f"Optional[{M}Large]", SMALL),
    "in a union": (f"Union[{M}Large, int]", SMALL),
    "in a list": (f"List[{M}Large]", listed(f"{M}Large", LARGE, SMALL)),
    "a list of another class": (f"List[{M}Large]", listed(f"{M}Small", SMALL)),
    "a list without a tag": (f"List[{M}Large]", b"](" + LARGE + b"e"),
    "an empty list without a tag": (f"List[{M}Large]", b"]"),
    "a tag that is not true": ("Any", listed(f"{M}Large", SMALL)),
    "a tag of any": (f"List[{M}Large]", listed("Any", LARGE)),
    "in a dict": (f"Dict[str, {M}Large]", mapped(f"str, {M}Large", WORD, SMALL)),
    "as a key": (f"Dict[str, {M}Large]", mapped(f"str, {M}Large", ONE, LARGE)),
    "hidden by an equal key": (f"Dict[int, {M}Large]", mapped(f"int, {M}Large", ONE, SMALL, TRUE, LARGE)),
    "in a tuple": (f"Tuple[int, {M}Large]", ONE + SMALL + b"\x86"),
    "a short tuple": ("Tuple[int, int, int]", ONE + b"\x85"),
    "a long tuple": ("Tuple[int]", ONE + ONE + b"\x86"),
    "a tuple for nothing": ("Tuple[()]", ONE + b"\x85"),
    "in a named tuple": (f"{M}Pair", ONE + ONE + b"\x86"),
    "a short named tuple": (f"{M}Pair", ONE + b"\x85"),
    "nested": (
        f"Dict[str, List[Tuple[int, {M}Large]]]",
        mapped(f"str, List[Tuple[int, {M}Large]]", WORD, listed(f"Tuple[int, {M}Large]", ONE + SMALL + b"\x86")),
    ),
    "other types for an interface": (f"{M}Maker", LARGE),
    "an attribute of an attribute": (f"{M}Large", made("Large", a=ONE, b=WORD, _0=ONE)),
    "an attribute named by a number": (f"{M}Large", made("Large", a=ONE, b=ONE, _0=WORD)),
    "an attribute less": (f"{M}Large", made("Large", a=ONE, b=ONE)),
    "an attribute more": (f"{M}Small", made("Small", training=TRUE, more=ONE)),
    "a class without code": (f"{M}Other", made("Other")),
    "a class of another file": ("__torch__.n.Small", SMALL),
    "an object for a named tuple": (f"{M}Pair", made("Pair", first=ONE, second=TENSOR)),
    "text for a number": ("int", WORD),
    "a bool for a number": ("int", TRUE),
    "a number for a bool": ("bool", ONE),
    "a number for a float": ("float", ONE),
    "a tensor for a number": ("int", TENSOR),
    "a number for a tensor": ("Tensor", ONE),
    "values for a tensor": ("Tensor", STORAGE),
    "none for a tensor": ("Tensor", NONE),
    "none for a number": ("int", NONE),
    "text for a device": ("Device", WORD),
    "numbers for texts": ("List[str]", INTS),
    "texts as numbers": ("List[int]", b"ctorch.jit._pickle\nbuild_intlist\n](" + WORD + b"e\x85R"),
    "an unknown type": ("Future[int]", ONE),
    "a type that is no type": ("3 + x", ONE),
}


@pytest.mark.parametrize("name", OTHERS)
def test_values_of_other_types(name: str) -> None:
    assert "odd object table" in found(*OTHERS[name])


def test_one_list_has_one_type_everywhere() -> None:
    """An empty list is of any type, until one attribute fills it and the other is read."""
    code = Code({"code/__torch__/m.py": CODE.replace(b"TYPE", b"List[__torch__.m.Small]\n  y : Any")})
    shared = listed(f"{M}Small") + b"q\x01"
    for y, expected in ((b"h\x01", ""), (tagged(b"h\x01", f"List[{M}Large]"), "for something else")):
        table = b"\x80\x02" + made("Root", x=shared, y=y) + b"."
        assert expected in odd(table, code) and bool(expected) == bool(odd(table, code))


def test_a_class_that_is_declared_twice_is_refused() -> None:
    twice = CODE.replace(b"TYPE", b"int") + b"class Small(Module):\n  more : int\n"
    with pytest.raises(ValueError, match=r"__torch__\.m\.Small twice in code/__torch__/m\.py"):
        Code({"code/__torch__/m.py": twice})


class Pair(NamedTuple):
    first: int
    second: Tensor


@torch.jit.interface
class Shaper(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Many(nn.Module):
    """Attributes of all kinds, as PyTorch writes them."""

    shaper: Shaper
    named: Pair
    lists: Dict[str, List[List[int]]]  # noqa: UP006
    pair: Tuple[int, Optional[str]]  # noqa: UP006, UP045
    empty: Dict[int, float]  # noqa: UP006
    maybe: Optional[Tensor]  # noqa: UP045

    def __init__(self) -> None:
        super().__init__()
        self.lists = {"a": [[1], []]}
        self.pair = (1, None)
        self.tensors = [torch.zeros(2)]
        self.floats, self.bools = [0.5], [True]
        self.empty = {}
        self.named = Pair(1, torch.ones(1))
        self.device = torch.device("cpu")
        self.maybe = None
        self.shaper = Inner()
        self.layers = nn.ModuleList([Inner(), nn.Conv1d(1, 1, 1)])
        self.by_name = nn.ModuleDict({"in-1": Inner()})
        self.count = nn.Parameter(torch.ones(3))
        self.resampler = None

    def forward(self, x: Tensor) -> Tensor:
        maybe = self.maybe
        for layer in self.layers:
            x = layer(x)
        if maybe is not None:
            x = x + maybe
        pair = self.named
        return self.shaper.forward(x) * len(self.lists) * self.pair[0] + pair.second * len(self.tensors)


def test_attributes_that_pytorch_writes_pass(tmp_path: Path) -> None:
    torch.jit.script(Many()).save(tmp_path / "x.ts")
    with open_model(tmp_path / "x.ts") as file:
        file.check()
