"""The queries of the tutorial, equal to TensorFlow called directly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tutorial import CSV, KERNELS, PARQUET, filter_of, literal, tolerance

import tfsql


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    column = pq.read_table(PARQUET).column("image").combine_chunks()
    return np.asarray(column.flatten().flatten()).reshape(-1, 28, 28)


@pytest.fixture(scope="module")
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        source = f"read_csv('{CSV}', header = true)"
        connection.sql(f'CREATE TABLE pixels AS SELECT * RENAME ("785" AS label) FROM {source}')
        connection.sql(f"CREATE TABLE digits AS FROM '{PARQUET}'")
        yield connection


def convolved(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return tf.nn.conv2d(images[..., None].astype(np.float32), kernel, 1, "SAME").numpy()[..., 0]


@pytest.mark.parametrize("name", KERNELS)
def test_one_picture_as_a_literal(con: tfsql.Connection, images: np.ndarray, name: str) -> None:
    picture = images[7].reshape(1, 28, 28, 1)
    relation = con.sql(
        f"SELECT tf_Conv2D({{input: {literal(picture)}, filter: {literal(filter_of(name))}}}, "
        "{T: { type: 'DT_FLOAT'}, padding: 'SAME', strides: [ 1, 1, 1, 1] }) AS *"
    )
    assert relation.columns == [f"0.{i}.{j}.0" for i in range(28) for j in range(28)]
    (row,) = relation.fetchall()
    expected = convolved(images[7:8], filter_of(name))
    np.testing.assert_allclose(np.array(row).reshape(1, 28, 28), expected, rtol=0, atol=tolerance(images))


@pytest.mark.parametrize("name", KERNELS)
def test_every_row_of_the_csv(con: tfsql.Connection, images: np.ndarray, name: str) -> None:
    relation = con.sql(
        f"SELECT label, tf_Conv2D(reshape({{* EXCLUDING(label)}}, [1,28,28,1]), {literal(filter_of(name))}, "
        "{T: 'DT_FLOAT', padding: 'SAME', strides: [1,1,1,1]}) AS picture FROM pixels"
    )
    assert relation.shapes == [(), (1, 28, 28, 1)]
    pictures = relation.numpy()["picture"].reshape(-1, 28, 28)
    np.testing.assert_allclose(pictures, convolved(images, filter_of(name)), rtol=0, atol=tolerance(images))


def test_a_sampled_row(con: tfsql.Connection, images: np.ndarray) -> None:
    (row,) = con.sql(
        "SELECT * EXCLUDING(label) FROM sample((select * from pixels where rowHash() % 5 = 0), {rows: 1})"
    ).fetchall()
    assert any(np.array_equal(np.array(row).reshape(28, 28), image) for image in images)


def test_the_mean_digit_of_each_label(con: tfsql.Connection, images: np.ndarray) -> None:
    rows = con.sql(
        "SELECT label, tf_Mean(list(image), 0) AS mean_digit FROM digits GROUP BY label ORDER BY label"
    ).fetchall()
    labels = con.sql("SELECT label FROM digits").numpy()["label"]
    assert [label for label, _ in rows] == list(range(10))
    for label, mean in rows:
        np.testing.assert_allclose(mean, images[labels == label].mean(axis=0), rtol=1e-4, atol=1e-3)


def test_filters_orders_and_joins(con: tfsql.Connection, images: np.ndarray) -> None:
    means = images.mean(axis=(1, 2))
    (count,) = con.sql("SELECT count(*) FROM digits WHERE tf_Mean(image, [0, 1]) > 45").fetchone()
    assert count == int((means > 45).sum()) > 0
    rows = con.sql("SELECT rowid FROM digits ORDER BY tf_L2Loss(image) DESC LIMIT 5").fetchall()
    energy = (images.astype(np.float64) ** 2).sum(axis=(1, 2)) / 2
    assert [row for (row,) in rows] == list(np.argsort(-energy, kind="stable")[:5])


def test_ragged_pictures_keep_the_order_of_the_table(con: tfsql.Connection) -> None:
    generator = np.random.default_rng(3)
    sizes = [(3, 4), (5, 5), (3, 4), (2, 7), (5, 5), (6, 3), (3, 4), (2, 7), (3, 4), (6, 3)]
    pictures = [generator.random(size, np.float32) for size in sizes]
    table = {"i": np.arange(10)}
    con.sql("CREATE OR REPLACE TABLE ragged (i BIGINT, x FLOAT[][])")
    for i, picture in zip(table["i"], pictures, strict=True):
        con.sql("INSERT INTO ragged VALUES (?, ?)", [int(i), picture.tolist()])
    kernel = filter_of("Right Sobel")
    rows = con.sql(
        f"SELECT i, tf_Mean(x, [0, 1]), tf_Conv2D(tf_ExpandDims(tf_ExpandDims(x, 0), -1), {literal(kernel)}, "
        "{padding: 'SAME', strides: [1, 1, 1, 1]}) FROM ragged"
    ).fetchall()
    assert [i for i, _, _ in rows] == list(range(10))
    for (_, mean, filtered), picture in zip(rows, pictures, strict=True):
        assert mean == pytest.approx(float(tf.reduce_mean(picture)), rel=1e-6)
        np.testing.assert_allclose(np.array(filtered)[0, ..., 0], convolved(picture[None], kernel)[0], atol=1e-5)


def test_png_gives_the_picture_back(con: tfsql.Connection, images: np.ndarray) -> None:
    decoded = con.sql(
        "SELECT tf_DecodePng(tf_EncodePng(reshape(tf_Cast(image, {DstT: 'uint8'}), [28, 28, 1]))) AS p "
        "FROM digits LIMIT 40"
    ).numpy()["p"]
    for picture, image in zip(decoded, images, strict=False):
        np.testing.assert_array_equal(picture[..., 0], image.astype(np.uint8))


def test_idx_files_read_in_one_line(con: tfsql.Connection) -> None:
    folder = PARQUET.parent.parent.parent / "shared" / "data" / "mnist"
    if not folder.exists():
        pytest.skip("the real MNIST is not beside the project")
    labels = con.sql(f"SELECT value FROM read_idx('{folder}/t10k-labels-idx1-ubyte.gz') LIMIT 10").fetchall()
    assert [label for (label,) in labels] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    relation = con.sql(f"SELECT tf_Max(value, [0, 1]) AS m, value FROM read_idx('{folder}/t10k-images-idx3-ubyte.gz')")
    assert relation.types == ["UTINYINT", "uint8[28, 28]"]
    assert relation.numpy()["m"].shape == (10_000,)
