"""Which operators a query may call, and why not the others: the rules of operators/policy.toml applied to OpDefs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import tensorflow as tf

from tfsql.errors import ForbiddenError, UnsupportedError
from tfsql.registry.kernels import cpu_kernels
from tfsql.registry.opdef import OperatorSpec, op_def, operator_spec

EXPOSED, TRUSTED, REFUSED = "exposed", "trusted", "refused"


@dataclass(frozen=True)
class Verdict:
    """Whether an operator may be called: ``exposed``, ``trusted`` (where the user says so) or ``refused``."""

    status: str
    reason: str


@cache
def _document() -> dict[str, Any]:
    text = (resources.files("tfsql.operators") / "policy.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def verdict(name: str) -> Verdict:
    """The verdict of the first rule that matches the operator ``name``, which must be registered."""
    definition = op_def(name)
    for rule in _document()["rule"]:
        if _matches(rule, name, definition):
            return Verdict(rule["status"], rule["reason"])
    raise AssertionError("operators/policy.toml must end in a rule without conditions")


@cache
def returns_bytes(name: str) -> bool:
    """Whether the string outputs of an operator are bytes rather than text."""
    return re.fullmatch(_document()["bytes"]["name_pattern"], name) is not None


def works_on_handles(name: str) -> bool:
    """Whether an operator takes or returns a resource, a variant or a reference."""
    return _has_handle_argument(op_def(name))


def written_inputs(name: str) -> tuple[str, ...]:
    """The inputs into whose memory the kernel of an operator writes."""
    return tuple(_document()["writes_into"].get(name, ()))


def allowed_operator(name: str, shown: str, *, trust: bool) -> OperatorSpec:
    """An operator that may be called.

    Args:
      shown: how the user writes its name.
      trust: whether those that touch files may be.

    Raises:
      UnsupportedError: policy refuses it; the message says why.
    """
    judged, spec = verdict(name), operator_spec(name)
    if spec is None or not (judged.status == EXPOSED or (judged.status == TRUSTED and trust)):
        more = "" if judged.status != TRUSTED else "; it runs only where the connection was opened with trust=True"
        refusal = ForbiddenError if more else UnsupportedError
        raise refusal(f"{shown} {judged.reason}{more}")
    return spec


def _matches(rule: dict[str, Any], name: str, definition: Any) -> bool:
    if "names" in rule and name not in rule["names"]:
        return False
    if "name_pattern" in rule and re.match(rule["name_pattern"], name) is None:
        return False
    if "property" in rule and not _PROPERTIES[rule["property"]](definition):
        return False
    if "argument_pattern" in rule:
        names = [item.name for item in (*definition.input_arg, *definition.attr)]
        return any(re.fullmatch(rule["argument_pattern"], item) for item in names)
    return True


def _has_attribute(*names: str) -> Callable[[Any], bool]:
    return lambda definition: any(attr.name in names for attr in definition.attr)


def _has_handle_argument(definition: Any) -> bool:
    handles = (tf.resource.as_datatype_enum, tf.variant.as_datatype_enum)
    arguments = (*definition.input_arg, *definition.output_arg)
    return any(arg.is_ref or arg.type in handles for arg in arguments)


def _has_cpu_kernel(definition: Any) -> bool:
    return bool(cpu_kernels(definition.name))


def _is_random(definition: Any) -> bool:
    return {"seed", "seed2"} <= {attr.name for attr in definition.attr}


_PROPERTIES: dict[str, Callable[[Any], bool]] = {
    "has_no_wrapper": lambda definition: operator_spec(definition.name) is None,
    "has_function_attribute": lambda definition: any("func" in attr.type for attr in definition.attr),
    "has_handle_argument": _has_handle_argument,
    "is_removed": lambda d: d.HasField("deprecation") and d.deprecation.version <= tf.version.GRAPH_DEF_VERSION,
    "has_no_cpu_kernel": lambda definition: not _has_cpu_kernel(definition),
    "has_shared_state": _has_attribute("container", "shared_name"),
    "has_callback": _has_attribute("token", "debug_urls"),
    "is_stateless": lambda definition: not definition.is_stateful,
    "is_random": _is_random,
}
