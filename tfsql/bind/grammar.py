"""From the tokens of a statement to its syntax tree, by sqlglot's stock DuckDB grammar."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import ParseError as SqlglotParseError
from sqlglot.errors import SqlglotError

from tfsql.errors import ParseError, Span
from tfsql.source import DIALECT, Statement


def parse(statement: Statement) -> exp.Expr:
    """The syntax tree of a desugared statement.

    Raises:
      ParseError: the grammar does not know the form.
    """
    try:
        with _quiet_grammar():
            tree = DIALECT.parser().parse(list(statement.tokens), statement.source.short)[0]
    except SqlglotParseError as error:
        detail = error.errors[0] if error.errors else {}
        message = str(detail.get("description") or error).rstrip(".")
        raise ParseError(f"Cannot read the SQL: {message}", span=_span_of(statement, detail)) from error
    except SqlglotError as error:
        raise ParseError(f"Cannot read the SQL: {error}") from error
    if tree is None or isinstance(tree, exp.Command):
        raise ParseError("Cannot read this form of statement", span=first_token(statement))
    return tree


@contextlib.contextmanager
def _quiet_grammar() -> Iterator[None]:
    """Without sqlglot's log of what it does not read: the error says it, or the engine reads it."""
    logger = logging.getLogger("sqlglot")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled


def _span_of(statement: Statement, detail: Mapping[str, Any]) -> Span:
    highlight = detail.get("highlight") or ""
    context = (detail.get("start_context") or "")[-30:]
    position = statement.source.short.find(context + highlight) + len(context) if highlight else -1
    if position < 0:
        return first_token(statement)
    return statement.span(position, position + len(highlight))


def first_token(statement: Statement) -> Span:
    """The span of a statement's first word."""
    return statement.span(statement.tokens[0].start, statement.tokens[0].end + 1)
