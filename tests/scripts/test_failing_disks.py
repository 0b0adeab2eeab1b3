"""Disks that are full, fail while writing, or cannot be read: one error, and no incomplete file."""

import errno
import hashlib
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import TONE, Run, Z, npy, snapshot, wav

from unravel_lib.audio.read import open_audio
from unravel_lib.errors import InputError
from unravel_lib.files import output
from unravel_lib.files.sidecar import sidecar_path

LIMIT = 1 << 16  # bytes


@pytest.fixture
def full_disk(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Callable[[], tuple[Path, str]]]:
    """A folder that takes 64 KiB: a tmpfs or, where mounting is not permitted, a limit on the size of files."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount") or "false"
    mounted = subprocess.run([mount, "-t", "tmpfs", "-o", f"size={LIMIT}", "none", str(place)], capture_output=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> tuple[Path, str]:
        if mounted.returncode == 0:
            return place, "no space left on the device: free some or choose another folder (--output)"
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, limits[1]))
        return place, "File too large"

    try:
        yield fill
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted.returncode == 0:
            subprocess.run(["umount", str(place)], check=True)
    how = "a tmpfs" if mounted.returncode == 0 else "RLIMIT_FSIZE, since mounting is not permitted: NO REAL FULL DISK"
    with capfdbinary.disabled():
        print(f"\n[full disk: tested with {how}]")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_the_decoder_on_a_full_disk(
    run: Run, full_disk: Callable[[], tuple[Path, str]], tmp_path: Path, subtype: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.npy").write_bytes(npy(Z[:, :, :4]))  # 24 KiB of 24-bit sound: fits
    (tmp_path / "in" / "b.npy").write_bytes(npy(Z))
    (tmp_path / "in" / "c.npy").write_bytes(npy(Z[:, :, 4:5]))
    small, reason = full_disk()
    result = run("decoder", "--input", tmp_path / "in", "--output", small, "--subtype", subtype)
    b = small / output.output_name("b", "b.npy", ".wav")
    assert (result.code, result.errors[0]) == (1, f"error: {b} cannot be written: {reason}")
    assert len(result.out.splitlines()) == 2
    assert sorted(p.suffix for p in small.iterdir()) == [".csv", ".json", ".json", ".wav", ".wav"]
    assert_whole_pairs(small)


def assert_whole_pairs(folder: Path) -> None:
    for path in folder.glob("*.wav"):
        assert (
            hashlib.sha256(path.read_bytes()).hexdigest() == json.loads(sidecar_path(path).read_bytes())["file_sha256"]
        )


def test_the_encoder_on_a_full_disk(run: Run, full_disk: Callable[[], tuple[Path, str]], tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(np.zeros(5_000_000)))  # 76 KiB of latents
    small, reason = full_disk()
    (small / "mine.txt").write_text("mine")
    result = run("encoder", "--input", tmp_path / "x.wav", "--output", small)
    target = small / output.output_name("x", "x.wav", ".npy")
    assert (result.code, result.errors) == (2, [f"error: {target} cannot be written: {reason}"])
    assert sorted(path.name for path in small.iterdir()) == ["failures.csv", "mine.txt"]


@pytest.mark.parametrize("flags", [["--embeddings"], [], ["--hold"]])
def test_the_generator_on_a_full_disk(
    run: Run, full_disk: Callable[[], tuple[Path, str]], tmp_path: Path, flags: list[str]
) -> None:
    """It checks the free space first and begins nothing; under a limit on files it leaves no incomplete file."""
    (tmp_path / "x.npy").write_bytes(npy(Z))
    small, _ = full_disk()
    loops = "1" if flags == ["--hold"] else "2000"
    result = run(
        "generator", "--input", tmp_path / "x.npy", "--output", small, "--no_plots", "--num_loops", loops, *flags
    )
    assert result.code == 2 and len(result.errors) == 1, result.err
    assert not [p for p in small.rglob("*") if p.suffix in (".wav", ".npy", ".part")]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_at_the_last_moment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Delayed errors come from fsync; the earlier result stays."""
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    flags = ("--input", tmp_path / "x.wav", "--output", tmp_path / "out")
    run("encoder", *flags)
    before = snapshot(tmp_path / "out")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        result = run("encoder", *flags, "--seed", "1")
    after = snapshot(tmp_path / "out")
    assert result.code == 2 and "cannot be written" in result.errors[0]
    assert {name: data for name, data in after.items() if name.endswith(".npy")} == {
        name: data for name, data in before.items() if name.endswith(".npy")
    }


def test_a_sound_that_ends_while_it_is_read(tmp_path: Path) -> None:
    """A file that shrinks while it is read, as on a drive that is removed, is an error and not the end of the sound."""
    path = tmp_path / "x.wav"
    path.write_bytes(wav(np.zeros(500_000)))
    with open_audio(path) as sound:
        blocks = sound.blocks()
        next(blocks)
        os.truncate(path, 600_000)
        with pytest.raises(InputError, match=r"x\.wav is (cut short|damaged)"):
            list(blocks)


def test_what_cannot_be_read_at_all(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").symlink_to("/proc/self/mem")  # a regular file; reading its start is an I/O error
    result = run("encoder", "--input", tmp_path / "x.wav", "--output", tmp_path / "out")
    assert (result.code, len(result.errors)) == (2, 1)
