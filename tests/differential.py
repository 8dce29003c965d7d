"""A case of an operator through SQL, and through ``tf.raw_ops`` row by row: the two must give the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow.python.eager import context  # private: TensorFlow 2.21 has no other way to restart random kernels

import tfsql
from tfsql.arrow_types import arrow_type
from tfsql.kernel.graph import storable
from tfsql.registry import operator_spec
from tfsql.registry.attributes import dtype_from_name, for_tensorflow
from tfsql.registry.cases import Case, Draw, Literal
from tfsql.types import TensorType, declared, sql_type

Row = dict[str, np.ndarray]


# -- SQL ---------------------------------------------------------------------------------------------------------------


def call_text(case: Case, text_of: dict[str, str] | None = None, field: str = "") -> str:
    """The SQL of a case's call.

    Args:
      text_of: what stands in place of a drawn input; its column by its own name if nothing is given.
    """
    parts = []
    for name, given in case.inputs.items():
        items = given if isinstance(given, list) else [given]
        names = [f"{name}_{index}" for index in range(len(items))] if isinstance(given, list) else [name]
        texts = [_input_text(item, key, text_of or {}) for key, item in zip(names, items, strict=True)]
        parts.append(f'"{name}" := [{", ".join(texts)}]' if isinstance(given, list) else f'"{name}" := {texts[0]}')
    parts += [f'"{name}" := {literal(value)}' for name, value in (types_to_give(case) | case.attributes).items()]
    call = f"tf_{case.operator}({', '.join(parts)}){field}"
    return call if case.reshape is None else f"reshape({call}, {list(case.reshape)})"


def _input_text(item: Draw | Literal, name: str, text_of: dict[str, str]) -> str:
    if isinstance(item, Literal):
        text = literal(item.value)
        kind = TensorType(item.dtype or "", np.shape(item.value))
        return text if item.dtype is None else f"{text}::{sql_type(declared(kind))}"
    return text_of.get(name, f'"{name}"')


def types_to_give(case: Case) -> dict[str, Any]:
    """The type attributes that the columns do not tell, since SQL has no such type."""
    spec = operator_spec(case.operator)
    assert spec is not None
    given = {}
    for argument in spec.inputs:
        item = case.inputs[argument.name]
        items = item if isinstance(item, list) else [item]
        dtypes = [part.dtype for part in items]
        if any(isinstance(part, Draw) and part.dtype != part.storage for part in items):
            if argument.type_attr:
                given[argument.type_attr] = dtypes[0]
            elif argument.type_list_attr:
                given[argument.type_list_attr] = dtypes
    return {name: value for name, value in given.items() if name not in case.attributes}


def literal(value: Any) -> str:
    """A Python value as SQL text."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {literal(item)}' for name, item in value.items())}}}"
    return repr(value)


def table_of(case: Case, rows: list[Row | None], present: Row) -> pa.Table:
    """The rows as a table; a row that is None has NULL in one column, by turns, and ``present`` in the others."""
    columns = case.columns()
    arrays: dict[str, Any] = {"row": pa.array(range(len(rows)), pa.int64())}
    for index, (name, draw) in enumerate(columns.items()):
        cells = [
            row[name] if row is not None else None if position % len(columns) == index else present[name]
            for position, row in enumerate(rows)
        ]
        arrays[name] = column_of(cells, draw)
    return pa.table(arrays)


def column_of(cells: list[np.ndarray | None], draw: Draw) -> pa.Array:
    """Tensors of one shape as an Arrow column."""
    values = [None if cell is None else cell.tolist() for cell in cells]
    kind = arrow_type(sql_type(TensorType(draw.storage, draw.shape, draw.is_bytes)))
    if draw.dtype.startswith("complex"):
        values = [_structs(value) for value in values]
    return pa.array(values, kind)


def _structs(cell: Any) -> Any:
    if isinstance(cell, list):
        return [_structs(item) for item in cell]
    return None if cell is None else {"real": cell.real, "imag": cell.imag}


# -- TensorFlow, directly ----------------------------------------------------------------------------------------------


