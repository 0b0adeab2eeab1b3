"""Pictures for every size of data: limited cost, the same bytes each time, independent of settings of matplotlib."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import image

from unravel_lib import plots
from unravel_lib.latents.formats import save_latents
from unravel_lib.music.patterns import Piece
from unravel_lib.statistics import measure
from unravel_lib.statistics.measure import Statistics

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def measured(folder: Path, values: np.ndarray, iqr: bool = False) -> Statistics:
    save_latents(folder / "x.npy", values)
    return measure.measure([folder / "x.npy"], iqr)


def noise(dims: int, frames: int) -> np.ndarray:
    """Random latents [dims, frames] in which dim 0 never moves."""
    values = np.random.default_rng(dims).normal(1, 2, (dims, frames))
    values[0] = 0.7
    return values


def piece(*loops: np.ndarray, dims: int = 2) -> Piece:
    return Piece.of(loops, dims)


def pixels(path: Path) -> np.ndarray:
    assert path.read_bytes()[:8] == SIGNATURE
    return image.imread(path)[:, :, :3]


def count(picture: np.ndarray, colour: str) -> int:
    """How many pixels have exactly this colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.count_nonzero((np.rint(picture * 255) == wanted).all(axis=2))


def has_empty_edges(picture: np.ndarray) -> bool:
    return all((edge == 1).all() for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]))


@pytest.mark.parametrize(("dims", "frames"), [(1, 1), (1, 2500), (2, 300), (8, 1), (8, 300), (16, 300), (128, 2)])
@pytest.mark.parametrize("n_files", [1, 3])
def test_every_picture_at_every_size(tmp_path: Path, dims: int, frames: int, n_files: int) -> None:
    statistics = measured(tmp_path, noise(dims, frames), iqr=dims == 8)
    loop = np.full((frames, dims), 3.0)
    files = {f"{n}.npy": piece(loop, loop, loop * n, dims=dims) for n in range(n_files)}
    plots.draw_distribution(tmp_path / "d.png", statistics, [one.frames for one in files.values()])
    plots.draw_correlation(tmp_path / "c.png", statistics)
    plots.draw_results(tmp_path / "r.png", "title", "facts", files, 0.0464)
    for name in "dcr":
        picture = pixels(tmp_path / f"{name}.png")
        assert 350 <= picture.shape[0] <= 2400 and 500 <= picture.shape[1] <= 2400
        assert has_empty_edges(picture), "something is cut off at the edge"
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".npy", ".png", ".png", ".png"]


def test_same_values_same_bytes_without_date_or_version(tmp_path: Path) -> None:
    statistics = measured(tmp_path, noise(3, 50))
    files = {"x": piece(np.random.default_rng(0).normal(size=(50, 3)), dims=3)}
    for name in "ab":
        plots.draw_distribution(tmp_path / f"{name}d.png", statistics, [one.frames for one in files.values()])
        plots.draw_correlation(tmp_path / f"{name}c.png", statistics)
        plots.draw_results(tmp_path / f"{name}r.png", "title", "facts", files, 1)
    for kind in "dcr":
        data = (tmp_path / f"a{kind}.png").read_bytes()
        assert data == (tmp_path / f"b{kind}.png").read_bytes()
        assert b"Software" not in data and b"atplotlib" not in data and b"tIME" not in data


def test_the_users_matplotlib_settings_change_nothing(tmp_path: Path) -> None:
    files = {"x": piece(np.random.default_rng(0).normal(size=(9, 2)))}
    plots.draw_results(tmp_path / "a.png", "title", "facts", files, 1)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "text.usetex": True}):
        plots.draw_results(tmp_path / "b.png", "title", "facts", files, 1)
        assert matplotlib.rcParams["font.size"] == 20
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("title", [r"$\frac{$ \n", "a$b$c_d^e", "\x1b[31mred\nline", "日本語 🥁 \udcff", "W" * 5000])
@pytest.mark.parametrize("n_loops", [1, 2])
def test_any_name_can_be_a_title(tmp_path: Path, title: str, n_loops: int, recwarn: pytest.WarningsRecorder) -> None:
    files = {f"{title}{n}": piece(*[np.zeros((4, 2))] * n_loops) for n in range(2)}
    plots.draw_results(tmp_path / "t.png", title, title, files, 1)
    plots.draw_variance(tmp_path / "v.png", title, [1], 1)
    for name in "tv":
        assert (pixels(tmp_path / f"{name}.png")[:, -3:] == 1).all(), "the title runs over the edge"
    assert not recwarn.list


