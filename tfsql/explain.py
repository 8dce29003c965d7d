"""EXPLAIN's text for a kernel: its operators, shapes, how rows are batched, what was cast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfsql.split import describe_result
from tfsql.types import WIDENED, TensorType

if TYPE_CHECKING:
    from tfsql.kernel import Kernel
    from tfsql.tree import Call

_RULES = {
    "constant": "the same for every row, computed once a batch",
    "converted": "converted: one call for the batch",
    "mapped": "mapped: in a loop inside the batch's call",
    "looped": "looped: one row after the other inside the batch's call",
    "by shape": "rows of one shape are converted together, single shapes looped",
}


def kernel_text(kernel: Kernel, leaves: Sequence[str], columns: Sequence[str] = (), *, is_analyze: bool = False) -> str:
    """The kernel as EXPLAIN shows it.

    Args:
      leaves: the SQL of its inputs where it is called.
      columns: the columns that it makes: DuckDB's plan shows their names in its place.
      is_analyze: whether to tell what it has done, too.
    """
    program = kernel.program
    inputs = ", ".join(f"{sql}: {leaf.type}" for sql, leaf in zip(leaves, program.leaves, strict=True))
    made = f", as {', '.join(columns)}" if columns else ""
    lines = [f"{kernel.name}({inputs}) -> {describe_result(kernel)}{made}"]
    rules = kernel.rules()
    for call, text in zip(program.calls, program.lines(), strict=True):
        lines.append(f"  {text} -> {_outputs(call)}")
        lines.append(f"      {_RULES[rules[call]]}{_cast(call)}")
    widened = {node.type.dtype for node in program.results if node.type.dtype in WIDENED}
    lines += [f"  {dtype} comes back as {WIDENED[dtype]}, which holds it exactly" for dtype in sorted(widened)]
    if is_analyze:
        done = kernel.statistics
        lines.append(
            f"  {done.rows} rows, {done.calls} TensorFlow calls, {done.seconds * 1000:.1f} ms, {done.bytes_in} bytes in"
        )
    return "\n".join(lines)


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
