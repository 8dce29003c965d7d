"""Every exposed operator through SQL gives what ``tf.raw_ops`` gives when it is called row by row.

The cases are data: ``operators/cases``, and what the OpDef's rule makes. A sample runs always; the sweep, with a
thousand rows, constants and nesting, runs with ``-m sweep``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from differential import (
    call_text,
    changed_inputs,
    check,
    check_rows,
    compare_rows,
    expected_rows,
    results,
    rule_of,
    table_of,
)

import tfsql
from tfsql.registry import operator_spec, written_inputs
from tfsql.registry.cases import Case, Draw, Limit, cases_of, limits
from tfsql.registry.coverage import exposed_names

CASES = [case for name in exposed_names() for case in cases_of(name)]
LIMITS = [limit for group in limits().values() for limit in group]


def parameters(chosen: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.id) for case in chosen]


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


def test_every_exposed_operator_has_a_case_or_a_limit() -> None:
    assert [name for name in exposed_names() if not cases_of(name) and name not in limits()] == []


def test_cases_have_names_of_their_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES)


# -- the sample --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", parameters(CASES))
def test_one_row_and_seven_with_a_null(con: tfsql.Connection, case: Case, operator: str, record_property: Any) -> None:
    compare_rows(con, case, 1)
    compare_rows(con, case, 7, frozenset({4}))
    record_property("rule", rule_of(con, case))


# -- the sweep ---------------------------------------------------------------------------------------------------------


@pytest.mark.sweep
@pytest.mark.parametrize("case", parameters(CASES))
def test_a_thousand_different_rows_with_nulls(con: tfsql.Connection, case: Case, operator: str) -> None:
    compare_rows(con, case, 1000, frozenset({0, 13, 500, 999}))


@pytest.mark.sweep
@pytest.mark.parametrize("case", parameters(CASES))
def test_every_input_constant(con: tfsql.Connection, case: Case, operator: str) -> None:
    (row,) = case.rows(1)
    call = call_text(case, {name: f"${name}" for name in row})
    got = results(con, f"SELECT {call} AS y FROM range(3)", row or None)
    check_rows(got, expected_rows(case, [row] * 3), case)


@pytest.mark.sweep
@pytest.mark.parametrize("case", parameters([case for case in CASES if len(case.columns()) > 1]))
def test_the_first_input_a_column_and_the_others_constant(con: tfsql.Connection, case: Case, operator: str) -> None:
    first = next(iter(case.columns()))
    drawn = case.rows(9)
    constants = {name: value for name, value in drawn[0].items() if name != first}
    rows = [row | constants for row in drawn]
    call = call_text(case, {name: f"${name}" for name in constants})
    got = results(con, f"SELECT row, {call} AS y FROM data ORDER BY row", constants, table_of(case, rows, rows[0]))
    check_rows(got, expected_rows(case, rows), case)


FOUR_BITS = {"int4", "uint4"}  # TensorFlow has hardly a kernel for them
NESTABLE = [
    case
    for case in CASES
    if case.is_comparable
    and not operator_spec(case.operator).is_stateful
    and not FOUR_BITS & set(map(str, case.attributes.values()))
]


@pytest.mark.sweep
@pytest.mark.parametrize("case", parameters(NESTABLE))
def test_inside_and_around_another_operator(con: tfsql.Connection, case: Case, operator: str) -> None:
    rows = case.rows(12)
    wanted = expected_rows(case, rows)
    access = first_output(case, wanted[0])
    texts = {name: f'tf_Identity("{name}")' if name in case.columns() else f"${name}" for name in rows[0]}
    inner = f"({call_text(case, texts)}){access}"
    constants = {name: value for name, value in rows[0].items() if name not in case.columns()}
    sql = f"SELECT row, tf_Pack([{inner}, {inner}]) AS y FROM data ORDER BY row"
    got = results(con, sql, constants or None, table_of(case, rows, rows[0]))
    for position, (value, right) in enumerate(zip(got, wanted, strict=True)):
        single = first_value(case, right)
        both = np.stack([single, single]) if isinstance(single, np.ndarray | np.generic) else [single, single]
        check(value, both, case, f"row {position}")


def first_output(case: Case, wanted: Any) -> str:
    """The accessor of the first tensor that a case returns."""
    access = ""
    if isinstance(wanted, dict):
        name = first_name(case, wanted)
        access, wanted = f".{name}", wanted[name]
    return f"{access}[1]" if is_tensor_list(wanted) else access


def first_value(case: Case, wanted: Any) -> Any:
    value = wanted[first_name(case, wanted)] if isinstance(wanted, dict) else wanted
    return value[0] if is_tensor_list(value) else value


def first_name(case: Case, wanted: dict[str, Any]) -> str:
    return next(name for name in wanted if name in (case.pick or wanted))


def is_tensor_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], np.ndarray | np.generic | list)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", parameters([case for case in CASES if not case.in_graph and case.columns()]))
def test_kernels_that_write_into_their_inputs_are_known(case: Case) -> None:
    if any(operator_spec(case.operator).attribute(name).kind == "tensor" for name in case.attributes):
        return  # eager TensorFlow takes no such attribute
    assert changed_inputs(case, case.rows(1)[0]) == set(written_inputs(case.operator))


# -- random operators --------------------------------------------------------------------------------------------------

RANDOM = [case for case in CASES if operator_spec(case.operator).is_stateful and "seed" in case.attributes]


@pytest.mark.parametrize("case", parameters(RANDOM))
def test_two_queries_with_a_seed_agree(con: tfsql.Connection, case: Case) -> None:
    rows = case.rows(20)
    sql = f"SELECT row, {call_text(case)} AS y FROM data ORDER BY row"
    data = table_of(case, rows, rows[0])
    assert repr(results(con, sql, data=data)) == repr(results(con, sql, data=data))


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [pytest.param(limit, id=limit.operator) for limit in LIMITS])
def test_a_limit_is_still_true(con: tfsql.Connection, limit: Limit) -> None:
    if limit.stage == "differs":
        with pytest.raises(AssertionError):
            compare_rows(con, limit.case, 3)
    else:
        rows = limit.case.rows(3)
        data = table_of(limit.case, rows, rows[0])
        with pytest.raises(tfsql.TfsqlError, match=limit.message):
            results(con, f"SELECT row, {call_text(limit.case)} AS y FROM data", data=data)


def test_limits_name_their_stage() -> None:
    assert {limit.stage for limit in LIMITS} <= {"sql", "differs"}


# -- the notation of draws ---------------------------------------------------------------------------------------------


def test_draws_repeat() -> None:
    case = Case("Add", {"x": Draw("float32", (2,), "normal", (), False), "y": Draw("float32", (), "", (), True)}, {})
    first, second = case.rows(2), case.rows(2)
    assert repr(first) == repr(second)
    assert first[0]["y"] == first[1]["y"]
    assert not np.array_equal(first[0]["x"], first[1]["x"])
