"""``/api/...``: SQL in, rows out in three forms, cancelled, out of time, too large; what a server tells of itself."""

from __future__ import annotations

import csv
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from server.running import Server

LONG = "SELECT sum(a.i * b.i % 7) AS x FROM range(3000000) a(i), range(3000000) b(i)"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("--timeout-s", "20", "--workers", "2", "--backlog", "2", "--max-body", "1MB", "--max-rows", "100000")
    yield made
    made.close()


def test_rows_as_json(server: Server) -> None:
    answer = server.sql("SELECT tf_Cos(0.0) AS y, [[1.0, 2.0]]::FLOAT[2][1] AS t, 'a' AS s, NULL AS n")
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["rows"] == [[1.0, [[1.0, 2.0]], "a", None]]
    assert [(column["name"], column["shape"]) for column in body["columns"]][:2] == [("y", []), ("t", [1, 2])]
    assert body["rowCount"] == 1


def test_what_json_lacks(server: Server) -> None:
    rows = server.rows("SELECT 'nan'::DOUBLE, ['-inf'::DOUBLE], DATE '2020-01-02', '\\xAB'::BLOB, 1.5::DECIMAL(4, 1)")
    assert rows == [[{"num": "NaN"}, [{"num": "-Inf"}], {"ts": "2020-01-02T00:00:00Z"}, {"blob": "qw=="}, 1.5]]


def test_rows_as_csv(server: Server) -> None:
    answer = server.sql("SELECT i, [i, i + 1] AS pair, 'a,b' AS s FROM range(3000) r(i)", Accept="text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.reader(io.StringIO(answer.body.decode())))
    assert lines[0] == ["i", "pair", "s"]
    assert len(lines) == 3001
    assert lines[-1] == ["2999", "[2999, 3000]", "a,b"]


def test_rows_as_arrow(server: Server) -> None:
    sql = "SELECT i, [i, i]::FLOAT[2] AS t FROM range(70000) r(i)"
    answer = server.sql(sql, Accept="application/vnd.apache.arrow.stream")
    table = pa.ipc.open_stream(answer.body).read_all()
    assert table.num_rows == 70_000
    assert pa.types.is_fixed_size_list(table.column("t").type)
    assert table.column("t")[5].as_py() == [5.0, 5.0]


def test_a_long_result_is_streamed(server: Server) -> None:
    rows = server.rows("SELECT i, repeat('x', 100) AS s FROM range(100000) r(i)")
    assert len(rows) == 100_000
    assert rows[-1] == [99_999, "x" * 100]


def test_parameters(server: Server) -> None:
    assert server.rows("SELECT ? + 1, ?", [1, "a"]) == [[2, "a"]]
    assert server.rows("SELECT $x", {"x": None}) == [[None]]
    image = {"tensor": "float32", "values": [[1, 2], [3, 4]]}
    assert server.rows("SELECT shape(?), tf_Square(?)", [image, image]) == [[[2, 2], [[1, 4], [9, 16]]]]
    assert server.sql("SELECT ?", [{"tensor": "float32", "values": [[1], [2, 3]]}]).status == 400


def test_plain_text_is_sql(server: Server) -> None:
    assert server.request("POST", "/api/query", body=b"SELECT 1", headers={"Content-Type": "text/plain"}).status == 200


def test_statements_without_rows(server: Server) -> None:
    assert server.sql("CREATE TABLE made (i INTEGER)").status == 204
    assert server.rows("INSERT INTO made VALUES (1), (2); SELECT count(*) FROM made") == [[2]]


def test_every_connection_sees_what_one_has_made(server: Server) -> None:
    server.rows("CREATE OR REPLACE VIEW bright AS SELECT tf_Square(3.0) AS y")
    server.rows("CREATE OR REPLACE FUNCTION cube(x) AS x * x * x")
    for _ in range(5):
        assert server.rows("SELECT y, cube(2) FROM bright") == [[9.0, 8]]
    server.rows("CREATE OR REPLACE VIEW bright AS SELECT tf_Square(4.0) AS y")
    for _ in range(5):
        assert server.rows("SELECT y FROM bright") == [[16.0]]


def test_a_transaction_ends_with_its_request(server: Server) -> None:
    server.rows("CREATE OR REPLACE TABLE kept (i INTEGER)")
    server.rows("BEGIN; INSERT INTO kept VALUES (1); COMMIT")
    assert server.sql("BEGIN; INSERT INTO kept VALUES (2)").status == 400
    assert server.rows("SELECT count(*) FROM kept") == [[1]]
    assert server.sql("BEGIN; INSERT INTO kept VALUES (3); SELECT nothing FROM nowhere").status == 400
    assert server.rows("INSERT INTO kept VALUES (4); SELECT count(*) FROM kept") == [[2]]


def test_an_error_says_where(server: Server) -> None:
    answer = server.sql("SELECT 1,\n  tf_Conv2d(1)")
    assert answer.status == 400
    body = answer.json()
    assert set(body) == {"error", "httpCode", "details"}
    details = body["details"]
    assert (details["code"], details["hint"]) == ("bind", "Did you mean tf_Conv2D?")
    assert [details[name] for name in ("line", "column", "start", "end")] == [2, 3, 12, 21]
    assert "^^^^^^^^^" in body["error"]
    assert "Traceback" not in body["error"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"sql": 1}', "application/json", 400),
        (b'{"sql": "SELECT 1", "more": 1}', "application/json", 400),
        (b'{"sql": "SELECT 1", "id": "a b"}', "application/json", 400),
        (b'{"sql": "SELECT 1", "parameters": 1}', "application/json", 400),
        (b'{"sql": NaN}', "application/json", 400),
        (b"\xff", "text/plain", 400),
        (b"", "text/plain", 204),
        (b"SELECT 1", "application/x-www-form-urlencoded", 415),
        (b'{"sql": "SELECT ?", "parameters": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", 400),
        (b"SELECT " + b"(" * 5000 + b"1" + b")" * 5000, "text/plain", 413),
        (b"SELECT " + b"-" * 200_000 + b"1", "text/plain", 400),
        (b"SELECT '" + b"x" * 1_100_000 + b"'", "text/plain", 413),
        (b"SELECT i FROM range(100001) r(i)", "text/plain", 413),
    ],
)
def test_bad_requests(server: Server, body: bytes, kind: str, status: int) -> None:
    answer = server.request("POST", "/api/query", body=body, headers={"Content-Type": kind})
    assert answer.status == status, answer.body
    if status >= 400:
        assert set(answer.json()) == {"error", "httpCode", "details"}


