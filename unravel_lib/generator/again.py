"""generator.py --again: the flags that made a piece, from its sidecar, with further flags in place of some."""

import logging
import os
import re
from collections.abc import Container, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from unravel_lib.cli.parser import Parser
from unravel_lib.errors import InputError
from unravel_lib.files.find import sha256_of
from unravel_lib.files.sidecar import GeneratedSidecar, SoundSidecar, read_sidecar, sidecar_path
from unravel_lib.generator.flags import GeneratorOptions, split_names
from unravel_lib.generator.sources import expanded, named_files
from unravel_lib.history import SHAPING, own_code, shaping, values
from unravel_lib.music import steering
from unravel_lib.music.steps import quoted, split_words
from unravel_lib.statistics.tables import STATISTICS_CSV
from unravel_lib.text import printable

LENGTHS = ("num_latents", "bpm", "seconds", "input_loop")
FORGOTTEN = {  # a flag that is given: those of the piece that it takes the place of
    **dict.fromkeys(LENGTHS, LENGTHS),
    "input": ("statistics",),
    "statistics": ("input", "only"),
    "pattern": ("pattern_args",),
    "distribution": ("distribution_args", "steer", "target"),
    "embeddings": ("hold", "wav_subtype"),
    "hold": ("embeddings",),
    "wav_subtype": ("embeddings",),
}
_WANTED: dict[str, Any] = {
    "remedy": "give a result of generator.py, its .json, or the sound of it",
    "remedy_options": ("again",),
}

log = logging.getLogger("unravel_lib")


def as_command(parser: Parser, options: GeneratorOptions) -> list[str]:
    """Return the flags that shape the content, for a shell in any folder; neither which of many files nor where."""
    anywhere = replace(
        options,
        distribution=_absolute(options.distribution),
        pattern=_absolute(options.pattern),
        input_loop=[os.path.abspath(expanded(text)) for text in options.input_loop],
        target=options.target and os.path.abspath(expanded(options.target)),
        steer=[_absolute_wish(text) for text in options.steer],
        transform=[
            " ".join(quoted(_absolute(word)) for word in split_words(text)) if ".py" in text else text
            for text in options.transform
        ],
    )
    return parser.command(anywhere, set(SHAPING["generator"]) - {"first"})


def _absolute(text: str) -> str:
    """Return `FILE.py:name` with the whole path of the file; any other name as it is."""
    return os.path.abspath(text) if ".py" in text else text


def _absolute_wish(text: str) -> str:
    """Return a wish with the whole path of its file, if it names one."""
    name, wanted = steering.split_wish(text)
    return f"{name} {os.path.abspath(expanded(wanted))}" if steering.FILE.search(wanted) else text


def recall(
    parser: Parser, argv: Sequence[str], piece: Path
) -> tuple[GeneratorOptions, GeneratorOptions, GeneratedSidecar, list[str]]:
    """Return the options that make a piece again, with those of `argv` in place of some, and three things more.

    These are the options to record, the sidecar of the piece, and the flags of decoder.py that made the given sound.
    The statistics beside the piece take the place of encodings that are not needed; what is recorded keeps these.

    Parameters
    ----------
    parser : Parser
        Of generator.py.
    argv : sequence of str
        The flags that are given now.
    piece : Path
        A result of generator.py, what it was decoded to, or the sidecar of one of these.

    Raises
    ------
    InputError
        There is no sidecar, or it does not say how the piece was made; or a file that it was made from has changed.
    UsageError
        Flags that are given now exclude each other, or what the piece was made with.
    """
    given = parser.given(argv)
    piece, facts, decoder = _read(piece)
    command = shaping("generator", facts.command)
    if "trust_code" not in given:
        _refuse_code(command, given, piece)
    former = vars(parser.parse(command))
    replaced = []
    for flag, value in given.items():
        if flag in ("pattern", "distribution") and former[flag] in map(_absolute, split_names(value)):
            continue  # the same as before, with its options
        for name in FORGOTTEN.get(flag, ()):
            if name != flag and former[name] != parser.get_default(name):
                replaced.append((flag, name))
            former[name] = parser.get_default(name)
    model = next(map(Path, values(decoder, "model")), None) if "decode" in given else None
    options = GeneratorOptions.of({**former, "model": model, **given})
    options.refuse_conflicts()
    for pair in replaced:
        log.info("--%s takes the place of the --%s of the piece", *pair)
    if "distribution" not in given and not _draws(options):
        drawn = {name for name in ("distribution", *FORGOTTEN["distribution"]) if name not in given}
        options = replace(options, **{name: parser.get_default(name) for name in drawn})
    recorded = options
    if not given.keys() & {"input", "statistics"}:
        options = _find_statistics(options, piece, facts, chooses="only" in given)
    _check_files(options, given, facts)
    return options, recorded, facts, decoder


