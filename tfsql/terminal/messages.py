"""What is told on standard error: plain text, and errors with their caret in colour where the terminal has colours."""

from __future__ import annotations

import re
import sys
import textwrap

from tfsql.errors import TfsqlError
from tfsql.render.streams import has_colors, terminal_width

BOLD, RED, _CYAN, _RESET = "\x1b[1m", "\x1b[1;31m", "\x1b[36m", "\x1b[0m"

_EXCERPT_OR_HINT = re.compile(r"\n(?=\d+ \| |Hint:)")


def tell(text: str) -> None:
    """Prints a text on standard error."""
    print(text, file=sys.stderr)


def tell_error(error: TfsqlError) -> None:
    """Prints an error on standard error, no wider than a terminal."""
    text = str(error)
    if sys.stderr.isatty():
        width = terminal_width()
        # Before the text stand the number of its line and what is left out.
        text = folded(error.text(min(100, max(20, width - 14))), width)
    tell(colored(text) if has_colors(sys.stderr) else text)


def folded(text: str, width: int) -> str:
    """The text of an error with the sentence and the hint broken between words; the SQL stays as it is.

    Example:
      >>> print(folded("No column labl (line 1, column 8)\\n1 | SELECT labl\\n           ^^^^\\nHint: label", 20))
      No column labl (line
      1, column 8)
      1 | SELECT labl
                 ^^^^
      Hint: label
    """
    sentence, *rest = text.split("\n")
    return "\n".join([_broken(sentence, width), *(_broken(t, width) if t.startswith("Hint:") else t for t in rest)])


def _broken(line: str, width: int) -> str:
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def colored(text: str, carets: str = RED) -> str:
    """The text of an error with the sentence bold, the carets in a colour and the hint set apart."""
    return "\n".join(_colored(line, carets) for line in _bold_head(text).split("\n"))


def _bold_head(text: str) -> str:
    head, *rest = _EXCERPT_OR_HINT.split(text, maxsplit=1)
    return "\n".join([f"{BOLD}{head}{_RESET}", *rest])


def _colored(line: str, color: str) -> str:
    carets = line.lstrip(" ")
    if carets and not carets.strip("^"):
        return f"{line[: len(line) - len(carets)]}{color}{carets}{_RESET}"
    return f"{_CYAN}Hint:{_RESET}{line.removeprefix('Hint:')}" if line.startswith("Hint:") else line
