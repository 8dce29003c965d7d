"""Reads SQL text: statements with their tokens, and large numeric literals lifted out before any tokenizing.

A parser spends most of a query's time on the 784 numbers of a picture. Such literals are read here as NumPy arrays
and replaced in the text by short placeholders; the text that remains is also the better key for a cache of plans.
Offsets reported by later stages are mapped back to the text that the user wrote.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from tfsql.errors import ParseError, ResourceError, Span, TfsqlError

DIALECT = DuckDB()
MAX_NESTING = 250
OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
PLACEHOLDER_PREFIX = "tfsql_literal_"

# Quoted text and comments are matched first, so that brackets inside them are passed over.
_SKIPPED = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/"
_LARGE_ARRAY = re.compile(_SKIPPED + r"|(?P<array>\[[-+0-9.eE,\s\[\]]{160,})", re.DOTALL)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class LiftedLiteral:
    """A rectangular array of numbers that stood in the text.

    Attributes:
      value: int64 if every number was written without point and exponent, else float64.
      text: the literal as the user wrote it.
    """

    value: np.ndarray
    text: str

    @property
    def is_decimal(self) -> bool:
        return self.value.dtype.kind == "f"


@dataclass(frozen=True)
class Source:
    """SQL text with its large literals lifted.

    Attributes:
      text: the text as the user wrote it.
      short: the text with a placeholder ``$tfsql_literal_<i>`` for each lifted literal.
      literals: the lifted literals, by index.
      shifts: pairs (offset in short from which it holds, characters to add to get the offset in text).
    """

    text: str
    short: str
    literals: tuple[LiftedLiteral, ...]
    shifts: tuple[tuple[int, int], ...]

    def original_offset(self, offset: int) -> int:
        """The offset in ``text`` of the character at ``offset`` of ``short``."""
        index = bisect_right(self.shifts, (offset, np.inf)) - 1
        return offset + (self.shifts[index][1] if index >= 0 else 0)

    def original_span(self, start: int, end: int) -> Span:
        """The span in ``text`` of the half-open range of ``short``."""
        first = self.original_offset(start)
        return Span(first, max(first + 1, self.original_offset(end)))

    def named_literals(self) -> Iterator[tuple[str, LiftedLiteral]]:
        """The lifted literals with the names of their placeholders."""
        for index, literal in enumerate(self.literals):
            yield f"{PLACEHOLDER_PREFIX}{index}", literal

    def restore(self, short_sql: str) -> str:
        """``short_sql`` with the text of every lifted literal back in its place."""
        for index, literal in enumerate(self.literals):
            pieces = re.split(rf"\${PLACEHOLDER_PREFIX}{index}\b", short_sql)
            short_sql = literal.text.join(pieces)
        return short_sql


@dataclass(frozen=True)
class Statement:
    """One statement: its tokens, with offsets into ``source.short``, and its own text as the user wrote it.

    Attributes:
      original: the tokens before any rewriting; empty if there was none.
    """

    source: Source
    tokens: tuple[Token, ...]
    text: str
    original: tuple[Token, ...] = ()

    def span(self, start: int, end: int) -> Span:
        return self.source.original_span(start, end)

    def slice(self, first: int, last: int) -> str:
        """The user's text from token ``first`` to before token ``last``; empty if there is none."""
        if first >= last:
            return ""
        start = self.source.original_offset(self.tokens[first].start)
        return self.source.text[start : self.source.original_offset(self.tokens[last - 1].end) + 1]

    def named_span(self, error: TfsqlError) -> Span | None:
        """Where the word is that an error of the engine points at or names; None if it names none of this text."""
        for word in error.named_words():
            for token in self.tokens:
                if token.text.lower() == word.lower():
                    return self.span(token.start, token.end + 1)
        return None

    def with_tokens(self, tokens: list[Token]) -> Statement:
        """The statement with its tokens rewritten; the first ones stay known as ``original``."""
        return replace(self, tokens=tuple(tokens), original=self.original or self.tokens)


