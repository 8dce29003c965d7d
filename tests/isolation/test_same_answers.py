"""Whether kernels run in this process or in workers: the same rows, the same errors, the same explanations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsql

LINES = (Path(__file__).with_name("statements.sql")).read_text().splitlines()
STATEMENTS = [line for line in LINES if line and not line.startswith("--")]
RAGGED = """
CREATE TABLE ragged AS SELECT i,
  CASE WHEN i % 7 = 3 THEN NULL ELSE list_transform(range(1 + i % 5), lambda k: (k * i % 4)::FLOAT) END AS x,
  CASE WHEN i % 11 = 5 THEN NULL ELSE list_transform(range(i % 3 + 1), lambda k: 'é' || (k * i)) END AS s
FROM range(60) r(i)
"""


def connection(isolation: str) -> tfsql.Connection:
    made = tfsql.connect(config={"tfsql_isolation": isolation})
    made.execute("CREATE TABLE digits AS FROM 'data/digits.parquet'")
    made.execute(RAGGED)
    return made


@pytest.fixture(scope="module")
def here() -> Iterator[tfsql.Connection]:
    with connection("none") as made:
        yield made


@pytest.fixture(scope="module")
def apart() -> Iterator[tfsql.Connection]:
    with connection("process") as made:
        yield made


def told(con: tfsql.Connection, sql: str) -> Any:
    """What a connection answers: the rows, or class and text of the error; without the numbers of kernels."""
    try:
        rows = con.sql(sql).fetchall()
    except tfsql.TfsqlError as error:
        return type(error).__name__, str(error)
    return re.sub(r"tfsql_kernel_\d+", "kernel", repr(rows))


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement[:60])
def test_the_same_answer(here: tfsql.Connection, apart: tfsql.Connection, statement: str, tmp_path: Path) -> None:
    folders = [tmp_path / "here", tmp_path / "apart"]
    for folder in folders:
        folder.mkdir()
    first, second = (
        told(con, statement.replace("{folder}", str(folder)))
        for con, folder in zip((here, apart), folders, strict=True)
    )
    assert second == first


def test_every_statement_with_rows_by_arrow_too(here: tfsql.Connection, apart: tfsql.Connection) -> None:
    sql = "SELECT label, tf_Square(image) AS y, image FROM digits"
    assert apart.sql(sql).arrow().equals(here.sql(sql).arrow())
    assert sum(batch.num_rows for batch in apart.sql(sql).batches()) == 1797


@pytest.mark.parametrize(
    "statement", ["SELECT tf_Square(image) AS y FROM digits", "SELECT tf_Square(x) AS y FROM ragged"]
)
def test_the_counts_of_explain_analyze(here: tfsql.Connection, apart: tfsql.Connection, statement: str) -> None:
    counts = [
        re.findall(r"\d+ rows, \d+ TensorFlow calls", told(con, f"EXPLAIN ANALYZE {statement}"))
        for con in (here, apart)
    ]
    assert counts[0] == counts[1]
    assert len(counts[0]) == 1


def test_a_random_operator_without_seed_never_repeats(apart: tfsql.Connection) -> None:
    sql = "SELECT tf_RandomUniform([4], {dtype: 'float32'}) AS r FROM range(500) t(i)"
    drawn = np.concatenate([apart.sql(sql).numpy()["r"] for _ in range(3)])
    assert len(np.unique(drawn)) > 5_900


def test_parameters_and_plans(here: tfsql.Connection, apart: tfsql.Connection) -> None:
    sql = "SELECT tf_Conv2D(reshape($x, [1, 28, 28, 1]), $k, {padding: 'SAME', strides: [1, 1, 1, 1]}) AS y"
    generator = np.random.default_rng(0)
    kernel = generator.random((3, 3, 1, 1), np.float32)
    for _ in range(3):
        image = generator.random((28, 28), np.float32)
        pair = [con.sql(sql, {"x": image, "k": kernel}).numpy()["y"] for con in (here, apart)]
        assert np.array_equal(*pair)


def test_files_are_found_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tfsql.connect(config={"tfsql_isolation": "process"}, trust=True) as con:
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "text").write_text(name)
            monkeypatch.chdir(folder)
            assert con.sql("SELECT tf_ReadFile(x) AS y FROM (VALUES ('text')) t(x)").fetchall() == [(name.encode(),)]
        folder.joinpath("text").unlink()
        folder.rmdir()
        assert con.sql("SELECT tf_Square(2.0) AS y").fetchall() == [(4.0,)]


def test_answers_stay_when_their_worker_has_gone() -> None:
    with connection("process") as con:
        first = con.sql("SELECT tf_Square(image) AS y FROM digits").arrow()
        again = con.sql("SELECT tf_Square(image) AS y FROM digits").arrow()
    assert first.equals(again)
    assert max(picture.to_numpy().max() for picture in first.column("y")) == 255.0**2


def test_the_setting(here: tfsql.Connection) -> None:
    with pytest.raises(
        tfsql.TypeMismatchError, match="tfsql_isolation takes 'none' or, on Linux, 'process', not 'thread'"
    ):
        here.execute("SET tfsql_isolation = 'thread'")
    here.execute("SET tfsql_isolation = 'process'")
    assert here.settings["tfsql_isolation"] == "process"
    here.execute("RESET tfsql_isolation")
    assert here.settings["tfsql_isolation"] == "none"
