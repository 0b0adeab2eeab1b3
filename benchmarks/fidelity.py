"""How true every distribution is to recordings: a table, and a picture of it. `make fidelity` runs it.

fidelity.py [--input ENCODINGS ...] [--picture FILE.png]     without --input: the bundled recordings, encoded here
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import unravel_lib as unravel  # noqa: E402
from unravel_lib.errors import UsageError  # noqa: E402
from unravel_lib.statistics.fidelity import REPORTED, Fidelity, ceiling, fidelity, floor  # noqa: E402
from unravel_lib.text import table  # noqa: E402

RINGS, FRAMES = 24, 256
DRAWN = ("marginal_ks", "autocorrelation", "step_cross_correlation", "step_ks", "nearest_neighbour", "coverage")


def encode_bundled(folder: Path) -> list[Path]:
    """Encode the bundled recordings with the pocket model."""
    command = [sys.executable, ROOT / "encoder.py", "--input", ROOT / "examples" / "audio", "--output", folder]
    subprocess.run(command, check=True, capture_output=True)
    return sorted(folder.glob("*.npy"))


def measure_all(paths: list[Path]) -> dict[str, Fidelity]:
    """Measure every distribution with its defaults, and the floor and the ceiling."""
    recorded = [unravel.read_latents(path) for path in paths]
    statistics = unravel.measure(paths, iqr=True)
    found = {"floor": floor(recorded, np.random.default_rng(0))}
    for name, entry in unravel.DISTRIBUTIONS.items():
        if entry.source is not None:
            continue
        try:
            rings = [unravel.draw(name, statistics, FRAMES, seed).T for seed in range(RINGS)]
        except UsageError as error:  # an excerpt cannot be longer than the recordings
            rings = [unravel.draw(name, statistics, FRAMES // 8, seed).T for seed in range(8 * RINGS)]
            print(f"{name}: {FRAMES // 8} frames instead of {FRAMES} ({error})", file=sys.stderr)
        found[name] = fidelity(rings, recorded, np.random.default_rng(0))
    found["ceiling"] = ceiling(recorded, np.random.default_rng(0))
    return found


def text(found: dict[str, Fidelity]) -> str:
    """The measures as a table, a column per distribution."""
    rows = [["", *found]]
    for name, form, label, _ in REPORTED:
        values = (getattr(one, name) for one in found.values())
        rows.append([label, *("-" if value is None else format(value, form) for value in values)])
    return table(rows)


def draw(found: dict[str, Fidelity], picture: Path) -> None:
    """Draw each distribution's distances between the floor (left) and the ceiling (right)."""
    from matplotlib.figure import Figure

    names = [name for name in found if name not in ("floor", "ceiling")]
    labels = {name: label for name, _, label, _ in REPORTED}
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, measure in zip(figure.subplots(2, 3, sharey=True).flat, DRAWN, strict=True):
        low, high = getattr(found["floor"], measure), getattr(found["ceiling"], measure)
        axes.axvspan(min(low, high), max(low, high), color="#eeeeee")
        axes.axvline(low, color="#2a7f3f", linewidth=2, label="floor: the recordings themselves")
        axes.axvline(high, color="#b03030", linewidth=2, label="ceiling: independent normal draws")
        axes.plot([getattr(found[name], measure) for name in names], range(len(names)), "o", color="#1f4e8c")
        axes.set(title=labels[measure], yticks=range(len(names)))
        axes.set_yticklabels(names)
        axes.grid(axis="y", color="#dddddd")
    figure.axes[0].invert_yaxis()
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(picture, dpi=100, metadata={"Software": None})


def main() -> None:
    """Print the table; draw the picture if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", help="encodings instead of those of the bundled recordings")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure_all(args.input or encode_bundled(Path(folder)))
    print(text(found))
    if args.picture:
        draw(found, args.picture)


if __name__ == "__main__":
    main()
