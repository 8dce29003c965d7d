"""TensorFlow's operators as records. The only part of the package, with infer and kernel, that imports TensorFlow."""

from __future__ import annotations

from tfsql.registry.opdef import NO_DEFAULT, Argument, Attribute, OperatorSpec, operator_spec, wrapped_names
from tfsql.registry.policy import EXPOSED, REFUSED, TRUSTED, Verdict, returns_bytes, verdict

__all__ = [
    "EXPOSED",
    "NO_DEFAULT",
    "REFUSED",
    "TRUSTED",
    "Argument",
    "Attribute",
    "OperatorSpec",
    "Verdict",
    "operator_spec",
    "returns_bytes",
    "verdict",
    "wrapped_names",
]
