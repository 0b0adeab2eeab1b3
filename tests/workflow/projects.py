"""A folder with recordings and a configuration, in which the workflow runs."""

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fixtures_runs import ROOT, TONE, foreground_signals, keeping_signals, wav

RESULTS = ("latents", "statistics", "generated", "sound")
PIECES = [  # those of config/config.yaml, with more flags
    {
        "name": "song",
        "distribution": "retrace",
        "pattern": "orale",
        "seeds": [1, 2],
        "flags": ["--bpm", "120", "--num_loops", "2"],
    },
    {
        "name": "drift",
        "distribution": "walk",
        "pattern": "swapper",
        "transform": ["every 4 rev", "dims 4-7 phase 2", "degrade 0.2"],
        "flags": ["--num_latents", "16", "--iqr", "--no_plots"],
    },
]
SNAKEFILE = ("--snakefile", ROOT / "workflow" / "Snakefile")
CONFIG = {"recordings": "my recordings", "results": "out", "shards": {"encode": 2, "decode": 2}, "pieces": PIECES}

needs_snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None,
    reason="THE WORKFLOW IS NOT TESTED: snakemake is not installed (pip install -r requirements-workflow.txt)",
)


@dataclass(frozen=True)
class Project:
    """A user's folder: "my recordings" and config/config.yaml; results go to "out"."""

    folder: Path

    def make(self, n_recordings: int = 6, **changes: Any) -> "Project":
        """Write recordings with equal names in several folders, one that is broken, and the configuration."""
        data = [wav(TONE[: 3000 * (size + 1)]) for size in range(9)]
        for index in range(n_recordings):
            place = self.folder / "my recordings" / f"{index}"
            place.mkdir(parents=True)
            (place / "take.wav").write_bytes(data[index % 9])
        (self.folder / "my recordings" / "broken.wav").write_bytes(b"no sound")
        self.configure(**changes)
        return self

    def configure(self, **changes: Any) -> None:
        (self.folder / "config").mkdir(exist_ok=True)
        # JSON is YAML
        (self.folder / "config" / "config.yaml").write_text(json.dumps(CONFIG | changes))

    def start(self, *flags: object) -> "subprocess.Popen[str]":
        """Start Snakemake in this folder, in a process group of its own."""
        command = [sys.executable, "-m", "snakemake", *SNAKEFILE, *flags]
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=foreground_signals,
            start_new_session=True,
            env=os.environ | {"XDG_CACHE_HOME": str(self.folder / ".cache")},
        )

    def run(self, *flags: object) -> tuple[int, str]:
        """Run Snakemake in this folder; returns its exit code and all that it prints."""
        process = self.start(*(flags or ("--cores", 2)))
        output, _ = process.communicate(timeout=500)
        return process.returncode, output

    def check(self, *flags: object) -> tuple[int, str]:
        """Run Snakemake in this folder and this process, where it starts no jobs: with -n, or a bad configuration."""
        from snakemake.cli import main

        output = io.StringIO()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            contextlib.chdir(self.folder),
            keeping_signals(),
            pytest.raises(SystemExit) as left,
        ):
            main([*map(str, SNAKEFILE), "--cores", "1", *map(str, flags)])
        assert isinstance(left.value.code, int)
        return left.value.code, output.getvalue()

    def results(self) -> dict[str, bytes]:
        """Return names and bytes of all results, but for the times at which sounds were made, which the page states."""
        files = [path for name in RESULTS for path in (self.folder / "out" / name).rglob("*") if path.is_file()]
        kept = [path for path in files if path.name != ".snakemake_timestamp" and path.suffix != ".part"]
        untimed = {path: re.sub(rb'data-newest="[0-9.]*"', b"", path.read_bytes()) for path in kept}
        return {str(path.relative_to(self.folder)): data for path, data in untimed.items()}
