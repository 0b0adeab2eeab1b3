"""generator.py --again: the flags that made a piece, from its sidecar, with further flags in place of some."""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from pathlib import Path

from unravel_lib.cli.parser import Parser
from unravel_lib.errors import InputError
from unravel_lib.files.find import sha256_of
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, SoundSidecar, read_sidecar, sidecar_path
from unravel_lib.generator.flags import EXCLUSIVE, GeneratorOptions, split_names
from unravel_lib.generator.plan import expanded
from unravel_lib.history import SHAPING, own_code, shaping, values
from unravel_lib.music import steering
from unravel_lib.music.catalogue import DISTRIBUTIONS
from unravel_lib.music.steps import quoted, split_words
from unravel_lib.statistics.tables import STATISTICS_CSV, read_csv
from unravel_lib.text import printable

BELONGING = {"pattern": ("pattern_args",), "distribution": ("distribution_args", "steer", "target")}
log = logging.getLogger("unravel_lib")


def as_command(parser: Parser, options: GeneratorOptions) -> list[str]:
    """Return the flags that shape the content, for a shell in any folder; neither which of many files nor where."""

    def path(text: str) -> str:
        return os.path.abspath(expanded(text))

    def wish(text: str) -> str:
        name, wanted = steering.split_wish(text)
        return f"{name} {path(wanted)}" if steering.FILE.search(wanted) else text

    def step(text: str) -> str:
        return " ".join(quoted(_absolute(word)) for word in split_words(text)) if ".py" in text else text

    anywhere = replace(
        options,
        distribution=_absolute(options.distribution),
        pattern=_absolute(options.pattern),
        transform=[*map(step, options.transform)],
        input_loop=[*map(path, options.input_loop)],
        target=options.target and path(options.target),
        steer=[*map(wish, options.steer)],
    )
    return parser.command(anywhere, set(SHAPING["generator"]) - {"first"})


def _absolute(text: str) -> str:
    """Return `FILE.py:name` with the whole path of the file; any other name as it is."""
    return os.path.abspath(text) if ".py" in text else text


def recall(parser: Parser, argv: Sequence[str], piece: Path) -> GeneratorOptions:
    """Return the options that make a piece again, with those of `argv` in place of some.

    The statistics beside the piece stand in for encodings that are not needed.

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
        There is no sidecar, or it does not say how the piece was made.
    UsageError
        Flags that are given now exclude each other, or what the piece was made with.
    """
    given = parser.given(argv)
    piece, facts, decoder = _read(piece)
    command = shaping("generator", facts.command)
    code = own_code(command, given)  # which may be anybody's
    if code and "trust_code" not in given:
        found, remedy = f"names code to run, {', '.join(map(printable, code))}", "look at that file, then allow it"
        raise InputError(found, path=sidecar_path(piece), remedy=remedy, remedy_options=("trust_code",))
    former, replaced = vars(parser.parse(command)), list[tuple[str, str]]()
    for flag, value in given.items():
        if flag in BELONGING and former[flag] in map(_absolute, split_names(value)):
            continue  # the same as before, with its options
        excluded = [name for name, others in EXCLUSIVE.items() if flag in others]
        for name in (*BELONGING.get(flag, ()), *EXCLUSIVE.get(flag, ()), *excluded):
            if former[name] != parser.get_default(name):
                replaced.append((flag, name))
            former[name] = parser.get_default(name)
    options = GeneratorOptions.of({**former, **given})
    options.refuse_conflicts()
    for pair in replaced:
        log.info("--%s takes the place of the --%s of the piece", *pair)
    return replace(options, former=facts, decoder=decoder, table=_table(options, given, piece, facts))


def _read(piece: Path) -> tuple[Path, GeneratedSidecar, list[str]]:
    """Return the latents, their sidecar, and the flags that decoded the given sound; with files where they are now."""
    latents, decoder = piece, list[str]()
    facts: Sidecar | None = read_sidecar(piece)
    if isinstance(facts, SoundSidecar):
        move = _moving(facts, piece)
        latents, decoder, facts = Path(move(facts.source or "")), [*map(move, facts.command)], facts.latents
    if not isinstance(facts, GeneratedSidecar) or not facts.command:
        missing = sidecar_path(piece) if piece.is_file() else piece
        found = "is no sidecar of a result of generator.py" if missing.is_file() else "does not exist"
        found = "is a folder" if missing.is_dir() else found
        remedy = "give a result of generator.py, its .json, or the sound of it"
        raise InputError(found, path=missing, remedy=remedy, remedy_options=("again",))
    move = _moving(facts, latents)
    files = {move(path): sha256 for path, sha256 in facts.files_sha256.items()}
    facts = replace(facts, command=tuple(map(move, facts.command)), files_sha256=files)
    return latents, facts, shaping("decoder", decoder)


def _moving(facts: Sidecar, path: Path) -> Callable[[str], str]:
    """Return what changes a word of a file's command: its absolute path to where that is now, in a project that moved.

    The path is taken as it is seen from the folder that the file was in, and is in now; only where nothing is at the
    old place.
    """
    now = path.absolute().parent
    run = (values(facts.command, "run") or [now.name]) if facts.is_generated else []
    was = Path(*values(facts.command, "output"), *run)
    while was.name == now.name and was != was.parent and now != now.parent:  # what moved together
        was, now = was.parent, now.parent

    def moved(word: str) -> str:
        before, found, rest = word.partition(f"{was}{os.sep}".replace(os.sep * 2, os.sep))
        first = re.split(r"[/:'\"]", rest)[0]  # of the path below: in the old folder, or in the new one
        if not found or was == now or (was / first).exists() or not (now / first).exists():
            return word
        return f"{before}{now}{os.sep}{rest}"

    return moved


def _table(options: GeneratorOptions, given: Container[str], piece: Path, facts: GeneratedSidecar) -> Path | None:
    """Return the statistics.csv beside the piece, where that is of the piece and nothing needs the encodings."""
    table = piece.with_name(STATISTICS_CSV)
    needs_frames = any("recordings" in DISTRIBUTIONS.find(one.distribution).inputs for one in options.combinations())
    chooses = any(name in given for name in ("input", "statistics", "only"))
    if needs_frames or chooses or options.fidelity:
        return None
    with contextlib.suppress(InputError):  # one of the tables is missing, or lacks what robust statistics need
        if sha256_of(table) == facts.statistics_sha256:
            read_csv(table, options.iqr)
            return table
    return None


def warn_of_changes(before: GeneratedSidecar, now: GeneratedSidecar) -> None:
    """Warn where the piece may be another one without being asked for: other statistics, loops or own code."""
    if before.statistics_sha256 != now.statistics_sha256:
        log.warning("the statistics are other ones than the piece was made from: the new one may be another")
    known = {**before.code_sha256, **before.files_sha256}
    for name, sha256 in {**now.code_sha256, **now.files_sha256}.items():
        if known.get(name, sha256) != sha256:
            log.warning("%s has changed since the piece was made: the new one may be another", printable(name))