def caller(case: Case) -> Callable[[Row], Any]:
    """A function that gives what ``tf.raw_ops`` gives for a row: nested lists, arrays, dictionaries of outputs."""
    spec = operator_spec(case.operator)
    assert spec is not None
    given = [attr for attr in spec.attributes if attr.name in case.attributes and not attr.is_inferred]
    dtype = case.attributes.get("dtype")
    attributes = {attr.name: _attribute(attr, case.attributes[attr.name], dtype) for attr in given}

    def call(tensors: dict[str, tf.Tensor]) -> Any:
        arguments = {name: _argument(name, item, tensors) for name, item in case.inputs.items()}
        made = getattr(tf.raw_ops, case.operator)(**arguments, **attributes)
        made = made._asdict() if hasattr(made, "_asdict") else made
        return tf.nest.map_structure(storable, made)

    # Eager TensorFlow 2.21 takes no attribute that is a tensor.
    needs_graph = case.in_graph or any(attr.kind == "tensor" for attr in given)
    return lambda row: _result((_in_graph(call, case, row) if needs_graph else call)(_tensors(case, row)))


def _in_graph(call: Callable[..., Any], case: Case, row: Row) -> Callable[..., Any]:
    """The call as a function of the columns; the other inputs are constants of its graph."""
    key = (case.id, str({name: row[name] for name in row if name not in case.columns()}))
    if key not in _GRAPHS:
        _GRAPHS.clear()
        constants = {name: row[name] for name in row if name not in case.columns()}
        _GRAPHS[key] = tf.function(lambda tensors: call(tensors | _tensors(case, constants)), autograph=False)
    return lambda tensors: _GRAPHS[key]({name: tensors[name] for name in case.columns()})


_GRAPHS: dict[Any, Any] = {}


def _argument(name: str, item: Any, tensors: dict[str, tf.Tensor]) -> Any:
    if isinstance(item, list):
        return [_argument(f"{name}_{index}", part, tensors) for index, part in enumerate(item)]
    if isinstance(item, Literal):
        return item.value if item.dtype is None else tf.constant(item.value, item.dtype)
    return tensors[name]


def _tensors(case: Case, row: Row) -> dict[str, tf.Tensor]:
    drawn = {name: item for name, item in case.items() if isinstance(item, Draw)}
    return {name: _tensor(drawn[name], value) for name, value in row.items()}


def changed_inputs(case: Case, row: Row) -> set[str]:
    """The inputs whose memory the operator writes into."""
    tensors = _tensors(case, row)
    before = {name: storable(tensor).numpy().copy() for name, tensor in tensors.items() if tensor.dtype != tf.string}
    spec = operator_spec(case.operator)
    assert spec is not None
    given = [attr for attr in spec.attributes if attr.name in case.attributes and not attr.is_inferred]
    attributes = {attr.name: _attribute(attr, case.attributes[attr.name], None) for attr in given}
    arguments = {name: _argument(name, item, tensors) for name, item in case.inputs.items()}
    getattr(tf.raw_ops, case.operator)(**arguments, **attributes)
    return {name for name, value in before.items() if not np.array_equal(value, storable(tensors[name]).numpy())}


def _result(made: Any) -> Any:
    """The outputs without lists that have no tensors, which SQL leaves out."""
    if not isinstance(made, dict):
        return _plain(made)
    return {name: _plain(value) for name, value in made.items() if not (isinstance(value, list) and not value)}


def _attribute(attribute: Any, value: Any, dtype: Any) -> Any:
    if attribute.item_kind == "type":
        value = [dtype_from_name(item) for item in value] if attribute.is_list else dtype_from_name(value)
    if attribute.item_kind == "shape":
        value = [_shape(item) for item in value] if attribute.is_list else _shape(value)
    return for_tensorflow(attribute, value, dtype)


def _shape(value: Any) -> Any:
    return None if value == "unknown" else [None if axis < 0 else axis for axis in value]


def tensor_of(item: Draw | Literal, value: Any) -> Any:
    """An input of a call, from an array or a tensor in the dtype in which SQL holds it."""
    if isinstance(item, Literal):
        return item.value if item.dtype is None else tf.constant(item.value, item.dtype)
    return _tensor(item, value)


def _tensor(draw: Draw, value: Any) -> tf.Tensor:
    stored = tf.convert_to_tensor(value, draw.storage)
    if draw.dtype == draw.storage:
        return stored
    return tf.bitcast(stored, draw.dtype) if draw.dtype.startswith("q") else tf.cast(stored, draw.dtype)


def _plain(made: Any) -> Any:
    if isinstance(made, list | tuple):
        return [_plain(item) for item in made]
    array = made.numpy()
    if isinstance(array, np.ndarray) and array.dtype != object:
        return array
    return array.tolist() if isinstance(array, np.ndarray) else array