def _read(piece: Path) -> tuple[Path, GeneratedSidecar, list[str]]:
    """Return the latents, their sidecar, and the flags that decoded the given sound; with files where they are now."""
    if not piece.is_file():
        raise InputError("is no file" if piece.exists() else "does not exist", path=piece, **_WANTED)
    latents, facts, decoder = piece, read_sidecar(piece), list[str]()
    if isinstance(facts, SoundSidecar):
        move = partial(_moved, was=Path(*values(facts.command, "output")), now=piece.absolute().parent)
        latents = Path(move(facts.source or ""))
        decoder = shaping("decoder", list(map(move, facts.command)))
        facts = facts.latents
    if not isinstance(facts, GeneratedSidecar):
        raise InputError("is no sidecar of a result of generator.py", path=sidecar_path(piece), **_WANTED)
    if not facts.command:
        remedy = "give the flags yourself"
        raise InputError("does not say with which flags it was made", path=sidecar_path(piece), remedy=remedy)
    now = latents.absolute().parent
    was = Path(*values(facts.command, "output"), *(values(facts.command, "run") or [now.name]))
    move = partial(_moved, was=was, now=now)
    files = {move(path): sha256 for path, sha256 in facts.files_sha256.items()}
    return latents, replace(facts, command=tuple(map(move, facts.command)), files_sha256=files), decoder


def _moved(word: str, was: Path, now: Path) -> str:
    """Return a word of a command with its absolute path where that is now, if a folder that held all was moved.

    The path is taken as it is seen from the folder that the result `was` in, and is in `now`; only where nothing is at
    the old place.
    """
    while was.name == now.name and was != was.parent and now != now.parent:  # what moved together
        was, now = was.parent, now.parent
    before, found, rest = word.partition(f"{was}{os.sep}".replace(os.sep * 2, os.sep))
    first = re.split(r"[/:'\"]", rest)[0]  # of the path below: in the old folder, or in the new one
    if not found or was == now or (was / first).exists() or not (now / first).exists():
        return word
    return f"{before}{now}{os.sep}{rest}"


def _refuse_code(command: Sequence[str], given: Container[str], piece: Path) -> None:
    """Raise where a sidecar names Python code, which may be anybody's, and nothing given now takes its place."""
    names = list(map(printable, own_code(command, given)))
    if names:
        raise InputError(
            f"names code to run, {', '.join(names)}",
            path=sidecar_path(piece),
            remedy="look at that file, then allow it",
            remedy_options=("trust_code",),
        )


def _draws(options: GeneratorOptions) -> bool:
    """Whether a loop is drawn, as not all that the pattern takes are given."""
    from unravel_lib.music.catalogue import PATTERNS
    from unravel_lib.music.patterns import loops_taken

    patterns = [PATTERNS.find(one.pattern) for one in options.combinations()]
    taken = (loops_taken(pattern, pattern.read_options(options.pattern_args)) for pattern in patterns)
    return len(options.input_loop) < max(taken)


def _find_statistics(
    options: GeneratorOptions, piece: Path, facts: GeneratedSidecar, chooses: bool
) -> GeneratorOptions:
    """Take the statistics.csv beside the piece where it is that of the piece, and no encodings are needed or left.

    It is of all that the piece was made from, and not where other encodings are chosen.
    """
    from unravel_lib.music.catalogue import DISTRIBUTIONS

    names = [one.distribution for one in options.combinations()]
    needs_frames = chooses or any("recordings" in DISTRIBUTIONS.find(name).inputs for name in names)
    needs_encodings = options.fidelity or (options.iqr and not facts.iqr)
    gone = [path for path in [*(options.input or ()), options.statistics] if path is not None and not path.exists()]
    beside = piece.with_name(STATISTICS_CSV)
    fits = not needs_frames and beside.is_file() and sha256_of(beside) == facts.statistics_sha256
    if fits and (gone or not needs_encodings):
        return replace(options, input=None, only=[], statistics=beside)
    if gone:
        flags = ("input",) if needs_frames else ("input", "statistics")
        remedy = "give the encodings" + ("" if needs_frames else ", or their statistics")
        raise InputError("is gone, and the piece was made from it", path=gone[0], remedy=remedy, remedy_options=flags)
    return options


def _check_files(options: GeneratorOptions, given: Container[str], facts: GeneratedSidecar) -> None:
    """Raise where a file of a loop, target or wish of the piece has changed, and is not given again."""
    for path, option in named_files(options).items():
        before = facts.files_sha256.get(path)
        if option not in given and before is not None and sha256_of(Path(path)) != before:
            remedy = "give it again to take it as it is now"
            found = "is not the file that the piece was made from"
            raise InputError(found, path=path, remedy=remedy, remedy_options=(option,))


def warn_of_changes(before: GeneratedSidecar, now: GeneratedSidecar) -> None:
    """Warn where the piece will be another one without being asked for: other statistics, other code of the user's."""
    if before.statistics_sha256 != now.statistics_sha256:
        log.warning("the statistics are other ones than the piece was made from: the new one may be another")
    for name, sha256 in now.code_sha256.items():
        if before.code_sha256.get(name, sha256) != sha256:
            log.warning("the code of %s has changed since the piece was made: the new one may be another", name)
