"""Writes ``docs/operators``: one page for each exposed operator and an index of them all.

Run it from the root of the repository, after a new release of TensorFlow or after a change of ``operators/``:

    python tests/operator_pages.py

Pages are made from the OpDef and from the data in ``operators/``; the example is the first short case of the operator
with the values of one row. What each argument means, ``DESCRIBE FUNCTION tf_X`` tells in TensorFlow's words.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from differential import call_text

import tfsql
from tfsql.kernel.composed import COMPOSITIONS
from tfsql.kernel.lift import convertible_operators
from tfsql.kernel.lower import LOWERINGS
from tfsql.registry import Argument, OperatorSpec, operator_spec
from tfsql.registry.batching import ELEMENTWISE, FOLDED, SHIFTED, direct_rules, parameters_of, wrong_converters
from tfsql.registry.cases import Case, Draw, cases_of, limits
from tfsql.registry.catalogue import argument_type
from tfsql.registry.checks import checks_of
from tfsql.registry.coverage import exposed_names
from tfsql.registry.opdef import NO_DEFAULT, wrapped_names
from tfsql.registry.policy import verdict
from tfsql.types import TensorType, sql_type

FOLDER = Path(__file__).parent.parent / "docs" / "operators"
# A longer example is shown without its values.
_MAX_EXAMPLE = 1200
_FORMS = {
    ELEMENTWISE: "element by element",
    FOLDED: "the rows laid along its own batch axis",
    SHIFTED: "axes counted one higher",
}


def pages() -> dict[str, str]:
    """The text of every file of the folder, by name."""
    made = {f"{name}.md": page(name) for name in exposed_names()}
    return {"README.md": index(), **made}


def index() -> str:
    """The table of all operators, with counts."""
    counts = Counter(verdict(name).status for name in wrapped_names())
    rules = Counter(batching_kind(name) for name in exposed_names())
    lines = ["# Operators", ""]
    lines += ["Written by tests/operator_pages.py. `DESCRIBE FUNCTION tf_X` tells what the arguments of one mean.", ""]
    lines += [f"TensorFlow {tf.__version__} documents {sum(counts.values())} operators: {_counted(counts)}.", ""]
    lines += [f"The rows of a batch, where all inputs of the exposed ones vary: {_counted(rules)}.", ""]
    lines += ["| operator | summary | rows |", "|---|---|---|"]
    for name in exposed_names():
        spec = _spec(name)
        lines.append(f"| [tf_{name}]({name}.md) | {_cell(_summary(spec))} | {batching_kind(name)} |")
    return "\n".join(lines) + "\n"


def page(name: str) -> str:
    """The page of one operator."""
    spec = _spec(name)
    parts = [f"# tf_{name}", _summary(spec), f"```sql\n{signature(spec)}\n```"]
    parts += [_inputs(spec), _attributes(spec), _outputs(spec)]
    parts += ["## Rows\n\n" + "\n".join(f"- {line}" for line in batching_lines(name))]
    found = _limits(name)
    parts += ["## Limits\n\n" + "\n".join(f"- {line}" for line in found)] if found else []
    shown = example(name)
    parts += [f"## Example\n\n```sql\n{shown}\n```"] if shown else []
    return "\n\n".join(part for part in parts if part) + "\n"


def signature(spec: OperatorSpec) -> str:
    """How the operator is called; what may be left out in brackets."""
    required = [argument.name for argument in spec.inputs]
    required += [f"{attribute.name} := ..." for attribute in spec.attributes if attribute.is_required]
    optional = [f"{item.name} := ..." for item in spec.attributes if not item.is_required and not item.is_inferred]
    left_out = f" [, {', '.join(optional)}]" if optional else ""
    return f"{spec.sql_name}({', '.join(required)}{left_out})"


def _spec(name: str) -> OperatorSpec:
    spec = operator_spec(name)
    assert spec is not None
    return spec


def _summary(spec: OperatorSpec) -> str:
    return "" if spec.summary.startswith("TODO") else spec.summary


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def _cell(text: str) -> str:
    return re.sub(r"[|<>]", lambda found: {"|": "\\|", "<": "&lt;", ">": "&gt;"}[found.group()], text)


def _table(heads: str, rows: list[tuple[str, ...]]) -> str:
    bar = "|".join("---" for _ in heads.split("|"))
    return "\n".join([f"| {heads} |", f"|{bar}|", *(f"| {' | '.join(map(_cell, row))} |" for row in rows)])


# -- arguments ---------------------------------------------------------------------------------------------------------


def _inputs(spec: OperatorSpec) -> str:
    shapes = _case_shapes(spec.name)
    rows = [(item.name, _dtypes(spec, item), shapes.get(item.name, "")) for item in spec.inputs]
    return "## Inputs\n\n" + _table("name | type | shapes such as", rows) if rows else ""


def _dtypes(spec: OperatorSpec, argument: Argument) -> str:
    """The dtypes of an argument, and that it is a list."""
    attribute = spec.attribute(argument.type_attr or argument.type_list_attr or "")
    allowed = ", ".join(attribute.allowed) if attribute is not None and attribute.allowed else "any type"
    kind = argument.dtype or f"{argument_type(argument).rpartition(' ')[2]}: {allowed}"
    return f"list of {kind}" if argument.is_list else kind


def _case_shapes(name: str) -> dict[str, str]:
    """The shapes of the inputs of the operator's cases."""
    shapes: dict[str, dict[str, None]] = {}
    for case in cases_of(name):
        for argument, given in case.inputs.items():
            items = given if isinstance(given, list) else [given]
            found = [item.shape if isinstance(item, Draw) else np.shape(item.value) for item in items]
            shapes.setdefault(argument, {}).update(dict.fromkeys(str(list(shape)) for shape in found))
    return {argument: ", ".join(list(found)[:3]) for argument, found in shapes.items()}


