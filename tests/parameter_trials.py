"""Which inputs of an operator must be the same for all rows of one call: what ``[parameters]`` is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from batching_trials import Trial

from tfsql.infer import Inference
from tfsql.kernel.graph import Program
from tfsql.kernel.lift import NeedsLoopError, batched
from tfsql.registry import operator_spec
from tfsql.registry.cases import Case, Draw, cases_of
from tfsql.tree import Constant, Leaf, Node, Output, Record
from tfsql.types import TensorType

# An input with more elements is data rather than a parameter.
MAX_ELEMENTS = 8


def parameters_of_cases(operator: str) -> list[str]:
    """The parameters of all cases of an operator, sorted."""
    return sorted({name for case in cases_of(operator) for name in parameters_in(case)})


def parameters_in(case: Case) -> tuple[str, ...]:
    """The fewest inputs of whole numbers that a case must have the same in all rows, so that no row goes by itself."""
    leaves = _leaves(case)
    candidates = [name for name, leaf in leaves.items() if _is_candidate(leaf)]
    if _is_batched(case, leaves, ()) is not False:
        return ()
    for size in range(1, len(candidates) + 1):
        for names in combinations(candidates, size):
            if len(names) < len(leaves) and _is_batched(case, leaves, names):
                return names
    return ()


def _is_candidate(leaf: Leaf) -> bool:
    shape = leaf.type.shape or ()
    return leaf.type.dtype in ("int32", "int64") and int(np.prod(shape)) <= MAX_ELEMENTS  # type: ignore[arg-type]


def _leaves(case: Case) -> dict[str, Leaf]:
    """Every input that is no list and no text, as if it came from a column."""
    spec = operator_spec(case.operator)
    assert spec is not None
    dtypes = {argument.name: argument.dtype for argument in spec.inputs}
    kinds = {name: _kind(item, dtypes[name]) for name, item in case.inputs.items()}
    return {name: Leaf(name, kind, 0) for name, kind in kinds.items() if kind is not None}


def _kind(item: Any, dtype: str | None) -> TensorType | None:
    """The type of a column of an input.

    Args:
      dtype: the only one that the operator takes, if it is one.
    """
    if isinstance(item, Draw):
        return TensorType(item.storage, item.shape, item.is_bytes) if item.dtype == item.storage else None
    value = None if isinstance(item, list) else np.asarray(item.value)
    if value is None or value.dtype.kind not in "if":
        return None
    return TensorType(item.dtype or dtype or ("int32" if value.dtype.kind == "i" else "float32"), value.shape)


def _is_batched(case: Case, leaves: Mapping[str, Leaf], fixed: tuple[str, ...]) -> bool | None:
    """Whether no row goes by itself where some inputs are fixed; None where the case is more than calls are made of."""
    trial = Trial(case, frozenset())
    inputs = [_item(trial, argument.name, leaves) for argument in trial.spec.inputs]
    if any(item is None for item in inputs):
        return None
    try:
        call = Inference().call(trial.spec, inputs, trial.attributes)
        program = Program.of(Record(tuple(_fields(call))))
        values = {leaves[name]: _value(trial, name) for name in fixed}
        lifted = batched(program.fixing(values), [leaf.type.shape for leaf in program.leaves])  # type: ignore[misc]
    except NeedsLoopError:
        return False
    except Exception:  # whatever a call raises that is no valid one
        return None
    return not lifted.is_loop


def _value(trial: Trial, name: str) -> np.ndarray:
    item = trial.case.inputs[name]
    return trial.rows[0][name] if isinstance(item, Draw) else np.asarray(item.value)  # type: ignore[union-attr]


def _item(trial: Trial, name: str, leaves: Mapping[str, Leaf]) -> Node | None:
    if name in leaves:
        return leaves[name]
    item = trial.case.inputs[name]
    if isinstance(item, list | Draw) or not isinstance(item.value, bool):
        return None
    return Constant(np.asarray(item.value), TensorType("bool", ()))


def _fields(call: Any) -> Iterator[tuple[str, Node]]:
    for index, (name, kind) in enumerate(call.outputs):
        if isinstance(kind, TensorType):
            yield name, Output(call, index, None, kind)
