"""The results that earlier runs finished, found in an output folder: what `skip_existing` skips."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePath

from unravel_lib.errors import InputError
from unravel_lib.files.naming import EMBEDDINGS
from unravel_lib.files.sidecar import Sidecar, is_complete, read_sidecar


class Finished:
    """The results in a folder that earlier runs finished, also under the names that version 1.0 gave them.

    Version 1.0 hashed the absolute path of an input, so the hash in such a name may be any, and left "_embeddings" in
    the names of what it decoded. Such a result belongs to
    the input whose path below `input` is the end of the `source` in its sidecar; of several to the one with the
    longest path. The folder is listed once, when the first result is not found under its name, and no sidecar is read
    twice.

    Parameters
    ----------
    folder : Path
        The output folder.
    relatives : iterable of str
        The paths below `input` of all inputs.
    """

    def __init__(self, folder: Path, relatives: Iterable[str]) -> None:
        self.folder = folder
        self._relatives = frozenset(relatives)
        self._names: dict[str, list[str]] | None = None  # beginning of the name -> names still to be read
        self._results: dict[tuple[str, str | None], list[Path]] = defaultdict(list)  # by input and its content

    def holds(self, target: Path, relative: str, facts: Sidecar) -> bool:
        """Return whether the result for that input with these facts is complete at `target` or under an old name."""
        if is_complete(target, facts):
            return True
        self._read_sidecars(_beginning(target.name), target.suffix)
        return any(is_complete(path, facts) for path in self._results[relative, facts.source_sha256])

    def _read_sidecars(self, beginning: str, suffix: str) -> None:
        if self._names is None:
            self._names = defaultdict(list)
            with os.scandir(self.folder) as entries:
                for name in (entry.name for entry in entries if entry.name.endswith(suffix)):
                    self._names[_beginning(name)].append(name)
        for path in (self.folder / name for name in self._names.pop(beginning, [])):
            with contextlib.suppress(InputError):  # damaged: not complete
                facts = read_sidecar(path)
                if facts is not None and facts.source is not None:
                    self._results[self._input_of(facts.source), facts.source_sha256].append(path)

    def _input_of(self, source: str) -> str:
        parts = PurePath(source).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((end for end in ends if end in self._relatives), "")


def _beginning(name: str) -> str:
    """Return the part of a result's name that it has in common with its name of version 1.0."""
    return name.rpartition("--")[0].removesuffix(EMBEDDINGS)
