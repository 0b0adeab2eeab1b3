"""Model files opened in a process of their own: one that crashes PyTorch ends that process, not the run."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.errors import ModelError, UnravelError
from unravel_lib.files.find import sha256_of
from unravel_lib.inspection.facts import Facts
from unravel_lib.process import EndedError, Process

if TYPE_CHECKING:
    from unravel_lib.inspection.inspect import Inspection

_opened: "list[Inspection]" = []  # in the other process: the last file


class Worker(Process):
    """Opens model files, and answers questions about the last one, in another process."""

    def open(self, path: Path, trust: bool, measure: bool) -> tuple[Facts, UnravelError | None]:
        """Return the facts about a model file, and why it could not be opened, if so; see `inspect.inspect`.

        Of one that crashes PyTorch these are the facts that follow from its bytes.
        """
        self._file = path, trust, measure
        try:
            found: tuple[Facts, UnravelError | None] = self._call(_open)
            return found
        except ModelError as error:
            return Facts(path.name, str(path), path.stat().st_size, sha256_of(path), warnings=[error.found]), error

    def answer(self, question: str, *args: object) -> Any:
        """Return what a method of `Inspection` says about the file, which is opened again where that is needed."""
        return self._call(_answer, question, *args)

    def _call(self, function: Callable[..., Any], *args: object) -> Any:
        try:
            return self.call(function, self._file, *args)
        except EndedError as error:
            found, remedy = f"ended the process that read it ({error})", "is it damaged, or is the memory too small?"
            raise ModelError(found, path=self._file[0], remedy=remedy) from None


def _open(file: tuple[Path, bool, bool]) -> tuple[Facts, UnravelError | None]:
    from unravel_lib.inspection.inspect import inspect

    _opened[:] = [inspect(*file)]
    return _opened[0].facts, _opened[0].failure


def _answer(file: tuple[Path, bool, bool], question: str, *args: object) -> Any:
    if not _opened:
        _open(file)
    return getattr(_opened[0], question)(*args)
