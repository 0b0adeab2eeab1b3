"""Archives that Python and PyTorch read differently: PyTorch gets what was screened, or nothing."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import fixtures_models as models
import pytest
import torch

from unravel_lib.errors import ModelError
from unravel_lib.models.screening.model_file import open_model

SCREENED, HIDDEN = 12345.0, 54321.0  # what the two models add to their input
END, LOCAL = b"PK\x05\x06", b"PK\x03\x04"
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """The members of the model that is screened."""
    with zipfile.ZipFile(models.script(tmp_path_factory.mktemp("plain"), "plain")) as file:
        return {i.filename: file.read(i) for i in file.infolist() if "debug" not in i.filename}


def hidden(data: bytes) -> bytes:
    return data.replace(b"12345.", b"54321.")


def code_of(members: Members) -> str:
    return next(name for name in members if name.endswith(".py"))


def directory(members: Members, offsets: list[int]) -> bytes:
    """A table of contents: stored members at these offsets."""
    entries = []
    for (name, data), offset in zip(members.items(), offsets, strict=True):
        sizes = (zlib.crc32(data), len(data), len(data), len(name), 0, 0, 0, 0, 0, offset)
        entries.append(struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0x21, *sizes) + name.encode())
    return b"".join(entries)


def bodies(members: Members, start: int = 0) -> tuple[bytes, list[int]]:
    """Stored members one behind the other, and where they begin."""
    out, offsets = b"", []
    for name, data in members.items():
        offsets.append(start + len(out))
        sizes = (zlib.crc32(data), len(data), len(data), len(name), 0)
        out += struct.pack("<4s5H3L2H", LOCAL, 20, 0, 0, 0, 0x21, *sizes) + name.encode() + data
    return out, offsets


def both(members: Members) -> tuple[bytes, list[int], Members, list[int]]:
    """The members of the screened model and behind them those of the hidden one, which are as long."""
    first, shown_at = bodies(members)
    other = {name: hidden(data) for name, data in members.items()}
    second, hidden_at = bodies(other, len(first))
    return first + second, shown_at, other, hidden_at


def end(count: int, size: int, offset: int) -> bytes:
    return struct.pack("<4s4H2LH", END, 0, 0, count, count, size, offset, 0)


def end64(count: int, size: int, offset: int) -> bytes:
    return struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)


def locator_elsewhere(members: Members) -> bytes:
    data, shown_at, other, hidden_at = both(members)
    count, evil, good = len(members), directory(other, hidden_at), directory(members, shown_at)
    at = len(data)
    data += evil + end64(count, len(evil), at)
    good_at, wrong = len(data), len(data) - 56
    data += good + end64(count, len(good), good_at) + struct.pack("<4sLQL", b"PK\x06\x07", 0, wrong, 1)
    return data + struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def second_directory(members: Members) -> bytes:
    """The end record counts back to the first directory, as Python does, and names the offset of the second."""
    data, shown_at, other, hidden_at = both(members)
    evil = directory(other, hidden_at)
    good = directory(members, [offset + len(evil) + 22 for offset in shown_at])
    return data + good + end(len(members), len(good), len(data) + len(good) + 22) + evil


def short_packed_size(members: Members) -> bytes:
    """Python reads the packed size, PyTorch the size, which it compares for members of midnight only."""
    name = code_of(members)
    honest = members[name].rstrip()
    longer = honest + b".add(41976.)\n"
    data, offsets = bodies({**members, name: longer})
    table = bytearray(directory({**members, name: longer}, offsets))
    entry = table.index(name.encode()) - 46
    struct.pack_into("<HHLL", table, entry + 12, 1, 0x21, zlib.crc32(honest), len(honest))
    return data + table + end(len(members), len(table), len(data))


def flatbuffer(members: Members) -> bytes:
    data, offsets = bodies(members)
    table = directory(members, offsets)
    return LOCAL + b"PTMF" + data[8:] + table + end(len(members), len(table), len(data))


def renamed(members: Members) -> bytes:
    """Another code member takes the place of the screened one for a Python that knows the extra field."""
    name = code_of(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member, data in members.items():
            info = zipfile.ZipInfo(member)
            if member == name:
                other = name.replace(".py", ".xy").encode()
                field = struct.pack("<BL", 1, zlib.crc32(name.encode())) + other
                info.extra = struct.pack("<2H", 0x7075, len(field)) + field
                data = hidden(data)
            file.writestr(info, data)
    return buffer.getvalue()


FORGED: dict[str, Callable[[Members], bytes]] = {
    "zip64 locator": locator_elsewhere,
    "second directory": second_directory,
    "short packed size": short_packed_size,
    "flatbuffer": flatbuffer,
}


def answer(source: object) -> float:
    return float(torch.jit.load(source)(torch.zeros(1)))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("forgery", FORGED)
def test_what_is_loaded_is_what_was_screened(forgery: str, members: Members, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(FORGED[forgery](members))
    with zipfile.ZipFile(path) as file:
        assert b"12345." in file.read(code_of(members)), "Python does not see the screened model"
    try:
        plainly = answer(str(path))
    except RuntimeError:
        plainly = None  # PyTorch takes it for something else
    assert plainly != SCREENED, "this forgery is not the threat that it should be"
    try:
        with open_model(path) as file, file.screened(trust=True) as source:
            assert answer(source) == SCREENED
    except ModelError as error:
        assert "is damaged inside" in str(error) and forgery == "short packed size"


def test_names_are_those_that_were_screened(members: Members, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(renamed(members))
    with open_model(path) as file:
        try:
            file.check()
        except ModelError as error:  # from Python 3.13 on zipfile goes by the other name, under which no code is found
            assert "which the code does not declare" in str(error)
            return
    with (
        open_model(path) as file,
        file.screened() as source,
        zipfile.ZipFile(source) as new,
        zipfile.ZipFile(path) as old,
    ):
        assert {info.filename for info in new.infolist()} <= set(old.namelist())
        assert not any(b"\x75\x70" in info.extra for info in new.infolist())


def test_a_file_that_changes_after_the_look_is_loaded_as_it_was(members: Members, tmp_path: Path) -> None:
    path, other = tmp_path / "x.ts", tmp_path / "y.ts"
    for target, change in ((path, bytes), (other, hidden)):
        with zipfile.ZipFile(target, "w") as file:
            for name, data in members.items():
                file.writestr(name, change(data))
    with open_model(path) as file, file.screened() as source:
        path.write_bytes(other.read_bytes())
        assert answer(source) == SCREENED
    assert answer(str(path)) == HIDDEN


def test_no_room_for_the_copy(members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(flatbuffer(members))
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: open("/dev/full", "r+b", buffering=0))  # noqa: SIM115
    message = r"x\.ts cannot be copied to the folder for temporary files: No space left"
    with open_model(path) as file, pytest.raises(ModelError, match=message), file.screened():
        pass
