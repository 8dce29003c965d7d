"""SQL made of the texts and the JSON values that resources are configured with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot.tokenizer_core import TokenType

from tfsql.bind import parse
from tfsql.bind.functions import free_columns
from tfsql.errors import ParseError, TfsqlError, TypeMismatchError
from tfsql.source import CLOSING, OPENING, Statement, lift_literals, statements
from tfsql.sugar import desugar
from tfsql.types import quote, quote_text

_LEAD = "SELECT "


@dataclass(frozen=True)
class Item:
    """One item of a select list: its expression, and the name it gives, ``*`` to spread it, or None."""

    text: str
    name: str | None


def literal(value: Any) -> str:
    """The SQL of a JSON value: objects are rows, arrays are lists."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value) if value == value and abs(value) != float("inf") else f"{quote_text(str(value))}::DOUBLE"
    if isinstance(value, str):
        return quote_text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quote(str(name))}: {literal(item)}" for name, item in value.items()) + "}"
    raise TypeMismatchError(f"{type(value).__name__} is no JSON value")


def one_statement(text: str, what: str) -> Statement:
    """The only statement of a text.

    Raises:
      ParseError: it holds none, or several.
    """
    found = list(statements(text))
    if len(found) != 1:
        raise ParseError(f"{what} is one SQL statement, not {len(found)}")
    return found[0]


def select_items(text: str, what: str) -> list[Item]:
    """The items of a select list, each as it is written.

    Raises:
      ParseError: the text is no select list.
    """
    statement = _select(text, what)
    tokens = list(statement.tokens)[1:]
    items, first, depth = [], 0, 0
    for index, token in enumerate(tokens):
        depth += (token.token_type in OPENING) - (token.token_type in CLOSING)
        if token.token_type == TokenType.COMMA and depth == 0:
            items.append(_item(statement, first + 1, index + 1))
            first = index + 1
    return [*items, _item(statement, first + 1, len(tokens) + 1)]


def _select(text: str, what: str) -> Statement:
    statement = one_statement(f"{_LEAD}{text}", what)
    try:
        parse(desugar(statement))
    except TfsqlError as error:
        raise ParseError(f"{what} is no select list: {error.message}: {text}") from error
    return statement


def _item(statement: Statement, start: int, end: int) -> Item:
    tokens = statement.tokens[start:end]
    if len(tokens) > 2 and tokens[-2].token_type == TokenType.ALIAS:
        return Item(statement.slice(start, end - 2), tokens[-1].text)
    is_name = len(tokens) == 1 and tokens[0].token_type not in (TokenType.STRING, TokenType.NUMBER)
    return Item(statement.slice(start, end), tokens[0].text if is_name else None)


def free_names(text: str, what: str) -> list[str]:
    """The names that a select list leaves open, in the order of first use."""
    tree = parse(desugar(_select(text, what)))
    columns = itertools.chain.from_iterable(map(free_columns, tree.expressions))
    return list(dict.fromkeys(column.parts[0].name for column in columns))


def dollar_names(text: str, what: str) -> list[str]:
    """The ``$name`` parameters of a query, in the order in which they occur."""
    tokens = one_statement(text, what).tokens
    pairs = itertools.pairwise(tokens)
    return list(dict.fromkeys(b.text for a, b in pairs if a.token_type == TokenType.PARAMETER and a.text == "$"))


def with_calls_replaced(text: str, calls: Mapping[str, str]) -> str:
    """A select list or expression in which calls without arguments stand for other SQL, as ``lineNumber()`` does.

    Args:
      calls: SQL by lower-case name.
    """
    tokens = _select(text, "The expression").tokens
    found = []
    for name, opened, closed in zip(tokens, tokens[1:], tokens[2:], strict=False):
        is_call = opened.token_type == TokenType.L_PAREN and closed.token_type == TokenType.R_PAREN
        if is_call and name.text.lower() in calls:
            found.append((name.start, closed.end, calls[name.text.lower()]))
    return _replaced(text, found)


def with_names_replaced(text: str, names: Mapping[str, str]) -> str:
    """A select list in which names of columns stand for other SQL."""
    tokens = _select(text, "The select list").tokens
    found = []
    for before, name, after in zip(tokens, tokens[1:], [*tokens[2:], None], strict=False):
        is_name = name.token_type not in (TokenType.STRING, TokenType.NUMBER) and name.text in names
        is_alias = before.token_type in (TokenType.ALIAS, TokenType.DOT)
        if is_name and not is_alias and (after is None or after.token_type not in (TokenType.L_PAREN, TokenType.COLON)):
            found.append((name.start, name.end, names[name.text]))
    return _replaced(text, found)


def _replaced(text: str, places: Iterable[tuple[int, int, str]]) -> str:
    """A select list with other SQL at some places, each given by its first and last character behind SELECT."""
    source = lift_literals(f"{_LEAD}{text}")
    made, last = "", len(_LEAD)
    for first, final, sql in places:
        start, end = source.original_offset(first), source.original_offset(final)
        made += source.text[last:start] + sql
        last = end + 1
    return made + source.text[last:]


def row_text(items: Iterable[Item], what: str) -> str:
    """The expression of the row that a select list makes; of one item ``AS *`` it is what is spread.

    Raises:
      ParseError: several items are spread, or the list takes columns that are not there.
    """
    items = list(items)
    if len(items) == 1 and items[0].name == "*":
        return items[0].text
    if any(item.name == "*" or item.text.endswith("*") for item in items):
        raise ParseError(f"{what}: AS * stands alone; beside it, name what it spreads: {{a: 1, b: 2}}")
    return "{" + ", ".join(f"{quote(item.name or item.text)}: {item.text}" for item in items) + "}"
