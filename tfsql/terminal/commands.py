"""The commands of the prompt that begin with a point, as records."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfsql.errors import BindError, TfsqlError, did_you_mean
from tfsql.render import FORMATS, PICTURES
from tfsql.render.asking import abilities
from tfsql.render.streams import terminal_width
from tfsql.terminal.messages import tell
from tfsql.terminal.names import PREFIX
from tfsql.terminal.pager import pager_command
from tfsql.terminal.run import named_errors, read_file, run_text

if TYPE_CHECKING:
    from tfsql.repl import Repl

# What a command begins with; the second sign is that of other shells.
COMMAND_SIGNS = (".", "\\")
# ``tf_Conv2D?`` asks what a function does.
QUESTION = re.compile(r"(\w+)\?+;?")
# Words that need no point in front.
WORDS = {"exit": ".quit", "quit": ".quit", "help": ".help"}
_SWITCH = ("on", "off")
_PICTURES_SWITCH = {"on": "auto", "off": "none"}
# What other shells have, and what it is here.
_ELSEWHERE = {
    ".databases": "SHOW DATABASES;",
    ".dump": "EXPORT DATABASE 'FOLDER';",
    ".edit": "Ctrl-X Ctrl-E",
    ".exit": ".quit",
    ".import": "CREATE TABLE t AS FROM 'FILE';",
    ".maxrows": ".rows",
    ".open": "ATTACH 'FILE' AS name; USE name;",
    ".output": ".once",
    ".show": "FROM duckdb_settings();",
    ".timer": ".timing",
    "\\?": ".help",
    "\\d": ".tables, .schema TABLE",
    "\\dt": ".tables",
    "\\e": "Ctrl-X Ctrl-E",
    "\\i": ".read",
    "\\l": "SHOW DATABASES;",
    "\\o": ".once",
    "\\q": ".quit",
    "\\timing": ".timing",
    "\\x": ".mode line",
}
_DEFINITIONS = "SELECT table_name, sql FROM duckdb_tables() WHERE NOT internal ORDER BY ALL"
_VIEWS = "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL"


@dataclass(frozen=True)
class DotCommand:
    """A command of the prompt: what the user types, what ``.help`` says, what it does with its argument.

    Attributes:
      choices: what its argument may be, for completion.
      takes_table: whether its argument is a table.
      is_path: whether it is a file.
    """

    name: str
    argument: str
    summary: str
    run: Callable[[Repl, str], None]
    choices: tuple[str, ...] = ()
    takes_table: bool = False
    is_path: bool = False


def run_command(repl: Repl, text: str) -> None:
    """Runs a command as it was typed.

    Raises:
      TfsqlError: there is none of this name, or it does not take this argument.
    """
    name, _, argument = text.rstrip(";").partition(" ")
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        hint = (
            f"Here it is {_ELSEWHERE[name]}" if name in _ELSEWHERE else did_you_mean(name, [c.name for c in COMMANDS])
        )
        raise TfsqlError(f"No command {name}", hint=hint or "See .help")
    command.run(repl, argument.strip())


def answer(repl: Repl, name: str) -> None:
    """Tells what a function does.

    Raises:
      TfsqlError: there is none of this name.
    """
    if name.startswith(PREFIX):
        _ops(repl, name)
    else:
        run_text(repl.connection, f"DESCRIBE FUNCTION {name}", repl.output)


def _help(repl: Repl, pattern: str) -> None:
    usages = {f"{command.name} {command.argument}": command.summary for command in COMMANDS}
    width = max(map(len, usages))
    lines = [f"{usage:<{width}}  {summary}" for usage, summary in usages.items()]
    found = [line for line in lines if pattern.lower() in line.lower()]
    if not found:
        raise BindError(f"No command fits {pattern}", hint=did_you_mean(pattern, [c.name for c in COMMANDS]))
    for line in found:
        print(textwrap.fill(line, max(terminal_width(), width + 24), subsequent_indent=" " * (width + 2)))


def _quit(repl: Repl, _: str) -> None:
    repl.is_leaving = True


def _tables(repl: Repl, _: str) -> None:
    run_text(repl.connection, "SHOW TABLES", repl.output)


def _functions(repl: Repl, _: str) -> None:
    run_text(repl.connection, "SHOW FUNCTIONS", repl.output)


def _schema(repl: Repl, argument: str) -> None:
    """The statements that make the tables and views: those of tfsql's views are its own, not the engine's shells."""
    connection = repl.connection
    found = dict(connection.backend.execute(_DEFINITIONS, {}).fetchall())
    found |= dict(connection.backend.execute(_VIEWS, {}).fetchall())
    found |= {view.name: f"CREATE VIEW {view.name} AS {view.definition};" for view in connection.catalog.views}
    wanted = argument.strip('"').lower()
    shown = [sql.strip() for name, sql in found.items() if wanted in ("", name.lower())]
    if wanted and not shown:
        raise BindError(f"No table or view {argument}", hint=did_you_mean(argument, found))
    print("\n".join(shown) if shown else "No tables")


def _ops(repl: Repl, argument: str) -> None:
    from tfsql.terminal.ops import print_ops

    print_ops(argument or "*")


def _timing(repl: Repl, argument: str) -> None:
    repl.is_timed = _chosen(argument, _SWITCH, "on" if repl.is_timed else "off", ".timing") == "on"


def _mode(repl: Repl, argument: str) -> None:
    repl.output.mode = _chosen(argument, tuple(FORMATS), repl.output.mode, ".mode")


def _pictures(repl: Repl, argument: str) -> None:
    argument = _PICTURES_SWITCH.get(argument, argument)
    repl.output.pictures = _chosen(argument, PICTURES, repl.output.pictures, ".pictures")
    if repl.output.pictures != "none":
        abilities()  # asked now, when nothing is being typed that would be lost


def _pager(repl: Repl, argument: str) -> None:
    is_on = _chosen(argument, _SWITCH, "on" if repl.output.is_paged else "off", ".pager") == "on"
    if is_on:
        pager_command()
    repl.output.is_paged = is_on


def _rows(repl: Repl, argument: str) -> None:
    if not argument:
        tell(f".rows is {repl.output.max_rows}")
    elif not argument.isdecimal() or not int(argument):
        raise TfsqlError(f".rows takes a number above 0, not {argument}")
    else:
        repl.output.max_rows = int(argument)


def _read(repl: Repl, argument: str) -> None:
    path = _file(argument, ".read")
    with named_errors(path):
        text = read_file(path)
        run_text(repl.connection, text, repl.output)


def _once(repl: Repl, argument: str) -> None:
    repl.once = _file(argument, ".once")


def _file(argument: str, name: str) -> str:
    """The name of a file, which may be in quotes."""
    if not argument:
        raise TfsqlError(f"{name}: missing the name of a file")
    try:
        (path,) = shlex.split(argument)
    except ValueError:
        return argument
    return path


def _chosen(argument: str, choices: tuple[str, ...], current: str, name: str) -> str:
    """The argument, or the current choice, which is told, where there is none."""
    if not argument:
        tell(f"{name} is {current}; choices: {', '.join(choices)}")
        return current
    if argument not in choices:
        raise TfsqlError(f"{name} takes {', '.join(choices)}, not {argument}", hint=did_you_mean(argument, choices))
    return argument


COMMANDS = (
    DotCommand(".functions", "", "list the functions of the database, the library and Python", _functions),
    DotCommand(".help", "PATTERN", "list these commands, or those that fit", _help),
    DotCommand(".mode", "FORMAT", f"write rows as {', '.join(FORMATS)}", _mode, choices=tuple(FORMATS)),
    DotCommand(".once", "FILE", "write the rows of the next input to a file", _once, is_path=True),
    DotCommand(".ops", "PATTERN", "list TensorFlow's operators, or explain one: .ops Conv2D", _ops),
    DotCommand(".pager", "on|off", "page through large results, 1,000 rows at full width", _pager, choices=_SWITCH),
    DotCommand(".pictures", "HOW", f"draw pictures in tables: {', '.join(PICTURES)}", _pictures, choices=PICTURES),
    DotCommand(".quit", "", "leave, as Ctrl-D does", _quit),
    DotCommand(".read", "FILE", "run the SQL of a file", _read, is_path=True),
    DotCommand(".rows", "NUMBER", "how many rows a table shows", _rows),
    DotCommand(".schema", "TABLE", "the statements that make a table, or all", _schema, takes_table=True),
    DotCommand(".tables", "", "list tables and views", _tables),
    DotCommand(".timing", "on|off", "tell the time of each input", _timing, choices=_SWITCH),
)
