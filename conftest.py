"""What holds for every test and doctest; and the table of operators behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tfsql.custom_operators import OPERATORS


@pytest.fixture(autouse=True)
def _operators_end_with_their_test() -> Iterator[None]:
    """Operators are the process's: one that hides a function of the engine would hide it from the tests that follow."""
    before = dict(OPERATORS)
    yield
    OPERATORS.clear()
    OPERATORS.update(before)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints how many operators gave what TensorFlow gives, and how rows were batched, where that was tested."""
    passed, failed = (terminalreporter.getreports(outcome) for outcome in ("passed", "failed"))
    equal, unequal = set(_properties(passed)), set(_properties(failed))
    if equal or unequal:
        from tfsql.registry.coverage import batching_text, coverage_text

        terminalreporter.section("operators, through SQL and through TensorFlow")
        terminalreporter.write_line(coverage_text(equal - unequal))
        terminalreporter.section("operators, by how the rows of a batch are computed")
        terminalreporter.write_line(batching_text(_properties(passed)))


def _properties(reports: list[Any]) -> dict[str, set[str]]:
    """The rules that the tests of each operator recorded."""
    found: dict[str, set[str]] = {}
    for report in reports:
        values = dict(getattr(report, "user_properties", ()))
        if "operator" in values and report.when == "call":
            found.setdefault(values["operator"], set()).update({values["rule"]} if "rule" in values else ())
    return found
