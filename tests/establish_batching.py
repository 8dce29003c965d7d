"""Writes ``operators/batching.toml``: for which calls one call of the operator on the stacked rows is right.

Run it from the root of the repository, after a new release of TensorFlow or after a change of ``operators/cases``:

    python tests/establish_batching.py            every exposed operator; some minutes
    python tests/establish_batching.py Lu FFT     only these; the others' rules stay as they are

Each operator's cases are tried with every choice of the inputs that vary, with other shapes, dtypes and attributes,
for 1, 2 and 7 rows, and compared with the calls row by row. A rule holds for the ranks at which every valid trial was
right.
Trials run in a process of their own, since some operators end the process on input that they should refuse; what was
being tried then is tried as its cases are written. Read the difference before you commit it: a rule may be right for
these values only, see ``EXCLUDED``.
"""

from __future__ import annotations

import faulthandler
import json
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent.parent / "operators" / "batching.toml"
HEAD = """\
# How the rows of a batch are computed, where TensorFlow's converter (tf.vectorized_map) does not do it. Written by
# tests/establish_batching.py, which documents it; tests/operators/test_batching_rules.py tries every rule again.
"""
VARIED, PLAINLY = "--varied", "--plainly"  # how a process tries the operators that it is given
WORKERS = 2
SECONDS_PER_OPERATOR = 120
FORMS = ("leading", "folded", "shifted")  # element by element is said of what is right as leading and keeps every shape
# Where the trials are not the whole truth, found by reading.
EXCLUDED = {
    "BroadcastArgs": "two shapes of unequal length are aligned at their ends",
    "FusedBatchNormGradV3": "only an input that the kernel ignores may vary",
    "QuantizeAndDequantizeV4Grad": "the gradients of the range are sums over all rows",
    "RequantizationRange": "the range is that of all rows",
    "RequantizationRangePerChannel": "the range is that of all rows",
    "ToBool": "a stack is true if it is not empty",
    "Cast": "a number beyond the range of its new dtype becomes what the processor's instruction gives",
}
# TensorFlow's converter is right for these too, but puts reshapes between them, which keep it from fusing them.
DIRECT_THOUGH_CONVERTIBLE = frozenset(
    {"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool", "BiasAdd", "Relu", "Relu6", "Elu", "LeakyRelu", "Selu"}
)


def main(operators: list[str]) -> None:
    from tfsql.registry.coverage import exposed_names

    names = operators or list(exposed_names())
    document = tomllib.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    rules, wrong = dict(document.get("direct", {})), dict(document.get("wrong_converter", {}))
    parameters = dict(document.get("parameters", {}))
    with ThreadPoolExecutor(WORKERS) as pool:
        found = [item for part in pool.map(_in_processes, [names[i::WORKERS] for i in range(WORKERS)]) for item in part]
    for name, made in found:
        rules.pop(name, None)
        parameters.pop(name, None)
        if made.get("parameters"):
            parameters[name] = made["parameters"]
        if made.get("rules"):
            rules[name] = made["rules"]
        if made.get("wrong"):
            wrong.setdefault(name, f"differs from the rows where {made['wrong']} varies")
        elif name in wrong:
            print(f"{name}: no trial shows that its converter is wrong; the entry stays", file=sys.stderr)
        if "died" in made:
            print(f"{name}: the process ended with {made['died']}", file=sys.stderr)
    FILE.write_text(text_of(rules, wrong, parameters), encoding="utf-8")
    print(f"{len(rules)} operators with direct rules, {len(wrong)} wrong converters")


def text_of(rules: dict[str, Any], wrong: dict[str, str], parameters: dict[str, list[str]]) -> str:
    """The file of these rules."""
    lines = [HEAD, "[wrong_converter]", *(f"{name} = {json.dumps(wrong[name])}" for name in sorted(wrong))]
    lines += ["", "[direct]"]
    for name in sorted(rules):
        lines += [f"{name} = [", *(f"  {_entry(rule)}," for rule in rules[name]), "]"]
    lines += ["", "# Inputs that must be the same for all rows of one call: rows are grouped by their values."]
    lines += ["[parameters]", *(f"{name} = {json.dumps(parameters[name])}" for name in sorted(parameters))]
    return "\n".join(lines) + "\n"


