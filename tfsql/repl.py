"""The prompt: reads a statement or a dot command, runs it, goes on after errors and Ctrl-C."""

from __future__ import annotations

import sys
import time
import traceback
from typing import TYPE_CHECKING

from prompt_toolkit.output import create_output

from tfsql import __version__
from tfsql.errors import TfsqlError
from tfsql.render.asking import abilities
from tfsql.render.streams import has_codes
from tfsql.terminal.commands import COMMAND_SIGNS, QUESTION, WORDS, answer, run_command
from tfsql.terminal.editor import prompt_session
from tfsql.terminal.loading import Loader
from tfsql.terminal.messages import tell, tell_error
from tfsql.terminal.names import Names
from tfsql.terminal.output import Output, open_output
from tfsql.terminal.progress import ERASE
from tfsql.terminal.run import run_text

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from tfsql.session import Connection


class Repl:
    """A session at the prompt.

    Args:
      mode: the format of results, one of ``render.FORMATS``.
      pictures: how tables draw tensors that are pictures, one of ``render.PICTURES``.
      session: where input comes from; None for the terminal.
      loads_tensorflow: whether to load TensorFlow as soon as the prompt is there, or else with the first tensor query.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        mode: str = "table",
        pictures: str = "none",
        session: PromptSession[str] | None = None,
        loads_tensorflow: bool = False,
    ):
        self.connection = connection
        self.output = Output(mode, pictures=pictures)
        self.names = Names(connection)
        self.is_timed = False
        self.is_leaving = False
        self.once: str | None = None
        self.loader = Loader(self.names.load) if loads_tensorflow else None
        self._session = session

    def run(self) -> int:
        """Reads and runs until the user leaves; returns the exit code."""
        # Data may go into a file while the prompt stays on the terminal.
        if self.output.pictures != "none":
            abilities()  # asked now, when nothing is being typed that would be lost
        output = None if sys.stdout.isatty() else create_output(always_prefer_tty=True)
        session = self._session or prompt_session(self.names, self.loader, output)
        tell(f"tfsql {__version__}. Statements end with ;\n.help lists commands, Ctrl-D leaves.")
        while not self.is_leaving:
            try:
                self.handle(session.prompt(pre_run=self.loader.start if self.loader else None))
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
            # In the place of the ^C that the terminal shows.
            start_of_line = ERASE if has_codes(sys.stderr) else "\n"
            tell(f"{start_of_line}Interrupted")
        except BrokenPipeError:
            raise
        except Exception:
            # A fault of ours: the session, with its tables in memory, must outlive it.
            traceback.print_exc()
        self.names.forget()
        if self.is_timed and not self.is_leaving:
            tell(f"Time: {time.perf_counter() - start:.3f} s")

    def _dispatch(self, text: str) -> None:
        text = WORDS.get(text.lower().rstrip(";"), text)
        if text.startswith(COMMAND_SIGNS):
            run_command(self, text)
        elif question := QUESTION.fullmatch(text):
            answer(self, question[1])
        elif self.once is not None:
            path, self.once = self.once, None
            with open_output(None, path) as output:
                run_text(self.connection, text, output)
        else:
            run_text(self.connection, text, self.output)
