"""Rewrites the MLDB forms in the token stream, so that the stock DuckDB grammar parses the rest.

| written | becomes |
|---|---|
| ``* EXCLUDING (a)`` | ``* EXCLUDE (a)`` |
| ``expr AS *`` | ``expr AS "tfsql:spread"`` |
| ``{*, x, a: 1}`` | ``tfsql_row(COLUMNS(*), x, "a" := 1)`` |
| ``SELECT x NAMED y FROM`` | ``SELECT (y) AS "_rowName", x FROM`` |
| ``predict(x)``, of the user's own | ``tfsql_call_predict(x)`` |

A row that DuckDB reads itself, ``{a: 1, 'b': 2}``, is left as it stands. Every token keeps the offsets of the text
it came from, so that errors point at what the user wrote.
"""

from __future__ import annotations

import itertools
from collections.abc import Container

from sqlglot.tokenizer_core import Token, TokenType

from tfsql.errors import ParseError
from tfsql.source import CLOSING, DIALECT, OPENING, Statement

SPREAD = "tfsql:spread"
ROW_FUNCTION = "tfsql_row"
ROW_NAME = "_rowName"

CALL_PREFIX = "tfsql_call_"

_PARSER = DIALECT.parser_class
_GRAMMAR_FUNCTIONS = frozenset(_PARSER.FUNCTIONS) | frozenset(_PARSER.FUNCTION_PARSERS)
# Keywords that a bracket follows only where they name a function: MLDB's fetchers are called so.
_KEYWORDS_OF_CALLS = frozenset({TokenType.FETCH})
_CLAUSES = {
    TokenType.FROM,
    TokenType.WHERE,
    TokenType.GROUP_BY,
    TokenType.HAVING,
    TokenType.QUALIFY,
    TokenType.ORDER_BY,
    TokenType.LIMIT,
    TokenType.UNION,
    TokenType.INTERSECT,
    TokenType.EXCEPT,
}


def desugar(statement: Statement, functions: Container[str] = ()) -> Statement:
    """The statement with every MLDB form rewritten.

    Args:
      functions: lower-case names of the user's functions: the grammar has forms of its own for some names.

    Raises:
      ParseError: a row expression or a NAMED clause is malformed.
    """
    tokens = _called(list(statement.tokens), functions)
    tokens = _excluding(tokens)
    tokens = _spread(tokens)
    tokens = _named(tokens, statement)
    return statement.with_tokens(_rows(tokens, statement))


def _like(token: Token, sql: str) -> list[Token]:
    """The tokens of ``sql``, all at the position of ``token``."""
    return [
        Token(made.token_type, made.text, token.line, token.col, token.start, token.end, [])
        for made in DIALECT.tokenize(sql)
    ]


def _is_word(token: Token, word: str) -> bool:
    return token.text.upper() == word and token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER)


def item_text(statement: Statement, position: int) -> str:
    """The text, in ``source.short``, of the select item or argument around ``position``."""
    tokens = list(statement.original or statement.tokens)
    index = next((i for i, token in enumerate(tokens) if token.end >= position), len(tokens) - 1)
    first, depth = index, 0
    while first > 0:
        kind = tokens[first - 1].token_type
        depth += (kind in CLOSING) - (kind in OPENING)
        if depth <= 0 and kind in (TokenType.COMMA, TokenType.SELECT, TokenType.DISTINCT):
            break
        depth = max(depth, 0)  # an opening bracket that encloses the position: the item starts before it
        first -= 1
    last = max(_end_of_expression(tokens, first), first + 1) - 1
    return statement.source.short[tokens[first].start : tokens[last].end + 1]


def _called(tokens: list[Token], functions: Container[str]) -> list[Token]:
    """Calls of the user's functions under names that the grammar does not know."""
    result: list[Token] = []
    for token, after in itertools.zip_longest(tokens, tokens[1:]):
        is_call = after is not None and after.token_type == TokenType.L_PAREN and token.text.lower() in functions
        is_word = token.token_type in (TokenType.VAR, TokenType.IDENTIFIER)
        is_known = is_call and (not is_word or token.text.upper() in _GRAMMAR_FUNCTIONS)
        is_keyword = token.token_type in _KEYWORDS_OF_CALLS and after is not None and after.token_type in OPENING
        result += _like(token, f"{CALL_PREFIX}{token.text}") if is_known or is_keyword else [token]
    return result


def _excluding(tokens: list[Token]) -> list[Token]:
    result: list[Token] = []
    for token in tokens:
        after_star = bool(result) and result[-1].token_type == TokenType.STAR
        result += _like(token, "EXCLUDE") if after_star and _is_word(token, "EXCLUDING") else [token]
    return result


def _spread(tokens: list[Token]) -> list[Token]:
    result: list[Token] = []
    for token in tokens:
        after_as = bool(result) and result[-1].token_type == TokenType.ALIAS
        is_star = token.token_type == TokenType.STAR
        result += _like(token, f'"{SPREAD}"') if after_as and is_star else [token]
    return result


