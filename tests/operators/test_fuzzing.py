"""Malformed calls of operators end in results or in errors, never in the end of the process."""

from __future__ import annotations

import pytest
from fuzz_operators import ESCAPED, FATAL, NAMELESS, fuzz, malformed_call


def test_calls_repeat() -> None:
    assert [malformed_call(1, number).sql() for number in range(50)] == [
        malformed_call(1, number).sql() for number in range(50)
    ]


def test_a_death_is_found_and_outlived() -> None:
    """The process ends itself in the second of three calls."""
    report = fuzz(3, 0, dying_at=1)
    assert [finding.number for finding in report.of(*FATAL)] == [1]
    assert sum(report.counts.values()) == 3


@pytest.mark.sweep
@pytest.mark.timeout(1200)
def test_malformed_calls_end_in_results_or_errors() -> None:
    report = fuzz(1000, 20)
    assert [str(finding) for finding in report.of(*FATAL, ESCAPED, NAMELESS)] == []
