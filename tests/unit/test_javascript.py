"""The contract of ``jseval``, case by case, and its limits."""

from __future__ import annotations

import datetime
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import tfsql
from tfsql.javascript.process import WORKER_PROCESS


@pytest.fixture(scope="module")
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


def value(con: tfsql.Connection, code: str, argument: str = "0") -> Any:
    ((got,),) = con.sql(f"SELECT jseval($code, 'x', {argument}) AS y", {"code": code}).fetchall()
    return got


DAY = datetime.datetime(2020, 1, 2, 3, 4, 5, 678000)

ARGUMENTS = [
    ("1", "number 1"),
    ("1.5", "number 1.5"),
    ("1.25::DECIMAL(5, 2)", "number 1.25"),
    ("170141183460469231731687303715884105727::HUGEINT", "number 1.7014118346046923e+38"),
    ("9007199254740993", "number 9007199254740992"),
    ("true", "boolean true"),
    ("'a\U0001f600b'", "string a\U0001f600b"),
    ("'it''s \"q\"'", 'string it\'s "q"'),
    ("NULL", "object null"),
    ("NULL::FLOAT[3]", "object null"),
    ("'x'::ENUM('x', 'y')", "string x"),
    ("'00000000-0000-0000-0000-000000000001'::UUID", "string 00000000-0000-0000-0000-000000000001"),
]


@pytest.mark.parametrize(("argument", "expected"), ARGUMENTS)
def test_scalars_arrive_as_themselves(con: tfsql.Connection, argument: str, expected: str) -> None:
    assert value(con, "return typeof x + ' ' + x", argument) == expected


def test_dates_and_bytes_arrive_as_objects(con: tfsql.Connection) -> None:
    assert value(con, "return x.toISOString()", "TIMESTAMP '2020-01-02 03:04:05.678'") == "2020-01-02T03:04:05.678Z"
    assert value(con, "return x.toISOString()", "DATE '1969-12-31'") == "1969-12-31T00:00:00.000Z"
    assert value(con, "return x.toISOString()", "TIMESTAMPTZ '2020-01-02 03:04:05+02'") == "2020-01-02T01:04:05.000Z"
    assert value(con, "return x.constructor.name + x.join()", r"'\x00\xFFa'::BLOB") == "Uint8Array0,255,97"


CELLS = [
    ("[5, 6]", [["0", 5], ["1", 6]]),
    ("[[1, 2], [3, 4]]::FLOAT[2][2]", [["0.0", 1], ["0.1", 2], ["1.0", 3], ["1.1", 4]]),
    ("{a: 1, 'b c': 'x', d: [true, false]}", [["a", 1], ["b c", "x"], ["d.0", True], ["d.1", False]]),
    ("[1, NULL, 3]", [["0", 1], ["1", None], ["2", 3]]),
    ("{a: NULL::INTEGER, b: {c: 2}}", [["a", None], ["b.c", 2]]),
    ("[]::INTEGER[]", []),
    ("['x', 'y']", [["0", "x"], ["1", "y"]]),
    ("{x: 1, y: 2}", [["x", 1], ["y", 2]]),
]


@pytest.mark.parametrize(("argument", "expected"), CELLS)
def test_rows_and_tensors_arrive_as_cells(con: tfsql.Connection, argument: str, expected: list[Any]) -> None:
    code = (
        "if (!x.every(c => Array.isArray(c[0]) && c[2] instanceof Date && c.length === 3)) throw 'no cells';"
        "return JSON.stringify(x.map(c => [c[0].join('.'), c[1]]))"
    )
    assert json.loads(value(con, code, argument)) == expected


RESULTS = [
    ("return 5", 5.0),
    ("return 0.1", 0.1),
    ("return NaN", math.nan),
    ("return -Infinity", -math.inf),
    ("return 'text'", "text"),
    (r"return '\0\ud83d\ude00'", "\0\U0001f600"),
    (r"return 'a\ud800b'", "a�b"),
    ("return true", True),
    ("return null", None),
    ("return undefined", None),
    ("", None),
    ("return new Date(Date.UTC(2020, 0, 2, 3, 4, 5, 678))", DAY),
    ("return new Date(NaN)", None),
    ("return 12n", 12.0),
    ("return [1, 2, 3]", (1.0, 2.0, 3.0)),
    ("return new Float32Array([1.5, 2])", (1.5, 2.0)),
    ("return [1, null, 3]", [1.0, None, 3.0]),
    ("return [1, , 3]", [1.0, None, 3.0]),
    ("return []", []),
    ("return [[1, 2], [3]]", [[1.0, 2.0], [3.0]]),
    ("return ['a', 'b']", ["a", "b"]),
    ("return ['a', 1]", {"0": "a", "1": 1.0}),
    ("return {b: 1, a: 'x', c: null}", {"b": 1.0, "a": "x", "c": None}),
    ("return {a: {b: [1, 2]}}", {"a": {"b": [1.0, 2.0]}}),
    ("return {a: undefined, d: new Date(0), n: NaN}", {"a": None, "d": datetime.datetime(1970, 1, 1), "n": math.nan}),
    ("class P { constructor() { this.a = 1 } get b() { return 2 } } return new P", {"a": 1.0}),
    ("y = 3; return y", 3.0),
    ("return this === undefined || typeof this", "object"),
]


