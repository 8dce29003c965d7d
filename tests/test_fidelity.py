"""What DuckDB accepts means the same in tfsql: DuckDB itself is the oracle.

``fixtures/identity.sql`` holds statements, one a line; all but the last of a line's statements prepare it. Each line
is put to four checks:

- ``plain``: tfsql gives what DuckDB gives;
- ``generated``: the text that the binder makes of it, run by DuckDB, gives what the user's own text gives;
- ``around``: so does the statement as a subquery of one with a tensor operator;
- ``inside``: so does the statement with a tensor operator as the last item of its select list.

A line that fails one is a known gap and says so in the fixture, with how it fails and why:

- ``parse``: tfsql cannot read the statement;
- ``names``: rows and types are right, but columns have other names;
- ``rows``: rows or types are others, or the statement fails.

A gap that has closed fails its test, so that the fixture tells the truth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from sqlglot.tokens import TokenType

import tfsql
from tfsql.bind import Environment, StatementBinder, parse
from tfsql.source import Statement, statements
from tfsql.sugar import desugar

FIXTURE = Path(__file__).parent / "fixtures" / "identity.sql"
DIRECTORY = "@DIR@"
PROBE = "tf_Abs(1.0) AS tfsql_probe"
PLAIN_PROBE = "1.0::FLOAT AS tfsql_probe"
CHECKS = ("plain", "generated", "around", "inside")
KINDS = ("parse", "names", "rows")

_GAP = re.compile(r"-- gap (?P<checks>[a-z, ]+) (?P<kind>[a-z]+): (?P<reason>[\w-]+)$")
_REASON = re.compile(r"-- reason (?P<key>[\w-]+): (?P<text>.+)$")
_UNNAMED = re.compile(r"<(item|l|): ")  # what Arrow calls the values of a list says nothing of their type
_QUERY = re.compile(r"\(*\s*(SELECT|FROM|WITH|VALUES|TABLE|PIVOT|UNPIVOT)\b", re.IGNORECASE)
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_AFTER_SELECT_LIST = {
    TokenType.FROM, TokenType.WHERE, TokenType.GROUP_BY, TokenType.HAVING, TokenType.QUALIFY, TokenType.WINDOW,
    TokenType.ORDER_BY, TokenType.LIMIT, TokenType.OFFSET, TokenType.FETCH, TokenType.USING,
}  # fmt: skip
_SET_OPERATIONS = {TokenType.UNION, TokenType.INTERSECT, TokenType.EXCEPT}


@dataclass
class Line:
    """A line of the fixture.

    Attributes:
      gaps: by check, the kind of the known gap.
    """

    number: int
    sql: str
    gaps: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fixture:
    setup: list[str]
    lines: list[Line]
    reasons: dict[str, str]
    used_reasons: set[str]


def read_fixture(path: Path = FIXTURE) -> Fixture:
    """The fixture: what prepares the database, the lines with their gaps, the reasons of the gaps."""
    fixture = Fixture([], [], {}, set())
    gaps: dict[str, str] = {}
    target: list[Any] = fixture.setup
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.startswith("-- statements"):
            target = fixture.lines
        elif (gap := _GAP.match(text)) is not None:
            assert gap["kind"] in KINDS, text
            gaps |= dict.fromkeys(re.split(r"[ ,]+", gap["checks"]), gap["kind"])
            fixture.used_reasons.add(gap["reason"])
        elif (reason := _REASON.match(text)) is not None:
            fixture.reasons[reason["key"]] = reason["text"]
        elif text and not text.startswith("--"):
            target.append(Line(number, text, gaps) if target is fixture.lines else text)
            gaps = {}
    return fixture


CASES = read_fixture()


@dataclass(frozen=True)
class Outcome:
    """What a statement gave: columns with their types and values as text, or the error."""

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    error: str = ""
    is_unread: bool = False


def outcome_of(table: pa.Table) -> Outcome:
    """Names, types and values of a table; extension types as what they are stored as."""
    columns = [_stored(column.combine_chunks()) for column in table.columns]
    types = tuple(_UNNAMED.sub("<", str(column.type)) for column in columns)
    return Outcome(tuple(table.column_names), types, tuple(column.to_string(window=10**6) for column in columns))


def _stored(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def difference(expected: Outcome, got: Outcome) -> str:
    """The kind of difference; empty if there is none. An error is one if only one side has it."""
    if got.is_unread:
        return "parse"
    if expected.error or got.error:
        return "" if expected.error and got.error else "rows"
    if (expected.types, expected.values) != (got.types, got.values):
        return "rows"
    return "names" if expected.names != got.names else ""


class Engines:
    """Plain DuckDB and tfsql over the same tables, both in memory."""

    def __init__(self, directory: Path):
        self._directory = directory
        self.duckdb = duckdb.connect(config={"threads": 1})
        self.duckdb.execute("SET python_enable_replacements = false")
        self.tfsql = tfsql.connect(config={"threads": 1})
        self.tfsql.execute(f"SELECT {PROBE}")  # the kernel is there before any transaction that is rolled back
        for statement in CASES.setup:
            self.duckdb.execute(self.text(statement))
            if not statement.startswith("COPY"):
                self.tfsql.execute(self.text(statement))

    def text(self, sql: str) -> str:
        return sql.replace(DIRECTORY, str(self._directory))

    def in_duckdb(self, texts: list[str]) -> Outcome:
        """What the last of the statements gives in DuckDB; nothing is kept of any."""

        def last(text: str) -> pa.Table:
            relation = self.duckdb.sql(text)
            return pa.table({}) if relation is None else relation.to_arrow_table()

        return self._undone(texts, self._run_in_duckdb, last)

    def _run_in_duckdb(self, text: str) -> None:
        self.duckdb.execute(text).fetchall()

    def in_tfsql(self, texts: list[str]) -> Outcome:
        """What the last of the statements gives in tfsql; nothing is kept of any."""

        def last(text: str) -> pa.Table:
            relation = self.tfsql.sql(text)
            return pa.table({}) if relation is None else relation.arrow()

        return self._undone(texts, self.tfsql.execute, last)

    def _undone(self, texts: list[str], run: Callable[[str], Any], last: Callable[[str], pa.Table]) -> Outcome:
        is_query = len(texts) == 1 and _QUERY.match(texts[0])
        if not is_query:
            run("BEGIN")
        try:
            for text in texts[:-1]:
                run(text)
            return outcome_of(last(texts[-1]))
        except tfsql.ParseError as error:
            return Outcome(error=str(error), is_unread=True)
        except Exception as error:
            return Outcome(error=f"{type(error).__name__}: {error}")
        finally:
            if not is_query:
                run("ROLLBACK")
            for text in texts:
                if (setting := re.match(r"SET (\w+) =", text)) is not None:
                    run(f"RESET {setting[1]}")

    def close(self) -> None:
        self.tfsql.close()
        self.duckdb.close()


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    engines = Engines(tmp_path_factory.mktemp("fidelity"))
    yield engines
    engines.close()


def parts(sql: str) -> list[Statement]:
    return list(statements(sql))


def generated(statement: Statement) -> str:
    """The text that the binder makes of a statement in which it changes nothing."""
    desugared = desugar(statement)
    tree = parse(desugared)
    binder = StatementBinder(desugared, Environment(None, None))  # type: ignore[arg-type]
    return binder.source.restore(binder.sql(tree))


def end_of_select_list(statement: Statement) -> int | None:
    """The offset behind the outermost select list; None if there is none, or more than one."""
    tokens = statement.tokens
    if any(token.token_type in _SET_OPERATIONS for token, depth in _with_depths(tokens) if depth == 0):
        return None
    is_inside = False
    for index, (token, depth) in enumerate(_with_depths(tokens)):
        if depth == 0 and token.token_type == TokenType.SELECT:
            is_inside = True
        elif depth == 0 and is_inside and token.token_type in _AFTER_SELECT_LIST:
            return tokens[index - 1].end + 1
    return tokens[-1].end + 1 if is_inside else None


def _with_depths(tokens: tuple[Any, ...]) -> Iterator[tuple[Any, int]]:
    depth = 0
    for token in tokens:
        depth -= token.token_type in _CLOSING
        yield token, depth
        depth += token.token_type in _OPENING


def ways(engines: Engines, line: Line) -> Iterator[tuple[str, list[str], list[str] | None]]:
    """Each check of a line: its name, what DuckDB runs, and what is compared with it; None for what cannot be read."""
    written = parts(engines.text(line.sql))
    texts = [part.text for part in written]
    yield "plain", texts, texts
    try:
        yield "generated", texts, [generated(part) for part in written]
    except tfsql.ParseError:
        yield "generated", texts, None
    *before, query = texts
    if not _QUERY.match(query) or not all(map(_is_undoable, before)):
        return
    yield "around", *([*before, f"SELECT *, {probe} FROM ({query})"] for probe in (PLAIN_PROBE, PROBE))
    end = end_of_select_list(written[-1])
    if end is not None:
        end -= written[-1].tokens[0].start
        yield "inside", *([*before, f"{query[:end]}, {probe}{query[end:]}"] for probe in (PLAIN_PROBE, PROBE))


def found_gaps(engines: Engines, line: Line) -> tuple[dict[str, str], list[str]]:
    """The kind of gap by check, and what was compared where the fixture expects something else."""
    found: dict[str, str] = {}
    report: list[str] = []
    references: dict[str, Outcome] = {}
    for name, expected, texts in ways(engines, line):
        reference = references.get(expected[-1]) or engines.in_duckdb(expected)
        references[expected[-1]] = reference
        if reference.error:
            assert name in ("around", "inside"), f"DuckDB refuses the statement: {reference.error}"
            continue
        run = engines.in_duckdb if name == "generated" else engines.in_tfsql
        outcome = Outcome(is_unread=True) if texts is None else run(texts)
        kind = difference(reference, outcome)
        found |= {name: kind} if kind else {}
        if kind != line.gaps.get(name, ""):
            report.append(f"{name}: {kind or 'no gap'}\n  {texts}\n  expected {reference}\n  got {outcome}")
    return found, report


@pytest.mark.parametrize("line", CASES.lines, ids=lambda line: str(line.number))
def test_statement(engines: Engines, line: Line) -> None:
    found, report = found_gaps(engines, line)
    assert found == line.gaps, "\n".join([line.sql, *report])


def _is_undoable(text: str) -> bool:
    """Whether a statement's effect ends with its transaction, or with RESET."""
    return not re.match(r"COPY|CREATE (OR REPLACE )?VIEW", text)


