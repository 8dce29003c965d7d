"""Every error that tfsql raises: what happened, where in the SQL, and what to do about it.

One base class and one subclass per stage. The numbers that a server or a command line needs (HTTP status, exit
code) are attributes of the class, so that no other module decides them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Span:
    """The half-open range ``[start, end)`` of characters of the SQL text that an error is about."""

    start: int
    end: int


class TfsqlError(Exception):
    """Base of all errors. ``str(error)`` is the sentence, the line with a caret under the fault, and the hint.

    Attributes:
      message: one sentence, without position.
      hint: what would be right, where that is certain.
      span: the characters of ``sql`` at fault, once known.
      sql: the text of the statement, set by the session.
      argument: the input or attribute of an operator that is at fault.
      is_from_engine: whether the relational engine raised it.
      engine_word: the word of the SQL that the relational engine points at.
    """

    code = "error"
    exit_code = 1
    http_status = 400

    def __init__(self, message: str, *, hint: str | None = None, span: Span | None = None, argument: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.span = span
        self.sql: str | None = None
        self.argument = argument
        self.engine_word: str | None = None
        self.is_from_engine = False

    @property
    def line(self) -> int | None:
        """The line of the fault, counted from 1."""
        return self._position()[0] if self._has_position() else None

    @property
    def column(self) -> int | None:
        """The column of the fault, counted from 1."""
        return self._position()[1] if self._has_position() else None

    def _has_position(self) -> bool:
        return self.span is not None and self.sql is not None

    def _position(self) -> tuple[int, int]:
        assert self.span is not None
        assert self.sql is not None
        before = self.sql[: self.span.start]
        return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int = 100) -> str:
        """The sentence, the line at fault cut to ``width`` characters with carets under the fault, and the hint."""
        parts = [self.message]
        if self._has_position():
            parts[0] += f" (line {self.line}, column {self.column})"
            parts.append(self.excerpt(width))
        if self.hint:
            parts.append(f"Hint: {self.hint}")
        return "\n".join(parts)

    def named_words(self) -> list[str]:
        """Words of the SQL that the error is about, likeliest first: what the engine points at, then what it names."""
        named = re.findall(r'"([^"]+)"|(?:name|named|column|function|Table with name) ([\w.]+)', self.message)
        words = [quoted or bare for quoted, bare in named]
        return [self.engine_word, *words] if self.engine_word else words

    def excerpt(self, width: int = 100) -> str:
        """The line of the SQL at fault, cut to ``width`` characters, and carets under the fault."""
        assert self.span is not None
        assert self.sql is not None
        line, column = self._position()
        text = self.sql.split("\n")[line - 1].replace("\t", " ")
        start = column - 1
        length = max(1, min(self.span.end - self.span.start, len(text) - start))
        first = max(0, min(start - width // 3, len(text) - width))
        shown = text[first : first + width]
        before, after = ("..." if first else ""), ("..." if first + width < len(text) else "")
        prefix = f"{line} | {before}"
        carets = "^" * min(length, max(1, len(shown) - (start - first)))
        return f"{prefix}{shown}{after}\n{' ' * (len(prefix) + start - first)}{carets}"

    def locate(self, sql: str) -> TfsqlError:
        """This error with the text that its span refers to."""
        if self.sql is None:
            self.sql = sql
        return self


class ParseError(TfsqlError):
    """The text is not a statement: an unknown form, an unfinished string, a bracket that does not close."""

    code = "parse"
    exit_code = 2


class BindError(TfsqlError):
    """A name does not exist: operator, input, attribute, table, column, function or parameter."""

    code = "bind"
    exit_code = 3


class TypeMismatchError(TfsqlError):
    """A value has a type that the operator or the place does not take. Cast it, or give the type attribute."""

    code = "type"
    exit_code = 4


class ShapeError(TfsqlError):
    """Ranks or dimensions do not fit the operator. Reshape the input; ``shape(x)`` shows what it is."""

    code = "shape"
    exit_code = 4


class UnsupportedError(TfsqlError):
    """The statement means something that tfsql refuses or cannot do; the message says why."""

    code = "unsupported"
    exit_code = 5


class ForbiddenError(UnsupportedError):
    """What is asked for is possible, but not allowed here: an operator without trust, a file outside of its folders."""

    code = "forbidden"
    http_status = 403


class BackendError(TfsqlError):
    """The relational engine refused the statement, or failed while running it."""

    code = "backend"
    exit_code = 6


class ExecutionError(TfsqlError):
    """An operator failed on the values of a row. The message names the row."""

    code = "execution"
    exit_code = 7


class RowError(ExecutionError):
    """A row of a batch cannot be computed.

    Attributes:
      row: its position in the batch, from 0.
      leaf: which input of the kernel is at fault; the message is then what is wrong with it, without its name.
    """

    def __init__(self, message: str, row: int, *, hint: str | None = None):
        super().__init__(message, hint=hint)
        self.row = row
        self.leaf: int | None = None


class ResourceError(TfsqlError):
    """A limit on memory, time or size was reached."""

    code = "resource"
    exit_code = 8
    http_status = 413


class CrashError(TfsqlError):
    """The process that computed a kernel died of it; the database and all other queries go on."""

    code = "crash"
    exit_code = 9
    http_status = 500


NOT_OF_A_ROW = (ResourceError, CrashError, BackendError)
"""What ends a call whatever its rows hold: a limit, a crash, an interruption."""


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name nearest to ``name``, ignoring case first; None where none is near."""
    names = list(known)
    same = [candidate for candidate in names if candidate.lower() == name.lower()]
    near = same or get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else None