@pytest.mark.parametrize(("code", "expected"), RESULTS)
def test_results_come_back(con: tfsql.Connection, code: str, expected: Any) -> None:
    got = value(con, code)
    np.testing.assert_equal(got, expected)
    assert type(got) is type(expected)


def test_columns_are_the_union_over_all_rows(con: tfsql.Connection) -> None:
    relation = con.sql(
        "SELECT jseval('if (i == 1) return null; let o = {i: i}; o[\"k\" + i % 3] = i; return o', 'i', i) AS * "
        "FROM range(5) r(i)"
    )
    assert relation.columns == ["i", "k0", "k2", "k1"]
    assert relation.fetchall() == [
        (0, 0, None, None), (None, None, None, None), (2, None, 2, None), (3, 3, None, None), (4, None, None, 4)
    ]  # fmt: skip


MIXED = [
    ("return i == 0 ? 1 : 'x'", ["VARCHAR"], [("1",), ("x",)]),
    ("return i == 0 ? true : 1.5", ["VARCHAR"], [("true",), ("1.5",)]),
    ("return i == 0 ? [1] : [1, 2]", ["float64[?]"], [([1.0],), ([1.0, 2.0],)]),
    ("return i == 0 ? {a: 1} : {a: 'x'}", ['STRUCT("a" VARCHAR)'], [({"a": "1"},), ({"a": "x"},)]),
    ("return i == 0 ? [1] : {a: 1}", ["VARCHAR"], [("[1]",), ('{"a": 1}',)]),
    ("return i == 0 ? null : 2", ["DOUBLE"], [(None,), (2.0,)]),
]


@pytest.mark.parametrize(("code", "types", "rows"), MIXED)
def test_one_type_holds_the_results_of_all_rows(con: tfsql.Connection, code: str, types: Any, rows: Any) -> None:
    relation = con.sql("SELECT jseval($code, 'i', i) AS y FROM range(2) r(i)", {"code": code})
    assert (relation.types, relation.fetchall()) == (types, rows)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT jseval('return x + 1', 'x', 41)::INTEGER", 42),
        ("SELECT jseval('return [1.5, 2]', 'x', 0)::FLOAT[2]", (1.5, 2.0)),
        ("SELECT jseval('return {a: 1}', 'x', 0)::STRUCT(a INTEGER, b VARCHAR)", {"a": 1, "b": None}),
        ("SELECT jseval('return 5', 'x', 0)::VARCHAR", "5"),
        ("SELECT sum(jseval('return i * 2', 'i', i)) FROM range(10000) r(i)", 99990000.0),
        ("SELECT count(*) FROM range(9) r(i) WHERE jseval('return i % 2 == 0', 'i', i)", 5),
        ("SELECT max(y.a) FROM (SELECT jseval('return {a: i}', 'i', i) AS y FROM range(4) r(i))", 3.0),
        ("SELECT tf_Sum(jseval('return [1, 2]', 'x', 0)::FLOAT[2] * 2, 0)", 6.0),
        ("SELECT jseval('return x + 1', 'x', jseval('return x * 2', 'x', 20)) + 1", 42.0),
        ("SELECT jseval('return ' || 'x', 'x', 3)", 3.0),
        ("SELECT jseval('return a.length + b', 'a, b', [1, 2], 3)", 5.0),
        ("SELECT jseval('return 7', '')", 7.0),
        ("SELECT list(y ORDER BY y)[1] FROM (SELECT jseval('return -i', 'i', i) AS y FROM range(4) r(i))", -3.0),
        ("SELECT jseval('return i', 'i', i) AS y FROM range(4) r(i) ORDER BY y DESC LIMIT 1", 3.0),
        ("SELECT DISTINCT jseval('return 1', 'i', i) FROM range(4) r(i)", 1.0),
    ],
)
def test_stands_wherever_an_expression_may(con: tfsql.Connection, query: str, expected: Any) -> None:
    assert con.sql(query).fetchall() == [(expected,)]


