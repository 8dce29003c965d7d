"""The pages of docs/operators are those that tests/operator_pages.py writes, and their examples run."""

from __future__ import annotations

import pytest
from operator_pages import FOLDER, example, pages

import tfsql
from tfsql.registry.coverage import exposed_names

RUNNABLE = [name for name in exposed_names() if (text := example(name)) and "FROM data" not in text]


def test_pages_are_fresh() -> None:
    wanted = pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == [], "run python tests/operator_pages.py"


def test_nearly_every_page_has_an_example_that_runs() -> None:
    assert len(RUNNABLE) >= 550


@pytest.mark.parametrize("name", RUNNABLE[::20])
def test_a_sample_of_the_examples_runs(name: str) -> None:
    assert len(tfsql.sql(example(name)).fetchall()) == 1


@pytest.mark.sweep
@pytest.mark.parametrize("name", RUNNABLE)
def test_every_example_runs(name: str) -> None:
    assert len(tfsql.sql(example(name)).fetchall()) == 1
