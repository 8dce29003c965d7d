"""Fuzzes the exposed operators: malformed calls in SQL, in a process that must stay alive.

Run it from the root of the repository:

    python tests/fuzz_operators.py --calls 100000 --seed 1
    python tests/fuzz_operators.py --calls 500 --seed 1 --operators Fill Range
    python tests/fuzz_operators.py --each

Each call is a valid case of an operator (``operators/cases``) of which something is changed: an argument left out or
one too many, another rank, length or type, nothing in it, or a value at the end of its range, NaN, infinite or
negative. What stands in a call is a matter of the seed and its number alone. With ``--each`` one thing is changed of
the first case of each operator, in every way: some 70,000 calls. Calls run in a process that is replaced when it dies
or when a call takes longer than ten seconds. At the end the findings are printed as SQL that repeats them: deaths,
hangs, exceptions that are no error of tfsql, errors that name neither the operator nor an argument, and results that
are others when the call is made again.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SECONDS_PER_CALL = 10.0
# How many calls a process makes before it is replaced: TensorFlow keeps what it traced.
CALLS_PER_PROCESS = 2000
# How many calls differ in the values of the table only.
CALLS_PER_STATEMENT = 8
# Outputs are bounded more narrowly than by default, so that calls that come through stay quick.
SET_UP = "SET tfsql_max_cell_bytes = '4MB'"
DEATH, HANG, ESCAPED, NAMELESS = "death", "hang", "escaped exception", "nameless error"
UNEQUAL = "unequal results"
OK, REFUSED, REFUSED_BY_ENGINE = "ok", "refused", "refused by the engine before the call"
FATAL = (DEATH, HANG)
# A process that gets this signal writes where its threads are.
ASKED_WHERE = signal.SIGUSR1


# -- calls -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """One tensor as a call gives it.

    Attributes:
      values: one value for each row; a single one where the tensor is a constant.
      dtype: the dtype in which SQL holds it.
      is_column: whether it comes from the table.
      is_sized: whether its SQL type tells its lengths.
    """

    values: tuple[np.ndarray, ...]
    dtype: str
    is_bytes: bool
    is_column: bool
    is_sized: bool

    def over(self, rows: int) -> list[np.ndarray]:
        """The values of so many rows."""
        return [self.values[row % len(self.values)] for row in range(rows)]

    @property
    def type(self) -> Any:
        """Its SQL type."""
        from tfsql.types import TensorType, declared, sql_type

        shapes = {value.shape for value in self.values}
        shape: Any = shapes.pop() if len(shapes) == 1 else (None,) * self.values[0].ndim
        if not self.is_sized or 0 in shape:  # SQL has no array without elements
            shape = (None,) * len(shape)
        return sql_type(declared(TensorType(self.dtype, shape, self.is_bytes)))


@dataclass(frozen=True)
class Malformed:
    """A call of an operator, most probably invalid."""

    operator: str
    inputs: dict[str, Given | list[Given]]
    attributes: dict[str, Any]

    @property
    def is_random(self) -> bool:
        """Whether two equal calls may give unequal results."""
        from tfsql.registry import operator_spec

        spec = operator_spec(self.operator)
        assert spec is not None
        is_seeded = any(self.attributes.get(name) for name in ("seed", "seed2"))
        is_noisy = not self.attributes.get("uniform_noise", True) or self.attributes.get("noise") == "gaussian"
        return (spec.is_stateful and not is_seeded) or is_noisy  # beyond the edge of a picture

    def sql(self) -> str:
        """The call as a statement that can be run by itself."""
        text, columns = self._statement()
        return f"{text}{_selects(columns)}"

    def with_table(self) -> tuple[str, Any]:
        """The call as a statement that reads the table ``data``, and that table: quicker, and the same."""
        text, columns = self._statement()
        return (f"{text} FROM data", _table(columns)) if columns else (text, None)

    def _statement(self) -> tuple[str, dict[str, Given]]:
        columns: dict[str, Given] = {}
        parts = []
        for name, given in self.inputs.items():
            if isinstance(given, list):
                texts = [_argument(item, f"{name}_{index}", columns) for index, item in enumerate(given)]
                parts.append(f'"{name}" := [{", ".join(texts)}]')
            else:
                parts.append(f'"{name}" := {_argument(given, name, columns)}')
        parts += [f'"{name}" := {_attribute_text(value)}' for name, value in self.attributes.items()]
        return f"SELECT tf_{self.operator}({', '.join(parts)}) AS y", columns


def _argument(given: Given, name: str, columns: dict[str, Given]) -> str:
    if given.is_column:
        columns[name] = given
        return f'"{name}"'
    return _typed(given.values[0], given)


def _table(columns: dict[str, Given]) -> Any:
    import pyarrow as pa

    from tfsql.arrow_types import arrow_type

    rows = _row_count(columns)
    return pa.table(
        {
            name: pa.array([_cell(value, given) for value in given.over(rows)], arrow_type(given.type))
            for name, given in columns.items()
        }
    )


def _cell(value: np.ndarray, given: Given) -> Any:
    return _with_parts(_recoded(value, given.is_bytes))


def _with_parts(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_parts(item) for item in value]
    return {"real": value.real, "imag": value.imag} if isinstance(value, complex) else value


def _row_count(columns: dict[str, Given]) -> int:
    return max(len(given.values) for given in columns.values())


def _selects(columns: dict[str, Given]) -> str:
    if not columns:
        return ""
    rows = _row_count(columns)
    selects = []
    for row in range(rows):
        cells = (f'{_typed(given.over(rows)[row], given)} AS "{n}"' for n, given in columns.items())
        selects.append(f"SELECT {', '.join(cells)}")
    return f" FROM ({' UNION ALL '.join(selects)})"


def _typed(value: np.ndarray, given: Given) -> str:
    return f"{_literal(_recoded(value, given.is_bytes))}::{given.type}"


def _recoded(value: np.ndarray, is_bytes: bool) -> Any:
    """A tensor as nested lists, strings as bytes or as text."""
    if value.dtype != object:
        return value.tolist()
    made = np.empty(value.size, object)
    for index, item in enumerate(value.reshape(-1)):
        encoded = item.encode() if isinstance(item, str) else item
        made[index] = encoded if is_bytes else encoded.decode("utf-8", "replace").replace("\0", "")
    return made.reshape(value.shape).tolist()


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bytes):
        return f"from_hex('{value.hex()}')"
    if isinstance(value, complex):
        return f"{{'real': {_literal(value.real)}, 'imag': {_literal(value.imag)}}}"
    if isinstance(value, float):
        return repr(value) if np.isfinite(value) else f"'{value}'::DOUBLE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _attribute_text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_attribute_text(item)}' for name, item in value.items())}}}"
    return f"[{', '.join(map(_attribute_text, value))}]" if isinstance(value, list | tuple) else _literal(value)


# -- how calls are malformed -------------------------------------------------------------------------------------------

_COUNTS = (0, 1, -1, 2, 3, 7, 100, 2**16, 2**31 - 1, -(2**31), 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
_FRACTIONS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -1e30, 1e300, float("nan"), float("inf"), float("-inf"))
_TEXTS = ("", "a", "\u00e4\u20ac", "x" * 1000, "%s %d", "{}", "1,2,,", "-1", "nan", "[[", "(", "\\", "NHWC", "NCHW")
_BYTES = (b"", b"\x00", b"\xff" * 40, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\xff\xff\xff\xff", b"BM")
_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "string", "complex64")
_SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (0,),
    (1,),
    (3,),
    (1, 1),
    (0, 3),
    (2, 3),
    (1, 2, 3),
    (2, 0, 2),
    (1, 4, 4, 1),
    (1,) * 5,
)
# How one call is changed at random.
_MAX_CHANGES = 3
# More than there are ways to change one thing about any call.
MAX_CHANGES_OF_OPERATOR = 1000


class _Maker:
    """Makes one call from a generator of random numbers."""

    def __init__(self, generator: np.random.Generator):
        self._generator = generator

    def call(self, operators: Sequence[str]) -> Malformed:
        from tfsql.registry.cases import cases_of

        operator = self._one(operators)
        call = self.valid(operator, self._one(cases_of(operator)), self._one((1, 1, 2, 3)))
        for _ in range(self._one(range(1, _MAX_CHANGES + 1))):
            call = self._changed(call)
        return call

    def valid(self, operator: str, case: Any, count: int) -> Malformed:
        """The call of a case on ``count`` rows."""
        from differential import types_to_give

        rows = case.rows(count)
        inputs: dict[str, Any] = {}
        for name, item in case.inputs.items():
            if isinstance(item, list):
                inputs[name] = [self._given(part, f"{name}_{i}", rows) for i, part in enumerate(item)]
            else:
                inputs[name] = self._given(item, name, rows)
        return Malformed(operator, inputs, types_to_give(case) | dict(case.attributes))

    def with_other_values(self, call: Malformed) -> Malformed:
        """The call on a table with other values, so that what was traced for it can be used again."""
        inputs = {}
        for name, given in call.inputs.items():
            items = [self._revalued(item) for item in (given if isinstance(given, list) else [given])]
            inputs[name] = items if isinstance(given, list) else items[0]
        return replace(call, inputs=inputs)

    def _revalued(self, given: Given) -> Given:
        return self._of_other_value(given) if given.is_column and self._chance(0.6) else given

    def _one(self, choices: Sequence[Any]) -> Any:
        return choices[int(self._generator.integers(len(choices)))]

    def _chance(self, probability: float) -> bool:
        return bool(self._generator.random() < probability)

    def _given(self, item: Any, name: str, rows: list[dict[str, np.ndarray]]) -> Given:
        from tfsql.registry.cases import Draw

        if not isinstance(item, Draw):
            value = np.asarray(item.value)
            is_text = item.dtype == "string" or value.dtype.kind in "SU"  # an empty list has no kind of its own
            value = value.astype(object) if is_text else value
            dtype = item.dtype or {"O": "string", "f": "float32", "i": "int32", "b": "bool"}[value.dtype.kind]
            return Given((value,), dtype, False, False, True)
        is_column = not self._chance(0.1 if not item.is_constant else 0.9)
        values = tuple(row[name] for row in (rows if is_column else rows[:1]))
        return Given(values, item.storage, item.is_bytes, is_column, self._chance(0.6))

    def _changed(self, call: Malformed) -> Malformed:
        changes: list[Callable[[Malformed], Malformed]] = []
        if call.inputs:
            changes += [self._with_other_input] * 5
        changes += [self._with_other_attribute] * 3 + [self._with_other_count]
        return self._one(changes)(call)

    def _with_other_input(self, call: Malformed) -> Malformed:
        name = self._one(list(call.inputs))
        given = call.inputs[name]
        if isinstance(given, list):
            if not given or self._chance(0.3):
                changed: Any = [] if self._chance(0.5) else given[:1] * self._one((1, 2, 5))
            else:
                index = self._one(range(len(given)))
                changed = [*given[:index], self._other(given[index]), *given[index + 1 :]]
        else:
            changed = self._other(given)
        return replace(call, inputs=call.inputs | {name: changed})

    def _with_other_attribute(self, call: Malformed) -> Malformed:
        from tfsql.registry import operator_spec

        spec = operator_spec(call.operator)
        assert spec is not None
        known = [attribute for attribute in spec.attributes if not attribute.is_inferred]
        if not known:
            return self._with_other_input(call) if call.inputs else call
        attribute = self._one(known)
        items = [self._item(attribute) for _ in range(self._one((0, 1, 2, 3, 4, 5)) if attribute.is_list else 1)]
        given = call.attributes.get(attribute.name)
        if isinstance(given, list) and given and self._chance(0.6):
            position = self._one(range(len(given)))
            items = [*given[:position], self._item(attribute), *given[position + 1 :]]
        return replace(call, attributes=call.attributes | {attribute.name: items if attribute.is_list else items[0]})

    def _item(self, attribute: Any) -> Any:
        if attribute.item_kind == "shape":
            return [self._one((*_COUNTS, 1, 2, 3)) for _ in range(self._one((0, 1, 2, 4)))]
        return self._one(_items(attribute))

    def _with_other_count(self, call: Malformed) -> Malformed:
        if call.attributes and self._chance(0.5):
            left = self._one(list(call.attributes))
            return replace(call, attributes={name: value for name, value in call.attributes.items() if name != left})
        if call.inputs and self._chance(0.6):
            left = self._one(list(call.inputs))
            return replace(call, inputs={name: item for name, item in call.inputs.items() if name != left})
        return replace(call, attributes=call.attributes | {"surplus": 1})

    def _other(self, given: Given) -> Given:
        return self._one(
            [self._of_other_rank, self._of_other_length, self._of_other_type, *[self._of_other_value] * 3]
        )(given)

    def _of_other_rank(self, given: Given) -> Given:
        shape = self._one(_SHAPES)
        return replace(given, values=tuple(_filled(value, shape) for value in given.values))

    def _of_other_length(self, given: Given) -> Given:
        shape = list(given.values[0].shape)
        if not shape:
            return self._of_other_value(given)
        axis = self._one(range(len(shape)))
        shape[axis] = self._one((0, 1, shape[axis] + 1, max(shape[axis] - 1, 0), 7))
        if self._chance(0.3):  # one row only
            return replace(given, values=(*given.values[:-1], _filled(given.values[-1], tuple(shape))))
        return replace(given, values=tuple(_filled(value, tuple(shape)) for value in given.values))

    def _of_other_type(self, given: Given) -> Given:
        dtype = self._one(_DTYPES)
        if dtype == "string":
            values = tuple(np.full(value.shape, "a", object) for value in given.values)
        elif given.dtype == "string" or given.dtype.startswith("complex"):
            values = tuple(np.ones(value.shape, dtype) for value in given.values)
        else:
            with np.errstate(all="ignore"):
                values = tuple(np.asarray(value).astype(dtype) for value in given.values)
        return Given(values, dtype, False, given.is_column, given.is_sized)

    def _of_other_value(self, given: Given) -> Given:
        everywhere = self._chance(0.3)
        return replace(given, values=tuple(self._spoilt(value, given, everywhere) for value in given.values))

    def _spoilt(self, value: np.ndarray, given: Given, everywhere: bool) -> np.ndarray:
        if not value.size:
            return value
        made = value.copy()
        bad = self._value(given)
        if everywhere:
            made[...] = bad
        else:
            made.reshape(-1)[self._one(range(value.size))] = bad
        return made

    def _value(self, given: Given) -> Any:
        return self._one(_values(given))


def _values(given: Given) -> tuple[Any, ...]:
    """The values at the ends of what a tensor may hold."""
    if given.dtype == "string":
        return _BYTES if given.is_bytes else _TEXTS
    if given.dtype == "bool":
        return (False, True)
    if given.dtype.startswith(("float", "complex", "half", "bfloat")):
        with np.errstate(all="ignore"):
            return tuple(np.asarray(fraction).astype(given.dtype) for fraction in _FRACTIONS)
    limits = np.iinfo(given.dtype)
    return tuple(count for count in (*_COUNTS, limits.min, limits.max) if limits.min <= count <= limits.max)


def _items(attribute: Any) -> tuple[Any, ...]:
    """The values at the ends of what an attribute, or an item of one, may be."""
    return (
        attribute.allowed
        or {
            "int": _COUNTS,
            "float": _FRACTIONS,
            "bool": (False, True),
            "string": _TEXTS,
            "type": _DTYPES,
            "shape": ([], [0], [-1], [2, 3], [2**40, 2**40]),
            "tensor": (0, 1.0, [1, 2], "x"),
        }[attribute.item_kind]
    )


def _filled(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of a shape with the elements of another, over and over."""
    count = int(np.prod(shape, dtype=np.int64))
    if value.size:
        return np.resize(value.reshape(-1), count).reshape(shape)
    return np.full(shape, "" if value.dtype == object else 0, value.dtype)


