"""The commands that sidecars hold: their flags, as they are recorded, taken over, and shown for a shell.

A recorded command may be a stranger's: it is data. Only flags of our scripts that shape the content are known here.
"""

import re
import shlex
from collections.abc import Container, Sequence
from pathlib import Path

import unravel_lib
from unravel_lib.files.find import Source
from unravel_lib.files.sidecar import Sidecar
from unravel_lib.text import printable

OWN_CODE = ("distribution", "pattern", "transform")  # options that may run a Python file of the user's
PLACE = ("output", "run", "base")  # options that say where results go, under which names
_CODEC = ("input", "model", "device", "sample_rate", "seed", "compensate_delay")
SHAPING = {  # options of each script that shape the content; no other is recorded, taken over, or shown
    "encoder": _CODEC,
    "decoder": (*_CODEC, "condition", "subtype", "normalize", "max_gain", "loop", "fade"),
    "generator": (
        *("input", "statistics", "iqr", "sample_rate", "compression", "distribution", "distribution_args", "pattern"),
        *("pattern_args", "transform", "num_latents", "bpm", "seconds", "beats", "num_loops", "first", "seed"),
        *("input_loop", "embeddings", "wav_subtype", "hold", "steer", "target", "only", "weight"),
    ),
}


def script(name: str) -> str:
    """Return what runs one of our scripts: the path of the file beside this library, else its installed name."""
    path = Path(unravel_lib.__file__).resolve().parent.parent / f"{name}.py"
    return str(path) if path.is_file() else f"unravel-{name}"


def based(source: Source) -> tuple[str, ...]:
    """Return the flag that gives the result of one input the name that it has among others."""
    return ("--base", str(source.base)) if "/" in source.relative else ()


def option(word: str) -> str | None:
    """Return the option that a word of a command names, "seed" of "--seed" and "--seed=7"; None of a value."""
    if not word.startswith("-") or re.fullmatch(r"-\d+|-\d*\.\d+", word):  # as argparse tells numbers from flags
        return None
    return word.partition("=")[0].removeprefix("--")


def shaping(name: str, words: Sequence[str]) -> list[str]:
    """Return the part of a command that shapes the content."""
    kept, keep = [], False
    for word in words:
        given = option(word)
        keep = keep if given is None else given in SHAPING[name]
        kept += [word] if keep else []
    return kept


def values(words: Sequence[str], name: str) -> list[str]:
    """Return the values that a command gives an option."""
    found, last = [], None
    for word in words:
        given = option(word)
        last = last if given is None else given
        if last == name and (given is None or "=" in word):
            found.append(word if given is None else word.partition("=")[2])
    return found


def refusal(sidecar: Sidecar) -> str:
    """Return why the command of a file is not shown: it could do something else than make the file; "" if it is."""
    known = (*SHAPING.get(sidecar.kind, ()), *PLACE)
    strange = [word for word in sidecar.command if (given := option(word)) is not None and given not in known]
    if not sidecar.script or not sidecar.command:
        return "not recorded"
    if sidecar.script not in (script(sidecar.kind), f"unravel-{sidecar.kind}"):
        return f"not shown, as its script is none of this UnRAVEl: {printable(sidecar.script)}"
    if strange:
        return f"not shown, as it has a flag that makes no such file: {printable(strange[0])}"
    return "" if all(map(str.isprintable, sidecar.command)) else "not shown, as it has characters that do not print"


def shell_line(sidecar: Sidecar) -> str:
    """Return the command that makes a file again, for a shell in any folder; "" where there is a `refusal`."""
    python = ["python"] if str(sidecar.script).endswith(".py") else []
    return "" if refusal(sidecar) else shlex.join([*python, str(sidecar.script), *sidecar.command])


def own_code(words: Sequence[str], besides: Container[str] = ()) -> list[str]:
    """Return what a command takes from files of Python code, but for the options `besides`: ["/x/mine.py:gaps"]."""
    texts = (text for name in OWN_CODE if name not in besides for text in values(words, name))
    return [text for text in texts if ".py" in re.sub(r"['\"\\]", "", text)]  # a step may quote any part of a name