def lift_literals(text: str) -> Source:
    """The source of ``text``: numeric array literals of 160 characters and more become placeholders."""
    pieces: list[str] = []
    literals: list[LiftedLiteral] = []
    shifts: list[tuple[int, int]] = []
    position = short_length = 0
    scan = 0
    while (match := _LARGE_ARRAY.search(text, scan)) is not None:
        scan = match.end()
        if match.group("array") is None:
            continue
        start = match.start("array")
        lifted = _read_array(text, start)
        if lifted is None:
            scan = start + 1
            continue
        value, end = lifted
        placeholder = f"${PLACEHOLDER_PREFIX}{len(literals)}"
        pieces += [text[position:start], placeholder]
        short_length += start - position + len(placeholder)
        literals.append(LiftedLiteral(value, text[start:end]))
        shifts.append((short_length, end - short_length))
        position = scan = end
    pieces.append(text[position:])
    return Source(text, "".join(pieces), tuple(literals), tuple(shifts))


def _read_array(text: str, start: int) -> tuple[np.ndarray, int] | None:
    """The array literal at ``start`` and the offset behind it; None if it is not JSON or not rectangular."""
    try:
        value, end = _DECODER.raw_decode(text, start)
        array = np.array(value)
    except (ValueError, OverflowError):
        return None
    is_index = re.search(r"[\w\])\"']$", text[max(0, start - 1) : start]) is not None
    if is_index or array.dtype.kind not in "if" or array.size == 0 or array.dtype == object:
        return None
    return array, end


def tokenize(source: Source) -> list[Token]:
    """The tokens of ``source.short``.

    Raises:
      ParseError: a string, quoted name or comment is not closed.
    """
    try:
        return _with_explained(DIALECT.tokenize(source.short), source.short)
    except TokenError as error:
        span = _span_of_token_error(source)
        raise ParseError("This string, quoted name or comment is never closed", span=span) from error


def _with_explained(tokens: list[Token], text: str) -> list[Token]:
    """The tokens with what follows EXPLAIN or PREPARE tokenized too: sqlglot's tokenizer takes it as one string."""
    result: list[Token] = []
    for token in tokens:
        previous = result[-1] if result else None
        is_rest = previous is not None and previous.token_type == TokenType.COMMAND
        if is_rest and previous is not None and previous.text.upper() in ("EXPLAIN", "PREPARE"):
            start = previous.end + 1
            end = token.end + 1 if token.end > start else len(text)
            inner = DIALECT.tokenize(text[start:end])
            result += [_moved(part, start) for part in _with_explained(inner, text[start:end])]
        else:
            result.append(token)
    return result


def _moved(token: Token, offset: int) -> Token:
    return Token(
        token.token_type, token.text, token.line, token.col, token.start + offset, token.end + offset, token.comments
    )


def _span_of_token_error(source: Source) -> Span:
    """Where the text stops being readable: the start of the quote or comment that is never closed."""
    opened = re.compile(_SKIPPED, re.DOTALL).sub(lambda m: " " * len(m.group()), source.short)
    start = min((i for mark in ("'", '"', "/*", "$") if (i := opened.find(mark)) >= 0), default=0)
    return source.original_span(start, len(source.short))


def statements(text: str | Source) -> Iterator[Statement]:
    """The statements of a text, split at semicolons outside quotes; empty ones are left out."""
    source = lift_literals(text) if isinstance(text, str) else text
    current: list[Token] = []
    for token in tokenize(source):
        if token.token_type != TokenType.SEMICOLON:
            current.append(token)
        elif current:
            yield _statement(source, current)
            current = []
    if current:
        yield _statement(source, current)


def check_nesting(statement: Statement) -> None:
    """Refuses brackets nested deeper than the steps behind, which are recursive, can follow.

    Raises:
      ResourceError: there are more than ``MAX_NESTING``.
    """
    depth = 0
    for token in statement.tokens:
        depth += (token.token_type in OPENING) - (token.token_type in CLOSING)
        if depth > MAX_NESTING:
            span = statement.span(token.start, token.end + 1)
            raise ResourceError(f"The SQL is nested more than {MAX_NESTING} brackets deep", span=span)


def _statement(source: Source, tokens: list[Token]) -> Statement:
    start, end = source.original_offset(tokens[0].start), source.original_offset(tokens[-1].end) + 1
    return Statement(source, tuple(tokens), source.text[start:end])
