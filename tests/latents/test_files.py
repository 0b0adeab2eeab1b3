"""Latents files of either kind, found and read once."""

from pathlib import Path

import numpy as np
import pytest

import unravel_lib as unravel
from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import EncodingSidecar, GeneratedSidecar, sidecar_path, write_sidecar
from unravel_lib.latents import files
from unravel_lib.latents.files import Inputs, find_encodings, read_latents

Z = np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32)


def test_either_kind_is_read_by_text_or_path(tmp_path: Path) -> None:
    unravel.write_latents(f"{tmp_path}/x.npy", Z)
    unravel.write_latent_audio(f"{tmp_path}/x.wav", Z.T, 44100, 2048)
    for name in ("x.npy", "x.wav"):
        for path in (tmp_path / name, f"{tmp_path}/{name}"):
            np.testing.assert_array_equal(read_latents(path), Z)
    (tmp_path / "x.flac").touch()
    with pytest.raises(InputError) as error:
        read_latents(tmp_path / "x.flac")
    assert error.value.path == tmp_path / "x.flac"


def test_what_was_read_is_kept_until_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unravel.write_latents(tmp_path / "x.npy", Z)
    write_sidecar(tmp_path / "x.npy", EncodingSidecar(seed=3))
    inputs = Inputs()
    first = inputs.read(tmp_path / "x.npy", keep=True)
    sidecar_path(tmp_path / "x.npy").unlink()
    (tmp_path / "x.npy").unlink()
    taken = inputs.read(tmp_path / "x.npy")
    assert taken.latents is first.latents and taken.sidecar == first.sidecar == EncodingSidecar(seed=3)
    with pytest.raises(InputError):
        inputs.read(tmp_path / "x.npy")
    unravel.write_latents(tmp_path / "x.npy", Z)
    monkeypatch.setattr(files, "MAX_BYTES", Z.nbytes - 1)
    inputs = Inputs()
    assert inputs.read(tmp_path / "x.npy", keep=True) is not None
    (tmp_path / "x.npy").unlink()
    with pytest.raises(InputError):  # too large to be kept
        inputs.read(tmp_path / "x.npy")


def test_a_damaged_sidecar_is_reported_each_time(tmp_path: Path) -> None:
    unravel.write_latents(tmp_path / "x.npy", Z)
    sidecar_path(tmp_path / "x.npy").write_text('{"format": "unravel-sidecar", "format_version": 99}')
    inputs = Inputs()
    for _ in range(2):
        assert not inputs.is_generated(tmp_path / "x.npy") and inputs.is_latents(tmp_path / "x.npy")
        with pytest.raises(InputError):
            inputs.read(tmp_path / "x.npy")


def test_results_in_a_folder_are_no_encodings_but_by_name(tmp_path: Path) -> None:
    for name in ("a", "made"):
        unravel.write_latents(tmp_path / f"{name}.npy", Z)
    write_sidecar(tmp_path / "made.npy", GeneratedSidecar(seed=1))
    assert [file.path.name for file in find_encodings([tmp_path])] == ["a.npy"]
    assert [file.path.name for file in find_encodings([tmp_path / "made.npy"])] == ["made.npy"]
    (tmp_path / "a.npy").unlink()
    with pytest.raises(InputError) as error:
        find_encodings([tmp_path])
    assert error.value.remedy_options == ("input",)
