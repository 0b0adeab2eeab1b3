"""Fixtures for all tests: the repository, the bundled recordings, and the scripts in this process or in another."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and PyTorch: the tests themselves run side by side

import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_runs import ROOT, Run, Script, runner


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files: where tests run side by side, the many short ones fill the gaps at the end."""
    slow = ("tests/workflow/", "tests/page/", "tests/scripts/")
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in slow])


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of bundled recordings."""
    return ROOT / "examples" / "audio"


@pytest.fixture(scope="session")
def script() -> Script:
    """Run a script in another process: script("encoder", "--input", path) -> CompletedProcess with text."""

    def start(name: str, *args: object, **options: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(ROOT / f"{name}.py"), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload, no-any-return]

    return start


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a script in this process: run("encoder", "--input", path) -> Result."""
    return runner(capfdbinary, monkeypatch)