ERRORS = [
    ("return 1", None, tfsql.BindError, "jseval expected at least 2 arguments"),
    ("return x", "'x'", tfsql.BindError, "jseval has 1 parameters (x) but 0 values for them"),
    ("return (", "'x', 0", tfsql.ExecutionError, "Exception compiling jseval script: SyntaxError: Unexpected token"),
    ("let a;\n  let b = = 2", "'x', 0", tfsql.ExecutionError, "SyntaxError: Unexpected token '=' (line 2, column 11)"),
    ("} evil(); {", "'x', 0", tfsql.ExecutionError, "Exception compiling jseval script: SyntaxError"),
    ("return 1", "'x y', 0", tfsql.ExecutionError, "Exception compiling jseval script: SyntaxError"),
    ("throw 'text'", "'x', 0", tfsql.ExecutionError, "jseval script threw exception: text"),
    ("throw 42", "'x', 0", tfsql.ExecutionError, "jseval script threw exception: 42"),
    ("throw null", "'x', 0", tfsql.ExecutionError, "jseval script threw exception: null"),
    ("throw {a: 1}", "'x', 0", tfsql.ExecutionError, 'jseval script threw exception: {"a":1}'),
    ("\n  null.y", "'x', 0", tfsql.ExecutionError, "threw exception: TypeError: Cannot read properties of null"),
    ("\n  null.y", "'x', 0", tfsql.ExecutionError, "(line 2, column 8 of the script)"),
    ("return () => 1", "'x', 0", tfsql.ExecutionError, "a function cannot be a value in SQL"),
    ("return Symbol()", "'x', 0", tfsql.ExecutionError, "a symbol cannot be a value in SQL"),
    ("return 2n ** 70n", "'x', 0", tfsql.ExecutionError, "does not fit a number"),
    ("let o = {}; o.o = o; return o", "'x', 0", tfsql.ExecutionError, "the object holds itself"),
    ("return x", "'x', map {'a': 1}", tfsql.ExecutionError, "x is map<string, int32>, which JavaScript has"),
]


@pytest.mark.parametrize(("code", "rest", "error", "message"), ERRORS)
def test_what_goes_wrong_is_said(
    con: tfsql.Connection, code: str, rest: str | None, error: type[tfsql.TfsqlError], message: str
) -> None:
    call = "jseval($code)" if rest is None else f"jseval($code, {rest})"
    with pytest.raises(error) as caught:
        con.sql(f"SELECT {call} AS y", {"code": code}).fetchall()
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (1, 8)
    assert value(con, "return 1") == 1


def test_a_throw_names_the_row(con: tfsql.Connection) -> None:
    code = "if (i == 3333) throw 'at ' + i; return i"
    with pytest.raises(tfsql.ExecutionError, match=r"threw exception: at 3333 \(row 3333\)"):
        con.sql("SELECT jseval($code, 'i', i) AS y FROM range(5000) r(i)", {"code": code}).fetchall()


def test_a_value_that_does_not_fit_the_cast_names_the_row(con: tfsql.Connection) -> None:
    with pytest.raises(tfsql.ExecutionError, match=r'jseval returned "x", which is no INTEGER \(row 2\)'):
        con.sql("SELECT jseval('return i == 2 ? \"x\" : i', 'i', i)::INTEGER AS y FROM range(5) r(i)").fetchall()


def test_many_rows(con: tfsql.Connection) -> None:
    rows = np.arange(100_000 * 4, dtype=np.float32).reshape(100_000, 4)
    got = con.sql("SELECT jseval('return x.map(c => c[1] * 2)', 'x', column0) AS y FROM rows").numpy()["y"]
    np.testing.assert_array_equal(got, rows * 2)


# -- limits and isolation ----------------------------------------------------------------------------------------------


@contextmanager
def timeout(con: tfsql.Connection, seconds: float) -> Iterator[None]:
    con.sql(f"SET tfsql_javascript_timeout_s = {seconds}")
    try:
        yield
    finally:
        con.sql("RESET tfsql_javascript_timeout_s")


ENDLESS = [
    "while (true);",
    "while (true) { try { while (true); } catch (e) {} finally { while (true); } }",
    "return {get a() { while (true); }}",
    "return /^(a+)+$/.test('a'.repeat(40) + 'b')",
    "throw {toString() { while (true); }, toJSON() { while (true); }}",
    "return [1, 2, 3].sort(() => { while (true); })",
]


@pytest.mark.parametrize("code", ENDLESS)
def test_an_endless_call_ends(con: tfsql.Connection, code: str) -> None:
    started = time.monotonic()
    with timeout(con, 0.5), pytest.raises(tfsql.ResourceError, match=r"ran for more than 0\.5 s") as caught:
        con.sql("SELECT jseval($code, 'i', i) AS y FROM range(3) r(i)", {"code": code}).fetchall()
    assert time.monotonic() - started < 8
    assert "tfsql_javascript_timeout_s" in (caught.value.hint or "")
    assert value(con, "return 1") == 1


