"""The standard library, function by function, against TensorFlow's own functions on real pictures."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

import tfsql
from tfsql.infer import Inference
from tfsql.library import LIBRARY

ROOT = Path(__file__).parent.parent
_TESTS = Path(__file__).read_text()


@pytest.fixture(scope="module")
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        connection.sql(f"CREATE TABLE digits AS SELECT label, image FROM '{ROOT}/data/digits.parquet' LIMIT 12")
        yield connection


@pytest.fixture(scope="module")
def digits(con: tfsql.Connection) -> np.ndarray:
    return con.sql("SELECT image FROM digits").numpy()["image"]


def photographs() -> np.ndarray:
    """Parts of a photograph: uint8[5, 40, 60, 3]."""
    flower = load_sample_image("flower.jpg")
    return np.stack([flower[60 * i : 60 * i + 40, 100:160] for i in range(5)])


def convolved(images: np.ndarray, kernel: Any) -> np.ndarray:
    """``[n, h, w, c]`` by TensorFlow, each channel by itself."""
    channels = images.shape[3]
    kernel = np.tile(np.array(kernel, np.float32)[..., None, None], (1, 1, channels, 1))
    return tf.nn.depthwise_conv2d(images.astype(np.float32), kernel, [1, 1, 1, 1], "SAME").numpy()


SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
EDGES = np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]])
SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
BOX = np.full((3, 3), 0.1)
BELL = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16

# Function, arguments behind the picture, and the same of pictures [n, h, w, c] by TensorFlow.
PICTURES: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("convolve", ", detect_edges_kernel()", lambda x: convolved(x, EDGES)),
    ("convolve", ", [[0.0, 1.5]]", lambda x: convolved(x, [[0.0, 1.5]])),
    ("sobel_x", "", lambda x: convolved(x, SOBEL)),
    ("sobel_y", "", lambda x: convolved(x, SOBEL.T)),
    ("sharpen", "", lambda x: convolved(x, SHARPEN)),
    ("box_blur", "", lambda x: convolved(x, BOX)),
    ("gaussian_blur", "", lambda x: convolved(x, BELL)),
    ("edge_magnitude", "", lambda x: np.hypot(convolved(x, SOBEL), convolved(x, SOBEL.T))),
    ("as_float", "", lambda x: x.astype(np.float32)),
    ("rescale", "", lambda x: x.astype(np.float32) / 255),
    ("resize", ", 17, 23", lambda x: tf.image.resize(x, [17, 23]).numpy()),
    ("flip_left_right", "", lambda x: tf.image.flip_left_right(x).numpy()),
    ("flip_up_down", "", lambda x: tf.image.flip_up_down(x).numpy()),
    ("transpose_image", "", lambda x: tf.image.transpose(x).numpy()),
    ("rot90", "", lambda x: tf.image.rot90(x).numpy()),
    ("rot90", ", 0", lambda x: x),
    ("rot90", ", 2", lambda x: tf.image.rot90(x, 2).numpy()),
    ("rot90", ", k := 3", lambda x: tf.image.rot90(x, 3).numpy()),
    ("adjust_brightness", ", 7", lambda x: x.astype(np.float32) + 7),
]


@pytest.mark.parametrize(("name", "rest", "expected"), PICTURES)
def test_pictures_of_every_rank(
    con: tfsql.Connection, digits: np.ndarray, name: str, rest: str, expected: Callable[[Any], Any]
) -> None:
    grey = con.sql(f"SELECT {name}(image{rest}) AS y FROM digits").numpy()["y"]
    np.testing.assert_allclose(grey, expected(digits[..., None])[..., 0], rtol=1e-5, atol=1e-3)
    colour = photographs()
    got = con.sql(f"SELECT {name}(column0{rest}) AS y FROM colour").numpy()["y"]
    np.testing.assert_allclose(got, expected(colour), rtol=1e-5, atol=1e-3)
    assert got.dtype == expected(colour).dtype
    pairs = np.stack([colour, colour[::-1]], axis=1)
    got = con.sql(f"SELECT {name}(column0{rest}) AS y FROM pairs").numpy()["y"]
    wanted = np.stack([expected(pair) for pair in pairs])
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", ["sharpen", "edge_magnitude", "resize", "rot90", "standardize"])
def test_pictures_of_different_sizes_and_none(con: tfsql.Connection, name: str) -> None:
    con.sql(
        "CREATE OR REPLACE TABLE ragged AS SELECT i, CASE WHEN i <> 3 THEN "
        "list_transform(range(i + 4), lambda r: list_transform(range(9 - i), lambda c: (r * c * 7 % 11)::FLOAT)) END "
        "AS x FROM range(5) q(i)"
    )
    rest = ", 6, 5" if name == "resize" else ""
    for i, x, y in con.sql(f"SELECT i, x, {name}(x{rest}) AS y FROM ragged").fetchall():
        assert (y is None) == (i == 3)
        if y is not None:
            alone = con.sql(f"SELECT {name}(?{rest}) AS y", [np.array(x, np.float32)]).numpy()["y"][0]
            np.testing.assert_allclose(np.array(y), alone, rtol=1e-5)


def test_several_pictures_in_a_row(con: tfsql.Connection) -> None:
    colour = photographs()
    pairs = np.stack([colour, colour[::-1]], axis=1).astype(np.float32)
    got = con.sql("SELECT convolve_pictures(column0, detect_edges_kernel()) AS y FROM pairs").numpy()["y"]
    np.testing.assert_allclose(got, np.stack([convolved(pair, EDGES) for pair in pairs]), rtol=1e-5, atol=1e-3)


def test_grayscale_and_standardize(con: tfsql.Connection) -> None:
    colour = photographs()
    floats = colour.astype(np.float32)
    got = con.sql("SELECT grayscale(column0) AS g, standardize(column0) AS s FROM colour").numpy()
    np.testing.assert_allclose(got["g"], tf.image.rgb_to_grayscale(floats), rtol=1e-5)
    np.testing.assert_allclose(got["s"], tf.image.per_image_standardization(floats), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        con.sql("SELECT mean_of(column0) AS m FROM colour").numpy()["m"], floats.mean(axis=(1, 2, 3)), rtol=1e-5
    )


def test_decoded_pictures(con: tfsql.Connection) -> None:
    files = []
    for picture, kind in zip(photographs(), ("PNG", "JPEG", "BMP", "PNG", "JPEG"), strict=True):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind)
        files.append(file.getvalue())
    con.sql("CREATE OR REPLACE TABLE files AS SELECT unnest(?::BLOB[]) AS contents", [files])
    decoded = con.sql("SELECT decode_image(contents) AS p, resize(decode_image(contents), 8, 8) AS s FROM files")
    for contents, (picture, small) in zip(files, decoded.fetchall(), strict=True):
        wanted = tf.io.decode_image(contents, 3, expand_animations=False)
        np.testing.assert_array_equal(np.array(picture), wanted)
        np.testing.assert_allclose(np.array(small), tf.image.resize(wanted, [8, 8]), rtol=1e-5)


RNG = np.random.default_rng(5)
VECTORS = RNG.normal(size=(9, 6)).astype(np.float32)
WEIGHTS, BIAS = RNG.normal(size=(6, 4)).astype(np.float32), RNG.normal(size=4).astype(np.float32)
OF_VECTORS: list[tuple[str, Callable[[Any], Any]]] = [
    ("softmax(x)", tf.nn.softmax),
    ("log_softmax(x)", tf.nn.log_softmax),
    ("top_k(x, 3).values", lambda x: tf.math.top_k(x, 3).values),
    ("top_k(x, 3).indices", lambda x: tf.math.top_k(x, 3).indices),
    ("top_class(x)", lambda x: tf.argmax(x, -1)),
    ("relu(x)", tf.nn.relu),
    ("sigmoid(x)", tf.nn.sigmoid),
    ("dense(x, $weights, $bias)", lambda x: x @ WEIGHTS + BIAS),
    ("l2_normalize(x)", lambda x: tf.math.l2_normalize(x, -1)),
    ("reciprocal_length(x)", lambda x: 1 / np.linalg.norm(x, axis=1)),
    (
        "cosine_similarity(x, [1, 2, 3, -1, 0, 5])",
        lambda x: -tf.keras.losses.cosine_similarity(x, [[1, 2, 3, -1, 0, 5.0]]),
    ),
    ("cosine_similarity(x, tf_Reverse(x, [true]))", lambda x: -tf.keras.losses.cosine_similarity(x, x[:, ::-1])),
    ("one_hot(top_class(x), 6)", lambda x: tf.one_hot(tf.argmax(x, -1), 6)),
]


@pytest.mark.parametrize(("call", "expected"), OF_VECTORS)
def test_vectors(con: tfsql.Connection, call: str, expected: Callable[[Any], Any]) -> None:
    parameters = {"weights": WEIGHTS, "bias": BIAS} if "$" in call else None
    got = con.sql(f"SELECT {call} AS y FROM (SELECT column0 AS x FROM VECTORS)", parameters).numpy()["y"]
    np.testing.assert_allclose(got, expected(VECTORS), rtol=1e-4, atol=1e-6)


def test_signals(con: tfsql.Connection) -> None:
    signals = np.sin(np.outer(np.arange(1, 6), np.arange(200) / 7)).astype(np.float32)
    got = con.sql(
        "SELECT frames(column0, 32, 12) AS f, spectrogram(column0, 32, 12) AS s, "
        "log_spectrogram(column0, 32, 12) AS l, hann_window(32) AS w FROM signals"
    ).numpy()
    np.testing.assert_array_equal(got["f"], tf.signal.frame(signals, 32, 12))
    spectrum = tf.abs(tf.signal.stft(signals, 32, 12, 32))
    np.testing.assert_allclose(got["s"], spectrum, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["l"], 10 * np.log10(np.square(spectrum) + 1e-12), rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(got["w"][0], tf.signal.hann_window(32), atol=1e-6)


@pytest.mark.parametrize(("length", "step"), [(16, 8), (8, 16), (25, 10), (7, 3), (5, 5), (200, 1), (1, 1)])
def test_frames_of_any_length_and_step(con: tfsql.Connection, length: int, step: int) -> None:
    signals = np.arange(1000).reshape(5, 200)
    got = con.sql(f"SELECT frames(column0, {length}, {step}) AS f FROM signals").numpy()["f"]
    np.testing.assert_array_equal(got, tf.signal.frame(signals, length, step))
    piece = np.gcd(length, step)
    query = (
        f"SELECT common_divisor({length}, {step}), frames_of_pieces(column0, {length}, {step}, {piece}) FROM signals"
    )
    divisor, frames = con.sql(query).fetchall()[0]
    assert divisor == piece
    np.testing.assert_array_equal(frames, got[0])


def test_kernels_are_those_of_the_tutorial(con: tfsql.Connection) -> None:
    for name, kernel in (
        ("right_sobel_kernel", SOBEL), ("bottom_sobel_kernel", SOBEL.T), ("detect_edges_kernel", EDGES),
        ("sharpen_kernel", SHARPEN), ("box_blur_kernel", BOX), ("gaussian_blur_kernel", BELL),
    ):  # fmt: skip
        ((got,),) = con.sql(f"SELECT {name}()").fetchall()
        np.testing.assert_allclose(np.array(got, np.float64), kernel)


def test_a_library_call_is_one_kernel_with_what_is_around_it(con: tfsql.Connection) -> None:
    text = con.sql("SELECT label, tf_Max(edge_magnitude(image), [0, 1]) / 2 AS y FROM digits").explain()
    assert text.count("tfsql_kernel") == 1
    assert text.count("a stencil over all pixels") == 2


@pytest.mark.parametrize("name", list(LIBRARY))
def test_every_function_is_documented_with_an_example_that_runs(
    con: tfsql.Connection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    doc = LIBRARY[name].doc
    example = re.search(r"^Example: (SELECT .*)$", doc, re.MULTILINE)
    assert example is not None
    assert f"{name}(" in example.group(1)
    assert con.sql(example.group(1)).fetchall()
    rows = con.sql(f"DESCRIBE FUNCTION {name}").fetchall()
    assert (rows[0][:3], rows[0][4]) == (("function", name, "library"), doc)
    assert re.search(rf"\b{name}\b", _TESTS), f"{name} is compared with nothing"


def test_the_users_own_function_comes_first(con: tfsql.Connection) -> None:
    with tfsql.connect() as own:
        own.sql("CREATE FUNCTION sharpen(image) AS image * 2.0")
        assert own.sql("SELECT sharpen([1.0, 2.0]::FLOAT[2])").fetchall() == [((2.0, 4.0),)]
        kinds = {name: kind for name, kind, *_ in own.sql("SHOW FUNCTIONS").fetchall()}
    assert (kinds["sharpen"], kinds["softmax"], kinds["jseval"]) == ("sql", "library", "python")


def test_show_functions_lists_the_users_own_first() -> None:
    with tfsql.connect() as own:
        own.sql("CREATE FUNCTION scaled(x, factor := 2) AS tf_Mul(x, factor)")
        own.create_function("half", lambda x: x / 2)
        relation = own.sql("SHOW FUNCTIONS")
        assert relation.columns == ["name", "kind", "parameters", "definition"]
        first, second, third, *rest = relation.fetchall()
    assert first == ("half", "python", ["x"], "")
    assert (second[0], third) == ("jseval", ("scaled", "sql", ["x", "factor"], "tf_Mul(x, factor)"))
    assert [row[0] for row in rest] == sorted(LIBRARY)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT sharpen([1.0, 2.0])", "There is no case for ndim([1.0, 2.0]) = 1; there is one for 2, 3, 4"),
        ("SELECT rot90([[1.0]], 7)", "There is no case for 7 = 7; there is one for 0, 1, 2, 3"),
        ("SELECT convolve([[1.0]])", 'Function convolve: missing argument "kernel"'),
    ],
)
def test_what_does_not_fit_is_refused(con: tfsql.Connection, query: str, message: str) -> None:
    with pytest.raises(tfsql.TfsqlError) as caught:
        con.sql(query).fetchall()
    assert message in caught.value.message


def test_a_case_of_the_engine_is_left_alone(con: tfsql.Connection) -> None:
    rows = con.sql(
        "SELECT CASE label WHEN 0 THEN 'zero' WHEN 1 THEN 'one' ELSE 'more' END AS w, tf_Square(label) AS s "
        "FROM digits LIMIT 3"
    ).fetchall()
    assert rows == [("zero", 0), ("one", 1), ("more", 4)]


def test_an_argument_is_bound_once_however_often_the_body_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    call = Inference.call
    monkeypatch.setattr(Inference, "call", lambda self, spec, *rest: made.append(spec.name) or call(self, spec, *rest))
    with tfsql.connect() as own:
        own.sql("CREATE FUNCTION twice(x) AS tf_Add(x, x)")
        own.sql("CREATE FUNCTION thrice(x) AS tf_Add(twice(x), x)")
        query = "SELECT thrice(twice(thrice(twice(tf_Square(x))))) AS y FROM (SELECT [1.0, 2.0]::FLOAT[2] AS x)"
        assert own.sql(query).fetchall() == [((36.0, 144.0),)]
    assert sorted(made) == ["Add"] * 6 + ["Square"]


def test_a_drawn_argument_is_drawn_for_each_place_in_the_body() -> None:
    with tfsql.connect() as own:
        own.sql("CREATE FUNCTION less(x) AS tf_Sub(x, x)")
        ((row,),) = own.sql("SELECT less(tf_RandomUniform([64], {dtype: 'float32'}))").fetchall()
    assert any(row)
