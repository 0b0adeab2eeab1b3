"""Input files: searched for in folders, shared between runs, opened, known by their hash."""

import contextlib
import errno
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from unravel_lib.errors import InputError
from unravel_lib.text import printable

# else opening a pipe waits for one that writes; the other is for Windows
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
LISTED_EXTENSIONS = 12  # how many an error text lists where no file has the right one

Failed = Callable[[Path, InputError], None]


@dataclass(frozen=True)
class Source:
    """An input file.

    Attributes
    ----------
    path : Path
        Where it is.
    relative : str
        Its path below the `input` that contains it, with "/" ("a/b.wav"). For a file that is itself an `input` this is
        its name. In Unicode's composed form (NFC): the same name may be composed on one machine and not on another.
    run : str
        The folder of the run that made it, for results of generator.py; else "".
    """

    path: Path
    relative: str
    run: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "relative", composed(self.relative))

    def of_run(self) -> "Source":
        """Return it as a result of generator.py: the folder that it is in tells its run, and begins `relative`."""
        run = Path(os.path.abspath(self.path)).parent.name
        return Source(self.path, self.relative if "/" in self.relative or not run else f"{run}/{self.relative}", run)

    @property
    def base(self) -> Path:
        """The folder that `relative` begins in."""
        return Path(os.path.abspath(self.path)).parents[self.relative.count("/")]

    def below(self, base: Path) -> "Source":
        """Return it with its path below another folder as `relative`."""
        path, folder = (Path(os.path.abspath(one)) for one in (self.path, base))
        if folder not in path.parents:
            raise InputError(f"is not in {printable(base)}", path=self.path, remedy_options=("base",))
        return replace(self, relative=path.relative_to(folder).as_posix())


def composed(name: str) -> str:
    """Return a name in Unicode's composed form: "e" and an accent are one letter, as Linux and Windows write it."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count` of the inputs; without arguments, all of them.

    Attributes
    ----------
    index : int
        1 to `count`.
    count : int
        How many runs share the inputs.
    """

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        """Return it as `--shard` takes it: "3/8"."""
        return f"{self.index}/{self.count}"

    def named(self, name: str) -> str:
        """Return the name of a list of which each shard has one: "levels.csv", "levels-3-of-8.csv"."""
        stem, _, ending = name.rpartition(".")
        return name if self.count == 1 else f"{stem}-{self.index}-of-{self.count}.{ending}"

    def of(self, sources: Iterable[Source]) -> list[Source]:
        """Return the inputs of this shard, in their order.

        An input belongs to the shard whose number is 1 + (the SHA-256 of its path below `input`, as a number of 256
        bits) modulo `count`.
        """
        digests = ((one, hashlib.sha256(os.fsencode(one.relative)).digest()) for one in sources)
        return [one for one, digest in digests if int.from_bytes(digest) % self.count == self.index - 1]


WHOLE = Shard()


def normalised_extensions(extensions: Iterable[str]) -> tuple[str, ...]:
    """Return extensions in lower case, with a dot, without repeats: "WAV,flac" -> (".wav", ".flac")."""
    typed = [extension for text in extensions for extension in text.split(",")]
    return tuple(dict.fromkeys("." + e.strip().lower().lstrip("*.") for e in typed if e.strip(" *.")))


