"""Runs every example of the README: SQL statements one by one, Python blocks in order, shell lines as written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tfsql

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", blocks("sql"))
def test_sql_block(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with tfsql.connect() as con:
        relation = con.sql(block)
        assert relation is not None
        assert relation.fetchall()


def test_python_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    for block in blocks("python"):
        # One namespace that is a module's, as the variables are found there by name.
        exec(compile(block, "README.md", "exec"), _NAMESPACE)
    assert "ink" in capsys.readouterr().out
    assert _NAMESPACE["result"].flatten().columns[:3] == ["top", "twice.0.0", "twice.0.1"]


_NAMESPACE: dict[str, object] = {"__name__": "readme"}


def test_shell_lines() -> None:
    (block,) = [block for block in blocks("sh") if "tfsql -c" in block]
    for line in block.splitlines():
        command = line.replace("tfsql", f"{shlex.quote(sys.executable)} -m tfsql.cli", 1)
        if line.startswith("echo"):
            command = line.replace("| tfsql", f"| {shlex.quote(sys.executable)} -m tfsql.cli")
        done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_the_error_that_the_readme_shows() -> None:
    (block,) = blocks("text")
    with tfsql.connect() as con:
        con.sql("CREATE TABLE digits AS SELECT NULL::FLOAT[28][28] AS image")
        query = next(line for line in block.splitlines() if line.startswith("1 | ")).removeprefix("1 | ")
        with pytest.raises(tfsql.ShapeError) as caught:
            con.sql(query)
        assert str(caught.value).strip() == block.strip()
