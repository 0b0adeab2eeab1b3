"""Tell what is in a model file: RAVE of every version, and what can be told of its relatives."""

import unravel_lib.cli.startup  # noqa: F401  before all that takes time

# isort: split
import argparse
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.cli.batch import DONE, SOME_FAILED, Batch
from unravel_lib.cli.parser import Parser, add_input, add_output
from unravel_lib.cli.progress import Progress
from unravel_lib.cli.run import run
from unravel_lib.files.atomic import make_output_folder, refuse_overwriting
from unravel_lib.files.find import find_files, normalised_extensions
from unravel_lib.files.naming import output_name
from unravel_lib.text import printable

if TYPE_CHECKING:
    from unravel_lib.inspection.inspect import Inspection

EXTENSIONS = (".ts", ".ckpt", ".safetensors")
DESCRIPTION = """Tell what is in a model file: what it is, what it takes and gives, how late it answers.

The facts go to stderr; stdout has the paths of the files that --save writes. With --json, --config, --dict and --attr
stdout has the JSON or the answers instead. --dict and --attr read names or patterns like encoder.* from the terminal
or from a pipe, one per line; exit or Ctrl-D leaves."""

log = logging.getLogger("unravel_lib")


def build_parser() -> Parser:
    parser = Parser(DESCRIPTION, "python inspector.py --input model.ts --save")
    group = parser.add_argument_group("inspector")
    add_input(group, "model files, or folders of them; left out: the bundled pocket model")
    group.add_argument(
        "--extensions", nargs="+", default=list(EXTENSIONS), metavar="EXT",
        help=f"which files of a folder are models (default {' '.join(EXTENSIONS)})",
    )  # fmt: skip
    group.add_argument(
        "--save", action="store_true", help="write the facts and the state_dict as CSV, the variance per dim as PNG"
    )
    add_output(group, "./_inspector-output")
    group.add_argument(
        "--json", action="store_true", help="the facts as JSON on stdout: an object, a list for a folder"
    )
    group.add_argument("--config", action="store_true", help="the training config of a checkpoint as JSON on stdout")
    group.add_argument(
        "--dict", action="store_true", help="list the state_dict, then answer questions about its tensors"
    )
    group.add_argument("--attr", action="store_true", help="list the attributes, then answer questions about them")
    group.add_argument("--yes", action="store_true", help="with --attr: call the methods asked for without asking back")
    group.add_argument(
        "--trust_model", action="store_true", help="load a model although its code could touch files on this machine"
    )
    return parser


def main(argv: list[str]) -> int:
    """Inspect what the flags name; returns the exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.json and (args.config or args.dict or args.attr):
        parser.error("--json goes without --config, --dict and --attr: stdout is one document")
    batch = Batch(args.output if args.save else None)
    paths = _paths(args, batch)
    if args.save:
        make_output_folder(args.output)
    from unravel_lib.inspection import inspect, report

    folder = _many(args)
    asked = args.config or args.dict or args.attr
    all_facts, configs, unanswered = [], {}, 0
    for path in _told(paths, folder and not asked):
        with batch.attempt(path):
            found = inspect.inspect(path, args.trust_model, measure=args.save or not asked)
            all_facts.append(found.facts)
            if found.facts.kind is not None and not (args.json or asked):
                log.info("%s\n", report.text(found.facts))
            if found.failure is not None:
                raise found.failure
            if args.save:
                _save(found, path, args, batch)
            if args.config:
                configs[str(path)] = inspect.config(found, path)
            unanswered += _converse(found, path, args)
    if args.json:
        documents = [facts.as_json() for facts in all_facts]
        if documents or folder:
            _print_json(documents if folder else documents[0])
    elif configs:
        _print_json(configs if folder else next(iter(configs.values())))
    if folder and not (args.json or asked):
        log.info("%s", report.table(all_facts))
    return batch.finish() or (SOME_FAILED if unanswered else DONE)


def _many(args: argparse.Namespace) -> bool:
    """True where `--input` may give any number of models: a folder, or several paths."""
    return args.input is not None and (len(args.input) > 1 or args.input[0].is_dir())


def _paths(args: argparse.Namespace, batch: Batch) -> list[Path]:
    if args.input is not None:
        return [source.path for source in find_files(args.input, normalised_extensions(args.extensions), None, batch)]
    from unravel_lib.models.model import POCKET

    log.info("no --input: this is the bundled pocket model")
    return [POCKET]


def _told(paths: list[Path], progress: bool) -> Iterator[Path]:
    """The paths one by one; measuring takes seconds for each, so a folder gets a progress bar on terminals."""
    if not progress:
        yield from paths
        return
    with Progress(paths, lambda path: 1, "models") as bar:
        yield from bar


def _print_json(document: Any) -> None:
    from unravel_lib.inspection.facts import plain

    print(json.dumps(plain(document), indent=1, allow_nan=False), flush=True)


def _save(found: "Inspection", path: Path, args: argparse.Namespace, batch: Batch) -> None:
    from unravel_lib.inspection import report

    key = found.facts.sha256 or str(path)  # so that no model's tables take the place of another's
    targets = [args.output / output_name(kind, path.stem, key, ".csv") for kind in ("facts", "state_dict")]
    for target in targets:
        refuse_overwriting(target, [path])
    report.write_facts(targets[0], found.facts)
    report.write_tensors(targets[1], found.tensors)
    shares = found.facts.variance_shares
    if shares:
        from unravel_lib import plots

        targets.append(args.output / output_name("variance", path.stem, key, ".png"))
        plots.draw_variance(targets[-1], found.facts.name, shares, found.facts.dims or len(shares))
    for target in targets:
        if args.json or args.config or args.dict or args.attr:
            log.info("wrote %s", target)
        else:
            batch.wrote(target)


def _converse(found: "Inspection", path: Path, args: argparse.Namespace) -> int:
    """The prompts of --dict and --attr, on stdout; returns how many questions had no answer."""
    if not (args.dict or args.attr):
        return 0
    from unravel_lib.cli import prompt
    from unravel_lib.inspection import report

    unanswered = 0
    if _many(args):
        log.info("%s", printable(path))
    if args.dict:
        keys = list(found.tensors)
        print(report.columns((key, _shape(found.tensors[key])) for key in keys), flush=True)
        unanswered += prompt.converse(keys, prompt.tensor_answer(found))
    if args.attr:
        kinds = prompt.attribute_names(found, path)
        print(
            report.columns((name, prompt.listed(found, name, kind)) for name, kind in kinds.items()),
            flush=True,
        )
        unanswered += prompt.converse(list(kinds), prompt.attribute_answer(found, kinds, args.yes))
    return unanswered


def _shape(tensor: Any) -> str:
    return f"{'x'.join(map(str, tensor.shape)) or 'single'} {str(tensor.dtype).removeprefix('torch.')}"


if __name__ == "__main__":
    run(main)
