"""Where the cursor stands in SQL that is being written: in which call, at which argument, behind which keyword."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<string>'(?:[^']|'')*(?:'|\Z)|\$\$.*?(?:\$\$|\Z))
      | (?P<quoted>"(?:[^"]|"")*(?:"|\Z))
      | (?P<word>[^\W\d]\w*)
      | (?P<number>\d[\w.]*)
      | (?P<space>\s+)
      | (?P<sign>:=|::|.)""",
    re.VERBOSE | re.DOTALL,
)
_TABLE_WORDS = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE", "SUMMARIZE", "VIEW"})
_CLAUSE_WORDS = _TABLE_WORDS | {
    *("SELECT", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "ON", "USING", "SET", "RESET", "VALUES", "QUALIFY"),
    *("UNION", "EXCEPT", "INTERSECT", "FUNCTION", "WITH", "AS"),
}
_NO_ALIAS = _CLAUSE_WORDS | {
    "LEFT",
    "RIGHT",
    "FULL",
    "INNER",
    "CROSS",
    "NATURAL",
    "ASOF",
    "LATERAL",
    "SAMPLE",
    "OFFSET",
}
_CLOSED = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Token:
    """A piece of SQL: its kind, text and offset."""

    kind: str
    text: str
    start: int


@dataclass
class Frame:
    """An open bracket, or the whole statement.

    Attributes:
      bracket: ``(``, ``[``, ``{``, or nothing for the statement.
      call: the function whose arguments stand here.
      names: the arguments that are given by name so far.
      name: the argument whose value is being written.
      clause: the last keyword that says what comes next.
    """

    bracket: str = ""
    call: str | None = None
    names: list[str] = field(default_factory=list)
    name: str | None = None
    position: int = 0
    clause: str = ""


@dataclass(frozen=True)
class SqlContext:
    """What surrounds the cursor.

    Attributes:
      word: what of a word, or of a quoted text, has been written.
      is_quoted: whether the cursor is inside ``'...'``.
      is_comment: whether it is inside a comment.
      qualifier: the name before a point, as in ``t.``.
      frame: the innermost bracket.
      previous: the token before the word; empty at the start.
    """

    word: str
    is_quoted: bool
    is_comment: bool
    qualifier: str | None
    frame: Frame
    previous: str


def tokens_of(text: str) -> list[Token]:
    """All of a text, in pieces."""
    found = _TOKEN.finditer(text)
    return [Token(match.lastgroup or "", match.group(), match.start()) for match in found]


def context_of(before: str) -> SqlContext:
    """The context at the end of a text.

    Example:
      >>> context = context_of("SELECT tf_Conv2D(x, f, {padding: 'SA")
      >>> context.frame.call, context.frame.name, context.word, context.is_quoted
      ('tf_Conv2D', 'padding', 'SA', True)
    """
    tokens = tokens_of(before)
    last = tokens[-1] if tokens else Token("", "", 0)
    is_comment = last.kind == "comment" and not (last.text.startswith("/*") and last.text.endswith("*/"))
    is_quoted = last.kind == "string" and (len(last.text) == 1 or not last.text.endswith("'"))
    is_word = last.kind == "word"
    done = tokens[:-1] if is_word or is_quoted else tokens
    stack = _frames(done)
    significant = [token for token in done if token.kind not in ("space", "comment")]
    ending = [token.text for token in significant[-2:]]
    qualifier = ending[0].strip('"') if len(ending) == 2 and ending[1] == "." else None
    word = last.text if is_word else last.text[1:] if is_quoted else ""
    return SqlContext(word, is_quoted, is_comment, qualifier, stack[-1], ending[-1] if ending else "")


def _frames(tokens: list[Token]) -> list[Frame]:
    """The brackets that are open at the end, the whole statement first."""
    stack = [Frame()]
    word = previous = ""
    for token in tokens:
        if token.kind in ("space", "comment"):
            continue
        frame = stack[-1]
        if token.kind == "word":
            word = token.text
            frame.clause = word.upper() if word.upper() in _CLAUSE_WORDS else frame.clause
        elif token.text in _CLOSED:
            stack.append(Frame(token.text, _call(token.text, frame, word if previous == word else "")))
        elif token.text in _CLOSED.values():
            stack = stack[:-1] if len(stack) > 1 else stack
        else:
            stack = _after_sign(stack, token.text, word)
        previous = token.text
    return stack


def _call(bracket: str, frame: Frame, word: str) -> str | None:
    """The call whose arguments stand in a bracket: ``f(`` has its own, ``f({`` that of the round one."""
    if bracket == "(":
        return word or None
    return frame.call if bracket == "{" and frame.bracket == "(" and frame.name is None else None


def _after_sign(stack: list[Frame], sign: str, word: str) -> list[Frame]:
    frame = stack[-1]
    if sign == ";" and len(stack) == 1:
        return [Frame()]
    if (sign == ":" and frame.bracket == "{") or (sign == ":=" and frame.bracket == "("):
        frame.name = word
        frame.names.append(word)
    elif sign == ",":
        frame.name = None
        frame.position += 1
    return stack


def tables_in(text: str) -> dict[str, str]:
    """The tables and files that the statements of a text read, by the name that qualifies their columns.

    Example:
      >>> tables_in("SELECT * FROM digits AS d JOIN 'x.parquet' ON true")
      {'d': 'digits', 'x.parquet': "'x.parquet'"}
    """
    found: dict[str, str] = {}
    pieces = [token for token in tokens_of(text) if token.kind not in ("space", "comment")]
    for index, token in enumerate(pieces[:-1]):
        if token.kind == "word" and token.text.upper() in _TABLE_WORDS:
            table = pieces[index + 1]
            if table.kind in ("word", "quoted", "string") and not _is_call(pieces, index + 1):
                found[_alias(pieces, index + 2) or table.text.strip("'\"")] = table.text
    return found


def _is_call(pieces: list[Token], index: int) -> bool:
    return index + 1 < len(pieces) and pieces[index + 1].text == "("


def _alias(pieces: list[Token], index: int) -> str | None:
    rest = pieces[index : index + 2]
    words: Iterator[str] = (token.text for token in rest if token.kind == "word")
    first = next(words, None) if rest and rest[0].kind == "word" else None
    if first is not None and first.upper() == "AS":
        first = next(words, None)
    return None if first is None or first.upper() in _NO_ALIAS else first
