"""What README.md says is true: its commands run, their output is what it shows, its tables are those of the code.

Conventions: a block of commands is fenced as sh and starts with `# not run` where it is not to be run; a block fenced
as text right behind it shows what the terminal shows, where a line of three dots stands for any lines and ######## for
a digest. A table of flags stands under a heading that is the script's name.
"""

import difflib
import importlib
import os
import re
import subprocess
import sys
from argparse import Action
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unravel_lib.music import tempo
from unravel_lib.music.distributions import DISTRIBUTIONS
from unravel_lib.music.patterns import PATTERNS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
SCRIPTS = ("encoder", "generator", "decoder", "inspector")
GENERAL = {"-h", "--help", "--version", "--debug"}  # told once for all scripts


@dataclass(frozen=True)
class Block:
    """A block of commands and the output that the README shows behind it, if any."""

    line: int
    commands: str
    output: list[str] | None


def blocks(readme: Path) -> list[Block]:
    """All blocks of commands that are to be run, in order."""
    found: list[Block] = []
    fences = re.finditer(r"^```(\w*)\n(.*?)^```\n?(\s*)", readme.read_text(), re.DOTALL | re.MULTILINE)
    before, ran = -1, False
    for fence in fences:
        kind, body, _ = fence.groups()
        line = readme.read_text()[: fence.start()].count("\n") + 1
        if kind == "sh":
            ran = not body.startswith("# not run")
            if ran:
                found.append(Block(line, body, None))
        elif kind == "text":
            assert before == fence.start() and ran, f"line {line}: this output stands behind no commands that are run"
            found[-1] = Block(found[-1].line, found[-1].commands, body.splitlines())
        before = fence.end() if kind == "sh" else -1
    return found


def without_chance(line: str) -> str:
    """A line of output without what depends on the machine and the day."""
    line = re.sub(r"--[0-9a-f]{8}(?=\.|$)", "--########", line.rstrip())
    return re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", "YYYY-MM-DD_hh-mm-ss", line)


def same_output(shown: list[str], real: list[str]) -> bool:
    """True if the lines are alike, where a shown line "..." stands for any number of lines."""
    parts = [r"(?:.*\n)*?" if line == "..." else re.escape(without_chance(line)) + r"\n" for line in shown]
    return re.fullmatch("".join(parts), "".join(without_chance(line) + "\n" for line in real)) is not None


def untrue_commands(readme: Path, folder: Path) -> list[str]:
    """Run all blocks in a folder that looks like a clone; tells what failed or printed something else."""
    for path in (*(f"{name}.py" for name in SCRIPTS), "unravel_lib", "examples"):
        (folder / path).symlink_to(ROOT / path)
    (folder / ".bin").mkdir()
    for name in ("python", "python3"):
        (folder / ".bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (folder / ".bin" / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{folder / '.bin'}:{os.environ['PATH']}", "COLUMNS": "120"}
    wrong = []
    for block in blocks(readme):
        done = subprocess.run(
            ["sh", "-ec", block.commands], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )  # fmt: skip
        real = done.stdout.splitlines()
        if done.returncode:
            wrong.append(f"line {block.line}: exit code {done.returncode}\n{done.stdout}")
        elif block.output is not None and not same_output(block.output, real):
            difference = difflib.unified_diff(block.output, real, "README", "real", lineterm="")
            wrong.append(f"line {block.line}: other output\n" + "\n".join(difference))
    return wrong


def tables(readme: Path, heading: str) -> list[list[str]]:
    """The cells of all rows of all tables under a heading (of any level), header rows included."""
    match = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", readme.read_text(), re.DOTALL | re.MULTILINE)
    assert match, f"no heading {heading}"
    rows = re.findall(r"^\|(.*)\|[ \t]*$", match[1], re.MULTILINE)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]


