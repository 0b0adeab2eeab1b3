"""The bundled recordings and the pocket model: what it promises, and how well it keeps it on sounds it never met."""

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples" / "pocket"))

import build_pocket as build  # noqa: E402
import pocket_codec as codec  # noqa: E402

C = codec.COMPRESSION
RECORDINGS = ROOT / "examples" / "audio"


@pytest.fixture(scope="module")
def model() -> Any:
    return torch.jit.load(build.POCKET).eval()


@pytest.fixture(scope="module")
def plain() -> codec.Pocket:
    """The same model, not scripted, so that its random numbers can be replaced."""
    module = codec.Pocket()
    module.load_state_dict(torch.jit.load(build.POCKET).state_dict())
    return module.eval()


def recording(name: str) -> torch.Tensor:
    sound = soundfile.read(RECORDINGS / f"{name}.flac", dtype="float32", always_2d=True)[0]
    return torch.from_numpy(sound.mean(axis=1))[None, None]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_it_states_its_facts_as_a_rave_export_does(model: Any) -> None:
    assert model.encode_params.tolist() == [1, 1, 8, 2048]
    assert model.decode_params.tolist() == [8, 2048, 1, 1]
    assert model.forward_params.tolist() == [1, 1, 1, 1]
    assert model.encode_params.dtype == torch.int64
    assert model.sr == 44100
    assert model.get_methods() == ["encode", "decode", "forward"]
    assert not model.training


@pytest.mark.parametrize("samples", [1, 2047, 2048, 2049, 5 * 2048 + 3])
def test_every_length_gives_its_frames(model: Any, samples: int) -> None:
    frames = -(-samples // C)
    latents = model.encode(noise(2, 1, samples))
    assert latents.shape == (2, 8, frames)
    assert model.decode(latents).shape == model(noise(2, 1, samples)).shape == (2, 1, frames * C)


def log_energies(model: Any, sound: torch.Tensor) -> np.ndarray:
    return np.asarray(model.features(sound)[0, : codec.BANDS])


@pytest.mark.parametrize("name", build.KEPT_OUT)
def test_it_keeps_the_band_energies_of_a_recording_it_was_not_fitted_on(model: Any, name: str) -> None:
    sound = recording(name)
    torch.manual_seed(0)
    back = model(sound)
    before = log_energies(model, sound)
    after = log_energies(model, back)[:, : before.shape[1]]
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9
    within = [values - values.mean(axis=1, keepdims=True) for values in (before, after)]
    assert np.corrcoef(within[0].ravel(), within[1].ravel())[0, 1] > 0.85  # not only each band's average
    assert abs(20 * np.log10(float(back.std() / sound.std()))) < 6.0


def test_a_tone_keeps_its_pitch_class(model: Any) -> None:
    """Two sines a fifth apart stay apart: the strongest partial of each is the one at the sine's pitch class."""
    for hertz in (440.0, 659.3, 932.3):
        time = torch.arange(40 * C) / codec.SAMPLE_RATE
        back = model(0.2 * torch.sin(2 * torch.pi * hertz * time)[None, None])[0, 0].numpy()
        spectrum = np.abs(np.fft.rfft(back * np.hanning(len(back))))
        peak = np.argmax(spectrum) * codec.SAMPLE_RATE / len(back)
        semitones = 12 * np.log2(peak / hertz)
        assert abs(semitones - 12 * round(semitones / 12)) < 1.5, (hertz, peak)


@pytest.mark.parametrize("scale", [1.0, 10.0, 1e6])
def test_any_latents_decode_to_sound_within_full_scale(model: Any, scale: float) -> None:
    for latents in (scale * noise(1, 8, 50), torch.full((1, 8, 9), scale), torch.full((1, 8, 9), -scale)):
        sound = model.decode(latents)
        assert torch.isfinite(sound).all()
        assert sound.abs().max() <= 1.0


def test_infinite_latents_stay_bounded_too(model: Any) -> None:
    latents = noise(1, 8, 9)
    latents[0, 0, :3] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    assert model.decode(latents).abs().max() <= 1.0


def test_silence_stays_silent(model: Any) -> None:
    assert model(torch.zeros(1, 1, 20 * C)).abs().max() < 10 ** (-60 / 20)


def test_encoding_needs_one_frame_of_context_and_no_more(model: Any) -> None:
    sound = noise(1, 1, 20 * C) * 0.1
    part = model.encode(sound[..., 7 * C : 13 * C])
    torch.testing.assert_close(part[..., 1:-1], model.encode(sound)[..., 8:12], rtol=1e-5, atol=1e-5)


def test_decoding_in_chunks_equals_the_whole_but_for_its_noise(
    plain: codec.Pocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, 0.3))
    latents = noise(1, 8, 20)
    whole, part = plain.decode(latents), plain.decode(latents[..., 7:13])
    assert whole.std() > 0.01
    torch.testing.assert_close(part[..., C : -2 * C], whole[..., 8 * C : 11 * C], rtol=0, atol=1e-5)


