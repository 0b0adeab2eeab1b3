"""What a model prints: in lines with its name, control characters made visible, never on stdout."""

import json
import warnings
from pathlib import Path

import fixtures_codecs as codecs
import numpy as np
import pytest
import torch
from fixtures_runs import TONE, Run, wav

from unravel_lib.models.model import load


class Loud(torch.nn.Module):
    """Prints as soon as it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.x, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        print("loading \x1b]52;c;ZXZpbA==\x1b[2Jerror: forged\nerror: forged line")
        self.x, self.training = state

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Talking(codecs.Offline):
    """Prints and warns wherever its code runs."""

    def __init__(self, loud: bool) -> None:
        super().__init__()
        if loud:
            self.part = Loud()

    @torch.jit.export
    def get_methods(self) -> list[str]:
        print("asked \x1b]52;c;ZXZpbA==\x1b[2Jerror: forged\nerror: forged line")
        return ["encode", "decode"]

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        print("encoding \x1b]52;c;ZXZpbA==\x1b[2Jerror: forged\nerror: forged line")
        warnings.warn("warned \x1b]52;c;ZXZpbA==\x1b[2Jerror: forged\nerror: forged line")  # noqa: B028
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        print("decoding \x1b]52;c;ZXZpbA==\x1b[2Jerror: forged\nerror: forged line")
        for layer in self.up:
            z = torch.tanh(2 * layer(z))
        return z


@pytest.mark.parametrize("loud", [False, True])
def test_what_a_model_prints_bears_its_name(loud: bool, tmp_path: Path, run: Run) -> None:
    model = codecs.save(Talking(loud), tmp_path / "talking.ts")
    trust = ["--trust_model"] if loud else []
    (tmp_path / "tone.wav").write_bytes(wav(TONE))
    encoded = run("encoder", "--model", model, "--input", tmp_path / "tone.wav", "--output", tmp_path / "out", *trust)
    decoded = run("decoder", "--model", model, "--input", *encoded.paths, "--output", tmp_path / "out", *trust)
    inspected = run("inspector", "--input", model, *trust)
    asked = run("inspector", "--input", model, "--attr", "--yes", *trust, stdin="get_methods\n")
    assert b"['encode', 'decode']" in asked.out
    assert json.loads(run("inspector", "--input", model, "--json", *trust).out)["methods"]
    said = {
        "encoding": (encoded, inspected),
        "decoding": (decoded, inspected),
        "asked": (encoded, decoded, inspected, asked),
        "loading": (encoded, decoded, inspected, asked) if loud else (),
    }
    for result in (encoded, decoded, inspected, asked):
        assert result.code == 0 and b"forged" not in result.out
        lines = [line for line in result.err.split("\n") if "forged" in line]
        assert lines and all(line.startswith("talking.ts: ") and line.isprintable() for line in lines)
        for word, results in said.items():
            assert (f"talking.ts: {word} \\x1b]52" in result.err) is (result in results), word


def test_warnings_of_a_model_are_lines_as_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = load(codecs.save(Talking(False), tmp_path / "talking.ts"))
    with caplog.at_level("INFO"):
        list(model.encode([np.zeros((1, 999), np.float32)], 1, "key"))
    warned = [record.message for record in caplog.records if "warned" in record.message]
    assert warned and set(warned) == {"talking.ts: warned \\x1b]52;c;ZXZpbA==\\x1b[2Jerror: forged"}
