"""Plans: selects without FROM are bound once, and run again with other numbers in their large literals and parameters.

The query of a tutorial or a server is the same text with another picture each time. What such a text means hangs on
the shapes of the pictures alone, so the kernels that were bound for the first are given the arguments of the next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsql.bind.parameters import as_array
from tfsql.errors import NOT_OF_A_ROW, TfsqlError, TypeMismatchError
from tfsql.result import Relation, Rows
from tfsql.streaming import constant_batch, streamed_rows, streamed_table
from tfsql.types import ARGUMENT_SIZE

if TYPE_CHECKING:
    import pyarrow as pa

    from tfsql.backends.base import Columns
    from tfsql.bind import Bound
    from tfsql.bind.records import KernelUse
    from tfsql.source import Source
    from tfsql.split import KernelCache

MAX_PLANS = 256
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Question:
    """A text with its values, as far as they tell what it means.

    Attributes:
      key: equal for texts that mean the same but for the values of ``arrays``.
      arrays: the large lifted literals and parameters, by name.
    """

    key: Hashable
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, source: Source, parameters: Mapping[str, Any], state: Hashable) -> Question | None:
        """The question that a text asks; None where a parameter is of a kind that plans are not made for.

        Args:
          state: what else the meaning of a text hangs on.
        """
        arrays: dict[str, np.ndarray] = {}
        signatures: list[Hashable] = []
        values = {name: literal.value for name, literal in source.named_literals()} | dict(parameters)
        for name, value in values.items():
            array = value if isinstance(value, np.ndarray) else as_array(value)
            if array is None:
                if not isinstance(value, bool | int | float | str | bytes | None):
                    return None
                signatures.append((name, type(value), value))
            elif array.size < ARGUMENT_SIZE or array.dtype.kind not in "biuf":
                signatures.append((name, array.dtype.str, array.shape, array.tobytes()))
            else:
                arrays[name] = array
                signatures.append((name, array.dtype.str, array.shape, _is_small(array)))
        return cls((source.short, tuple(signatures), state), arrays)


def _is_small(array: np.ndarray) -> bool:
    """Whether integers are of 32 bits: literals take their type from that."""
    return array.dtype.kind in "iu" and bool(array.min() >= _INT32.min and array.max() <= _INT32.max)


@dataclass(frozen=True)
class Plan:
    """A bound select without FROM.

    Attributes:
      columns: of its result.
    """

    bound: Bound
    columns: Columns

    def with_arrays(self, arrays: Mapping[str, np.ndarray], kernels: KernelCache) -> Bound:
        """The select with other values of its large literals and parameters.

        Raises:
          TypeMismatchError: a value does not fit the type that a kernel takes.
        """
        stream = self.bound.stream
        assert stream is not None
        outputs = {
            place: output if output.use is None else replace(output, use=_with_arrays(output.use, arrays, kernels))
            for place, output in stream.outputs.items()
        }
        uses = tuple(output.use for output in outputs.values() if output.use is not None)
        return replace(self.bound, uses=uses, stream=replace(stream, outputs=outputs))


def _with_arrays(use: KernelUse, arrays: Mapping[str, np.ndarray], kernels: KernelCache) -> KernelUse:
    from tfsql.kernel import Kernel

    if not any(name in arrays for name in use.parameters):
        return use
    assert isinstance(use.kernel, Kernel)
    values = [arrays.get(name) if name is not None else None for name in use.parameters]
    return replace(use, kernel=use.kernel.with_arguments(kernels.next_name(), values))


def is_plannable(bound: Bound, question: Question) -> bool:
    """Whether a bound select means the same with other arrays: each is only ever the argument of a kernel."""
    stream = bound.stream
    if stream is None or stream.row is None or any(use.kernel.is_stateful for use in bound.uses):
        return False
    uses = [output.use for output in stream.outputs.values() if output.use is not None]
    names = [name for use in uses for name in use.parameters]
    is_bound_once = all(names.count(name) == bound.constants.get(name, 0) for name in question.arrays)
    return is_bound_once and not bound.fixed_parameters & question.arrays.keys()


def planned_relation(
    plan: Plan, question: Question, kernels: KernelCache, fresh: Callable[[], Relation]
) -> Relation | None:
    """The relation of a plan with the values of a question; None if they do not fit its types.

    Args:
      fresh: binds the text anew: for EXPLAIN, and for an error, which is then told with its place in the text.
    """
    try:
        bound = plan.with_arrays(question.arrays, kernels)
    except TypeMismatchError:
        return None
    stream = bound.stream
    assert stream is not None
    batch = constant_batch(stream)

    def table() -> pa.Table:
        try:
            return streamed_table(stream, batch.schema, [batch])
        except NOT_OF_A_ROW:
            raise
        except TfsqlError:
            return fresh().nested_table()

    def rows() -> Iterator[Rows]:
        try:
            yield from streamed_rows(stream, batch.schema, [batch])
        except NOT_OF_A_ROW:
            raise
        except TfsqlError:
            yield fresh().fetchall()

    return Relation(
        plan.columns, None, table, lambda analyze: fresh().explain(analyze), lambda: iter(table().to_batches()), rows
    )


class PlanCache:
    """The plans of one connection, the least used dropped first."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()

    def find(self, question: Question) -> Plan | None:
        plan = self._plans.get(question.key)
        if plan is not None:
            self._plans.move_to_end(question.key)
        return plan

    def add(self, question: Question, plan: Plan) -> None:
        self._plans[question.key] = plan
        if len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
