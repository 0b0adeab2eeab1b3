"""Bad models: what users see (rows as `fixtures_rows` describes them)."""

import io
import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import fixtures_codecs as codecs
import fixtures_models as models
import pytest
import safetensors.torch
import torch
from fixtures_rows import E, Row, bytes_of, folder, link_to, nothing
from fixtures_runs import TONE, Make, Run, Z, kinds_left, npy, wav


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


class FailingEncode(codecs.Offline):
    """Its encode always fails."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("first line\nno latents")


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


def model(given: str, make: Make | bytes, line: str, left: str = "-") -> Row:
    return Row(given, E, bytes_of(make) if isinstance(make, bytes) else make, line, left, 2, "m.ts")


MODEL_ROWS = [
    model("missing", nothing, "error: {in} does not exist: check the path"),
    model("folder", folder, "error: {in} is a folder, expected a model file"),
    model("dangling link", link_to("nowhere"), "error: {in} does not exist: check the path"),
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
        "error: {in} is a git-lfs pointer, not the model itself: fetch it with git lfs pull",
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
        "error: {in} is a PyTorch checkpoint, expected a TorchScript export (.ts): "
        "export it with the code that trained it",
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
    model("code that writes a file", torchscript(models.Trap()), "error: {in} contains __setstate__ in "),
    model("no encode", torchscript(codecs.OneWay()), "error: {in} has no encode: its methods are "),
    model(
        "dims that differ",
        torchscript(codecs.Uneven()),
        "error: {in} encodes 4 dims but decodes 5: it cannot decode its own latents",
    ),
    model(
        "encode that fails",
        torchscript(FailingEncode()),
        "error: {sound} cannot be encoded: m.ts: encode failed: no latents",
        "failures.csv",
    ),
    model(
        "encode that gives NaN",
        torchscript(Silent()),
        "error: {sound} cannot be encoded: m.ts: encode gave NaN or Inf for this input",
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
    line = row.line.replace("{in}", str(source)).replace("{sound}", str(tmp_path / "x.wav"))
    assert (result.code, len(result.errors)) == (2, 1), result.err
    assert result.errors[0] == line or (row.line[-1] in " (e" and result.errors[0].startswith(line)), result.errors
    assert kinds_left(out) == row.left
    assert not (tmp_path / "hacked").exists() and not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("name", ["m.ts", "m.ckpt", "m.safetensors"])
@pytest.mark.parametrize(
    "data", [pickle.dumps(Evil(), 0), pickle.dumps(Evil(), 2), torchscript(models.Trap())], ids=["p0", "p2", "ts"]
)
def test_the_inspector_runs_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(data)
    result = run("inspector", "--input", tmp_path / name, "--save", "--output", tmp_path / "out")
    assert result.code == 2
    assert not (tmp_path / "hacked").exists() and not (tmp_path / "trapped").exists()


def nested_constants(name: str, data: bytes) -> tuple[str, bytes]:
    return name, b"\x80\x02)" + b"\x85" * 1_000_000 + b"." if name.endswith("/constants.pkl") else data


def nested_code(name: str, data: bytes) -> tuple[str, bytes]:
    brackets = b"(" * 20_000 + b"x" + b")" * 20_000
    return name, data.replace(b"return x", b"return " + brackets, 1) if name.endswith(".py") else data


@pytest.mark.parametrize("change", [nested_constants, nested_code])
def test_endless_nesting_ends_one_model_only(
    change: Callable[[str, bytes], tuple[str, bytes]], run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    honest = models.script(tmp_path, "rave23")
    models.rewrite(honest, folder / "a.ts", change)
    shutil.copy(honest, folder / "b.ts")
    result = run("inspector", "--input", folder, "--json")
    first, second = json.loads(result.out)
    assert result.code == 1 and "a.ts contains " in result.errors[0]
    assert first["encoder"] is None and second["encoder"] == "VariationalEncoder (EncoderV2)"


def test_a_tensor_that_repeats_itself_without_end(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    values = torch.tensor([1.0, 3.0])
    overlapping = torch.zeros(1 << 20).as_strided((1 << 19, 1 << 19), (1, 1))
    torch.save({"a": values[:, None].expand(2, 10**12), "b": overlapping}, path)
    saved = run("inspector", "--input", path, "--save", "--output", tmp_path / "out")
    assert saved.code == 0
    rows = next((tmp_path / "out").glob("state_dict--*.csv")).read_text(encoding="utf-8").splitlines()
    assert rows[1:] == ["a,2x1000000000000,float32,,,,", "b,524288x524288,float32,,,,"]
    asked = run("inspector", "--input", path, "--dict", stdin="a\nb\n")
    assert asked.code == 0 and asked.out.count(b"mean nan") == 2


@pytest.mark.parametrize("kind", ["ts", "ckpt", "safetensors"])
def test_a_name_that_is_no_text(kind: str, run: Run, tmp_path: Path) -> None:
    data = {"ts": GOOD_MODEL, "ckpt": checkpoint(), "safetensors": safetensors.torch.save({"a": torch.zeros(3)})}
    path = tmp_path / os.fsdecode(b"m\xff." + kind.encode())
    path.write_bytes(data[kind])
    found = run("inspector", "--input", path, "--json")
    assert found.code == 0 and json.loads(found.out)["parameters"], found.err
    if kind == "ts":
        (tmp_path / "x.wav").write_bytes(wav(TONE))
        out = tmp_path / "out"
        assert run("encoder", "--input", tmp_path / "x.wav", "--model", path, "--output", out).code == 0
        assert run("decoder", "--input", out, "--model", path, "--output", tmp_path / "sound").code == 0
