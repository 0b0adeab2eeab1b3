"""What README.md and docs/ say is true: commands run and print what is shown, tables and links are right.

Conventions: a block of commands is fenced as sh or python, behind `<!-- not run -->` where it is not to be run. A block
fenced as text right behind it shows the output, where a line of three dots stands for any lines and ######## for a
digest. A table of flags stands under a heading that is the script's name. The commands of all pages run in one folder,
those of the README first, so that the pages can use its results.
"""

import difflib
import importlib
import os
import re
import subprocess
from argparse import Action
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fixtures_sounds import sounds_that_differ
from warm_python import WarmPython

from examples import sounds
from unravel_lib import tempo
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS, TRANSFORMS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
FLAGS = ROOT / "docs" / "flags.md"
GUIDES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
PAGES = [*GUIDES, ROOT / "CHANGELOG.md"]  # names flags, files and commands of its time
SCRIPTS = ("encoder", "generator", "decoder", "inspector")
GENERAL = {"-h", "--help", "--version", "--debug"}  # described once for all scripts
OTHER_FLAGS = {"--streaming"}  # of `rave export`
OTHER_FLAGS |= {"--snakefile", "--cores", "--workflow-profile", "--unlock"}  # of Snakemake


@dataclass(frozen=True)
class Block:
    """A block of commands, in the language of its fence, and the output that the page shows behind it, if any."""

    line: int
    language: str
    commands: str
    output: list[str] | None


def blocks(page: Path) -> list[Block]:
    """All blocks of commands that are to be run, in order."""
    found: list[Block] = []
    text = page.read_text()
    fences = re.finditer(r"^(<!-- not run -->\n)?```(\w*)\n(.*?)^```\n?\s*", text, re.DOTALL | re.MULTILINE)
    end_of_commands = -1  # of the block before, if it is one that is run
    for fence in fences:
        not_run, language, body = fence.groups()
        line = text[: fence.start(2)].count("\n") + 1
        if language == "text":
            assert fence.start() == end_of_commands, f"line {line}: this output stands behind no commands that are run"
            found[-1] = replace(found[-1], output=body.splitlines())
        is_run = language in ("sh", "python") and not not_run
        if is_run:
            found.append(Block(line, language, body, None))
        end_of_commands = fence.end() if is_run else -1
    return found


def without_chance(line: str) -> str:
    """A line of output without what depends on the machine and the day."""
    line = re.sub(r"--[0-9a-f]{8}(?=\.|$)", "--########", line.rstrip())
    return re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", "YYYY-MM-DD_hh-mm-ss", line)


def same_output(shown: list[str], real: list[str]) -> bool:
    """True if the lines are alike, where a shown line "..." stands for any number of lines."""
    parts = [r"(?:.*\n)*?" if line == "..." else re.escape(without_chance(line)) + r"\n" for line in shown]
    return re.fullmatch("".join(parts), "".join(without_chance(line) + "\n" for line in real)) is not None


def make_clone(folder: Path, python: str) -> None:
    """Make a folder look like a clone of the repository, with a script `python` in .bin."""
    for path in (*(f"{name}.py" for name in SCRIPTS), "unravel_lib", "examples"):
        (folder / path).symlink_to(ROOT / path)
    (folder / ".bin").mkdir()
    for name in ("python", "python3"):
        (folder / ".bin" / name).write_text(python)
        (folder / ".bin" / name).chmod(0o755)


def untrue_commands(page: Path, clone: Path) -> list[str]:
    """Run all blocks of a page in a clone; returns those that failed or printed something else."""
    environment = os.environ | {"PATH": f"{clone / '.bin'}:{os.environ['PATH']}", "COLUMNS": "120"}
    wrong = []
    for block in blocks(page):
        command = ["sh", "-ec"] if block.language == "sh" else ["python", "-c"]
        done = subprocess.run(
            [*command, block.commands],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        real = done.stdout.splitlines()
        if done.returncode:
            wrong.append(f"line {block.line}: exit code {done.returncode}\n{done.stdout}")
        elif block.output is not None and not same_output(block.output, real):
            difference = difflib.unified_diff(block.output, real, page.name, "real", lineterm="")
            wrong.append(f"line {block.line}: other output\n" + "\n".join(difference))
    return wrong


def tables(page: Path, heading: str) -> list[list[str]]:
    """The cells of all rows of all tables under a heading (of any level), header rows included."""
    match = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    assert match, f"no heading {heading}"
    rows = re.findall(r"^\|(.*)\|[ \t]*$", match[1], re.MULTILINE)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]


def named_rows(page: Path, heading: str) -> dict[str, list[str]]:
    """The rows whose first cell is one `name`, by that name."""
    rows = tables(page, heading)
    return {match[1]: row[1:] for row in rows if (match := re.fullmatch(r"`([^`]+)`", row[0]))}


def parser_actions(script: str) -> dict[str, Action]:
    """The flags of a script by name, but for those that all scripts have."""
    module: Any = importlib.import_module(script)
    parser = module.build_parser()
    parser._option_string_actions["--input"].required = parser.needs_input
    return {flag: action for action in parser._actions for flag in action.option_strings if flag not in GENERAL}


