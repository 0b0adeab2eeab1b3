"""Speed of the bare model in seconds of sound per second, without I/O: ceiling.py MODEL encode|decode.

The best chunk and batch are found by a search and measured again, since the highest of many noisy values is too high.
"""

import itertools
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from unravel_lib.cli import run as process

process.tune()
import torch  # noqa: E402

RATE, COMPRESSION = 44100, 2048
CHUNKS = itertools.product((False, True), (1, 2, 4), (2.5, 5.0, 10.0, 20.0))  # profiling executor, batch, seconds


def main(path: str, method: str) -> None:
    torch.set_grad_enabled(False)
    model = torch.jit.load(path).eval()
    best = max(CHUNKS, key=lambda chunk: speed(model, method, *chunk, total=30))
    print(speed(model, method, *best, total=120))


def speed(model: torch.jit.ScriptModule, method: str, optimised: bool, batch: int, seconds: float, total: int) -> float:
    """Return seconds of sound per second, over at least `total` seconds of sound in calls of one shape."""
    frames = round(seconds * RATE / COMPRESSION)
    dims = int(model.decode_params[0])
    x = 0.1 * torch.randn((batch, 1, frames * COMPRESSION) if method == "encode" else (batch, dims, frames))
    calls = max(2, round(total / (batch * seconds)))
    with torch.jit.optimized_execution(optimised):
        run = getattr(model, method)
        run(x)
        run(x)
        start = time.perf_counter()
        for _ in range(calls):
            run(x)
        taken = time.perf_counter() - start
    return calls * batch * frames * COMPRESSION / RATE / taken


if __name__ == "__main__":
    main(*sys.argv[1:])