# -- the two side by side ----------------------------------------------------------------------------------------------


def check(got: Any, wanted: Any, case: Case, place: str) -> None:
    """Fails unless a value of SQL and one of TensorFlow are equal, within the case's tolerance."""
    if isinstance(wanted, dict):
        assert list(got) == list(wanted), f"{place}: {got}"
        for name, value in wanted.items():
            if not case.pick or name in case.pick:
                check(got[name], value, case, f"{place}.{name}")
    elif isinstance(wanted, list) and any(isinstance(item, np.ndarray | np.generic | list) for item in wanted):
        items = list(got.values()) if isinstance(got, dict) else got
        assert len(items) == len(wanted), f"{place}: {got}"
        for index, value in enumerate(wanted):
            check(items[index], value, case, f"{place}[{index}]")
    elif isinstance(wanted, bytes | str | list):
        assert _as_bytes(got) == _as_bytes(wanted), f"{place}: {got} {wanted}"
    else:
        _check_numbers(_numbers(got), np.asarray(wanted), case, place)


def _check_numbers(got: Any, wanted: np.ndarray, case: Case, place: str) -> None:
    array = np.asarray(got, wanted.dtype)
    if not wanted.size:
        assert not array.size, f"{place}: {got}"
        return
    assert array.shape == wanted.shape, f"{place}: {array.shape} instead of {wanted.shape}"
    if not case.is_comparable:
        assert case.within is None or ((array >= case.within[0]) & (array <= case.within[1])).all(), f"{place}: {got}"
        return
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0) if wanted.dtype.kind in "fc" else 0.0
    tolerance = {"rtol": case.tolerance, "atol": max(1e-6, case.tolerance * scale)} if scale else {"rtol": 0}
    np.testing.assert_allclose(array, wanted, **tolerance, err_msg=place)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return complex(value["real"], value["imag"])
    return [_numbers(item) for item in value] if isinstance(value, list | tuple) else value


def _as_bytes(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_bytes(item) for item in value]
    return value.encode() if isinstance(value, str) else bytes(value)


def results(con: tfsql.Connection, sql: str, parameters: Any = None, data: pa.Table | None = None) -> list[Any]:
    """The values of the last column of a query, which may read the table ``data``."""
    if data is not None:
        con.backend.register_table("data", data)
    relation = con.sql(sql, parameters)
    assert relation is not None
    return [row[-1] for row in relation.fetchall()]


def compare_rows(con: tfsql.Connection, case: Case, count: int, null_rows: frozenset[int] = frozenset()) -> None:
    """Fails unless a query over ``count`` rows gives what TensorFlow gives for each of them."""
    drawn = case.rows(count)
    rows = [None if position in null_rows and case.columns() else row for position, row in enumerate(drawn)]
    wanted = expected_rows(case, rows)
    got = results(con, *_query(case, drawn[0]), table_of(case, rows, drawn[0]))
    check_rows(got, wanted, case)


def _query(case: Case, row: Row) -> tuple[str, Row | None]:
    """A case over the table ``data``, and its parameters: the drawn inputs that do not vary."""
    constants = {name: value for name, value in row.items() if name not in case.columns()}
    call = call_text(case, {name: f"${name}" for name in constants})
    return f"SELECT row, {call} AS y FROM data ORDER BY row", constants or None


def rule_of(con: tfsql.Connection, case: Case) -> str:
    """How the rows of a case are computed: the first word that EXPLAIN has for it, after ``compare_rows``."""
    relation = con.sql(*_query(case, case.rows(1)[0]))
    assert relation is not None
    found = re.search(rf"= {case.operator}\(.*\n +(\w+)", relation.explain())
    assert found is not None
    return found.group(1)


def expected_rows(case: Case, rows: list[Row | None]) -> list[Any]:
    """What TensorFlow gives row by row, None for a row that is NULL. Random operators start anew."""
    context.context().clear_kernel_cache()
    call = caller(case)
    return [None if row is None else call(row) for row in rows]


def check_rows(got: list[Any], wanted: list[Any], case: Case) -> None:
    assert len(got) == len(wanted)
    for position, (value, right) in enumerate(zip(got, wanted, strict=True)):
        if right is None:
            assert value is None, f"row {position}: {value} instead of NULL"
        else:
            check(value, right, case, f"row {position}")
