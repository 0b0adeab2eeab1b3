#!/usr/bin/env python3
"""Report what is in a model file, RAVE of every version and related models; and how latents and sounds were made."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import argparse
import json
import logging
from contextlib import closing, nullcontext
from functools import partial

from unravel_lib.cli import parser as flags
from unravel_lib.cli.batch import DONE, SOME_FAILED, Batch
from unravel_lib.cli.run import run
from unravel_lib.cli.terminal import Progress
from unravel_lib.errors import ModelError
from unravel_lib.files.find import find_files, normalised_extensions
from unravel_lib.files.output import make_output_folder
from unravel_lib.text import printable

EXTENSIONS = (".ts", ".ckpt", ".safetensors")
REMEDY = "give models, latents, or sounds that decoder.py made"
DESCRIPTION = (
    "Report what is in a model file: its family, its inputs and outputs, its delay. Of latents and of sounds that "
    "decoder.py made: what they hold, and how they were made, with the commands.\n\n"
    "The facts go to stderr; stdout has the paths of the files that --save writes. With --json, --config, --dict and "
    "--attr stdout has the JSON or the answers instead. --dict and --attr read names or patterns like encoder.* from "
    "the terminal or from a pipe, one per line; exit or Ctrl-D ends the input."
)

log = logging.getLogger("unravel_lib")


def build_parser() -> flags.Parser:
    """Return the inspector's flags."""
    parser = flags.Parser(DESCRIPTION, "python inspector.py --input model.ts --save")
    group = parser.add_argument_group("inspector")
    flags.add_input(
        group, "model files, latents, decoded sounds, or folders of them; left out: the bundled pocket model"
    )
    text = f"which files of a folder are models (default {' '.join(EXTENSIONS)})"
    group.add_argument("--extensions", nargs="+", default=list(EXTENSIONS), metavar="EXT", help=text)
    text = "encodings that the latents of --input are compared with: how true they are to them"
    group.add_argument("--against", type=flags.path, nargs="+", metavar="PATH", help=text)
    flags.add_switch(group, "--save", "write the facts and the state_dict as CSV, the variance per dim as PNG")
    flags.add_output(group, "./_inspector-output")
    flags.add_switch(group, "--json", "the facts as JSON on stdout: an object, a list for a folder")
    flags.add_switch(group, "--config", "the training config of a checkpoint as JSON on stdout")
    flags.add_switch(group, "--dict", "list the state_dict, then answer questions about its tensors")
    flags.add_switch(group, "--attr", "list the attributes, then answer questions about them")
    flags.add_switch(group, "--yes", "with --attr: call methods without asking for confirmation")
    flags.add_switch(group, "--trust_model", "load a model although its code could touch files on this machine")
    return parser


def main(argv: list[str]) -> int:
    """Inspect what the flags name; returns the exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    questions = args.config or args.dict or args.attr
    if args.json and questions:
        parser.error("--json goes without --config, --dict and --attr: stdout is one document")
    if args.against and not args.input:
        parser.error("--against compares latents: give these by --input")
    from unravel_lib.cli import inspector

    if args.against or inspector.are_latents(args.input or (), normalised_extensions(args.extensions)):
        if args.save or questions:
            parser.error("--save, --config, --dict and --attr are for model files, not for latents or sounds")
        batch = Batch(None)
        document = inspector.inspect_results(args.input, args.against, batch)
        if args.json:
            print_json(document)
        return batch.finish()
    return inspect_models(args, questions)


def inspect_models(args: argparse.Namespace, questions: bool) -> int:
    """Tell what is in model files, or answer questions about them; returns the exit code."""
    batch = Batch(args.output if args.save else None, inputs=args.input or ())
    from unravel_lib.cli import inspector
    from unravel_lib.inspection import facts as model_facts
    from unravel_lib.inspection.worker import Worker
    from unravel_lib.models import POCKET

    if args.input is None:
        log.info("no --input: this is the bundled pocket model")
    extensions = normalised_extensions(args.extensions)
    paths = [found.path for found in find_files(args.input or [POCKET], extensions, None, batch.failed, remedy=REMEDY)]
    if args.save:
        make_output_folder(args.output)
    wrote = partial(log.info, "wrote %s") if args.json or questions else batch.wrote  # stdout has the answers
    many = args.input is not None and (len(args.input) > 1 or args.input[0].is_dir())
    all_facts, configs, unanswered = [], {}, 0
    progress = Progress(paths, "models") if many and not questions else nullcontext(paths)
    with progress as models, closing(Worker()) as worker:
        for path in models:
            with batch.attempt(path):
                # measuring takes seconds for each model
                facts, failure = worker.open(path, args.trust_model, measure=args.save or not questions)
                all_facts.append(facts)
                if facts.kind is not None and not (args.json or questions):
                    log.info("%s\n", model_facts.text(facts))
                if failure is not None:
                    raise failure
                if args.save:
                    for target in inspector.save(facts, worker, path, args.output):
                        wrote(target)
                if args.config:
                    try:
                        configs[str(path)] = worker.answer("config")
                    except ModelError as error:
                        if not (args.dict or args.attr):
                            raise
                        log.warning(error)  # the other questions are answered
                if many and (args.dict or args.attr):
                    log.info("%s", printable(path))
                if args.dict:
                    unanswered += inspector.ask_about_tensors(worker)
                if args.attr:
                    unanswered += inspector.ask_about_attributes(worker, args.yes)
    if args.json and (many or all_facts):
        documents = [facts.as_json() for facts in all_facts]
        print_json(documents if many else documents[0])
    elif configs:
        print_json(configs if many else next(iter(configs.values())))
    elif many and not questions:
        log.info("%s", model_facts.table(all_facts))
    return batch.finish() or (SOME_FAILED if unanswered else DONE)


def print_json(document: object) -> None:
    """Print a document on stdout."""
    from unravel_lib.inspection.facts import json_value

    print(json.dumps(json_value(document), indent=1, allow_nan=False), flush=True)


def start() -> None:
    """Run the script; `unravel-inspector` is this function."""
    run(main)


if __name__ == "__main__":
    start()
