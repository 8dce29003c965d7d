"""From one row to many: a program as a TensorFlow function over a batch of rows of one shape.

Each operator is called once for the whole batch: as a cheaper equal, as itself on the stacked rows, as a composition of
other calls, or by TensorFlow's own converter; what none of them can do runs in a loop inside the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from tfsql.infer import assertion, is_checked, open_conditions, output_conditions
from tfsql.kernel.composed import COMPOSITIONS, Batch, Ragged, RefusedError, ragged, repeated
from tfsql.kernel.conversion import vectorised
from tfsql.kernel.direct import Folds, call_on_stack, direct_rule_of, varying_inputs
from tfsql.kernel.graph import Environment, Program, Shape, Statics, is_quantised, storable
from tfsql.kernel.lifted import ABSORBED, COMPOSED, CONSTANT, CONVERTED, LOWERED, MAPPED, Lifted
from tfsql.kernel.lower import lowering_of
from tfsql.kernel.lower.site import Lowering, Site
from tfsql.kernel.lower.strip import Strip, origin, rooms
from tfsql.registry import operator_spec
from tfsql.registry.batching import wrong_converters
from tfsql.registry.checks import checks_of
from tfsql.tree import Call, Node, Output
from tfsql.types import WIDENED


@cache
def convertible_operators() -> frozenset[str]:
    """The operators that TensorFlow converts rightly. Private registry: TensorFlow 2.21 has no public list."""
    return frozenset(pfor._pfor_converter_registry) - wrong_converters().keys()


@contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Without the graph that TensorFlow logs when its converter refuses a call: the call is mapped then."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(level)


class NeedsLoopError(Exception):
    """Some shape depends on the values of each row, or the rows must keep their order, so they cannot be stacked."""


def batched(program: Program, leaf_shapes: list[Shape], *, is_lowered: bool = True, may_compile: bool = True) -> Lifted:
    """``program`` over rows of one shape.

    The function takes the number of rows, each leaf as ``[rows, *shape]``, or as a strip and where its rows begin, and
    then the arguments. It returns for each result a tensor ``[rows, *shape]``, or ``[*shape]`` where the result does
    not depend on the row, or the elements and shapes that ``looped`` returns where its shape depends on the row.

    Args:
      may_compile: whether XLA may compile calls of it.

    Raises:
      NeedsLoopError: some shape is known only from the values and no composition makes it, or another call takes it;
        random operators have a seed; or the program has lists of tensors.
    """
    statics = Statics(program, leaf_shapes)
    program = replace(program, settled=statics.settled())
    shape_of = statics.shape_of
    if not all(_is_stackable(call, shape_of) for call in program.varying):
        raise NeedsLoopError
    rules: dict[Call, str] = {}

    @cache
    def lowered(call: Call) -> tuple[Lowering, Site] | None:
        if not is_lowered:
            return None
        return lowering_of(call, shape_of, program.is_varying, program.is_used_once, may_compile=may_compile)

    laid = rooms([call for call in program.calls if call in program.varying], list(program.results), lowered)

    def function(rows: tf.Tensor, *tensors: tf.Tensor) -> list[tf.Tensor | tuple[tf.Tensor, tf.Tensor]]:
        given = iter(tensors)
        known: dict[Node, tf.Tensor] = {}
        strips: dict[Node, Strip] = {}
        for leaf, shape in zip(program.leaves, leaf_shapes, strict=True):
            known[leaf] = next(given)
            if leaf in laid:
                strips[leaf] = Strip(known[leaf], next(given), rows, laid[leaf])
                known[leaf] = tf.reshape(strips[leaf].elements(), [-1, *shape])
        known |= dict(zip(program.arguments, given, strict=True))
        known |= {leaf: program.constant(leaf) for leaf in program.fixed}
        environment = Environment(known, program.max_cell_bytes)
        lifting = _Lifting(program, environment, rows, shape_of, rules, lowered, strips)
        return [
            (storable(made.elements), made.shapes) if isinstance(made, Ragged) else storable(made)
            for made in lifting.run()
        ]

    number = tf.TensorSpec([], tf.int32)
    signature = [number]
    for leaf, shape in zip(program.leaves, leaf_shapes, strict=True):
        is_strip = leaf in laid
        signature.append(tf.TensorSpec([None] if is_strip else [None, *shape], leaf.type.dtype))
        signature += [number] if is_strip else []
    signature += [tf.TensorSpec(constant.type.shape, constant.type.dtype) for constant in program.arguments]
    concrete = tf.function(function, autograph=False).get_concrete_function(*signature)
    places = {index: laid[leaf] for index, leaf in enumerate(program.leaves) if leaf in laid}
    return Lifted(concrete, rules, tuple(map(program.is_varying, program.results)), places)


def _is_stackable(call: Call, shape_of: Callable[[Node], Shape | None]) -> bool:
    """Whether the rows of a call that varies can be computed together, for all that is known before its inputs are."""
    if call.is_stateful and not _draws_freely(call):
        return False
    if any(_is_variant(node) for node in call.results()):
        return False
    if not all(_is_fixed(shape_of(node)) for node in call.nodes()):
        return False
    return call.op in COMPOSITIONS or all(_is_fixed(shape_of(node)) for node in call.results())


def _draws_freely(call: Call) -> bool:
    """Whether a random call may draw all rows at once: with a seed they are drawn one after the other."""
    attributes = dict(call.attributes)
    is_seeded = any(attributes.get(name) for name in ("seed", "seed2"))
    return not is_seeded and (call.op in convertible_operators() or call.op in COMPOSITIONS)


def _is_variant(node: Node) -> bool:
    """Whether a node is a list of tensors, as loops use them: TensorFlow 2.21's converter loses their shapes."""
    return node.type.dtype == "variant"