def named_rows(readme: Path, heading: str) -> dict[str, list[str]]:
    """The rows whose first cell is one `name`, by that name."""
    rows = tables(readme, heading)
    return {match[1]: row[1:] for row in rows if (match := re.fullmatch(r"`([^`]+)`", row[0]))}


def parser_actions(script: str) -> dict[str, Action]:
    """The flags of a script by name, but for those that all scripts have."""
    module: Any = importlib.import_module(script)
    build = module.build_parser
    return {flag: action for action in build()._actions for flag in action.option_strings if flag not in GENERAL}


def told_default(action: Action) -> str | None:
    """A flag's default as the README writes it: of the parser, or else in the words of its --help."""
    if isinstance(action.default, list | tuple):
        return " ".join(map(str, action.default)) or None
    if action.default is not None and action.nargs != 0:
        return str(action.default)
    match = re.search(r"\(default:? ([^\s;)]+)[;)]", action.help or "")
    return match[1] if match else None


def untrue_default(action: Action, cell: str) -> str | None:
    """What is wrong with a cell of the column of defaults, or None."""
    default = told_default(action)
    switch = action.nargs == 0
    if cell.startswith("`"):
        right = default is not None and cell.strip("`").removeprefix("./") == default.removeprefix("./")
    elif cell.startswith("needed"):
        right = action.required or ("," in cell and default is None)  # "needed, or --statistics"
    elif cell in ("", "off"):
        right = default is None and not action.required and (switch or not cell)
    else:  # in words; a value in them is one of --help, too
        right = default is None and not action.required and not switch
        value = re.search(r"else (\S+)$", cell)
        right = right and (value is None or f"else {value[1]}" in (action.help or ""))
    return None if right else f"README says {cell!r}, the parser {'needed' if action.required else default!r}"


def untrue_flags(readme: Path, script: str) -> list[str]:
    """Flags that the table of a script lacks, has too many, or tells another default of."""
    rows, actions = named_rows(readme, f"{script}.py"), parser_actions(script)
    wrong = [f"{flag} is not in the README" for flag in actions.keys() - rows.keys()]
    wrong += [f"{flag} is no flag of {script}.py" for flag in rows.keys() - actions.keys() - GENERAL]
    for flag in rows.keys() & actions.keys():
        if (reason := untrue_default(actions[flag], rows[flag][0])) is not None:
            wrong.append(f"{flag}: {reason}")
    return sorted(wrong)


def untrue_patterns(readme: Path) -> list[str]:
    """Patterns that the table lacks or has too many, and options whose default it does not show."""
    rows, known = named_rows(readme, "Patterns"), [name for name, _ in PATTERNS.listing()]
    wrong = [] if list(rows) == known else [f"README has {list(rows)}, the catalogue {known}"]
    for name in rows.keys() & set(known):
        for option, parameter in PATTERNS.find(name).parameters.items():
            if f"`{option}={parameter.default}`" not in " ".join(rows[name]):
                wrong.append(f"{name}: `{option}={parameter.default}` is not in the README")
    return wrong


def untrue_distributions(readme: Path) -> list[str]:
    rows, known = list(named_rows(readme, "Distributions")), [name for name, _ in DISTRIBUTIONS.listing()]
    return [] if rows == known else [f"README has {rows}, the registry {known}"]


def untrue_tempi(readme: Path) -> list[str]:
    """Rows of the tempo table that tempo.py does not make."""
    rate = tempo.DEFAULT_SAMPLE_RATE, tempo.DEFAULT_COMPRESSION
    rows = [row for row in tables(readme, "Tempo") if row[0].isdigit()]
    assert len(rows) >= 10, "where is the tempo table?"
    true = [
        [str(n := int(r[0])), tempo.format_bpm(tempo.exact_bpm(n, *rate)), tempo.double_time(n, *rate)] for r in rows
    ]
    return [f"README has {row}, tempo.py {right}" for row, right in zip(rows, true, strict=True) if row != right]


