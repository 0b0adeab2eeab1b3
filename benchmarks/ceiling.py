"""The ceiling: raw model throughput in seconds of sound per second, best chunk and batch found by search, no I/O.

ceiling.py MODEL encode|decode
"""

import sys
import time

import torch

RATE, COMPRESSION, SECONDS = 44100, 2048, 60


def main(path: str, method: str) -> None:
    torch.set_grad_enabled(False)
    model = torch.jit.load(path).eval()
    dims = int(model.decode_params[0])
    best = 0.0
    for optimised in (False, True):
        with torch.jit.optimized_execution(optimised):
            for batch in (1, 2, 4):
                for seconds in (2.5, 5, 10, 20):
                    frames = round(seconds * RATE / COMPRESSION)
                    shape = (batch, 1, frames * COMPRESSION) if method == "encode" else (batch, dims, frames)
                    x = 0.1 * torch.randn(shape)
                    run = getattr(model, method)
                    run(x)
                    run(x)
                    calls = max(1, round(SECONDS / (batch * seconds)))
                    start = time.perf_counter()
                    for _ in range(calls):
                        run(x)
                    speed = calls * batch * frames * COMPRESSION / RATE / (time.perf_counter() - start)
                    best = max(best, speed)
    print(best)


if __name__ == "__main__":
    main(*sys.argv[1:])
