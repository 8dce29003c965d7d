"""Runs the code blocks of a page of the documentation, from top to bottom, and compares what they print.

A block of ``text`` right behind a block of code is what that prints. ``python tests/docs_pages.py docs/tour.md`` writes
these anew.

    sql      statements on one connection for the page; prints the last one's rows as a table, or the error
    python   code in one namespace for the page
    ipython  a cell of a notebook; all cells of the page run in one kernel
    sh       lines that call tfsql
    tfsql    what is typed at the prompt, an input a line
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import tfsql
from tfsql.render import table_text
from tfsql.repl import Repl

ROOT = Path(__file__).parent.parent
WIDTH = 100
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_BESIDE = re.compile(r"\n*```text\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code, and what the page says it prints; None if the page does not say."""

    language: str
    code: str
    printed: str | None
    line: int
    span: tuple[int, int]


def blocks_of(text: str) -> list[Block]:
    """The blocks of code of a page; ``text`` that stands alone is none."""
    found = []
    for match in _BLOCK.finditer(text):
        if match.group(1) != "text":
            beside = _BESIDE.match(text, match.end())
            printed, span = (beside.group(1), beside.span(1)) if beside else (None, (0, 0))
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(match.group(1), match.group(2), printed, line, span))
    return found


class _Printed(io.StringIO):
    """What is printed, as to a terminal that has all characters."""

    encoding = "utf-8"


class Page:
    """The state that the blocks of a page share. The current directory must be one with a folder ``data``."""

    def __init__(self) -> None:
        self.connection = tfsql.connect()
        self.repl = Repl(self.connection)
        self.namespace: dict[str, object] = {"__name__": "page"}

    def run(self, block: Block) -> str:
        """What a block prints."""
        return str(getattr(self, f"_{block.language}")(block))

    def _sql(self, block: Block) -> str:
        try:
            relation = self.connection.sql(block.code.strip())
            return "" if relation is None else _explained(relation) or table_text(relation, max_width=WIDTH)
        except tfsql.TfsqlError as error:
            if block.printed is None:
                raise
            return str(error)

    def _python(self, block: Block) -> str:
        with contextlib.redirect_stdout(_Printed()) as out:
            exec(compile(block.code, f"line {block.line}", "exec"), self.namespace)
        return out.getvalue()

    def _tfsql(self, block: Block) -> str:
        with contextlib.redirect_stdout(_Printed()) as out, contextlib.redirect_stderr(out):
            for line in block.code.splitlines():
                self.repl.handle(line)
        return out.getvalue()

    def _sh(self, block: Block) -> str:
        tool = f"{shlex.quote(sys.executable)} -m tfsql.cli"
        command = re.sub(r"^tfsql|(?<=\| )tfsql", lambda _: tool, block.code, flags=re.MULTILINE)
        done = subprocess.run(["sh", "-e", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"line {block.line}: {done.stderr}"
        assert done.stdout.strip(), f"line {block.line} prints nothing"
        return done.stdout


def _explained(relation: tfsql.Relation) -> str:
    """The plan that an EXPLAIN gives."""
    if relation.columns != ["explain_key", "explain_value"]:
        return ""
    return "\n".join(text for key, text in relation.fetchall() if key.startswith("tfsql"))


def printed_by(text: str) -> Iterator[tuple[Block, str]]:
    """Each block of a page with what it prints; cells of notebooks run all together, and print nothing here."""
    page = Page()
    cells = [block for block in blocks_of(text) if block.language == "ipython"]
    for block in blocks_of(text):
        if block.language != "ipython":
            yield block, page.run(block)
    if cells:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.code) for cell in cells])
        NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    page.connection.close()


_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")


def is_same(printed: str, expected: str) -> bool:
    """Whether two texts are equal but for the last digits of numbers, and the space that these take."""
    ours, theirs = ([float(number) for number in _NUMBER.findall(text)] for text in (printed, expected))
    if [_without_numbers(printed), len(ours)] != [_without_numbers(expected), len(theirs)]:
        return False
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(ours, theirs, strict=True))


def _without_numbers(text: str) -> str:
    return re.sub(r"[\s─]+", " ", _NUMBER.sub("#", text)).strip()


def rewritten(text: str) -> str:
    """The page with what its blocks print today."""
    for block, printed in reversed(list(printed_by(text))):
        if block.printed is not None:
            start, end = block.span
            text = f"{text[:start]}{printed.rstrip()}\n{text[end:]}"
    return text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewritten(path.read_text()))
