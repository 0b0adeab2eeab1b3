"""Signals during a call of a model that does not return, when Python's own handlers do not run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fixtures_runs import ROOT, Z, foreground_signals, npy
from torch import Tensor, nn

from unravel_lib.cli import signals


class Hanging(nn.Module):
    """A codec whose decode does not return for more than 1000 frames, so that it can be loaded and probed."""

    def __init__(self) -> None:
        super().__init__()
        self.sr = 44100
        self.register_buffer("encode_params", torch.tensor([1, 1, 8, 64]))
        self.register_buffer("decode_params", torch.tensor([8, 64, 1, 1]))

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return x[:, :, ::64].repeat(1, 8, 1)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        turns = 0
        while z.shape[2] > 1000:
            if turns == 0:
                print("it hangs")
            turns += 1
        return z[:, :1].repeat_interleave(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture
def hanging(tmp_path: Path) -> "subprocess.Popen[bytes]":
    """Start decoder.py and wait until it is in a call that does not return, with an open part file."""
    torch.jit.script(Hanging()).save(tmp_path / "hanging.ts")
    (tmp_path / "z.npy").write_bytes(npy(Z.repeat(40, 2)))

    process = subprocess.Popen(
        [
            sys.executable,
            "decoder.py",
            "--input",
            tmp_path / "z.npy",
            "--model",
            tmp_path / "hanging.ts",
            "--output",
            tmp_path / "new" / "out",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        preexec_fn=foreground_signals,
    )
    assert process.stdout is not None
    seen = []
    while not seen or b"it hangs" not in seen[-1]:
        seen.append(process.stdout.readline())
        assert seen[-1], seen
    time.sleep(0.1)
    return process


def ended(process: "subprocess.Popen[bytes]", within: float) -> tuple[int, str, float]:
    """Return exit code, output, and the seconds until the end."""
    began = time.monotonic()
    try:
        out, _ = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail(f"still running after {within} s")
    return process.returncode, out.decode(), time.monotonic() - began


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_ends_a_call_that_does_not_return(
    hanging: "subprocess.Popen[bytes]", tmp_path: Path, signum: int, code: int
) -> None:
    assert {path.suffix for path in (tmp_path / "new" / "out").iterdir()} == {".part"}
    hanging.send_signal(signum)
    time.sleep(0.5)
    assert hanging.poll() is None
    hanging.send_signal(signum)
    returned, out, _ = ended(hanging, within=3)
    assert (returned, out.count("\n"), "--skip_existing" in out) == (code, 1, True)
    assert out.startswith(f"error: {signals.TEXTS[code]}: {signals.KEPT}")
    assert not (tmp_path / "new").exists()


def test_one_signal_ends_it_after_a_while(hanging: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    hanging.send_signal(signal.SIGTERM)
    returned, out, seconds = ended(hanging, within=signals.GRACE + 3)
    assert (returned, out.count("\n")) == (143, 1) and out.startswith("error: terminated")
    assert seconds > signals.GRACE - 1
    assert not (tmp_path / "new").exists()
