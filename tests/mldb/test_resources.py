"""The resource model: requests and answers as data, then what data cannot say."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tensorflow as tf

import tfsql
from tfsql.mldb import Connection, ResponseError
from tfsql.mldb.resources import Resources

SESSIONS = tomllib.loads((Path(__file__).parent / "resources.toml").read_text())["session"]


@pytest.fixture
def mldb() -> Iterator[Connection]:
    with Connection() as connection:
        yield connection


def with_nulls(value: Any) -> Any:
    """A TOML value with null, which TOML lacks, in the place of the text."""
    if isinstance(value, dict):
        return {name: with_nulls(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_nulls(item) for item in value]
    return None if value == "null" else value


def has(body: Any, part: Any) -> bool:
    if not isinstance(part, dict):
        return bool(body == part)
    return all(name in body and has(body[name], item) for name, item in part.items())


@pytest.mark.parametrize("session", SESSIONS, ids=[session["name"] for session in SESSIONS])
def test_a_session(session: dict[str, Any]) -> None:
    with tfsql.connect() as connection:
        resources = Resources(connection)
        for request in session["requests"]:
            method = next(name for name in ("get", "put", "post", "delete") if name in request)
            answer = resources.handle(method, request[method], request.get("send"))
            assert answer.status == request.get("status", 200), answer.body
            if "body" in request:
                assert answer.body == with_nulls(request["body"])
            if "has" in request:
                assert has(answer.body, request["has"]), answer.body
            if "error" in request:
                assert request["error"] in answer.body["error"]
                assert answer.body["httpCode"] == answer.status
                assert isinstance(answer.body["details"], dict)


def test_an_error_says_where(mldb: Connection) -> None:
    with pytest.raises(ResponseError, match=r"\^\^\^\^") as caught:
        mldb.query("SELECT 1,\n nope")
    assert caught.value.response.json()["details"] == {"code": "bind", "line": 2, "column": 2}


def test_a_query_is_a_data_frame(mldb: Connection) -> None:
    made = mldb.query("SELECT i AS x NAMED 'r' || i FROM range(2) r(i)")
    expected = pd.DataFrame({"x": [0, 1]}, index=pd.Index(["r0", "r1"], name="_rowName"))
    pd.testing.assert_frame_equal(made, expected, check_index_type=False)


def test_what_lives_on_in_the_database(tmp_path: Path) -> None:
    path, text = tmp_path / "kept.db", tmp_path / "x.txt"
    text.write_text("hello")
    with Connection(str(path)) as mldb:
        for name, config in {
            "twice": {"type": "sql.expression", "params": {"expression": "tf_Mul(x, 2) AS y"}},
            "fetch": {"type": "fetcher"},
        }.items():
            mldb.put(f"/v1/functions/{name}", config)
        mldb.put("/v1/datasets/d", {"type": "sparse.mutable"})
        mldb.post("/v1/datasets/d/rows", {"rowName": "r", "columns": [["x", 4, 0]]})
    program = (
        "import sys; from tfsql.mldb import Connection\n"
        "m = Connection(sys.argv[1]); m.post('/v1/datasets/d/commit')\n"
        "fetched = f\"fetch({{url: '{sys.argv[2]}'}})[content]\"\n"
        "print(m.query(f'SELECT twice({{x}})[y] AS y, {fetched} AS c FROM d', 'aos'))"
    )
    command = [sys.executable, "-c", program, str(path), str(text)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made.strip() == "[{'_rowName': 'r', 'y': 8, 'c': {'blob': 'aGVsbG8='}}]"
    with tfsql.connect(str(path)) as con:  # a function of SQL alone is there for every connection
        assert con.sql("SELECT twice(21).y").fetchall() == [(42,)]


def test_fetching(mldb: Connection, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    mldb.put("/v1/functions/fetch", {"type": "fetcher"})
    urls = [(tmp_path / "x.txt").as_uri(), str(tmp_path / "none.txt"), None]
    con = mldb.connection
    rows = con.sql(
        "SELECT f.content, f.error FROM (SELECT fetch({url: unnest($urls)}) AS f)", {"urls": urls}
    ).fetchall()
    assert rows == [(b"hello", None), (None, f"There is no file {tmp_path / 'none.txt'}"), (None, None)]
    with pytest.raises(ResponseError, match="url is INTEGER, not a string"):
        mldb.query("SELECT fetch(1)")


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_exporting(mldb: Connection, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    params: dict[str, Any] = {"exportData": "SELECT 'a;b' AS s, [[1, 2], [3, 4]] AS res", "dataFileUrl": path.as_uri()}
    config = {"type": "export.csv", "params": {**params, "delimiter": ";"}}
    status = mldb.put("/v1/procedures/p", config).json()["status"]["firstRun"]["status"]
    assert status == {"rowCount": 1}
    content = path.read_bytes()
    text = (gzip.decompress(content) if name.endswith("gz") else content).decode()
    assert text == 's;res.0.0;res.0.1;res.1.0;res.1.1\n"a;b";1;2;3;4\n'
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_exporting_what_cannot_be(mldb: Connection, tmp_path: Path) -> None:
    for params, error in [
        ({"exportData": "SELECT nope", "dataFileUrl": str(tmp_path / "x.csv")}, "nope"),
        ({"exportData": "SELECT 1", "dataFileUrl": str(tmp_path / "no" / "x.csv")}, "There is no directory"),
        ({"exportData": "SELECT 1", "dataFileUrl": "s3://bucket/x.csv"}, "writes files"),
        ({"exportData": "SELECT 1", "dataFileUrl": str(tmp_path / "x.csv"), "quoteChar": "''"}, "quoteChar"),
    ]:
        with pytest.raises(ResponseError, match=error):
            mldb.put("/v1/procedures/p", {"type": "export.csv", "params": params})
    assert not list(tmp_path.iterdir())


# -- graphs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    with tf.Graph().as_default() as graph:
        content = tf.compat.v1.placeholder(tf.string, [], "DecodePng/contents")
        pixels = tf.cast(tf.io.decode_png(content), tf.float32, name="pixels")
        tf.multiply(tf.reduce_mean(pixels), tf.constant(2.0, name="mixed/conv/beta"), name="bright")
    path = tmp_path / "net.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    (tmp_path / "x.png").write_bytes(tf.io.encode_png(tf.fill([2, 2, 1], tf.constant(21, tf.uint8))).numpy())
    return path


def graph_params(frozen: Path, **more: Any) -> dict[str, Any]:
    return {"type": "tensorflow.graph", "params": {"modelFileUrl": frozen.as_uri(), **more}}


def test_a_graph_on_what_is_fetched(mldb: Connection, frozen: Path) -> None:
    mldb.put("/v1/functions/fetch", {"type": "fetcher"})
    given = 'fetch({url})[content] AS "DecodePng/contents"'
    config = graph_params(frozen, inputs=given, outputs="bright AS b, pixels", devices="/cpu:.*")
    assert mldb.put("/v1/functions/net", config).status_code == 201
    url = str(frozen.parent / "x.png")
    (row,) = mldb.query(f"SELECT net({{url: '{url}'}}) AS *", "aos")
    assert row == {"_rowName": "result", "b": 42, **{f"pixels.{i}.{j}.0": 21 for i in range(2) for j in range(2)}}
    assert mldb.query("SELECT tf_extract_constant('net', ['mixed', 'conv', 'beta'])", "atom") == 2
    assert mldb.get("/v1/functions/net/application", {"input": {"url": url}}).json()["output"]["b"] == 42


def test_a_graph_by_its_own_names(mldb: Connection, frozen: Path) -> None:
    mldb.put("/v1/functions/net", graph_params(frozen, inputs='picture AS "DecodePng/contents"'))
    con = mldb.connection
    picture = (frozen.parent / "x.png").read_bytes()
    assert con.sql("SELECT net(p).bright FROM (SELECT $p::BLOB AS p)", {"p": picture}).fetchall() == [(42.0,)]
    mldb.delete("/v1/functions/net")
    assert "net" not in con.function_names


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"outputs": "brihgt"}, 'no node "brihgt"'),
        ({"inputs": "x AS nowhere"}, 'no node "nowhere"'),
        ({"devices": "/gpu:.*"}, "no device matches '/gpu:.*'. There are: /cpu:0"),
        ({"device": "/cpu:0"}, "Did you mean devices"),
        ({"modelFileUrl": "/nowhere.pb"}, "There is no file /nowhere.pb"),
    ],
)
def test_graphs_that_do_not_fit(mldb: Connection, frozen: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ResponseError, match=message):
        mldb.put("/v1/functions/net", graph_params(frozen, **more))
    assert mldb.get("/v1/functions").json() == []


def test_a_graph_that_is_text(mldb: Connection, tmp_path: Path) -> None:
    path = tmp_path / "net.pb"
    path.write_text("node { name: 'x' }")
    with pytest.raises(ResponseError, match="is not a frozen TensorFlow graph"):
        mldb.put("/v1/functions/net", graph_params(path))


def test_a_graph_whose_file_is_gone(frozen: Path, tmp_path: Path) -> None:
    database = str(tmp_path / "kept.db")
    with Connection(database) as mldb:
        mldb.put("/v1/functions/net", graph_params(frozen))
    frozen.unlink()
    with Connection(database) as mldb:
        described = mldb.get("/v1/functions/net").json()
        assert described["state"] == "error"
        assert "There is no file" in described["error"]
        mldb.delete("/v1/functions/net")
