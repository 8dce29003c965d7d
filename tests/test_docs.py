"""Runs every example of the README and of the documentation, and builds the site.

Of the README: SQL statements one by one, Python blocks in order, shell lines as written. Of a page: see docs_pages.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from docs_pages import is_same, printed_by
from PIL import Image

import tfsql

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "docs").glob("*.md"))


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


# -- the documentation -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder_with_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("folder_with_data")
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_page(page: Path) -> None:
    for block, printed in printed_by(page.read_text()):
        if block.printed is not None:
            assert is_same(printed, block.printed), f"line {block.line} prints:\n{printed}"


def test_pictures_of_the_documentation_are_those_that_the_library_draws(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "docs" / "pictures.py"))
    drawn = script["draw"](tmp_path)
    assert {path.name for path in drawn} == {path.name for path in (ROOT / "docs" / "pictures").glob("*.png")}
    for path in drawn:
        kept = np.asarray(Image.open(ROOT / "docs" / "pictures" / path.name)).astype(int)
        made = np.asarray(Image.open(path)).astype(int)
        assert kept.shape == made.shape
        assert np.abs(kept - made).max() <= 1, path.name


def test_every_picture_is_shown() -> None:
    shown = {name for page in PAGES for name in re.findall(r"\(pictures/(\w+\.png)\)", page.read_text())}
    assert shown == {path.name for path in (ROOT / "docs" / "pictures").glob("*.png")}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tf_Conv2D" in (tmp_path / "operators" / "index.html").read_text()
