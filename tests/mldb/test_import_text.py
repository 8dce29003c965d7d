"""``import.text``: what it makes of files, good and bad, and what a failure leaves."""

from __future__ import annotations

import gzip
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tfsql
from tfsql.mldb import Connection, ResponseError

CASES = tomllib.loads((Path(__file__).parent / "import_text.toml").read_text())["case"]


@pytest.fixture
def mldb() -> Iterator[Connection]:
    with Connection() as connection:
        yield connection


def run(mldb: Connection, url: Path | str, **params: Any) -> dict[str, Any]:
    config = {"type": "import.text", "params": {"dataFileUrl": str(url), "outputDataset": "made", **params}}
    response = mldb.put("/v1/procedures/p", config)
    assert response.status_code == 201
    return response.json()["status"]["firstRun"]["status"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_file(mldb: Connection, tmp_path: Path, case: dict[str, Any]) -> None:
    path = tmp_path / "case.csv"
    path.write_bytes(case["latin1"].encode("latin-1") if "latin1" in case else case["text"].encode())
    if "error" in case:
        mldb.connection.execute("CREATE TABLE made AS SELECT 'old' AS was")
        with pytest.raises(ResponseError) as caught:
            run(mldb, path, **case.get("params", {}))
        assert case["error"] in str(caught.value)
        assert caught.value.status_code == 400
        assert mldb.connection.sql("FROM made").fetchall() == [("old",)]
        assert mldb.connection.sql("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall() == []
        return
    status = run(mldb, path, **case.get("params", {}))
    header, *rows = mldb.query("SELECT * FROM made", format="table")
    assert [["" if value is None else value for value in row] for row in rows] == case["rows"]
    assert header[1:] == case.get("columns", header[1:])
    assert status == {"rowCount": len(case["rows"]), "numLineErrors": case.get("bad", 0)}


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed(mldb: Connection, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.csv.{suffix}"
    if suffix == "gz":
        path.write_bytes(gzip.compress(b"a\n1\n"))
    else:
        with pa.output_stream(path, compression="zstd") as stream:
            stream.write(b"a\n1\n")
    run(mldb, path.as_uri())
    assert mldb.query("SELECT * FROM made", format="table")[1:] == [["2", 1]]


def test_what_is_no_file(mldb: Connection, tmp_path: Path) -> None:
    (tmp_path / "broken.csv.gz").write_bytes(b"this is not gzip")
    for url, error in [
        (tmp_path, "is a directory"),
        (tmp_path / "missing.csv", "There is no file"),
        (tmp_path / "broken.csv.gz", "Cannot read"),
        ("ftp://example.org/x.csv", "not ftp://"),
        ("http://127.0.0.1:9/x.csv", "Cannot read http://127.0.0.1:9/x.csv"),
    ]:
        with pytest.raises(ResponseError, match=error):
            run(mldb, url)


def test_over_http(mldb: Connection, tmp_path: Path) -> None:
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        run(mldb, f"{root}/x.csv.gz")
        with pytest.raises(ResponseError, match=r"Cannot read .*: File not found"):
            run(mldb, f"{root}/y.csv")
        server.shutdown()
    assert mldb.query("SELECT * FROM made", format="table")[1:] == [["2", 1]]


def test_timestamps(mldb: Connection, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    os.utime(path, (0, 86400))
    run(mldb, path, select="fileTimestamp() AS t, a")
    (row,) = mldb.query("SELECT * FROM made", format="full")
    assert row["columns"] == [
        ["t", {"ts": "1970-01-02T00:00:00Z"}, "1970-01-02T00:00:00Z"],
        ["a", 1, "1970-01-02T00:00:00Z"],
    ]
    run(mldb, path, timestamp="2016-05-01T00:00:00Z")
    assert mldb.query("SELECT * FROM made", format="full")[0]["columns"] == [["a", 1, "2016-05-01T00:00:00Z"]]


def test_a_procedure_runs_when_it_is_told_to(mldb: Connection, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n2\n")
    params = {"dataFileUrl": str(path), "outputDataset": {"id": "made", "type": "tabular"}, "runOnCreation": False}
    assert "status" not in mldb.put("/v1/procedures/p", {"type": "import.text", "params": params}).json()
    assert not mldb.connection.backend.has_table(["made"])
    response = mldb.post("/v1/procedures/p/runs", {"params": {"limit": 1}})
    assert response.status_code == 201
    assert response.json()["status"] == {"rowCount": 1, "numLineErrors": 0}
    (run_id,) = mldb.get("/v1/procedures/p/runs").json()
    assert mldb.get(f"/v1/procedures/p/runs/{run_id}").json()["state"] == "finished"


def test_progress_is_printed(mldb: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n2\n")
    config = {"type": "import.text", "params": {"dataFileUrl": str(path), "outputDataset": "made"}}
    assert mldb.put_and_track("/v1/procedures/p", config, 0.01).status_code == 201
    assert "100.0 %" in capsys.readouterr().err
    config["params"]["dataFileUrl"] = "nowhere"  # type: ignore[index]
    with pytest.raises(ResponseError, match="There is no file"):
        mldb.put_and_track("/v1/procedures/p", config, 0.01)


IMPORT = """
import sys
from tfsql.mldb import Connection
path, old, new = sys.argv[1:]
mldb = Connection(path)
print("ready", flush=True)
for number in range(1000):
    url = new if number % 2 else old
    mldb.put("/v1/procedures/p", {"type": "import.text", "params": {"dataFileUrl": url, "outputDataset": "made"}})
"""


def test_kills_leave_a_whole_dataset(tmp_path: Path) -> None:
    sizes = {"old": 3000, "new": 20000}
    files = {name: tmp_path / f"{name}.csv" for name in sizes}
    for name, path in files.items():
        path.write_text("name,n\n" + "".join(f"{name},{i}\n" for i in range(sizes[name])))
    database = tmp_path / "kills.db"
    seen = set()
    for attempt in range(10):
        command = [sys.executable, "-c", IMPORT, str(database), str(files["old"]), str(files["new"])]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.07 * attempt)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with tfsql.connect(str(database)) as con:
            if con.backend.has_table(["made"]):
                ((count, names, name, total),) = con.sql(
                    "SELECT count(*), count(DISTINCT name), min(name), sum(n) FROM made"
                ).fetchall()
                assert (names, count, total) == (1, sizes[name], sum(range(sizes[name])))
                seen.add(name)
            assert con.sql("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchall() == [(0,)]
    assert seen
