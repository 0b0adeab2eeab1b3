"""examples/sandboxed.sh: the scripts without network, with one folder to write in and the files that flags name."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import ROOT, TONE, wav

SCRIPT = ROOT / "examples" / "sandboxed.sh"
PROBE = ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"]
ALLOWED = shutil.which("bwrap") is not None and subprocess.run(PROBE, capture_output=True, check=False).returncode == 0
needs_namespaces = pytest.mark.skipif(
    not ALLOWED, reason="no bubblewrap, or no user namespaces on this system: THE SANDBOX IS NOT TESTED"
)

SPY = '''
import socket
from pathlib import Path
from unravel_lib import pattern

@pattern
def spy(loop):
    """A -> A"""
    said = []
    for what in (write, read, connect):
        try:
            what()
            said.append(f"{what.__name__} works")
        except OSError:
            said.append(f"{what.__name__} fails")
    Path(FOLDER, "said.txt").write_text(", ".join(said))
    yield loop

def write():
    Path(OTHER, "written").write_text("x")

def read():
    Path(OTHER, "secret").read_text()

def connect():
    socket.create_connection(("127.0.0.1", PORT), timeout=5).close()
'''


def sandboxed(folder: Path, *words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = ["sh", str(SCRIPT), str(folder), *map(str, words)]
    environment = os.environ | {"PYTHON": sys.executable} | variables
    return subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=300)


@needs_namespaces
def test_sounds_go_in_and_out(tmp_path: Path) -> None:
    (tmp_path / "a sound.wav").write_bytes(wav(TONE))
    out = tmp_path / "out"
    encoded = sandboxed(out, "encoder", "--input", "a sound.wav", "--output", "out/latents")
    assert encoded.returncode == 0, encoded.stderr
    [latents] = encoded.stdout.splitlines()
    assert np.load(tmp_path / latents).shape == (1, 8, 15)
    decoded = sandboxed(out, "decoder", "--input", latents, "--output", "out/sound")
    assert decoded.returncode == 0 and (tmp_path / decoded.stdout.strip()).stat().st_size > 30_000, decoded.stderr
    elsewhere = sandboxed(out, "decoder", "--input", latents, "--output", "other")
    assert elsewhere.returncode == 2 and "Read-only file system" in elsewhere.stderr
    assert not (tmp_path / "other").exists()


@needs_namespaces
def test_code_inside_reaches_nothing_outside(tmp_path: Path) -> None:
    """The same code, run without the sandbox, does all three."""
    folders = [tmp_path / name for name in ("in", "out", "other")]
    for folder in folders:
        folder.mkdir()
    inside, out, other = folders
    (other / "secret").write_text("x")
    np.save(inside / "latents.npy", np.random.default_rng(1).standard_normal((1, 8, 60), np.float32))
    with socket.create_server(("127.0.0.1", 0)) as server:
        names = {"FOLDER": repr(str(out)), "OTHER": repr(str(other)), "PORT": str(server.getsockname()[1])}
        text = SPY
        for name, value in names.items():
            text = text.replace(name, value)
        (inside / "mine.py").write_text(text)
        flags = ["--input", inside / "latents.npy", "--pattern", f"{inside / 'mine.py'}:spy", "--num_latents", 8]
        flags += ["--distribution", "normal", "--output", out, "--embeddings", "--no_plots", "--run"]
        boxed = sandboxed(out, "generator", *flags, "boxed")
        assert boxed.returncode == 0, boxed.stderr
        assert (out / "said.txt").read_text() == "write fails, read fails, connect fails"
        command = [sys.executable, str(ROOT / "generator.py"), *map(str, flags), "free"]
        subprocess.run(command, check=True, capture_output=True)
        assert (out / "said.txt").read_text() == "write works, read works, connect works", "no threat"


def test_what_it_needs_is_said(tmp_path: Path) -> None:
    assert sandboxed(tmp_path / "out").returncode == 2
    other = sandboxed(tmp_path / "out", "python")
    assert other.returncode == 2 and "is none of encoder, decoder" in other.stderr
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    missing = sandboxed(tmp_path / "out", "encoder", PATH=str(tools))
    assert missing.returncode == 2 and "apt install bubblewrap: NOTHING WAS RUN" in missing.stderr
    (tools / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (tools / "bwrap").chmod(0o755)
    refused = sandboxed(tmp_path / "out", "encoder", PATH=str(tools))
    assert refused.returncode == 2 and "does not let you make namespaces" in refused.stderr
    assert not (tmp_path / "out").exists()
