"""What users give by mistake or by malice: one row each, with the exact line that they see.

A row: what is given, the exit code, the line on stderr, the files left in the output folder. `{in}` is the input,
`{out}` the output folder. Every row is run in a fresh folder; whatever else lies there must stay as it is, no row may
show a traceback, and stdout names nothing but files that exist.
"""

import io
import os
import pickle
import struct
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fixtures_codecs as codecs
import numpy as np
import pytest
import soundfile
import torch
from fixtures_runs import TONE, Make, Result, Run, Z, contents, kinds_left, npy, runner, wav

from unravel_lib.latents import save_latents
from unravel_lib.sidecar import Sidecar, write_sidecar


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a script in this process: run("encoder", "--input", path)."""
    return runner(capfdbinary, monkeypatch)


@dataclass
class Row:
    """What is given, and what is to happen."""

    given: str
    script: str
    make: Make  # writes the input
    line: str
    left: str = "failures.csv"
    code: int = 2
    name: str = "x.wav"


# ---------------------------------------------------------------- sound


STOP = " copy it again, or save what is left of it anew in an audio editor"


def bytes_of(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def sound(x: object, rate: int = 44100, format_: str = "WAV", subtype: str = "PCM_16", cut: float = 1.0) -> Make:
    data = wav(x, rate, format_, subtype)
    return bytes_of(data[: int(len(data) * cut)])


def m4a(cut: float) -> Make:
    def make(path: Path) -> None:
        import av

        buffer = io.BytesIO()
        with av.open(buffer, "w", format="ipod") as container:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            frame = av.AudioFrame.from_ndarray(TONE.astype(np.float32)[None], "fltp", "mono")
            frame.sample_rate = 44100
            fifo = av.AudioResampler(stream.format, stream.layout, 44100, frame_size=stream.frame_size)
            for piece in [*fifo.resample(frame), *fifo.resample(None)]:
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        data = buffer.getvalue()
        path.write_bytes(data[: int(len(data) * cut)])

    return make


def promised_rf64(path: Path) -> None:
    """An RF64 of 5 GB by its header; cut off after 1 MB."""
    with soundfile.SoundFile(path, "w", 44100, 2, "PCM_16", format="RF64") as file:
        file.write(np.zeros((1000, 2)))
    data = bytearray(path.read_bytes())
    at = data.index(b"ds64") + 8
    data[at : at + 24] = struct.pack("<QQQ", 5_000_000_096, 5_000_000_000, 1_250_000_000)
    path.write_bytes(data)


def header_chunk_of_4_gib(path: Path) -> None:
    """A WAV whose LIST chunk in front of the sound claims to have 4 GiB."""
    data = wav(TONE)
    path.write_bytes(data[:36] + b"LIST" + struct.pack("<I", 0xFFFFFFF0) + data[36:])


def nothing(path: Path) -> None:
    """Nothing at all."""


def folder(path: Path) -> None:
    path.mkdir()


def folder_with(*names: str) -> Make:
    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"x")

    return make


def link_to(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def pipe(path: Path) -> None:
    os.mkfifo(path)


NAN = np.where(np.arange(900) == 7, np.nan, 0.1)
INF = np.where(np.arange(900) == 8, -np.inf, 0.1)
PICKLE = pickle.dumps({"a": 1})
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
E = "encoder"
NO_SOUND = "error: {in} is not a sound file that libsndfile or FFmpeg can read"
HOLDS = "error: {in} holds no .wav .mp3 .ogg .aac .opus .aif .aiff .flac .m4a file: it "

SOUND_ROWS = [
    Row("missing path", E, nothing, "error: {in} does not exist: check the path given to --input", "-"),
    Row("empty folder", E, folder, HOLDS + "is empty (hidden files do not count)", "-", name="in"),
    Row(
        "folder without sound",
        E,
        folder_with("a.txt", "b.JPG", "README"),
        HOLDS + "holds .jpg .txt files without extension",
        "-",
        name="in",
    ),
    Row("directory named x.wav", E, folder, HOLDS + "is empty (hidden files do not count)", "-"),
    Row(
        "pipe named x.wav",
        E,
        pipe,
        "error: {in} is neither a file nor a folder: give --input a file or a folder of files",
        "-",
    ),
    Row(
        "link to itself",
        E,
        link_to("x.wav"),
        "error: {in} is neither a file nor a folder: give --input a file or a folder of files",
        "-",
    ),
    Row("0 bytes", E, bytes_of(b""), "error: {in} is empty (0 bytes), expected a sound file"),
    Row("0 samples", E, sound([]), "error: {in} holds 0 samples: expected at least one"),
    Row("1 sample", E, sound([0.5]), "", ".json .npy", 0),
    Row("64 channels", E, sound(np.ones((500, 64)) * 0.1), "", ".json .npy", 0),
    Row("8 kHz", E, sound(TONE, 8000), "", ".json .npy", 0),
    Row("384 kHz", E, sound(TONE, 384_000), "", ".json .npy", 0),
    Row(
        "21 Hz",
        E,
        sound(TONE, 21),
        "error: {in} runs at 21 Hz, expected 1000 to 2000000: decode latent audio with decoder.py",
    ),
    Row(
        "4 GHz",
        E,
        sound(TONE[:9], 2_000_000_001),
        "error: {in} runs at 2000000001 Hz, expected 1000 to 2000000: is its header damaged?",
    ),
    Row("NaN", E, sound(NAN, subtype="FLOAT"), "error: {in} holds NaN or Inf at sample 7: repair or render it again"),
    Row("Inf", E, sound(INF, subtype="FLOAT"), "error: {in} holds NaN or Inf at sample 8: repair or render it again"),
    Row("WAV cut short", E, sound(TONE, cut=0.5), "error: {in} is cut short (29978 bytes of 60000):" + STOP),
    Row(
        "AIFF cut short",
        E,
        sound(TONE, format_="AIFF", cut=0.5),
        "error: {in} is cut short (29981 bytes of 60008):" + STOP,
    ),
    Row("RF64 of 5 GB cut short", E, promised_rf64, "error: {in} is cut short (4096 bytes of 5000000096):" + STOP),
    Row("FLAC cut short", E, sound(TONE, format_="FLAC", cut=0.5), "error: {in} is damaged: "),
    Row(
        "Ogg cut short",
        E,
        sound(np.resize(TONE, 200_000), format_="OGG", subtype="VORBIS", cut=0.8),
        "error: {in} is cut short (its last page is not whole):" + STOP,
    ),
    Row(
        "MP3 cut short", E, sound(TONE, format_="MP3", subtype="MPEG_LAYER_III", cut=0.5), "error: {in} is cut short ("
    ),
    Row("M4A cut short", E, m4a(0.7), NO_SOUND),
    Row("M4A", E, m4a(1), "", ".json .npy", 0),
    Row("header chunk of 4 GiB", E, header_chunk_of_4_gib, NO_SOUND),
    Row("FLAC named .wav", E, sound(TONE, format_="FLAC"), "", ".json .npy", 0),
    Row("text named .wav", E, bytes_of(b"RIFF nonsense"), NO_SOUND),
    Row("picture named .wav", E, bytes_of(PNG), NO_SOUND),
    Row("playlist named .wav", E, bytes_of(b"#EXTM3U\n/etc/passwd\n"), NO_SOUND),
    Row("pickle named .wav", E, bytes_of(PICKLE), NO_SOUND),
]


def in_a_fresh_folder(row: Row, run: Run, tmp_path: Path, flag: str = "--input") -> Result:
    source, out = tmp_path / "given" / row.name, tmp_path / "out"
    source.parent.mkdir()
    row.make(source)
    before = contents(source.parent)
    result = run(row.script, flag, source, "--output", out)
    line = row.line.replace("{in}", str(source)).replace("{out}", str(out))
    assert result.code == row.code, result.err
    if row.line:
        assert len(result.errors) == 1, result.err
        assert result.errors[0] == line or (row.line.endswith((": ", "(")) and result.errors[0].startswith(line))
    else:
        assert result.errors == []
    assert kinds_left(out) == row.left
    assert contents(source.parent) == before
    return result


@pytest.mark.parametrize("row", SOUND_ROWS, ids=lambda row: row.given)
def test_sound(row: Row, run: Run, tmp_path: Path) -> None:
    in_a_fresh_folder(row, run, tmp_path)


# ---------------------------------------------------------------- latents


def header(descr: str, shape: str, order: str = "False", data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


Z_NAN, Z_INF = Z.copy(), Z.copy()
Z_NAN[0, 3, 7], Z_INF[0, 0, 0] = np.nan, -np.inf
D = "decoder"
DAMAGED = "error: {in} is damaged or not a .npy file: expected float32 latents as encoder.py writes them"
PICKLED = (
    "error: {in} holds pickled Python objects, which are never loaded: expected float32 latents as encoder.py writes "
    "them"
)
FINE = ".json .wav"


def row(given: str, data: bytes, line: str, left: str = "failures.csv", code: int = 2) -> Row:
    return Row(given, D, bytes_of(data), line, left, code, "x.npy")


LATENTS_ROWS = [
    row("cut short", npy(Z)[:-5], DAMAGED),
    row("cut inside its header", npy(Z)[:40], DAMAGED),
    row("0 bytes", b"", "error: {in} is empty (0 bytes), expected a .npy file"),
    row("objects", npy(np.array([{"a": 1}], dtype=object)), PICKLED),
    row("bare pickle", PICKLE, PICKLED),
    row(
        "zip",
        npy(Z)[:0] + b"PK\x03\x04" + bytes(60),
        "error: {in} is a zip archive (.npz?), expected float32 latents as encoder.py writes them",
    ),
    row("1 axis", npy(Z[0, 0]), "error: {in} has shape (30,), expected (1, dims, frames) or (dims, frames)"),
    row("4 axes", npy(Z[None]), "error: {in} has shape (1, 1, 8, 30), expected (1, dims, frames) or (dims, frames)"),
    row(
        "two in a batch",
        npy(np.vstack([Z, Z])),
        "error: {in} has shape (2, 8, 30), expected (1, dims, frames) or (dims, frames)",
    ),
    row("no frames", npy(Z[:, :, :0]), "error: {in} is empty (shape (8, 0)), expected at least one frame"),
    row("complex", npy(Z.astype(complex)), "error: {in} holds complex128 values, expected real numbers (float32)"),
    row("text", npy(np.array([["a"]])), "error: {in} holds <U1 values, expected real numbers (float32)"),
    row("booleans", npy(Z > 0), "error: {in} holds bool values, expected real numbers (float32)"),
    row("NaN", npy(Z_NAN), "error: {in} holds nan at dim 3, frame 7: expected finite values"),
    row("Inf", npy(Z_INF), "error: {in} holds -inf at dim 0, frame 0: expected finite values"),
    row(
        "beyond float32",
        npy(np.full((8, 5), 1e300)),
        "error: {in} holds 1e+300 at dim 0, frame 0: expected finite values",
    ),
    row(
        "axes swapped",
        npy(np.zeros((9000, 8), np.float32)),
        "error: {in} has 9000 dims, at most 4096 make sense: are axes swapped?",
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
        "error: {in} has 5 dims, pocket.ts decodes 8: decode with the model it was encoded with",
    ),
    row("float16", npy(Z.astype(np.float16)), "", FINE, 0),
    row("big-endian", npy(Z.astype(">f8")), "", FINE, 0),
    row("Fortran order", npy(Z, fortran=True), "", FINE, 0),
    row("integers", npy(np.ones((8, 3), np.int8)), "", FINE, 0),
    row("1 frame", npy(Z[0, :, :1]), "", FINE, 0),
    Row("missing", D, nothing, "error: {in} does not exist: check the path given to --input", "-", name="x.npy"),
    Row("empty folder", D, folder, "error: {in} holds no .npy .wav file: it is empty (hidden files do not count)", "-"),
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
    assert result.errors == [f"error: {b} has 8 dims, {a} has 4: give --input encodings of one model"]


# ---------------------------------------------------------------- models


def torchscript(module: torch.nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, b"x")
    return buffer.getvalue()


def damaged(data: bytes) -> bytes:
    """One byte of a weight is another one: torch.jit.load would not notice."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        weight = max((i for i in file.infolist() if "/data/" in i.filename), key=lambda i: i.file_size)
        value = file.read(weight)
    at = data.index(value)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(3)}}, buffer)
    return buffer.getvalue()