def _entry(rule: dict[str, Any]) -> str:
    parts = [f"{key} = {_value(value)}" for key, value in rule.items() if value]
    return f"{{ {', '.join(parts)} }}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {json.dumps(item)}' for key, item in sorted(value.items()))} }}"
    return json.dumps(value)


# -- processes ---------------------------------------------------------------------------------------------------------


def _in_processes(names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """What is established for each operator; a process that ends is followed by another."""
    found: list[tuple[str, dict[str, Any]]] = []
    left = list(names)
    while left:
        command = [sys.executable, __file__, VARIED, *left]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    made = json.loads(line)
                    found.append((left.pop(0), made))
                    print(found[-1][0], made.get("rules", ""), made.get("wrong", ""), file=sys.stderr, flush=True)
        if left:
            found.append((left[0], _try_plainly(left.pop(0)) | {"died": process.returncode}))
    return found


def _try_plainly(name: str) -> dict[str, Any]:
    """What the operator's cases tell as they are written."""
    command = [sys.executable, __file__, PLAINLY, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}


def _try_all(names: list[str], *, is_plain: bool) -> None:
    for name in names:
        faulthandler.dump_traceback_later(SECONDS_PER_OPERATOR, exit=True)
        made = established(name, is_plain=is_plain)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(made), flush=True)


# -- what the trials say -----------------------------------------------------------------------------------------------


@dataclass
class _Evidence:
    """The trials of one choice of varying inputs at one tuple of ranks.

    Attributes:
      right: the forms that were right in every trial so far.
      is_elementwise: whether all shapes were equal in every trial so far.
      is_converted: whether TensorFlow's converter was right in every trial so far.
      values: for attributes that have few values, name and value, the forms that are right with it.
    """

    right: set[str]
    is_elementwise: bool = True
    is_converted: bool = True
    values: dict[tuple[str, Any], set[str]] = field(default_factory=dict)


def established(operator: str, *, is_plain: bool = False) -> dict[str, Any]:
    """The rules of an operator, and the inputs that make its converter wrong if something does.

    Args:
      is_plain: whether to leave out other shapes, dtypes and attributes than the cases have.
    """
    from tfsql.registry import operator_spec
    from tfsql.registry.batching import wrong_converters
    from tfsql.registry.cases import cases_of

    spec = operator_spec(operator)
    assert spec is not None
    from batching_trials import AXIS
    from parameter_trials import parameters_of_cases

    cases = [case for case in cases_of(operator) if case.is_comparable]
    if spec.is_stateful or not cases or operator in EXCLUDED:
        return {"parameters": [] if spec.is_stateful else parameters_of_cases(operator)}
    evidence: dict[tuple[Any, ...], dict[tuple[int, ...], _Evidence]] = defaultdict(dict)
    wrong: set[str] = set()
    for case in cases:
        _gather(case, evidence, wrong, is_plain=is_plain)
    pinned = {
        attribute.name: sorted({case.attributes.get(attribute.name, attribute.default) for case in cases})
        for attribute in spec.attributes
        if attribute.kind in ("int", "string") and AXIS.fullmatch(attribute.name)
    }
    is_convertible = not wrong and operator not in {*wrong_converters(), *DIRECT_THOUGH_CONVERTIBLE}
    rules = [rule for vary, known in evidence.items() for rule in _rules_of(spec, vary, known, pinned, is_convertible)]
    parameters = parameters_of_cases(operator)
    return {"rules": rules, "wrong": ", ".join(sorted(wrong)), "parameters": parameters}


