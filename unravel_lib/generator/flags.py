"""The flags of generator.py, and what they say as options."""

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from unravel_lib import tempo
from unravel_lib.cli.parser import (
    Parser,
    add_input,
    add_output,
    add_sample_rate,
    add_seed,
    add_switch,
    add_value,
    add_values,
    number,
    one_of,
    path,
    whole_number,
)
from unravel_lib.errors import UsageError
from unravel_lib.files.sidecar import GeneratedSidecar
from unravel_lib.text import table

EXCLUSIVE = {  # options, and others that a run does not take with them
    "num_latents": ("bpm", "seconds", "input_loop"),
    "bpm": ("seconds", "input_loop"),
    "seconds": ("input_loop",),
    "statistics": ("input", "only", "fidelity", "measure_only"),
    "measure_only": ("input_loop", "decode"),
    "embeddings": ("hold", "wav_subtype"),
}
NEEDED = {  # options that need another one, or one of several
    "only": ("input",),
    "page": ("decode",),
    "model": ("decode",),
    "overwrite": ("run", "live"),
    "with_model": ("live",),
}


@dataclass(frozen=True)
class GeneratorOptions:
    """What the flags of these names say, which `build_parser` explains; lengths are None where nothing is said.

    Of a piece that is made again there are also `former`, its sidecar, `decoder`, the flags of decoder.py that made its
    sound, and `table`, the statistics.csv beside it where that stands in for the encodings.
    """

    input: list[Path] | None
    statistics: Path | None
    measure_only: bool
    iqr: bool
    sample_rate: float | None
    compression: int | None
    distribution: str
    distribution_args: list[str]
    pattern: str
    pattern_args: list[str]
    steer: list[str]
    target: str | None
    only: list[str]
    weight: list[str]
    transform: list[str]
    input_loop: list[str]
    num_latents: int | None
    bpm: float | None
    seconds: float | None
    beats: int
    num_loops: int
    num_files: int
    first: int
    seed: int
    embeddings: bool
    wav_subtype: Literal["DOUBLE", "FLOAT"] | None
    hold: bool
    fidelity: bool
    decode: bool
    page: bool
    model: Path | None
    quiet: bool
    no_plots: bool
    live: Path | None
    with_model: Path | None
    trust_model: bool
    output: Path
    run: str | None
    large: bool
    overwrite: bool
    former: GeneratedSidecar | None = None
    decoder: Sequence[str] = ()
    table: Path | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Take the values of flags."""
        return cls(**{one.name: values[one.name] for one in fields(cls) if one.name in values})

    def combinations(self) -> list[Self]:
        """Return the options of each combination of the patterns and the distributions that are named."""
        names = [(a, b) for a in split_names(self.pattern) for b in split_names(self.distribution)]
        return [replace(self, pattern=pattern, distribution=distribution) for pattern, distribution in names]

    def refuse_conflicts(self) -> None:
        """Raise UsageError where options exclude each other, or one that is needed is missing."""
        for name, others in EXCLUSIVE.items():
            given = [other for other in others if getattr(self, name) and getattr(self, other)]
            if given:
                remedy = "leave it out, or these"
                raise UsageError(
                    "cannot be combined with others", option=name, remedy=remedy, remedy_options=tuple(given)
                )
        for name, others in NEEDED.items():
            if getattr(self, name) and not any(getattr(self, other) for other in others):
                raise UsageError("does nothing alone", option=name, remedy="add", remedy_options=others)
        if not (self.input or self.statistics or self.input_loop):
            remedy, others = "give a .npy of encoder.py or a folder of them", tuple[str, ...]()
            if self.live is None and not self.measure_only:
                remedy, others = f"{remedy}, or else", ("statistics", "input_loop")
            raise UsageError("is missing", option="input", remedy=remedy, remedy_options=others)


def split_names(names: str) -> list[str]:
    """Split "loop,orale"; the name of a file of the user's may hold commas."""
    is_file = Path(names.rpartition(":")[0]).is_file()
    return [names] if is_file else [*dict.fromkeys(filter(None, map(str.strip, names.split(","))))] or [names]


def build_parser() -> Parser:
    """Make the parser with all flags, in the order of `--help`."""
    p = Parser(
        "Generate new latents from the statistics of encodings, arranged in a pattern, as latent audio for Pure Data "
        "or as .npy for decoder.py.\nEach run makes a folder of its own in --output: statistics, pictures, results, "
        "and a .json beside each result that records how it was made.\nstdout lists the results, one per line.",
        "python generator.py --input ./_encoder-output --distribution retrace \\\n    --pattern swapper --bpm 120",
    )
    titles = ("most used", "recordings", "loops", "again", "results", "show and exit")
    first, recordings, loops, again, results, lists = map(p.add_argument_group, titles)
    add_input(first, "the .npy of encoder.py, or folders of them")
    for kind, default, what in (
        ("distribution", "normal", "how frames are drawn"),
        ("pattern", "loop", "how loops are arranged"),
    ):
        text = f"{what} (default {default}; --list_{kind}s shows all), one or several (A,B), or FILE.py:name: "
        add_value(first, f"--{kind}", str, "NAME", f"{text}a {kind} of your own, whose code is run", default)
        text = f"options of the {kind}, which --list_{kind}s shows"
        add_values(loops, f"--{kind}_args", "NAME=VALUE", text)
        text = f"show all {kind}s with options, with --{kind} FILE.py those of that file too"
        add_switch(lists, f"--list_{kind}s", text)
    text = 'what changes each loop as it passes, such as "every 4 rev" "degrade 0.1", in this order '
    add_values(first, "--transform", "STEP", f"{text}(--list_transforms shows all)")
    text = "show all transforms, with --transform FILE.py:name those of that file too"
    add_switch(lists, "--list_transforms", text)
    add_value(first, "--bpm", number(0.1, 1e6), "BPM", "the length of a loop, by its tempo: the nearest that there is")
    text = "how often the pattern repeats things (default 4)"
    add_value(first, "--num_loops", whole_number(1, 1_000_000), "R", text, 4)
    add_value(first, "--num_files", whole_number(1, 10_000), "N", "how many files (default 1)", 1)
    add_seed(first)
    add_switch(first, "--embeddings", "write .npy for decoder.py instead of latent audio (.wav)")
    add_output(first, "./_generator-output")
    _add_recordings(recordings)
    _add_loops(loops)
    add_switch(lists, "--tempo_table", "show the tempi that loops can have, of --beats beats")
    text = "make a piece again: a result, its .json, or the sound of it; further flags replace those of the piece"
    add_value(again, "--again", path, "PIECE", text)
    add_switch(again, "--trust_code", "with --again: run the Python code that the .json names, once you saw it")
    text = "number of the first file (default 0): --first 13 makes number 13 of any run again"
    add_value(again, "--first", whole_number(0, 999_999), "N", text, 0)
    _add_results(results)
    return p


