"""Compositions: all rows of a call computed at once by other calls that give the same.

They stand in for converters that TensorFlow has not, and for operators whose rows have shapes of their own. Each is a
function of a ``Batch``; tests/operators/test_compositions.py compares every one with the calls row by row, for every
case of its operators and every choice of the inputs that vary.
"""

from tfsql.kernel.composed import (  # noqa: F401 (registers what is in them)
    arrays,
    bincounts,
    choices,
    draws,
    folds,
    gradients,
    numbers,
    partitions,
    raggeds,
    scatters,
    segments,
    sequences,
    sparse,
    texts,
)
from tfsql.kernel.composed.batch import COMPOSITIONS, Batch, Ragged, RefusedError, ragged, repeated

__all__ = ["COMPOSITIONS", "Batch", "Ragged", "RefusedError", "ragged", "repeated"]
