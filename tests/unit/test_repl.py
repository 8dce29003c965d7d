"""The prompt: what is typed, what comes back, what a session survives."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import tfsql
from tfsql.repl import Repl
from tfsql.terminal.commands import COMMANDS
from tfsql.terminal.editor import is_complete, open_history, prompt_session

# How long a terminal is waited for: on a machine that does much else, TensorFlow alone takes half a minute to load.
PATIENCE_S = 60
ENTER, CTRL_C, CTRL_D, UP = "\r", "\x03", "\x04", "\x1b[A"

Typed = Callable[..., Repl]


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def typed(con: tfsql.Connection) -> Typed:
    """Runs a session over keys that have been typed already; it ends with Ctrl-D."""

    def run(*keys: str) -> Repl:
        with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
            keyboard.send_text("".join(keys) + CTRL_D)
            repl = Repl(con, mode="csv", session=prompt_session())
            assert repl.run() == 0
            return repl

    return run


@pytest.fixture
def repl(con: tfsql.Connection) -> Repl:
    return Repl(con, mode="csv")


# -- typing ------------------------------------------------------------------------------------------------------------


def test_a_statement_runs_at_its_semicolon(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT 1 AS a,", ENTER, "  ';' AS b", ENTER, ";", ENTER)
    assert capsys.readouterr().out == "a,b\n1,;\n"


def test_ctrl_c_clears_what_is_typed(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT nonsense", ENTER, "FROM", CTRL_C, "SELECT 2 AS a;", ENTER)
    captured = capsys.readouterr()
    assert captured.out == "a\n2\n"
    assert "nonsense" not in captured.err


def test_ctrl_d_leaves_an_empty_line_only(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT 3 AS a;", CTRL_D, ENTER)
    assert capsys.readouterr().out == "a\n3\n"


def test_empty_lines_do_nothing(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    typed(ENTER, "  ", ENTER, "-- a comment", ENTER, "SELECT 4 AS a;", ENTER)
    captured = capsys.readouterr()
    assert captured.out == "a\n4\n"
    assert captured.err.count("\n") == 2


def test_errors_show_a_caret_and_the_session_goes_on(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT missing;", ENTER, "SELECT 5 AS a;", ENTER)
    captured = capsys.readouterr()
    assert captured.out == "a\n5\n"
    assert "1 | SELECT missing;\n           ^^^^^^^" in captured.err


@pytest.mark.parametrize("leaving", [".quit", "exit", "QUIT;"])
def test_words_that_leave(typed: Typed, leaving: str, capsys: pytest.CaptureFixture[str]) -> None:
    typed(leaving, ENTER, "SELECT 6;", ENTER)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("SELECT 1", False),
        ("SELECT 1;", True),
        ("SELECT 1; -- done", True),
        ("SELECT 1; SELECT 2", False),
        ("SELECT ';", False),
        ("SELECT ';'", False),
        ("SELECT $$;", False),
        ("SELECT 1 /* ;", False),
        (f"SELECT {[0.5] * 100};", True),
        (".read some file", True),
        ("exit", True),
        ("help;", True),
        ("\\d", True),
        ("tf_Conv2D?", True),
        ("SELECT ?", False),
    ],
)
def test_when_input_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


# -- history -----------------------------------------------------------------------------------------------------------


def test_history_is_kept_between_sessions(typed: Typed, state_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT 7", ENTER, "AS a;", ENTER)
    assert "+SELECT 7\n+AS a;\n" in (state_home / "tfsql" / "history").read_text()
    history = open_history()
    assert isinstance(history, FileHistory)
    assert list(history.load_history_strings()) == ["SELECT 7\nAS a;"]


def test_history_is_in_memory_where_no_file_can_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    assert isinstance(open_history(), InMemoryHistory)
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/dev/null")
    assert isinstance(open_history(), InMemoryHistory)


def test_history_survives_a_full_disk(capsys: pytest.CaptureFixture[str]) -> None:
    history = open_history()
    history.filename = "/dev/full" if os.path.exists("/dev/full") else "/no/such/folder/history"
    history.store_string("SELECT 1;")
    assert "Cannot write the history" in capsys.readouterr().err


# -- dot commands ------------------------------------------------------------------------------------------------------


def test_help_lists_every_command(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle(".help")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [command.name for command in COMMANDS]


def test_an_unknown_command_suggests(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle(".tabels")
    assert capsys.readouterr().err == "No command .tabels\nHint: Did you mean .tables?\n"
    repl.handle(".xyzzy")
    assert "See .help" in capsys.readouterr().err


def test_help_finds_a_command(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle(".help TABLE")
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ".schema" in names
    assert ".timing" not in names
    repl.handle(".help tabel")
    assert capsys.readouterr().err == "No command fits tabel\nHint: Did you mean .tables?\n"
    repl.handle("HELP;")
    assert len(capsys.readouterr().out.splitlines()) == len(COMMANDS)


@pytest.mark.parametrize(
    ("typed", "here"), [(".timer on", ".timing"), ("\\d", ".tables"), (".open x.db", "ATTACH"), ("\\q", ".quit")]
)
def test_commands_of_other_shells_are_known(
    repl: Repl, typed: str, here: str, capsys: pytest.CaptureFixture[str]
) -> None:
    repl.handle(typed)
    assert capsys.readouterr().err.startswith(f"No command {typed.split()[0]}\nHint: Here it is {here}")
    assert not repl.is_leaving


def test_a_question_explains_a_function(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle("tf_Square?")
    assert capsys.readouterr().out.startswith("tf_Square(x)\n")
    repl.handle("sobel_x??")
    assert "sobel_x" in capsys.readouterr().out
    repl.handle("sobel_q?")
    assert "sobel_" in capsys.readouterr().err


def test_once_writes_the_next_input_to_a_file(repl: Repl, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two words.parquet"
    repl.handle(f".once '{path}'")
    repl.handle("SELECT tf_Square([[1.0, 2.0]]) AS x;")
    repl.handle("SELECT 1 AS a;")
    assert capsys.readouterr().out == "a\n1\n"
    assert repl.connection.sql(f"FROM '{path}'").types == ["float32[1, 2]"]
    repl.handle(f".once {tmp_path / 'rows.csv'}")
    repl.handle("SELECT missing;")
    repl.handle("SELECT 2 AS a;")
    assert capsys.readouterr().out == "a\n2\n"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [path.name]


def test_tables_lists_tables_and_views(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle("CREATE TABLE t (a INTEGER); CREATE VIEW v AS FROM t;")
    repl.handle(".tables")
    assert capsys.readouterr().out == "name\nt\nv\n"


def test_timing(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle("SELECT 1;")
    assert "Time" not in capsys.readouterr().err
    repl.handle(".timing on")
    repl.handle("SELECT 1;")
    assert capsys.readouterr().err.startswith("Time: 0.0")
    repl.handle(".timing off")
    capsys.readouterr()
    repl.handle(".timing")
    assert capsys.readouterr().err == ".timing is off; choices: on, off\n"


def test_mode(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle(".mode jsonl")
    repl.handle("SELECT 1 AS a;")
    assert capsys.readouterr().out == '{"a": 1}\n'
    repl.handle(".mode jason")
    assert capsys.readouterr().err == (
        ".mode takes table, csv, json, jsonl, markdown, line, not jason\nHint: Did you mean json?\n"
    )
    assert repl.output.mode == "jsonl"


def test_read_runs_a_file_and_places_its_errors(repl: Repl, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two words.sql"
    path.write_text("SELECT 1 AS a;\nSELECT missing;\nSELECT 3")
    repl.handle(f".read '{path}'")
    captured = capsys.readouterr()
    assert captured.out == "a\n1\n"
    assert captured.err.startswith(f"{path}: ")
    assert "(line 2, column 8)" in captured.err


def test_schema_shows_what_makes_a_table(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle(".schema")
    assert capsys.readouterr().out == "No tables\n"
    repl.handle("CREATE TABLE t (a INTEGER); CREATE VIEW v AS SELECT tf_Square(a::FLOAT) AS s FROM t;")
    repl.handle(".schema t")
    assert capsys.readouterr().out == "CREATE TABLE t(a INTEGER);\n"
    repl.handle(".schema")
    assert "CREATE VIEW v AS SELECT tf_Square(a::FLOAT) AS s FROM t;\n" in capsys.readouterr().out
    repl.handle(".schema tt")
    assert capsys.readouterr().err == "No table or view tt\nHint: Did you mean t?\n"


def test_ops_explains(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle(".ops Square")
    assert capsys.readouterr().out.startswith("tf_Square(x)\n")


def test_functions_lists_them(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle("CREATE FUNCTION twice(x) AS tf_Mul(x, 2.0);")
    repl.handle(".functions")
    assert "\ntwice,sql," in capsys.readouterr().out


def test_pictures_and_rows(con: tfsql.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    repl = Repl(con)
    repl.handle("SELECT tf_Fill([8, 8], 1.0) AS x;")
    assert "mean 1" in capsys.readouterr().out
    repl.handle(".pictures on")
    repl.handle("SELECT tf_Fill([8, 8], 1.0) AS x;")
    assert "mean 1" not in capsys.readouterr().out
    repl.handle(".pictures sixel")
    repl.handle("SELECT tf_Fill([8, 8], 1.0) AS x;")
    assert "\x1bP0;1q" in capsys.readouterr().out
    repl.handle(".pictures off")
    repl.handle(".pictures")
    assert capsys.readouterr().err == ".pictures is none; choices: auto, kitty, sixel, blocks, none\n"
    repl.handle(".rows 3")
    repl.handle("FROM range(9);")
    assert "more than 3 rows (3 shown)" in capsys.readouterr().out
    repl.handle(".rows none")
    assert capsys.readouterr().err == ".rows takes a number above 0, not none\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [(".read", "missing the name of a file"), (".read /no/such.sql", "Cannot read /no/such.sql: No such file")],
)
def test_read_without_a_file(repl: Repl, command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    repl.handle(command)
    assert message in capsys.readouterr().err


# -- what a session survives -------------------------------------------------------------------------------------------


def test_a_fault_of_ours_does_not_end_the_session(
    repl: Repl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(repl.connection, "sql", lambda text: 1 / 0)
        repl.handle("SELECT 1;")
    assert "ZeroDivisionError" in capsys.readouterr().err
    repl.handle("SELECT 1 AS a;")
    assert capsys.readouterr().out == "a\n1\n"


def test_an_interrupted_query_does_not_end_the_session(
    repl: Repl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(repl.connection, "sql", interrupted)
        repl.handle("SELECT 1;")
    assert "Interrupted" in capsys.readouterr().err
    repl.handle("SELECT 1 AS a;")
    assert capsys.readouterr().out == "a\n1\n"


# -- a real terminal ---------------------------------------------------------------------------------------------------


COMMAND = shlex.join([sys.executable, "-c", "import sys; from tfsql.cli import main; sys.exit(main())"])


class Terminal:
    """A tmux session of its own."""

    def __init__(self, socket: Path, command: str, width: int, environment: dict[str, str]):
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        settings = [f"{name}={value}" for name, value in environment.items()]
        # Ctrl-C goes to the shell too, which must outlive it.
        line = shlex.join(["env", *settings, "sh", "-c", f"trap : INT; {command}; echo ended with $?; sleep 60"])
        size = ["-x", str(width), "-y", "50"]
        subprocess.run([*self._tmux, "new-session", "-d", *size, line], check=True, capture_output=True)

    def type(self, *keys: str) -> None:
        escaped = [key[:-1] + "\\;" if key.endswith(";") else key for key in keys]
        subprocess.run([*self._tmux, "send-keys", *escaped], check=True)

    def screen(self) -> str:
        done = subprocess.run([*self._tmux, "capture-pane", "-p"], check=True, capture_output=True)
        return "\n".join(line.rstrip() for line in done.stdout.decode().splitlines()).rstrip()

    def wait_for(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        return self._wait(lambda screen: text in screen, f"{text!r} does not appear", timeout_s)

    def wait_until_gone(self, text: str) -> str:
        return self._wait(lambda screen: text not in screen, f"{text!r} does not go away")

    def wait_for_prompt(self) -> str:
        """What is typed while something else has the terminal would be read, or echoed, by that."""
        return self._wait(lambda screen: screen.endswith("tfsql>"), "there is no prompt at the end")

    def _wait(self, has_come: Callable[[str], bool], complaint: str, timeout_s: float = PATIENCE_S) -> str:
        end = time.monotonic() + timeout_s
        while not has_come(screen := self.screen()):
            assert time.monotonic() < end, f"{complaint}:\n{screen}"
            time.sleep(0.1)
        return screen

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=True, capture_output=True)


@pytest.fixture(params=[(80, "screen-256color"), (40, "dumb")], ids=["80 columns", "dumb"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux")
    width, kind = request.param
    # tmux shows box characters only where the locale says UTF-8; what the session writes does not depend on it.
    environment = {"XDG_STATE_HOME": str(tmp_path), "TERM": kind, "LC_ALL": "C.UTF-8"}
    made = Terminal(tmp_path / "tmux", COMMAND, width, environment)
    yield made
    made.close()


@pytest.fixture
def wide_terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux")
    environment = {"XDG_STATE_HOME": str(tmp_path), "TERM": "screen-256color", "LC_ALL": "C.UTF-8"}
    made = Terminal(tmp_path / "tmux", COMMAND, 100, environment)
    made.wait_for("tfsql>")
    yield made
    made.close()


def test_a_session_in_a_terminal(terminal: Terminal) -> None:
    terminal.wait_for("tfsql>")
    terminal.type("SELECT 6 * 7", "Enter", "  AS answer", "Enter", ";", "Enter")
    screen = terminal.wait_for("1 row")
    assert "answer" in screen
    assert "     42 " in screen
    # Before the first of the two has run, Ctrl-C could still meet the prompt.
    terminal.type("SELECT 'be' || 'gun'; SELECT count(*) FROM range(100000000000) r(i) WHERE hash(i) % 3 = 1;", "Enter")
    terminal.wait_for("begun")
    terminal.type("C-c")
    terminal.wait_for("Interrupted")
    terminal.type("SELECT 'still' || ' here' AS x;", "Enter")
    terminal.wait_for("still here")
    terminal.type("C-d")
    terminal.wait_for("ended with 0")


def test_completion_in_a_call(wide_terminal: Terminal) -> None:
    wide_terminal.type("SELECT tf_Conv2D({pa")
    screen = wide_terminal.wait_for("string in 'SAME', 'VALID', 'EXPLICIT'")  # TensorFlow is loaded first
    assert "tf_Conv2D(input, filter, {strides: ..., padding: ...})" in screen
    wide_terminal.type("Tab", "'")
    wide_terminal.wait_for("'EXPLICIT'")
    wide_terminal.type("V")
    wide_terminal.wait_until_gone("'SAME'")
    wide_terminal.type("C-c", "C-d")
    wide_terminal.wait_for("ended with 0")


def test_progress_and_ctrl_c(wide_terminal: Terminal) -> None:
    wide_terminal.type("SELECT count(*) FROM range(100000000000) r(i) WHERE hash(i) % 3 = 1;", "Enter")
    wide_terminal.wait_for(" left")
    started = time.monotonic()
    wide_terminal.type("C-c")
    screen = wide_terminal.wait_for("Interrupted")
    assert time.monotonic() - started < 5
    assert " left" not in screen


def test_leaving_while_tensorflow_loads(wide_terminal: Terminal) -> None:
    wide_terminal.type("SELECT missing;", "Enter")  # told although TensorFlow's start is kept quiet
    wide_terminal.wait_for("^^^^^^^")
    wide_terminal.type("C-d")
    screen = wide_terminal.wait_for("ended with 0", 10)
    assert "Traceback" not in screen
    assert "oneDNN" not in screen


def test_the_editor_of_the_user(tmp_path: Path) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho \"SELECT 'edi' || 'ted';\" > \"$1\"\n")
    editor.chmod(0o755)
    environment = {"XDG_STATE_HOME": str(tmp_path), "TERM": "screen-256color", "LC_ALL": "C.UTF-8"}
    terminal = Terminal(tmp_path / "tmux", COMMAND, 80, {**environment, "VISUAL": str(editor)})
    try:
        terminal.wait_for("tfsql>")
        terminal.type("SELECT", "C-x", "C-e")
        terminal.wait_for("edited")
    finally:
        terminal.close()


def test_digits_in_the_terminal(wide_terminal: Terminal) -> None:
    data = Path(__file__).parent.parent.parent / "data" / "digits.parquet"
    wide_terminal.type(".pictures on", "Enter", f"SELECT label, image FROM '{data}' LIMIT 2;", "Enter")
    screen = wide_terminal.wait_for("2 rows")
    assert screen.count("▀" * 28) == 28


def test_a_pager_for_large_results(wide_terminal: Terminal) -> None:
    if shutil.which("less") is None:
        pytest.skip("no less")
    wide_terminal.type(".pager on", "Enter", "SELECT i FROM range(600) r(i);", "Enter")
    wide_terminal.wait_for("│ BIGINT │")  # completion, too, tells types
    screen = wide_terminal.wait_for("│     40 │")  # all 50 lines are used, though TensorFlow is being loaded
    assert "600 rows" not in screen
    wide_terminal.type("G")
    wide_terminal.wait_for("600 rows")
    wide_terminal.type("q")
    wide_terminal.wait_for_prompt()
    wide_terminal.type("SELECT 'small' AS s;", "Enter")
    wide_terminal.wait_for("1 row")
    wide_terminal.type("C-d")
    wide_terminal.wait_for("ended with 0")


def test_a_pager_that_is_not_there(
    repl: Repl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAGER", "no-such-pager -x")
    repl.handle(".pager on")
    assert capsys.readouterr().err.startswith("There is no program no-such-pager to page with\nHint: Set PAGER")
    assert not repl.output.is_paged
