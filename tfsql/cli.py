"""The command line: SQL from an argument, a file, standard input or the prompt; data to standard output.

Everything else goes to standard error. The exit code is that of the error's class, 130 after Ctrl-C, 141 where the
reader of standard output has gone, and 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from tfsql import __version__, connect
from tfsql.errors import ParseError, TfsqlError, did_you_mean
from tfsql.render import PICTURES
from tfsql.terminal.messages import tell, tell_error
from tfsql.terminal.output import MODES, PARQUET, open_output
from tfsql.terminal.run import EXIT_INTERRUPTED, decoded, named_errors, read_file, run_text
from tfsql.types import quote_text

if TYPE_CHECKING:
    from tfsql.session import Connection

EXIT_BROKEN_PIPE = 141
EXIT_USAGE = 2
COMMANDS = ("ops", "doctor", "serve")

_DESCRIPTION = """\
SQL with TensorFlow's operators as functions, over DuckDB tables and files.

Without -c and -f, SQL is read from standard input, or typed if that is a terminal.
Rows go to standard output or FILE, all else to standard error.
"""
_EXAMPLES = """\
commands:
  tfsql ops [PATTERN]   list TensorFlow's operators; tfsql ops Conv2D explains one
  tfsql doctor          versions, devices, threads, and what is missing
  tfsql serve           serve a database over HTTP; tfsql serve --help says how

examples:
  tfsql -c "SELECT tf_Cos(0.5) AS y"
  tfsql -c "SELECT image FROM 'data/digits.parquet' LIMIT 3" --pictures
  tfsql digits.duckdb -f report.sql -o report.csv
  tfsql -c "SELECT tf_Mean(image, 0) AS m FROM 'data/digits.parquet'" --format jsonl | head -2
  tfsql -c "SELECT tf_Square(image) AS squares FROM 'data/digits.parquet'" -o squares.parquet

exit codes:
  0 done, 1 other errors, 2 arguments or syntax, 3 unknown names, 4 types and shapes, 5 unsupported,
  6 the database, 7 a row, 8 a limit, 9 a kernel worker that died, 130 Ctrl-C, 141 nobody reads the output
"""

_SQL = re.compile(r"\s*(select|from|with|create|insert|show|describe|explain)\s", re.IGNORECASE)
_HOW_TO_RUN = 'To run SQL: tfsql -c "SELECT ..."'


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    _never_fail_to_encode()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _command(arguments)
        sys.stdout.flush()
        return code
    except TfsqlError as error:
        tell_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _leave_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _leave_stdout()
        tell(f"Cannot write the result: {error.strerror or error}")
        return TfsqlError.exit_code


def _command(arguments: list[str]) -> int:
    if arguments[:1] == ["ops"]:
        from tfsql.terminal import ops

        return ops.run(ops.parser(Parser).parse_args(arguments[1:]))
    if arguments[:1] == ["doctor"]:
        from tfsql.terminal import doctor

        doctor.parser(Parser).parse_args(arguments[1:])
        return doctor.run()
    if arguments[:1] == ["serve"]:
        from tfsql.server import serve

        return serve(arguments[1:])
    return _run(_parser().parse_args(_with_how(arguments)))


def _with_how(arguments: list[str]) -> list[str]:
    """The arguments with ``--pictures`` completed where what follows does not say how, but names a database."""
    pairs = zip(arguments, [*arguments, ""][1:], strict=True)
    return [f"{a}=auto" if a == "--pictures" and following not in PICTURES else a for a, following in pairs]


def _run(options: argparse.Namespace) -> int:
    _check_database(options.database)
    texts = list(_texts(options))
    if not texts:
        return _prompt(options)
    with (
        _connected(options) as connection,
        open_output(options.format, options.output, pictures=options.pictures) as out,
    ):
        for name, text in texts:
            with named_errors(name):
                run_text(connection, text, out)
    return 0


def _prompt(options: argparse.Namespace) -> int:
    if options.output or options.format == PARQUET:
        option = "-o" if options.output else f"--format {PARQUET}"
        raise ParseError(f"{option} needs SQL from -c, -f or standard input")
    from tfsql.repl import Repl

    with _connected(options) as connection:
        mode = options.format or "table"
        repl = Repl(connection, mode=mode, pictures=options.pictures, loads_tensorflow=True)
        code = repl.run()
    if repl.loader is not None and repl.loader.is_running:
        _end_now(code)  # an import of TensorFlow cannot be stopped, and whoever leaves does not want to wait for it
    return code


def _end_now(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Ends the process; an option that is nearly one is suggested."""
        hint = None
        if message.startswith("unrecognized arguments: "):
            rest = message.partition(": ")[2]
            first = rest.split()[0]
            message = f"there is no option {first}" if first.startswith("-") else f"one argument too many: {first}"
            hint = self._meant(rest, first)
        hint = hint or f"See {self.prog} --help"
        self.exit(EXIT_USAGE, f"{self.prog}: {message.removeprefix('argument ')}\nHint: {hint}\n")

    def _meant(self, rest: str, first: str) -> str | None:
        known = [option for action in self._actions for option in action.option_strings]
        if "-c" in known and _SQL.match(rest):
            return _HOW_TO_RUN
        if "--format" in known and first.lstrip("-") in MODES:
            return f"Did you mean --format {first.lstrip('-')}?"
        return did_you_mean(first.partition("=")[0], known)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tfsql",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    database_help = "a database file, made if missing; in memory if left out"
    format_help = f"{', '.join(MODES)}; if left out a table, or what the name of FILE says"
    parser.add_argument("database", nargs="?", default=":memory:", metavar="DATABASE", help=database_help)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-c", dest="commands", action="append", metavar="SQL", help="run this SQL; may be repeated")
    source.add_argument("-f", dest="files", action="append", metavar="FILE", help="run this file; may be repeated")
    parser.add_argument("--format", choices=MODES, metavar="FORMAT", help=format_help)
    parser.add_argument(
        "-o", dest="output", metavar="FILE", help="write the rows to this file, completely or not at all"
    )
    pictures_help = f"draw tensors that are pictures in tables: {', '.join(PICTURES)}; auto if HOW is left out"
    parser.add_argument(
        "--pictures", nargs="?", choices=PICTURES, const="auto", default="none", metavar="HOW", help=pictures_help
    )
    set_help = "change a setting, such as threads=2; may be repeated"
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help=set_help)
    parser.add_argument("--readonly", action="store_true", help="do not write to the database")
    parser.add_argument("--trust", action="store_true", help="allow operators that read or write files, or print")
    parser.add_argument("--version", action="version", version=f"tfsql {__version__}")
    return parser


