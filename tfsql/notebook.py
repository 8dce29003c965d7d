"""``%load_ext tfsql``: the magic ``%%tfsql``, with variables in and out, and completion in its cells."""

from __future__ import annotations

import argparse
import itertools
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.display import publish_display_data

from tfsql import default_connection
from tfsql.errors import BindError, TfsqlError, did_you_mean
from tfsql.session import Connection
from tfsql.terminal.complete import completions
from tfsql.terminal.messages import BOLD, colored
from tfsql.terminal.names import Names
from tfsql.terminal.run import Interruptible
from tfsql.terminal.sql_context import tokens_of

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

T = TypeVar("T")

MAGIC = "%%tfsql"


def load(shell: InteractiveShell) -> None:
    """Makes the magic and its completion known to IPython."""
    magics = TfsqlMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(_matcher(magics))


@magics_class
class TfsqlMagics(Magics):
    """The magic ``tfsql`` for lines and cells."""

    def __init__(self, shell: InteractiveShell):
        super().__init__(shell)
        self._namespace: dict[str, Any] = shell.user_ns

    @line_cell_magic
    def tfsql(self, line: str, cell: str | None = None) -> None:
        """Runs SQL: ``%tfsql SELECT 1``, or a cell ``%%tfsql [NAME] [--rows N] [--connection NAME]``.

        Python variables are tables by name, and parameters as ``$name``. With NAME, the result becomes that variable;
        otherwise its first rows are shown.
        """
        options = _options("" if cell is None else line)
        connection = self.connection(options.connection)
        try:
            self._run(connection, line if cell is None else cell, options)
        except TfsqlError as error:
            # A cell that fails shows the sentence and the caret, not the inside of tfsql; on red, red is not seen.
            told = colored(str(error), carets=BOLD).split("\n")
            error._render_traceback_ = lambda *_: told  # type: ignore[attr-defined]
            raise

    def connection(self, name: str | None) -> Connection:
        """The connection that a variable holds; the one of the module if none is named.

        Raises:
          BindError: there is no such variable, or it is no connection.
        """
        if name is None:
            return default_connection()
        namespace = self._namespace
        known = [key for key, value in namespace.items() if isinstance(value, Connection)]
        if name not in known:
            raise BindError(f"No variable {name} with a connection", hint=did_you_mean(name, known))
        found: Connection = namespace[name]
        return found

    def _run(self, connection: Connection, text: str, options: argparse.Namespace) -> None:
        namespace = self._namespace
        parameters = parameters_in(text, namespace)
        with Interruptible(connection) as call:
            run: Callable[[], Any] = partial(connection.sql, text, parameters)
            relation = call(partial(_called_from(namespace), run))
            if options.name is not None:
                namespace[options.name] = relation
            elif relation is not None:
                publish_display_data(call(partial(relation.bundle, options.rows)))  # type: ignore[no-untyped-call]


def _options(line: str) -> argparse.Namespace:
    parser = _Parser(prog=MAGIC, add_help=False, allow_abbrev=False)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--connection")
    options = parser.parse_args(shlex.split(line))
    if options.name is not None and not options.name.isidentifier():
        raise UsageError(f"{MAGIC} {options.name}: the result needs the name of a variable")
    return options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{MAGIC}: {message}. It takes [NAME] [--rows N] [--connection NAME]")


def parameters_in(text: str, namespace: Mapping[str, Any]) -> dict[str, Any] | None:
    """The variables that SQL names as ``$name``.

    Example:
      >>> parameters_in("SELECT $x, '$y'", {"x": 1, "y": 2})
      {'x': 1}
    """
    tokens = tokens_of(text)
    pairs = itertools.pairwise(tokens)
    names = [name.text for sign, name in pairs if sign.text == "$" and name.kind == "word"]
    return {name: namespace[name] for name in names if name in namespace} or None


def _called_from(namespace: dict[str, Any]) -> Callable[[Callable[[], T]], T]:
    """Calls a function as code of the notebook does: tables are looked for among the variables of the caller."""
    return FunctionType((lambda function: function()).__code__, namespace)


# -- completion --------------------------------------------------------------------------------------------------------


def _matcher(magics: TfsqlMagics) -> Callable[[CompletionContext], SimpleMatcherResult]:
    @context_matcher()  # type: ignore[untyped-decorator]
    def tfsql_matcher(context: CompletionContext) -> SimpleMatcherResult:
        """Proposes what may come next in a cell of SQL."""
        head, newline, sql = context.full_text.partition("\n")
        if not newline or not head.startswith(MAGIC) or context.cursor_line < 1:
            return {"completions": []}
        lines = sql.split("\n")
        row = context.cursor_line - 1
        before = "\n".join([*lines[:row], lines[row][: context.cursor_position]])
        try:
            connection = magics.connection(_options(head.removeprefix(MAGIC)).connection)
        except (TfsqlError, UsageError):
            return {"completions": []}
        word, found = completions(Names(connection), before, sql[len(before) :])
        made = [SimpleCompletion(text=named.name, type="sql") for named in found]
        return {"completions": made, "matched_fragment": word, "suppress": True, "ordered": True}

    made: Callable[[CompletionContext], SimpleMatcherResult] = tfsql_matcher
    return made