def test_a_form_that_is_not_there(server: Server) -> None:
    assert server.sql("SELECT 1", Accept="image/png").status == 406


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/api/query", 405)])
def test_other_routes(server: Server, method: str, path: str, status: int) -> None:
    answer = server.request(method, path)
    assert (answer.status, answer.json()["httpCode"]) == (status, status)


# -- queries that run --------------------------------------------------------------------------------------------------


def wait_for(test: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not test():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def running(server: Server) -> list[str]:
    return [query["id"] for query in server.request("GET", "/api/queries").json()]


def in_background(server: Server, payload: dict[str, object], answers: list[object]) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(server.request("POST", "/api/query", payload)))
    thread.start()
    return thread


def test_a_query_is_cancelled(server: Server) -> None:
    answers: list[object] = []
    thread = in_background(server, {"sql": LONG, "id": "mine"}, answers)
    wait_for(lambda: "mine" in running(server))
    assert server.sql("SELECT 1").status == 200
    told = server.request("GET", "/api/queries/mine").json()
    assert (told["sql"], told["state"]) == (LONG, "running")
    assert told["progress"] is None or 0 <= told["progress"] < 100
    assert server.request("DELETE", "/api/queries/mine").status == 204
    thread.join(10)
    assert answers[0].status == 409  # type: ignore[attr-defined]
    wait_for(lambda: not running(server))
    assert server.request("DELETE", "/api/queries/mine").status == 404


def raw_request(payload: dict[str, object]) -> bytes:
    body = json.dumps(payload).encode()
    lines = ["POST /api/query HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def test_a_client_that_leaves_cancels_its_query(server: Server) -> None:
    request = raw_request({"sql": LONG, "id": "left"})
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request)
        wait_for(lambda: "left" in running(server))
    wait_for(lambda: "left" not in running(server))
    assert server.sql("SELECT 1").status == 200