class Writes(torch.nn.Module):
    """Writes a file as soon as it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.x, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.x = state[0]
        self.training = state[1]
        torch.save(state[0], "hacked")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Deaf(codecs.Offline):
    """Its encode always fails."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("first line\nno ears")


class Silent(codecs.Offline):
    """Its encode gives NaN."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.down:
            x = layer(x)
        return x / 0.0 * 0.0


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hacked",)


AGAIN = "download or export it again"
GOOD_MODEL = torchscript(codecs.Offline())


def model(given: str, make: Make | bytes, line: str, left: str = "") -> Row:
    return Row(given, E, bytes_of(make) if isinstance(make, bytes) else make, line, left, 2, "m.ts")


MODEL_ROWS = [
    model("missing", nothing, "error: {in} does not exist: check the path"),
    model("folder", folder, "error: {in} is a folder, expected a model file"),
    model(
        "dangling link", link_to("nowhere"), "error: {in} is a link to something that does not exist: check the path"
    ),
    model("0 bytes", b"", f"error: {{in}} is empty (0 bytes): {AGAIN}"),
    model(
        "cut short",
        GOOD_MODEL[:-500],
        f"error: {{in}} is truncated or damaged (its table of contents is missing): {AGAIN}",
    ),
    model("text", b"hello world", "error: {in} is a text file, not a model: it begins with 'hello'"),
    model(
        "web page", b"<!DOCTYPE html><p>", f"error: {{in}} is a web page, not a model: the download went wrong, {AGAIN}"
    ),
    model(
        "git-lfs pointer",
        b"version https://git-lfs.github.com/spec/v1\n",
        "error: {in} is a git-lfs pointer, not the model itself: fetch it with `git lfs pull`",
    ),
    model(
        "other zip",
        zipped("a.txt"),
        "error: {in} is a zip archive, but not a model: it has neither constants.pkl nor data.pkl",
    ),
    model("model in a zip", zipped("voice.ts"), "error: {in} is a zip archive that holds voice.ts: unpack it first"),
    model(
        "checkpoint",
        checkpoint(),
        "error: {in} is a PyTorch checkpoint, expected a TorchScript export (.ts): export it with RAVE",
    ),
    model("damaged inside", damaged(GOOD_MODEL), "error: {in} is damaged inside: checksum of "),
    model("latents", npy(Z), "error: {in} is a NumPy array (latents?), not a model: give a model file"),
    model("sound", wav(TONE), "error: {in} is a sound file, not a model: give a model file"),
    model(
        "pickle that runs a command",
        pickle.dumps(Evil()),
        "error: {in} is a bare Python pickle, which is never loaded: "
        "expected a TorchScript export or a PyTorch checkpoint",
    ),
    model("code that writes a file", torchscript(Writes()), "error: {in} contains __setstate__ in "),
    model("no encode", torchscript(codecs.OneWay()), "error: m.ts has no encode: its methods are "),
    model(
        "dims that differ",
        torchscript(codecs.Uneven()),
        "error: m.ts encodes 4 dims but decodes 5: it cannot be used for the way back",
    ),
    model("encode that fails", torchscript(Deaf()), "error: m.ts: encode failed: no ears", "failures.csv"),
    model(
        "encode that gives NaN",
        torchscript(Silent()),
        "error: m.ts: encode gave NaN or Inf for this input",
        "failures.csv",
    ),
]


@pytest.mark.parametrize("row", MODEL_ROWS, ids=lambda row: row.given)
def test_models(row: Row, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, out = tmp_path / "given" / row.name, tmp_path / "out"
    source.parent.mkdir()
    row.make(source)
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    result = run("encoder", "--input", tmp_path / "x.wav", "--model", source, "--output", out)
    line = row.line.replace("{in}", str(source))
    assert (result.code, len(result.errors)) == (2, 1), result.err
    assert result.errors[0] == line or (row.line[-1] in " (e" and result.errors[0].startswith(line)), result.errors
    assert kinds_left(out) == row.left
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("name", ["m.ts", "m.ckpt", "m.safetensors"])
@pytest.mark.parametrize(
    "data", [pickle.dumps(Evil(), 0), pickle.dumps(Evil(), 2), torchscript(Writes())], ids=["p0", "p2", "ts"]
)
def test_the_inspector_runs_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(data)
    result = run("inspector", "--input", tmp_path / name, "--save", "--output", tmp_path / "out")
    assert result.code == 2
    assert not (tmp_path / "hacked").exists()


# ---------------------------------------------------------------- flags

NUMBER_FLAGS = {  # flag: (scripts, lowest, highest, whole)
    "--seed": ("encoder decoder generator", 0, 2**63 - 1, True),
    "--sample_rate": ("encoder decoder generator", 100, 1e6, False),
    "--compression": ("generator", 1, 1 << 20, True),
    "--num_latents": ("generator", 1, 1_000_000, True),
    "--num_loops": ("generator", 1, 1_000_000, True),
    "--num_files": ("generator", 1, 10_000, True),
    "--bpm": ("generator", 0.1, 1e6, False),
}
WRONG_NUMBERS = ["-1", "0", "nan", "inf", "1e99", "9" * 40, "x", "1.5", ""]
KINDS = [
    (script, flag, text)
    for flag, (scripts, low, _, whole) in NUMBER_FLAGS.items()
    for script in scripts.split()
    for text in WRONG_NUMBERS
    if not (text == "0" and low == 0) and not (text == "1.5" and not whole and low < 1.5)
]


@pytest.mark.parametrize(("script", "flag", "text"), KINDS)
def test_wrong_numbers(run: Run, tmp_path: Path, script: str, flag: str, text: str) -> None:
    _, low, high, whole = NUMBER_FLAGS[flag]
    try:
        float(text)
        integral = not whole or text.lstrip("-").isdigit()
    except ValueError:
        integral = False
    kind = "whole number" if whole else "number"
    expected = f"{low} to {high}" if whole else f"{low:g} to {high:g}"
    why = f"is out of range, expected {expected}" if integral else f"is not a {kind}"
    result = run(script, "--input", tmp_path, flag, text, "--output", tmp_path / "out")
    line = f"{script}.py: error: argument {flag}: {text[:40]} {why} (--help shows all flags)"
    assert (result.code, result.err.splitlines()) == (2, [" ".join(line.split())])
    assert not (tmp_path / "out").exists()


HELP = " (--help shows all flags)"
FLAG_ROWS = [
    ("encoder", ["--inptu", "x"], "the following arguments are required: --input"),
    ("encoder", ["--input", "x", "--modle", "x"], "unknown argument --modle; did you mean --model?"),
    ("encoder", ["--input", "x", "--skip_exsting"], "unknown argument --skip_exsting; did you mean --skip_existing?"),
    ("encoder", ["--input", "x", "stray"], "unknown argument stray"),
    ("encoder", ["--input", "x", "\x1b[31m\n"], "unknown argument \\x1b[31m\\n"),
    ("encoder", ["--input"], "--input needs a value (one that begins with a dash is written --input=-value)"),
    ("encoder", ["--input", "-x"], "--input needs a value (one that begins with a dash is written --input=-value)"),
    ("encoder", ["--input", ""], "--input is empty: is a variable of the shell unset?"),
    ("encoder", ["--input=", "--output", "x"], "--input is empty: is a variable of the shell unset?"),
    ("encoder", ["--input", "x", "--output", ""], "--output is empty: is a variable of the shell unset?"),
    ("encoder", ["--input", "x", "--model="], "--model is empty: is a variable of the shell unset?"),
    (
        "encoder",
        ["--input", "x", "--extensions"],
        "--extensions needs a value (one that begins with a dash is written --extensions=-value)",
    ),
    (
        "encoder",
        ["--input", "x", "--device", "cdua"],
        "--device cdua is unknown: choose from auto, cpu, cuda, mps; did you mean cuda?",
    ),
    ("decoder", ["--input", "x", "--device", "it's"], "--device it's is unknown: choose from auto, cpu, cuda, mps"),
    (
        "decoder",
        ["--input", "x", "--subtype", "PCM24"],
        "--subtype PCM24 is unknown: choose from PCM_16, PCM_24, FLOAT; did you mean PCM_24?",
    ),
    (
        "generator",
        ["--input", "x", "--wav_subtype", "double"],
        "--wav_subtype double is unknown: choose from DOUBLE, FLOAT",
    ),
    ("generator", ["--bpm", "9", "--num_latents", "9"], "argument --num_latents: not allowed with argument --bpm"),
    ("inspector", ["--sav"], "unknown argument --sav; did you mean --save?"),
    ("inspector", ["--input="], "--input is empty: is a variable of the shell unset?"),
]


@pytest.mark.parametrize(("script", "flags", "line"), FLAG_ROWS)
def test_wrong_flags(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    flags: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(script, *flags)
    assert (result.code, result.err) == (2, f"{script}.py: error: {line}{HELP}\n")
    assert list(tmp_path.iterdir()) == []


NAMES = [  # what only the script itself can know
    (["--distribution", "nromal"], "did you mean normal?"),
    (["--distribution", "\n"], "error: "),
    (["--pattern", "swaper"], "did you mean swapper?"),
    (["--pattern", "nowhere.py:x"], "nowhere.py"),
    (["--pattern", "/etc:x"], "/etc"),
    (["--pattern", "http://example.com/x.py:x"], "error: "),
    (["--pattern", "orale", "--pattern_args", "levles=3"], "did you mean levels?"),
    (["--pattern_args", "x"], "error: "),
    (["--run", "../x"], "error: --run ../x is no plain folder name: slashes belong to --output"),
]


@pytest.mark.parametrize(("flags", "part"), NAMES)
def test_wrong_names(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], part: str) -> None:
    monkeypatch.chdir(tmp_path)
    save_latents(tmp_path / "x.npy", Z[0])
    result = run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "out", *flags)
    assert result.code == 2
    assert len(result.errors) == 1 and part in result.errors[0], result.err
    assert kinds_left(tmp_path / "out") in ("-", "")


@pytest.mark.parametrize("extensions", [["."], ["*"], [" "]])
def test_extensions_that_name_nothing(run: Run, tmp_path: Path, extensions: list[str]) -> None:
    result = run("encoder", "--input", tmp_path, "--extensions", *extensions)
    assert (result.code, result.errors) == (2, ["error: --extensions names none: write them like wav or .wav"])


# ---------------------------------------------------------------- outputs


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder for someone who is not root, whom permissions do not bind; the process is that one meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


def test_a_file_that_may_not_be_read(run: Run, nobody: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (nobody / name).write_bytes(wav(TONE))
    (nobody / "a.wav").chmod(0)
    result = run("encoder", "--input", nobody, "--output", nobody / "out")
    assert (result.code, result.errors[0]) == (1, f"error: {nobody}/a.wav cannot be read: Permission denied")
    assert result.errors[1:] == ["error: 1 of 2 inputs failed:"]
    assert kinds_left(nobody / "out") == ".json .npy failures.csv"


def test_a_folder_that_may_not_be_read_is_named_and_the_rest_is_done(run: Run, nobody: Path) -> None:
    (nobody / "closed").mkdir(mode=0)
    (nobody / "b.wav").write_bytes(wav(TONE))
    result = run("encoder", "--input", nobody, "--output", nobody / "out")
    (nobody / "closed").chmod(0o700)
    assert (result.code, result.errors[0]) == (1, f"error: {nobody}/closed cannot be read: Permission denied")
    assert kinds_left(nobody / "out") == ".json .npy failures.csv"


def test_a_folder_that_may_not_be_written(run: Run, nobody: Path) -> None:
    (nobody / "x.wav").write_bytes(wav(TONE))
    (nobody / "out").mkdir(mode=0o555)
    result = run("encoder", "--input", nobody / "x.wav", "--output", nobody / "out")
    line = f"error: {nobody}/out cannot be written to: Permission denied: choose another --output"
    assert (result.code, result.errors, kinds_left(nobody / "out")) == (2, [line], "")


@pytest.mark.parametrize("script", ["encoder", "decoder", "generator"])
def test_output_is_a_file(run: Run, tmp_path: Path, script: str) -> None:
    source = tmp_path / ("x.wav" if script == "encoder" else "x.npy")
    source.write_bytes(wav(TONE) if script == "encoder" else npy(Z))
    (tmp_path / "out").write_bytes(b"mine")
    for output, why in (("out", "is a file"), ("out/deeper", "leads through a file"), ("x.wav", "")):
        if not why:
            continue
        result = run(script, "--input", source, "--output", tmp_path / output)
        assert (result.code, result.errors) == (2, [f"error: {tmp_path}/{output} {why}: give --output a folder"])
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_output_inside_the_input_is_no_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    first = run("encoder", "--input", tmp_path, "--output", tmp_path / "out")
    latents = tmp_path / "out"
    assert run("decoder", "--input", latents, "--output", latents / "sound").code == 0
    again = run("encoder", "--input", tmp_path, "--output", tmp_path / "out")
    # the decoded sound lies inside the output folder of the encoder, so it was not encoded
    assert first.out == again.out and len(again.out.splitlines()) == 1


def test_output_equal_to_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    for script in ("encoder", "decoder", "encoder", "decoder"):
        assert run(script, "--input", tmp_path, "--output", tmp_path).code == 0
    assert (tmp_path / "x.wav").read_bytes() == wav(TONE)


def test_an_input_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    """A latents file that bears the name of its own result."""
    from unravel_lib.files import output_name

    source = tmp_path / "x.npy"
    source.write_bytes(npy(Z))
    target = tmp_path / output_name("decoded", source, ".wav")
    target.symlink_to(source)
    result = run("decoder", "--input", source, "--output", tmp_path)
    assert (result.code, result.errors) == (2, [f"error: {target} is an input of this run: choose another --output"])
    assert source.read_bytes() == npy(Z) and target.is_symlink()


def test_a_folder_in_the_place_of_a_result(run: Run, tmp_path: Path) -> None:
    from unravel_lib.files import output_name

    (tmp_path / "x.wav").write_bytes(wav(TONE))
    target = tmp_path / "out" / output_name("encoded", tmp_path / "x.wav", ".npy")
    target.mkdir(parents=True)
    result = run("encoder", "--input", tmp_path / "x.wav", "--output", tmp_path / "out")
    assert (result.code, result.errors) == (2, [f"error: {target} cannot be written: Is a directory"])
    assert kinds_left(tmp_path / "out") == ".npy failures.csv"


# ---------------------------------------------------------------- names

ODD_NAMES = [
    b"new\nline.wav",
    b"\xf0\x9f\x98\xbc.wav",
    b"n" * 251 + b".wav",
    "ü".encode() * 125 + b"x.wav",
    b"-dash.wav",
    b"--help.wav",
    b"broken\xff\xfe.wav",
    b"\xff.wav",
    b"esc\x1b[31m.wav",
    b"=1+1.wav",
    b"$(touch hacked).wav",
    b"a'b\"c.wav",
]


def test_odd_names_are_encoded_and_decoded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every result exists under the name that stdout gives, one line each; relative names too."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ODD_NAMES:
        with open(os.path.join(b"in", name), "wb") as file:
            file.write(wav(TONE))
    encoded = run("encoder", "--input", "in", "--output", "latents")
    decoded = run("decoder", "--input", "latents", "--output", "sound")
    for result in (encoded, decoded):
        assert result.code == 0
        assert len(set(result.out.splitlines())) == len(ODD_NAMES)


def test_odd_names_fail_in_one_line_each(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """stderr is plain text and failures.csv has two plain cells a row, none of which a spreadsheet would run."""
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    for name in ODD_NAMES:
        with open(name, "wb") as file:
            file.write(b"no sound")
    result = run("encoder", "--input", ".", "--output", "out")
    assert result.code == 2
    assert all(line.isprintable() for line in result.err.splitlines())
    assert len(result.errors) == len(ODD_NAMES) + 1
    table = pd.read_csv("out/failures.csv")
    assert len(table) == len(ODD_NAMES)
    for cell in table.to_numpy().ravel():
        assert cell.isprintable() and not cell.startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("name", [b"-dash.wav", b"broken\xff.wav", b"n" * 251 + b".wav"])
def test_an_odd_name_given_by_itself(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as file:
        file.write(wav(TONE))
    assert run("encoder", f"--input={os.fsdecode(name)}").code == 0
    assert run("encoder", "--input", tmp_path / os.fsdecode(name)).code == 0


def test_links_that_lead_nowhere_are_named_and_loops_are_walked_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "x.wav").write_bytes(wav(TONE))
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a.wav").symlink_to("a.wav")
    (tmp_path / "in" / "b.wav").symlink_to("gone.wav")
    os.mkfifo(tmp_path / "in" / "pipe.wav")  # opening it would wait forever
    result = run("encoder", "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert result.code == 1
    assert result.errors == [
        f"error: {tmp_path}/in/a.wav cannot be read: Too many levels of symbolic links",
        f"error: {tmp_path}/in/b.wav cannot be read: No such file or directory",
        "error: 2 of 3 inputs failed:",
    ]
    assert kinds_left(tmp_path / "out") == ".json .npy failures.csv"


# ---------------------------------------------------------------- trust


def test_nothing_that_a_sidecar_names_is_opened(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text in the sidecar is the path of a file; none of them may be touched."""
    bait = tmp_path / "bait.ts"
    bait.write_bytes(GOOD_MODEL)
    path = str(bait)
    (tmp_path / "in").mkdir()
    save_latents(tmp_path / "in" / "x.npy", Z[0])
    write_sidecar(
        tmp_path / "in" / "x.npy",
        Sidecar(44100, 2048, 8, 30, path, path, path, path, 1, {"pattern": path, "statistics": path, "hold": path}),
    )
    os.utime(bait, (0, 0))
    touched: list[str] = []
    watching = True

    def watch(event: str, args: tuple[object, ...]) -> None:
        if watching and args and isinstance(args[0], (str, bytes)) and os.fsdecode(args[0]) == path:
            touched.append(event)

    sys.addaudithook(watch)
    try:
        for script in ("decoder", "generator"):
            assert run(script, "--input", tmp_path / "in", "--output", tmp_path / "out").code == 0
    finally:
        watching = False  # a hook cannot be taken away
    assert touched == []


@pytest.mark.parametrize(
    "data", [b"{", b"[" * 100_000, b'{"format": "unravel-sidecar"}', b"\xff", b"null", b"{" + b" " * (1 << 21)]
)
def test_broken_sidecars(run: Run, tmp_path: Path, data: bytes) -> None:
    """What is not a sidecar is no hindrance; what claims to be one and is not is refused."""
    save_latents(tmp_path / "x.npy", Z[0])
    (tmp_path / "x.json").write_bytes(data)
    result = run("decoder", "--input", tmp_path / "x.npy", "--output", tmp_path / "out")
    if b"unravel" not in data:
        assert result.code == 0
        return
    line = f"error: {tmp_path}/x.json has format version None, this UnRAVEl reads 1: "
    line += "move it away and give its facts by flags"
    assert (result.code, result.errors) == (2, [line])
