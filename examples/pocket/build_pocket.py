"""The pocket model: a small codec behind the interface of a RAVE export, so that everything runs without a download.

`python examples/pocket/build_pocket.py examples/audio` fits it to the recordings in that folder and writes
`unravel_lib/models/pocket/pocket.ts`; `pocket_codec.py` is the model itself.
"""

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from scipy.signal import resample_poly

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from pocket_codec import DIMS, Pocket, overlap

from unravel_lib.files.atomic import atomic_write
from unravel_lib.models import POCKET

KEPT_OUT = ("guit_harmonics", "tabla_tun3")  # never fitted, so that the model can be judged on them
PITCHES = ((1, 1), (5, 6), (6, 5), (2, 3), (3, 2), (1, 2), (2, 1))  # resampling ratios to fit the recordings at


def recordings(folder: Path) -> Iterator[npt.NDArray[np.float64]]:
    """Yield all recordings in `folder` but KEPT_OUT, mixed to mono, each at all PITCHES."""
    for path in sorted(folder.glob("*.flac")):
        if path.stem not in KEPT_OUT:
            sound = soundfile.read(path, always_2d=True)[0].mean(axis=1)
            for up, down in PITCHES:
                yield resample_poly(sound, up, down)


def fit(model: Pocket, folder: Path) -> float:
    """Set the model's components from the recordings; the share of the features' variance that they explain."""
    columns = [model.features(torch.tensor(sound[None, None], dtype=torch.float32))[0] for sound in recordings(folder)]
    features: npt.NDArray[np.float64] = torch.cat(columns, 1).double().numpy()
    mean = features.mean(axis=1)
    values, vectors = np.linalg.eigh(np.cov(features))
    largest = np.argsort(values)[: -DIMS - 1 : -1]
    scale = np.sqrt(values[largest])
    vectors = vectors[:, largest]
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)  # mostly louder upwards; settles the sign
    model.mean.copy_(torch.from_numpy(mean))
    model.analysis.copy_(torch.from_numpy((vectors / scale).T))
    model.synthesis.copy_(torch.from_numpy(vectors * scale))
    return float(values[largest].sum() / values.sum())


def save(model: Pocket, target: Path) -> None:
    """Script the model and write it; the same bytes for the same model, with no trace of where it was built."""
    for scripted in (Pocket, overlap):  # their names in the file since version 1.0, so that its bytes stay the same
        scripted.__module__ = "unravel_lib.pocket_codec"
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model.eval()), buffer)
    with zipfile.ZipFile(buffer) as source, atomic_write(target) as part, zipfile.ZipFile(part, "w") as copy:
        for name in source.namelist():
            inner = "pocket/" + name.partition("/")[2]
            if not name.endswith(".debug_pkl"):  # these hold the path of this file
                copy.writestr(zipfile.ZipInfo(inner), source.read(name))


def build(folder: Path, target: Path = POCKET) -> float:
    """Fit the model to the recordings in `folder` and write it; the share of variance that its 8 dims explain."""
    model = Pocket()
    explained = fit(model, folder)
    save(model, target)
    return explained


def main() -> int:
    """Build the bundled model from the folder of recordings that is given; its path on stdout, as all scripts do."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print("usage: python build_pocket.py RECORDINGS", file=sys.stderr)
        return 2
    explained = build(Path(sys.argv[1]))
    print(POCKET)
    print(f"{DIMS} dims explain {explained:.1%} of the features' variance", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
