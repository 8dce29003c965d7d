"""Lowering: calls of a batch replaced by cheaper equal ones.

Each lowering is a record: what it matches, where it pays, what it makes. Whoever adds one adds its measured condition
beside it and its cases to tests/test_lowering.py, which compares it with TensorFlow at random shapes and values.
"""

from __future__ import annotations

from collections.abc import Callable

from tfsql.kernel.lower.bands import BANDS
from tfsql.kernel.lower.identity import TIMES_ONE
from tfsql.kernel.lower.pooled import POOLED
from tfsql.kernel.lower.site import Lowering, Shape, Site
from tfsql.kernel.lower.squeeze import SQUEEZE
from tfsql.kernel.lower.stencil import STENCIL
from tfsql.kernel.lower.tiles import TILES
from tfsql.kernel.lower.weighted import WEIGHTED_SUM
from tfsql.tree import Call, Node

# The first that pays is taken.
LOWERINGS = (STENCIL, BANDS, TILES, POOLED, SQUEEZE, TIMES_ONE, WEIGHTED_SUM)
COMPILED_OPERATORS = frozenset().union(*(lowering.operators for lowering in LOWERINGS if lowering.is_compiled))


def lowering_of(
    call: Call,
    shape_of: Callable[[Node], Shape | None],
    is_varying: Callable[[Node], bool],
    is_used_once: Callable[[Node], bool],
    *,
    may_compile: bool = True,
) -> tuple[Lowering, Site] | None:
    """The lowering of a call and its site; None where none applies.

    Args:
      may_compile: whether XLA may compile it.
    """
    for lowering in LOWERINGS:
        if call.op in lowering.operators and (may_compile or not lowering.is_compiled):
            site = Site(call, shape_of, is_varying, is_used_once)
            if lowering.pays(site):
                return lowering, site
    return None
