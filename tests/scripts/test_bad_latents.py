"""Bad latents: what users see (rows as `fixtures_rows` describes them)."""

import struct
from pathlib import Path

import numpy as np
import pytest
from fixtures_rows import PICKLE, D, Row, bytes_of, folder, in_a_fresh_folder, nothing, sound
from fixtures_runs import TONE, Run, Z, npy

from unravel_lib.files.sidecar import Sidecar
from unravel_lib.latents.formats import save_latents


def header(descr: str, shape: str, order: str = "False", data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


Z_NAN, Z_INF = Z.copy(), Z.copy()
Z_NAN[0, 3, 7], Z_INF[0, 0, 0] = np.nan, -np.inf
DAMAGED = "error: {in} is damaged or not a .npy file, expected float32 latents as encoder.py writes them"
FINE = ".json .wav"


def row(given: str, data: bytes, line: str, left: str = "failures.csv", code: int = 2) -> Row:
    return Row(given, D, bytes_of(data), line, left, code, "x.npy")


LATENTS_ROWS = [
    row("cut short", npy(Z)[:-5], DAMAGED),
    row("cut inside its header", npy(Z)[:40], DAMAGED),
    row("0 bytes", b"", "error: {in} is empty (0 bytes), expected float32 latents as encoder.py writes them"),
    row("objects", npy(np.array([{"a": 1}], dtype=object)), DAMAGED),
    row("bare pickle", PICKLE, DAMAGED),
    row("zip", npy(Z)[:0] + b"PK\x03\x04" + bytes(60), DAMAGED),
    row("1 axis", npy(Z[0, 0]), "error: {in} has shape (30,), expected (1, dims, frames) or (dims, frames)"),
    row("4 axes", npy(Z[None]), "error: {in} has shape (1, 1, 8, 30), expected (1, dims, frames) or (dims, frames)"),
    row(
        "two in a batch",
        npy(np.vstack([Z, Z])),
        "error: {in} has shape (2, 8, 30), expected (1, dims, frames) or (dims, frames)",
    ),
    row("no frames", npy(Z[:, :, :0]), "error: {in} is empty (8 dims, 0 frames), expected at least one frame"),
    row("complex", npy(Z.astype(complex)), "error: {in} holds complex128 values, expected real numbers (float32)"),
    row("text", npy(np.array([["a"]])), "error: {in} holds <U1 values, expected real numbers (float32)"),
    row("booleans", npy(Z > 0), "error: {in} holds bool values, expected real numbers (float32)"),
    row("NaN", npy(Z_NAN), "error: {in} holds nan at dim 3, frame 7, expected finite values"),
    row("Inf", npy(Z_INF), "error: {in} holds -inf at dim 0, frame 0, expected finite values"),
    row(
        "beyond float32",
        npy(np.full((8, 5), 1e300)),
        "error: {in} holds 1e+300 at dim 0, frame 0, expected finite values",
    ),
    row(
        "axes swapped",
        npy(np.zeros((1025, 8), np.float32)),
        "error: {in} has 1025 dims, at most 1024 make sense: are axes swapped?",
    ),
    row("a billion frames promised", header("'<f4'", "(1, 8, 1000000000)"), DAMAGED),
    row("more than memory addresses", header("'<f4'", f"(1, 8, {10**30})"), DAMAGED),
    row("negative shape", header("'<f4'", "(1, 8, -30)", data=bytes(9999)), DAMAGED),
    row("code in the header", header("__import__('os').system('touch hacked')", "(1,)"), DAMAGED),
    row("header of 60 KB", header("'<f4'", "(" + "1," * 30000 + ")"), DAMAGED),
    row("deep header", header("(" * 4000 + ")" * 4000, "(1,)"), DAMAGED),
    row(
        "other dims",
        npy(Z[:, :5]),
        "error: {in} has 5 dims, pocket.ts decodes 8: decode with the model, with which it was made (--model)",
    ),
    row("float16", npy(Z.astype(np.float16)), "", FINE, 0),
    row("big-endian", npy(Z.astype(">f8")), "", FINE, 0),
    row("Fortran order", npy(Z, fortran=True), "", FINE, 0),
    row("integers", npy(np.ones((8, 3), np.int8)), "", FINE, 0),
    row("1 frame", npy(Z[0, :, :1]), "", FINE, 0),
    Row("missing", D, nothing, "error: {in} does not exist: check the path (--input)", "-", name="x.npy"),
    Row("empty folder", D, folder, "error: {in} holds no .npy .wav file, it is empty (hidden files do not count)", "-"),
    Row(
        "sound",
        D,
        sound(TONE),
        "error: {in} is WAV PCM_16, expected a WAV of floats: is it latent audio? encode sound with encoder.py",
    ),
]


@pytest.mark.parametrize("row", LATENTS_ROWS, ids=lambda row: row.given)
def test_latents(row: Row, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    in_a_fresh_folder(row, run, tmp_path)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "row",
    [r for r in LATENTS_ROWS if r.name == "x.npy" and r.code and "dims, pocket" not in r.line],
    ids=lambda r: r.given,
)
def test_the_generator_says_the_same(row: Row, run: Run, tmp_path: Path) -> None:
    """Nothing can be generated from what cannot be read: no folder of a run, and the same line."""
    row.script, row.left = "generator", "-"
    result = in_a_fresh_folder(row, run, tmp_path)
    assert result.out == b""


def test_latents_for_another_model_are_decoded_with_a_warning(run: Run, tmp_path: Path) -> None:
    save_latents(tmp_path / "x.npy", Z[0], Sidecar(model="voice.ts", model_sha256="0" * 64))
    result = run("decoder", "--input", tmp_path / "x.npy", "--output", tmp_path / "out")
    assert result.code == 0
    assert f"warning: {tmp_path}/x.npy was made with voice.ts, not with pocket.ts" in result.err.splitlines()


def test_mixed_dims_name_both_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, dims in (("a", 4), ("b", 8)):
        save_latents(tmp_path / "in" / f"{name}.npy", Z[0, :dims])
    result = run("generator", "--input", tmp_path / "in", "--output", tmp_path / "out")
    a, b = tmp_path / "in" / "a.npy", tmp_path / "in" / "b.npy"
    assert result.code == 2
    assert result.errors == [f"error: {b} has 8 dims, {a} has 4: give encodings of one model (--input)"]
