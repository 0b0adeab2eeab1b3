"""Questions about a model's tensors and attributes, typed or piped: each line is a name or a glob pattern."""

import cmd
import fnmatch
import io
import sys
from collections.abc import Callable, Sequence

from unravel_lib.cli.messages import flag
from unravel_lib.errors import UnravelError
from unravel_lib.inspection.worker import Opener
from unravel_lib.text import did_you_mean, printable, table

Answer = Callable[[str], str]

EXIT_WORDS = ("exit", "EOF")  # the second is what `cmd` makes of the end of the input
DELIMITERS = " \t\n"  # keys contain dots and dashes


def ask_about_tensors(opener: Opener) -> int:
    """List the state_dict on stdout, then answer questions about its tensors; returns how many had no answer."""
    rows = opener.answer("tensor_rows")
    print(table([(printable(key), text) for key, text in rows]), flush=True)
    return run_prompt([key for key, _ in rows], lambda key: opener.answer("tensor_text", key))


def ask_about_attributes(opener: Opener, yes: bool) -> int:
    """List the attributes on stdout, then answer questions about them; returns how many had no answer.

    Code of the model runs only after a typed yes, or, without a terminal, by `yes`.
    """
    rows = opener.answer("attribute_rows")
    print(table([(printable(name), printable(text)) for name, _, text in rows]), flush=True)
    kinds = {name: kind for name, kind, _ in rows}
    return run_prompt(list(kinds), lambda name: _attribute(opener, name, kinds[name], yes))


def run_prompt(names: Sequence[str], answer: Answer) -> int:
    """Answer names and glob patterns on stdout until `exit` or the end of the input.

    Returns how many questions that came through a pipe had no answer, so that scripts can notice.
    """
    prompt = Prompt(names, answer)
    prompt.cmdloop()
    return 0 if prompt.use_rawinput else prompt.unanswered


def matches(line: str, names: Sequence[str]) -> list[str]:
    """Return the name itself, else all names that fit the glob pattern."""
    return [line] if line in names else fnmatch.filter(names, line)


class Prompt(cmd.Cmd):
    """Reads lines from stdin, with editing and completion on terminals, and answers each."""

    def __init__(self, names: Sequence[str], answer: Answer) -> None:
        super().__init__(stdin=sys.stdin or io.StringIO())
        self.use_rawinput = _is_terminal()
        self.prompt = "> " if self.use_rawinput else ""
        self.unanswered = 0
        self._names, self._answer = names, answer

    def preloop(self) -> None:
        """Set up the completion of names."""
        if self.use_rawinput:
            try:
                import readline
            except ImportError:  # Windows
                return
            readline.set_completer_delims(DELIMITERS)
            if "libedit" in (readline.__doc__ or ""):  # macOS; `cmd` handles it from Python 3.13 on
                readline.parse_and_bind("bind ^I rl_complete")

    def onecmd(self, line: str) -> bool:
        """Answer one line; True ends the loop."""
        line = line.strip()
        if line in EXIT_WORDS:
            if line != "exit" and self.use_rawinput:
                print()
            return True
        found = matches(line, self._names) if line else []
        if line and not found:
            self._refuse(f"{printable(line)} is not here{did_you_mean(line, self._names)}")
        for name in found:
            try:
                print(self._answer(name), flush=True)
            except UnravelError as error:
                self._refuse(error.sentence(flag))
        return False

    def completenames(self, text: str, *ignored: object) -> list[str]:
        """Return the names that begin with `text`."""
        return [name for name in (*self._names, "exit") if name.startswith(text)]

    def _refuse(self, text: str) -> None:
        self.unanswered += 1
        print(text, file=sys.stderr, flush=True)


def _attribute(opener: Opener, name: str, kind: str, yes: bool) -> str:
    if kind == "data":
        return str(opener.answer("data_text", name))
    text, needed = opener.answer("callable_text", name, kind)
    if needed:
        return f"{text}\n  needs {needed} argument{'s' if needed > 1 else ''}: not called"
    if not yes:
        if not _is_terminal():
            return f"{text}\n  not called: --yes allows it"
        print(text, flush=True)
        if not _confirmed():
            return "  not called"
    result = str(opener.answer("result_text", name, kind))
    return f"{text}\n{result}" if yes else result


def _confirmed() -> bool:
    try:
        return input("  run it? yes/no ").strip().lower() == "yes"
    except EOFError:
        return False


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