def _attributes(spec: OperatorSpec) -> str:
    rows = [
        (
            item.name,
            item.kind,
            "required" if item.default is NO_DEFAULT else _value(item.default),
            ", ".join(item.allowed) + (f"at least {item.minimum}" if item.minimum is not None else ""),
        )
        for item in spec.attributes
        if not item.is_inferred
    ]
    return "## Attributes\n\n" + _table("name | kind | default | allowed", rows) if rows else ""


def _value(value: Any) -> str:
    return "the inputs tell" if value is None else repr(value.tolist() if isinstance(value, np.ndarray) else value)


def _outputs(spec: OperatorSpec) -> str:
    rows = [(output.name, argument_type(output)) for output in spec.outputs]
    return "## Outputs\n\n" + _table("name | type", rows) if rows else ""


# -- rows and limits ---------------------------------------------------------------------------------------------------


def batching_kind(name: str) -> str:
    """How the rows are computed where all inputs vary, in a word or two."""
    spec = _spec(name)
    if not spec.inputs and not spec.is_stateful:
        return "constant"
    if direct_rules(name):
        return "direct"
    if name in COMPOSITIONS:
        return "composed"
    if name in convertible_operators():
        return "converted"
    return "lowered" if any(name in lowering.operators for lowering in LOWERINGS) else "row by row"


def batching_lines(name: str) -> list[str]:
    """How the rows of a batch are computed, as sentences."""
    lines = []
    for rule in direct_rules(name):
        form = _FORMS.get(rule.form, "the rows a leading axis")
        lines.append(f"one call on the stacked rows, {form}, where {_listed(sorted(rule.vary))} vary")
    if name in wrong_converters():
        lines.append(f"TensorFlow's converter is not used: it {wrong_converters()[name]}")
    if parameters_of(name):
        lines.append(f"one call for the rows of each value of {_listed(parameters_of(name))}, where values are few")
    kind = batching_kind(name)
    if kind == "row by row":
        return [*lines, f"in a loop inside the batch's call: {loop_reason(name)}"]
    lines.append(_KINDS[kind])
    return [*lines, _SEEDED] if _spec(name).is_stateful else lines


_KINDS = {
    "constant": "computed once: it takes nothing that could vary by row",
    "direct": "other calls in a loop, composed or converted",
    "composed": "one call for the batch, composed of others that give the same; a loop where none do",
    "lowered": "one call for the batch of a cheaper equal",
    "converted": "one call for the batch by TensorFlow's converter",
}
_SEEDED = "with a seed in a loop inside the batch's call, so that the rows are drawn in their order"


def loop_reason(name: str) -> str:
    """Why the rows of an operator are computed one after the other."""
    if _spec(name).is_stateful:
        return "it draws at random, or is seen from outside, so that the rows keep their order"
    text = example(name)
    if text and "FROM data" not in text and "?" in tfsql.sql(text).explain().rpartition("tfsql_kernel")[2]:
        return "the shape of what it makes hangs on the values of the row"
    return "TensorFlow has no converter for it, and it has no axis for rows"


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _limits(name: str) -> list[str]:
    lines = [limit.reason for limit in limits().get(name, ())]
    lines += [check.reason for check in (*checks_of(name).requires, *checks_of(name).ensures)]
    lines += [f"`{size.output}` is bounded by tfsql_max_cell_bytes before running" for size in checks_of(name).sizes]
    return list(dict.fromkeys(lines))


# -- examples ----------------------------------------------------------------------------------------------------------


def example(name: str) -> str:
    """A call that can be run, from the operator's first case that is short enough; else one without its values."""
    cases = cases_of(name)
    if not cases:
        return ""
    made = [_example(case) for case in cases]
    return next((text for text in made if len(text) <= _MAX_EXAMPLE), _without_values(cases[0]))


def _example(case: Case) -> str:
    row, columns = case.rows(1)[0], case.columns()
    drawn = {name: item for name, item in case.items() if isinstance(item, Draw)}
    texts = {name: f"{_literal(row[name].tolist(), drawn[name])}::{_kind(drawn[name])}" for name in row}
    call = call_text(case, {name: text for name, text in texts.items() if name not in columns})
    table = ",\n  ".join(f'{texts[name]} AS "{name}"' for name in columns)
    return f"SELECT {call} AS y" + (f"\nFROM (SELECT\n  {table}\n)" if columns else "")


def _without_values(case: Case) -> str:
    columns = "\n".join(f'-- "{name}" {_kind(draw)}' for name, draw in case.columns().items())
    constants = {name: f"${name}" for name, item in case.items() if isinstance(item, Draw) and item.is_constant}
    return f"SELECT {call_text(case, constants)} AS y\nFROM data  -- with these columns:\n{columns}"


def _kind(draw: Draw) -> str:
    return str(sql_type(TensorType(draw.storage, draw.shape, draw.is_bytes)))


def _literal(value: Any, draw: Draw) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, draw) for item in value)}]"
    if isinstance(value, bytes | str):
        data = value.encode() if isinstance(value, str) else value
        return f"from_hex('{data.hex()}')" if draw.is_bytes else "'" + data.decode().replace("'", "''") + "'"
    if isinstance(value, complex):
        return f"{{'real': {value.real:.3g}, 'imag': {value.imag:.3g}}}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(wanted) - 1} pages and an index")


if __name__ == "__main__":
    main()
