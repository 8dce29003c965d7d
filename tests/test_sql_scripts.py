"""Runs every script under tests/sql."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import read_script, run_entry

import tfsql

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "tests" / "sql").rglob("*.test"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT / "tests" / "sql")))
def test_script(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    failures: list[Exception] = []
    with tfsql.connect() as connection:
        for entry in read_script(path):
            try:
                run_entry(connection, entry)
            except (AssertionError, tfsql.TfsqlError) as error:
                error.add_note(f"{path.name}, line {entry.line}: {entry.sql}")
                failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} entries of {path.name}", failures)