# -- where SQL comes from ----------------------------------------------------------------------------------------------


def _texts(options: argparse.Namespace) -> Iterator[tuple[str | None, str]]:
    """Each text to run, with the name of its file; none if SQL is to be typed."""
    if options.commands or options.files:
        yield from ((None, decoded(os.fsencode(text), "-c")) for text in options.commands or [])
        yield from ((path, read_file(path)) for path in options.files or [])
    elif sys.stdin is None or not sys.stdin.isatty():
        yield None, decoded(sys.stdin.buffer.read(), "standard input") if sys.stdin is not None else ""


# -- the database ------------------------------------------------------------------------------------------------------

_ONLY_READ = "With --readonly it can be read"
# What DuckDB says of a file that it cannot open, and what is said here.
_FAULTS = (
    (r"not a valid DuckDB database", "{path} is not a DuckDB database", "Query other files by name: FROM '{path}'"),
    (r"Corrupt database|checksum", "{path} is damaged: what it holds does not match its checksum", None),
    (r"Conflicting lock is held in .*?\(PID (\d+)\)", "{path} is in use by process {0}", "Close it there first"),
    (r"lock on file", "{path} is in use by another process", "Close it there first"),
    (r"Is a directory", "{path} is a folder, not a database", None),
    (r"database does not exist", "There is no database {path}", "Without --readonly it is made"),
    (r"Permission denied|Read-only file system", "Cannot open {path}: permission denied", _ONLY_READ),
    (r"No such file or directory", "Cannot open {path}: there is no such folder", None),
)


def _connected(options: argparse.Namespace) -> Connection:
    """The connection, with its settings.

    Raises:
      TfsqlError: the file cannot be opened as a database, or there is no such setting.
    """
    try:
        connection = connect(options.database, read_only=options.readonly, trust=options.trust)
    except TfsqlError as error:
        raise _told(error, options) from error
    try:
        for setting in options.settings:
            _set(connection, setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _told(error: TfsqlError, options: argparse.Namespace) -> TfsqlError:
    for pattern, sentence, hint in _FAULTS:
        found = re.search(pattern, str(error))
        if found:
            message = sentence.format(*found.groups(), path=options.database)
            if hint == _ONLY_READ and not os.access(options.database, os.R_OK):
                hint = None
            return type(error)(message, hint=hint and hint.format(path=options.database))
    return error


def _set(connection: Connection, setting: str) -> None:
    name, equals, value = setting.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ParseError(f"--set takes NAME=VALUE, not {setting}")
    try:
        connection.execute(f"SET {name} = {quote_text(value)}")
    except TfsqlError as error:
        error.sql = error.span = None
        error.message = f"--set {setting}: {error.message}"
        raise


def _check_database(path: str) -> None:
    """Refuses what was meant as SQL, as a file of SQL or as a command, before a database of that name is made.

    Raises:
      TfsqlError: the path looks like one of them.
    """
    if path.lower().endswith(".sql"):
        raise TfsqlError(f"{path} is SQL, not a database", hint=f"To run it: tfsql -f {path}")
    if _SQL.match(path):
        raise TfsqlError("DATABASE is a file, not SQL", hint=_HOW_TO_RUN)
    if path in COMMANDS:
        raise TfsqlError(f"The command {path} stands first", hint=f"tfsql {path}, or ./{path} for a database")


# -- streams -----------------------------------------------------------------------------------------------------------


def _never_fail_to_encode() -> None:
    """Characters that the terminal's encoding does not have are written as escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _leave_stdout() -> None:
    """Lets the interpreter end without another attempt to write what nobody reads."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
