"""How many operators there are, how many have a case, and what is known not to work: a table by category."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tfsql.registry.cases import cases_of, limits
from tfsql.registry.opdef import wrapped_names
from tfsql.registry.policy import EXPOSED, verdict

_HEADS = ("category", "exposed", "with a case", "equal", "limits")
# The words that EXPLAIN begins with, from the rules that make one call for a batch to those that go row by row.
_RULES = ("constant", "direct", "shifted", "folded", "lowered", "composed", "converted", "distinct", "mapped", "looped")
_ROW_BY_ROW = ("mapped", "looped")


@dataclass(frozen=True)
class Coverage:
    """The operators of one category.

    Attributes:
      category: a file of ``operators/cases``, or ``generated``.
      exposed: the operators that a query may call.
      with_case: those that have a valid case.
      limited: those that have a known limit.
    """

    category: str
    exposed: tuple[str, ...]
    with_case: tuple[str, ...]
    limited: tuple[str, ...]


def exposed_names() -> tuple[str, ...]:
    """The names of all exposed operators, sorted."""
    return tuple(name for name in wrapped_names() if verdict(name).status == EXPOSED)


def coverage() -> list[Coverage]:
    """What is covered, by category."""
    groups: dict[str, list[str]] = {}
    for name in exposed_names():
        cases = cases_of(name)
        groups.setdefault(cases[0].category if cases else "limits", []).append(name)
    return [
        Coverage(
            category,
            tuple(names),
            tuple(name for name in names if cases_of(name)),
            tuple(name for name in names if name in limits()),
        )
        for category, names in sorted(groups.items())
    ]


def coverage_text(equal: Collection[str]) -> str:
    """The table as text; ``equal`` are the operators whose cases give what TensorFlow gives."""
    rows = [
        (
            item.category,
            len(item.exposed),
            len(item.with_case),
            len(set(item.with_case) & set(equal)),
            len(item.limited),
        )
        for item in coverage()
    ]
    total = ("total", *(sum(row[i] for row in rows) for i in range(1, 5)))  # type: ignore[misc]
    lines = [tuple(map(str, row)) for row in (_HEADS, *rows, total)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEADS))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *rest = cells
    numbers = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *numbers])


def batching_text(rules: Mapping[str, Collection[str]]) -> str:
    """How many operators each rule batches, with the names of those that go row by row.

    Args:
      rules: the first word of EXPLAIN's rule for each case of an operator; the slowest of them counts.
    """
    named: dict[str, list[str]] = {rule: [] for rule in _RULES}
    for name, found in sorted(rules.items()):
        if found:
            named[max(found, key=_RULES.index)].append(name)
    counts = [f"{len(names)} {rule}" for rule, names in named.items()]
    lists = [textwrap.fill(f"{rule}: {', '.join(named[rule])}", 120) for rule in _ROW_BY_ROW if named[rule]]
    return "\n".join([", ".join(counts), *lists])
