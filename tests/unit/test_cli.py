"""The command line from outside: what it reads, what it writes where, and with which code it ends."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tfsql
from tfsql.cli import main
from tfsql.errors import BindError, Span
from tfsql.terminal import doctor
from tfsql.terminal.doctor import MissingError
from tfsql.terminal.messages import colored
from tfsql.terminal.progress import State, progress_text

MAIN = "import sys; from tfsql.cli import main; sys.exit(main())"
# A shell that starts tests in the background has them ignore Ctrl-C, and their children too.
MAIN_WITH_CTRL_C = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {MAIN}"
ENDLESS = "SELECT count(*) FROM range(100000000000) AS r(i) WHERE hash(i) % 3 = 1"


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    # This process may have set TensorFlow's log level for itself.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, env=environment)


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
        ("line", "a = 1\nb = [1, 2]\n"),
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


# What a user may get wrong: the arguments, the exit code, and all that is told. {tmp} is a folder with the files that
# ``bad_files`` makes.
MISTAKES = [
    (["--bogus"], 2, "tfsql: there is no option --bogus\nHint: See tfsql --help"),
    (["--fromat", "csv"], 2, "tfsql: there is no option --fromat\nHint: Did you mean --format?"),
    (["-json", "-c", "SELECT 1"], 2, "tfsql: there is no option -json\nHint: Did you mean --format json?"),
    (["a.db", "SELECT 1"], 2, "tfsql: one argument too many: SELECT\nHint: To run SQL: tfsql -c"),
    (["a.db", "b.db"], 2, "tfsql: one argument too many: b.db\nHint: See tfsql --help"),
    (["-c"], 2, "tfsql: -c: expected one argument\nHint: See tfsql --help"),
    (["-c", "SELECT 1", "-f", "x"], 2, "tfsql: -f: not allowed with argument -c\nHint: See tfsql --help"),
    (["--pictures=sixels", "-c", "SELECT 1"], 2, "tfsql: --pictures: invalid choice: 'sixels' (choose from"),
    (["--set", "threads", "-c", "SELECT 1"], 2, "--set takes NAME=VALUE, not threads"),
    (["--set", "thread=1", "-c", "SELECT 1"], 3, "--set thread=1: unrecognized configuration parameter"),
    (["--set", "tfsql_lowering=2", "-c", "SELECT 1"], 4, "--set tfsql_lowering=2: tfsql_lowering takes on or off, not"),
    (["-f", "{tmp}/missing.sql"], 1, "Cannot read {tmp}/missing.sql: No such file or directory"),
    (["-f", "{tmp}"], 1, "Cannot read {tmp}: Is a directory"),
    (["-f", "{tmp}/binary"], 1, "Cannot read {tmp}/binary: it is not text in UTF-8"),
    (["-c", "SELECT 1 AS a,\n  'abc"], 2, "This string, quoted name or comment is never closed (line 2, column 3)"),
    (["-c", 'SELECT "abc'], 2, "This string, quoted name or comment is never closed (line 1, column 8)"),
    (["-c", "SELECT 1 /* abc"], 2, "This string, quoted name or comment is never closed (line 1, column 10)"),
    (["{tmp}/binary", "-c", "FROM t"], 6, "{tmp}/binary is not a DuckDB database\nHint: Query other files by name"),
    (["{tmp}/damaged.db", "-c", "FROM t"], 6, "{tmp}/damaged.db is damaged: what it holds does not match its checksum"),
    (["{tmp}", "-c", "FROM t"], 6, "{tmp} is a folder, not a database"),
    (["{tmp}/no/x.db", "-c", "SELECT 1"], 6, "Cannot open {tmp}/no/x.db: there is no such folder"),
    (
        ["{tmp}/x.db", "--readonly", "-c", "SELECT 1"],
        6,
        "There is no database {tmp}/x.db\nHint: Without --readonly it is",
    ),
    (["{tmp}/report.sql", "-c", "SELECT 1"], 1, "{tmp}/report.sql is SQL, not a database\nHint: To run it: tfsql -f"),
    (["SELECT 1", "-c", "SELECT 1"], 1, "DATABASE is a file, not SQL\nHint: To run SQL: tfsql -c"),
    (["--format", "csv", "ops"], 1, "The command ops stands first\nHint: tfsql ops, or ./ops for a database"),
    (["-c", "SELECT 1", "-o", "{tmp}"], 1, "Cannot write {tmp}: Is a directory"),
    (["-c", "SELECT 1", "-o", "{tmp}/no/x.csv"], 1, "Cannot write {tmp}/no/x.csv: No such file or directory"),
    (
        ["-c", "SELECT 1; SELECT 2", "-o", "{tmp}/x.parquet"],
        5,
        "A Parquet file holds one result, but this is the second",
    ),
    (["ops", "Conv2X"], 3, "No operator fits Conv2X\nHint: Did you mean Conv2D?"),
    (["ops", "--bogus"], 2, "tfsql ops: there is no option --bogus\nHint: See tfsql ops --help"),
    (["doctor", "now"], 2, "tfsql doctor: one argument too many: now\nHint: See tfsql doctor --help"),
]


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "binary").write_bytes(b"\xff\xfe\x00 binary" * 99)
    with tfsql.connect(str(folder / "damaged.db")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    content = bytearray((folder / "damaged.db").read_bytes())
    content[4096:] = bytes(byte ^ 0x5A for byte in content[4096:])
    (folder / "damaged.db").write_bytes(content)
    return folder


@pytest.mark.parametrize(("arguments", "code", "told"), MISTAKES, ids=[" ".join(m[0])[:40] for m in MISTAKES])
def test_mistakes(
    arguments: list[str], code: int, told: str, bad_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = set(bad_files.iterdir())
    try:
        ended = main([argument.replace("{tmp}", str(bad_files)) for argument in arguments])
    except SystemExit as stop:
        ended = stop.code
    captured = capsys.readouterr()
    assert captured.err.startswith(told.replace("{tmp}", str(bad_files)))
    assert (ended, captured.out) == (code, "")
    assert set(bad_files.iterdir()) == files


def test_a_database_in_use(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    hold = f"import tfsql; c = tfsql.connect({str(path)!r}); print('open', flush=True); input()"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdout.readline()
        done = run(str(path), "-c", "SELECT 1")
        holder.communicate("\n")
    told = f"{path} is in use by process {holder.pid}\nHint: Close it there first\n"
    assert (done.returncode, done.stdout, done.stderr) == (6, "", told)


# Root may write everything, so that it becomes nobody: after a first run, for nobody may not read every module either.
MAIN_OF_NOBODY = f"""
import os, pyarrow.parquet, tfsql.cli
tfsql.cli.main(["-c", "SELECT 1", "-o", os.devnull])
os.getuid() or os.setuid(65534)
{MAIN}
"""


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that others may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        tfsql.connect(f"{folder}/denied.db").close()
        Path(folder, "denied.csv").write_text("kept")
        for name in ("denied.db", "denied.csv"):
            os.chmod(Path(folder, name), 0o444)
        os.chmod(folder, 0o555)
        yield Path(folder)
        os.chmod(folder, 0o755)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["denied.db"], "Cannot open denied.db: permission denied\nHint: With --readonly it can be read\n"),
        (["new.db"], "Cannot open new.db: permission denied\n"),
        (["-o", "denied.csv"], "Cannot write denied.csv: Permission denied\n"),
        (["-o", "new.csv"], "Cannot write new.csv: Permission denied\n"),
        (["-o", "new.parquet"], "Cannot write new.parquet: Permission denied\n"),
    ],
)
def test_what_may_not_be_written(arguments: list[str], told: str, shared_folder: Path) -> None:
    command = [sys.executable, "-c", MAIN_OF_NOBODY, *arguments, "-c", "SELECT 1"]
    done = subprocess.run(command, cwd=shared_folder, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", told)
    assert done.returncode in (1, 6)
    assert sorted(path.name for path in shared_folder.iterdir()) == ["denied.csv", "denied.db"]


# -- files to write ----------------------------------------------------------------------------------------------------


def test_the_name_of_a_file_says_its_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"a.csv": "a\n1\n", "a.jsonl": '{"a": 1}\n', "a.md": "| a |\n| ---: |\n| 1 |\n"}
    for name, content in expected.items():
        assert main(["-c", "SELECT 1 AS a", "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text() == content
    assert main(["-c", "SELECT 1 AS a", "--format", "csv", "-o", str(tmp_path / "a.md")]) == 0
    assert (tmp_path / "a.md").read_text() == "a\n1\n"
    assert capsys.readouterr().out == ""


def test_a_file_is_complete_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    failing = "SELECT i, if(i = 9000, 'x', '1')::INTEGER AS a FROM range(10000) r(i)"
    assert main(["-c", failing, "-o", str(path)]) == tfsql.ExecutionError.exit_code
    assert list(tmp_path.iterdir()) == []
    path.write_text("kept")
    path.chmod(0o640)
    assert main(["-c", failing, "-o", str(path)]) == tfsql.ExecutionError.exit_code
    assert path.read_text() == "kept"
    assert main(["-c", "SELECT 1 AS a", "-o", str(path)]) == 0
    assert path.read_text() == "a\n1\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_file_is_absent(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    sql = "SELECT i FROM range(10000000000) r(i)"
    with started(MAIN_WITH_CTRL_C, "-c", sql, "-o", str(path)) as process:
        while not list(tmp_path.iterdir()):  # it may take its time to start
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_leaves_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with started(MAIN, "-c", "SELECT i FROM range(10000000000) r(i)", "-o", str(path)) as killed:
        while not [part for part in tmp_path.iterdir() if part.stat().st_size]:
            time.sleep(0.1)
        assert main(["-c", "SELECT 1 AS a", "-o", str(path)]) == 0  # another that still writes is left alone
        assert len(list(tmp_path.iterdir())) == 2
        killed.kill()
        killed.wait()
    assert path.read_text() == "a\n1\n"
    assert main(["-c", "SELECT 2 AS a", "-o", str(path)]) == 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_and_a_device_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert main(["-c", "SELECT 1 AS a", "-o", str(tmp_path / "link.csv")]) == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "a\n1\n"
    assert main(["-c", "SELECT 1 AS a", "-o", os.devnull]) == 0
    assert Path(os.devnull).is_char_device()


def test_parquet_keeps_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "squares.parquet"
    sql = "SELECT i, tf_Square([[i, 2.0]]::FLOAT[2][1]) AS s FROM range(5000) r(i)"
    assert main(["-c", sql, "-o", str(path)]) == 0
    with tfsql.connect() as connection:
        relation = connection.sql(f"SELECT * FROM '{path}' ORDER BY i")
        assert relation.types == ["BIGINT", "float32[1, 2]"]
        assert relation.fetchall()[4999] == (4999, ((24_990_000.0, 4.0),))
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "--format", "parquet", "-c", "SELECT 1 AS a WHERE false"],
        capture_output=True,
        check=True,
    )
    table = pq.read_table(io.BytesIO(done.stdout))
    assert (table.num_rows, table.column_names) == (0, ["a"])


# -- settings and commands ---------------------------------------------------------------------------------------------


def test_settings(capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT current_setting('threads') AS threads, current_setting('memory_limit') AS memory"
    arguments = ["--set", "threads=1", "--set", "memory_limit=100MiB", "--set", "tfsql_lowering=off"]
    assert main([*arguments, "--format", "csv", "-c", sql]) == 0
    assert capsys.readouterr().out == "threads,memory\n1,100.0 MiB\n"


def test_pictures_in_tables(capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT tf_Fill([8, 8], 1.0) AS x"
    assert main(["-c", sql]) == 0
    assert "min 1 max 1 mean 1" in capsys.readouterr().out
    assert main(["--pictures", "-c", sql]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4 + 4 + 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--pictures", "kitty"], "\x1b_Ga=T,"),
        (["--pictures=sixel"], "\x1bP0;1q"),
        (["--pictures", ":memory:"], "@" * 8),
        (["--pictures", "none"], "min 0 max 7"),
    ],
)
def test_how_pictures_are_drawn(arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT [[y // 4 * 7 FOR x IN range(8)] FOR y IN range(8)]::FLOAT[8][8] AS x"
    assert main([*arguments, "-c", sql]) == 0
    assert code in capsys.readouterr().out


def test_ops_explains_an_operator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "tf_conv2d"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tf_Conv2D(input, filter, {strides: ..., padding: ...})"
    assert "  padding  string in 'SAME', 'VALID', 'EXPLICIT' (required)" in lines
    assert lines[lines.index("  filter  T") + 1].startswith("      A 4-D tensor of shape [filter_height,")
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("pattern", "some", "others"),
    [
        ("conv2d", ["tf_Conv2D", "tf_Conv2DBackpropInput"], ["tf_MatMul"]),
        ("Resize*", ["tf_ResizeArea", "tf_ResizeBilinear"], ["tf_QuantizedResizeBilinear"]),
        ("element-wise", ["tf_Add"], ["tf_Conv2D"]),
    ],
)
def test_ops_lists(pattern: str, some: list[str], others: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", pattern, "--format", "jsonl"]) == 0
    listed = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(some) <= set(listed)
    assert not set(others) & set(listed)
    assert all(row["status"] for row in listed.values())


def test_ops_lists_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "Image"]) == 0
    assert "tf_AdjustHue" not in (shown := capsys.readouterr().out)
    assert "tf_DecodeImage" in shown


def test_doctor() -> None:
    done = run("doctor")
    found = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    found = {name: text.strip() for name, text in found.items()}
    assert (done.returncode, done.stderr) == (0, "")
    assert found["tfsql"] == tfsql.__version__
    assert "/cpu:0" in found["TensorFlow"]
    assert found["answer"] == "tf_Square([1.0, 2.0, 3.0]) is [1.0, 4.0, 9.0]"
    assert not [name for name, text in found.items() if text.startswith("missing")]


def test_doctor_tells_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise MissingError("plot() needs it: pip install matplotlib")

    monkeypatch.setattr(doctor, "CHECKS", (doctor.Check("matplotlib", fails),))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "matplotlib  missing: plot() needs it: pip install matplotlib\n"
    monkeypatch.setattr(doctor, "CHECKS", (doctor.Check("DuckDB", fails, is_needed=True),))
    assert main(["doctor"]) == 1


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


# -- terminals ---------------------------------------------------------------------------------------------------------


def test_a_narrow_terminal_without_colours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"COLUMNS": "40", "NO_COLOR": "1", "LC_ALL": "C", "LANG": "C"}.items():
        monkeypatch.setenv(name, value)
    digits = Path(__file__).parent.parent.parent / "data" / "digits.parquet"
    done = run("--pictures", "-c", f"SELECT 'ü' AS x, * FROM '{digits}' LIMIT 2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 40


def test_an_error_fits_a_narrow_terminal() -> None:
    sql = "SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, missing, 14, 15, 16, 17, 18, 19, 20"
    error = BindError("No missing", span=Span(sql.index("missing"), sql.index("missing") + 7)).locate(sql)
    _, line, carets = error.text(26).split("\n")
    assert len(line) <= 40
    assert line[len(carets) - 7 : len(carets)] == "missing"


def test_an_error_in_colour() -> None:
    error = BindError("No x", hint="Did you mean y?", span=Span(7, 8)).locate("SELECT x")
    assert colored(str(error)).split("\n") == [
        "\x1b[1mNo x (line 1, column 8)\x1b[0m",
        "1 | SELECT x",
        "           \x1b[1;31m^\x1b[0m",
        "\x1b[36mHint:\x1b[0m Did you mean y?",
    ]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", colored(str(error)))
    assert plain == str(error)


@pytest.mark.parametrize(
    ("state", "width", "text"),
    [
        (State(50.0, 1_000_000, 2.0), 79, "████████████············ 50 %  1,000,000 rows  500,000 rows/s  2 s left"),
        (State(50.0, 1_000_000, 2.0), 56, "████████████············ 50 %  500,000 rows/s  2 s left"),
        (State(50.0, 1_000_000, 2.0), 39, "████████████············ 50 %  2 s left"),
        (State(50.0, 0, 90.0), 20, "50 %  1 min 30 s lef"),
        (State(0.0, 0, 1.0), 79, "························ 0 %"),
        (State(None, 0, 2.0, "loading TensorFlow"), 79, "loading TensorFlow for 2 s"),
        (State(None, 4096, 2.0), 79, "running for 2 s  4,096 rows  2,048 rows/s"),
        (State(None, 1, 2.0), 79, "running for 2 s  1 row"),
    ],
)
def test_the_progress_line(state: State, width: int, text: str) -> None:
    assert progress_text(state, width) == text
