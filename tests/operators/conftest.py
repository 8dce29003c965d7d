"""Prints, after the differential suite, how many operators gave what TensorFlow gives."""

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
    passed, failed = (_operators(terminalreporter.getreports(outcome)) for outcome in ("passed", "failed"))
    if passed or failed:
        from tfsql.registry.coverage import coverage_text

        terminalreporter.section("operators, through SQL and through TensorFlow")
        terminalreporter.write_line(coverage_text(passed - failed))


def _operators(reports: list[Any]) -> set[str]:
    return {
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "operator" and report.when == "call"
    }
