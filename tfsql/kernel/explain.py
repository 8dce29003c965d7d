"""What EXPLAIN tells of a kernel: its operators, shapes, how rows are batched, what was cast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfsql.types import WIDENED, TensorType

if TYPE_CHECKING:
    from tfsql.kernel.graph import Program
    from tfsql.tree import Call

_RULES = {
    "constant": "constant: the same for every row, computed once a batch",
    "elementwise": "direct: one call for the batch on the stacked rows, element by element",
    "leading": "direct: one call for the batch on the stacked rows, the rows a leading axis",
    "shifted": "shifted: one call for the batch on the stacked rows, axes counted one higher",
    "folded": "folded: one call for the batch, the rows laid along the operator's own batch axis",
    "composed": "composed: one call for the batch, of other operators that give the same",
    "converted": "converted: one call for the batch",
    "distinct": "distinct: one call for the rows of each value of the parameters; looped where values are many",
    "mapped": "mapped: in a loop inside the batch's call",
    "looped": "looped: one row after the other inside the batch's call",
    "absorbed": "part of a call behind it, which is lowered",
    "by shape": "rows of one shape are computed together, single shapes looped",
}


def kernel_lines(program: Program, rules: Mapping[Call, str]) -> list[str]:
    """What happens inside a kernel, line by line.

    Args:
      rules: how the rows of each call are batched.
    """
    lines = []
    for call, text in zip(program.calls, program.lines(), strict=True):
        lines.append(f"{text} -> {_outputs(call)}")
        lines.append(f"    {_RULES.get(rules[call], rules[call])}{_cast(call)}")
    widened = {node.type.dtype for node in program.results if node.type.dtype in WIDENED}
    return lines + [f"{dtype} comes back as {WIDENED[dtype]}, which holds it exactly" for dtype in sorted(widened)]


def _outputs(call: Call) -> str:
    shown = [
        f"{name} {kinds}" if isinstance(kinds, TensorType) else f"{name} [{', '.join(map(str, kinds))}]"
        for name, kinds in call.outputs
    ]
    return shown[0].partition(" ")[2] if len(shown) == 1 else ", ".join(shown)


def _cast(call: Call) -> str:
    if call.op not in ("Cast", "Bitcast"):
        return ""
    (source,) = call.nodes()
    target = call.outputs[0][1]
    return f"; casts {source.type.dtype} to {target.dtype if isinstance(target, TensorType) else target}"
