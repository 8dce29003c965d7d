"""Malformed calls of operators end in results or in errors, never in the end of the process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_operators import ESCAPED, FATAL, NAMELESS, UNEQUAL, fuzz, malformed_call


def test_calls_repeat() -> None:
    assert [malformed_call(1, number).sql() for number in range(50)] == [
        malformed_call(1, number).sql() for number in range(50)
    ]


def test_a_death_is_found_and_outlived() -> None:
    """The process ends itself in the second of three calls."""
    report = fuzz(3, 0, dying_at=1)
    assert [finding.number for finding in report.of(*FATAL)] == [1]
    assert sum(report.counts.values()) == 3


FATAL_CALLS = re.findall(
    r"^SELECT .*;$", (Path(__file__).parent.parent / "fixtures" / "fatal_calls.sql").read_text(), re.MULTILINE
)
# Runs statements and writes the message of each one's error.
RUNNER = """
import json, sys, tfsql
for sql in json.load(sys.stdin):
    try:
        tfsql.sql(sql).fetchall()
        print("no error")
    except tfsql.TfsqlError as error:
        print(error.message)
"""


def test_calls_that_ended_the_process_once_are_refused() -> None:
    """In a process of their own, which must stay alive."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(FATAL_CALLS),
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    messages = done.stdout.splitlines()
    assert len(messages) == len(FATAL_CALLS) > 20
    for sql, message in zip(FATAL_CALLS, messages, strict=True):
        called = re.match(r"SELECT (tf_\w+)", sql)
        assert called is not None
        assert re.match(rf"(tf_\w+, )*{called.group(1)}( failed)?: ", message)


@pytest.mark.sweep
@pytest.mark.timeout(1200)
def test_malformed_calls_end_in_results_or_errors() -> None:
    report = fuzz(1000, 20)
    assert [str(finding) for finding in report.of(*FATAL, ESCAPED, NAMELESS, UNEQUAL)] == []
