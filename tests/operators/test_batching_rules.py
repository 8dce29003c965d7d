"""The rules of operators/batching.toml are true: a call on the stacked rows gives what the rows give one by one."""

from __future__ import annotations

from typing import Any

import pytest
from batching_trials import RIGHT, Trial, choices, variants
from parameter_trials import parameters_of_cases

import tfsql
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


JOINED = """
SELECT tf_ReduceJoin(x, {axis}) AS y
FROM (SELECT [['a', i::VARCHAR], ['b', 'c']]::VARCHAR[2][2] AS x FROM range(3) AS t(i))
"""


@pytest.mark.parametrize(
    ("axis", "wanted"), [(0, [("ab", f"{i}c") for i in range(3)]), (-1, [(f"a{i}", "bc") for i in range(3)])]
)
def test_axes_are_counted_one_higher_on_the_stack(axis: int, wanted: list[Any]) -> None:
    relation = tfsql.sql(JOINED.format(axis=axis))
    assert relation is not None
    assert "shifted: one call for the batch" in relation.explain()
    assert [row[0] for row in relation.fetchall()] == wanted


@pytest.mark.parametrize("axis", [2, -3])
def test_the_axis_of_the_rows_cannot_be_named(axis: int) -> None:
    with pytest.raises(tfsql.TfsqlError, match="tf_ReduceJoin"):
        tfsql.sql(JOINED.format(axis=axis)).fetchall()


def test_a_text_of_each_row_meets_positions_of_more() -> None:
    """The kernel repeats it along two axes, which a stack of rows would exceed."""
    source = "SELECT [['abc' || i]]::VARCHAR[1][1] AS x, [[0, 1]]::INTEGER[2][1] AS p FROM range(2) AS t(i)"
    relation = tfsql.sql(f"SELECT tf_Substr(x, p, p) AS y FROM ({source})")
    assert relation is not None
    assert relation.fetchall() == [((("", "b"),),)] * 2
