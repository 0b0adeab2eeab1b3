"""Latents in files of either kind, `.npy` or latent audio, read once with their sidecars; and encodings in folders."""

import contextlib
import functools
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unravel_lib.audio.descriptors import Descriptors
from unravel_lib.errors import InputError
from unravel_lib.files.find import find_files
from unravel_lib.files.sidecar import EncodingSidecar, GeneratedSidecar, Sidecar, read_sidecar
from unravel_lib.latents import Latents
from unravel_lib.latents.formats import (
    MAX_BYTES,
    has_rate_of_latents,
    load_descriptors,
    load_latent_audio,
    load_latents,
)
from unravel_lib.text import count_text, printable, size_text

EXTENSIONS = (".npy", ".wav")
ENCODE = "encode sound with encoder.py first"
MODEL_FACTS = ("model_sha256", "weights_sha256", "model")
COMMON = (*MODEL_FACTS, "sample_rate", "compression", "dims")  # facts that all files of a run share
ONE_MODEL: dict[str, Any] = {"remedy": "give encodings of one model", "remedy_options": ("input",)}

log = logging.getLogger("unravel_lib")


@dataclass(frozen=True, eq=False)
class LatentsFile:
    """Latents [dims, frames] that were read from a file, its sidecar and its descriptors; None where there is none."""

    path: Path
    latents: Latents
    sidecar: Sidecar | None
    descriptors: Descriptors | None = None

    @property
    def name(self) -> str:
        """The name of the recording, without its ending; of the file where that is not known."""
        source = self.sidecar.source if isinstance(self.sidecar, EncodingSidecar) else None
        return Path(source or self.path).stem


def read_latents(
    path: str | os.PathLike[str], compression: int | None = None, sidecar: Sidecar | None = None
) -> Latents:
    """Read latents, in their own real dtype, [dims, frames].

    Parameters
    ----------
    path : path
        A `.npy`, or a `.wav` of latent audio.
    compression : int, optional
        Samples for which latent audio that was written with `hold` repeats each frame, where no sidecar states it.
    sidecar : Sidecar, optional
        Its sidecar, where that is read already.

    Raises
    ------
    InputError
        Neither of the two, damaged, empty, larger than 1 GiB, or NaN or Inf inside.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return load_latents(path)
    if path.suffix.lower() == ".wav":
        return load_latent_audio(path, compression, sidecar)
    raise InputError("is no .npy and no latent audio .wav", path=path, remedy=ENCODE)


class Inputs:
    """Latents files of a run, each read once with its sidecar; 1 GiB of values may be kept until they are taken."""

    def __init__(self) -> None:
        self.sidecar = functools.cache(read_sidecar)
        self._kept: dict[Path, Latents] = {}
        self._free_bytes = MAX_BYTES

    def is_latents(self, path: Path) -> bool:
        """Whether a file in a folder counts as latents: a `.npy`, or latent audio by its sidecar or rate."""
        try:
            is_ours = path.suffix.lower() == ".npy" or isinstance(self.sidecar(path), GeneratedSidecar)
        except InputError:  # a damaged sidecar of ours: reported when the file is opened
            is_ours = True
        return is_ours or has_rate_of_latents(path)

    def is_generated(self, path: Path) -> bool:
        """Whether generator.py made a file, by its sidecar; not where that is damaged, which `read` reports."""
        with contextlib.suppress(InputError):
            return isinstance(self.sidecar(path), GeneratedSidecar)
        return False

    def read(self, path: Path, compression: int | None = None, keep: bool = False) -> LatentsFile:
        """Read a file, or take it where it was kept; `keep` it for the next time.

        Raises as `read_latents` does, or where its sidecar is damaged.
        """
        facts, values = self.sidecar(path), self._kept.pop(path, None)
        if values is None:
            values = read_latents(path, compression, facts)
        if keep and values.nbytes <= self._free_bytes:
            self._kept[path] = values
            self._free_bytes -= values.nbytes
        return LatentsFile(path, values, facts, load_descriptors(path, facts, values.shape[1]))


def find_encodings(roots: Sequence[Path], output: Path | None = None) -> list[LatentsFile]:
    """Read all latents files that are named, and all `.npy` in folders that are named, each once.

    Results of generator.py in a folder, and everything in the folder `output`, are left out: they are no encodings.

    Raises
    ------
    InputError
        A path does not exist or leads to no encodings; a file or its sidecar is damaged; or they have more than 1 GiB
        together.
    """
    inputs, named, n_bytes = Inputs(), set(roots), 0
    found: list[LatentsFile] = []
    every = [source.path for source in find_files(roots, [".npy"], output, remedy=ENCODE)]
    encodings = [path for path in every if path in named or not inputs.is_generated(path)]
    for path in encodings:
        found.append(inputs.read(path))
        n_bytes += found[-1].latents.nbytes
        if n_bytes > MAX_BYTES:
            text = f"{paths_text(roots)} holds more than {size_text(MAX_BYTES)} of latents"
            raise InputError(text, remedy="give fewer encodings")
    if not found:
        text, remedy = "holds no .npy but results of generator.py", "give encodings, or one of these by its name"
        raise InputError(f"{paths_text(roots)} {text}", remedy=remedy, remedy_options=("input",))
    if len(encodings) < len(every):
        which = f"{count_text(len(every) - len(encodings), 'result')} of generator.py in {paths_text(roots)}"
        log.info("leaving out %s (one is taken by its name)", which)
    return found


def paths_text(paths: Sequence[str | Path]) -> str:
    """Name the first path and count the others: "latents and 2 more"."""
    return printable(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def common_facts(sidecars: Mapping[Path, Sidecar | None]) -> Sidecar:
    """Return what the sidecars of these files agree on: sample_rate, compression, dims, model and its SHA-256.

    A fact that no sidecar states is None; a file without sidecar states nothing. The offline and the streaming export
    of the same weights are one model; the first of them is named. Works for the sidecar of a statistics.csv as well.

    Raises
    ------
    InputError
        Two sidecars name different models, rates, compressions or dims.
    """
    known: dict[str, tuple[Any, Path]] = {}
    for path, sidecar in sidecars.items():
        stated = {name: fact for name in COMMON if (fact := getattr(sidecar, name, None)) is not None}
        same_model = any(name in known and known[name][0] == stated.get(name) for name in MODEL_FACTS[:2])
        for name, fact in stated.items():
            before, source = known.setdefault(name, (fact, path))
            # a model may have been renamed, or be the other export of the same weights
            if fact != before and not (same_model and name in ("model", "model_sha256")):
                what = "model" if name in MODEL_FACTS else name
                found = f"has another {what} than {printable(source)}, by their sidecars ({_counts(sidecars, name)})"
                raise InputError(found, path=path, **ONE_MODEL)
    return Sidecar(**{name: fact for name, (fact, _) in known.items()})


def _counts(sidecars: Mapping[Path, Sidecar | None], name: str) -> str:
    """Say how many files have each value of a fact, with their model: "3 of a.ts 1a2b3c4d, 1 of b.ts 5e6f7a8b"."""
    facts = ((one.model, getattr(one, name)) for one in sidecars.values() if one is not None)
    marks = (f"{model or ''} {fact!s:.8}" for model, fact in facts if fact is not None)
    return ", ".join(f"{n} of {printable(mark.strip())}" for mark, n in Counter(marks).most_common())
