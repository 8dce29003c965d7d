"""The command line from outside: what it reads, what it writes where, and with which code it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tfsql
from tfsql.cli import main

MAIN = "import sys; from tfsql.cli import main; sys.exit(main())"
# A shell that starts tests in the background has them ignore Ctrl-C, and their children too.
MAIN_WITH_CTRL_C = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {MAIN}"
ENDLESS = "SELECT count(*) FROM range(100000000000) AS r(i) WHERE hash(i) % 3 = 1"


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", MAIN, *arguments], input=text, capture_output=True, text=True)


@contextmanager
def started(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


# -- where SQL comes from ----------------------------------------------------------------------------------------------


def test_a_command_prints_its_table_and_nothing_else() -> None:
    done = run("-c", "SELECT 42 AS answer")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[1:] == [
        "│  answer │",
        "│ INTEGER │",
        "├─────────┤",
        "│      42 │",
        "└─────────┘",
        "1 row",
        "",
    ]


def test_sql_from_standard_input() -> None:
    done = run("--format", "csv", text="CREATE TABLE t AS SELECT 42 AS a;\n-- a comment; with a semicolon\nFROM t;")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n42\n", "")


def test_an_empty_standard_input_does_nothing() -> None:
    done = run(text="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_statement_of_every_file_and_command_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one.sql", tmp_path / "two.sql"
    one.write_text("\ufeffSELECT 1 AS a; SELECT ';' AS b;", "utf-8")
    two.write_text("SELECT 3 AS c")
    assert main(["--format", "jsonl", "-f", str(one), "-f", str(two)]) == 0
    assert capsys.readouterr().out == '{"a": 1}\n{"b": ";"}\n{"c": 3}\n'
    assert main(["--format", "csv", "-c", "SELECT 4 AS d", "-c", "SELECT 5 AS e"]) == 0
    assert capsys.readouterr().out == "d\n4\ne\n5\n"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("csv", 'a,b\n1,"[1, 2]"\n'),
        ("json", '[\n{"a": 1, "b": [1, 2]}\n]\n'),
        ("jsonl", '{"a": 1, "b": [1, 2]}\n'),
        ("markdown", "| a | b |\n| ---: | --- |\n| 1 | [1, 2] |\n"),
    ],
)
def test_formats(mode: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--format", mode, "-c", "SELECT 1 AS a, [1, 2] AS b"]) == 0
    assert capsys.readouterr().out == expected


def test_a_database_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "kept.duckdb")
    assert main([path, "-c", "CREATE TABLE t AS SELECT 7 AS a"]) == 0
    assert main([path, "--readonly", "--format", "csv", "-c", "FROM t"]) == 0
    assert capsys.readouterr().out == "a\n7\n"
    assert main([path, "--readonly", "-c", "DROP TABLE t"]) != 0
    assert "read-only" in capsys.readouterr().err


def test_tensors_quietly() -> None:
    done = run("--format", "jsonl", "-c", "SELECT tf_Square([1.0, 2.0, 3.0]) AS y")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"y": [1.0, 4.0, 9.0]}\n', "")


def test_trust_allows_what_reads_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.txt"
    path.write_text("content")
    command = ["--format", "csv", "-c", f"SELECT tf_ReadFile('{path}')::VARCHAR AS t"]
    assert main(command) != 0
    assert capsys.readouterr().out == ""
    assert main(["--trust", *command]) == 0
    assert capsys.readouterr().out == "t\ncontent\n"


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "sql"),
    [
        (tfsql.ParseError, "SELEC 1"),
        (tfsql.BindError, "SELECT missing"),
        (tfsql.TypeMismatchError, "SELECT tf_Cholesky([[1, 2], [3, 4]]::BIGINT[2][2])"),
        (tfsql.ShapeError, "SELECT tf_MatMul([[1.0, 2.0]], [[1.0, 2.0]])"),
        (tfsql.UnsupportedError, "SELECT tf_ReadFile('x')"),
        (tfsql.BackendError, "ATTACH '/no/such/folder/x.duckdb' AS x"),
        (tfsql.ExecutionError, "SELECT 'x'::INTEGER"),
        (tfsql.ResourceError, "SET memory_limit = '1MB'; CREATE TABLE t AS FROM range(1000000) ORDER BY hash(range)"),
    ],
)
def test_the_exit_code_is_that_of_the_error(
    error: type[tfsql.TfsqlError], sql: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", sql]) == error.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip()


def test_errors_are_placed_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.sql"
    path.write_text("SELECT 1 AS a;\n\n/* two\nlines */ SELECT 2; SELECT\n  missing\nFROM range(3);\nSELECT 4")
    assert main(["--format", "csv", "-f", str(path)]) == tfsql.BindError.exit_code
    captured = capsys.readouterr()
    assert captured.out == "a\n1\n2\n2\n"
    first, line, caret = captured.err.split("\n")[:3]
    assert first.startswith(f"{path}: ")
    assert first.endswith("(line 5, column 3)")
    assert (line, caret) == ("5 |   missing", "      ^^^^^^^")


def test_errors_while_rows_are_read_are_placed_too(capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT 1;\nSELECT tf_CheckNumerics((i / 0)::FLOAT, {message: 'bad'})\nFROM range(-1, 3) AS r(i)"
    assert main(["-c", sql]) == tfsql.ExecutionError.exit_code
    assert "(line 2, " in capsys.readouterr().err


def test_a_statement_without_a_known_place_is_named_by_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "SELECT 1;\nSELECT 'x'::INTEGER"]) == tfsql.ExecutionError.exit_code
    assert "(line 2, column 1)" in capsys.readouterr().err


def test_nothing_runs_where_a_quote_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "SELECT 1;\nSELECT 'x"]) == tfsql.ParseError.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "(line 2, column 8)" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", "{tmp}/missing.sql"], "Cannot read {tmp}/missing.sql: No such file or directory"),
        (["-f", "{tmp}"], "Cannot read {tmp}: Is a directory"),
        (["-f", "{tmp}/binary"], "Cannot read {tmp}/binary: it is not text in UTF-8"),
        (["{tmp}/binary", "-c", "SELECT 1"], "it is not a valid DuckDB database file"),
        (["{tmp}/no/x.db", "-c", "SELECT 1"], 'Cannot open file "{tmp}/no/x.db": No such file or directory'),
        (["{tmp}/x.db", "--readonly", "-c", "SELECT 1"], "database does not exist"),
        (["{tmp}/report.sql", "-c", "SELECT 1"], "report.sql is SQL, not a database"),
        (["SELECT 1", "-c", "SELECT 1"], "DATABASE is a file, not SQL"),
    ],
)
def test_files_that_cannot_be_used(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00 binary" * 99)
    assert main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments]) not in (0, None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message.replace("{tmp}", str(tmp_path)) in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("arguments", [["--bogus"], ["-c", "SELECT 1", "-f", "x"], ["--format", "xml"], ["-c"]])
def test_arguments_that_make_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: tfsql" in capsys.readouterr().err


# -- the process -------------------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    with started(MAIN, "--format", "csv", "-c", "SELECT * FROM range(10000000)") as process:
        assert [process.stdout.readline() for _ in range(3)] == ["range\n", "0\n", "1\n"]
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 141


def test_a_full_disk_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    command = [sys.executable, "-c", MAIN, "-c", "SELECT 1"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "Cannot write the result: No space left on device\n")


def test_ctrl_c_stops_a_query() -> None:
    with started(MAIN_WITH_CTRL_C, "--format", "csv", "-c", f"SELECT 1 AS a; {ENDLESS}") as process:
        assert [process.stdout.readline() for _ in range(2)] == ["a\n", "1\n"]
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_a_slow_query_puts_no_progress_into_the_data() -> None:
    with started(MAIN_WITH_CTRL_C, "--format", "csv", "-c", f"SELECT 1 AS a; {ENDLESS}") as process:
        assert [process.stdout.readline() for _ in range(2)] == ["a\n", "1\n"]
        # DuckDB shows its progress after two seconds.
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")


def test_a_terminal_of_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run("-c", "SELECT 'ü' AS x")
    assert (done.returncode, done.stderr) == (0, "")
    assert "+---------+" in done.stdout
    assert "\\xfc" in done.stdout


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option, text in (("--version", f"tfsql {tfsql.__version__}\n"), ("--help", "examples:\n  tfsql -c")):
        with pytest.raises(SystemExit) as stop:
            main([option])
        assert stop.value.code == 0
        assert text in capsys.readouterr().out


def test_importing_the_command_line_is_light() -> None:
    code = "import json, sys, tfsql.cli; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "pandas", "prompt_toolkit"} & set(json.loads(done.stdout))
