"""Trials of one call for a batch of rows against calls row by row: what ``operators/batching.toml`` is made from."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np
import tensorflow as tf
from differential import tensor_of

from tfsql.infer import apply_operator
from tfsql.kernel.direct import call_on_stack
from tfsql.kernel.graph import storable
from tfsql.registry import Argument, Attribute, OperatorSpec, operator_spec
from tfsql.registry.attributes import dtype_from_name
from tfsql.registry.batching import SHIFTED
from tfsql.registry.cases import Case, Draw

CONVERTED = "converted"
RIGHT, WRONG, REFUSED = "right", "wrong", "refused"
ROW_COUNTS = (1, 2, 7)
# Whatever TensorFlow raises where it refuses a call, its converter's own classes among it.
_REFUSALS = (ValueError, TypeError, NotImplementedError, AssertionError, AttributeError, tf.errors.OpError)


@dataclass(frozen=True)
class Trial:
    """A case of which some inputs vary by row.

    Attributes:
      vary: the names of those inputs.
    """

    case: Case
    vary: frozenset[str]

    @cached_property
    def spec(self) -> OperatorSpec:
        spec = operator_spec(self.case.operator)
        assert spec is not None
        return spec

    @cached_property
    def varying(self) -> list[bool]:
        return [argument.name in self.vary for argument in self.spec.inputs]

    @cached_property
    def ranks(self) -> tuple[int, ...] | None:
        """The rank of each input; None where a list has several."""
        ranks = [{_rank(item) for item in self._items(argument)} for argument in self.spec.inputs]
        return tuple(rank.pop() for rank in ranks) if all(len(rank) == 1 for rank in ranks) else None

    @cached_property
    def rows(self) -> list[dict[str, np.ndarray]]:
        """Values by name; those of inputs that do not vary are the first row's."""
        drawn = self.case.rows(max(ROW_COUNTS))
        return [{name: (row if self._is_varying(name) else drawn[0])[name] for name in drawn[0]} for row in drawn]

    @cached_property
    def _stacked_names(self) -> list[str]:
        return [name for name in self.rows[0] if self._is_varying(name)]

    def _is_varying(self, name: str) -> bool:
        inputs = self.case.inputs
        return any(name in (vary, *_item_names(vary, inputs[vary])) for vary in self.vary)

    def _items(self, argument: Argument) -> list[Any]:
        given = self.case.inputs[argument.name]
        return given if isinstance(given, list) else [given]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        given = {}
        for attribute in self.spec.attributes:
            if attribute.name in self.case.attributes and not attribute.is_inferred:
                value = self.case.attributes[attribute.name]
                if attribute.item_kind == "type":
                    value = [dtype_from_name(item) for item in value] if attribute.is_list else dtype_from_name(value)
                if attribute.item_kind == "shape" and value == "unknown":
                    value = None
                given[attribute.name] = value
        return given

    def _inputs(self, tensors: dict[str, tf.Tensor]) -> list[Any]:
        """The inputs of a call, from the tensors of those that vary."""
        made: list[Any] = []
        for argument in self.spec.inputs:
            given = self.case.inputs[argument.name]
            if isinstance(given, list):
                names = _item_names(argument.name, given)
                made.append([self._tensor(item, name, tensors) for item, name in zip(given, names, strict=True)])
            else:
                made.append(self._tensor(given, argument.name, tensors))
        return made

    def _tensor(self, item: Any, name: str, tensors: dict[str, tf.Tensor]) -> Any:
        return tensor_of(item, tensors.get(name, self.rows[0].get(name)))

    def _on_row(self, tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        return tf.nest.flatten(apply_operator(self.spec, self._inputs(tensors), self.attributes))

    def _traced(self, body: Callable[[dict[str, tf.Tensor]], list[tf.Tensor]], leading: list[None]) -> Any:
        """A function of the tensors that vary."""
        items = dict(self.case.items())
        names = self._stacked_names

        def function(*tensors: tf.Tensor) -> list[tf.Tensor]:
            return [storable(tensor) for tensor in body(dict(zip(names, tensors, strict=True)))]

        signature = [tf.TensorSpec([*leading, *items[name].shape], items[name].storage) for name in names]
        return tf.function(function, autograph=False).get_concrete_function(*signature)

    @cached_property
    def truth(self) -> tuple[list[list[Any]], list[tuple[int, ...]]] | None:
        """The outputs row by row, and their shapes; None where the call is invalid or a shape is not known."""
        try:
            function = self._traced(self._on_row, [])
            shapes = [tensor.shape for tensor in tf.nest.flatten(function.structured_outputs)]
            if not all(shape.is_fully_defined() for shape in shapes):
                return None
            made = [function(*(tf.constant(row[name]) for name in self._stacked_names)) for row in self.rows]
        except (*_REFUSALS, IndexError):  # a draw of matrices has no value of rank 1
            return None
        return [[tensor.numpy() for tensor in row] for row in made], [tuple(shape) for shape in shapes]

    def is_elementwise(self) -> bool:
        """Whether every input that varies, and every output, has one shape."""
        assert self.truth is not None
        items = dict(self.case.items())
        return len({*(items[name].shape for name in self._stacked_names), *self.truth[1]}) == 1

    def outcome(self, form: str) -> str:
        """Whether one call for the batch gives what the rows give, at every number of rows."""
        assert self.truth is not None
        wanted, shapes = self.truth
        try:
            body = self._converted(shapes) if form == CONVERTED else self._direct(form, shapes)
            function = self._traced(body, [None])
            for count in ROW_COUNTS:
                stacked = [np.stack([row[name] for row in self.rows[:count]]) for name in self._stacked_names]
                made = [tensor.numpy() for tensor in function(*map(tf.constant, stacked))]
                if not self._is_equal(made, wanted[:count]):
                    return WRONG
        except _REFUSALS:
            return REFUSED
        return RIGHT

    def _direct(self, form: str, shapes: list[tuple[int, ...]]) -> Callable[[dict[str, tf.Tensor]], list[tf.Tensor]]:
        def body(tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            inputs = self._inputs(tensors)
            shift = axis_names(self.spec) if form == SHIFTED else ()
            return call_on_stack(form, self.case.operator, inputs, self.varying, self.attributes, shapes, shift)

        return body

    def _converted(self, shapes: list[tuple[int, ...]]) -> Callable[[dict[str, tf.Tensor]], list[tf.Tensor]]:
        def body(tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            level = tf.get_logger().level
            tf.get_logger().setLevel(logging.CRITICAL)
            try:
                made = list(tf.vectorized_map(self._on_row, tensors, fallback_to_while_loop=False))
            finally:
                tf.get_logger().setLevel(level)
            if any(tensor.shape.rank != len(shape) + 1 for tensor, shape in zip(made, shapes, strict=True)):
                raise ValueError("converted to another rank")
            return made

        return body

    def _is_equal(self, made: list[np.ndarray], wanted: list[list[Any]]) -> bool:
        picked = [index for index, name in enumerate(self._output_names(len(made))) if self._is_picked(name)]
        return all(
            len(made[index]) == len(wanted)
            and all(
                is_close(got, row[index], self.case.tolerance) for got, row in zip(made[index], wanted, strict=True)
            )
            for index in picked
        )

    def _is_picked(self, name: str) -> bool:
        return not self.case.pick or name in self.case.pick

    def _output_names(self, count: int) -> list[str]:
        """A name for each output; where there is a list, all have the first name."""
        names = [output.name for output in self.spec.outputs]
        return names if len(names) == count else names[:1] * count


# The number of an axis means another axis on the stack, so calls that have one need it to be moved, or what was tried.
AXIS = re.compile(r"(.*_)?(axis|axes|dims?|dimensions?|perm)|reduction_indices|dimension_numbers|batch_group_count")


def axis_names(spec: OperatorSpec) -> tuple[str, ...]:
    """The inputs and attributes that number axes."""
    attributes = [item.name for item in spec.attributes if item.kind == "int"]
    return tuple(name for name in (*(item.name for item in spec.inputs), *attributes) if AXIS.fullmatch(name))


def is_close(got: Any, wanted: Any, tolerance: float) -> bool:
    """Whether two values are equal: strings exactly, numbers within a tolerance of the greatest."""
    left, right = np.asarray(got), np.asarray(wanted)
    if left.shape != right.shape:
        return False
    if right.dtype.kind not in "fc":
        return bool((left == right).all())
    scale = np.abs(right[np.isfinite(right)]).max(initial=0.0)
    return np.allclose(left, right, rtol=tolerance, atol=max(1e-6, tolerance * float(scale)), equal_nan=True)


def _item_names(name: str, given: Any) -> list[str]:
    """The names of the tensors of a list, as ``Case.items`` gives them."""
    return [f"{name}_{index}" for index in range(len(given))] if isinstance(given, list) else []


def _rank(item: Any) -> int:
    return len(item.shape) if isinstance(item, Draw) else np.ndim(item.value)


# -- which trials there are --------------------------------------------------------------------------------------------


def choices(case: Case) -> Iterator[frozenset[str]]:
    """Which inputs may vary together: every choice of up to three, else each, all, and all but one."""
    columns = case.columns()
    names = [
        name
        for name, given in case.inputs.items()
        if (name in columns if not isinstance(given, list) else given and f"{name}_0" in columns)
    ]
    sizes = range(1, len(names) + 1) if len(names) <= 3 else sorted({1, 2, len(names) - 1, len(names)})
    for size in sizes:
        yield from map(frozenset, combinations(names, size))


def variants(case: Case, vary: frozenset[str], *, has_singles: bool = False) -> Iterator[Case]:
    """The case with other shapes, once each; which of them are valid calls only trying tells.

    Args:
      has_singles: whether each comes with single elements for some inputs, too, which a kernel may repeat for all of
        another's.
    """
    everything = frozenset(case.inputs)
    changes: Sequence[tuple[frozenset[str], Callable[[tuple[int, ...]], tuple[int, ...]]]] = [
        (everything, lambda shape: shape),
        (vary, lambda shape: (2, *shape)),
        (everything, lambda shape: (2, *shape)),
        (vary, lambda shape: (3, 2, *shape)),
        (vary, lambda shape: shape[1:]),
        (everything, lambda shape: shape[1:]),
        (vary, lambda shape: shape[2:]),
        (everything, lambda shape: tuple(axis + 1 if axis > 1 else axis for axis in shape)),
        (everything, lambda shape: (2, *shape[1:]) if shape[:1] == (1,) else shape),
        (everything - vary, lambda shape: ()),
    ]
    seen = set()
    singles = (frozenset(), vary, everything - vary, frozenset(sorted(vary)[:1])) if has_singles else (frozenset(),)
    for (names, change), single in product(changes, singles):
        made = _changed(case, names, lambda draw, change=change: replace(draw, shape=change(draw.shape)))  # type: ignore[misc]
        made = _changed(made, single, lambda draw: replace(draw, shape=(1,) * len(draw.shape)))
        key = str(made.inputs)
        if key not in seen:
            seen.add(key)
            yield made


_DTYPES = ("float32", "float64", "int32", "int64", "uint8", "complex64", "string")
_MATRICES = ("definite", "dominant", "triangular")


def other_dtypes(case: Case) -> Iterator[Case]:
    """The case with other dtypes of its inputs."""
    spec = operator_spec(case.operator)
    assert spec is not None
    for attribute in spec.attributes:
        names = frozenset(argument.name for argument in spec.inputs if argument.type_attr == attribute.name)
        if not names or attribute.name in case.attributes:
            continue
        used = {item.dtype for name, item in case.items() if isinstance(item, Draw) and name in names}
        # A matrix drawn to be positive definite or symmetric is neither with an imaginary part.
        is_matrix = any(isinstance(item, Draw) and item.name in _MATRICES for _, item in case.items())
        allowed = [dtype for dtype in _DTYPES if dtype not in used and dtype in (attribute.allowed or _DTYPES)]
        allowed = [dtype for dtype in allowed if not (is_matrix and dtype == "complex64")]
        for dtype in allowed[:3]:
            yield _changed(case, names, lambda draw, dtype=dtype: replace(draw, dtype=dtype))  # type: ignore[misc]


def few_values(spec: OperatorSpec) -> dict[Attribute, tuple[Any, ...]]:
    """The attributes that have few values, and those."""
    switches = {attribute: (False, True) for attribute in spec.attributes if attribute.kind == "bool"}
    return switches | {attr: attr.allowed for attr in spec.attributes if attr.kind == "string" and attr.allowed}


def other_attributes(case: Case) -> Iterator[tuple[str, Any, Case]]:
    """The case with each other value of one of its attributes that have few: name, value, case."""
    spec = operator_spec(case.operator)
    assert spec is not None
    for attribute, values in few_values(spec).items():
        for value in values:
            if value != case.attributes.get(attribute.name, attribute.default):
                yield attribute.name, value, replace(case, attributes={**case.attributes, attribute.name: value})


def _changed(case: Case, names: frozenset[str], change: Callable[[Draw], Draw]) -> Case:
    """The case with the draws of the inputs ``names`` changed."""

    def changed(item: Any) -> Any:
        return change(item) if isinstance(item, Draw) else item

    inputs = {
        name: ([*map(changed, given)] if isinstance(given, list) else changed(given)) if name in names else given
        for name, given in case.inputs.items()
    }
    return replace(case, inputs=inputs)
