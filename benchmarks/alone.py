"""Seconds that the model alone takes for the sounds or latents of some files: alone.py encode|decode MODEL FILE...

Loaded once, memory tuned as in the scripts, on noise of the same lengths in calls of at most 20 s: no start, no files,
no context, no probing. No script that runs this model can be faster.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from unravel_lib.cli import run as process

process.tune()
import torch  # noqa: E402

RATE, COMPRESSION = 44100, 2048
CALL_FRAMES = round(20 * RATE / COMPRESSION)


def frames(path: str) -> int:
    """Return the length of a sound at 44.1 kHz, or of latents, in frames."""
    if path.endswith(".npy"):
        return int(np.load(path, mmap_mode="r").shape[2])
    return math.ceil(soundfile.info(path).frames / COMPRESSION)


def main(method: str, model_path: str, *paths: str) -> None:
    torch.set_grad_enabled(False)
    model = torch.jit.load(model_path).eval()
    channels, samples = (1, COMPRESSION) if method == "encode" else (int(model.decode_params[0]), 1)
    with torch.jit.optimized_execution(False):
        call = getattr(model, method)
        call(torch.zeros(1, channels, 8 * samples))
        start = time.perf_counter()
        for path in paths:
            left = frames(path)
            while left:
                n = min(left, CALL_FRAMES)
                call(0.1 * torch.randn(1, channels, n * samples))
                left -= n
        print(time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