def documented_default(action: Action) -> str | None:
    """A flag's default as the page writes it: of the parser, or else from the text of its --help."""
    if isinstance(action.default, list | tuple):
        return " ".join(map(str, action.default)) or None
    if action.default is not None and action.nargs != 0:
        return str(action.default)
    match = re.search(r"\(default:? ([^\s;)]+)[;)]", action.help or "")
    return match[1] if match else None


def untrue_default(action: Action, cell: str) -> str | None:
    """What is wrong with a cell of the column of defaults, or None."""
    default = documented_default(action)
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
    return None if right else f"the page says {cell!r}, the parser {'needed' if action.required else default!r}"


def untrue_flags(page: Path, script: str) -> list[str]:
    """Flags that the table of a script lacks, has too many, or shows with another default."""
    rows, actions = named_rows(page, f"{script}.py"), parser_actions(script)
    wrong = [f"{flag} is not on the page" for flag in actions.keys() - rows.keys()]
    wrong += [f"{flag} is no flag of {script}.py" for flag in rows.keys() - actions.keys() - GENERAL]
    for flag in rows.keys() & actions.keys():
        if (reason := untrue_default(actions[flag], rows[flag][0])) is not None:
            wrong.append(f"{flag}: {reason}")
    return sorted(wrong)


def untrue_patterns(page: Path) -> list[str]:
    """Patterns that the table lacks or has too many, and options whose default it does not show."""
    rows, known = named_rows(page, "Patterns"), [name for name, _ in PATTERNS.listing()]
    wrong = [] if list(rows) == known else [f"the page has {list(rows)}, the registry {known}"]
    for name in rows.keys() & set(known):
        for option, parameter in PATTERNS.find(name).options.items():
            if f"`{option}={parameter.default}`" not in " ".join(rows[name]):
                wrong.append(f"{name}: `{option}={parameter.default}` is not on the page")
    return wrong


def untrue_distributions(page: Path) -> list[str]:
    """Distributions that the table lacks or has too many."""
    rows, known = list(named_rows(page, "Distributions")), [name for name, _ in DISTRIBUTIONS.listing()]
    return [] if rows == known else [f"the page has {rows}, the registry {known}"]


def untrue_transforms(page: Path) -> list[str]:
    """Transforms that the table lacks or has too many, or shows with other arguments."""
    rows = list(named_rows(page, "Steps"))
    known = [key + entry.arguments for key, entry in TRANSFORMS.items() if entry.source is None]
    return [] if rows == known else [f"the page has {rows}, the registry {known}"]


def untrue_tempi(page: Path) -> list[str]:
    """Rows of a page's table of tempi that tempo.py does not make."""
    rate = tempo.DEFAULT_SAMPLE_RATE, tempo.DEFAULT_COMPRESSION
    rows = [
        row for row in tables(page, "Tempo" if page.name == "README.md" else "Lengths and tempo") if row[0].isdigit()
    ]
    assert len(rows) >= 5, "where is the tempo table?"
    true = [
        [str(n := int(r[0])), tempo.format_bpm(tempo.exact_bpm(n, *rate)), tempo.double_time(n, *rate)] for r in rows
    ]
    return [f"the page has {row}, tempo.py {right}" for row, right in zip(rows, true, strict=True) if row != right]


def headings(page: Path) -> set[str]:
    """The names by which links reach the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def broken_links(page: Path) -> list[str]:
    """Relative links and pictures that lead to no file or no heading, and files of the repository that do not exist."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    wrong = []
    for target in targets:
        path, _, heading = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = page.parent / path if path else page
        empty = there.is_file() and not there.stat().st_size
        if not there.exists() or empty or (heading and heading not in headings(there)):
            wrong.append(target)
    named = re.findall(r"`((?:tests|examples|unravel_lib|benchmarks|docs)/[\w./*-]+)`", text)
    return wrong + [path for path in named if not list(ROOT.glob(path))]


