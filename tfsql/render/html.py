"""Results as HTML for notebooks: a table whose cells show tensors that are pictures as pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsql.render.cells import cell_text, is_number_type
from tfsql.render.pictures import pixels_of_cell
from tfsql.render.png import png_bytes
from tfsql.render.tables import Result, Row, count_text, is_plan, plan_text

# Columns beyond these are left out, the middle ones first.
MAX_COLUMNS = 40
# Pictures are enlarged by a whole factor up to this many screen pixels along the longer edge.
PICTURE_EDGE = 112
_GAP = "…"
# Jupyter sets what is preformatted in the letters of prose.
_PLAN_STYLE = "font-family: var(--jp-code-font-family, monospace); line-height: 1.2"


def html_table(result: Result, rows: list[Row], max_rows: int) -> str:
    """The first rows as a table of HTML; the plan of an EXPLAIN as it was drawn.

    Args:
      result: names and types; its rows are not read.
      rows: ``max_rows`` + 1 rows, fewer if there are no more.

    Example:
      >>> result = Result(["answer"], ["INTEGER"], iter(()))
      >>> "<td style='text-align: right'>42</td>" in html_table(result, [(42,)], 20)
      True
    """
    if is_plan(result):
        return f"<pre style='{_PLAN_STYLE}'>{html.escape(plan_text(rows))}</pre>"
    indices = _shown_columns(len(result.columns))
    head = "".join(_heading(result, index) for index in indices)
    body = "\n".join(f"<tr>{''.join(_cells(result, row, indices))}</tr>" for row in rows[:max_rows])
    count = count_text(len(rows), "row") if len(rows) <= max_rows else f"more than {count_text(max_rows, 'row')}"
    more = f", {count_text(len(result.columns), 'column')}" if None in indices else ""
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n<p>{count}{more}</p>"


def _shown_columns(count: int) -> list[int | None]:
    """The indices of the columns, None for those that are left out."""
    if count <= MAX_COLUMNS:
        return list(range(count))
    half = MAX_COLUMNS // 2
    return [*range(half), None, *range(count - half, count)]


def _heading(result: Result, index: int | None) -> str:
    if index is None:
        return f"<th>{_GAP}</th>"
    name, kind = html.escape(result.columns[index]), html.escape(result.types[index])
    return f"<th style='text-align: {_alignment(kind)}'>{name}<br><small>{kind}</small></th>"


def _cells(result: Result, row: Row, indices: list[int | None]) -> Iterator[str]:
    for index in indices:
        if index is None:
            yield f"<td>{_GAP}</td>"
        else:
            kind = result.types[index]
            yield f"<td style='text-align: {_alignment(kind)}'>{_cell(row[index], kind)}</td>"


def _alignment(kind: str) -> str:
    return "right" if is_number_type(kind) else "left"


def _cell(value: Any, kind: str) -> str:
    pixels = pixels_of_cell(value, kind)
    text = html.escape(cell_text(value, kind))
    return text if pixels is None else f"<img {_image(pixels)} alt='{text}' title='{text}'>"


def _image(pixels: np.ndarray) -> str:
    """The attributes of a picture: its PNG inside the page, enlarged without smoothing."""
    height, width, _ = pixels.shape
    scale = max(1, PICTURE_EDGE // max(height, width))
    content = base64.b64encode(png_bytes(np.rint(pixels * 255).astype(np.uint8))).decode()
    style = "image-rendering: pixelated; max-width: none; margin: 0"
    size = f"width='{width * scale}' height='{height * scale}'"
    return f"src='data:image/png;base64,{content}' {size} style='{style}'"