def heat_map_of(path: Path, height: float) -> np.ndarray:
    """The pixels of the heat map of the first file of a picture, without the lines around it."""
    left, top = round(100 * plots.LEFT), round(100 * plots.ABOVE)
    return pixels(path)[top : top + round(100 * height), left : left + round(100 * plots.WIDE)]


def test_a_spike_in_a_million_frames_is_drawn_in_its_place(tmp_path: Path) -> None:
    """Its highest value in the upper half of its dim, its lowest in the lower half; everything else is white."""
    values = np.zeros((1_000_000, 2))
    values[250_000, 0], values[750_000, 1] = 5, -5
    plots.draw_results(tmp_path / "r.png", "", "", {"x": piece(values)}, 1)
    found = heat_map_of(tmp_path / "r.png", 2)
    red, blue = (matplotlib.colormaps[plots.DIVERGING](end)[:3] for end in (1.0, 0.0))
    for colour, rows, column in ((red, (2, 47), 220), (blue, (153, 197), 660)):
        at = np.argwhere(np.abs(found - colour).max(axis=2) < 0.01)
        assert len(at) and set(at[:, 1]) == {column}
        assert at[:, 0].min() >= rows[0] - 3 and at[:, 0].max() <= rows[1] + 3


def test_a_spike_is_drawn_where_dims_share_a_line_of_pixels(tmp_path: Path) -> None:
    """A sheet of 24 files of 128 dims has fewer lines than values: the lowest and the highest are what remains."""
    values = np.zeros((100, 128))
    values[20, 51], values[60, 50] = 7, -7
    files = {"spikes": piece(values, dims=128)} | {str(n): piece(values * 0, dims=128) for n in range(23)}
    plots.draw_results(tmp_path / "r.png", "", "", files, 1)
    found = heat_map_of(tmp_path / "r.png", 0.5)
    for value, column in ((1.0, 180), (0.0, 532)):
        assert np.abs(found - matplotlib.colormaps[plots.DIVERGING](value)[:3]).max(axis=2)[:, column].min() < 0.01


