"""What in a statement is tfsql's, told from its tokens: statements without any of it go to the engine as they are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot.tokenizer_core import Token, TokenType

from tfsql.bind.forms import is_operator_name
from tfsql.bind.helpers import HELPERS
from tfsql.bind.tables import TABLE_FUNCTION_NAMES
from tfsql.settings import PREFIX as SETTING_PREFIX
from tfsql.source import Statement

_FUNCTIONS = frozenset(HELPERS) | TABLE_FUNCTION_NAMES | {"rowname", "rowhash", "jseval"}
# Functions that DuckDB has too, or that a user may have defined: no sign by themselves.
_SHARED_FUNCTIONS = frozenset({"flatten"})
_ARITHMETIC = {
    TokenType.PLUS, TokenType.DASH, TokenType.STAR, TokenType.SLASH, TokenType.MOD, TokenType.DIV, TokenType.DSTAR,
    TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE, TokenType.EQ, TokenType.NEQ, TokenType.CARET,
}  # fmt: skip


@dataclass(frozen=True)
class Features:
    """Signs of tfsql in a statement.

    Attributes:
      is_tfsql: it can only be tfsql's.
      may_be_tfsql: it may be; binding tells.
      has_arithmetic: it has operators that are tfsql's where the engine refuses them.
      head: ``EXPLAIN``, ``VIEW`` for CREATE VIEW, ``FUNCTION`` for CREATE FUNCTION, ``DROP FUNCTION``,
        ``SHOW FUNCTIONS``, ``DESCRIBE FUNCTION``, ``SET`` or ``RESET`` of a setting of tfsql, or empty.
      is_analyze: it starts with EXPLAIN ANALYZE.
      has_call: whether it calls any function.
      view_body: for a view, the index of the first token of its query.
    """

    is_tfsql: bool
    may_be_tfsql: bool
    has_arithmetic: bool
    head: str
    is_analyze: bool
    view_body: int | None
    has_call: bool


def features_of(
    statement: Statement, views: frozenset[str], variables: frozenset[str], functions: frozenset[str]
) -> Features:
    """The signs in a statement.

    Args:
      views: lower-case names of the views with operators.
      variables: lower-case names of the Python variables that are tables.
      functions: lower-case names of the functions and operators of this process.
    """
    tokens = statement.tokens
    words = [token.text.upper() for token in tokens[:8]]
    body = _view_body(tokens) if "VIEW" in words and words[0] == "CREATE" else None
    return Features(
        is_tfsql=any(_is_sign(tokens, i) or _calls(tokens, i, functions) for i in range(len(tokens)))
        or _reads(tokens, views),
        may_be_tfsql=words[0] == "COPY"
        or any(_is_hint(tokens, i) for i in range(len(tokens)))
        or _reads(tokens, variables),
        has_arithmetic=any(token.token_type in _ARITHMETIC for token in tokens),
        head=_head(words, body),
        is_analyze=words[:2] == ["EXPLAIN", "ANALYZE"],
        view_body=body,
        has_call=any(_is_call(tokens, i) for i in range(len(tokens))),
    )


def _head(words: list[str], view_body: int | None) -> str:
    if words[0] == "EXPLAIN":
        return "EXPLAIN"
    if words == ["SHOW", "FUNCTIONS"] or (words[:2] == ["DESCRIBE", "FUNCTION"] and len(words) == 3):
        return " ".join(words[:2])
    if words[0] == "CREATE" and {"FUNCTION", "MACRO"} & set(words[1:5]):
        return "FUNCTION"
    if words[0] == "DROP" and words[1:2] in (["FUNCTION"], ["MACRO"]):
        return "DROP FUNCTION"
    if words[0] in ("SET", "RESET") and any(word.startswith(SETTING_PREFIX.upper()) for word in words[1:3]):
        return words[0]
    return "VIEW" if view_body is not None else ""


def _view_body(tokens: tuple[Token, ...]) -> int | None:
    return next((i + 1 for i, token in enumerate(tokens) if token.token_type == TokenType.ALIAS), None)


def _reads(tokens: tuple[Token, ...], names: frozenset[str]) -> bool:
    return bool(names) and any(token.text.lower() in names and token.token_type != TokenType.STRING for token in tokens)


def _is_call(tokens: tuple[Token, ...], index: int) -> bool:
    return index + 1 < len(tokens) and tokens[index + 1].token_type == TokenType.L_PAREN


def _calls(tokens: tuple[Token, ...], index: int, functions: frozenset[str]) -> bool:
    return _is_call(tokens, index) and tokens[index].text.lower() in functions


def _is_sign(tokens: tuple[Token, ...], index: int) -> bool:
    token = tokens[index]
    if token.token_type in (TokenType.STRING, TokenType.NUMBER):
        return False
    word = token.text.lower()
    if _is_call(tokens, index) and (is_operator_name(token.text) or word in _FUNCTIONS - _SHARED_FUNCTIONS):
        return True
    before = tokens[index - 1] if index else None
    if token.token_type == TokenType.STAR and before is not None:
        return before.token_type in (TokenType.ALIAS, TokenType.L_BRACE)
    if word == "excluding":
        return before is not None and before.token_type == TokenType.STAR
    if token.token_type == TokenType.L_BRACE:
        return _is_shorthand_row(tokens, index)
    return word == "named" and before is not None and index + 1 < len(tokens)


def _is_shorthand_row(tokens: tuple[Token, ...], index: int) -> bool:
    """``{x, ...`` or ``{x}``: a row that DuckDB does not read."""
    after = tokens[index + 2].token_type if index + 2 < len(tokens) else None
    return after in (TokenType.COMMA, TokenType.R_BRACE, TokenType.DOT)


def _is_hint(tokens: tuple[Token, ...], index: int) -> bool:
    token = tokens[index]
    if token.token_type == TokenType.PLUS:
        return True
    word = token.text.lower()
    is_parquet = word.endswith((".parquet", ".parq", ".pq")) or word in ("read_parquet", "parquet_scan")
    return is_parquet or (word in _SHARED_FUNCTIONS and _is_call(tokens, index))