def _add_recordings(group: argparse._ArgumentGroup) -> None:
    text = "which of the encodings are used, by the names of the recordings, such as 'loop_*'"
    add_values(group, "--only", "NAME", text)
    text = "how much recordings of this name count, such as 'tabla*=3', where the distribution follows recordings"
    add_values(group, "--weight", "NAME=N", text)
    add_switch(group, "--iqr", "use quartiles and ranks, which are robust to outliers")
    add_value(group, "--statistics", path, "FILE.csv", "statistics.csv of an earlier run, instead of --input")
    add_switch(group, "--measure_only", "write the statistics of --input and nothing else, for --statistics")
    add_sample_rate(group, "of the model (default: as in the sidecars of the encodings, else 44100)")
    text = "audio samples per frame of the model (default: as in the sidecars, else 2048)"
    add_value(group, "--compression", whole_number(1, 1 << 20), "N", text)


def _add_loops(group: argparse._ArgumentGroup) -> None:
    text = f"frames in a loop, instead of --bpm (default {tempo.DEFAULT_LATENTS}; more where the compression is below "
    text += f"{tempo.DEFAULT_COMPRESSION}: about half a second)"
    add_value(group, "--num_latents", whole_number(1, tempo.MAX_LATENTS), "K", text)
    text = "seconds of a loop, instead of --bpm: the nearest length"
    add_value(group, "--seconds", number(0.001, 1e6), "S", text)
    add_value(group, "--beats", whole_number(1, 1024), "B", "beats in a loop, for its tempo (default 1)", 1)
    text = 'how loops are to sound, such as "loudness 0.1 0.9 0.1": loudness, brightness or attack, with ranks from '
    text += "0 to 1 over the loop; numbers, FILE.csv:COLUMN, or another encoding (.npy), for retrace and oracle"
    add_values(group, "--steer", "WISH", text)
    text = "latents of another sound, whose course the distribution mosaic takes"
    add_value(group, "--target", str, "FILE[:A:B]", text)
    text = "frames A to B - 1 of latents, or seconds such as 1.5s:2s, as loop A, not drawn; a second one as B"
    add_values(group, "--input_loop", "FILE[:A:B]", text)


def _add_results(group: argparse._ArgumentGroup) -> None:
    text = "latent audio in 64 or 32 bits (default DOUBLE; FLOAT with --hold); Pure Data before 0.55 needs FLOAT"
    add_value(group, "--wav_subtype", one_of(("DOUBLE", "FLOAT")), "DOUBLE|FLOAT", text)
    add_switch(group, "--hold", "latent audio at the model's sample rate, each frame held for --compression samples")
    add_switch(group, "--fidelity", "say how true the results are to the encodings, which takes seconds")
    add_switch(group, "--decode", "decode the results, as decoder.py does by default, into the folder sound of the run")
    add_switch(group, "--page", "with --decode: write index.html beside the sounds: to listen, compare and choose")
    add_value(group, "--model", path, "MODEL.ts", "with --decode: a RAVE export; left out: the bundled pocket model")
    add_switch(group, "--quiet", "leave out the table of statistics")
    add_switch(group, "--no_plots", "draw no pictures, which saves a second")
    text = "instead of results: one file for nn~ that draws from --input as retrace does, without end"
    add_value(group, "--live", path, "FILE.ts", text)
    text = "with --live: a decoder in the same file, so that one object makes sound; a streaming export"
    add_value(group, "--with_model", path, "MODEL.ts", text)
    add_switch(group, "--trust_model", "take a model although its code could touch files on this machine")
    add_value(group, "--run", str, "NAME", "name of the run's folder in --output (default: date and time)")
    add_switch(group, "--large", "write results of more than 1 GiB together")
    add_switch(group, "--overwrite", "let --run write into a folder that exists, or --live replace a file")


def show_lists(asked: Collection[str], options: GeneratorOptions) -> None:
    """Print the lists that are asked for, such as list_patterns, each with what the user's own file has."""
    from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS, TRANSFORMS
    from unravel_lib.music.steps import split_words

    files = [word for step in options.transform for word in split_words(step) if ".py" in word]
    for title, catalogue, chosen in (
        ("distributions", DISTRIBUTIONS, options.distribution),
        ("patterns", PATTERNS, options.pattern),
        ("transforms", TRANSFORMS, files[0] if files else ""),
    ):
        if f"list_{title}" in asked:
            print(
                f"{title}:",
                table([["", *entry] for entry in catalogue.listing(chosen)]).replace("`iqr`", "--iqr"),
                sep="\n",
            )
