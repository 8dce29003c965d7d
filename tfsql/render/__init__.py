"""Results as text: tables for people; CSV, JSON and Markdown for programs; tensors as pictures."""

from __future__ import annotations

from tfsql.render.cells import cell_text, sql_text
from tfsql.render.drawings import PICTURES, Pen, pen_of
from tfsql.render.formats import FORMATS, writer
from tfsql.render.pictures import SHADES, picture, picture_row
from tfsql.render.png import save_png
from tfsql.render.streams import ASCII, BOX, DEFAULT_WIDTH, TRUE_COLOR, Borders, borders_of, terminal_colors
from tfsql.render.tables import MAX_ROWS, Result, Row, print_relation, table_text

__all__ = [
    "ASCII",
    "BOX",
    "DEFAULT_WIDTH",
    "FORMATS",
    "MAX_ROWS",
    "PICTURES",
    "SHADES",
    "TRUE_COLOR",
    "Borders",
    "Pen",
    "Result",
    "Row",
    "borders_of",
    "cell_text",
    "pen_of",
    "picture",
    "picture_row",
    "print_relation",
    "save_png",
    "sql_text",
    "table_text",
    "terminal_colors",
    "writer",
]
