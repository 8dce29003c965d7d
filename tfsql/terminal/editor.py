"""The line that is typed: highlighted, completed, continued over lines, remembered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.styles import Style
from pygments.lexers.sql import SqlLexer
from pygments.token import Name
from sqlglot.tokenizer_core import TokenType

from tfsql.errors import ParseError
from tfsql.source import lift_literals, tokenize
from tfsql.terminal.commands import COMMAND_SIGNS, COMMANDS, QUESTION, WORDS
from tfsql.terminal.complete import completions, paths
from tfsql.terminal.messages import tell
from tfsql.terminal.names import PREFIX, Named, Names, operator
from tfsql.terminal.sql_context import context_of

if TYPE_CHECKING:
    from tfsql.terminal.loading import Loader

PROMPT = "tfsql> "
CONTINUATION = "  ...> "
MAX_CANDIDATES = 200
# Operators are waited for where nothing else is of use; completion has a thread of its own.
_PATIENCE_S = 10.0

_STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "continuation": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "pygments.keyword": "bold ansiblue",
        "pygments.literal.string": "ansigreen",
        "pygments.literal.number": "ansimagenta",
        "pygments.name.builtin": "",
        "pygments.name.function": "ansicyan",
        "pygments.comment": "ansibrightblack",
        "completion-menu": "bg:ansibrightblack ansiwhite",
        "completion-menu.completion.current": "noreverse bg:ansicyan ansiblack",
        "completion-menu.meta.completion": "bg:ansiblack ansiwhite",
        "completion-menu.meta.completion.current": "noreverse bg:ansicyan ansiblack",
        "auto-suggestion": "ansibrightblack",
    }
)


def prompt_session(
    names: Names | None = None, loader: Loader | None = None, output: Output | None = None
) -> PromptSession[str]:
    """The terminal's prompt: Enter runs what is complete and begins a new line in what is not.

    Args:
      names: what is proposed; None for no completion.
      loader: loads TensorFlow, which operators are waited for.
    """
    return PromptSession(
        [("class:prompt", PROMPT)],
        multiline=Condition(lambda: not is_complete(get_app().current_buffer.text)),
        prompt_continuation=[("class:continuation", CONTINUATION)],
        history=open_history(),
        auto_suggest=AutoSuggestFromHistory(),
        lexer=PygmentsLexer(_SqlLexer),
        completer=None if names is None else SqlCompleter(names, loader),
        complete_in_thread=True,
        complete_while_typing=True,
        bottom_toolbar=None if names is None else _toolbar,
        style=_STYLE,
        color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        output=output,
        enable_open_in_editor=True,
        tempfile_suffix=".sql",
    )


def is_complete(text: str) -> bool:
    """Whether input can run: a command, a question, nothing, or SQL up to a semicolon outside quotes and comments.

    Example:
      >>> is_complete("SELECT 1;"), is_complete("SELECT ';"), is_complete(".help"), is_complete("tf_Conv2D?")
      (True, False, True, True)
    """
    stripped = text.strip()
    if not stripped or stripped.startswith(COMMAND_SIGNS) or stripped.lower() in WORDS or QUESTION.fullmatch(stripped):
        return True
    try:
        tokens = tokenize(lift_literals(text))
    except ParseError:
        return False
    return not tokens or tokens[-1].token_type == TokenType.SEMICOLON


class _SqlLexer(SqlLexer):  # type: ignore[misc]
    """SQL, with operators of TensorFlow set apart."""

    def get_tokens_unprocessed(self, text: str) -> Iterator[Any]:
        for index, kind, value in super().get_tokens_unprocessed(text):
            yield index, Name.Function if kind in Name and value.startswith(PREFIX) else kind, value


def _toolbar() -> str:
    """The call whose arguments are being written, below the prompt."""
    call = context_of(get_app().current_buffer.document.text_before_cursor).frame.call
    spec = None if call is None else operator(call)
    if spec is None:
        return ""
    from tfsql.terminal.ops import signature

    return f"{signature(spec)}  {spec.summary.replace('`', '')}"


# -- completion --------------------------------------------------------------------------------------------------------


class SqlCompleter(Completer):
    """Proposes what may come next in SQL or in a dot command."""

    def __init__(self, names: Names, loader: Loader | None):
        self._names = names
        self._loader = loader

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor
        if before.lstrip().startswith("."):
            word, found = _command_completions(before.lstrip(), self._names)
        else:
            self._wait(before)
            word, found = completions(self._names, before, document.text_after_cursor)
        for named in found[:MAX_CANDIDATES]:
            yield Completion(named.name, -len(word), display=named.name.rstrip(" (:="), display_meta=named.summary)

    def _wait(self, before: str) -> None:
        context = context_of(before)
        call = context.frame.call or ""
        if self._loader is not None and (call.startswith(PREFIX) or context.word.startswith(PREFIX)):
            self._loader.wait(_PATIENCE_S)


def _command_completions(before: str, names: Names) -> tuple[str, list[Named]]:
    name, space, argument = before.partition(" ")
    if not space:
        return name, [Named(c.name, c.summary) for c in COMMANDS if c.name.startswith(name)]
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        return argument, []
    if command.is_path:
        return argument, list(paths(argument))
    found = [Named(choice) for choice in command.choices] or (names.tables if command.takes_table else [])
    return argument, [named for named in found if named.name.lower().startswith(argument.lower())]


# -- history -----------------------------------------------------------------------------------------------------------


def history_path() -> Path:
    """The file that keeps what was typed, in the user's state directory.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "tfsql" / "history"


def open_history() -> History:
    """The history in its file; in memory alone where that cannot be written."""
    try:
        path = history_path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("ab"):
            pass
    except (OSError, RuntimeError):
        return InMemoryHistory()
    return _PatientHistory(str(path))


class _PatientHistory(FileHistory):
    """A history that forgets where the disk is full, rather than ending the session."""

    def store_string(self, string: str) -> None:
        try:
            super().store_string(string)
        except OSError as error:
            tell(f"Cannot write the history: {error.strerror or error}")
