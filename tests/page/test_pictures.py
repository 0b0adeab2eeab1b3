"""The pictures of the page: what is where in them, to the pixel."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from unravel_lib.page.pictures import GAP, LANE_HEIGHT, MEL_HEIGHT, MELS, WAVE_HEIGHT, WIDTH, draw_latents, draw_sound

RATE = 44100


def sound_picture(folder: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the opacities of the waveform and of the spectrogram of samples, [rows, columns]."""
    soundfile.write(folder / "x.wav", x, RATE, subtype="FLOAT")
    draw_sound(folder / "x.png", folder / "x.wav")
    opacity = np.asarray(Image.open(folder / "x.png"))[..., -1]
    assert len(opacity) == WAVE_HEIGHT + GAP + MEL_HEIGHT
    return opacity[:WAVE_HEIGHT], opacity[WAVE_HEIGHT + GAP :]


def latents_picture(folder: Path, latents: np.ndarray, loop_frames: int | None = None) -> np.ndarray:
    draw_latents(folder / "x.png", latents, loop_frames)
    return np.asarray(Image.open(folder / "x.png"))


def test_a_click_of_one_sample_is_seen_where_it_is(tmp_path: Path) -> None:
    """In a long file a picture of every n-th sample would miss it."""
    x = np.zeros(3_000_000)
    x[2_000_001] = 0.7
    wave, mel = sound_picture(tmp_path, x)
    assert wave.shape[1] == WIDTH
    middle = WAVE_HEIGHT // 2
    high = np.flatnonzero(wave[: middle - 5].any(axis=0))
    assert set(high) <= {2_000_001 * WIDTH // 3_000_000, 2_000_001 * WIDTH // 3_000_000 + 1} and len(high)
    assert not wave[middle + 5 :].any()
    seen = np.flatnonzero(mel.any(axis=0))
    assert len(seen) and np.abs(seen - 2_000_001 * WIDTH / 3_000_000).max() < 2


@pytest.mark.parametrize("frequency", [200, 1000, 8000])
def test_a_tone_is_at_its_mel(tmp_path: Path, frequency: float) -> None:
    x = 0.5 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
    _, mel = sound_picture(tmp_path, np.concatenate([x, np.zeros(RATE)]))
    row = mel[:, : WIDTH // 3].sum(axis=1, dtype=float).argmax()

    def to_mel(f: float) -> float:
        return float(2595 * np.log10(1 + f / 700))

    expected = MEL_HEIGHT * (1 - to_mel(frequency) / to_mel(RATE / 2))
    assert row == pytest.approx(expected, abs=2 * MEL_HEIGHT / MELS)
    assert not mel[:, -WIDTH // 3 :].any()


def test_silence_and_a_single_sample(tmp_path: Path) -> None:
    wave, mel = sound_picture(tmp_path, np.zeros((3000, 2)))
    assert not mel.any()
    assert np.flatnonzero(wave.any(axis=1)).tolist() == pytest.approx([WAVE_HEIGHT // 2] * 2, abs=1)
    wave, mel = sound_picture(tmp_path, np.ones(1))
    assert wave.shape[1] == 1 and wave.any()


def test_lanes_step_at_their_frames_and_show_a_spike(tmp_path: Path) -> None:
    latents = np.zeros((3, 5000))
    latents[1, 2500:] = 2
    latents[2, 1234] = -4
    lanes = latents_picture(tmp_path, latents)[..., -1].reshape(3, LANE_HEIGHT, WIDTH)
    centre = np.array([np.average(np.arange(LANE_HEIGHT), weights=lanes[1, :, c]) for c in range(WIDTH)])
    assert centre[0] > centre[-1]  # 0 is below 2
    assert np.ptp(centre[: WIDTH // 2 - 1]) == 0 and np.ptp(centre[WIDTH // 2 + 2 :]) == 0
    filled = lanes[2].astype(bool).sum(axis=0)
    assert abs(int(filled.argmax()) - 1234 * WIDTH // 5000) <= 1 and filled.max() > LANE_HEIGHT * 0.7
    assert np.ptp(lanes[0].astype(int), axis=1).max() == 0


def test_borders_of_loops(tmp_path: Path) -> None:
    plain = latents_picture(tmp_path, np.zeros((2, 48)))
    lined = latents_picture(tmp_path, np.zeros((2, 48)), 12)
    assert np.flatnonzero((plain != lined).any(axis=(0, 2))).tolist() == [WIDTH // 4, WIDTH // 2, 3 * WIDTH // 4]
    many = latents_picture(tmp_path, np.zeros((2, 4800)), 4)
    assert (many == latents_picture(tmp_path, np.zeros((2, 4800)))).all()  # they would cover the latents


def test_more_dims_are_a_heat_map(tmp_path: Path) -> None:
    latents = np.zeros((16, 100))
    latents[3], latents[5, :50], latents[7, 20] = 1, -2, -2
    picture = latents_picture(tmp_path, latents)
    assert picture.shape[1:] == (100, 4)
    rows = picture[:: len(picture) // 16]
    assert (rows[3, :, 0] > rows[3, :, 2]).all() and (rows[5, :50, 0] < rows[5, :50, 2]).all()
    assert (rows[0, :, 3] == 0).all() and rows[5, 0, 3] > rows[3, 0, 3] > 60 and (rows[5, 50:, 3] == 0).all()
    long = np.zeros((16, 100_000))
    long[2, 77_777] = -1e3
    seen = latents_picture(tmp_path, long)
    assert np.flatnonzero(seen[2 * len(seen) // 16 + 1, :, 3]).tolist() == pytest.approx([77_777 * WIDTH / 1e5], abs=1)


def test_same_sound_same_bytes(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal(9000)
    sound_picture(tmp_path, x)
    first = (tmp_path / "x.png").read_bytes()
    sound_picture(tmp_path, x)
    assert (tmp_path / "x.png").read_bytes() == first
