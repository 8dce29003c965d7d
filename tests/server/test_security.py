"""Who may ask, and what SQL may not reach: each way out of the folders is refused with 403."""

from __future__ import annotations

import base64
import gzip
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server.running import Server, folder_with_files

TOKEN = "a-token-of-the-test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_with_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    made = Server(str(folder / "db.duckdb"), "--data-dir", str(folder))
    made.rows("CREATE TABLE t AS SELECT 1 AS i")
    yield made
    made.close()


INSIDE = [
    "SELECT a FROM read_csv('{folder}/inside.csv')",
    "SELECT a FROM '{folder}/inside.csv'",
    "SELECT a FROM '{folder}/../data/inside.csv'",
    "COPY t TO '{folder}/written.csv'; SELECT i FROM '{folder}/written.csv'",
]
FORBIDDEN = [
    # the engine's ways to read
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/pass' || 'wd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '{parent}/secret.csv'",
    "SELECT * FROM '{folder}/../secret.csv'",
    'SELECT * FROM "{folder}/../secret.csv"',
    "SELECT * FROM read_csv('{folder}/../secret.csv')",
    "SELECT * FROM read_csv('{folder}-other/secret.csv')",
    "SELECT * FROM read_csv('{folder}/link.csv')",
    "SELECT * FROM read_csv(concat('{folder}/li', 'nk.csv'))",
    "SELECT * FROM read_text('file:///etc/passwd')",
    "SELECT * FROM read_text('file://localhost/etc/passwd')",
    "SELECT * FROM read_text('~/.bashrc')",
    "SELECT * FROM read_parquet('https://example.com/x.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM 'http://127.0.0.1:9/x.csv'",
    "SELECT * FROM '{folder}/in\0side.csv'",
    "SELECT * FROM read_idx('{folder}/in\0side.csv')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM read_json('/proc/self/environ')",
    "CREATE TABLE stolen AS SELECT * FROM read_text('/etc/passwd')",
    "CREATE VIEW stolen AS SELECT tf_Square(1.0), * FROM read_text('/etc/passwd')",
    "INSERT INTO t SELECT 1 FROM read_text('/etc/passwd')",
    "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')",
    "SELECT content, tf_Square(1.0) FROM read_text('/etc/passwd')",
    # and to write
    "COPY t FROM '/etc/passwd'",
    "COPY t TO '/tmp/tfsql-stolen.csv'",
    "COPY (SELECT 1) TO '{folder}/../stolen.csv'",
    "COPY t TO '{folder}/db.duckdb'",
    "COPY t TO ('{folder}/db.' || 'duckdb')",
    "EXPLAIN ANALYZE COPY t TO '/tmp/tfsql-stolen.csv'",
    "EXPORT DATABASE '/tmp/tfsql-stolen'",
    "IMPORT DATABASE '/etc'",
    # other databases, extensions, settings
    "ATTACH '/tmp/other.duckdb' AS other",
    "ATTACH '{folder}/other.duckdb' AS other",
    "ATTACH IF NOT EXISTS ':memory:' AS other",
    "DETACH demo",
    "LOAD httpfs",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs",
    "CREATE SECRET s (TYPE s3)",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "SET enable_external_access = true",
    "SET GLOBAL allowed_directories = ['/']",
    "SET memory_limit = '1TB'",
    "SET tfsql_javascript_timeout_s = 1000",
    "RESET lock_configuration",
    "RESET tfsql_javascript_timeout_s",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "USE demo",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN ANALYZE ATTACH '/tmp/other.duckdb'",
    "(ATTACH '/tmp/other.duckdb')",
    "CREATE TEMP TABLE x AS SELECT 1",
    # SQL from text
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM \"query\"('SELECT 1')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    # TensorFlow's and tfsql's own
    "SELECT tf_ReadFile('/etc/passwd')",
    "SELECT tf_WriteFile('/tmp/tfsql-stolen', 'x')",
    "SELECT tf_MatchingFiles('/etc/*')",
    "SELECT * FROM read_idx('/etc/passwd')",
    "SELECT * FROM read_idx('{folder}/../secret.csv')",
    "CREATE VIEW sneaky AS SELECT * FROM read_idx('/etc/passwd')",
]


