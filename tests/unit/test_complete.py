"""Completion: what is proposed where, and with which words beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

import tfsql
import tfsql.registry  # operators are proposed once TensorFlow is loaded
from tfsql.terminal.complete import completions
from tfsql.terminal.editor import SqlCompleter
from tfsql.terminal.names import Named, Names
from tfsql.terminal.sql_context import context_of, tables_in

ROOT = Path(__file__).parent.parent.parent
CONV = "SELECT tf_Conv2D("


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    with tfsql.connect() as connection:
        connection.execute("CREATE TABLE digits (label INTEGER, image FLOAT[28][28])")
        connection.execute('CREATE VIEW "Two Words" AS SELECT label AS kind FROM digits')
        connection.execute("CREATE FUNCTION sharpen(picture, amount := 2.0) AS tf_Mul(picture, amount)")
        connection.create_function("brightest", lambda image: image.max(axis=(1, 2)), "FLOAT")
        yield Names(connection)


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def proposed(names: Names, text: str) -> list[str]:
    """The names proposed at ``|`` in a text, or at its end."""
    before, _, after = text.partition("|")
    return [named.name for named in completions(names, before, after)[1]]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        # Inside the row of a call: inputs, then attributes that must be given, then the others.
        (CONV + "{", ["input: ", "filter: ", "strides: ", "padding: "]),
        (CONV + "image, [[[[1]]]], {", ["input: ", "filter: ", "strides: ", "padding: "]),
        (CONV + "{input: image, filter: f, padding: 'SAME', ", ["strides: ", "use_cudnn_on_gpu: "]),
        (CONV + "{pa", ["padding: "]),
        # The values of an attribute, and nothing else.
        (CONV + "{padding: ", ["'SAME'", "'VALID'", "'EXPLICIT'"]),
        (CONV + "{padding: 'v", ["'VALID'"]),
        (CONV + "{strides: ", ["[1, 1, 1, 1]"]),
        (CONV + "{use_cudnn_on_gpu: ", ["true", "false"]),
        (CONV + "image, f, padding := 'S", ["'SAME'"]),
        # The value of an input is an expression.
        ("FROM digits SELECT tf_Conv2D({input: ", ["label", "image"]),
        # By position: columns, then the names of the arguments.
        ("FROM digits SELECT tf_Mean(", ["label", "image", "input := ", "axis := ", "keep_dims := "]),
        ("FROM digits SELECT sharpen(image, ", ["label", "image", "picture := ", "amount := "]),
        # A bracket within a call, or behind it, is not of the call.
        (CONV + "[", ["kind", "label"]),
        (CONV + "image), ", ["kind", "label"]),
        ("SELECT {a: 1, b: {", ["kind", "label"]),
        # Names.
        ("SELECT tf_conv2d", ["tf_Conv2D(", "tf_Conv2DBackpropFilter("]),
        ("SELECT conv2", ["tf_Conv2D("]),
        ("SELECT brigh", ["brightest("]),
        ("SELECT gaussian", ["gaussian_blur("]),
        ("SELECT list_agg", ["list_aggr(", "list_aggregate("]),
        ("SEL", ["SELECT"]),
        ("sel", ["select"]),
        ("SELECT lab| FROM digits", ["label"]),
        ("SELECT d.| FROM digits AS d", ["label", "image"]),
        ("SELECT digits.i| FROM digits", ["image"]),
        ("SELECT la| FROM 'data/digits.parquet'", ["label"]),
        ("SELECT * FROM di", ["digits"]),
        ("SELECT * FROM digits JOIN ", ['"Two Words"', "digits"]),
        ("SELECT * FROM tw", ['"Two Words"']),
        ("SELECT * FROM read_i", ["read_idx("]),
        ("SELECT * FROM 'data/digits.pa", ["data/digits.parquet"]),
        ("SET tfsql_low", ["tfsql_lowering"]),
        ("SET memory_l", ["memory_limit"]),
        ("SELECT 1; SEL", ["SELECT"]),
    ],
)
def test_what_comes_first(names: Names, text: str, first: list[str]) -> None:
    assert proposed(names, text)[: len(first)] == first


def test_the_hundred_collations_are_no_use(names: Names) -> None:
    assert proposed(names, "SELECT icu_") == ["icu_sort_key("]


@pytest.mark.parametrize("text", ["-- SEL", "/* SEL", "SELECT 'SEL", "SELECT 'it''s SEL", "SELECT $$ SEL"])
def test_nothing_in_comments_and_text(names: Names, text: str) -> None:
    assert proposed(names, text) == []


def test_only_values_that_fit(names: Names) -> None:
    assert proposed(names, CONV + "{padding: ") == ["'SAME'", "'VALID'", "'EXPLICIT'"]
    assert proposed(names, CONV + "{padding: 'SAME', pa") == []
    assert "tf_ReadFile(" in proposed(names, "SELECT tf_ReadF")
    assert proposed(names, "SELECT tf_QueueEnq") == []


def test_a_line_on_each(names: Names) -> None:
    found = {named.name: named.summary for named in completions(names, CONV + "{")[1]}
    assert found["padding: "].startswith("string in 'SAME', 'VALID', 'EXPLICIT' (required). The type of padding")
    assert found["T: "].endswith("(follows the inputs)")
    assert completions(names, "SELECT tf_Conv2D")[1][0].summary.startswith("Computes a 2-D convolution")
    assert Named("image", "float32[28, 28]") in completions(names, "SELECT i", " FROM 'data/digits.parquet'")[1]


def test_new_tables_are_proposed() -> None:
    with tfsql.connect() as connection:
        names = Names(connection)
        assert "fresh" not in proposed(names, "FROM fr")
        connection.execute("CREATE TABLE fresh AS SELECT 1 AS a")
        names.forget()
        assert "fresh" in proposed(names, "FROM fr")


@pytest.mark.parametrize(
    ("text", "call", "name", "word"),
    [
        ("f(a, g(b), c", "f", None, "c"),
        ("f(a, {k: 1, m: ", "f", "m", ""),
        ("f('a)', ", "f", None, ""),
        ("f(a /* ) */, b := x", "f", "b", "x"),
        ("IN (a", "IN", None, "a"),
        ("f(a", "f", None, "a"),
        ("f(a) + b", None, None, "b"),
        ('"odd)name"(', None, None, ""),
        (")))", None, None, ""),
    ],
)
def test_the_context(text: str, call: str | None, name: str | None, word: str) -> None:
    context = context_of(text)
    assert (context.frame.call, context.frame.name, context.word) == (call, name, word)


def test_tables_and_their_aliases() -> None:
    text = "SELECT * FROM a, 'b.csv' AS b JOIN c d USING (x) LEFT JOIN e ON true WHERE x IN (FROM range(3))"
    assert tables_in(text) == {"a": "a", "d": "c", "e": "e"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (".mo", [".mode"]),
        (".mode j", ["json", "jsonl"]),
        (".pictures ", ["auto", "kitty", "sixel", "blocks", "none"]),
        (".schema d", ["digits"]),
        (".read data/R", ["data/README.md"]),
        (".nonsense x", []),
    ],
)
def test_dot_commands(names: Names, text: str, found: list[str]) -> None:
    document = Document(text)
    made = list(SqlCompleter(names, None).get_completions(document, CompleteEvent()))
    assert [completion.text for completion in made] == found
    assert all(text[: len(text) + completion.start_position] + completion.text for completion in made)


def test_what_is_shown_and_inserted(names: Names) -> None:
    (made,) = SqlCompleter(names, None).get_completions(Document(CONV + "{padd"), CompleteEvent())
    assert (made.text, made.start_position, made.display_text) == ("padding: ", -4, "padding")
    assert made.display_meta_text.startswith("string in 'SAME'")