def test_every_reason_is_given_and_used() -> None:
    assert CASES.used_reasons == set(CASES.reasons)


def test_every_gap_names_a_check() -> None:
    assert {name for line in CASES.lines for name in line.gaps} <= set(CHECKS)


def test_statements_stand_once() -> None:
    sqls = [line.sql for line in CASES.lines]
    assert [sql for sql in sqls if sqls.count(sql) > 1] == []


def test_text_over_several_lines(engines: Engines) -> None:
    """Comments up to the end of a line, and the line ends themselves, separate words."""
    sql = "SELECT i, -- the number\n  s /* the\nword */ AS w -- last\nFROM nums -- all\nORDER BY i"
    expected = engines.in_duckdb([sql.replace("AS w", f"AS w, {PLAIN_PROBE}")])
    assert difference(expected, engines.in_tfsql([sql.replace("AS w", f"AS w, {PROBE}")])) == ""


@pytest.mark.parametrize("parameters", [[2, "apple"], (5, "x")])
def test_positional_parameters(engines: Engines, parameters: Any) -> None:
    sql = "SELECT i, ? AS p FROM nums WHERE i > ?::INTEGER - 1 ORDER BY ALL"
    swapped = [parameters[1], parameters[0]]
    expected = engines.duckdb.execute(sql, swapped).fetchall()
    relation = engines.tfsql.sql(sql.replace("AS p", f"AS p, {PROBE}"), swapped)
    assert relation is not None
    assert [row[:-1] for row in relation.fetchall()] == expected


def test_named_parameters(engines: Engines) -> None:
    sql = "SELECT i, $word AS p, l[:$end] FROM nums, (SELECT [1, 2, 3] AS l) WHERE i > $least ORDER BY ALL"
    values = {"word": "apple", "least": 2, "end": 2}
    expected = engines.duckdb.execute(sql, values).fetchall()
    relation = engines.tfsql.sql(sql.replace(" FROM", f", {PROBE} FROM", 1), values)
    assert relation is not None
    assert [row[:-1] for row in relation.fetchall()] == expected