def test_a_spike_is_drawn_in_a_file_that_is_shorter_than_another(tmp_path: Path) -> None:
    """It has a tenth of the width, so that ten of its columns share a pixel."""
    for spike in (10_000, 10_101, 10_202, 10_303):
        values = np.zeros((20_000, 2))
        values[spike, 0] = 7
        files = {"short": piece(values), "long": piece(np.zeros((200_000, 2)))}
        plots.draw_results(tmp_path / "r.png", "", "", files, 1)
        found = heat_map_of(tmp_path / "r.png", 2)
        at = np.argwhere(np.abs(found - matplotlib.colormaps[plots.DIVERGING](1.0)[:3]).max(axis=2) < 0.01)
        assert len(at) and set(at[:, 1]) <= {spike * 880 // 200_000 - 1, spike * 880 // 200_000}


def test_lines_stand_where_loops_begin(tmp_path: Path) -> None:
    """Not at the beginning of the file, nor within a loop."""
    loops = [np.ones((220, 2)), *[np.ones((110, 2))] * 4, np.ones((220, 2))]
    plots.draw_results(tmp_path / "r.png", "", "", {"x": piece(*loops)}, 1)
    row = heat_map_of(tmp_path / "r.png", 2)[30].sum(axis=1)
    plain = np.median(row)
    dark = np.flatnonzero(row < plain - 0.05)
    assert all(np.abs(dark - line).min() <= 1 for line in (220, 330, 440, 550, 660))
    assert all(np.abs(np.array([220, 330, 440, 550, 660]) - column).min() <= 1 for column in dark)


def test_files_of_a_sheet_share_time_and_colour(tmp_path: Path) -> None:
    """A file of half the length takes half the width, one of half the values is paler."""
    files = {"long": piece(np.full((400, 2), 2.0)), "short": piece(np.full((200, 2), 1.0))}
    plots.draw_results(tmp_path / "r.png", "", "", files, 1)
    picture = pixels(tmp_path / "r.png")
    left, second = round(100 * plots.LEFT), round(100 * (plots.ABOVE + 2 + plots.GAP)) + 30
    first = round(100 * plots.ABOVE) + 30
    assert (picture[first, left + 800] < 0.99).any() and (picture[second, left + 800] == 1).all()
    assert picture[second, left + 300, 1] > picture[first, left + 300, 1] + 0.2


def test_correlation_colours_are_those_of_minus_1_to_1(tmp_path: Path) -> None:
    """The colours do not depend on the extremes of the data: here 1 and about 0.5, which is pale red."""
    values = np.random.default_rng(0).normal(size=(2, 400))
    values[1] += 0.6 * values[0]
    statistics = measured(tmp_path, values)
    plots.draw_correlation(tmp_path / "c.png", statistics)
    picture = pixels(tmp_path / "c.png")
    top, bottom, left = 65, picture.shape[0] - 60, 70
    side = bottom - top
    found = [picture[top + side // 8, left + side // 8], picture[top + side // 8, left + side * 7 // 8]]
    correlation = statistics.correlation[0, 1]
    assert 0.4 < correlation < 0.6
    expected = matplotlib.colormaps[plots.DIVERGING]([1.0, (correlation + 1) / 2])[:, :3]
    np.testing.assert_allclose(found, expected, atol=0.01)


def outline(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    quantiles = np.quantile(values, np.array(plots.PERCENTS) / 100)
    return plots.density_of(quantiles, len(values), values.min(), values.max())


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (5, 5 + 1e-12), (-1e30, 1e30)])
def test_density_is_where_the_values_are_and_nowhere_else(low: float, high: float) -> None:
    values = np.random.default_rng(0).uniform(low, high, 5000)
    at, density = outline(values)
    assert np.isfinite(density).all() and (at[0], at[-1]) == (values.min(), values.max())
    if density.any():
        assert abs(np.average(at, weights=density) - values.mean()) <= 0.02 * (high - low)
        assert density.min() > 0.8, "a violin of equally likely values is as wide at its ends"


def test_density_follows_two_peaks() -> None:
    rng = np.random.default_rng(0)
    at, density = outline(np.concatenate([rng.normal(-5, 0.5, 3000), rng.normal(5, 0.5, 1000)]))
    low, middle, high = np.interp([-5, 0, 5], at, density)
    assert low > 2 * high > 20 * middle


def coloured_height(picture: np.ndarray) -> int:
    """How many rows of pixels there are from the highest to the lowest violin."""
    return int(np.ptp(np.flatnonzero((np.ptp(picture, axis=2) > 0.1)[90:].sum(axis=1) > 12)))


def test_outliers_do_not_squash_the_rest_and_are_marked(tmp_path: Path) -> None:
    """One value of 1000 among 600 about 0, recorded or generated: the violins keep their height."""
    values = np.random.default_rng(0).normal(size=(2, 600))
    statistics = measured(tmp_path, values)
    plots.draw_distribution(tmp_path / "plain.png", statistics, [values.T])
    height = coloured_height(pixels(tmp_path / "plain.png"))
    values[1, 300] = 1000
    spiky = measured(tmp_path, values)
    for name, recorded, generated in (("r", spiky, statistics), ("g", statistics, spiky), ("b", spiky, None)):
        files = [generated.encodings[0].latents.T.astype(float)] if generated else []
        plots.draw_distribution(tmp_path / f"{name}.png", recorded, files)
        picture = pixels(tmp_path / f"{name}.png")
        assert has_empty_edges(picture)
        assert coloured_height(picture) >= 0.7 * height, "the violins are squashed"


def test_recorded_is_left_and_generated_right_of_each_dim(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(1, 500))
    plots.draw_distribution(tmp_path / "d.png", measured(tmp_path, values), [values.T + 3])
    body = pixels(tmp_path / "d.png")[90:-65, 85:-35]
    middle = body.shape[1] // 2
    blue, orange = (body[:, :, 2] > body[:, :, 0] + 0.17), (body[:, :, 0] > body[:, :, 2] + 0.17)
    assert np.argwhere(blue)[:, 1].max() <= middle + 2 and np.argwhere(orange)[:, 1].min() >= middle - 2
    assert np.median(np.argwhere(orange)[:, 0]) < np.median(np.argwhere(blue)[:, 0]) - 50, "larger values are higher up"


def test_statistics_of_a_table_are_drawn_too(tmp_path: Path) -> None:
    """They have no encodings; the violins are made of quantiles."""
    from dataclasses import replace

    statistics = measured(tmp_path, noise(3, 400))
    plots.draw_distribution(tmp_path / "a.png", statistics)
    plots.draw_distribution(tmp_path / "b.png", replace(statistics, encodings=()))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pyplot_is_never_imported() -> None:
    """pyplot would look for a display, and is slow to import."""
    code = "import sys; from unravel_lib import plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("n_dims", "kept", "cut_off_is_drawn"), [(4, 2, True), (4, 4, False), (128, 100, False)])
def test_variance_of_cut_off_dims_is_grey(n_dims: int, kept: int, cut_off_is_drawn: bool, tmp_path: Path) -> None:
    plots.draw_variance(tmp_path / "v.png", "title", [1 / n_dims] * n_dims, kept)
    legend = 100  # pixels of a box beside the words, which is there although no bar is
    grey = count(pixels(tmp_path / "v.png")[60:], plots.GREY)
    assert (grey > 20 * legend) == cut_off_is_drawn


def test_two_dims_of_variance_do_not_fill_the_picture(tmp_path: Path) -> None:
    plots.draw_variance(tmp_path / "v.png", "title", [0.9, 0.1], 2)
    bars = pixels(tmp_path / "v.png")[70:]
    assert 3000 < count(bars, plots.BLUE) < 0.1 * bars.shape[0] * bars.shape[1]


def test_a_constant_dim_at_the_end_of_the_scale_is_drawn_inside(tmp_path: Path) -> None:
    """The line of its median needs space above."""
    values = np.random.default_rng(0).normal(size=(2, 50))
    values[1] = 9.0
    plots.draw_distribution(tmp_path / "d.png", measured(tmp_path, values))
    picture = np.rint(pixels(tmp_path / "d.png") * 255)
    dark = [int(plots.DARK[i : i + 2], 16) for i in (1, 3, 5)]
    rows = np.flatnonzero((picture == dark).all(axis=2).any(axis=1))
    assert rows.min() > 85 + 8  # the axes begin 0.85 inches below the edge, at 100 dots each


def test_too_many_borders_give_way_to_those_of_new_loops_and_these_to_none() -> None:
    loops = piece(*[np.zeros((2, 1))] * 10, *[np.ones((3, 1))] * 10, dims=1)
    assert len(plots.borders(loops, 19)) == 19
    assert plots.borders(loops, 18) == [20]
    assert plots.borders(loops, 0) == []


def test_sampled_frames_are_evenly_spaced_and_do_not_fall_in_step_with_a_loop() -> None:
    for n in (1, 7, plots.SAMPLED, plots.SAMPLED + 1, 10_000):
        kept = plots.parts(n, plots.SAMPLED)
        assert len(kept) == min(n, plots.SAMPLED) and kept[0] == 0
        steps = np.diff(kept)
        assert n == 1 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)
    assert len(set(plots.parts(64 * 8200, plots.SAMPLED) % 64)) == 64


def test_under_each_file_stands_how_loud_it_is_on_one_scale(tmp_path: Path) -> None:
    """Twice as loud is twice as high; without loudness, what moves is drawn."""
    files = {
        "loud": piece(np.full((100, 2), 2.0)),
        "quiet": piece(np.full((100, 2), 1.0)),
        "off": piece(np.zeros((9, 2))),
    }
    plots.draw_results(tmp_path / "l.png", "", "", files, 1, lambda frames: frames[:, 0])
    strips = []
    for row in range(2):
        top = plots.ABOVE + 2 + row * (2 + plots.STRIP + plots.GAP)
        rows = slice(round(100 * top) + 1, round(100 * (top + plots.STRIP)) - 1)
        strips.append(count(pixels(tmp_path / "l.png")[rows, 200:800], plots.GREY))
    assert strips[0] > 600 * 25 and 0.4 < strips[1] / strips[0] < 0.6
    plots.draw_results(tmp_path / "m.png", "", "", files, 1, lambda frames: None)
    still = count(pixels(tmp_path / "m.png"), plots.GREY)
    moving = files | {"off": piece(np.random.default_rng(0).normal(size=(100, 2)))}
    plots.draw_results(tmp_path / "m.png", "", "", moving, 1)
    assert count(pixels(tmp_path / "m.png"), plots.GREY) > still + 1000
