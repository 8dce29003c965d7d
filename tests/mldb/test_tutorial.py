"""The cells of MLDB's tutorial "Image Processing with Convolutions", top to bottom on a Connection.

Against the original only the import line, ``print`` and ``as_matrix()`` are of today, and the file is the shipped one.
"""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tutorial import CONVOLVE, IMPORT, KERNELS

from tfsql.mldb import Connection


@pytest.fixture(scope="module")
def mldb() -> Any:
    # cell: a connection, and the digits
    connection = Connection()
    response = connection.put("/v1/procedures/import_digits_mnist", IMPORT)
    assert (response.status_code, repr(response)) == (201, "<Response [201]>")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def image(mldb: Connection) -> np.ndarray:
    # cell: a digit at random, as a picture
    data = mldb.query("""
        SELECT * EXCLUDING(label) FROM sample(
            (select * from digits_mnist
            where rowHash() % 5 = 0),
            {rows: 1}
        )
    """)
    assert data.index.name == "_rowName"
    assert list(data.columns) == [str(i) for i in range(1, 785)]
    return data.to_numpy().reshape(28, 28)


@pytest.fixture(scope="module")
def convolution(mldb: Connection) -> str:
    # cell: the convolution in JavaScript
    params = {"expression": CONVOLVE}
    response = mldb.put("/v1/functions/convolution", {"type": "sql.expression", "params": params})
    assert response.status_code == 201
    return "convolution"


def by_javascript(mldb: Connection, image: np.ndarray, kernel: list[float]) -> np.ndarray:
    # cell: SELECT convolution({valueExpr: [...], kernel: [...]}) AS *
    values, weights = json.dumps(image.reshape(-1).tolist()), json.dumps(kernel)
    made = mldb.query(f"SELECT convolution({{valueExpr: {values}, kernel: {weights}}}) AS *")
    assert list(made.columns) == [str(i) for i in range(784)]
    assert made.index.tolist() == ["result"]
    return made.to_numpy().reshape(28, 28)


def by_tensorflow(mldb: Connection, image: np.ndarray, kernel: list[float]) -> np.ndarray:
    # cell: the same with an operator of TensorFlow
    picture = json.dumps(image.reshape(1, 28, 28, 1).tolist())
    weights = json.dumps(np.reshape(kernel, (3, 3, 1, 1)).tolist())
    made = mldb.query(f"""
        SELECT
        tf_Conv2D(
            {{input: {picture},
             filter: {weights}
            }},
            {{T: {{ type: 'DT_FLOAT'}}, padding: 'SAME', strides: [ 1, 1, 1, 1] }}
        ) AS *
    """)
    assert list(made.columns) == [f"0.{i}.{j}.0" for i in range(28) for j in range(28)]
    return made.to_numpy().reshape(28, 28)


@pytest.mark.parametrize("name", KERNELS)
def test_the_two_convolutions(mldb: Connection, image: np.ndarray, convolution: str, name: str) -> None:
    kernel = KERNELS[name]
    js, tensor = by_javascript(mldb, image, kernel), by_tensorflow(mldb, image, kernel)
    expected = tf.nn.conv2d(image.reshape(1, 28, 28, 1).astype(np.float32), np.reshape(kernel, (3, 3, 1, 1)), 1, "SAME")
    np.testing.assert_allclose(tensor, expected.numpy().reshape(28, 28), rtol=0, atol=1e-3)
    np.testing.assert_allclose(tensor[1:27, 1:27], js[:26, :26], rtol=0, atol=0 if name in WHOLE else 1e-4)


WHOLE = [name for name, kernel in KERNELS.items() if all(isinstance(weight, int) for weight in kernel)]


def test_the_two_edges_differ(mldb: Connection, image: np.ndarray, convolution: str) -> None:
    blur = KERNELS["Box Blur"]
    assert not np.allclose(by_javascript(mldb, image, blur), by_tensorflow(mldb, image, blur))


def test_every_digit_in_one_query(mldb: Connection, convolution: str) -> None:
    kernel = KERNELS["Sharpen"]
    made = mldb.connection.sql(f"""
        SELECT convolution({{valueExpr: {{* EXCLUDING(label)}}, kernel: {kernel}}}) AS *
        FROM digits_mnist LIMIT 100
    """)
    pixels = mldb.connection.sql("SELECT {* EXCLUDING(label)} AS image FROM digits_mnist LIMIT 100").numpy()["image"]
    rows = np.stack([np.array(list(pixel.values())) for pixel in pixels])
    one = random.randrange(100)
    expected = by_javascript(mldb, rows[one].reshape(28, 28), kernel)
    np.testing.assert_array_equal(np.array(made.fetchall()[one]).reshape(28, 28), expected)
