"""Draw the pictures of the README from real data: bundled recordings, the pocket model, the catalogue of patterns.

Run it by `make figures`. Same recordings, same model, same libraries: same pictures. It prints their paths.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from unravel_lib.audio.blocks import resampled, to_channels  # noqa: E402
from unravel_lib.audio.read import open_audio  # noqa: E402
from unravel_lib.latents.formats import save_latents  # noqa: E402
from unravel_lib.models import model  # noqa: E402
from unravel_lib.music import distributions  # noqa: E402
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS  # noqa: E402
from unravel_lib.music.patterns import Piece, loops_of  # noqa: E402
from unravel_lib.music.steps import parse_step, transformed  # noqa: E402
from unravel_lib.statistics import measure  # noqa: E402
from unravel_lib.statistics.measure import Statistics  # noqa: E402

Array = npt.NDArray[np.float64]

PICTURES = ROOT / "examples" / "pictures"
RECORDING = ROOT / "examples" / "audio" / "loop_compus.flac"
SPECTROGRAM_OF = ROOT / "examples" / "audio" / "guit_e_slide.flac"
PIECE = ROOT / "examples" / "sounds" / "tutorial" / "piece.mp3"
PARTS = ("rest to rhythm", "rhythm", "rhythm to beat", "beat", "beat to rest")
SEED = 42
DPI = 200  # wide pictures are shown at half their size or less
SMALL_DPI = 125
COLOURS = 256  # in a PNG's palette
MAP = "RdBu_r"  # as in the pictures of generator.py
LIMIT = 2.2  # standard deviations at which the colours end
INK, GREY = "#222222", "#777777"


@contextmanager
def picture(name: str, width: float, height: float, dpi: int) -> Iterator[Figure]:
    """Yield a figure of so many inches, saved as a PNG with a palette, which is small and has no date in it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc("text", color=INK)
        figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        yield figure
        canvas.draw()  # type: ignore[no-untyped-call]
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    path = PICTURES / f"{name}.png"
    pixels.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path)


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def heat_map(axes: Axes, frames: Array) -> None:
    """Dims from top to bottom, frames from left to right; NaN is white like the paper."""
    axes.imshow(frames.T, MAP, vmin=-LIMIT, vmax=LIMIT, aspect="auto", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def overview(frames: Array, loop: Array, pattern: Array) -> None:
    """From latents to a pattern, for the first screen."""
    with picture("overview", 9.2, 1.95, DPI) as figure:
        for left, width, values, title, below in (
            (0.25, 3.3, frames, "latents of a recording", f"{len(frames)} frames x {frames.shape[1]} dims"),
            (4.05, 0.62, loop, "a loop", f"{len(loop)} frames"),
            (5.2, 3.9, with_gaps(pattern, orale_blocks(len(loop)), 2, 5), "the loop in a pattern: orale", ""),
        ):
            axes = place(figure, left, 0.35, width, 1.3)
            heat_map(axes, values)
            axes.set_title(title, fontsize=10, loc="left", pad=7)
            axes.set_xlabel(below, fontsize=8, color=GREY, loc="left", labelpad=5)
        place_letters(axes, orale_blocks(len(loop)), 2, 5, below=True)
        for left, text in ((3.65, "measure,\ndraw"), (4.77, "arrange")):
            figure.text((left + 0.15) / 9.2, 1.0 / 1.95, "\N{RIGHTWARDS ARROW}", fontsize=15, ha="center", va="center")
            figure.text((left + 0.15) / 9.2, 0.78 / 1.95, text, fontsize=6.5, ha="center", va="top", color=GREY)
        figure.axes[0].set_ylabel("dim", fontsize=8, color=GREY, labelpad=4)


Blocks = Sequence[tuple[int, str, bool]]  # length in frames, letter, whether a group ends behind it


def orale_blocks(length: int) -> Blocks:
    """AAAa AAAa AAAa and all that changed: the fourth of four, and the fourth of four such fours."""
    return [(length, ("a" if i % 4 == 3 else "A") + ("'" if i >= 12 else ""), i % 4 == 3) for i in range(16)]


def with_gaps(frames: Array, blocks: Blocks, gap: int, group_gap: int) -> Array:
    """Cut a long array into blocks with white between them."""
    parts, start = [], 0
    for length, _, ends in blocks:
        white = np.full((group_gap if ends else gap, frames.shape[1]), np.nan)
        parts += [frames[start : start + length], white]
        start += length
    return np.concatenate(parts[:-1])


def place_letters(axes: Axes, blocks: Blocks, gap: int, group_gap: int, below: bool = False) -> None:
    """Write each block's letter over (or under) its middle; a letter per frame each over its own."""
    height, align = (-0.06, "top") if below else (1.05, "bottom")
    start = 0
    for length, letters, ends in blocks:
        one_each = len(letters) == length
        middles = range(start, start + length) if one_each else [start + length / 2 - 0.5]
        for middle, text in zip(middles, letters if one_each else [letters], strict=True):
            axes.text(
                middle,
                height,
                text,
                transform=axes.get_xaxis_transform(),
                fontsize=6 if one_each else 8,
                ha="center",
                va=align,
            )
        start += length + (group_gap if ends else gap)


def arranged(name: str, material: dict[str, Any], **options: Any) -> Array:
    """Run a pattern of the catalogue: a long array."""
    loops = loops_of(PATTERNS[name], PATTERNS[name].complete(options), **material)
    return Piece.of(loops, len(material["std"])).frames


def small(
    name: str, frames: Array, blocks: Blocks, gap: int = 1, group_gap: int = 3, before: Array | None = None
) -> None:
    """Draw one pattern, all in one size: its blocks with their letters.

    With `before`, the loop it starts from, each value is marked that differs from the block before.
    """
    with picture(name, 3.6, 1.0, SMALL_DPI) as figure:
        axes = place(figure, 0.05, 0.06, 3.5, 0.7)
        heat_map(axes, with_gaps(frames, blocks, gap, group_gap))
        place_letters(axes, blocks, gap, group_gap)
        if before is not None:
            mark_changes(axes, np.concatenate([before, frames]), blocks, gap, group_gap)


def mark_changes(axes: Axes, frames: Array, blocks: Blocks, gap: int, group_gap: int) -> None:
    """Draw a box around each value that differs from the block before; `frames` has a block more, before the first."""
    start = column = 0
    for length, _, ends in blocks:
        changes = frames[start + length : start + 2 * length] != frames[start : start + length]
        for frame, dim in np.argwhere(changes):
            box = Rectangle((column + frame - 0.5, dim - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=0.9)
            axes.add_patch(box)
        start += length
        column += length + (group_gap if ends else gap)


def catalogue(statistics: Statistics) -> None:
    """Draw a small picture of every pattern."""

    def material(length: int, n_loops: int) -> dict[str, Any]:
        seeds = np.random.SeedSequence(SEED).spawn(3)
        loops = [drawn(statistics, length, seed) for seed in seeds[:2]]
        return {"loops": loops.__getitem__, "n_loops": n_loops, "std": np.ones(statistics.dims), "seed": seeds[2]}

    small("loop", arranged("loop", material(8, 6)), [(8, "A", False)] * 6)
    beginnings = [(n, "ABCDEFGH"[:n], n == 8) for n in (1, 2, 3, 5, 8)]
    small("fibo", arranged("fibo", material(8, 2)), beginnings * 2, gap=2, group_gap=4)
    small("orale", arranged("orale", material(8, 1), levels=2), orale_blocks(8))
    states = 4 * statistics.dims + 1
    ends = {0: "A", states - 1: "B"}
    four, eight = material(4, 1), material(8, 2)
    blended = arranged("blender", four, direction="forward")
    small("blender", blended, [(4, ends.get(i, ""), False) for i in range(states)], before=four["loops"](0))
    counted = [(8, str(i // 2 + 1) if i % 2 == 0 else "", i % 2 == 1) for i in range(16)]
    small("swapper", arranged("swapper", eight), counted, before=eight["loops"](0))
    small("form", arranged("form", material(8, 1)), [(8, letter, False) for letter in "AABA"])
    small("morph", arranged("morph", material(8, 1)), [(8, {0: "A", 4: "B"}.get(i, ""), False) for i in range(5)])


STEPS = (
    ("", "rev", "palindrome", "rot 3", "ply 2"),
    ("take 4", "drop 4", "iter 4", "phase 1", "cycle 3"),
    ("chop 4", "scramble 4", "euclid 3 8", "sieve 3@0|5@2", "degrade 0.4"),
    ("invert", "scale 2", "shift 1", "smooth 3", "lfo sine 0.5 2"),
    ("echo 2 0.8", "every 2 rev", "sometimes 0.5 rev", "dims 0-3 rev", "dims 4-7 phase 1"),
)
LOOPS, COLUMNS = 4, 36  # how many loops a picture of a step shows, as far as they fit into so many frames


def transforms(statistics: Statistics) -> None:
    """Draw what each transform makes of the same loop, played several times."""
    loop = drawn(statistics, 8, np.random.SeedSequence(SEED))
    at, seed = (np.ones(statistics.dims), np.zeros(statistics.dims)), np.random.SeedSequence(SEED)
    width, height, above = 1.72, 0.5, 0.3
    with picture("transforms", len(STEPS[0]) * (width + 0.1), len(STEPS) * (height + above) + 0.05, DPI) as figure:
        for row, texts in enumerate(STEPS):
            for column, text in enumerate(texts):
                loops = list(transformed([loop] * LOOPS, [parse_step(text)] if text else [], *at, seed))
                while sum(map(len, loops)) + len(loops) - 1 > COLUMNS:
                    loops.pop()
                gap = [np.full((1, statistics.dims), np.nan)]
                bottom = (len(STEPS) - 1 - row) * (height + above) + 0.05
                axes = place(figure, 0.05 + column * (width + 0.1), bottom, width, height)
                heat_map(axes, np.concatenate([part for one in loops for part in (one, *gap)][:-1]))
                axes.set_xlim(-0.5, COLUMNS - 0.5)
                axes.set_title(text or "(the loop)", fontsize=7.5, loc="left", pad=3, family="monospace")


def drawn(statistics: Statistics, length: int, seed: np.random.SeedSequence) -> Array:
    """Draw a loop of `length` frames in standard deviations from the mean, so that all dims use all colours."""
    given: dict[str, Any] = {"statistics": statistics, "n_frames": length, "wishes": {}, "target": None}
    return standard(distributions.drawn(DISTRIBUTIONS["walk"], {}, seed, **given), statistics)


def standard(frames: Array, statistics: Statistics) -> Array:
    """Convert values to standard deviations from the mean."""
    return (frames - statistics.location) / statistics.scale


def spectrogram(axes: Axes, sound: npt.NDArray[np.float32], rate: float) -> None:
    """Loudness in dB over time and, on a logarithmic scale, frequency; the range is 70 dB."""
    n_fft, hop, bands = 4096, 1024, 110
    window = scipy.signal.windows.hann(n_fft)
    level = np.abs(scipy.signal.ShortTimeFFT(window, hop, rate).stft(np.asarray(sound, np.float64)))
    edges = np.geomspace(60, 16000, bands + 1) * n_fft / rate
    places = np.sqrt(edges[:-1] * edges[1:])
    low = places.astype(int)
    part = (places - low)[:, None]
    decibels = 20 * np.log10(level[low] * (1 - part) + level[low + 1] * part + 1e-9)
    top = decibels.max()
    extent = (0, len(sound) / rate, 0, bands)
    axes.imshow(decibels, "magma", vmin=top - 70, vmax=top, origin="lower", aspect="auto", extent=extent)
    for tick in (100, 1000, 10000):
        axes.axhline(np.log(tick / 60) / np.log(16000 / 60) * bands, color="white", alpha=0.25, linewidth=0.5)
    ticks = [np.log(tick / 60) / np.log(16000 / 60) * bands for tick in (100, 1000, 10000)]
    axes.set_yticks(ticks, ["100 Hz", "1 kHz", "10 kHz"])
    axes.tick_params(labelsize=8, color=GREY, labelcolor=GREY, length=2)
    axes.set_xlabel("seconds", fontsize=8, color=GREY)
    axes.spines[:].set_visible(False)


def pocket_spectrograms(pocket: model.Model) -> None:
    """Spectrograms of a recording and of its way through the model."""
    sound = read(SPECTROGRAM_OF, pocket)
    (latents,) = encoded([sound], pocket)
    blocks = pocket.decode([np.ascontiguousarray(latents.T, np.float32)], SEED, "figures")
    decoded = np.concatenate(list(blocks), axis=1)[0, : sound.shape[1]]
    with picture("pocket", 9.2, 2.7, 130) as figure:
        for left, title, values in ((0.65, f"{SPECTROGRAM_OF.name}", sound[0]), (5.05, "encoded and decoded", decoded)):
            axes = place(figure, left, 0.5, 4.0, 1.85)
            spectrogram(axes, values, pocket.sample_rate)
            axes.set_title(title, fontsize=10, loc="left")
        axes.set_yticklabels([])


def tutorial_piece() -> None:
    """Spectrogram of the piece of docs/tutorial.md with its parts, from the sound that sounds.py renders."""
    sound, rate = soundfile.read(PIECE, dtype="float32")
    with picture("piece", 9.2, 2.35, 130) as figure:
        axes = place(figure, 0.65, 0.45, 8.4, 1.55)
        spectrogram(axes, sound, rate)
        for number, name in enumerate(PARTS):
            start = number * len(sound) / rate / len(PARTS)
            axes.axvline(start, color="white", linewidth=0.8)
            axes.text(start, 1.04, f"{number + 1}  {name}", transform=axes.get_xaxis_transform(), fontsize=9)


def read(path: Path, pocket: model.Model) -> npt.NDArray[np.float32]:
    """Read a recording at the model's rate, [channels, samples]."""
    with open_audio(path) as sound:
        mixed = to_channels(sound.blocks(), pocket.in_channels)
        return np.concatenate(list(resampled(mixed, sound.sample_rate, pocket.sample_rate)), axis=1)


def encoded(sounds: Sequence[npt.NDArray[np.float32]], pocket: model.Model) -> list[Array]:
    """Encode sounds: latents [frames, dims] each."""
    return [np.concatenate(list(pocket.encode([s], SEED, "figures")), axis=1).T.astype(np.float64) for s in sounds]


def main() -> None:
    """Draw all pictures."""
    PICTURES.mkdir(exist_ok=True)
    pocket = model.load()
    (frames,) = encoded([read(RECORDING, pocket)], pocket)
    with TemporaryDirectory() as folder:
        save_latents(Path(folder) / "latents.npy", frames.T)
        statistics = measure.measure([Path(folder) / "latents.npy"])
        seeds = np.random.SeedSequence(SEED).spawn(2)
        loop = drawn(statistics, 11, seeds[0])
        material = {"loops": lambda which: loop, "n_loops": 1, "std": np.ones(statistics.dims), "seed": seeds[1]}
        overview(standard(frames, statistics), loop, arranged("orale", material, levels=2))
        catalogue(statistics)
        transforms(statistics)
    pocket_spectrograms(pocket)
    tutorial_piece()


if __name__ == "__main__":
    logging.getLogger("unravel_lib").setLevel(logging.ERROR)
    main()