def unknown_names(page: Path) -> list[str]:
    """Flags that no script has, and targets of make that the Makefile lacks."""
    text = page.read_text()
    known = GENERAL | OTHER_FLAGS | {flag for script in SCRIPTS for flag in parser_actions(script)}
    wrong = [flag for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", text) if flag not in known]
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:`|^)make ([a-z][\w-]*)", text, re.MULTILINE)
    return wrong + [f"make {name}" for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)]


@pytest.fixture(scope="module")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A script that is to be called as `python`, and starts fast."""
    with WarmPython(tmp_path_factory.mktemp("python")) as python:
        yield python.script


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, warm_python: str) -> tuple[Path, list[str]]:
    """A folder in which the commands of the README have run, and what was wrong with them."""
    folder = tmp_path_factory.mktemp("clone")
    make_clone(folder, warm_python)
    return folder, untrue_commands(README, folder)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_commands_run_and_print_what_is_shown(
    page: Path, clone: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where the page links to sounds of its results, they sound so."""
    folder, wrong = clone
    assert (wrong if page == README else untrue_commands(page, folder)) == []
    if str(page.relative_to(ROOT)) in sounds.PAGES:
        monkeypatch.setattr(sounds, "SOUNDS", tmp_path)
        sounds.render_results(str(page.relative_to(ROOT)), folder)
        assert sounds_that_differ(tmp_path, ROOT / "examples" / "sounds") == []


def test_the_readme_has_commands_and_links_to_every_page() -> None:
    assert len(blocks(README)) >= 4
    assert [page.name for page in PAGES if f"{page.relative_to(ROOT)})" not in README.read_text()] == ["README.md"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_flag_tables(script: str) -> None:
    assert untrue_flags(FLAGS, script) == []


@pytest.mark.parametrize("check", [untrue_patterns, untrue_distributions, untrue_tempi])
def test_tables(check: Callable[[Path], list[str]]) -> None:
    assert check(README) == []


@pytest.mark.parametrize("check", [untrue_transforms, untrue_tempi])
def test_tables_of_transforms(check: Callable[[Path], list[str]]) -> None:
    assert check(ROOT / "docs" / "transforms.md") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_flags_and_targets_exist(page: Path) -> None:
    assert unknown_names(page) == []


# The checks themselves, on small pages that are wrong on purpose.


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Write a page and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "README.md"
        path.write_text(text)
        return path

    return write


def test_a_failing_command_and_another_output_are_found(
    written: Callable[[str], Path], tmp_path: Path, warm_python: str
) -> None:
    page = written(
        "<!-- not run -->\n```sh\nfalse\n```\n\n```sh\nfalse\necho on\n```\n\n"
        "```sh\necho one; echo two >&2; echo a--0123abcd.npy\n```\n\n```text\none\n...\na--########.npy\n```\n\n"
        "```sh\necho one\necho two\n```\n\n```text\none\n```\n\n```sh\npython -c 'import soundfile'\n```\n\n"
        "```python\nimport unravel_lib\nprint(1)\n```\n\n```text\n2\n```\n"
    )
    clone = tmp_path / "clone"
    clone.mkdir()
    make_clone(clone, warm_python)
    wrong = untrue_commands(page, clone)
    assert [text.splitlines()[0] for text in wrong] == [
        "line 6: exit code 1",
        "line 21: other output",
        "line 34: other output",
    ]
    assert "+two" in wrong[1] and "+1" in wrong[2]


def test_output_behind_no_command_is_found(written: Callable[[str], Path]) -> None:
    with pytest.raises(AssertionError, match="line 6"):
        blocks(written("```sh\necho a\n```\nThen:\n\n```text\na\n```\n"))


def test_wrong_flags_are_found(written: Callable[[str], Path]) -> None:
    table = "### decoder.py\n\n| flag | default | |\n|---|---|---|\n| `--input` | needed | |\n"
    table += "| `--subtype` | `FLOAT` | |\n| `--seed` | the clock | |\n| `--skip_existing` | `yes` | |\n"
    wrong = untrue_flags(written(table + "| `--speed` | off | |\n\n## Other\n| `--device` | | |\n"), "decoder")
    assert "--device is not on the page" in wrong
    assert "--speed is no flag of decoder.py" in wrong
    assert "--subtype: the page says '`FLOAT`', the parser 'PCM_24'" in wrong
    assert "--seed: the page says 'the clock', the parser '42'" in wrong
    assert "--skip_existing: the page says '`yes`', the parser None" in wrong
    assert not any(text.startswith("--input") for text in wrong)


def test_wrong_tables_are_found(written: Callable[[str], Path]) -> None:
    assert untrue_patterns(written("## Patterns\n| `loop` | |\n| `orale` | `levels=3` |\n")) != []
    assert untrue_transforms(written("## Steps\n| `rev` | |\n")) != []
    assert untrue_distributions(written("## Distributions\n| `normal` | |\n")) != []
    rows = "".join(f"| {n} | {tempo.format_bpm(tempo.exact_bpm(n, 44100, 2048))} | - |\n" for n in range(1, 20, 2))
    assert untrue_tempi(written(f"## Tempo\n{rows}")) == []
    assert len(untrue_tempi(written(f"## Tempo\n{rows}".replace("430.66", "430.67")))) == 1


def test_broken_links_are_found(written: Callable[[str], Path]) -> None:
    page = written(
        "# My title\n[a](README.md) [b](#my-title) [c](https://x.y) ![d](no.png) [e](#other)\n"
        "[f](README.md#my-title) [g](README.md#none) `tests/no.py` `tests/no_*.py` `tests/scripts/test_*.py` `tests`\n"
    )
    assert broken_links(page) == ["no.png", "#other", "README.md#none", "tests/no.py", "tests/no_*.py"]


def test_unknown_flags_and_targets_are_found(written: Callable[[str], Path]) -> None:
    page = written("`--seed 1 --sede` --- a--b `make test`, make haste\n\nmake test\nmake hast\n")
    assert unknown_names(page) == ["--sede", "make hast"]
