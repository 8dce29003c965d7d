"""TensorFlow's operators as records. The only part of the package, with infer and kernel, that imports TensorFlow."""

from __future__ import annotations

from tfsql.startup import start_tensorflow

start_tensorflow()

from tfsql.registry.opdef import NO_DEFAULT, Argument, Attribute, OperatorSpec, operator_spec, wrapped_names  # noqa: E402
from tfsql.registry.policy import (  # noqa: E402
    EXPOSED,
    REFUSED,
    TRUSTED,
    Verdict,
    allowed_operator,
    returns_bytes,
    verdict,
    works_on_handles,
    written_inputs,
)

__all__ = [
    "EXPOSED",
    "NO_DEFAULT",
    "REFUSED",
    "TRUSTED",
    "Argument",
    "Attribute",
    "OperatorSpec",
    "Verdict",
    "allowed_operator",
    "operator_spec",
    "returns_bytes",
    "verdict",
    "works_on_handles",
    "wrapped_names",
    "written_inputs",
]
