"""The rules of operators/batching.toml are true: a call on the stacked rows gives what the rows give one by one."""

from __future__ import annotations

from typing import Any

import pytest
from batching_trials import RIGHT, Trial, choices, variants
from parameter_trials import parameters_of_cases

from tfsql.registry.batching import FORMS, direct_rules, operators_with_parameters, operators_with_rules, parameters_of
from tfsql.registry.cases import cases_of
from tfsql.registry.coverage import exposed_names

RULES = [
    pytest.param(name, rule, id=f"{name}-{rule.form}-{'-'.join(sorted(rule.vary))}")
    for name in operators_with_rules()
    for rule in direct_rules(name)
]


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_a_rule_is_right_at_the_ranks_that_it_names(name: str, rule: Any) -> None:
    """One trial for each tuple of ranks, at several numbers of rows."""
    left = set(rule.ranks)
    for case in cases_of(name):
        for variant in variants(case, rule.vary) if rule.vary in set(choices(case)) else ():
            trial = Trial(variant, rule.vary)
            if trial.ranks in left and trial.truth is not None:
                assert trial.outcome(rule.form) == RIGHT, f"{name} at ranks {trial.ranks}"
                left.remove(trial.ranks)
    assert not left, "no valid call has these ranks"


@pytest.mark.parametrize("name", operators_with_parameters())
def test_parameters_are_what_rows_must_share(name: str) -> None:
    assert list(parameters_of(name)) == parameters_of_cases(name)


def test_rules_are_for_operators_that_a_query_may_call() -> None:
    assert set(operators_with_rules()) <= set(exposed_names())
    assert {rule.form for name in operators_with_rules() for rule in direct_rules(name)} <= set(FORMS)
