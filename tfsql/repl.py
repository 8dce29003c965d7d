"""The prompt: reads a statement or a dot command, runs it, goes on after errors and Ctrl-C."""

from __future__ import annotations

import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import Output as TerminalOutput
from prompt_toolkit.output import create_output
from sqlglot.tokenizer_core import TokenType

from tfsql import __version__
from tfsql.errors import ParseError, TfsqlError, did_you_mean
from tfsql.render import FORMATS
from tfsql.source import lift_literals, tokenize
from tfsql.terminal.messages import tell as _tell
from tfsql.terminal.messages import tell_error
from tfsql.terminal.output import Output
from tfsql.terminal.run import named_errors, read_file, run_text

if TYPE_CHECKING:
    from tfsql.session import Connection

PROMPT = "tfsql> "
CONTINUATION = "  ...> "
LEAVING_WORDS = frozenset({"exit", "quit"})


class Repl:
    """A session at the prompt.

    Args:
      mode: the format of results, one of ``render.FORMATS``.
      pictures: whether tables draw tensors that are pictures.
      session: where input comes from; None for the terminal.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        mode: str = "table",
        pictures: bool = False,
        session: PromptSession[str] | None = None,
    ):
        self.connection = connection
        self.output = Output(mode, pictures=pictures)
        self.is_timed = False
        self.is_leaving = False
        self._session = session

    def run(self) -> int:
        """Reads and runs until the user leaves; returns the exit code."""
        # Data may go into a file while the prompt stays on the terminal.
        output = None if sys.stdout.isatty() else create_output(always_prefer_tty=True)
        session = self._session or prompt_session(output)
        _tell(f"tfsql {__version__}. Statements end with ;\n.help lists commands, Ctrl-D leaves.")
        while not self.is_leaving:
            try:
                self.handle(session.prompt())
            except KeyboardInterrupt:
                continue
            except EOFError:
                break
        return 0

    def handle(self, text: str) -> None:
        """Runs one input; whatever goes wrong is told on standard error."""
        start = time.perf_counter()
        try:
            self._dispatch(text.strip())
        except TfsqlError as error:
            tell_error(error)
        except KeyboardInterrupt:
            _tell("\nInterrupted")
        except BrokenPipeError:
            raise
        except Exception:
            # A fault of ours: the session, with its tables in memory, must outlive it.
            traceback.print_exc()
        if self.is_timed and not self.is_leaving:
            _tell(f"Time: {time.perf_counter() - start:.3f} s")

    def _dispatch(self, text: str) -> None:
        if text.startswith("."):
            self._command(text)
        elif text.lower().rstrip(";") in LEAVING_WORDS:
            self.is_leaving = True
        else:
            run_text(self.connection, text, self.output)

    def _command(self, text: str) -> None:
        name, _, argument = text.rstrip(";").partition(" ")
        command = next((command for command in COMMANDS if command.name == name), None)
        if command is None:
            raise TfsqlError(f"No command {name}", hint=did_you_mean(name, [c.name for c in COMMANDS]) or "See .help")
        command.run(self, argument.strip())


# -- dot commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DotCommand:
    """A command of the prompt: what the user types, what ``.help`` says, what it does with its argument."""

    name: str
    argument: str
    summary: str
    run: Callable[[Repl, str], None]


def _help(repl: Repl, _: str) -> None:
    usages = {f"{command.name} {command.argument}": command.summary for command in COMMANDS}
    width = max(map(len, usages))
    for usage, summary in usages.items():
        print(f"{usage:<{width}}  {summary}")


def _quit(repl: Repl, _: str) -> None:
    repl.is_leaving = True


def _tables(repl: Repl, _: str) -> None:
    run_text(repl.connection, "SHOW TABLES", repl.output)


def _timing(repl: Repl, argument: str) -> None:
    repl.is_timed = _chosen(argument, ("on", "off"), "on" if repl.is_timed else "off", ".timing") == "on"


def _mode(repl: Repl, argument: str) -> None:
    repl.output.mode = _chosen(argument, tuple(FORMATS), repl.output.mode, ".mode")


def _pictures(repl: Repl, argument: str) -> None:
    repl.output.pictures = (
        _chosen(argument, ("on", "off"), "on" if repl.output.pictures else "off", ".pictures") == "on"
    )


def _read(repl: Repl, argument: str) -> None:
    if not argument:
        raise TfsqlError(".read: missing the name of a file")
    try:
        (path,) = shlex.split(argument)
    except ValueError:
        path = argument
    with named_errors(path):
        text = read_file(path)
        run_text(repl.connection, text, repl.output)


def _chosen(argument: str, choices: tuple[str, ...], current: str, name: str) -> str:
    """The argument, or the current choice, which is told, where there is none."""
    if not argument:
        _tell(f"{name} is {current}; choices: {', '.join(choices)}")
        return current
    if argument not in choices:
        raise TfsqlError(f"{name} takes {', '.join(choices)}, not {argument}", hint=did_you_mean(argument, choices))
    return argument


COMMANDS = (
    DotCommand(".help", "", "list these commands", _help),
    DotCommand(".mode", "FORMAT", f"write rows as {', '.join(FORMATS)}", _mode),
    DotCommand(".pictures", "on|off", "draw tensors that are pictures in tables", _pictures),
    DotCommand(".quit", "", "leave, as Ctrl-D does", _quit),
    DotCommand(".read", "FILE", "run the SQL of a file", _read),
    DotCommand(".tables", "", "list tables and views", _tables),
    DotCommand(".timing", "on|off", "tell the time of each input", _timing),
)

# -- the terminal ------------------------------------------------------------------------------------------------------


def prompt_session(output: TerminalOutput | None = None) -> PromptSession[str]:
    """The terminal's prompt: Enter runs what is complete and begins a new line in what is not."""
    return PromptSession(
        PROMPT,
        multiline=Condition(lambda: not is_complete(get_app().current_buffer.text)),
        prompt_continuation=CONTINUATION,
        history=open_history(),
        output=output,
    )


def is_complete(text: str) -> bool:
    """Whether input can run: a dot command, nothing at all, or SQL up to a semicolon outside quotes and comments.

    Example:
      >>> is_complete("SELECT 1;"), is_complete("SELECT ';"), is_complete(".help")
      (True, False, True)
    """
    stripped = text.strip()
    if not stripped or stripped.startswith(".") or stripped.lower() in LEAVING_WORDS:
        return True
    try:
        tokens = tokenize(lift_literals(text))
    except ParseError:
        return False
    return not tokens or tokens[-1].token_type == TokenType.SEMICOLON


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
            _tell(f"Cannot write the history: {error.strerror or error}")
