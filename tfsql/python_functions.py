"""Python functions in SQL: called on whole columns, as NumPy arrays or tensors with a leading axis of rows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from tfsql.bind.forms import is_operator_name
from tfsql.errors import BindError, TypeMismatchError
from tfsql.rows import Rows, array_from_rows, concatenate
from tfsql.types import SQL_OF_DTYPE, SqlType, Struct, TensorType, castable, display, sql_type, tensor_type
from tfsql.vectorised import RowWise, Vectorised

if TYPE_CHECKING:
    from tfsql.bind.calls import CallSite

INPUTS = ("numpy", "tensors")
# Axes that differ from row to row have these lengths in the two trials that tell a function's result type.
_TRIAL_LENGTHS = (2, 3)


@dataclass(frozen=True)
class PythonFunction:
    """A Python function that SQL calls by ``name``.

    Attributes:
      function: takes one array ``[rows, *shape]`` for each argument; returns an array ``[rows, *shape]``, or a dict of
        them, which is a row.
      returns: the SQL type of its results; None to learn it from a trial.
      inputs: ``numpy`` or ``tensors``: what the function takes.
    """

    name: str
    function: Callable[..., Any]
    returns: SqlType | None = None
    inputs: str = "numpy"

    is_typed_by_cast: ClassVar[bool] = False

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters; empty where Python does not tell."""
        try:
            return list(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):
            return []

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.function) or ""

    def bind(self, site: CallSite) -> Vectorised:
        """The vectorised function for the argument types of one call.

        Raises:
          TypeMismatchError: an argument is no tensor.
          BindError: an argument is missing or unknown; the result type cannot be told.
        """
        given = site.named(self.parameters)
        inputs = [self._tensor(name, argument) for name, argument in given]
        result = self.returns if self.returns is not None else self._trial(inputs)
        return PythonKernel(site.name, self, inputs, result)

    def _tensor(self, name: str, kind: SqlType) -> TensorType:
        tensor = tensor_type(castable(kind))
        if tensor is None:
            raise TypeMismatchError(f"{self.name}: {name} is {display(kind)}, which is no tensor")
        return tensor

    def call(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """The results for stacked rows, by name; a function that returns one array calls it ``""``."""
        if self.inputs == "tensors":
            from tfsql.kernel.tensors import tensor_of

            made = self.function(*map(tensor_of, arrays))
        else:
            made = self.function(*arrays)
        results = made if isinstance(made, Mapping) else {"": made}
        return {str(name): _array(value) for name, value in results.items()}

    def _trial(self, inputs: Sequence[TensorType]) -> SqlType:
        """The result type, told by a trial on two rows of ones; two trials where axes are open, to see them differ."""
        lengths = _TRIAL_LENGTHS[: 1 if all(tensor.is_fixed for tensor in inputs) else 2]
        try:
            made = [self.call([_ones(tensor, length) for tensor in inputs]) for length in lengths]
        except Exception as error:
            raise BindError(
                f"The result type of {self.name} is not known: on rows of ones it failed with "
                f"{type(error).__name__}: {error}",
                hint=f"Say it: create_function('{self.name}', ..., returns='FLOAT[28]')",
            ) from error
        kinds = {name: self._kind(name, [results[name] for results in made]) for name in made[0]}
        return kinds[""] if list(kinds) == [""] else Struct(tuple(kinds.items()))

    def _kind(self, name: str, arrays: Sequence[np.ndarray]) -> SqlType:
        ranks = {array.ndim for array in arrays}
        if ranks != {arrays[0].ndim} or arrays[0].ndim < 1 or len(arrays[0]) != 2:
            raise BindError(
                f"{self.name} must return one result for each row, but for 2 rows it returned the shape "
                f"{list(arrays[0].shape)}"
            )
        axes = zip(*(array.shape[1:] for array in arrays), strict=True)
        shape = tuple(axis[0] if len(set(axis)) == 1 else None for axis in axes)
        dtype = "string" if arrays[0].dtype.kind in "OSU" else str(arrays[0].dtype)
        if dtype not in SQL_OF_DTYPE and not dtype.startswith(("complex", "float16", "bfloat16")):
            raise BindError(f"{self.name} returned {name or 'an array'} of {dtype}, which SQL does not have")
        return sql_type(TensorType(dtype, shape, is_bytes=arrays[0].dtype.kind == "S"))


def check_name(name: str) -> None:
    """Refuses a name that SQL cannot call, or that is an operator's.

    Raises:
      BindError: it is one of these.
    """
    if not name.isidentifier():
        raise BindError(f"{name!r} is no name for a function: letters, digits and _ make one")
    if is_operator_name(name):
        hint = f"Call it {name.lower().removeprefix('tf_')}"
        raise BindError(f"{name} is a name of TensorFlow's operators", hint=hint)


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def _ones(tensor: TensorType, length: int) -> np.ndarray:
    shape = (2, *(length if axis is None else axis for axis in tensor.shape or ()))
    if tensor.dtype == "string":
        return np.full(shape, b"1" if tensor.is_bytes else "1", object)
    return np.ones(shape, tensor.dtype)


class PythonKernel(RowWise):
    """One Python function for arguments of certain types."""

    calls_of: ClassVar[str] = "calls of Python"
    failures: ClassVar[tuple[type[Exception], ...]] = (Exception,)

    def __init__(self, name: str, definition: PythonFunction, inputs: Sequence[TensorType], result: SqlType):
        self._definition = definition
        fields = result.fields if isinstance(result, Struct) else (("", result),)
        self._fields = {field: self._output(field, kind) for field, kind in fields}
        super().__init__(name, result, inputs, list(self._fields.values()))

    def _output(self, field: str, kind: SqlType) -> TensorType:
        tensor = tensor_type(kind)
        if tensor is None:
            shown = f"{field} as {display(kind)}" if field else display(kind)
            raise TypeMismatchError(f"{self._definition.name} cannot return {shown}, which is no tensor")
        return tensor

    def explanation(self) -> list[str]:
        return [f"{self._definition.name}: Python, one call for the rows of one shape"]

    def failure(self, error: Exception) -> str:
        if isinstance(error, TypeMismatchError):
            return f"{self._definition.name}: {error.message}"
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return f"{self._definition.name} failed: {detail}"

    def call(self, rows: list[Rows], count: int, *, is_uniform: bool) -> list[Rows]:
        if not is_uniform:
            singles = [[column.select(np.array([i])) for column in rows] for i in range(count)]
            parts = [self.call(single, 1, is_uniform=True) for single in singles]
            return [concatenate(list(column)) for column in zip(*parts, strict=True)]
        self.statistics.add(calls=1)
        made = self._definition.call(list(self._stacked(rows, count)))
        absent = [field for field in self._fields if field not in made]
        if absent:
            raise TypeMismatchError(f"it returned no {absent[0] or 'array'}; it returned {', '.join(made)}")
        return [_rows_of(made[field], tensor, count) for field, tensor in self._fields.items()]

    def _stacked(self, rows: list[Rows], count: int) -> Iterator[np.ndarray]:
        for column, tensor in zip(rows, self.inputs, strict=True):
            uniform = column.with_common_shape()
            elements = uniform.elements
            if tensor.dtype == "string" and not tensor.is_bytes:
                elements = _texts(elements)
            yield elements.reshape(count, *(uniform.shape or ()))

    def _assemble(self, results: list[Rows]) -> pa.Array:
        arrays = [array_from_rows(rows, kind) for rows, kind in zip(results, self.outputs, strict=True)]
        if not isinstance(self.result, Struct):
            return arrays[0]
        return pa.StructArray.from_arrays(arrays, names=list(self._fields))


def _texts(elements: np.ndarray) -> np.ndarray:
    made = np.empty(len(elements), object)
    made[:] = [element.decode() for element in elements]
    return made


def _rows_of(array: np.ndarray, tensor: TensorType, count: int) -> Rows:
    """A result as rows of its declared type.

    Raises:
      TypeMismatchError: the result has another number of rows, another shape, or values that the type does not hold.
    """
    axes = tensor.shape or ()
    is_fitting = array.ndim == len(axes) + 1 and all(
        want in (None, have) for want, have in zip(axes, array.shape[1:], strict=True)
    )
    if not is_fitting or len(array) != count:
        wanted = ["?" if axis is None else axis for axis in (count, *axes)]
        shown = f"[{', '.join(map(str, wanted))}]"
        raise TypeMismatchError(f"it returned the shape {list(array.shape)} where {shown} was expected")
    if tensor.dtype == "string":
        return Rows.stacked(_encoded(array))
    if not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
        raise TypeMismatchError(f"it returned {array.dtype} where {tensor.dtype} was expected")
    return Rows.stacked(np.ascontiguousarray(array.astype(tensor.dtype, copy=False)))


def _encoded(array: np.ndarray) -> np.ndarray:
    made = np.empty(array.size, object)
    made[:] = [item.encode() if isinstance(item, str) else bytes(item) for item in array.reshape(-1)]
    return made.reshape(array.shape)


_TENSOR_WAY = re.compile(r"(\w+)(?:\[([\d?, ]*)\])?")


def declared_type(text: str, engine_type: Callable[[str], SqlType]) -> SqlType:
    """The SQL type that a user wrote: the tensor way (``float32[28, 28]``) or the SQL way (``FLOAT[28][28]``)."""
    match = _TENSOR_WAY.fullmatch(text.strip())
    if match is None or match.group(1) not in SQL_OF_DTYPE:
        return engine_type(text)
    axes = [axis.strip() for axis in (match.group(2) or "").split(",") if axis.strip()]
    return sql_type(TensorType(match.group(1), tuple(None if axis == "?" else int(axis) for axis in axes)))
