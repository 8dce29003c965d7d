"""Values for the inputs of operators, drawn by name: ``float32[2, 3]``, ``int32[4] sorted 3``, ``string png``.

A notation is a dtype, a shape, and the name of a draw with its numbers; ``constant`` in front makes one value for
every row. The same generator of random numbers gives the same values on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfsql.registry.encoded import STRING_DRAWS
from tfsql.types import COMPLEX_PART, WIDENED

_NOTATION = re.compile(r"(constant )?([a-z]\w*)(?:\[([\d, ]*)\])?(?: ([a-z]\w*))?((?: -?[\d.]+)*)")
Generator = np.random.Generator
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Draw:
    """How the values of an input are drawn.

    Attributes:
      name: a key of ``DRAWS``; empty for what suits the dtype.
      numbers: the parameters of the draw.
      is_constant: whether every row has the same value.
      is_bytes: whether strings are a BLOB in SQL, as the dtype ``blob`` says.
    """

    dtype: str
    shape: Shape
    name: str
    numbers: tuple[float, ...]
    is_constant: bool
    is_bytes: bool = False

    @property
    def storage(self) -> str:
        """The dtype in which SQL holds the values."""
        return WIDENED.get(self.dtype, self.dtype)

    def value(self, generator: Generator) -> np.ndarray:
        """One value, of the dtype in which SQL holds it."""
        drawn = DRAWS[self.name or _DEFAULTS.get(self.storage, "normal")](generator, self.shape, *self.numbers)
        if self.storage == "string":
            return np.asarray(drawn, object)
        if self.storage in COMPLEX_PART and not np.iscomplexobj(drawn):
            drawn = drawn + 1j * generator.permuted(np.ravel(drawn)).reshape(np.shape(drawn))
        return np.asarray(drawn).astype(self.storage)


def read_draw(text: str) -> Draw:
    """The draw that a notation means."""
    match = _NOTATION.fullmatch(text)
    if match is None or match.group(4) not in (None, *DRAWS):
        raise ValueError(f"{text!r} does not say how to draw a value")
    constant, dtype, axes, name, numbers = match.groups()
    shape = tuple(int(axis) for axis in (axes or "").split(",") if axis.strip())
    settings = (name or "", tuple(float(number) for number in numbers.split()), constant is not None)
    return Draw("string", shape, *settings, is_bytes=True) if dtype == "blob" else Draw(dtype, shape, *settings)


# -- numbers -----------------------------------------------------------------------------------------------------------


def _normal(generator: Generator, shape: Shape, mean: float = 0, deviation: float = 1) -> np.ndarray:
    return generator.normal(mean, deviation, shape)


def _uniform(generator: Generator, shape: Shape, low: float = 0, high: float = 1) -> np.ndarray:
    return generator.uniform(low, high, shape)


def _between(generator: Generator, shape: Shape, low: float = 1, high: float = 8) -> np.ndarray:
    """Whole numbers, both ends among them."""
    return np.asarray(generator.integers(int(low), int(high) + 1, shape))


def _below(generator: Generator, shape: Shape, limit: float) -> np.ndarray:
    return np.asarray(generator.integers(0, int(limit), shape))


def _sorted(generator: Generator, shape: Shape, limit: float = 4) -> np.ndarray:
    """Whole numbers below a limit that do not fall along the last axis, as segments are numbered."""
    return np.sort(_below(generator, shape, limit), axis=-1)


def _rising(generator: Generator, shape: Shape) -> np.ndarray:
    """Fractions that rise along the last axis."""
    return np.cumsum(generator.uniform(0.1, 1, shape), axis=-1)


def _distinct(generator: Generator, shape: Shape, limit: float) -> np.ndarray:
    """Different whole numbers below a limit."""
    return generator.permutation(int(limit))[: int(np.prod(shape))].reshape(shape)


def _permutation(generator: Generator, shape: Shape) -> np.ndarray:
    return generator.permutation(int(np.prod(shape))).reshape(shape)


def _counting(generator: Generator, shape: Shape, start: float = 0, step: float = 1) -> np.ndarray:
    return (start + step * np.arange(int(np.prod(shape)))).reshape(shape)


def _coordinates(generator: Generator, shape: Shape, *limits: float) -> np.ndarray:
    """Different index rows below the limits, in order, as sparse tensors have them."""
    sizes = tuple(int(limit) for limit in limits)
    flat = np.sort(generator.permutation(int(np.prod(sizes)))[: shape[0]])
    return np.stack(np.unravel_index(flat, sizes), axis=-1)


def _splits(generator: Generator, shape: Shape, total: float) -> np.ndarray:
    """Where the rows of a ragged tensor of ``total`` values begin, and its end."""
    inner = np.sort(generator.integers(0, int(total) + 1, shape[0] - 2))
    return np.concatenate([[0], inner, [int(total)]])


def _sign(generator: Generator, shape: Shape) -> np.ndarray:
    return np.where(generator.random(shape) < 0.5, -1.0, 1.0)


def _bits(generator: Generator, shape: Shape) -> np.ndarray:
    return generator.random(shape) < 0.5


def _probabilities(generator: Generator, shape: Shape) -> np.ndarray:
    drawn = generator.uniform(0.1, 1, shape)
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))


def _boxes(generator: Generator, shape: Shape) -> np.ndarray:
    """Boxes as lower and upper corner, each between 0 and 1."""
    corners = np.sort(generator.random((*shape[:-1], 2, 2)), axis=-2)
    return corners.reshape(shape)


# -- matrices ----------------------------------------------------------------------------------------------------------


def _definite(generator: Generator, shape: Shape) -> np.ndarray:
    """Positive definite matrices, far from singular."""
    drawn = generator.normal(size=shape)
    return np.asarray(drawn @ np.swapaxes(drawn, -1, -2) + 3 * np.eye(shape[-1]))


def _dominant(generator: Generator, shape: Shape) -> np.ndarray:
    """Square matrices whose diagonal outweighs their rows, so that they have an inverse."""
    return np.asarray(generator.uniform(-1, 1, shape) + 2 * shape[-1] * np.eye(shape[-1]))


def _triangular(generator: Generator, shape: Shape) -> np.ndarray:
    return np.tril(_dominant(generator, shape))


DRAWS: dict[str, Callable[..., Any]] = STRING_DRAWS | {
    "normal": _normal,
    "uniform": _uniform,
    "between": _between,
    "below": _below,
    "sorted": _sorted,
    "rising": _rising,
    "distinct": _distinct,
    "permutation": _permutation,
    "counting": _counting,
    "coordinates": _coordinates,
    "splits": _splits,
    "sign": _sign,
    "bits": _bits,
    "probabilities": _probabilities,
    "boxes": _boxes,
    "definite": _definite,
    "dominant": _dominant,
    "triangular": _triangular,
}
_DEFAULTS = {"bool": "bits", "string": "words"} | dict.fromkeys(
    ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "between"
)
