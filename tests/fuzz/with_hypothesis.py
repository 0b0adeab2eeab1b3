"""`make fuzz`, first half: hypothesis cuts, extends and overwrites valid files and flags."""

import argparse
import faulthandler
import resource
import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from inputs import TARGETS

SECONDS = 5
BYTES = 2 << 30
SLOW = 8  # as many times fewer inputs where whole sounds are read
# Numbers at the limits of header fields.
BOUNDS = [
    n.to_bytes(4, order) for n in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 20) for order in ("little", "big")
]


@st.composite
def broken(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """Draw a valid file with up to four changes."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["cut", "drop", "put", "bound", "digit"]))
        if kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 16))]
        elif kind == "put":
            data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=16))
        elif kind == "bound":
            data[at : at + 4] = draw(st.sampled_from(BOUNDS))
        else:
            data[at:at] = str(draw(st.integers(-(10**20), 10**20))).encode()
    return bytes(data)


def fuzz(name: str, count: int, number: int) -> float:
    """Run one target `count` times; return the seconds of the slowest input."""
    target, whole = TARGETS[name]
    slowest = 0.0

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.one_of(broken(whole), broken(whole), broken(whole), st.binary(max_size=400)))
    def check(data: bytes) -> None:
        nonlocal slowest
        began = time.monotonic()
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True, file=sys.stderr)  # for a hang inside a C library
        target(data)
        faulthandler.cancel_dump_traceback_later()
        took = time.monotonic() - began
        slowest = max(slowest, took)
        assert took < SECONDS, f"{took:.1f} s"

    run: Callable[[], None] = check
    run()
    return slowest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000, help="inputs in all")
    parser.add_argument("--target", help="one alone")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    total, names = 0, [args.target] if args.target else list(TARGETS)
    for name in names:
        share = -(-args.count // len(names) // (SLOW if name == "damaged sound" else 1))
        began = time.monotonic()
        slowest = fuzz(name, share, args.seed)
        total += share
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{name}: {share:,} inputs in {time.monotonic() - began:.0f} s, slowest {slowest:.2f} s, peak memory "
            f"{peak >> 20} MiB",
            flush=True,
        )
        if peak > BYTES:
            sys.exit(f"{name} took more than 2 GB")
    print(f"{total:,} inputs: no failure")


if __name__ == "__main__":
    main()