def test_a_client_that_leaves_amid_the_rows_frees_its_place(server: Server) -> None:
    request = raw_request({"sql": "SELECT repeat('x', 10000) AS s FROM range(100000)", "id": "amid"})
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request)
        assert connection.recv(1000)
        assert "amid" in running(server)
    wait_for(lambda: "amid" not in running(server))
    assert server.sql("SELECT 1").status == 200


def test_the_backlog_is_bounded(server: Server) -> None:
    answers: list[object] = []
    threads = [in_background(server, {"sql": LONG, "id": f"full-{i}"}, answers) for i in range(6)]
    wait_for(lambda: len(answers) == 2)
    for answer in answers:
        assert answer.status == 503  # type: ignore[attr-defined]
        assert answer.headers["retry-after"] == "1"  # type: ignore[attr-defined]
    assert "tfsql_queries_waiting 2" in server.request("GET", "/metrics").body.decode()
    end = time.monotonic() + 20
    while any(thread.is_alive() for thread in threads) and time.monotonic() < end:
        for name in running(server):
            server.request("DELETE", f"/api/queries/{name}")
        time.sleep(0.1)
    assert sorted(answer.status for answer in answers) == [409, 409, 409, 409, 503, 503]  # type: ignore[attr-defined]


def test_a_client_that_leaves_while_it_waits_leaves_the_line(server: Server) -> None:
    answers: list[object] = []
    threads = [in_background(server, {"sql": LONG, "id": f"busy-{i}"}, answers) for i in range(2)]
    wait_for(lambda: len(running(server)) == 2)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(raw_request({"sql": "SELECT 1"}))
            wait_for(lambda: "tfsql_queries_waiting 1" in server.request("GET", "/metrics").body.decode())
        wait_for(lambda: "tfsql_queries_waiting 0" in server.request("GET", "/metrics").body.decode())
    for name in running(server):
        server.request("DELETE", f"/api/queries/{name}")
    for thread in threads:
        thread.join(10)
    assert [answer.status for answer in answers] == [409, 409]  # type: ignore[attr-defined]


def test_readers_do_not_wait_for_a_writer(server: Server) -> None:
    answers: list[object] = []
    thread = in_background(server, {"sql": f"CREATE TABLE never AS {LONG}", "id": "writes"}, answers)
    wait_for(lambda: "writes" in running(server))
    assert server.rows("SELECT 1") == [[1]]
    server.request("DELETE", "/api/queries/writes")
    thread.join(10)
    assert server.sql("SELECT * FROM never").status == 400


def test_the_time_limit() -> None:
    server = Server("--timeout-s", "1")
    try:
        started = time.monotonic()
        assert server.sql(LONG).status == 408
        assert time.monotonic() - started < 5
        assert server.rows("SELECT 1") == [[1]]
    finally:
        server.close()


# -- what a server tells of itself -------------------------------------------------------------------------------------


def test_the_catalogue(server: Server) -> None:
    found = server.request("GET", "/api/operators?search=conv2d").json()
    assert "tf_Conv2D" in [row["name"] for row in found]
    assert all("conv2d" in f"{row['name']} {row['summary']}".lower() for row in found)


def test_metrics(server: Server) -> None:
    server.sql("SELECT 1")
    text = server.request("GET", "/metrics").body.decode()
    assert 'tfsql_requests_total{method="POST",route="query",status="200"}' in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0 for line in lines)


def test_the_openapi_document_is_of_the_routes_that_there_are(server: Server) -> None:
    document = server.request("GET", "/openapi.json").json()
    for path, item in document["paths"].items():
        for method in item:
            if method != "parameters":
                answer = server.request(method.upper(), path.replace("{id}", "nothing").replace("{run}", "nothing"))
                described = item[method]["responses"]
                assert str(answer.status) in described, (method, path, answer.status, answer.body)
                assert answer.status != 405


def test_the_documentation_names_every_option_and_route(server: Server) -> None:
    from tfsql.server.options import option_names

    text = (Path(__file__).parent.parent.parent / "docs" / "server.md").read_text()
    assert [name for name in option_names() if f"`{name}" not in text and f"{name}`" not in text] == []
    for path in server.request("GET", "/openapi.json").json()["paths"]:
        if not path.startswith("/v1/"):
            assert path.replace("{id}", "<id>") in text, path
