"""Types and shapes of operator calls, from TensorFlow's own shape functions, with no data read."""

from __future__ import annotations

from tfsql.startup import start_tensorflow

start_tensorflow()

from tfsql.infer.calls import Inference, apply_operator  # noqa: E402
from tfsql.infer.conditions import (  # noqa: E402
    MAX_CELL_BYTES,
    assertion,
    is_checked,
    open_conditions,
    output_conditions,
    refuse,
)
from tfsql.infer.dtypes import constant_of, convert_constant, natural  # noqa: E402
from tfsql.infer.messages import clean_message  # noqa: E402

__all__ = [
    "MAX_CELL_BYTES",
    "Inference",
    "apply_operator",
    "assertion",
    "clean_message",
    "constant_of",
    "convert_constant",
    "is_checked",
    "natural",
    "open_conditions",
    "output_conditions",
    "refuse",
]