def _gather(case: Any, evidence: Any, wrong: set[str], *, is_plain: bool) -> None:
    from batching_trials import choices, other_attributes, other_dtypes, variants

    for vary in choices(case):
        known = evidence[tuple(name for name in case.inputs if name in vary)]
        for variant in [case] if is_plain else [*variants(case, vary, has_singles=True), *other_dtypes(case)]:
            _weigh(variant, vary, known, wrong)
        for name, value, variant in [] if is_plain else other_attributes(case):
            _weigh(variant, vary, known, wrong, (name, value))


def _weigh(case: Any, vary: frozenset[str], known: Any, wrong: set[str], changed: Any = None) -> None:
    """Adds one trial to what is known; one that is no valid call says nothing."""
    from batching_trials import CONVERTED, RIGHT, WRONG, Trial, few_values
    from tensorflow.python.ops.parallel_for import pfor

    trial = Trial(case, vary)
    if trial.ranks is None or trial.truth is None:
        return
    converted = trial.outcome(CONVERTED) if case.operator in pfor._pfor_converter_registry else ""
    if converted == WRONG:
        wrong.update(vary)
    found = known.get(trial.ranks) or _Evidence(set(FORMS))
    right = {form for form in sorted(found.right) if trial.outcome(form) == RIGHT}
    if changed is not None:
        found.values[changed] = found.values.get(changed, set(FORMS)) & right
        return
    known[trial.ranks] = found
    found.right = right
    found.is_converted &= converted == RIGHT
    found.is_elementwise &= trial.is_elementwise()
    for attribute in few_values(trial.spec):
        value = case.attributes.get(attribute.name, attribute.default)
        found.values.setdefault((attribute.name, value), set(FORMS))


def _rules_of(
    spec: Any, vary: tuple[str, ...], known: dict[tuple[int, ...], _Evidence], pinned: Any, is_convertible: bool
) -> Iterator[dict[str, Any]]:
    """The rules for one choice of varying inputs, where TensorFlow's converter is not right already."""
    needed = {ranks: item for ranks, item in known.items() if not (item.is_converted and is_convertible)}
    from batching_trials import axis_names

    axes = axis_names(spec)
    has_axes = any(argument.name in axes for argument in spec.inputs)
    leading = {ranks: item for ranks, item in needed.items() if "leading" in item.right and not has_axes}
    folded = {ranks: item for ranks, item in needed.items() if "folded" in item.right and ranks not in leading}
    folded = {} if has_axes else folded
    left = {ranks: item for ranks, item in needed.items() if axes and not {*axes} & {*vary}}
    shifted = {ranks: item for ranks, item in left.items() if "shifted" in item.right and ranks not in folded}
    is_elementwise = all(item.is_elementwise for item in leading.values()) and any(0 in ranks for ranks in leading)
    for form, chosen in (("leading", leading), ("folded", folded)):
        only = pinned | _proven(spec, form, list(known.values()))
        if chosen and all(only.values()):
            name = "elementwise" if is_elementwise and form == "leading" else form
            yield {"form": name, "vary": list(vary), "ranks": sorted(chosen), "only": only}
    if shifted and not leading:
        only = _proven(spec, "shifted", list(known.values()))
        if all(only.values()):
            yield {"form": "shifted", "vary": list(vary), "ranks": sorted(shifted), "only": only, "shift": list(axes)}


def _proven(spec: Any, form: str, evidence: list[_Evidence]) -> dict[str, list[Any]]:
    """The values with which a form was right, of the attributes for which that is not every value."""
    from batching_trials import few_values

    made = {}
    for attribute, values in few_values(spec).items():
        forms = {value: [item.values.get((attribute.name, value)) for item in evidence] for value in values}
        tried = {value: [found for found in forms[value] if found is not None] for value in values}
        proven = [value for value in values if tried[value] and all(form in found for found in tried[value])]
        if len(proven) < len(values):
            made[attribute.name] = proven
    return made


if __name__ == "__main__":
    if sys.argv[1:2] in ([VARIED], [PLAINLY]):
        _try_all(sys.argv[2:], is_plain=sys.argv[1] == PLAINLY)
    else:
        main(sys.argv[1:])
