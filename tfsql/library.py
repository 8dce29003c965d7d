"""The standard library: functions in SQL on top of the operators, from operators/library, read when first called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources

from tfsql.bind.functions import FunctionDefinition, read_create
from tfsql.source import statements

FILES = ("filters.sql", "image.sql", "nn.sql", "signal.sql")
_FUNCTION = re.compile(r"((?:^---[^\n]*\n)*)^(CREATE FUNCTION (\w+)\(.*?;)$", re.MULTILINE | re.DOTALL)


@cache
def _texts() -> dict[str, tuple[str, str]]:
    """Documentation and statement of each function, by name."""
    folder = resources.files("tfsql.operators") / "library"
    found = [match for file in FILES for match in _FUNCTION.finditer((folder / file).read_text(encoding="utf-8"))]
    return {match.group(3): (_plain(match.group(1)), match.group(2)) for match in found}


def _plain(comment: str) -> str:
    return "\n".join(line.removeprefix("---").strip() for line in comment.splitlines())


@cache
def _definition(name: str) -> FunctionDefinition:
    doc, text = _texts()[name]
    (statement,) = statements(text)
    created = read_create(statement)
    assert created is not None, f"{name} is no function"
    return replace(created.definition, doc=doc, origin="library")


class Library(Mapping[str, FunctionDefinition]):
    """The functions of the library, by lower-case name; each is parsed when it is first asked for."""

    def __getitem__(self, name: str) -> FunctionDefinition:
        if name not in _texts():
            raise KeyError(name)
        return _definition(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_texts())

    def __len__(self) -> int:
        return len(_texts())


LIBRARY = Library()