def test_noise_is_alike_at_frame_boundaries_whatever_the_seed(model: Any) -> None:
    """This is what keeps the seams of chunks silent: chunks that drew different noise meet at a boundary."""
    latents = model.encode(noise(1, 1, 40 * C) * 0.1)
    sounds = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        sounds.append(model.decode(latents)[0, 0])
    difference = (sounds[0] - sounds[1]).abs().reshape(-1, C).mean(0)
    assert difference[C // 2] > 0.01
    assert difference[[0, -1]].max() < 0.02 * difference.mean()


def test_same_seed_same_sound_other_seed_other_sound(model: Any) -> None:
    latents = noise(1, 8, 9)
    sounds = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        sounds.append(model.decode(latents))
    assert torch.equal(sounds[0], sounds[1])
    assert not torch.equal(sounds[0], sounds[2])


def test_held_noise_does_not_buzz_at_the_frame_rate(model: Any) -> None:
    """One frame of noise held for 200: above the always tonal bands hardly anything repeats every 2048 samples."""
    held = model.encode(noise(1, 1, 9 * C) * 0.1)[..., 4:5].repeat(1, 1, 200)
    spectrum = np.fft.rfft(model.decode(held)[0, 0].numpy())
    spectrum[: round(1500 * 200 * C / codec.SAMPLE_RATE)] = 0.0
    sound = np.fft.irfft(spectrum)
    repeated = float((sound[:-C] * sound[C:]).mean() / (sound**2).mean())
    assert repeated < 0.3


def test_batches_do_not_mix(model: Any) -> None:
    sounds = noise(3, 1, 10 * C) * torch.tensor([0.01, 0.1, 0.3])[:, None, None]
    alone = torch.cat([model.encode(sound[None]) for sound in sounds])
    torch.testing.assert_close(model.encode(sounds), alone, rtol=1e-5, atol=1e-5)


def test_building_gives_what_is_committed(tmp_path: Path) -> None:
    """In a process of its own with another hash seed: the order of sets must not affect the file."""
    code = "import sys; sys.path.insert(0, 'examples/pocket'); from pathlib import Path; import build_pocket; "
    code += "print(build_pocket.build(Path('examples/audio'), Path(sys.argv[1])))"
    target = tmp_path / "built.ts"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", code, str(target)]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    assert float(done.stdout) > 0.9  # of the variance, in 8 dims
    built, committed = (torch.jit.load(path).state_dict() for path in (target, build.POCKET))
    assert built.keys() == committed.keys()
    for name, value in committed.items():
        torch.testing.assert_close(built[name], value, rtol=1e-3, atol=1e-3)
    with zipfile.ZipFile(target) as new, zipfile.ZipFile(build.POCKET) as old:
        assert new.namelist() == old.namelist()
        # weights may differ in their last bits on another machine, PyTorch's own mark under another Python; no more may
        for name in old.namelist():
            assert "/data/" in name or "serialization_id" in name or new.read(name) == old.read(name)


def test_the_file_is_small_and_tells_no_path(model: Any) -> None:
    data = build.POCKET.read_bytes()
    assert len(data) < 1_000_000
    assert os.fsencode(build.POCKET.parent) not in data


def test_every_recording_stands_in_the_sources_with_its_licence_and_checksum(recordings: Path) -> None:
    text = (recordings / "SOURCES.txt").read_text(encoding="utf-8")
    stanzas = {}
    for stanza in re.split(r"\n\n(?=\w+\.flac)", text)[1:]:
        lines = stanza.splitlines()
        fields = (line.split(maxsplit=1) for line in lines[1:])
        stanzas[lines[0].split()[0]] = {"held": "kept out" in lines[0], **dict(fields)}
    files = {path.name: path for path in recordings.glob("*.flac")}
    assert stanzas.keys() == files.keys()
    for name, path in files.items():
        assert stanzas[name]["licence"] == "CC0-1.0"
        assert "freesound.org/people/" in str(stanzas[name]["source"])
        assert stanzas[name]["sha-256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert stanzas[name]["held"] == (path.stem in build.KEPT_OUT)
    assert sum(path.stat().st_size for path in files.values()) < 1_500_000