def _is_fixed(shape: Shape | None) -> bool:
    return shape is not None and None not in shape


class _Lifting:
    """Lifts the calls of a program one segment at a time; a segment is a run of calls with one rule."""

    def __init__(
        self,
        program: Program,
        environment: Environment,
        rows: tf.Tensor,
        shape_of: Callable[[Node], Shape | None],
        rules: dict[Call, str],
        lowered: Callable[[Call], tuple[Lowering, Site] | None],
        strips: Mapping[Node, Strip],
    ):
        self._program = program
        self._lowered = lowered
        self._strips = strips
        self._environment = environment
        self._rows = rows
        self._ragged: dict[Node, Ragged] = {}
        self._shape_of = shape_of
        self._rules = rules
        self._folds = Folds()
        self._needed = program.needed(self._taken)

    def run(self) -> list[tf.Tensor | Ragged]:
        """The results: ragged where their shapes depend on the row."""
        segment: list[Call] = []
        for call in self._program.calls:
            if call not in self._program.varying:
                self._rules[call] = CONSTANT
                self._settle(call)
                continue
            if call not in self._needed:
                self._rules[call] = ABSORBED
                continue
            if is_checked(call.op) and self._has_inputs(call):
                self._flush(segment)
                segment = []
                self._require(call)
            if self._lower(call, segment) or self._direct(call, segment) or self._compose(call, segment):
                segment = []
                self._ensure(call)
                continue
            if not all(_is_fixed(self._shape_of(node)) for node in call.results()):
                raise NeedsLoopError
            rule = CONVERTED if call.op in convertible_operators() else MAPPED
            if segment and self._rules[segment[-1]] != rule:
                self._flush(segment)
                segment = []
            self._rules[call] = rule
            segment.append(call)
            if is_checked(call.op):
                self._flush(segment)
                segment = []
                self._ensure(call)
        self._flush(segment)
        return [self._ragged.get(node) or self._environment.tensor(node) for node in self._program.results]

    def _settle(self, call: Call) -> None:
        """Puts the outputs of a call that is the same for all rows."""
        values = self._program.settled.get(call)
        if values is None:
            self._environment.evaluate(call)
            return
        for node, value in zip(call.results(), values, strict=True):
            self._environment.put(node, tf.constant(value, node.type.dtype))

    def _require(self, call: Call) -> None:
        """Puts the conditions on the inputs of a call, for all rows, before it."""
        limit = self._program.max_cell_bytes
        self._assert(call, [], lambda spec, inputs, made: open_conditions(spec, inputs, dict(call.attributes), limit))

    def _ensure(self, call: Call) -> None:
        """Puts the conditions on the outputs of a call, for all rows, behind it."""
        if checks_of(call.op).ensures:
            self._assert(
                call,
                list(call.results()),
                lambda spec, inputs, made: output_conditions(spec, inputs, dict(call.attributes), made),
            )

    def _assert(
        self, call: Call, outputs: list[Output], conditions: Callable[..., list[tuple[tf.Tensor, str]]]
    ) -> None:
        """Makes the inputs of a call, or its outputs, wait for conditions on each row."""
        spec = operator_spec(call.op)
        assert spec is not None
        nodes = list(dict.fromkeys([node for node in call.nodes() if self._program.is_varying(node)] + list(outputs)))
        reasons: list[str] = []

        def body(row: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            inner = self._environment.child(dict(zip(nodes, row, strict=True)), is_guarded=False)
            found = conditions(spec, inner.inputs_of(call), [inner.tensor(node) for node in outputs])
            reasons[:] = [reason for _, reason in found]
            return [holds for holds, _ in found] or [tf.constant(True)]

        holds = self._vectorised(body, [self._stacked(node) for node in nodes], is_strict=False)
        if not reasons:  # all that must hold is known already; an assertion would part calls that fuse
            return
        with tf.control_dependencies([assertion(spec, *item) for item in zip(holds, reasons, strict=False)]):
            for node in outputs or nodes:
                self._environment.put(node, tf.identity(self._stacked(node)))
            self._rows = tf.identity(self._rows)  # what takes nothing that varies waits too

    def _vectorised(
        self, body: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]], stacked: list[tf.Tensor], *, is_strict: bool
    ) -> list[tf.Tensor]:
        """What ``body`` makes of each row, by TensorFlow's converter.

        Args:
          is_strict: whether to fail where it has no converter, rather than to loop.
        """
        with _quiet_tensorflow():
            return vectorised(body, stacked, self._rows, is_strict=is_strict)

    def _lower(self, call: Call, segment: list[Call]) -> bool:
        """Computes a call by its lowering, if it has one, behind the calls of ``segment``; whether it has."""
        found = self._lowered(call)
        if found is None:
            return False
        lowering, site = found
        self._flush(segment)
        taken = lowering.takes(site)
        inputs = [self._environment.tensor(node) for node in taken]
        strip = self._strips.get(origin(taken[0]))
        made = lowering.make(site, [strip or inputs[0], *inputs[1:]])
        self._environment.put(next(call.results()), made)
        self._rules[call] = f"{LOWERED}{lowering.name}"
        return True

    def _has_inputs(self, call: Call) -> bool:
        """Whether all that a call takes is computed; what is not was looked at when its lowering was chosen."""
        return all(not isinstance(node, Output) or node.call in self._needed for node in call.nodes())

    def _taken(self, call: Call) -> Sequence[Node]:
        """The nodes that a call takes, or its lowering."""
        found = self._lowered(call)
        return tuple(call.nodes()) if found is None else found[0].takes(found[1])

    def _direct(self, call: Call, segment: list[Call]) -> bool:
        """Makes a call on the stacked rows, if a rule allows it, behind the calls of ``segment``; whether it has."""
        rule = direct_rule_of(call, self._shape_of, self._program.is_varying)
        if rule is None:
            return False
        self._flush(list(segment))
        segment.clear()
        varying = varying_inputs(call, self._program.is_varying)
        assert varying is not None
        inputs = [
            [self._stacked(node) for node in item] if isinstance(item, tuple) else self._stacked(item)
            for item in call.inputs
        ]
        outputs = list(call.results())
        shapes = [self._shape_of(node) or () for node in outputs]
        try:
            made = call_on_stack(
                rule.form, call.op, inputs, varying, dict(call.attributes), shapes, rule.shift, self._folds
            )
        except ValueError:  # refused at these lengths: the rule knows no more than ranks
            return False
        for node, tensor in zip(outputs, made, strict=True):
            self._environment.put(node, tensor)
        self._rules[call] = rule.form
        return True

    def _compose(self, call: Call, segment: list[Call]) -> bool:
        """Computes a call by its composition, if it has one, behind the calls of ``segment``; whether it has."""
        composition = COMPOSITIONS.get(call.op)
        if composition is None:
            return False
        self._flush(list(segment))
        segment.clear()
        outputs = list(call.results())
        try:
            made = tf.nest.flatten(composition(self._batch(call)))
            for node, item in zip(outputs, made, strict=True):
                self._put(node, item)
        except Exception:  # it does not hold, or TensorFlow refuses one of its calls: any error class
            return False
        self._rules[call] = COMPOSED
        return True

    def _batch(self, call: Call) -> Batch:
        spec = operator_spec(call.op)
        assert spec is not None
        inputs, varying = {}, set()
        for argument, item in zip(spec.inputs, call.inputs, strict=True):
            nodes = item if isinstance(item, tuple) else (item,)
            if any(map(self._program.is_varying, nodes)):
                varying.add(argument.name)
                made = [self._repeated(node) for node in nodes]
            else:
                made = [self._environment.tensor(node) for node in nodes]
            inputs[argument.name] = made if isinstance(item, tuple) else made[0]
        shapes = [self._shape_of(node) for node in call.results()]
        return Batch(call.op, self._rows, inputs, frozenset(varying), dict(call.attributes), shapes)

    def _repeated(self, node: Node) -> tf.Tensor:
        """A tensor of all rows, once for each of them where it does not vary."""
        tensor = self._stacked(node)
        return tensor if self._program.is_varying(node) else repeated(tensor, self._rows)

    def _put(self, node: Node, made: tf.Tensor | Ragged) -> None:
        """Keeps an output: rows that have one shape as stacked rows, others as ragged ones."""
        shape = self._shape_of(node)
        if not _is_fixed(shape):
            self._ragged[node] = made if isinstance(made, Ragged) else ragged(made)
            return
        assert shape is not None
        if isinstance(made, Ragged):
            made = tf.reshape(made.elements, [self._rows, *shape])
        elif made.shape.rank != len(shape) + 1:
            raise RefusedError(f"rank {made.shape.rank} for rows of rank {len(shape)}")
        made.set_shape([None, *shape])
        self._environment.put(node, made)

    def _stacked(self, node: Node) -> tf.Tensor:
        """A tensor of all rows with the shape of a row known; as it is, where it does not vary."""
        tensor = self._environment.tensor(node)
        shape = self._shape_of(node)
        if self._program.is_varying(node) and shape is not None:
            tensor.set_shape([None, *shape])
        return tensor

    def _flush(self, segment: list[Call]) -> None:
        if not segment:
            return
        if self._rules[segment[0]] == CONVERTED:
            try:
                self._convert(segment)
                return
            except Exception:  # the converter refuses this call: any error class, so each call is tried alone
                if len(segment) > 1:
                    for call in segment:
                        self._flush([call])
                    return
        for call in segment:
            self._rules[call] = MAPPED
        self._map(segment)

    def _convert(self, segment: list[Call]) -> None:
        inputs, outputs = self._border(segment)
        stacked = [self._environment.tensor(node) for node in inputs]
        made = self._vectorised(self._body(segment, inputs, outputs), stacked, is_strict=True)
        for node, tensor in zip(outputs, made, strict=True):
            shape = self._shape_of(node)
            if shape is None or tensor.shape.rank != len(shape) + 1:
                raise ValueError("converted to another rank")
            self._environment.put(node, tensor)

    def _map(self, segment: list[Call]) -> None:
        inputs, outputs = self._border(segment)
        body = self._body(segment, inputs, outputs)

        def carried_body(row: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            plain = [_uncarried(tensor, node) for tensor, node in zip(row, inputs, strict=True)]
            return [_carried(tensor) for tensor in body(plain)]

        stacked = [_carried(self._environment.tensor(node)) for node in inputs]
        signature = [tf.TensorSpec(self._shape_of(node), _carried_dtype(node)) for node in outputs]
        made = tf.map_fn(carried_body, stacked, fn_output_signature=signature)
        for node, tensor in zip(outputs, made, strict=True):
            self._environment.put(node, _uncarried(tensor, node))

    def _body(
        self, segment: list[Call], inputs: list[Node], outputs: list[Node]
    ) -> Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]:
        """The segment on one row; everything that does not vary is taken from outside."""

        def body(row: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            inner = self._environment.child(dict(zip(inputs, row, strict=True)), is_guarded=False)
            for call in segment:
                inner.evaluate(call)
            return [inner.tensor(node) for node in outputs]

        return body

    def _border(self, segment: list[Call]) -> tuple[list[Node], list[Node]]:
        """The varying nodes that the segment takes, and those of its outputs that are used outside."""
        inside = set(segment)
        taken = [
            node
            for call in segment
            for node in call.nodes()
            if self._program.is_varying(node) and not (isinstance(node, Output) and node.call in inside)
        ]
        used = [node for call in self._needed - inside for node in self._taken(call)]
        given = [node for node in (*used, *self._program.results) if isinstance(node, Output) and node.call in inside]
        return list(dict.fromkeys(taken)), list(dict.fromkeys(given))


def _carried_dtype(node: Node) -> str:
    return WIDENED[node.type.dtype] if is_quantised(node) else node.type.dtype


def _carried(tensor: tf.Tensor) -> tf.Tensor:
    """A tensor as a loop can carry it: TensorFlow 2.21 has no loop kernels for quantised dtypes."""
    return storable(tensor) if tensor.dtype.is_quantized else tensor


def _uncarried(tensor: tf.Tensor, node: Node) -> tf.Tensor:
    return tf.bitcast(tensor, node.type.dtype) if is_quantised(node) else tensor