@cache
def fuzzed_operators() -> tuple[str, ...]:
    """The exposed operators that have a case to begin with."""
    from tfsql.registry.cases import cases_of
    from tfsql.registry.coverage import exposed_names

    return tuple(name for name in exposed_names() if cases_of(name))


def malformed_call(seed: int | None, number: int, operators: Sequence[str] = ()) -> Malformed:
    """The call of a seed and a number, always the same; consecutive ones often differ in the values of columns only.

    Args:
      seed: None for the calls with one change, by their numbers in ``numbers_of_changes``.
    """
    if seed is None:
        index, change = divmod(number, MAX_CHANGES_OF_OPERATOR)
        return calls_with_one_change((operators or fuzzed_operators())[index])[change]
    call = _Maker(np.random.default_rng([seed, number // CALLS_PER_STATEMENT])).call(operators or fuzzed_operators())
    if number % CALLS_PER_STATEMENT:
        call = _Maker(np.random.default_rng([seed, number])).with_other_values(call)
    return call


def numbers_of_changes(operators: Sequence[str] = ()) -> list[int]:
    """The numbers of all calls with one change."""
    return [
        index * MAX_CHANGES_OF_OPERATOR + change
        for index, operator in enumerate(operators or fuzzed_operators())
        for change in range(len(calls_with_one_change(operator)))
    ]


@cache
def calls_with_one_change(operator: str) -> tuple[Malformed, ...]:
    """The first case of an operator with one thing changed, in every way: a value, a shape, an item of an attribute."""
    from tfsql.registry import operator_spec
    from tfsql.registry.cases import cases_of

    spec = operator_spec(operator)
    assert spec is not None
    call = _Maker(np.random.default_rng(0)).valid(operator, cases_of(operator)[0], 2)
    made = []
    for name, given in call.inputs.items():
        items = given if isinstance(given, list) else [given]
        for changed in _changes(items[0]) if items else ():
            value = [changed, *items[1:]] if isinstance(given, list) else changed
            made.append(replace(call, inputs=call.inputs | {name: value}))
    for attribute in spec.attributes:
        if not attribute.is_inferred:
            given = call.attributes.get(attribute.name)
            rest = given[1:] if isinstance(given, list) else []
            for item in _items(attribute):
                value = [item, *rest] if attribute.is_list else item
                made.append(replace(call, attributes=call.attributes | {attribute.name: value}))
    return tuple(made)


def _changes(given: Given) -> Iterator[Given]:
    """A tensor with each value first, then everywhere; with each shape; and with each axis empty and longer by one."""
    for bad in _values(given):
        for place in (slice(0, 1), slice(None)):
            values = tuple(value.copy() for value in given.values)
            for value in values:
                value.reshape(-1)[place] = bad
            yield replace(given, values=values)
    shape = given.values[0].shape
    axes = range(len(shape))
    lengths = [(*shape[:axis], length, *shape[axis + 1 :]) for axis in axes for length in (0, shape[axis] + 1)]
    for other in (*_SHAPES, *lengths):
        yield replace(given, values=tuple(_filled(value, other) for value in given.values))


# -- in the process that may die ---------------------------------------------------------------------------------------


def outcome_of(con: Any, call: Malformed) -> tuple[str, str]:
    """What became of a call: ``ok``, ``refused``, or a kind of finding; and the message."""
    from tfsql.errors import TfsqlError

    sql, table = call.with_table()
    if table is not None:
        con.backend.register_table("data", table)
    try:
        made = [repr(con.sql(sql).fetchall()) for _ in range(1 if call.is_random else 2)]
    except TfsqlError as error:
        if error.is_from_engine or "out of range for the destination type" in error.message:
            return REFUSED_BY_ENGINE, error.message
        return (REFUSED if is_named(error, sql) else NAMELESS), f"{type(error).__name__}: {error.message}"
    except Exception as error:
        return ESCAPED, f"{type(error).__name__}: {error}"
    if made[0] != made[-1]:
        return UNEQUAL, f"{made[0][:200]} and {made[-1][:200]}"
    return OK, ""


def is_named(error: Any, sql: str) -> bool:
    """Whether an error says the operator, or the argument by its name, its column or its SQL."""
    called = re.search(r"tf_(\w+)", sql)
    assert called is not None
    names = {called.group(0), *re.findall(r'"(\w+)"', sql)}
    return bool(names & set(re.findall(r"\w+", error.message))) or error.message.startswith("CAST(")


def _work(
    connection: Any, log: str, seed: int | None, numbers: list[int], operators: tuple[str, ...], dying_at: int | None
) -> None:
    """Makes the calls of these numbers, and tells of each before and after; errors are written to the file ``log``."""
    import resource

    import tfsql

    faulthandler.disable()
    faulthandler.register(ASKED_WHERE, file=os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), all_threads=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    con = tfsql.connect()
    con.sql(SET_UP)
    for number in numbers:
        call = malformed_call(seed, number, operators)
        connection.send((number, call.sql()))
        if number == dying_at:
            os.abort()
        connection.send((number, *outcome_of(con, call)))
    connection.send(None)


# -- in the process that watches ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """A call that must not end as it did."""

    number: int
    kind: str
    sql: str
    message: str

    @property
    def operator(self) -> str:
        called = re.search(r"tf_(\w+)", self.sql)
        return called.group(1) if called else ""

    def __str__(self) -> str:
        return f"-- {self.kind} {self.number}: {self.message}\n{self.sql};"


@dataclass
class Report:
    """What became of all calls."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind in kinds]

    def add(self, number: int, sql: str, kind: str, message: str) -> None:
        self.counts[kind] += 1
        if kind not in (OK, REFUSED, REFUSED_BY_ENGINE):
            self.findings.append(Finding(number, kind, sql, message))

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())
        return f"{sum(self.counts.values())} calls: {counts}"


def fuzz(
    calls: int,
    seed: int | None,
    operators: Sequence[str] = (),
    workers: int = 1,
    heard: Callable[[Report], None] = lambda report: None,
    dying_at: int | None = None,
) -> Report:
    """Makes ``calls`` malformed calls in processes of their own, and reports what became of them.

    Args:
      seed: None for the calls with one change, all of them if ``calls`` is 0.
      heard: is told of what became of the calls so far, now and then.
      dying_at: the number of a call before which its process ends itself, to test that this is seen.
    """
    report = Report()
    numbers = numbers_of_changes(operators)[: calls or None] if seed is None else list(range(calls))
    chunks = [numbers[start : start + CALLS_PER_PROCESS] for start in range(0, len(numbers), CALLS_PER_PROCESS)]
    with ThreadPoolExecutor(workers) as pool:
        for results in pool.map(lambda numbers: list(_watched(seed, numbers, tuple(operators), dying_at)), chunks):
            for result in results:
                report.add(*result)
            heard(report)
    return report


def _watched(
    seed: int | None, numbers: list[int], operators: tuple[str, ...], dying_at: int | None
) -> Iterator[tuple[int, str, str, str]]:
    """What becomes of the calls of these numbers; a process that dies or hangs is followed by another."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "tfsql", "fuzz_operators"])
    numbers = list(numbers)
    while numbers:
        log = tempfile.NamedTemporaryFile(prefix="fuzz_operators_")  # noqa: SIM115 - outlives one step
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(theirs, log.name, seed, numbers, operators, dying_at))
        process.start()
        theirs.close()
        try:
            for result in _heard(ours, process, log.name):
                numbers = [number for number in numbers if number != result[0]]
                yield result
            if process.exitcode == 0:
                return
        finally:
            process.kill()
            process.join()
            log.close()


def _last_words(log: str) -> str:
    """The check of TensorFlow's that ended a process, as far as it said so."""
    lines = Path(log).read_text(errors="replace").splitlines()
    return next((line.partition("] ")[2] for line in reversed(lines) if re.match(r"F\d{4} ", line)), "no last words")


def _where(process: Any, log: str) -> str:
    """Where the threads of a process that hangs are."""
    os.kill(process.pid, ASKED_WHERE)
    time.sleep(1)
    said = Path(log).read_text(errors="replace")
    return said[said.find("Thread 0x") :]


def _heard(connection: Any, process: Any, log: str) -> Iterator[tuple[int, str, str, str]]:
    """The results that a process sends; the last one may be its death or its hang."""
    current: tuple[int, str] | None = None
    last: tuple[int, str] | None = None
    while True:
        started = time.monotonic()
        try:
            if not connection.poll(SECONDS_PER_CALL if current else 60):
                assert current is not None, "the process does not start"
                yield (*current, HANG, f"no end in {time.monotonic() - started:.0f} s\n{_where(process, log)}")
                return
            said = connection.recv()
        except EOFError:
            process.join()
            if last is None:
                raise RuntimeError(f"a process ended before its first call: {Path(log).read_text()}") from None
            when = "" if current else "behind this call, "
            yield (*last, DEATH, f"{when}exit code {process.exitcode}: {_last_words(log)}")
            return
        if said is None:
            process.join()
            return
        if len(said) == 2:
            current = last = said
        else:
            assert current is not None
            yield (*current, *said[1:])
            current = None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Malformed calls of operators in a process that must stay alive.")
    parser.add_argument("--calls", type=int, default=1000)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--seed", type=int, default=0)
    kind.add_argument("--each", action="store_true", help="change one thing of each operator's call, in every way")
    parser.add_argument("--operators", nargs="*", default=())
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    shown = 0

    def heard(report: Report) -> None:
        nonlocal shown
        for finding in report.findings[shown:]:
            print(finding, flush=True)
        shown = len(report.findings)
        print(report, file=sys.stderr, flush=True)

    calls, seed = (0, None) if given.each else (given.calls, given.seed)
    report = fuzz(calls, seed, given.operators, given.workers, heard)
    print(report)
    return 1 if report.of(*FATAL) else 0


if __name__ == "__main__":
    sys.exit(main())
