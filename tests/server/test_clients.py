"""Clients: ``tfsql.connect``, ``tfsql.mldb.Connection`` and MLDB's own pymldb 0.8.1 get what is had in process."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from server.running import Server
from tutorial import CONVOLVE, CSV, IMPORT, KERNELS

import tfsql
from tfsql import mldb
from tfsql.errors import BackendError, BindError, ForbiddenError, ResourceError, ShapeError, TypeMismatchError

PICTURE = "SELECT * EXCLUDING(label) FROM digits_mnist WHERE rowName() = '7'"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("--data-dir", str(CSV.parent), "--timeout-s", "60")
    yield made
    made.close()


@pytest.fixture(scope="module")
def remote(server: Server) -> Any:
    return tfsql.connect(server.url)


# -- tfsql.connect -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "SELECT tf_Square([1.0, 2.0, 3.0]::FLOAT[3]) AS y, 'a' AS s, NULL::INTEGER AS n",
        "SELECT i, [i, i + 1]::FLOAT[2] AS t, [i] AS l, {a: i} AS r FROM range(5000) r(i) ORDER BY i",
        "SELECT 1.5::DECIMAL(5, 2) AS d, TIMESTAMP '2020-01-02 03:04:05' AS t, '\\xAB'::BLOB AS b, true AS f",
        "SELECT i FROM range(3) r(i) WHERE i > 5",
    ],
)
def test_a_relation_is_the_one_of_an_embedded_connection(remote: Any, query: str) -> None:
    ours, theirs = tfsql.connect().sql(query), remote.sql(query)
    assert ours is not None
    assert theirs.columns == ours.columns
    assert theirs.shapes == ours.shapes
    assert theirs.fetchall() == ours.fetchall()
    assert theirs.arrow().equals(ours.arrow())
    for name, array in ours.numpy().items():
        np.testing.assert_array_equal(theirs.numpy()[name], array)
    assert theirs.flatten().columns == ours.flatten().columns


def test_statements_and_parameters(remote: Any) -> None:
    assert remote.sql("CREATE OR REPLACE TABLE t (i INTEGER)") is None
    remote.execute("INSERT INTO t VALUES (?)", [7])
    assert remote.sql("SELECT i + $x FROM t", {"x": 1}).fetchall() == [(8,)]
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(remote.sql("SELECT tf_Square(?) AS y", [image]).numpy()["y"][0], image**2)
    assert "Seq Scan" in remote.sql("SELECT i FROM t").explain()
    with pytest.raises(TypeMismatchError, match="object"):
        remote.sql("SELECT ?", [object()])


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELECT tf_Conv2d(1)", BindError),
        ("SELECT tf_MatMul([[1.0]]::FLOAT[1][1], [[1.0], [2.0]]::FLOAT[1][2])", ShapeError),
        ("SELECT * FROM read_csv('/etc/passwd')", ForbiddenError),
        ("SELECT i FROM range(2000000) r(i)", ResourceError),
    ],
)
def test_errors_are_those_of_an_embedded_connection(remote: Any, query: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        remote.sql(query)
    if kind in (BindError, ShapeError):
        with pytest.raises(kind) as embedded:
            tfsql.connect().sql(query)
        assert str(caught.value) == str(embedded.value)


def test_interrupt(remote: Any) -> None:
    failures: list[Exception] = []

    def run() -> None:
        try:
            remote.sql("SELECT sum(a.i * b.i % 7) FROM range(3000000) a(i), range(3000000) b(i)")
        except tfsql.TfsqlError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        remote.interrupt()
        time.sleep(0.05)
    assert "stopped: cancelled" in str(failures[0])


def test_no_server() -> None:
    with pytest.raises(BackendError, match="No answer from http://127"):
        tfsql.connect("http://127.0.0.1:1").sql("SELECT 1")
    with pytest.raises(BindError, match="no address"):
        tfsql.connect("http://")


# -- MLDB's interface --------------------------------------------------------------------------------------------------


def pymldb_connection(url: str) -> Any:
    """MLDB's own client; it is of Python 2, so that one word of it is another here."""
    spec = importlib.util.find_spec("pymldb")
    if spec is None or spec.origin is None or importlib.util.find_spec("tqdm") is None:
        pytest.skip("pymldb 0.8.1 or tqdm is not installed")
    module = types.ModuleType("pymldb")
    module.__path__ = list(spec.submodule_search_locations or [])
    module.__package__ = "pymldb"
    with open(spec.origin, encoding="utf-8") as file:
        source = file.read().replace(".iteritems()", ".items()")
    sys.modules["pymldb"] = module
    try:
        exec(compile(source, spec.origin, "exec"), module.__dict__)
    finally:
        del sys.modules["pymldb"]
    return module.Connection(url)


