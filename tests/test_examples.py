"""The examples run as their first lines say, in an empty folder, and end well."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("demo.py", "the greatest difference is"),
        ("digits.py", "that were held out are recognised"),
        ("convolutions.py", "tf[i, j] - js[i-1, j-1] is at most 0"),
    ],
)
def test_runs_and_says_what_it_found(name: str, printed: str, tmp_path: Path) -> None:
    assert printed in run(name, tmp_path)


def test_the_tutorial_in_sql_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "tfsql.cli", "-f", "examples/convolutions.sql", "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent, timeout=240, check=True)
    first, second = done.stdout.split("kernel,digits,")[1:]
    assert first.count(",20,0.0000") == 5
    assert second.count(",20,") == 5
    assert ",0.0000" not in second


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_and_draws() -> None:
    notebook = nbformat.read(EXAMPLES / "convolutions.ipynb", 4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum(output.get("text", "").count("the greatest difference is") for output in outputs) == 5
    menus = [output["data"]["text/plain"] for output in outputs if "Dropdown" in str(output.get("data"))]
    assert len(menus) == 1
    assert "Right Sobel" in menus[0]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 6
    for picture in pictures:
        assert np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L")).std() > 10
