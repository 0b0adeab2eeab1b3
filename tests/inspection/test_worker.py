"""Models that crash PyTorch, or never return, in the process that inspector.py opens them in."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Tuple  # noqa: UP035  TorchScript takes no other

import pytest
import torch
from fixtures_runs import ROOT, Script, foreground_signals
from torch import Tensor, nn

from unravel_lib.errors import ModelError
from unravel_lib.inspection.worker import Worker
from unravel_lib.models import POCKET


class Crashing(nn.Module):
    """Ends the process that loads it."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> Tuple[Tensor, bool]:  # noqa: UP006
        return (torch.zeros(1), self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[Tensor, bool]) -> None:  # noqa: UP006
        print(torch.repeat_interleave(torch.tensor([9223372036854775807, 9223372036854775807, 3])))


class Hanging(nn.Module):
    """A codec whose encode never returns."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("encode_params", torch.tensor([1, 1, 8, 64]))
        self.register_buffer("decode_params", torch.tensor([8, 64, 1, 1]))

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        print("it hangs")
        while x.shape[2] > 0:
            pass
        return x

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return z

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that crashes, and one that does not."""
    torch.jit.script(Crashing()).save(str(tmp_path / "a.ts"))
    shutil.copy(POCKET, tmp_path / "b.ts")
    return tmp_path


def test_a_model_that_crashes_is_one_failure_of_a_folder(script: Script, folder: Path) -> None:
    done = script("inspector", "--input", folder, "--json", "--trust_model")
    crashed, good = json.loads(done.stdout)
    assert (done.returncode, crashed["name"], good["dims"]) == (1, "a.ts", 8)
    assert crashed["sha256"] and "ended the process that read it" in crashed["warnings"][0]
    assert f"error: {folder}/a.ts ended the process that read it" in done.stderr


def test_a_model_that_crashes_is_one_line(script: Script, folder: Path) -> None:
    for flag in ("--json", "--dict", "--attr"):
        done = script("inspector", "--input", folder / "a.ts", "--trust_model", flag, input="*\n")
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "ended the process" in done.stderr


def test_questions_go_on_after_a_crash() -> None:
    with contextlib.closing(Worker()) as worker:
        facts, failure = worker.open(POCKET, False, False)
        rows = worker.answer("tensor_rows")
        assert failure is None and facts.dims == 8 and rows
        [process] = multiprocessing.active_children()
        os.kill(process.pid or 0, signal.SIGSEGV)
        with pytest.raises(ModelError) as error:
            worker.answer("tensor_rows")
        assert (error.value.path, error.value.found[-20:]) == (POCKET, "(Segmentation fault)")
        assert worker.answer("tensor_rows") == rows
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("to_all", [True, False])
def test_ctrl_c_ends_both_processes(tmp_path: Path, to_all: bool) -> None:
    torch.jit.script(Hanging()).save(str(tmp_path / "a.ts"))
    process = subprocess.Popen(
        [sys.executable, "inspector.py", "--input", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        preexec_fn=foreground_signals,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "it hangs" in line:
            break
    os.killpg(process.pid, signal.SIGINT) if to_all else os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=20)  # the pipe is open as long as one of them runs
    assert process.returncode == (130 if to_all else -signal.SIGKILL) and "Traceback" not in rest
