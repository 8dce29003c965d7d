"""Which statements a served database runs, and which of them write."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot.tokenizer_core import Token, TokenType

from tfsql import access
from tfsql.errors import ForbiddenError, TfsqlError
from tfsql.source import Statement, check_nesting, statements

# First words of statements.
_READING = frozenset({"SELECT", "FROM", "WITH", "VALUES", "TABLE", "DESCRIBE", "DESC", "SHOW", "SUMMARIZE"})
_READING |= {"PIVOT", "UNPIVOT", "PIVOT_WIDER", "PIVOT_LONGER"}
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "COPY", "CREATE", "DROP", "ALTER", "COMMENT"})
_WRITING |= {"ANALYZE", "VACUUM", "CHECKPOINT", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"}
_INNER_WRITES = frozenset(["INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "COPY"])
# Functions of the engine that run SQL from text, which no check sees, or take addresses in memory.
_FORBIDDEN_FUNCTIONS = frozenset(
    ["query", "json_execute_serialized_sql", "pandas_scan", "python_map_function", "arrow_scan", "arrow_scan_dumb"]
)
_FILE_WORDS = frozenset(["FROM", "JOIN", "TO"])
_PATH = re.compile(r"[/\\]|^~|\.\w{2,8}$")


def check_statement(statement: Statement) -> None:
    """Refuses what a served database does not run.

    Raises:
      ForbiddenError: settings, other databases, extensions, prepared statements; a file outside of the folders.
      ResourceError: it is nested too deeply.
    """
    tokens = statement.tokens
    check_nesting(statement)
    head = _head(tokens)
    word = head[0].text.upper() if head else ""
    if word not in _READING and word not in _WRITING:
        raise _refusal(statement, tokens[0], f"{word} is not for a served database")
    if word == "CREATE":
        _check_create(statement, head)
    for mark, token in zip([None, *tokens], tokens, strict=False):
        _check_token(statement, word, mark, token)


def is_writing(text: str) -> bool:
    """Whether a text of SQL may change something; so is one that cannot be read, which then fails where it is alone."""
    try:
        return any(_writes(statement.tokens) for statement in statements(text))
    except TfsqlError:
        return False


def _writes(tokens: Sequence[Token]) -> bool:
    head = _head(tokens)
    if not head or head[0].text.upper() not in _READING:
        return True
    inner = head[0].text.upper() == "WITH"
    return inner and any(token.text.upper() in _INNER_WRITES and not _is_text(token) for token in head)


def _head(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens behind EXPLAIN and its options, and behind brackets."""
    rest = list(tokens)
    while rest and rest[0].token_type == TokenType.L_PAREN:
        rest = rest[1:]
    if not rest or rest[0].text.upper() != "EXPLAIN":
        return rest
    rest = rest[1:]
    if rest and rest[0].text.upper() == "ANALYZE":
        rest = rest[1:]
    if rest and rest[0].token_type == TokenType.L_PAREN and len(rest) > 1 and rest[1].text.upper() != "SELECT":
        closing = next((i for i, token in enumerate(rest) if token.token_type == TokenType.R_PAREN), len(rest) - 1)
        rest = rest[closing + 1 :]
    return _head(rest) if rest and rest[0].token_type == TokenType.L_PAREN else rest


def _check_create(statement: Statement, head: Sequence[Token]) -> None:
    for token in head[1:4]:
        if token.text.upper() in ("SECRET", "TEMP", "TEMPORARY", "DATABASE"):
            raise _refusal(statement, token, f"CREATE {token.text.upper()} is not for a served database")


def _check_token(statement: Statement, word: str, mark: Token | None, token: Token) -> None:
    if token.text.lower() in _FORBIDDEN_FUNCTIONS and not _is_text(token) and _is_called(statement, token):
        raise _refusal(statement, token, f"The function {token.text} is not for a served database")
    before = mark.text.upper() if mark is not None and not _is_text(mark) else ""
    if word == "COPY" and before == "TO" and not _is_text(token):
        raise _refusal(statement, token, "COPY writes to a file that is named by a plain string")
    if before in _FILE_WORDS and _is_quoted(statement, token) and _PATH.search(token.text):
        try:
            access.checked(token.text, writes=word == "COPY" and before == "TO")
        except ForbiddenError as error:
            error.span = statement.span(token.start, token.end + 1)
            raise


def _is_text(token: Token) -> bool:
    return token.token_type == TokenType.STRING


def _is_quoted(statement: Statement, token: Token) -> bool:
    return _is_text(token) or (token.token_type == TokenType.IDENTIFIER and "/" in token.text)


def _is_called(statement: Statement, token: Token) -> bool:
    index = statement.tokens.index(token)
    return index + 1 < len(statement.tokens) and statement.tokens[index + 1].token_type == TokenType.L_PAREN


def _refusal(statement: Statement, token: Token, message: str) -> ForbiddenError:
    return ForbiddenError(message, span=statement.span(token.start, token.end + 1))
