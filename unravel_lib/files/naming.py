"""Names of results: they depend only on an input's path below `input`, so every machine gives the same ones."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from unravel_lib.errors import InputError
from unravel_lib.files.atomic import NAME_BYTES, PART_SUFFIX, cut
from unravel_lib.files.find import Source, composed
from unravel_lib.text import printable

EMBEDDINGS = "_embeddings"  # ends the names of latents files that generator.py makes; other results leave it out
DIGITS = 8  # of the hash in a name
MOST_DIGITS = 64  # all of SHA-256


def output_name(prefix: str, stem: str, key: str, suffix: str, digits: int = DIGITS) -> str:
    """Return `prefix--<stem>--<first hex digits of the SHA-256 of the key><suffix>`.

    The stem is cut so that the name fits; its characters that do not print become "_". Stem and key are composed.
    """
    stem, key = composed(stem), composed(key)
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()[:digits]
    free = NAME_BYTES - len(f"{prefix}----{digest}{suffix}.") - len(PART_SUFFIX) - 10  # what the part file adds
    text = os.fsencode(cut(stem, free)).decode()
    text = "".join(c if c.isprintable() else "_" for c in text)
    return f"{prefix}--{os.fsdecode(text.encode())}--{digest}{suffix}"


def result_name(source: Source, prefix: str, suffix: str, digits: int = DIGITS) -> str:
    """Return the name of the result for one input: its stem, and a hash of its path below `input`."""
    stem = PurePosixPath(source.relative).stem
    return output_name(prefix, stem.removesuffix(EMBEDDINGS) or stem, source.relative, suffix, digits)


def result_names(sources: Sequence[Source], prefix: str, suffix: str) -> dict[Path, str]:
    """Return the name of the result for the path of each input.

    All names differ, also where upper and lower case do not count. Inputs with equal stems whose hashes begin alike all
    get longer hashes, so a name depends on the list of all inputs, not on which of them are processed.

    Raises
    ------
    InputError
        Two inputs have the same path below their `input`.
    """
    names: dict[Path, str] = {}
    pending, digits = list(sources), DIGITS
    while pending:
        groups: dict[str, list[Source]] = defaultdict(list)
        for source in pending:
            names[source.path] = result_name(source, prefix, suffix, digits)
            groups[names[source.path].casefold()].append(source)
        alike = [group for group in groups.values() if len(group) > 1]
        if alike and digits == MOST_DIGITS:
            raise _same_names(alike[0])
        pending = [source for group in alike for source in group]
        digits *= 2
    return names


def _same_names(alike: Iterable[Source]) -> InputError:
    first, second, *_ = alike
    return InputError(
        f"the results of {printable(first.path)} and {printable(second.path)} would have the same name",
        remedy="give the folder that holds both, or use a folder of results for each",
        remedy_options=("input", "output"),
    )
