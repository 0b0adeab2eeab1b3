"""What a straightforward script does, as a baseline for bench.py.

plain.py encode MODEL OUTPUT FILE...       the model loaded for each file, one call on the whole file
plain.py decode MODEL OUTPUT FILE...       likewise
plain.py generate PATTERN K R OUTPUT FILE...   a list of loops, one concatenate, a box plot and a line plot
plain.py statistics FILE...                np.concatenate of all latents
plain.py help                              all imports at the top, as scripts have them
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.stats
import soundfile
import torch
import torchaudio


def encode(model_path: str, output: str, *paths: str) -> None:
    for path in paths:
        model = torch.jit.load(model_path).eval()
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        x = torchaudio.functional.resample(torch.from_numpy(x.T), rate, 44100).mean(0, keepdim=True)
        with torch.no_grad():
            z = model.encode(x[None])
        np.save(Path(output) / f"{Path(path).stem}.npy", z.numpy())


def decode(model_path: str, output: str, *paths: str) -> None:
    for path in paths:
        model = torch.jit.load(model_path).eval()
        with torch.no_grad():
            y = model.decode(torch.from_numpy(np.load(path)))
        soundfile.write(Path(output) / f"{Path(path).stem}.wav", y[0].numpy().T, 44100, subtype="PCM_24")


def generate(pattern: str, k: str, r: str, output: str, *paths: str) -> None:
    n, repeats, rng = int(k), int(r), np.random.default_rng(42)
    latents = np.concatenate([np.load(path)[0] for path in paths], axis=1)
    mean, std = latents.mean(1), latents.std(1)
    pd.DataFrame({"mean": mean, "std": std}).to_csv(Path(output) / "statistics.csv")
    a, b = (np.stack([rng.normal(mean, std) for _ in range(n)]) for _ in range(2))
    loops = []
    if pattern == "loop":
        loops += [a] * repeats
    elif pattern == "blender":
        loops += [a.copy()] * repeats
        for frame in range(n):
            for dim in range(len(mean)):
                a[frame, dim] = b[frame, dim]
                loops += [a.copy()] * repeats
    else:
        for _ in range(n):
            frame, dim = rng.integers(n), rng.integers(len(mean))
            a[frame, dim], b[frame, dim] = b[frame, dim], a[frame, dim]
            loops += [a.copy()] * repeats
    result = np.concatenate(loops)
    soundfile.write(Path(output) / "result.wav", result, 21, subtype="DOUBLE", format="WAV")
    pictures(result, Path(output))


def pictures(result: np.ndarray, output: Path) -> None:
    for name, draw in {"boxes": plt.boxplot, "values": plt.plot}.items():
        plt.figure()
        draw(result)
        plt.savefig(output / f"{name}.png")
        plt.close()


def statistics(*paths: str) -> None:
    latents = np.concatenate([np.load(path)[0] for path in paths], axis=1).astype(np.float64)
    print(latents.mean(1)[0], np.cov(latents)[0, 0], np.quantile(latents, [0.25, 0.75], axis=1)[0, 0])
    print(scipy.stats.describe(latents[0]).mean)


if __name__ == "__main__":
    if sys.argv[1] != "help":
        globals()[sys.argv[1]](*sys.argv[2:])
