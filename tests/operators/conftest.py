"""Prints, after the differential suite, how many operators gave what TensorFlow gives, and how rows were batched."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def operator(request: pytest.FixtureRequest, record_property: Any) -> str:
    """The operator of the test's case, recorded for the table."""
    name = str(request.getfixturevalue("case").operator)
    record_property("operator", name)
    return name


def pytest_terminal_summary(terminalreporter: Any) -> None:
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
