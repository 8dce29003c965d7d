"""How the rows of a batch are computed, where TensorFlow does not tell: ``operators/batching.toml`` as records."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

ELEMENTWISE, LEADING, FOLDED, SHIFTED = "elementwise", "leading", "folded", "shifted"
FORMS = (ELEMENTWISE, LEADING, FOLDED, SHIFTED)


@dataclass(frozen=True)
class DirectRule:
    """Calls of an operator of which one call on the stacked rows computes all rows.

    Attributes:
      form: how the rows are given to the call, one of ``FORMS``.
      vary: the inputs that vary by row, by documented name; the others do not.
      ranks: the ranks of all inputs of one row, each a tuple in OpDef order.
      shift: the inputs and attributes that number axes, which are one more on the stacked rows.
      only: attributes that must have one of these values, such as the number of an axis or a switch.
    """

    form: str
    vary: frozenset[str]
    ranks: frozenset[tuple[int, ...]]
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    shift: tuple[str, ...] = ()

    def applies(self, vary: frozenset[str], ranks: tuple[int, ...], attributes: Mapping[str, Any]) -> bool:
        """Whether it is a rule for a call; ``attributes`` are all of the call's, defaults among them."""
        return (
            vary == self.vary
            and ranks in self.ranks
            and all(attributes.get(name) in values for name, values in self.only.items())
        )


@cache
def _document() -> dict[str, Any]:
    text = (resources.files("tfsql.operators") / "batching.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def direct_rules(operator: str) -> tuple[DirectRule, ...]:
    """The rules of an operator for calls on the stacked rows."""
    return tuple(_rule(written) for written in _document().get("direct", {}).get(operator, ()))


def operators_with_rules() -> tuple[str, ...]:
    """The operators that have rules for calls on the stacked rows, sorted."""
    return tuple(sorted(_document().get("direct", {})))


def parameters_of(operator: str) -> tuple[str, ...]:
    """The inputs of an operator that must be the same for all rows of one call, by documented name."""
    return tuple(_document().get("parameters", {}).get(operator, ()))


def operators_with_parameters() -> tuple[str, ...]:
    """The operators that have inputs that must be the same for all rows of one call, sorted."""
    return tuple(sorted(_document().get("parameters", {})))


@cache
def wrong_converters() -> Mapping[str, str]:
    """The operators whose converter in TensorFlow gives wrong results, and in what they are wrong."""
    return dict(_document().get("wrong_converter", {}))


def _rule(written: Mapping[str, Any]) -> DirectRule:
    return DirectRule(
        written["form"],
        frozenset(written["vary"]),
        frozenset(map(tuple, written["ranks"])),
        {name: tuple(values) for name, values in written.get("only", {}).items()},
        tuple(written.get("shift", ())),
    )
