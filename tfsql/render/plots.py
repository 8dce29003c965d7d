"""Results as a figure of matplotlib's, which is imported when the first one is drawn."""

from __future__ import annotations

import copy
import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsql.errors import TypeMismatchError, UnsupportedError
from tfsql.render.cells import cell_text
from tfsql.render.pictures import pixels_of_cell
from tfsql.render.tables import Result, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfsql.result import Relation

# Inches along the edge of one picture.
_EDGE = 1.8


def plot(relation: Relation, max_rows: int) -> Figure:
    """A grid with a line for each row and a place for each column that can be drawn; see ``Relation.plot``."""
    figure_class = _figure_class()
    rows = copy.copy(relation).execute().fetchmany(max_rows)
    result = Result(relation.columns, relation.types, iter(()))
    drawn = [
        i for i in range(len(result.columns)) if any(_drawable(row[i], result.types[i]) is not None for row in rows)
    ]
    if not drawn:
        types = ", ".join(f"{name} {kind}" for name, kind in zip(result.columns, result.types, strict=True))
        raise TypeMismatchError(f"plot() draws pictures and vectors of numbers; here are {types}")
    figure = figure_class(figsize=(_EDGE * len(drawn) + 0.4, _EDGE * len(rows) + 0.3 * len(rows)), layout="constrained")
    places = figure.subplots(len(rows), len(drawn), squeeze=False)
    for line, row in zip(places, rows, strict=True):
        for axes, index in zip(line, drawn, strict=True):
            _draw(axes, row[index], result.types[index])
        line[0].set_title(_caption(result, row, drawn), fontsize="small", loc="left")
    for axes, index in zip(places[-1], drawn, strict=True):
        axes.set_xlabel(result.columns[index], fontsize="small")
    return figure


@cache
def _figure_class() -> type[Figure]:
    """The class of figures, which are shown in notebooks without matplotlib.pyplot too."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = "pip install matplotlib"
        raise UnsupportedError("plot() draws with matplotlib, which is not installed", hint=hint) from error

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=80)
            return file.getvalue()

    return ShownFigure


def _drawable(value: Any, kind: str) -> np.ndarray | None:
    """The pixels of a picture ``[height, width, channels]`` or the numbers of a vector ``[length]``."""
    pixels = pixels_of_cell(value, kind)
    if pixels is not None or value is None or not kind.startswith(("float", "int", "uint")) or "," in kind:
        return pixels
    return np.asarray(value, np.float64)


def _draw(axes: Axes, value: Any, kind: str) -> None:
    array = _drawable(value, kind)
    axes.set_xticks([])
    if array is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, cell_text(value, kind), ha="center", va="center", fontsize="small")
    elif array.ndim == 1:
        axes.plot(array)
        axes.tick_params(labelsize="x-small")
    else:
        axes.set_yticks([])
        axes.imshow(array if array.shape[2] == 3 else array[:, :, 0], cmap="gray")


def _caption(result: Result, row: Row, drawn: list[int]) -> str:
    """The values of the columns that are not drawn."""
    cells = zip(result.columns, row, result.types, strict=True)
    return ", ".join(f"{n} {cell_text(v, k)[:24]}" for i, (n, v, k) in enumerate(cells) if i not in drawn)