@pytest.mark.parametrize("sql", INSIDE)
def test_files_of_the_folder_are_reached(server: Server, folder: Path, sql: str) -> None:
    assert server.rows(sql.format(folder=folder))


@pytest.mark.parametrize("route", ["/api/query", "/v1/query"])
@pytest.mark.parametrize("sql", FORBIDDEN)
def test_all_else_is_refused(server: Server, folder: Path, sql: str, route: str) -> None:
    text = sql.format(folder=folder, parent=folder.parent)
    answer = server.request("POST", route, {"sql" if route == "/api/query" else "q": text})
    assert answer.status == 403, answer.body
    assert not Path("/tmp/tfsql-stolen.csv").exists()
    assert server.rows("SELECT i FROM t") == [[1]]


def test_a_refusal_is_in_the_log(server: Server) -> None:
    server.sql("SELECT * FROM read_text('/etc/shadow')")
    server.sql("SELECT 1")
    assert any("refused" in line and "/etc/shadow" in line for line in server.log)


PROCEDURES: list[tuple[str, dict[str, Any]]] = [
    ("import.text", {"dataFileUrl": "/etc/passwd", "outputDataset": "o"}),
    ("import.text", {"dataFileUrl": "file:///etc/passwd", "outputDataset": "o"}),
    ("import.text", {"dataFileUrl": "file://{folder}/%2e%2e/secret.csv", "outputDataset": "o"}),
    ("import.text", {"dataFileUrl": "{folder}/link.csv", "outputDataset": "o"}),
    ("import.text", {"dataFileUrl": "http://127.0.0.1:9/x.csv", "outputDataset": "o"}),
    ("import.text", {"dataFileUrl": "s3://bucket/x.csv", "outputDataset": "o"}),
    ("import.text", {"dataFileUrl": "{folder}/inside.csv", "outputDataset": "o", "select": "tf_ReadFile('/x') AS x"}),
    ("export.csv", {"exportData": "SELECT 1 AS x", "dataFileUrl": "/tmp/tfsql-stolen.csv"}),
    ("export.csv", {"exportData": "SELECT 1 AS x", "dataFileUrl": "file://{folder}/../stolen.csv"}),
    ("export.csv", {"exportData": "SELECT 1 AS x", "dataFileUrl": "{folder}/db.duckdb"}),
    ("export.csv", {"exportData": "SELECT * FROM read_text('/etc/passwd')", "dataFileUrl": "{folder}/out.csv"}),
    ("transform", {"inputData": "SELECT * FROM read_text('/etc/passwd')", "outputDataset": "o"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "params"), PROCEDURES)
def test_procedures_are_refused_too(server: Server, folder: Path, kind: str, params: dict[str, Any]) -> None:
    params = {name: value.format(folder=folder) for name, value in params.items()}
    answer = server.request("PUT", "/v1/procedures/p", {"type": kind, "params": params})
    assert answer.status == 403, answer.body
    assert not Path("/tmp/tfsql-stolen.csv").exists()


def test_a_procedure_within_the_folder_runs(server: Server, folder: Path) -> None:
    with gzip.open(folder / "packed.csv.gz", "wt") as file:
        file.write("x,y\n1,2,9\n")
    params = {"dataFileUrl": f"file://{folder}/packed.csv.gz", "outputDataset": "o", "ignoreExtraColumns": True}
    answer = server.request("PUT", "/v1/procedures/p", {"type": "import.text", "params": params})
    assert answer.json()["status"]["firstRun"]["status"] == {"rowCount": 1, "numLineErrors": 0}
    params = {"exportData": "SELECT * FROM o", "dataFileUrl": str(folder / "out.csv")}
    assert server.request("PUT", "/v1/procedures/p", {"type": "export.csv", "params": params}).status == 201
    assert (folder / "out.csv").read_text() == "x,y\n1,2\n"


def test_functions_are_refused_too(server: Server, folder: Path) -> None:
    model = {"modelFileUrl": "/etc/passwd", "inputs": "x", "outputs": "y"}
    answer = server.request("PUT", "/v1/functions/g", {"type": "tensorflow.graph", "params": model})
    assert answer.status == 403, answer.body
    query = {"query": "SELECT * FROM read_text('/etc/passwd')"}
    server.request("PUT", "/v1/functions/q", {"type": "sql.query", "params": query})
    assert server.request("POST", "/v1/functions/q/application", {"input": {}}).status == 403
    assert server.sql("SELECT q()").status == 403
    assert server.request("PUT", "/v1/functions/fetch", {"type": "fetcher"}).status == 201
    for url in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/", f"{folder}/../secret.csv"):
        answer = server.request("POST", "/v1/functions/fetch/application", {"input": {"url": url}})
        output = answer.json()["output"]
        assert output["content"] is None
        assert "this server may reach" in output["error"]
    inside = {"input": {"url": f"{folder}/inside.csv"}}
    output = server.request("POST", "/v1/functions/fetch/application", inside).json()["output"]
    assert base64.b64decode(output["content"]["blob"]).startswith(b"a,b")


def test_javascript_reaches_nothing(server: Server) -> None:
    for code in (
        "return require(''fs'')",
        "return process.env",
        "return fetch(''http://x'')",
        "return new Deno.open()",
    ):
        assert server.sql(f"SELECT jseval('{code}', 'x', 1) AS y").status == 400


def test_the_variables_of_the_server_are_no_tables(server: Server) -> None:
    for name in ("payload", "given", "rows", "batches"):
        assert server.sql(f"SELECT tf_Square(1.0) FROM {name}").status == 400


# -- who may ask -------------------------------------------------------------------------------------------------------


def test_other_names_and_other_sites_are_refused(server: Server) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert server.request("GET", "/v1/query?q=DROP+TABLE+t", headers=headers).status == 403, headers
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.sql("SELECT 1", **own).status == 200
    assert "access-control-allow-origin" not in server.sql("SELECT 1", **own).headers
    assert server.request("OPTIONS", "/api/query").status == 405


def test_headers(server: Server) -> None:
    for path in ("/", "/healthz", "/nowhere"):
        headers = server.request("GET", path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    server = Server("--token-file", str(file))
    try:
        assert server.request("GET", "/healthz").status == 200
        basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
        for authorization, status in (
            (None, 401),
            ("Bearer", 401),
            ("Bearer wrong", 401),
            (f"Bearer {TOKEN}x", 401),
            ("Basic !!!", 401),
            ("Bearer \xe9", 401),
            (f"Digest {TOKEN}", 401),
            (f"Bearer {TOKEN}", 200),
            (f"Basic {basic}", 200),
        ):
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = server.request("GET", "/api/queries", headers=headers)
            assert answer.status == status, authorization
            assert ("www-authenticate" in answer.headers) == (status == 401)
        assert server.request("GET", "/").status == 401
        import tfsql

        assert tfsql.connect(server.url, token=TOKEN).sql("SELECT 1").fetchall() == [(1,)]  # type: ignore[union-attr]
        with pytest.raises(tfsql.TfsqlError, match="token"):
            tfsql.connect(server.url).sql("SELECT 1")
        assert server.request("GET", "/healthz", headers={"Host": "any.name"}).status == 200
    finally:
        server.close()


def test_read_only(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "inside.csv", tmp_path)
    path = tmp_path / "db.duckdb"
    writer = Server(str(path))
    writer.rows("CREATE TABLE kept AS SELECT 7 AS i")
    writer.close()
    server = Server(str(path), "--read-only", "--data-dir", str(tmp_path))
    try:
        assert server.rows("SELECT i, tf_Square(2.0) FROM kept") == [[7, 4.0]]
        for sql in (
            "DROP TABLE kept",
            "WITH x AS (SELECT 1) INSERT INTO kept FROM x",
            f"COPY kept TO '{tmp_path}/o.csv'",
        ):
            assert server.sql(sql).status == 403
            assert server.request("GET", "/v1/query", {"q": sql}).status == 403
        assert server.request("PUT", "/v1/functions/f", {"type": "fetcher"}).status == 403
        assert not (tmp_path / "o.csv").exists()
    finally:
        server.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "0.0.0.0"],
        ["--host", "::"],
        ["--host", "example.com"],
        ["--read-only"],
        ["--data-dir", "/nowhere/at/all"],
        ["--token-file", "/nowhere/at/all"],
    ],
)
def test_what_a_server_does_not_start_with(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tfsql.cli", "serve", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 3), done.stderr
    assert "Traceback" not in done.stderr