def test_many_rows_that_each_keep_the_limit_may_take_longer_together(con: tfsql.Connection) -> None:
    code = "let end = Date.now() + 30; while (Date.now() < end); return i"
    with timeout(con, 0.4):
        rows = con.sql("SELECT jseval($code, 'i', i) AS y FROM range(40) r(i)", {"code": code}).fetchall()
    assert rows == [(float(i),) for i in range(40)]


BOMBS = [
    "let a = []; while (true) a.push({x: 1})",
    "let s = 'x'; while (true) s += s",
    "let a = [], s = 'x'.repeat(1e6); while (true) a.push(s + a.length + '').length",
    "return new Array(1e9).fill(0).length",
    "return new ArrayBuffer(1e11).byteLength",
    "let a = []; while (true) a.push(new Uint8Array(1e8).fill(1))",
    "let a = []; while (true) a.push(new Uint8Array(1e6).fill(1))",
    "function f() { return f() + 1 } return f()",
    "let s = '[' + '[],'.repeat(3e7) + '1]'; return JSON.parse(s).length",
    "let m = new Map(); for (let i = 0; ; i++) m.set(i, i)",
    "let b = new ArrayBuffer(8, {maxByteLength: 8e9}); b.resize(8e9); new Uint8Array(b).fill(1); return 1",
    "return Array.from({length: 2 ** 32 - 2}).length",
]


@pytest.mark.parametrize("code", BOMBS)
def test_a_bomb_ends_in_an_error(con: tfsql.Connection, code: str) -> None:
    with timeout(con, 5), pytest.raises(tfsql.TfsqlError) as caught:
        con.sql("SELECT jseval($code, 'x', 0) AS y", {"code": code}).fetchall()
    assert "jseval script" in caught.value.message
    assert value(con, "return 1") == 1


def test_no_state_between_queries_and_none_of_the_process(con: tfsql.Connection) -> None:
    assert value(con, "globalThis.leak = (globalThis.leak || 0) + 1; return leak") == 1
    assert value(con, "globalThis.leak = (globalThis.leak || 0) + 1; return leak") == 1
    names = "setTimeout require process console WebAssembly SharedArrayBuffer Atomics fetch import_ os __timer_manager"
    assert value(con, f"return {names.split()!r}.filter(n => typeof globalThis[n] !== 'undefined').length") == 0


SABOTAGE = [
    "Array.prototype.push = () => { throw 'gone' }; Object.prototype.kind = 'list'; return i",
    "JSON.stringify = () => '!'; JSON.parse = () => null; Date.now = () => 0; return 'text ' + i",
    "Array.prototype[Symbol.iterator] = null; return {i}",
    "Function.prototype.apply = null; Reflect.apply = null; Uint8Array.prototype.slice = null; return [i]",
]


@pytest.mark.parametrize("code", SABOTAGE)
def test_changed_globals_do_not_change_the_driver(con: tfsql.Connection, code: str) -> None:
    rows = con.sql("SELECT jseval($code, 'i', i) AS y FROM range(3) r(i)", {"code": code}).fetchall()
    assert len(rows) == 3
    assert all(row[0] is not None for row in rows)


def test_limits_are_settings(con: tfsql.Connection) -> None:
    query = "SELECT value FROM tfsql_settings() WHERE name = 'tfsql_javascript_timeout_s'"
    con.sql("SET tfsql_javascript_timeout_s = 2.5")
    assert con.sql(query).fetchall() == [("2.5",)]
    con.sql("RESET tfsql_javascript_timeout_s")
    assert con.sql(query).fetchall() == [("10.0",)]
    with pytest.raises(tfsql.TypeMismatchError, match="takes a number of seconds above 0"):
        con.sql("SET tfsql_javascript_timeout_s = -1")
    with pytest.raises(tfsql.BindError, match="There is no setting tfsql_nothing"):
        con.sql("SET tfsql_nothing = 1")
    with tfsql.connect(config={"tfsql_javascript_timeout_s": 3}) as other:
        assert other.sql(query).fetchall() == [("3.0",)]


def test_the_log_is_pythons(con: tfsql.Connection, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tfsql.javascript"):
        value(con, "mldb.log('seen', {a: 1}); return 1")
    assert [record.getMessage() for record in caplog.records] == ['seen {"a":1}']


def test_a_killed_worker_is_replaced(con: tfsql.Connection) -> None:
    value(con, "return 1")
    process = WORKER_PROCESS._process
    assert process is not None
    killer = threading.Timer(0.3, os.kill, (process.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(tfsql.ResourceError, match="jseval script"):
        value(con, "let end = Date.now() + 5000; while (Date.now() < end); return 1")
    assert value(con, "return 2") == 2
