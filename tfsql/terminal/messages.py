"""What is told on standard error: plain text, and errors with their caret in colour where the terminal has colours."""

from __future__ import annotations

import sys

from tfsql.errors import TfsqlError
from tfsql.render.streams import has_colors, terminal_width

BOLD, RED, _CYAN, _RESET = "\x1b[1m", "\x1b[1;31m", "\x1b[36m", "\x1b[0m"


def tell(text: str) -> None:
    """Prints a text on standard error."""
    print(text, file=sys.stderr)


def tell_error(error: TfsqlError) -> None:
    """Prints an error on standard error, no wider than a terminal."""
    # Before the text stand the number of its line and what is left out.
    text = error.text(min(100, max(20, terminal_width() - 14))) if sys.stderr.isatty() else str(error)
    tell(colored(text) if has_colors(sys.stderr) else text)


def colored(text: str, carets: str = RED) -> str:
    """The text of an error with the sentence bold, the carets in a colour and the hint set apart."""
    return "\n".join(_colored(line, carets) for line in _bold_head(text).split("\n"))


def _bold_head(text: str) -> str:
    head, newline, rest = text.partition("\n")
    return f"{BOLD}{head}{_RESET}{newline}{rest}"


def _colored(line: str, color: str) -> str:
    carets = line.lstrip(" ")
    if carets and not carets.strip("^"):
        return f"{line[: len(line) - len(carets)]}{color}{carets}{_RESET}"
    return f"{_CYAN}Hint:{_RESET}{line.removeprefix('Hint:')}" if line.startswith("Hint:") else line
