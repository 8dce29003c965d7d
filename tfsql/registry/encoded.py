"""Strings to draw: words, pictures and sounds in their file formats, serialised protocol buffers."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Generator = np.random.Generator
Shape = tuple[int, ...]

_WORDS = np.array(["a", "bc", "Déf", "", "12x", "a bc", "x,y"], object)
_NUMBERS = np.array(["1", "2.5", "-3e2", "0.125"], object)

# Pictures of 2 by 2 pixels in formats that TensorFlow reads but does not write.
_WEBP = (
    "UklGRkIAAABXRUJQVlA4TDUAAAAvAUAAAB+gIAABRD3x3EtP1LRtwLzpAFPi5SgUQAzyH4GlkMX8x8c0RfugIG0DFnU3ov/xAAA=",
    "UklGRjwAAABXRUJQVlA4TC8AAAAvAUAAAB8gFEAI8ifqRxGTQIAI0OpNgDg1bRswXXdhlj+BSvMfkH1aN7hAQ0T/IwA=",
    "UklGRjwAAABXRUJQVlA4TC8AAAAvAUAAAB+goG0bpp/v0I+KQIA48P/hwY4FgQARYcJ/iQQp8x/Hdz5J4AINEf0PAQA=",
)
_JXL = (
    "/woIEBAJCAABAHgASxiLFcIJbFs/rF0gCICiGMTnaIQEHfjVYv8Il3UO",
    "/woIEBAJCAABAHQASxiLFcIJbBs9Fl4gCAD9qiZAPu1rnikwiZv35gY=",
    "/woIEBAJCAABAHgASxiLFcIJeJNV8QsEARAXuTS7Rlg6RwG0B/3xqlEG",
)


def _chosen(texts: np.ndarray) -> Callable[..., np.ndarray]:
    return lambda generator, shape: _encoded(texts[generator.integers(0, len(texts), shape)])


def _encoded(texts: Any) -> np.ndarray:
    flat = np.asarray(texts, object)
    made = np.empty(flat.shape, object)
    for index in np.ndindex(flat.shape):
        text: Any = flat[index]
        made[index] = text.encode() if isinstance(text, str) else text
    return made


def _each(make: Callable[..., bytes]) -> Callable[..., np.ndarray]:
    """A draw of strings from one that makes a single string."""

    def draw(generator: Generator, shape: Shape, *numbers: float) -> np.ndarray:
        made = np.empty(shape, object)
        for index in np.ndindex(shape):
            made[index] = make(generator, *numbers)
        return made

    return draw


def _picture(generator: Generator, channels: float = 3) -> np.ndarray:
    return generator.integers(0, 256, (4, 5, int(channels))).astype(np.uint8)


def _encoded_by(encode: Callable[..., tf.Tensor]) -> Callable[..., np.ndarray]:
    return _each(lambda generator, *numbers: encode(image=_picture(generator, *numbers)).numpy())


def _bitmap(generator: Generator) -> bytes:
    """A BMP file of 2 by 2 pixels with three channels."""
    pixels = b"".join(generator.bytes(6) + b"\0\0" for _ in range(2))
    header = b"BM" + (54 + len(pixels)).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    size = b"".join(number.to_bytes(4, "little") for number in (40, 2, 2))
    rest = (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(4) + len(pixels).to_bytes(4, "little")
    return header + size + rest + bytes(16) + pixels


def _gif(generator: Generator) -> bytes:
    """A GIF file of one black or white pixel in two frames."""
    colours = b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\0\0\0\0\x2c" + bytes(4) + b"\1\0\1\0\0"
    pixels = (b"\x44" if is_black else b"\x4c" for is_black in generator.random(2) < 0.5)
    frames = b"".join(frame + b"\x02\x02" + pixel + b"\x01\0" for pixel in pixels)
    return b"GIF89a\1\0\1\0\x80\0\0" + colours + frames + b";"


def _sound(generator: Generator, samples: float = 8) -> bytes:
    audio = generator.uniform(-1, 1, (int(samples), 1)).astype(np.float32)
    return bytes(tf.raw_ops.EncodeWav(audio=audio, sample_rate=8000).numpy())


def _example(generator: Generator) -> bytes:
    """A serialised tf.train.Example with the features ``a`` (two floats), ``b`` (some int64) and ``c`` (a string)."""
    feature = {
        "a": tf.train.Feature(float_list=tf.train.FloatList(value=generator.normal(size=2))),
        "b": tf.train.Feature(int64_list=tf.train.Int64List(value=generator.integers(0, 9, generator.integers(0, 4)))),
        "c": tf.train.Feature(bytes_list=tf.train.BytesList(value=[_word(generator)])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True))


def _sequence_example(generator: Generator) -> bytes:
    """A serialised tf.train.SequenceExample: context ``a`` (two floats), and the sequence ``s`` of int64 pairs."""
    context = {"a": tf.train.Feature(float_list=tf.train.FloatList(value=generator.normal(size=2)))}
    steps = [
        tf.train.Feature(int64_list=tf.train.Int64List(value=generator.integers(0, 9, 2)))
        for _ in range(generator.integers(1, 4))
    ]
    lists = tf.train.FeatureLists(feature_list={"s": tf.train.FeatureList(feature=steps)})
    made = tf.train.SequenceExample(context=tf.train.Features(feature=context), feature_lists=lists)
    return bytes(made.SerializeToString(deterministic=True))


def _example_json(generator: Generator) -> bytes:
    value = generator.integers(0, 9)
    return f'{{"features": {{"feature": {{"a": {{"int64List": {{"value": ["{value}"]}}}}}}}}}}'.encode()


def _word(generator: Generator) -> bytes:
    return str(generator.choice(_WORDS)).encode()


def _serialized_tensor(generator: Generator) -> bytes:
    return bytes(tf.io.serialize_tensor(generator.normal(size=3).astype(np.float32)).numpy())


def _summary(generator: Generator, start: float) -> bytes:
    """A serialised summary with a tag that has a number from ``start`` to ``start`` + 98."""
    tag = f"t{int(start) + generator.integers(99)}"
    return bytes(tf.raw_ops.ScalarSummary(tags=tag, values=generator.random()).numpy())


def _csv(generator: Generator) -> bytes:
    return f'{generator.integers(-9, 99)},"{_word(generator).decode()}",{generator.random():.4f}'.encode()


def _base64(generator: Generator) -> bytes:
    return bytes(tf.io.encode_base64(generator.bytes(5)).numpy())


def _compressed(generator: Generator) -> bytes:
    return zlib.compress(generator.bytes(6))


def _serialized_sparse(generator: Generator) -> np.ndarray:
    """A sparse vector of 4 with two values, as the three strings of ``SerializeSparse``."""
    indices = np.sort(generator.permutation(4)[:2])[:, None]
    values = generator.normal(size=2).astype(np.float32)
    return np.asarray(tf.raw_ops.SerializeSparse(sparse_indices=indices, sparse_values=values, sparse_shape=[4]))


def _sparse(generator: Generator, shape: Shape) -> np.ndarray:
    made = np.empty(shape, object)
    for index in np.ndindex(shape[:-1]):
        made[index] = _serialized_sparse(generator)
    return made


STRING_DRAWS: dict[str, Callable[..., Any]] = {
    "words": _chosen(_WORDS),
    "numbers": _chosen(_NUMBERS),
    "hex": _chosen(np.array(["0f", "a1", "ff"], object)),
    "png": _encoded_by(tf.raw_ops.EncodePng),
    "jpeg": _encoded_by(tf.raw_ops.EncodeJpeg),
    "bmp": _each(_bitmap),
    "gif": _each(_gif),
    "wav": _each(_sound),
    "example": _each(_example),
    "sequence": _each(_sequence_example),
    "json": _each(_example_json),
    "tensor": _each(_serialized_tensor),
    "summary": _each(_summary),
    "csv": _each(_csv),
    "base64": _each(_base64),
    "compressed": _each(_compressed),
    "bytes": _each(lambda generator, count: generator.bytes(int(count))),
    "webp": _chosen(np.array([base64.b64decode(text) for text in _WEBP], object)),
    "jxl": _chosen(np.array([base64.b64decode(text) for text in _JXL], object)),
    "serialized": _sparse,
}