def find_files(
    roots: Sequence[Path],
    extensions: Sequence[str],
    output: Path | None = None,
    failed: Failed | None = None,
    base: Path | None = None,
    remedy: str = "",
) -> list[Source]:
    """Return all files under each root with one of the extensions, sorted by path; a root that is a file as it is.

    Folders are searched recursively and through symbolic links, each real folder once. Hidden files and folders are
    skipped. Links to files that do not exist are included, so that the run can name them. A file that is under two
    roots is listed once.

    Parameters
    ----------
    roots : sequence of Path
        Files and folders.
    extensions : sequence of str
        As `normalised_extensions` gives them.
    output : Path, optional
        A folder to leave out: results in a folder inside the input are no inputs.
    failed : function of a path and an InputError, optional
        Called with what cannot be read. Without it the first failure is raised; so is a failure of the only root.
    base : Path, optional
        The folder that `relative` of all files begins in, instead of their root.
    remedy : str
        What to do where a folder holds other files only.

    Raises
    ------
    InputError
        A root does not exist, or a folder contains no matching file; the text lists the extensions that it contains.
    """
    if not extensions:
        raise InputError("names none", option="extensions", remedy="write them like wav or .wav")
    found: dict[str, Source] = {}
    for root in roots:
        try:
            for source in _files_under(root, extensions, output, failed, remedy):
                found.setdefault(os.path.abspath(source.path), source)
        except InputError as error:
            if failed is None or len(roots) == 1:
                raise
            if not os.path.lexists(root):
                error.remedy = "check the path, with quotes around blanks"
            failed(root, error)
    return [source if base is None else source.below(base) for source in found.values()]


def _files_under(
    root: Path, extensions: Sequence[str], output: Path | None, failed: Failed | None, remedy: str
) -> list[Source]:
    if not os.path.lexists(root):
        raise InputError("does not exist", path=root, remedy="check the path", remedy_options=("input",))
    if not root.is_dir():
        if not root.is_file():
            remedy = "give a file or a folder of files"
            raise InputError("is neither a file nor a folder", path=root, remedy=remedy, remedy_options=("input",))
        return [Source(root, root.name)]
    files: list[Path] = []
    others: set[str] = set()  # extensions of other files
    unread: list[Path] = []

    def refuse(error: OSError) -> None:
        place = Path(error.filename)
        unread.append(place)
        failure = InputError(f"cannot be read: {error.strerror}", path=place)
        if failed is None or place == root:
            raise failure
        failed(place, failure)

    for path in _walk(root, output, refuse):
        wanted = path.suffix.lower() in extensions
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                continue
        except OSError as error:  # of a link: what is wanted is named when its turn comes
            if not wanted and error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                refuse(error)  # it may lead to a folder
            if not wanted:
                continue
        if wanted:
            files.append(path)
        else:
            others.add(path.suffix.lower() or "files without extension")
    if not files and not unread:
        holds = "it is empty (hidden files do not count)"
        if others:
            some = ", ".join(sorted(others)[:LISTED_EXTENSIONS])
            holds = printable(f"it holds {some}{' and others' if len(others) > LISTED_EXTENSIONS else ''}")
        found = f"holds no {' '.join(extensions)} file, {holds}"
        raise InputError(found, path=root, remedy=remedy if others else "")
    files.sort(key=lambda path: os.fsencode(composed(os.fspath(path))))
    return [Source(path, path.relative_to(root).as_posix()) for path in files]


def _walk(root: Path, output: Path | None, failed: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the files in a folder and below it, those of each real folder once; leave out `output` and what is hidden.

    `failed` is called with what the system says of a folder that cannot be read.
    """
    seen = {_identity(output)} if output is not None and output.is_dir() and not output.samefile(root) else set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=failed):
        try:
            identity = _identity(os.path.join(folder, os.curdir))  # fails where names may be listed, files not read
        except OSError as error:
            failed(error)
            identity = None
        if identity is None or identity in seen:
            subfolders.clear()
            continue
        seen.add(identity)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def open_input(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read its bytes; a pipe, a device or the like, which may never end, is refused unread.

    Raises
    ------
    InputError
        It is no file, or the system refuses to open or to read it, also inside the `with` block.
    """
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, OPEN_FLAGS)) as file:  # which refuses a folder
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError("is a pipe or a device", path=path, remedy="give a file")
            yield file
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits; the file may have any size.

    Raises
    ------
    InputError
        It cannot be read, or is a pipe or a device.
    """
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
