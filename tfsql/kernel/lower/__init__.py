"""Lowering: calls of a batch replaced by cheaper equal ones.

Each lowering is a record: what it matches, where it pays, what it makes. Whoever adds one adds its measured condition
beside it and its cases to tests/test_lowering.py, which compares it with TensorFlow at random shapes and values.
"""

from __future__ import annotations

from collections.abc import Callable

from tfsql.kernel.lower.bands import BANDS
from tfsql.kernel.lower.identity import TIMES_ONE
from tfsql.kernel.lower.site import Lowering, Shape, Site
from tfsql.kernel.lower.squeeze import SQUEEZE
from tfsql.kernel.lower.stencil import STENCIL
from tfsql.kernel.lower.tiles import TILES
from tfsql.tree import Call, Node

# The first that pays is taken.
LOWERINGS = (STENCIL, BANDS, TILES, SQUEEZE, TIMES_ONE)
COMPILED_OPERATORS = frozenset().union(*(lowering.operators for lowering in LOWERINGS if lowering.is_compiled))


def lowering_of(
    call: Call,
    shape_of: Callable[[Node], Shape | None],
    is_varying: Callable[[Node], bool],
    *,
    may_compile: bool = True,
) -> tuple[Lowering, Site] | None:
    """The lowering of a call and its site; None where none applies.

    Args:
      may_compile: whether XLA may compile it.
    """
    for lowering in LOWERINGS:
        if call.op in lowering.operators and (may_compile or not lowering.is_compiled):
            nodes = list(call.nodes())
            site = Site(call, tuple(map(shape_of, nodes)), tuple(map(is_varying, nodes)))
            if lowering.pays(site):
                return lowering, site
    return None
