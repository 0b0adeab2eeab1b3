"""generator.py --live: one file for nn~, which goes on with the recordings without end."""

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.cli import signals
from unravel_lib.cli.batch import DONE, Batch
from unravel_lib.errors import ModelError, OutputError, UsageError, check_suffix
from unravel_lib.files.output import make_output_folder, refuse_overwriting
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.generator.plan import Rates, Sources, read_sources
from unravel_lib.text import count_text, printable, size_text

if TYPE_CHECKING:
    from unravel_lib.models.model import Model
    from unravel_lib.statistics.measure import Statistics

OPTIONS = (
    *("input", "only", "weight", "sample_rate", "compression", "seed", "quiet", "debug"),
    *("live", "with_model", "trust_model", "overwrite"),
)
MOST_NAMED = 16  # recordings that are named with their numbers

log = logging.getLogger("unravel_lib")


def write_live_file(options: GeneratorOptions, given: Collection[str]) -> int:
    """Write the file; returns the exit code. `given` are the options that stand in the command."""
    assert options.live is not None
    if senseless := [name for name in given if name not in OPTIONS]:
        found, remedy = "writes one file, which draws from encodings by itself", "leave these out"
        raise UsageError(found, option="live", remedy=remedy, remedy_options=tuple(senseless))
    options.refuse_conflicts()
    check_suffix(options.live, ".ts")
    sources = read_sources(options)
    try:
        refuse_overwriting(options.live, [*sources.paths, *([options.with_model] if options.with_model else [])])
        make_output_folder(options.live.parent)
    except OutputError as error:  # it speaks of a folder for results
        error.remedy, error.remedy_options = "choose another file", ("live",)
        raise
    if options.live.exists() and not options.overwrite:
        raise OutputError("is there already", path=options.live, remedy="replace it", remedy_options=("overwrite",))
    model, facts = _load(options, sources), sources.facts
    rates = sources.rates
    if model is None:
        sources.log_defaults()
    else:
        rates = Rates(facts.sample_rate or model.sample_rate, facts.compression or model.compression)
    statistics = replace(sources.statistics, frame_rate=rates.sample_rate / rates.compression)

    with signals.held_back():
        from unravel_lib.live.module import live, save

    made = live(statistics, model, sample_rate=rates.sample_rate, source_model=facts.model or "", seed=options.seed)
    save(made, options.live)
    Batch(None).wrote(options.live)
    _report(options.live, statistics, made)
    return DONE


def _load(options: GeneratorOptions, sources: Sources) -> "Model | None":
    """Load the decoder that goes into the file; raises ModelError where it is not that of the encodings."""
    if options.with_model is None:
        return None
    with signals.held_back():
        from unravel_lib.models.codec import check_fit
        from unravel_lib.models.model import load

    model = load(options.with_model, "cpu", options.trust_model, options.sample_rate)
    file, facts = sources.encodings[0], sources.facts
    if model.dims != len(file.latents) or facts.weights_sha256 not in (None, model.weights_sha256):
        found = "has other weights than the model of the encodings"  # its offline and streaming export have the same
        remedy = f"they are of {printable(facts.model or 'another one')}, give that"
        raise ModelError(found, path=model.name, remedy=remedy, remedy_options=("with_model",))
    check_fit(model, file)  # warns where the weights are not known
    if not model.behaviour("decode").carries_state:
        log.warning("%s is no streaming export: nn~ decodes buffer by buffer, without context", printable(model.name))
    return model


def _report(target: Path, statistics: "Statistics", made: Any) -> None:
    """Log what is in the file, and the object that plays it."""
    from unravel_lib.live.graph import playable

    encodings = playable(statistics)
    numbered = [f"{number} {printable(one.name)}" for number, one in enumerate(encodings[:MOST_NAMED])]
    log.info("recordings: %s", ", ".join([*numbered, *(["..."] if len(encodings) > MOST_NAMED else [])]))
    size = size_text(target.stat().st_size)
    log.info("%s, %g min, %d dims, %s", count_text(len(encodings), "recording"), made.minutes, made.dims, size)
    if not len(made.ranks):
        log.info("without descriptors (encode again by encoder.py): loudness and brightness have no effect")
    log.info("in Pure Data: [nn~ %s %s]", printable(target.stem), made.get_methods()[-1])