def broken_links(readme: Path) -> list[str]:
    """Relative links, pictures and named files that do not exist, and links to places in this file that it lacks."""
    text = re.sub(r"^```.*?^```", "", readme.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    places = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    wrong = []
    for target in targets:
        path, _, place = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = readme.parent / path
        if (not path and place not in places) or not there.exists() or (there.is_file() and not there.stat().st_size):
            wrong.append(target)
    named = re.findall(r"`((?:tests|examples|unravel_lib|benchmarks)/[\w./-]+)`", text)
    return wrong + [path for path in named if not (ROOT / path).exists()]


def test_commands_run_and_print_what_readme_shows(tmp_path):
    assert blocks(README), "no commands found"
    assert untrue_commands(README, tmp_path) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_flag_tables(script):
    assert untrue_flags(README, script) == []


@pytest.mark.parametrize("check", [untrue_patterns, untrue_distributions, untrue_tempi, broken_links])
def test_tables_and_links(check: Callable[[Path], list[str]]):
    assert check(README) == []


# The checks themselves, on small READMEs that are wrong on purpose.


@pytest.fixture
def written(tmp_path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "README.md"
        path.write_text(text)
        return path

    return write


def test_a_failing_command_and_another_output_are_found(written, tmp_path):
    readme = written(
        "```sh\n# not run\nfalse\n```\n\n```sh\nfalse\necho on\n```\n\n"
        "```sh\necho one; echo two >&2; echo a--0123abcd.npy\n```\n\n```text\none\n...\na--########.npy\n```\n\n"
        "```sh\necho one\necho two\n```\n\n```text\none\n```\n\n```sh\npython -c 'import soundfile'\n```\n"
    )
    (tmp_path / "clone").mkdir()
    wrong = untrue_commands(readme, tmp_path / "clone")
    assert [text.splitlines()[0] for text in wrong] == ["line 6: exit code 1", "line 21: other output"]
    assert "+two" in wrong[1]


def test_output_behind_no_command_is_found(written):
    with pytest.raises(AssertionError, match="line 6"):
        blocks(written("```sh\necho a\n```\nThen:\n\n```text\na\n```\n"))


def test_wrong_flags_are_found(written):
    table = "### decoder.py\n\n| flag | default | |\n|---|---|---|\n| `--input` | needed | |\n"
    table += "| `--subtype` | `FLOAT` | |\n| `--seed` | the clock | |\n| `--skip_existing` | `yes` | |\n"
    wrong = untrue_flags(written(table + "| `--speed` | off | |\n\n## Other\n| `--device` | | |\n"), "decoder")
    assert "--device is not in the README" in wrong
    assert "--speed is no flag of decoder.py" in wrong
    assert "--subtype: README says '`FLOAT`', the parser 'PCM_24'" in wrong
    assert "--seed: README says 'the clock', the parser '42'" in wrong
    assert "--skip_existing: README says '`yes`', the parser None" in wrong
    assert not any(text.startswith("--input") for text in wrong)


def test_wrong_tables_are_found(written):
    assert untrue_patterns(written("## Patterns\n| `loop` | |\n| `orale` | `levels=3` |\n")) != []
    assert untrue_distributions(written("## Distributions\n| `normal` | |\n")) != []
    rows = "".join(f"| {n} | {tempo.format_bpm(tempo.exact_bpm(n, 44100, 2048))} | - |\n" for n in range(1, 20, 2))
    assert untrue_tempi(written(f"## Tempo\n{rows}")) == []
    assert len(untrue_tempi(written(f"## Tempo\n{rows}".replace("430.66", "430.67")))) == 1


def test_broken_links_are_found(written):
    readme = written(
        "# My title\n[a](README.md) [b](#my-title) [c](https://x.y) ![d](no.png) [e](#other)\n`tests/no.py` `tests`\n"
    )
    assert broken_links(readme) == ["no.png", "#other", "tests/no.py"]