CLIENTS = {"pymldb": pymldb_connection, "tfsql": mldb.Connection}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, server: Server) -> Any:
    return CLIENTS[request.param](server.url)


def tutorial(client: Any) -> dict[str, np.ndarray]:
    """The cells of the tutorial; the pictures that come of them, each with its 784 columns."""
    assert client.put("/v1/procedures/import_digits_mnist", IMPORT).status_code == 201
    params = {"expression": CONVOLVE}
    assert client.put("/v1/functions/convolution", {"type": "sql.expression", "params": params}).status_code == 201
    data = client.query(PICTURE)
    assert data.index.name == "_rowName"
    image = data.to_numpy().reshape(28, 28)
    made = {"original": image}
    for name, kernel in KERNELS.items():
        pixels, weights = image.reshape(1, 28, 28, 1).tolist(), np.reshape(kernel, (3, 3, 1, 1)).tolist()
        js = client.query(f"SELECT convolution({{valueExpr: {image.reshape(-1).tolist()}, kernel: {kernel}}}) AS *")
        assert list(js.columns) == [str(i) for i in range(784)]
        tf = client.query(
            f"SELECT tf_Conv2D({{input: {pixels}, filter: {weights}}}, "
            "{T: {type: 'DT_FLOAT'}, padding: 'SAME', strides: [1, 1, 1, 1]}) AS *"
        )
        assert list(tf.columns) == [f"0.{i}.{j}.0" for i in range(28) for j in range(28)]
        made[f"{name} js"], made[f"{name} tf"] = js.to_numpy(), tf.to_numpy()
    return made


def test_the_tutorial_gives_what_it_gives_in_process(client: Any) -> None:
    with mldb.Connection() as embedded:
        expected = tutorial(embedded)
    made = tutorial(client)
    assert made.keys() == expected.keys()
    for name, picture in expected.items():
        np.testing.assert_array_equal(made[name], picture)


def test_resources_through_a_client(client: Any) -> None:
    assert repr(client.put("/v1/datasets/rows", {"type": "sparse.mutable"})) == "<Response [201]>"
    client.post("/v1/datasets/rows/rows", {"rowName": "r1", "columns": [["x", 1, 0], ["y z", "é", 0]]})
    client.post("/v1/datasets/rows/commit", {})
    assert client.query("SELECT * FROM rows", format="aos") == [{"_rowName": "r1", "x": 1, "y z": "é"}]
    assert "rows" in client.get("/v1/datasets").json()
    client.put("/v1/functions/plus", {"type": "sql.expression", "params": {"expression": "x + 1 AS y"}})
    assert client.get("/v1/functions/plus/application", {"input": {"x": 2}}).json() == {"output": {"y": 3}}
    assert client.delete("/v1/functions/plus").status_code == 204
    with pytest.raises(Exception, match="no function"):
        client.get("/v1/functions/plus")


def test_the_query_string_is_as_good_as_a_body(server: Server) -> None:
    answer = server.request("GET", "/v1/query?q=SELECT+1+AS+x&format=table&headers=false")
    assert answer.json() == [["result", 1]]
    server.request("PUT", "/v1/functions/twice", {"type": "sql.expression", "params": {"expression": "2 * x AS y"}})
    answer = server.request("GET", "/v1/functions/twice/application?input=%7B%22x%22%3A4%7D")
    assert answer.json() == {"output": {"y": 8}}
    assert server.request("GET", "/v1/nowhere").status == 404


def test_a_query_that_is_too_long_is_told_so() -> None:
    server = Server("--max-body", "1MB")
    try:
        with pytest.raises(ResourceError, match="A request is at most"):
            tfsql.connect(server.url).sql(f"SELECT '{'x' * 8_000_000}'")
    finally:
        server.close()
