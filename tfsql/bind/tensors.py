"""From SQL expressions to tensor expressions: which parts are tensor calls, and what each argument is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlglot import exp

from tfsql.bind.arguments import ArgumentError, Arguments, match_arguments
from tfsql.bind.forms import OPERATOR_PREFIX, as_struct, function_name, has_star, is_operator_name, is_row, row_elements
from tfsql.bind.functions import COPY_OF
from tfsql.bind.helpers import HELPERS
from tfsql.bind.hints import tensor_hint
from tfsql.bind.literals import (
    NotConstantError,
    field_name,
    from_array,
    is_foldable,
    plain_numbers,
    python_value,
    weak_constant,
)
from tfsql.bind.parameters import as_array
from tfsql.bind.scope import Scope
from tfsql.bind.values import field_of, result_of
from tfsql.errors import BindError, TfsqlError, TypeMismatchError, UnsupportedError, did_you_mean
from tfsql.source import PLACEHOLDER_PREFIX
from tfsql.tree import Call, Constant, Leaf, Node, Output, Record, Sequence, Value, calls_in_order, value_nodes
from tfsql.types import (
    Array,
    Scalar,
    SqlType,
    Struct,
    TensorType,
    cast_for_tensor,
    castable,
    display,
    is_complex,
    quote,
    tensor_type,
)

if TYPE_CHECKING:
    from tfsql.bind.statement import StatementBinder
    from tfsql.custom_operators import CustomOperator, Parameter
    from tfsql.infer import Inference
    from tfsql.registry import OperatorSpec


@dataclass(frozen=True)
class Arithmetic:
    """How a SQL operator becomes a TensorFlow operator.

    Attributes:
      op: the TensorFlow operator.
      integers_as: the dtype to which integers are cast first, as SQL's ``/`` does.
      float_op: the operator for floats, where it is another one.
    """

    op: str
    integers_as: str | None = None
    float_op: str | None = None


ARITHMETIC: dict[type[exp.Expr], Arithmetic] = {
    exp.Add: Arithmetic("AddV2"),
    exp.Sub: Arithmetic("Sub"),
    exp.Mul: Arithmetic("Mul"),
    exp.Div: Arithmetic("RealDiv", integers_as="float64"),
    exp.IntDiv: Arithmetic("TruncateDiv", float_op="RealDiv"),
    exp.Mod: Arithmetic("TruncateMod"),
    exp.Pow: Arithmetic("Pow", integers_as="float64"),
}
COMPARISON: dict[type[exp.Expr], Arithmetic] = {
    exp.LT: Arithmetic("Less"),
    exp.LTE: Arithmetic("LessEqual"),
    exp.GT: Arithmetic("Greater"),
    exp.GTE: Arithmetic("GreaterEqual"),
    exp.EQ: Arithmetic("Equal"),
    exp.NEQ: Arithmetic("NotEqual"),
}
NEGATION = Arithmetic("Neg")
_SCALAR_PARTS = (*ARITHMETIC, *COMPARISON, exp.Paren, exp.Neg, exp.Literal, exp.Column)


class TensorBinder:
    """Builds the tensor expressions of one statement.

    Attributes:
      parameter_constants: how many constants were made of each parameter and lifted literal.
    """

    def __init__(self, statement: StatementBinder):
        self._statement = statement
        self._inference: Inference | None = None
        self._values: dict[int, Value | None] = {}
        self._copied: dict[tuple[int, int], Value | None] = {}
        self._leaves: dict[tuple[int, str], Leaf] = {}
        self.parameter_constants: Counter[str] = Counter()

    @property
    def inference(self) -> Inference:
        """TensorFlow's shape functions; TensorFlow is imported when the first one is needed."""
        if self._inference is None:
            from tfsql.infer import Inference

            environment = self._statement.environment
            environment.kernels.configure_tensorflow()
            evaluate = environment.kernels.evaluate
            # Without rows there is little to share, and each argument stays one of its own for the plan.
            self._inference = Inference(
                environment.settings["tfsql_max_cell_bytes"],
                evaluate,
                merges_arguments=self._statement.reads_rows,
            )
        return self._inference

    # -- is it a tensor expression? ----------------------------------------------------------------------------------

    def value(self, node: exp.Expr, scope: Scope) -> Value | None:
        """The tensor expression that ``node`` is, or None if it is one for the relational engine."""
        if id(node) not in self._values:
            with self._statement.located(node):
                self._values[id(node)] = self._shared_value(node, scope)
            self._statement.keep(node)
        return self._values[id(node)]

    def _shared_value(self, node: exp.Expr, scope: Scope) -> Value | None:
        """The value of a node; one for all copies that functions in SQL made of an argument, unless it is drawn."""
        number = node.meta.get(COPY_OF)
        if number is None:
            return self._value(node, scope)
        key = (number, id(scope))
        if key not in self._copied:
            value = self._value(node, scope)
            if value is not None and any(call.is_stateful for call in calls_in_order(value)):
                return value
            self._copied[key] = value
        return self._copied[key]

    def _value(self, node: exp.Expr, scope: Scope) -> Value | None:
        if isinstance(node, exp.Paren):
            return self.value(node.this, scope)
        inlined = self._statement.inlined(node)
        if inlined is not None:  # the user's own function counts before one of the same name here
            return self.value(inlined, scope)
        custom = self._statement.environment.operators.get(function_name(node))
        if custom is not None:
            return self._custom(node, custom, scope)
        if self._statement.hosts.is_call(node):
            return self._host_result(node, scope)
        helper = HELPERS.get(function_name(node))
        if helper is not None:
            return helper(self, node, scope)
        if isinstance(node, exp.Anonymous) and is_operator_name(node.name):
            return self._operator(node, scope)
        if type(node) in ARITHMETIC or type(node) in COMPARISON:
            return self._binary(node, scope)
        if isinstance(node, exp.Neg):
            return self._negation(node, scope)
        if isinstance(node, exp.Case) and node.this is not None:
            return self._case(node, scope)
        if isinstance(node, exp.Dot):
            return self._field(node, node.expression.name, scope)
        if isinstance(node, exp.Bracket) and len(node.expressions) == 1:
            return self._subscript(node, scope)
        return None

    def _host_result(self, node: exp.Expr, scope: Scope) -> Leaf | None:
        """An array that a function of this process returns; its other results are the engine's."""
        sql = self._statement.hosts.sql(node, scope)
        assert sql is not None
        kind = scope.type_of(sql)
        is_tensor = isinstance(kind, Array) and tensor_type(castable(kind)) is not None
        return self.leaf_of(sql, scope) if is_tensor else None

    def _operator(self, node: exp.Anonymous, scope: Scope) -> Value:
        spec = self._statement.operator(node.name)
        arguments = self._matched(spec, node)
        inputs = [
            self._list_input(arguments.inputs[i], scope)
            if spec.inputs[i].is_list
            else self.node(arguments.inputs[i], scope)
            for i in range(len(spec.inputs))
        ]
        attributes = {name: self._attribute(spec, name, value) for name, value in arguments.attributes.items()}
        try:
            return result_of(self.inference.call(spec, inputs, attributes))
        except TfsqlError as error:
            with self._statement.located(self._at_fault(error, spec, arguments, node)):
                raise

    def _custom(self, node: exp.Expr, operator: CustomOperator, scope: Scope) -> Value:
        """A call of an operator that is made of others."""
        arguments = self._matched(operator, node)
        inputs = {
            parameter.name: self.node(arguments.inputs[i], scope) if i in arguments.inputs else _default(parameter)
            for i, parameter in enumerate(operator.inputs)
        }
        attributes = {name: self._attribute(operator, name, value) for name, value in arguments.attributes.items()}
        return operator.expand(self.inference, inputs, attributes)

    def _matched(self, spec: OperatorSpec | CustomOperator, node: exp.Expr) -> Arguments:
        try:
            return match_arguments(spec, [as_struct(argument, spec) for argument in node.expressions])
        except ArgumentError as error:
            with self._statement.located(error.node or node):
                raise

    def _at_fault(self, error: TfsqlError, spec: OperatorSpec, arguments: Any, node: exp.Expr) -> exp.Expr:
        """The argument that an error is about, else the operator's name."""
        name = error.argument
        if name in arguments.attributes:
            return arguments.attributes[name]  # type: ignore[no-any-return]
        index = spec.input_index(name) if name else None
        return node if index is None else arguments.inputs[index]

    def _binary(self, node: exp.Expr, scope: Scope) -> Value | None:
        if self._is_scalar_arithmetic(node, scope):
            self._values |= {id(part): None for part in node.walk()}
            self._statement.keep(node)
            return None
        rule = ARITHMETIC.get(type(node)) or COMPARISON[type(node)]
        sides = (node.this, node.expression)
        values = [self.value(side, scope) for side in sides]
        is_comparison = type(node) in COMPARISON
        if values == [None, None]:
            if not self._is_elementwise(node, scope, is_comparison=is_comparison):
                return None
        elif is_comparison and not any(self._rank(side, scope) for side in sides):
            return None
        return self.apply(rule, [self.node(side, scope) for side in sides])

    def _is_scalar_arithmetic(self, node: exp.Expr, scope: Scope) -> bool:
        """Whether an expression is arithmetic on literals and scalar columns alone: the common case, told at once."""
        return all(
            isinstance(part, _SCALAR_PARTS)
            and not (isinstance(part, exp.Column) and not isinstance(self.engine_type(part, scope), Scalar))
            for part in node.walk(prune=lambda part: isinstance(part, exp.Column))
        )

    def _rank(self, node: exp.Expr, scope: Scope) -> int:
        """The rank of an operand; 0 for what is no tensor."""
        value = self.value(node, scope)
        if value is not None:
            shapes = [item.type.shape for item in value_nodes(value)]
            return max(1 if shape is None else len(shape) for shape in shapes) + isinstance(value, Sequence)
        return 1 if isinstance(self.engine_type(node, scope), Array) else 0

    def _is_elementwise(self, node: exp.Expr, scope: Scope, *, is_comparison: bool) -> bool:
        """Whether arithmetic on what the engine computes is tensor arithmetic.

        It is where an operand is an ARRAY (DuckDB would refuse it, or concatenate for ``+``) or a LIST meets a
        number. Two lists added are concatenated and two arrays compared are compared as wholes: that is DuckDB's.
        """
        sides = (node.this, node.expression)
        kinds = [self.engine_type(side, scope) for side in sides]
        if any(isinstance(side, exp.Null) for side in sides):
            return any(isinstance(kind, Array) and kind.size is not None for kind in kinds)
        arrays = [kind for kind in kinds if isinstance(kind, Array) and tensor_type(castable(kind)) is not None]
        if not arrays or None in kinds or any(isinstance(kind, Struct) for kind in kinds):
            return False
        if is_comparison:
            return len(arrays) == 1 and tensor_type(castable(_other(kinds, arrays[0]))) is not None
        is_list_sum = isinstance(node, exp.Add) and all(isinstance(k, Array) and k.size is None for k in kinds)
        return not is_list_sum

    def engine_type(self, node: exp.Expr, scope: Scope) -> SqlType | None:
        """The type that the engine gives an expression, or None if it refuses it or the expression is no operand."""
        if isinstance(node, exp.Literal | exp.Null | exp.Boolean | exp.Interval):
            return Scalar("INTEGER") if isinstance(node, exp.Literal) and not node.is_string else None
        try:
            if self._statement.hosts.has_call(node) or self._has_tensor_part(node, scope):
                return scope.type_of(self._statement.argument_sql(node, scope))
            return scope.type_of(self._statement.sql(node))
        except TfsqlError:
            return None

    def _has_tensor_part(self, node: exp.Expr, scope: Scope) -> bool:
        """Whether the engine computes an expression from tensors, as a cast of one, or a query of them, does."""
        if isinstance(node, exp.Query | exp.Subquery):
            return any(is_operator_name(call.name) for call in node.find_all(exp.Anonymous))
        return any(
            self._has_tensor_part(part, scope) or self.value(part, scope) is not None
            for part in node.iter_expressions()
            if not isinstance(part, exp.Lambda | exp.Comprehension | exp.Identifier | exp.DataType)
        )

    def _negation(self, node: exp.Neg, scope: Scope) -> Value | None:
        if isinstance(node.this, exp.Literal):
            return None
        is_tensor = self.value(node.this, scope) is not None or isinstance(self.engine_type(node.this, scope), Array)
        return self.apply(NEGATION, [self.node(node.this, scope)]) if is_tensor else None

    def _case(self, node: exp.Case, scope: Scope) -> Value | None:
        """``CASE ndim(x) WHEN 2 THEN ... END``: the branch for a value that is known before running, none of others.

        Raises:
          UnsupportedError: there is no branch for it.
        """
        subject = self._known(node.this, scope)
        if subject is None:
            return None
        for branch in node.args["ifs"]:
            choice = self._known(branch.this, scope)
            if choice is not None and np.array_equal(choice.value, subject.value):
                return self._branch(branch.args["true"], scope)
        if node.args.get("default") is None:
            shown = self._statement.sql(node.this)
            known = ", ".join(self._statement.sql(branch.this) for branch in node.args["ifs"])
            raise UnsupportedError(f"There is no case for {shown} = {subject.value}; there is one for {known}")
        return self._branch(node.args["default"], scope)

    def _known(self, node: exp.Expr, scope: Scope) -> Constant | None:
        """The number or string that an expression is before running; None where it depends on the rows."""
        value = self.value(node, scope)
        constant = self.constant(node) if value is None else value
        return constant if isinstance(constant, Constant) else None

    def _branch(self, node: exp.Expr, scope: Scope) -> Value:
        value = self.value(node, scope)
        return self.node(node, scope) if value is None else value

    def _field(self, node: exp.Dot, name: str, scope: Scope) -> Value | None:
        value = self.value(node.this, scope)
        return None if value is None else field_of(value, name)

    def _subscript(self, node: exp.Bracket, scope: Scope) -> Value | None:
        """``f(...)['name']`` or ``f(...)[name]`` picks an output, ``f(...)[1]`` a tensor of a list output."""
        value = self.value(node.this, scope)
        index = node.expressions[0]
        if isinstance(value, Sequence) and isinstance(index, exp.Literal) and not index.is_string:
            position = int(index.this)  # sqlglot counts from 0 here
            if not 0 <= position < len(value.items):
                raise BindError(f"There are {len(value.items)} tensors, counted from 1; there is no [{position + 1}]")
            return value.items[position]
        if not isinstance(value, Record | Output):
            return None
        is_name = isinstance(index, exp.Column) or (isinstance(index, exp.Literal) and index.is_string)
        if isinstance(value, Record) or (is_name and index.name == value.call.outputs[value.index][0]):
            return field_of(value, index.name)
        return None

    # -- operands ----------------------------------------------------------------------------------------------------

    def node(self, node: exp.Expr, scope: Scope) -> Node:
        """The tensor that an operand is."""
        with self._statement.located(node):
            value = self.value(node, scope)
            if value is not None:
                return self.single(value)
            constant = self.constant(node)
            return constant if constant is not None else self._leaf(node, scope)

    def single(self, value: Value) -> Node:
        """A value as one tensor: a list output is stacked along a new first axis.

        Raises:
          TypeMismatchError: the value is several outputs, of which one must be picked.
        """
        if isinstance(value, Record):
            names = [name for name, _ in value.fields]
            raise TypeMismatchError(
                f"This returns several values: {', '.join(names)}. One is wanted here",
                hint=f"Pick one: (...).{names[0]}",
            )
        if isinstance(value, Sequence):
            return self.call("Pack", [value.items], {"axis": 0})
        assert isinstance(value, Leaf | Constant | Output)
        return value

    def graph_constant(self, name: str, path: str) -> Constant:
        """A constant of a graph that is a function here.

        Raises:
          BindError: there is no such graph, or no such constant in it.
        """
        from tfsql.infer.frozen import GraphOperator

        operators = self._statement.environment.operators
        operator = operators.get(name.lower())
        if not isinstance(operator, GraphOperator):
            raise BindError(f"No TensorFlow graph {name}", hint=did_you_mean(name, operators))
        return from_array(operator.constant(path))

    def literal(self, node: exp.Expr) -> Any:
        """The value of a constant expression as Python has it.

        Raises:
          BindError: it is not constant.
        """
        try:
            return python_value(node, self._evaluate)
        except NotConstantError:
            raise BindError(f"{self._statement.sql(node)} must be constant here") from None

    def constant(self, node: exp.Expr) -> Constant | None:
        """The constant that an operand is, or None; that of a function in SQL is the one in its body."""
        inner: exp.Expr | None = node
        while inner is not None:
            node = inner
            inner = node.this if isinstance(node, exp.Paren) else self._statement.inlined(node)
        if isinstance(node, exp.Placeholder):
            return self._placeholder(node)
        if isinstance(node, exp.Null):
            raise TypeMismatchError("A bare NULL has no type", hint="Write its type: NULL::FLOAT")
        if isinstance(node, exp.Struct):
            return self._complex_constant(node)
        if not is_foldable(node):
            return None
        try:
            return weak_constant(python_value(node, self._evaluate))
        except NotConstantError:
            return self._typed_constant(node)

    def _typed_constant(self, node: exp.Expr) -> Constant | None:
        """A constant with a cast: its value as the engine computes it, its type as the cast says."""
        from tfsql.infer import convert_constant

        try:
            kind = castable(Scope(self._statement.prober).type_of(self._statement.sql(node)))
            value = self._statement.evaluate(self._statement.sql(node))
        except TfsqlError:
            return None
        tensor = tensor_type(kind)
        if tensor is None or value is None:
            return None
        is_cast = any(isinstance(part, exp.Cast) for part in node.walk())
        constant = weak_constant(plain_numbers(value))
        return convert_constant(constant, tensor.dtype) if is_cast else constant

    def _complex_constant(self, node: exp.Struct) -> Constant | None:
        names = [field_name(pair) for pair in node.expressions]
        if names != ["real", "imag"] or not all(is_foldable(pair.expression) for pair in node.expressions):
            return None
        real, imaginary = (self.constant(pair.expression) for pair in node.expressions)
        if real is None or imaginary is None or "string" in (real.type.dtype, imaginary.type.dtype):
            return None
        is_double = any(part.weak is None and part.type.dtype == "float64" for part in (real, imaginary))
        return from_array(np.asarray(real.value + 1j * imaginary.value, np.complex128 if is_double else np.complex64))

    def _placeholder(self, node: exp.Placeholder) -> Constant | None:
        name = node.name
        constant: Constant | None
        if name.startswith(PLACEHOLDER_PREFIX):
            literal = self._statement.source.literals[int(name.removeprefix(PLACEHOLDER_PREFIX))]
            constant = replace(from_array(literal.value, is_weak=True), parameter=name)
        else:
            constant = self._statement.parameter_constant(name)
        self.parameter_constants[name] += 1
        return constant

    def _evaluate(self, node: exp.Expr) -> Any:
        """The value of constant arithmetic; typed constants are left to ``_typed_constant``."""
        if not is_foldable(node) or any(isinstance(part, exp.Cast | exp.Array) for part in node.walk()):
            raise NotConstantError
        return plain_numbers(self._statement.evaluate(self._statement.sql(node)))

    def _attribute(self, spec: OperatorSpec | CustomOperator, name: str, node: exp.Expr) -> Any:
        """The value of an attribute, which must be constant."""

        def evaluate(part: exp.Expr) -> Any:
            if isinstance(part, exp.Placeholder):
                constant = self._placeholder(part)
                self._statement.fixed_parameters.add(part.name)
                return None if constant is None else constant.value.tolist()
            if next(part.find_all(exp.Column, exp.Subquery, exp.Select), None) is not None:
                is_word = isinstance(part, exp.Column) and not part.table
                raise ArgumentError(
                    f'{spec.sql_name}: attribute "{name}" must be constant, not {self._statement.sql(part)}',
                    part,
                    hint=f"If it is a string, write it in quotes: '{part.name}'" if is_word else None,
                )
            return plain_numbers(self._statement.evaluate(self._statement.sql(part)))

        try:
            return python_value(node, evaluate)
        except ArgumentError as error:
            with self._statement.located(error.node or node):
                raise

    def _list_input(self, node: exp.Expr, scope: Scope) -> tuple[Node, ...]:
        """The tensors of a list input: ``[a, b]``, a row, a list output, or a tensor unpacked along its first axis."""
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Array):
            return tuple(self.node(item, scope) for item in node.expressions)
        if isinstance(node, exp.Struct):
            return tuple(self.node(pair.expression, scope) for pair in node.expressions)
        if is_row(node) and not has_star(node):
            return tuple(self.node(element, scope) for _, element in row_elements(node))
        value = self.value(node, scope)
        if isinstance(value, Sequence):
            return value.items
        tensor = self.node(node, scope)
        if tensor.type.shape is None or not tensor.type.shape or tensor.type.shape[0] is None:
            raise TypeMismatchError(f"A list of tensors is wanted here, not {tensor.type}", hint="Write a list: [a, b]")
        parts = self.call_of("Unpack", [tensor], {"num": tensor.type.shape[0], "axis": 0})
        items = parts.outputs[0][1]
        assert isinstance(items, tuple)
        return tuple(Output(parts, 0, i, kind) for i, kind in enumerate(items))

    # -- leaves ------------------------------------------------------------------------------------------------------

    def _leaf(self, node: exp.Expr, scope: Scope) -> Node:
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Array) and not isinstance(node.expressions[0], exp.Comprehension):
            return self._array_of_columns(node, scope)
        if is_row(node):
            return self._row_vector(node, scope)
        return self.leaf_of(self._statement.argument_sql(node, scope), scope)

    def leaf_of(self, sql: str, scope: Scope) -> Leaf:
        """The leaf of an expression that the engine computes."""
        key = (id(scope), sql)
        if key not in self._leaves:
            self._leaves[key] = self._typed_leaf(sql, scope)
        return self._leaves[key]

    def _typed_leaf(self, sql: str, scope: Scope) -> Leaf:
        kind = scope.type_of(sql)
        if isinstance(kind, Struct) and not is_complex(kind):
            return self.leaf_of(_fields_as_array(sql, kind), scope)
        tensor = tensor_type(castable(kind))
        if tensor is None:
            raise TypeMismatchError(
                f"{_shown(sql)} is {display(kind)}, which is no tensor",
                hint=tensor_hint(kind),
            )
        return Leaf(cast_for_tensor(sql, kind), tensor, id(scope))

    def _array_of_columns(self, node: exp.Array, scope: Scope) -> Node:
        """``[a, b]`` with columns: an ARRAY of known length, or a stack if tensors are among the elements."""
        elements = node.expressions
        if any(self._has_tensor(element, scope) for element in elements):
            return self.call("Pack", [tuple(self.node(element, scope) for element in elements)], {"axis": 0})
        return self.leaf_of(self._array_sql(node, scope), scope)

    def _has_tensor(self, node: exp.Expr, scope: Scope) -> bool:
        if isinstance(node, exp.Array):
            return any(self._has_tensor(element, scope) for element in node.expressions)
        return self.value(node, scope) is not None

    def _array_sql(self, node: exp.Expr, scope: Scope) -> str:
        if isinstance(node, exp.Array) and node.expressions:
            return f"array_value({', '.join(self._array_sql(element, scope) for element in node.expressions)})"
        return self._statement.sql(self._statement.expression(node, scope))

    def _row_vector(self, node: exp.Expr, scope: Scope) -> Leaf:
        """A row of numbers as the vector of its values in order."""
        columns = self._statement.row_columns(node, scope)
        try:
            vector = self.leaf_of(f"array_value({', '.join(sql for _, sql in columns)})", scope)
        except TfsqlError:
            self._check_row(columns, scope)
            raise
        if len(columns) < 32:
            self._check_row(columns, scope)
        return vector

    def _check_row(self, columns: list[tuple[str, str]], scope: Scope) -> None:
        """Refuses a row whose values have nothing in common, and names the first that is no number."""
        scope.prefetch([sql for _, sql in columns])
        kinds = [(name, scope.type_of(sql)) for name, sql in columns]
        tensors = [tensor_type(castable(kind)) for _, kind in kinds]
        is_of_text = all(tensor is not None and tensor.dtype == "string" for tensor in tensors)
        for (name, kind), tensor in zip(kinds, tensors, strict=True):
            if tensor is None or (tensor.dtype == "string" and not is_of_text):
                hint = f"Leave it out: {{* EXCLUDING({quote(name)})}}"
                raise TypeMismatchError(f'Column "{name}" of the row is {display(kind)}, which is no number', hint=hint)

    # -- calls -------------------------------------------------------------------------------------------------------

    def apply(self, rule: Arithmetic, operands: list[Node]) -> Value:
        """The arithmetic ``rule`` on tensors, with SQL's promotion."""
        strong = [node.type.dtype for node in operands if not (isinstance(node, Constant) and node.weak)]
        weak_decimal = any(isinstance(node, Constant) and node.weak == "decimal" for node in operands)
        is_integer = all(dtype.lstrip("u").startswith("int") for dtype in strong) and not weak_decimal
        if rule.integers_as and is_integer:
            operands = [self.inference.cast(node, rule.integers_as) for node in operands]
        op = rule.float_op if rule.float_op and not is_integer else rule.op
        return self.call(op, list(operands), {})

    def call(self, op: str, inputs: Iterable[Node | tuple[Node, ...]], attributes: dict[str, Any]) -> Output:
        """The only output of an operator."""
        call = self.call_of(op, inputs, attributes)
        kind = call.outputs[0][1]
        assert isinstance(kind, TensorType)
        return Output(call, 0, None, kind)

    def call_of(self, op: str, inputs: Iterable[Node | tuple[Node, ...]], attributes: dict[str, Any]) -> Call:
        """The call of an operator of tfsql's own choice."""
        return self.inference.call(self._statement.operator(f"{OPERATOR_PREFIX}{op}"), list(inputs), attributes)


def _default(parameter: Parameter) -> Constant:
    """The constant that an input of a custom operator is where a call gives none."""
    array = as_array(parameter.default)
    return weak_constant(parameter.default) if array is None else from_array(array)


def _other(kinds: list[Any], array: Any) -> Any:
    return kinds[1] if kinds[0] is array else kinds[0]


def _fields_as_array(sql: str, kind: Struct) -> str:
    return f"array_value({', '.join(f'({sql}).{quote(name)}' for name, _ in kind.fields)})"


def _shown(sql: str) -> str:
    return sql if len(sql) <= 60 else f"{sql[:57]}..."
