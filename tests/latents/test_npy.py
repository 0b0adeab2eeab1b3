"""Latents files as other programs may write them."""

import hashlib
import os
import tracemalloc
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import Sidecar, complete_sidecar
from unravel_lib.latents import formats

Z = np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32)


def load(folder: Path, array: np.ndarray) -> np.ndarray:
    np.save(folder / "x.npy", array)
    return formats.load_latents(folder / "x.npy")


def test_what_is_saved_is_what_the_contract_says(tmp_path: Path) -> None:
    formats.save_latents(tmp_path / "x.npy", Z.astype(np.float64).tolist())
    array = np.load(tmp_path / "x.npy")
    assert (array.dtype, array.shape, array.flags.c_contiguous) == (np.float32, (1, 4, 9), True)
    np.testing.assert_array_equal(array[0], Z)
    np.save(tmp_path / "numpy.npy", Z[None])
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_the_sidecar_comes_with_it(tmp_path: Path) -> None:
    formats.save_latents(tmp_path / "x.npy", Z, Sidecar(seed=3))
    assert complete_sidecar(tmp_path / "x.npy", Sidecar(seed=3))


@pytest.mark.parametrize("bad", [Z[None], Z[0], Z[:, :0], np.full((2, 2), np.nan), np.full((2, 2), 1e300)])
def test_a_bug_is_never_written(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(ValueError), np.errstate(over="ignore"):
        formats.save_latents(tmp_path / "x.npy", bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", "<i2", "|u1", "<f16"])
@pytest.mark.parametrize("shape", [(4, 9), (1, 4, 9)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_real_type_order_and_shape(tmp_path: Path, dtype: str, shape: tuple[int, ...], order: str) -> None:
    array = np.asarray((Z * 10).astype(dtype).reshape(shape), order=order)  # type: ignore[call-overload]
    found = load(tmp_path, array)
    assert found.shape == (4, 9)
    np.testing.assert_array_equal(found, array.reshape(4, 9))


def test_what_is_loaded_is_in_memory(tmp_path: Path) -> None:
    """A mapped file that another program cuts short ends the process."""
    array = load(tmp_path, Z)
    (tmp_path / "x.npy").write_bytes(b"")
    np.testing.assert_array_equal(array, Z)


@pytest.mark.parametrize("cut", [True, False])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    read_array, path = np.lib.format.read_array, tmp_path / "x.npy"

    def then_changed(stream: BinaryIO, allow_pickle: bool) -> np.ndarray:
        if cut:
            os.truncate(path, 200)
        os.utime(path, (1, 1))
        return read_array(stream, allow_pickle=allow_pickle)

    np.save(path, np.ones((8, 40_000)))
    monkeypatch.setattr(np.lib.format, "read_array", then_changed)
    with pytest.raises(InputError) as error:
        formats.load_latents(path)
    assert error.value.path == path
    assert cut or error.value.found == "was changed by another program while it was read"


def test_more_than_a_gibibyte_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "x.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1, 16, 20_000_000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(128 + 4 * 16 * 20_000_000)
    with pytest.raises(InputError) as error:
        formats.load_latents(tmp_path / "x.npy")
    assert (error.value.found, error.value.expected) == ("holds 1.2 GiB of latents", "at most 1.0 GiB")


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("n_bytes", [65_000, 1 << 31])
def test_a_long_header_is_refused_without_reading_it(tmp_path: Path, version: int, n_bytes: int) -> None:
    stated = min(n_bytes, 65_000).to_bytes(2, "little") if version == 1 else n_bytes.to_bytes(4, "little")
    with open(tmp_path / "x.npy", "wb") as file:
        file.write(b"\x93NUMPY" + bytes([version, 0]) + stated)
        file.truncate(n_bytes + 100)
    tracemalloc.start()
    with pytest.raises(InputError) as error:
        formats.load_latents(tmp_path / "x.npy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    found = "is damaged or not a .npy file" if n_bytes < 1 << 30 else "holds 2.0 GiB of latents"
    assert error.value.found == found and peak < 1 << 23


@pytest.mark.parametrize("shape", ["(1L, 4L, 9L)", "(4L, 9L)"])
def test_a_file_of_python_2_is_read_without_a_warning(tmp_path: Path, shape: str) -> None:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + Z.tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(formats.load_latents(tmp_path / "x.npy"), Z)


@settings(max_examples=30, deadline=None)
@given(dims=st.integers(1, 40), frames=st.integers(1, 200), values=st.integers(1, 300))
def test_blocks_cover_every_frame_once(dims: int, frames: int, values: int) -> None:
    array = np.arange(dims * frames).reshape(dims, frames)
    before, formats.BLOCK_VALUES = formats.BLOCK_VALUES, values
    try:
        blocks = list(formats.blocks(array))
    finally:
        formats.BLOCK_VALUES = before
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), array)


def test_a_bad_value_is_found_where_it_is(tmp_path: Path) -> None:
    bad = Z.copy()
    bad[2, 7] = np.inf
    with pytest.raises(InputError, match="inf at dim 2, frame 7"):
        load(tmp_path, bad)


def test_the_content_key_is_that_of_the_values(tmp_path: Path) -> None:
    key = formats.content_key(Z)
    assert key == hashlib.sha256(b"(4, 9)" + Z.tobytes()).hexdigest()
    assert formats.content_key(np.asfortranarray(Z.astype(">f8"))) == key
    assert formats.content_key(Z.reshape(9, 4)) != key
    assert formats.content_key(Z + np.float32(1e-6)) != key


@pytest.mark.parametrize("head", [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(40), b"\x80\x04N.", b"RIFF" + bytes(40)])
def test_no_array_at_all(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(head)
    with pytest.raises(InputError, match=r"x\.npy (is|holds) .*expected"):
        formats.load_latents(tmp_path / "x.npy")


def test_missing_or_a_folder(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "x.npy", "No such file or directory")):
        with pytest.raises(InputError, match=f"cannot be read: {why}"):
            formats.load_latents(path)
