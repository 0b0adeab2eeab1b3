"""What all tests share: the repository, the bundled recordings and model, and scripts run as users run them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import fixtures_runs

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of bundled recordings."""
    return ROOT / "examples" / "audio"


@pytest.fixture(scope="session")
def script() -> Run:
    """Run a script in a process of its own: script("encoder", "--input", path) -> CompletedProcess with text."""

    def run(name: str, *args: object, **options: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(ROOT / f"{name}.py"), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload, no-any-return]

    return run


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> "fixtures_runs.Run":
    """Run a script in this process: run("encoder", "--input", path) -> Result."""
    import fixtures_runs  # which needs this file's path to the repository

    return fixtures_runs.runner(capfdbinary, monkeypatch)
