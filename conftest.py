"""What holds for every test and doctest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tfsql.custom_operators import OPERATORS


@pytest.fixture(autouse=True)
def _operators_end_with_their_test() -> Iterator[None]:
    """Operators are the process's: one that hides a function of the engine would hide it from the tests that follow."""
    before = dict(OPERATORS)
    yield
    OPERATORS.clear()
    OPERATORS.update(before)
