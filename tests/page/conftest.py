"""A folder of sounds with its page, as the scripts make it; a browser; axe-core."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixtures_browser import HOSTILE, Browser, run_in

RATE = 44100
AXE = "axe-core@4.10.3"


@pytest.fixture(scope="package")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which recordings were encoded, latents generated, and all of it decoded to `sound`, with a page."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "recordings").mkdir()
    time = np.arange(2 * RATE) / RATE
    for name, gain in (("high", 0.02), ("low", 0.4)):
        tone = gain * np.sin(2 * np.pi * (2000 if name == "high" else 110) * time) * np.exp(-time)
        soundfile.write(folder / "recordings" / f"{name}.wav", tone[: RATE if name == "low" else None], RATE)
    run_in(folder, "encoder.py", "--input", "recordings", "--output", "latents")
    run_in(
        folder, "generator.py", "--input", "latents", "--output", "generated", "--run", "first", "--embeddings",
        "--distribution", "retrace", "--pattern", "orale", "--pattern_args", "levels=1", "--num_latents", 6,
        "--num_loops", 1, "--num_files", 3, "--seed", 7, "--no_plots",
    )  # fmt: skip
    np.save(folder / f"{HOSTILE}.npy", np.random.default_rng(0).standard_normal((1, 8, 5), np.float32))
    inputs = ("latents", "generated", f"{HOSTILE}.npy")
    run_in(folder, "decoder.py", "--input", *inputs, "--output", "sound", "--page")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of the page."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("NOT TESTED IN A BROWSER: the page needs chromium (apt install chromium chromium-driver)")
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from npm."""
    npm = shutil.which("npm")
    folder = tmp_path_factory.mktemp("axe")
    done = npm and subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, timeout=120)
    if not done or done.returncode:
        pytest.skip(f"ACCESSIBILITY NOT TESTED: no {AXE} from npm (apt install npm)")
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
        member = tar.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()
