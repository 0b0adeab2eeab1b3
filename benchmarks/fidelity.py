"""How true every distribution is to recordings, in numbers and in the ear; a picture of it. `make fidelity` runs it.

fidelity.py [--input ENCODINGS ...] [--model MODEL.ts] [--picture FILE.png]

Without --input the bundled recordings are encoded here. Every second recording is drawn from, and the draws are
compared with the others, unseen before; a recording of more than 6 s with a period is cut in two halves instead.
The floor is the one half of the recordings against the other, the ceiling independent normal draws.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import heard  # noqa: E402

import unravel_lib as unravel  # noqa: E402
from unravel_lib.errors import UsageError  # noqa: E402
from unravel_lib.models.model import Model  # noqa: E402
from unravel_lib.music.catalogue import DISTRIBUTIONS  # noqa: E402
from unravel_lib.music.recordings import GOLDEN, Recordings, period_of  # noqa: E402
from unravel_lib.statistics.fidelity import Fidelity, fidelity  # noqa: E402
from unravel_lib.statistics.measure import Encoding, Statistics  # noqa: E402
from unravel_lib.text import table  # noqa: E402

Array = npt.NDArray[np.float64]
Draw = Callable[[int, int, bool], Array]  # number, frames, whether in time -> [frames, dims]

RING_SECONDS, HEARD_SECONDS = 3.0, 12.0
SHORT_FRAMES = (11, 21, 43)  # at 21.5 frames a second: half a second, one, two
TEMPI = ((120, 4), (97, 4), (140, 8))  # BPM, beats of a loop
N_HEARD, N_SHORT = 8, 40
LEAST_STEADY = 0.5  # of a recording that is taken to have a beat
WITHOUT_FIT = ("floor", "ceiling")


def halves(statistics: Statistics) -> tuple[Statistics, list[Array], list[Encoding]]:
    """What is drawn from; the latents that were kept from it; and both halves of rhythmic recordings, in turn."""
    rate = statistics.frame_rate or 44100 / 2048
    recordings = Recordings(statistics)
    known, unseen, rhythmic = [], [], []
    for number, recording in enumerate(recordings):  # loops have none of the silence around it
        encoding = Encoding((recording.frames * recordings.scale).T, recording.descriptors, recording.name)
        n = encoding.latents.shape[1]
        if recording.period is not None and n > 6 * rate:
            first = None if encoding.descriptors is None else encoding.descriptors[:, : n // 2]
            known.append(Encoding(encoding.latents[:, : n // 2], first, encoding.name))
            rhythmic += [known[-1], Encoding(encoding.latents[:, n // 2 :], None, encoding.name)]
            unseen.append(encoding.latents[:, n // 2 :])
        elif number % 2:
            known.append(encoding)
        else:
            unseen.append(encoding.latents)
    return unravel.measure(known, True, rate), unseen, rhythmic


def whole(one: Encoding, other: Encoding) -> Array:
    """The frames of both halves of a recording."""
    return np.concatenate([one.latents.T, other.latents.T])


def with_a_beat(model: Model, rhythmic: list[Encoding]) -> list[Encoding]:
    """Those whose sound keeps a beat: a period of the latents may be a slow wave of a drone."""
    kept: list[Encoding] = []
    for pair in zip(rhythmic[::2], rhythmic[1::2], strict=True):
        if heard.steadiness(heard.rhythms(looped(model, whole(*pair)), model.sample_rate)) > LEAST_STEADY:
            kept += pair
    return kept


def drawing(name: str, statistics: Statistics) -> Draw:
    """Draw as generator.py does for file `number` of a run."""

    def draw(number: int, n_frames: int, in_time: bool) -> Array:
        return unravel.draw(name, statistics, n_frames, number, place=number * GOLDEN % 1, in_time=in_time)

    return draw


def looped(model: Model, frames: Array) -> Array:
    """The sound of a loop in the middle of itself, mono."""
    around = max(1, 12288 // model.compression)
    sound = unravel.decode(model, frames[np.arange(-around, len(frames) + around) % len(frames)].T).mean(axis=0)
    return sound[around * model.compression : (around + len(frames)) * model.compression].astype(np.float64)


def heard_of(model: Model, statistics: Statistics, rhythmic: list[Encoding], draw: Draw, name: str) -> dict[str, float]:
    """Judge loops by ear: see `heard`; what needs a rhythm is drawn from rhythmic recordings only."""
    rate, sample_rate = statistics.frame_rate or 21.5, model.sample_rate
    found: dict[str, float] = {}
    short = [[draw(i, max(1, round(n / 21.5 * rate)), False) for i in range(N_SHORT)] for n in SHORT_FRAMES]
    for n, loops in zip(SHORT_FRAMES, short, strict=True):
        found[f"silent, {n} frames"] = float(np.mean([heard.is_silent(looped(model, z), sample_rate) for z in loops]))
    long = [looped(model, draw(i, round(HEARD_SECONDS * rate), False)) for i in range(N_HEARD)]
    found["distinct"] = heard.distinct(long, sample_rate)
    if not rhythmic:
        return found
    first, second = rhythmic[::2], rhythmic[1::2]
    unseen = [r for half in second for r in heard.rhythms(looped(model, half.latents.T), sample_rate)]
    of_rhythm = unravel.measure(first, True, rate)
    beating = drawing(name, of_rhythm)
    sounds = [looped(model, beating(i, round(HEARD_SECONDS * rate), False)) for i in range(N_HEARD)]
    windows = [heard.rhythms(x, sample_rate) for x in sounds]
    found["beat"] = heard.beat_distance([r for each in windows for r in each], unseen)
    found["steady"] = float(np.nanmean([heard.steadiness(each) for each in windows]))
    found["change of loudness, dB"] = float(np.nanmean([heard.change_of_loudness(x, sample_rate) for x in sounds]))
    for bpm, beats in TEMPI:
        n = max(1, round(60 / bpm * beats * rate))
        loops = [looped(model, beating(i, n, True)) for i in range(N_HEARD)]
        found[f"divides, {beats} beats at {bpm}"] = float(np.mean([heard.division(x, sample_rate) for x in loops]))
    return found


def measure_all(paths: list[Path], model: Model) -> tuple[dict[str, Fidelity], dict[str, dict[str, float]]]:
    """Measure every distribution with its defaults, and the floor and the ceiling: latents, and what is heard."""
    statistics, unseen, rhythmic = halves(unravel.measure(paths, True))
    rhythmic = with_a_beat(model, rhythmic)
    rate = statistics.frame_rate or 21.5
    known = [encoding.latents for encoding in statistics.encodings]
    of_latents = {"floor": fidelity(known, unseen, np.random.default_rng(0))}
    of_sound: dict[str, dict[str, float]] = {}
    for name, entry in DISTRIBUTIONS.items():
        if entry.source is not None or "target" in entry.inputs:
            continue
        draw, n = drawing(name, statistics), max(4, round(RING_SECONDS * rate))
        try:
            rings = [draw(i, n, False).T for i in range(max(8, sum(z.shape[1] for z in known) // n))]
            of_latents[name] = fidelity(rings, unseen, np.random.default_rng(0))
            of_sound[name] = heard_of(model, statistics, rhythmic, draw, name)
        except UsageError as error:  # an excerpt cannot be longer than the recordings
            print(f"{name}: {error}", file=sys.stderr)
    rng, everything = np.random.default_rng(0), np.concatenate(known, axis=1)
    mean, spread = everything.mean(axis=1, keepdims=True), everything.std(axis=1, keepdims=True)
    noise = [mean + spread * rng.standard_normal(z.shape) for z in known]
    of_latents["ceiling"] = fidelity(noise, unseen, np.random.default_rng(0))
    of_sound |= recorded_and_shuffled(model, rhythmic)
    return of_latents, of_sound


def recorded_and_shuffled(model: Model, rhythmic: list[Encoding]) -> dict[str, dict[str, float]]:
    """What the measures of rhythm say about the recordings themselves, and about their frames in random order."""
    if not rhythmic:
        return {}
    rng, rate = np.random.default_rng(0), model.sample_rate
    unseen = [r for half in rhythmic[1::2] for r in heard.rhythms(looped(model, half.latents.T), rate)]
    found = {}
    for name in ("floor", "ceiling"):
        recordings = [whole(*pair) for pair in zip(rhythmic[::2], rhythmic[1::2], strict=True)]
        sounds = [looped(model, z if name == "floor" else z[rng.permutation(len(z))]) for z in recordings]
        firsts = [x[: half.latents.shape[1] * model.compression] for x, half in zip(sounds, rhythmic[::2], strict=True)]
        found[name] = {
            "beat": heard.beat_distance([r for x in firsts for r in heard.rhythms(x, rate)], unseen),
            "steady": float(np.mean([heard.steadiness(heard.rhythms(x, rate)) for x in sounds])),
            "change of loudness, dB": float(np.nanmean([heard.change_of_loudness(x, rate) for x in sounds])),
            "divides, whole periods": float(np.mean([heard.division(x, rate) for x in bars(model, rhythmic, name)])),
        }
    return found


def bars(model: Model, rhythmic: list[Encoding], name: str) -> list[Array]:
    """Loops of whole periods of the recordings, about 2 s each; with their frames in random order for the ceiling."""
    rng, rate, loops = np.random.default_rng(0), model.sample_rate / model.compression, []
    for encoding in rhythmic[::2]:
        frames = encoding.latents.T.astype(np.float64)
        period = period_of(frames / np.maximum(frames.std(axis=0), 1e-9), rate)
        if period is not None:
            bar = frames[: round(period * max(1, round(2 * rate / period)))]
            loops.append(looped(model, bar if name == "floor" else bar[rng.permutation(len(bar))]))
    return loops


def latents_text(found: dict[str, Fidelity]) -> str:
    """The measures of latents as a table, a column per distribution."""
    rows = [["", *found]]
    for measure in fields(Fidelity):
        label, form, _ = measure.metadata["line"]
        values = (getattr(one, measure.name) for one in found.values())
        rows.append([label, *("-" if value is None else format(value, form) for value in values)])
    return table(rows)


def sound_text(found: dict[str, dict[str, float]]) -> str:
    """What is heard as a table, a column per distribution."""
    labels = list(dict.fromkeys(label for values in found.values() for label in values))
    rows = [["", *found]]
    rows += [
        [label, *(f"{values[label]:.2f}" if label in values else "-" for values in found.values())] for label in labels
    ]
    return table(rows)


PANELS = (  # what is drawn: of latents or of sound, and its label
    ("latents", "nearest_neighbour", "windows told apart (0.5: not at all)"),
    ("latents", "coverage", "recorded frames reached"),
    ("latents", "autocorrelation", "another correlation over time"),
    ("sound", "beat", "another beat than recorded"),
    ("sound", "steady", "one beat from start to end"),
    ("sound", "change of loudness, dB", "change of loudness within 1.6 s, dB"),
)


def draw_picture(of_latents: dict[str, Fidelity], of_sound: dict[str, dict[str, float]], picture: Path) -> None:
    """Draw each distribution's measures, with the recordings themselves (floor) on the left."""
    from matplotlib.figure import Figure

    names = [name for name in of_latents if name not in WITHOUT_FIT]
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    for axes, (kind, measure, label) in zip(figure.subplots(2, 3, sharey=True).flat, PANELS, strict=True):

        def value(name: str, kind: str = kind, measure: str = measure) -> float:
            if kind == "latents":
                found = getattr(of_latents[name], measure)
                return np.nan if found is None else float(found)
            return of_sound.get(name, {}).get(measure, np.nan)

        floor, ceiling = value("floor"), value("ceiling")
        axes.axvspan(min(floor, ceiling), max(floor, ceiling), color="#eeeeee")
        axes.axvline(floor, color="#2a7f3f", linewidth=2, label="floor: recordings against recordings")
        axes.axvline(ceiling, color="#b03030", linewidth=2, label="ceiling: independent draws, shuffled frames")
        axes.plot([value(name) for name in names], range(len(names)), "o", color="#1f4e8c")
        axes.set(title=label, yticks=range(len(names)))
        axes.set_yticklabels(names)
        axes.grid(axis="y", color="#dddddd")
        if floor > ceiling:
            axes.invert_xaxis()
    figure.axes[0].invert_yaxis()
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(picture, dpi=100, metadata={"Software": None})


def main() -> None:
    """Print the tables; draw the picture if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", help="encodings instead of those of the bundled recordings")
    parser.add_argument("--model", type=Path, help="the model that they were encoded with, not the pocket model")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.input is None:
            command = [sys.executable, ROOT / "encoder.py", "--input", ROOT / "examples" / "audio", "--output", folder]
            subprocess.run(command, check=True, capture_output=True)
        of_latents, of_sound = measure_all(args.input or [Path(folder)], unravel.load_model(args.model))
    print(latents_text(of_latents), sound_text(of_sound), sep="\n\n")
    if args.picture:
        draw_picture(of_latents, of_sound, args.picture)


if __name__ == "__main__":
    main()
