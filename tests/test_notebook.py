"""The notebook: results as HTML with pictures, and the magic in a kernel of its own."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

import tfsql
from tfsql.render.html import MAX_COLUMNS

ROOT = Path(__file__).parent.parent
PICTURE = re.compile(r"src='data:image/png;base64,([^']*)' width='(\d+)' height='(\d+)'")


@pytest.fixture
def con(monkeypatch: pytest.MonkeyPatch) -> Iterator[tfsql.Connection]:
    monkeypatch.chdir(ROOT)
    with tfsql.connect() as connection:
        yield connection


def pictures(html: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data, _, _ in PICTURE.findall(html)]


# -- HTML --------------------------------------------------------------------------------------------------------------


def test_pictures_are_the_tensors(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT label, image FROM 'data/digits.parquet' LIMIT 3")
    html = relation._repr_html_()
    drawn = pictures(html)
    assert len(drawn) == 3
    assert [size for _, *size in PICTURE.findall(html)] == [["112", "112"]] * 3
    for picture, (_, image) in zip(drawn, relation.fetchall(), strict=True):
        np.testing.assert_array_equal(picture, np.array(image))
    assert "<small>float32[28, 28]</small>" in html
    assert html.endswith("<p>3 rows</p>")


def test_text_is_escaped(con: tfsql.Connection) -> None:
    html = con.sql("""SELECT '<script>' AS "<b>", NULL AS "&" """)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;" in html


def test_a_plan_is_shown_as_it_was_drawn(con: tfsql.Connection) -> None:
    html = con.sql("EXPLAIN SELECT tf_Sqrt(i::FLOAT) AS y FROM range(3) r(i) WHERE i > 0")._repr_html_()
    assert html.startswith("<pre style='font-family: ")
    assert "&gt;" in html
    assert any(line.startswith("tfsql_kernel") for line in html.split("\n"))


def test_what_is_left_out_is_told(con: tfsql.Connection) -> None:
    assert con.sql("FROM range(100)")._repr_html_().endswith("<p>more than 20 rows</p>")
    wide = con.sql("SELECT tf_Range(0, 100, 1) AS *")._repr_html_()
    assert wide.count("<th ") == MAX_COLUMNS
    assert wide.endswith("<p>1 row, 100 columns</p>")


def test_both_forms_take_one_run(con: tfsql.Connection) -> None:
    seen: list[int] = []

    def count(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return x

    con.create_function("count_rows", count, "DOUBLE")
    relation = con.sql("SELECT count_rows(i::DOUBLE) AS y FROM range(3) r(i)")
    seen.clear()
    bundle = relation._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert seen == [3]
    assert relation.fetchone() == (0.0,)


# -- the magic ---------------------------------------------------------------------------------------------------------

CELLS = [
    "%load_ext tfsql",
    "import numpy as np\nimport tfsql\npictures = np.arange(128, dtype=np.float32).reshape(2, 8, 8)\nleast = 100.0",
    "%%tfsql\nSELECT column0 AS picture FROM pictures WHERE tf_Max(column0, [0, 1]) > $least -- '$nothing'",
    "%%tfsql found\nSELECT tf_Max(column0, [0, 1]) AS top FROM pictures",
    "found.numpy()['top'].tolist()",
    "%%tfsql --rows 2\nCREATE TABLE t AS FROM range(5);\nFROM t",
    "%tfsql SELECT count(*) AS n FROM t",
    "con = tfsql.connect()\ncon.execute('CREATE TABLE other AS SELECT 7 AS a')",
    "%%tfsql --connection con\nFROM other",
    "tfsql.sql('SELECT column0 FROM pictures').plot()",
]
COMPLETE = """
from IPython.core.completer import provisionalcompleter
shell = get_ipython()
def proposed(text):
    with provisionalcompleter():
        return [c.text for c in shell.Completer.completions(text, len(text))]
import tfsql.registry
print(proposed("%%tfsql\\nSELECT ra\\nFROM t WHERE ran")[0])
print(proposed("%%tfsql\\nSELECT tf_Conv2D({padding: ")[:3])
print("input: " in proposed("x = f({"))
"""


def run(*cells: str) -> list[Any]:
    """The outputs of each cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.mark.filterwarnings("ignore")
def test_the_magic_in_a_notebook() -> None:
    outputs = run(*CELLS, COMPLETE)
    (shown,) = outputs[2]
    (drawn,) = pictures(shown.data["text/html"])
    assert drawn.shape == (8, 8)
    assert "float32[8, 8] min 64 max 127 mean 95.5" in shown.data["text/plain"]
    assert outputs[3] == []
    assert outputs[4][0].data["text/plain"] == "[63.0, 127.0]"
    assert "more than 2 rows" in outputs[5][0].data["text/html"]
    assert "<td style='text-align: right'>5</td>" in outputs[6][0].data["text/html"]
    assert "<td style='text-align: right'>7</td>" in outputs[8][0].data["text/html"]
    assert Image.open(io.BytesIO(base64.b64decode(outputs[9][0].data["image/png"]))).width > 100
    assert "".join(out.text for out in outputs[10] if out.name == "stdout").splitlines() == [
        "range",
        "[\"'SAME'\", \"'VALID'\", \"'EXPLICIT'\"]",
        "False",
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%tfsql\nSELECT missing", r"SELECT missing\n +\S*\^{7}"),
        ("%%tfsql --rows many\nSELECT 1", "--rows: invalid int value"),
        ("%%tfsql 1x\nSELECT 1", "the result needs the name of a variable"),
        ("%%tfsql --connection con\nSELECT 1", "No variable con with a connection"),
    ],
)
def test_a_cell_that_fails(cell: str, told: str) -> None:
    with pytest.raises(CellExecutionError) as caught:
        run("%load_ext tfsql", cell)
    assert re.search(told, str(caught.value))
    assert "tfsql/session.py" not in str(caught.value)
