"""`make fuzz`, second half: damaged files and flags by atheris, which is guided by the lines that an input reaches."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS, MEGABYTES = 5, 2048


def fuzz(name: str, count: int) -> None:
    """Run one target in this process; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(
        include=["unravel_lib", "encoder", "decoder", "generator", "inspector", "argparse"]
    ):
        from inputs import TARGETS
    target, whole = TARGETS[name]
    with tempfile.TemporaryDirectory() as corpus:
        for index, data in enumerate(whole):
            Path(corpus, str(index)).write_bytes(data)
        limits = [
            f"-runs={count}",
            f"-timeout={SECONDS}",
            f"-rss_limit_mb={MEGABYTES}",
            "-max_len=4096",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *limits, corpus], target)
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=35_000, help="inputs in all")
    parser.add_argument("--target")
    args = parser.parse_args()
    if args.target:
        fuzz(args.target, args.count)
        return
    from inputs import TARGETS

    share = -(-args.count // len(TARGETS))
    for name in TARGETS:
        done = subprocess.run(
            [sys.executable, __file__, "--target", name, "--count", str(share)], stderr=subprocess.PIPE
        )
        if done.returncode:
            sys.exit(f"{name}:\n{done.stderr.decode(errors='replace')[-4000:]}")
        print(f"{name}: {share:,} inputs", flush=True)
    print(f"{share * len(TARGETS):,} inputs: no failure")


if __name__ == "__main__":
    main()