def _named(tokens: list[Token], statement: Statement) -> list[Token]:
    """Moves each ``NAMED expr`` to the front of its select list."""
    index = 0
    while index < len(tokens):
        if _is_word(tokens[index], "NAMED") and _ends_expression(tokens, index):
            select = _select_before(tokens, index)
            end = _end_of_expression(tokens, index + 1)
            if select is not None and end > index + 1:
                name = tokens[index + 1 : end]
                tokens = [
                    *tokens[: select + 1],
                    *_like(tokens[index], "("),
                    *name,
                    *_like(tokens[index], f')::VARCHAR AS "{ROW_NAME}",'),
                    *tokens[select + 1 : index],
                    *tokens[end:],
                ]
            elif select is not None and (end >= len(tokens) or tokens[end].token_type in _CLAUSES - {TokenType.FROM}):
                span = statement.span(tokens[index].start, tokens[index].end + 1)
                raise ParseError("NAMED needs an expression that names the row", span=span)
        index += 1
    return tokens


def _ends_expression(tokens: list[Token], index: int) -> bool:
    """Whether the token before ``index`` can be the last one of an expression."""
    if index == 0:
        return False
    before = tokens[index - 1]
    ends = {TokenType.IDENTIFIER, TokenType.VAR, TokenType.NUMBER, TokenType.STRING, TokenType.STAR, TokenType.END}
    return before.token_type in ends | CLOSING or (before.text[:1].isalnum() and before.token_type not in {
        TokenType.SELECT, TokenType.ALIAS, TokenType.FROM, TokenType.WHERE, TokenType.AND, TokenType.OR, TokenType.TABLE
    })  # fmt: skip


def _select_before(tokens: list[Token], index: int) -> int | None:
    """The SELECT whose list ``index`` stands in; None behind the list's end."""
    depth = 0
    for i in range(index - 1, -1, -1):
        kind = tokens[i].token_type
        depth += (kind in CLOSING) - (kind in OPENING)
        if depth < 0 or (depth == 0 and kind in _CLAUSES):
            return None
        if depth == 0 and kind == TokenType.SELECT:
            distinct = i + 1 < len(tokens) and tokens[i + 1].token_type in (TokenType.DISTINCT, TokenType.ALL)
            return i + distinct
    return None


def _end_of_expression(tokens: list[Token], start: int) -> int:
    depth = 0
    for i in range(start, len(tokens)):
        kind = tokens[i].token_type
        if depth == 0 and (kind in _CLAUSES or kind in CLOSING or kind in (TokenType.COMMA, TokenType.ALIAS)):
            return i
        depth += (kind in OPENING) - (kind in CLOSING)
    return len(tokens)


def _rows(tokens: list[Token], statement: Statement) -> list[Token]:
    """Rewrites row expressions, innermost first."""
    result: list[Token] = []
    opened: list[int] = []
    for token in tokens:
        result.append(token)
        if token.token_type == TokenType.L_BRACE:
            opened.append(len(result) - 1)
        elif token.token_type == TokenType.R_BRACE and opened:
            start = opened.pop()
            result[start:] = _row(result[start:], statement)
    if opened:
        brace = result[opened[-1]]
        raise ParseError("This { is never closed", span=statement.span(brace.start, brace.end + 1))
    return result


def _row(tokens: list[Token], statement: Statement) -> list[Token]:
    """One ``{...}``: left alone if DuckDB reads it, else a call of ``tfsql_row``."""
    elements = _elements(tokens[1:-1])
    if elements and all(_is_pair(element) for element in elements):
        return tokens
    call = [*_like(tokens[0], f"{ROW_FUNCTION}(")]
    for index, element in enumerate(elements):
        if not element:
            raise ParseError("This row has an empty element", span=statement.span(tokens[0].start, tokens[-1].end + 1))
        call += _like(element[0], ",") if index else []
        call += _row_element(element)
    return [*call, *_like(tokens[-1], ")")]


def _elements(tokens: list[Token]) -> list[list[Token]]:
    """The comma-separated elements between the braces."""
    elements: list[list[Token]] = [[]] if tokens else []
    depth = 0
    for token in tokens:
        depth += (token.token_type in OPENING) - (token.token_type in CLOSING)
        if depth == 0 and token.token_type == TokenType.COMMA:
            elements.append([])
        else:
            elements[-1].append(token)
    return elements


def _is_pair(element: list[Token]) -> bool:
    return len(element) > 2 and element[1].token_type == TokenType.COLON


def _row_element(element: list[Token]) -> list[Token]:
    if _is_pair(element):
        name = element[0].text.replace('"', '""')
        return [*_like(element[0], f'"{name}" :='), *element[2:]]
    if _is_star(element):
        return [*_like(element[0], "COLUMNS("), *element, *_like(element[-1], ")")]
    if len(element) > 2 and element[-2].token_type == TokenType.ALIAS:
        name = element[-1].text.replace('"', '""')
        return [*_like(element[-1], f'"{name}" :='), *element[:-2]]
    return element


def _is_star(element: list[Token]) -> bool:
    """``*``, ``t.*``, each with or without EXCLUDE."""
    head = element[2:] if len(element) > 2 and element[1].token_type == TokenType.DOT else element
    is_last = len(head) == 1 or (len(head) > 1 and head[1].text.upper() in ("EXCLUDE", "REPLACE", "EXCEPT"))
    return bool(head) and head[0].token_type == TokenType.STAR and is_last
