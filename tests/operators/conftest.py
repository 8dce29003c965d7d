"""What the tests of operators share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def operator(request: pytest.FixtureRequest, record_property: Any) -> str:
    """The operator of the test's case, recorded for the table at the end."""
    name = str(request.getfixturevalue("case").operator)
    record_property("operator", name)
    return name
