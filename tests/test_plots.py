"""Pictures for every size of data: limited cost, the same bytes each time, independent of settings of matplotlib."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import image

from unravel_lib import plots
from unravel_lib.latents import blocks
from unravel_lib.latents.npy import save_latents
from unravel_lib.statistics import measure
from unravel_lib.statistics.summary import Statistics

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def measured(folder: Path, dims: int, frames: int, iqr: bool = False) -> Statistics:
    """Statistics of random latents in which dim 0 never moves."""
    values = np.random.default_rng(dims).normal(1, 2, (dims, frames))
    values[0] = 0.7
    save_latents(folder / "x.npy", values)
    return measure.measure([folder / "x.npy"], iqr)


def sampled(values: np.ndarray, cut: int) -> blocks.Sampler:
    sampler = blocks.Sampler(len(values))
    sampler(values[:cut])
    sampler(values[cut:])
    return sampler


def pixels(path: Path) -> np.ndarray:
    assert path.read_bytes()[:8] == SIGNATURE
    return image.imread(path)


@pytest.mark.parametrize(("dims", "frames"), [(1, 1), (1, 2500), (8, 1), (8, 300), (16, 300), (128, 2)])
def test_every_picture_at_every_size(tmp_path: Path, dims: int, frames: int) -> None:
    statistics = measured(tmp_path, dims, frames, iqr=dims == 8)
    plots.draw_distribution(tmp_path / "d.png", statistics)
    plots.draw_correlation(tmp_path / "c.png", statistics)
    plots.draw_values(tmp_path / "v.png", "title", sampled(np.full((frames, dims), 3.0), frames // 2))
    for name in "dcv":
        picture = pixels(tmp_path / f"{name}.png")
        assert 400 <= picture.shape[0] <= 1100 and 500 <= picture.shape[1] <= 2400
        edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
        assert all((edge == 1).all() for edge in edges), "something is cut off at the edge"
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".npy", ".png", ".png", ".png"]


def test_same_values_same_bytes_without_date_or_version(tmp_path: Path) -> None:
    statistics = measured(tmp_path, 3, 50)
    values = np.random.default_rng(0).normal(size=(50, 3))
    for name in "ab":
        plots.draw_distribution(tmp_path / f"{name}d.png", statistics)
        plots.draw_correlation(tmp_path / f"{name}c.png", statistics)
        plots.draw_values(tmp_path / f"{name}v.png", "title", sampled(values, 20))
    for kind in "dcv":
        data = (tmp_path / f"a{kind}.png").read_bytes()
        assert data == (tmp_path / f"b{kind}.png").read_bytes()
        assert b"Software" not in data and b"atplotlib" not in data and b"tIME" not in data


def test_the_users_matplotlib_settings_change_nothing(tmp_path: Path) -> None:
    sampler = sampled(np.random.default_rng(0).normal(size=(9, 2)), 4)
    plots.draw_values(tmp_path / "a.png", "title", sampler)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "text.usetex": True}):
        plots.draw_values(tmp_path / "b.png", "title", sampler)
        assert matplotlib.rcParams["font.size"] == 20
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("title", [r"$\frac{$ \n", "a$b$c_d^e", "\x1b[31mred\nline", "日本語 🥁 \udcff", "x" * 5000])
def test_any_name_can_be_a_title(tmp_path: Path, title: str, recwarn: pytest.WarningsRecorder) -> None:
    plots.draw_values(tmp_path / "t.png", title, sampled(np.zeros((4, 2)), 2))
    picture = pixels(tmp_path / "t.png")
    assert (picture[:, -3:] == 1).all(), "the title runs over the edge"
    assert not recwarn.list


def test_sampler_keeps_evenly_spaced_frames_in_order() -> None:
    """For any sizes of blocks, with the first frame, and no more frames than the picture needs."""
    for n in (1, 7, blocks.SAMPLED, blocks.SAMPLED + 1, 10_000):
        values = np.arange(float(n))[:, np.newaxis]
        sampler = blocks.Sampler(n)
        for start in range(0, n, 611):
            sampler(values[start : start + 611])
        assert np.array_equal(sampler.frames[:, 0], sampler.positions)
        assert len(sampler.frames) == min(n, blocks.SAMPLED) and sampler.positions[0] == 0
        steps = np.diff(sampler.positions)
        assert n == 1 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)


def test_sampler_keeps_copies() -> None:
    """The source may overwrite a block after it was used."""
    block = np.ones((3, 1))
    sampler = blocks.Sampler(6)
    sampler(block)
    block[:] = 2
    sampler(block)
    assert sampler.frames.ravel().tolist() == [1, 1, 1, 2, 2, 2]


def test_sampler_does_not_fall_in_step_with_a_loop() -> None:
    """64-frame loops over 524,800 frames: all 64 frames of the loop are drawn."""
    positions = blocks.Sampler(524_800).positions
    assert len(set((positions % 64).tolist())) == 64


def test_correlation_colours_are_those_of_minus_1_to_1(tmp_path: Path) -> None:
    """The colours do not depend on the extremes of the data: here 1 and about 0.5, which is pale red."""
    values = np.random.default_rng(0).normal(size=(2, 400))
    values[1] += 0.6 * values[0]
    save_latents(tmp_path / "x.npy", values)
    statistics = measure.measure([tmp_path / "x.npy"])
    plots.draw_correlation(tmp_path / "c.png", statistics)
    picture = pixels(tmp_path / "c.png")[..., :3]
    top, bottom, left = 65, picture.shape[0] - 60, 70
    side = bottom - top
    found = [picture[top + side // 8, left + side // 8], picture[top + side // 8, left + side * 7 // 8]]
    correlation = statistics.correlation[0, 1]
    assert 0.4 < correlation < 0.6
    expected = matplotlib.colormaps[plots.DIVERGING]([1.0, (correlation + 1) / 2])[:, :3]
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (5, 5 + 1e-12), (-1e30, 1e30)])
def test_density_is_where_the_values_are(low: float, high: float) -> None:
    values = np.random.default_rng(0).uniform(low, high, 5000)
    outline = plots._density(values)
    assert np.isfinite(outline["vals"]).all() and np.isfinite(outline["coords"]).all()
    centre = np.average(outline["coords"], weights=outline["vals"])
    assert abs(centre - values.mean()) <= 0.02 * (high - low) + 1e-12


def test_density_follows_two_peaks() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(-5, 0.5, 3000), rng.normal(5, 0.5, 1000)])
    outline = plots._density(values)
    at = np.interp([-5, 0, 5], outline["coords"], outline["vals"])
    assert at[0] > 2 * at[2] > 20 * at[1]


def test_pyplot_is_never_imported(tmp_path: Path) -> None:
    """pyplot would look for a display, and is slow to import."""
    code = "import sys; from unravel_lib import plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("n_dims", "kept", "cut_off_is_drawn"), [(4, 2, True), (4, 4, False), (128, 100, False)])
def test_variance_of_cut_off_dims_is_grey(n_dims: int, kept: int, cut_off_is_drawn: bool, tmp_path: Path) -> None:
    plots.draw_variance(tmp_path / "v.png", "title", [1 / n_dims] * n_dims, kept)
    bars = np.rint(pixels(tmp_path / "v.png")[60:, :, :3] * 255)
    grey = [int(plots.GREY[i : i + 2], 16) for i in (1, 3, 5)]
    legend = 100  # pixels of a box beside the words, which is there although no bar is
    assert (np.count_nonzero((bars == grey).all(axis=2)) > 20 * legend) == cut_off_is_drawn


def test_a_constant_dim_at_the_end_of_the_scale_is_drawn_inside(tmp_path: Path) -> None:
    """Its box has no height; the line of the median needs space on both sides."""
    values = np.random.default_rng(0).normal(size=(2, 50))
    values[1] = 9.0
    save_latents(tmp_path / "x.npy", values)
    plots.draw_distribution(tmp_path / "d.png", measure.measure([tmp_path / "x.npy"]))
    picture = np.rint(pixels(tmp_path / "d.png")[:, :, :3] * 255)
    orange = [int(plots.ORANGE[i : i + 2], 16) for i in (1, 3, 5)]
    rows = np.flatnonzero((picture == orange).all(axis=2).any(axis=1))
    assert rows.min() > 65 + 8  # the axes begin 0.65 inches below the edge, at 100 dots each
