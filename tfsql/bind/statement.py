"""Binds one statement: every tensor expression in it becomes a kernel call, everything else stays as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tfsql import parquet
from tfsql.arrow_types import arrow_type
from tfsql.bind import row_names
from tfsql.bind.calls import HostCalls
from tfsql.bind.forms import OPERATOR_PREFIX, function_name, has_star, is_operator_name, is_row, row_elements
from tfsql.bind.functions import inline, lacks_argument
from tfsql.bind.grammar import first_token, parse
from tfsql.bind.hints import as_operator
from tfsql.bind.literals import from_array, weak_constant
from tfsql.bind.parameters import as_array, engine_value, is_small_float
from tfsql.bind.records import Bound, Environment, KernelUse, View
from tfsql.bind.scope import Prober, Scope
from tfsql.bind.select_list import SelectListBinder
from tfsql.bind.sources import SourceBinder, is_parquet
from tfsql.bind.tensors import TensorBinder
from tfsql.copying import ParquetFile
from tfsql.errors import BindError, Span, TfsqlError, TypeMismatchError, UnsupportedError, did_you_mean
from tfsql.source import Statement
from tfsql.sugar import CALL_PREFIX, ROW_NAME
from tfsql.tree import Constant, Leaf, Value, constants_in_order, leaves_in_order
from tfsql.types import Array, Struct, TensorType, display, quote, sql_type
from tfsql.vectorised import Vectorised

if TYPE_CHECKING:
    import pyarrow as pa

    from tfsql.registry import OperatorSpec

MAX_VIEW_DEPTH = 32
MAX_FUNCTION_DEPTH = 32
_OPAQUE = (exp.Identifier, exp.Literal, exp.DataType, exp.Column, exp.Star, exp.Columns, exp.Var, exp.Placeholder)


class StatementBinder:
    """Binds the syntax tree of one statement in place.

    Args:
      statement: the desugared statement, for positions and lifted literals.
      is_desugared: whether desugaring changed it, so that the engine cannot run the user's own text.
      depth: how many views this text is inside of.

    Attributes:
      outermost: the select whose list may be computed on the engine's stream.
      copy_target: the file that the rows of that select are copied to, batch by batch.
      carrying: the query whose result has the names of its rows in a last column.
      wants_row_names: whether some name of a row is asked for.
      reads_rows: whether it takes rows FROM anywhere.
      fixed_parameters: the parameters and lifted literals whose values the binding depends on.
    """

    def __init__(self, statement: Statement, environment: Environment, *, is_desugared: bool = False, depth: int = 0):
        self.source = statement.source
        self.environment = environment
        self._statement = statement
        self.depth = depth
        self._kept: list[exp.Expr] = []
        self.ctes: list[tuple[str, str]] = []
        self._is_recursive = False
        self.is_changed = is_desugared
        self.uses: list[KernelUse] = []
        self._inlined: dict[int, exp.Expr] = {}
        self._inline_depth: dict[int, int] = {}
        self._pending_spreads: dict[int, list[str]] = {}
        self.tensors = TensorBinder(self)
        self.sources = SourceBinder(self)
        self.outermost: exp.Select | None = None
        self.copy_target: ParquetFile | None = None
        self.carrying: exp.Expr | None = None
        self.wants_row_names = False
        self.reads_rows = True
        self.fixed_parameters: set[str] = set()
        self.hosts = HostCalls(self)
        self.lists = SelectListBinder(self, statement)
        self._argument_sqls: dict[int, str] = {}
        parameters = {name: engine_value(value) for name, value in environment.parameters.items()}
        self.prober = Prober(environment.backend, parameters, self.source.restore)

    # -- services for the other modules of this package --------------------------------------------------------------

    def sql(self, node: exp.Expr) -> str:
        """The DuckDB text of a node, with function names as they were written."""
        text: str = node.sql("duckdb", normalize_functions=False, comments=False)
        return text.replace(CALL_PREFIX, "")

    def evaluate(self, sql: str) -> Any:
        self.fixed_parameters |= self.prober.parameters_in(sql)
        return self.environment.backend.evaluate(self.source.restore(sql))

    def keep(self, node: exp.Expr) -> None:
        """Keeps a node alive, so that its ``id`` stays its own."""
        self._kept.append(node)

    def span(self, node: exp.Expr) -> Span | None:
        """Where a node stands in the user's text: an operator by its name, anything else from first to last token."""
        metas = [node.meta] if "start" in node.meta else [part.meta for part in node.walk() if "start" in part.meta]
        if not metas:
            return None
        return self._statement.span(min(m["start"] for m in metas), max(m["end"] for m in metas) + 1)

    @contextlib.contextmanager
    def located(self, node: exp.Expr) -> Iterator[None]:
        """Errors that leave this block without a position get the node's."""
        try:
            yield
        except TfsqlError as error:
            if error.span is None and error.is_from_engine:
                error.span = self._statement.named_span(error)
            if error.span is None:
                error.span = self.span(node)
            raise

    def operator(self, name: str) -> OperatorSpec:
        """The operator of a SQL name.

        Raises:
          BindError: there is none; the nearest name is suggested.
          UnsupportedError: policy refuses it; the message says why.
        """
        self.environment.kernels.prepare()  # in another process, while this one imports TensorFlow
        from tfsql.registry import allowed_operator, wrapped_names
        from tfsql.registry.opdef import op_def

        bare = name[len(OPERATOR_PREFIX) :]
        if op_def(bare) is None or not name.startswith(OPERATOR_PREFIX):
            hint = did_you_mean(as_operator(bare), wrapped_names())
            raise BindError(f"No operator {name}", hint=hint and hint.replace("mean ", f"mean {OPERATOR_PREFIX}"))
        return allowed_operator(bare, name, trust=self.environment.trust)

    def inlined(self, call: exp.Expr) -> exp.Expr | None:
        """The body of the SQL function that is called, its arguments in place; None if it is none of those."""
        definition = self.environment.functions.get(function_name(call)) if isinstance(call, exp.Anonymous) else None
        if definition is None or (not definition.is_shell and lacks_argument(definition, call)):
            return None  # the engine knows the defaults of its macros, which its catalog does not list
        if id(call) not in self._inlined:
            depth = self._inline_depth.get(id(call), 0)
            if depth >= MAX_FUNCTION_DEPTH:
                raise UnsupportedError(f"Function {definition.name} calls itself")
            body = inline(definition, call)
            self._inline_depth |= {id(part): depth + 1 for part in body.find_all(exp.Anonymous)}
            self._inlined[id(call)] = body
            self.keep(call)
        return self._inlined[id(call)]

    def is_shell(self, call: exp.Expr) -> bool:
        """Whether a call is one of a function that only tfsql can run."""
        definition = self.environment.functions.get(function_name(call)) if isinstance(call, exp.Anonymous) else None
        return definition is not None and definition.is_shell

    def parameter_value(self, name: str) -> Any:
        """The value of a parameter, on which the meaning of the statement then depends."""
        self.fixed_parameters.add(name)
        return self._given(name)

    def _given(self, name: str) -> Any:
        if name not in self.environment.parameters:
            known = ", ".join(self.environment.parameters) or "none"
            raise BindError(f"There is no value for parameter ${name}. Given are: {known}")
        return self.environment.parameters[name]

    def parameter_constant(self, name: str) -> Constant | None:
        """A parameter as a tensor: arrays have their own dtype, Python numbers and lists follow their neighbours."""
        value = self._given(name)
        if value is None:
            raise TypeMismatchError(f"Parameter ${name} is None, which has no type")
        if hasattr(value, "row_splits"):
            raise TypeMismatchError(f"Parameter ${name} is ragged; one tensor is wanted")
        array = as_array(value)
        if array is not None and (array.dtype.kind in "biufcSUO" or is_small_float(array)):
            return replace(from_array(array, is_bytes=array.dtype.kind == "S"), parameter=name)
        if isinstance(value, Decimal):
            value = float(value)
        if isinstance(value, bool | int | float | str | bytes | list | tuple):
            return weak_constant(list(value) if isinstance(value, tuple) else value)
        raise TypeMismatchError(f"Parameter ${name} is a {type(value).__name__}, which is no tensor")

    def use(self, function: Vectorised, node: exp.Expr, scope: Scope, leaves: tuple[str, ...]) -> KernelUse:
        """The use of a function that ``node`` calls on ``leaves``."""
        self.is_changed = True
        return KernelUse(function, self._place(node), leaves, scope)

    def _place(self, node: exp.Expr) -> Span:
        return self.span(node) or first_token(self._statement)

    def argument_sql(self, node: exp.Expr, scope: Scope) -> str:
        """The SQL of an argument with its tensor expressions and calls bound, once however often it is asked for."""
        if id(node) not in self._argument_sqls:
            self._argument_sqls[id(node)] = self.sql(self.expression(node, scope))
            self.keep(node)
        return self._argument_sqls[id(node)]

    def rows(self, scope: Scope, sqls: list[str]) -> Iterator[pa.RecordBatch]:
        """The values of expressions in every row of the tables that ``scope`` sees.

        Raises:
          TfsqlError: the engine takes none of the queries that could mean it.
        """
        failure: TfsqlError | None = None
        for query in scope.queries(sqls):
            try:
                self.prober.describe(query)
            except TfsqlError as error:
                failure = failure or error
                continue
            yield from self.environment.backend.stream(self.source.restore(query), self.prober.used_parameters(query))
            return
        assert failure is not None
        raise failure

    def register_table(self, table: Any) -> str:
        self.is_changed = True
        return self.environment.register_table(table)

    # -- statements --------------------------------------------------------------------------------------------------

    def named(self, tree: exp.Expr) -> exp.Expr:
        """The query, or CREATE TABLE AS a query, with the names of its rows in a last column, bound."""
        query = tree.expression if isinstance(tree, exp.Create) else tree
        if isinstance(query, exp.Query | exp.Values):
            self.carrying = row_names.carry(query, ROW_NAME)
            if query is tree:
                tree = self.carrying
            else:
                tree.set("expression", self.carrying)
        self.statement(tree)
        return tree

    def statement(self, tree: exp.Expr) -> None:
        """Binds any statement in place.

        Raises:
          UnsupportedError: a tensor operator stands where it cannot run.
        """
        self.wants_row_names = row_names.are_wanted(tree)
        self.reads_rows = tree.find(exp.From) is not None
        if isinstance(tree, exp.Query | exp.Values):
            self.outermost = tree if isinstance(tree, exp.Select) else None
            self.query(tree)
        elif isinstance(tree, exp.Copy):
            self._copy(tree)
        elif isinstance(tree, exp.Insert) or (isinstance(tree, exp.Create) and tree.kind in ("TABLE", "VIEW")):
            self._of_query(tree)
        elif isinstance(tree, exp.Update | exp.Delete):
            self._change(tree)
        elif isinstance(tree, exp.Describe | exp.Summarize):
            self._described(tree)
        self._refuse_unbound(tree)

    def _described(self, tree: exp.Expr) -> None:
        """DESCRIBE and SUMMARIZE: of a query, or of a table that may be a Python variable."""
        if isinstance(tree.this, exp.Query):
            self.query(tree.this)
        elif isinstance(tree.this, exp.Table):
            item = self.sources.item(tree.this, self.scope())
            if item is not tree.this:
                tree.set("this", exp.Subquery(this=exp.select("*").from_(item)))

    def _of_query(self, tree: exp.Expr) -> None:
        """CREATE TABLE AS and INSERT: the query inside them."""
        body = tree.args.get("expression")
        if isinstance(body, exp.Query | exp.Values):
            self.query(body)
        returning = tree.args.get("returning")
        if returning is not None:
            scope = self.scope()
            scope.sources.append(self.sql(tree.this.this if isinstance(tree.this, exp.Schema) else tree.this))
            self.children(returning, scope)

    def _change(self, tree: exp.Expr) -> None:
        """UPDATE and DELETE: expressions over the table itself and the tables of FROM or USING."""
        scope = self.scope()
        scope.sources.append(self.sql(tree.this))
        from_clause = tree.args.get("from_")
        using = tree.args.get("using") or []
        for item in [
            *([from_clause.this] if from_clause is not None else []),
            *(using if isinstance(using, list) else []),
        ]:
            item.replace(self.sources.item(item, scope))
            scope.sources.append(f", {self.sql(item)}")
        for assignment in tree.expressions:
            assignment.set("expression", self.expression(assignment.expression, scope))
        if tree.args.get("where") is not None:
            self.children(tree.args["where"], scope)

    def _copy(self, tree: exp.Copy) -> None:
        """COPY: its query, and for Parquet the shapes of its ARRAY columns in the file's metadata."""
        source = tree.this
        is_query = isinstance(source, exp.Subquery)
        files = [item.name for item in tree.args.get("files") or []]
        params = {str(p.this.name).upper(): p for p in tree.args.get("params") or []}
        named = params["FORMAT"].expression.name.lower() if "FORMAT" in params else ""
        is_export = bool(tree.args.get("kind")) is False
        writes_parquet = is_export and (named == "parquet" or (not named and any(is_parquet(name) for name in files)))
        if is_query:
            options = {name: param.expression for name, param in params.items()}
            self._copied(source.this, ParquetFile.of(files, options) if writes_parquet else None)
            if self.copy_target is not None:
                return
        elif isinstance(source, exp.Table):
            source = self.sources.item(source, self.scope())
            if source is not tree.this:
                source = exp.Subquery(this=exp.select("*").from_(source))
                tree.set("this", source)
                is_query = True
        if not writes_parquet or "KV_METADATA" in params:
            return
        relation = f"({self.sql(source.this)})" if is_query else self.sql(source)
        columns = self.prober.describe(f"SELECT * FROM {relation}")
        schema = parquet.encode_schema(columns)
        if schema is not None:
            self.is_changed = True
            selected = parquet.as_lists(columns)
            if selected is not None:
                tree.set("this", exp.Var(this=f"(SELECT {selected} FROM {relation})"))
            metadata = exp.Var(this=f"{{'{parquet.SCHEMA_KEY}': '{schema}'}}")
            tree.append("params", exp.CopyParameter(this=exp.Var(this="KV_METADATA"), expression=metadata))

    def _copied(self, query: exp.Expr, target: ParquetFile | None) -> None:
        """The query of a COPY, bound to be written batch by batch where that can be."""
        if target is not None and isinstance(query, exp.Select):
            self.outermost = query
        self.query(query)
        stream = self.lists.stream() if target is not None else None
        if stream is None:
            return
        columns = stream.columns(self.environment.backend.describe(stream.sql, stream.parameters))
        is_plain = columns is not None and all(arrow_type(kind) is not None for _, kind in columns)
        if stream.is_needed or is_plain:
            self.copy_target = target

    def _refuse_unbound(self, tree: exp.Expr) -> None:
        for call in tree.find_all(exp.Anonymous):
            if is_operator_name(call.name) and call.name.lower() not in self.environment.functions:
                with self.located(call):
                    self.operator(call.name)
                    raise UnsupportedError(f"{call.this} cannot stand in this place of a {tree.key.upper()} statement")

    def inlined_view(self, view: View) -> str:
        """The query of a view that holds tensor operators, bound as if it stood here, with the view's column names."""
        if self.depth > MAX_VIEW_DEPTH:
            raise BindError(f"View {view.name} refers to itself")
        bound = bind_text(view.definition, replace(self.environment, parameters={}), self.depth + 1)
        self.uses += bound.uses
        names = [quote(name) for name, _ in self.prober.describe(f"SELECT * FROM {view.qualified_name}")]
        return f"SELECT * FROM ({bound.sql}) AS {quote(view.name)}({', '.join(names)})"

    # -- queries -----------------------------------------------------------------------------------------------------

    def query(self, node: exp.Expr, parent: Scope | None = None) -> None:
        """Binds a query in place: CTEs, then FROM, then the expressions."""
        with_clause = node.args.get("with_")
        count = len(self.ctes)
        if with_clause is not None:
            for cte in with_clause.expressions:
                self._cte(cte, is_recursive=bool(with_clause.args.get("recursive")))
        try:
            if isinstance(node, exp.Subquery):
                self.query(node.this, parent)
            elif isinstance(node, exp.SetOperation):
                self.query(node.left, parent)
                self.query(node.right, parent)
            elif isinstance(node, exp.Select):
                self._select(node, parent)
                self._unnest_spreads(node)
            elif isinstance(node, exp.Table):
                node.replace(self.sources.item(node, self.scope(parent)))
            else:
                self.children(node, self.scope(parent))
        finally:
            del self.ctes[count:]

    def scope(self, parent: Scope | None = None) -> Scope:
        """A new scope inside the CTEs that are visible here."""
        ctes = ", ".join(f"{name} AS ({sql})" for name, sql in self.ctes)
        lead = "WITH RECURSIVE" if self._is_recursive else "WITH"
        return Scope(self.prober, f"{lead} {ctes} " if ctes else "", parent)

    def _cte(self, cte: exp.CTE, *, is_recursive: bool) -> None:
        name = self.sql(cte.args["alias"])
        self._is_recursive |= is_recursive
        body = cte.this
        if is_recursive and isinstance(body, exp.SetOperation):
            self.query(body.left)
            self.ctes.append((name, self.sql(body.left)))
            self.query(body.right)
            self.ctes.pop()
        else:
            self.query(body)
        self.ctes.append((name, self.sql(body)))

    def _select(self, node: exp.Select, parent: Scope | None) -> None:
        scope = self.scope(parent)
        from_clause = node.args.get("from_")
        if from_clause is not None:
            self.sources.add(from_clause, "this", scope, lead="")
        for join in node.args.get("joins") or []:
            self.sources.join(join, scope)
        for lateral in node.args.get("laterals") or []:
            self.sources.join(lateral, scope)
        written = [self.lists.written(item) for item in node.expressions]
        row_names.resolve(self, node, scope)
        self._prefetch(node, scope)
        group = node.args.get("group")
        if group is not None:
            self.children(group, scope)
            scope.group = self.sql(group)
        windows = node.args.get("windows") or []
        for window in windows:
            self.children(window, scope)
        scope.windows = self._windows_sql(windows) if windows else ""
        self._pending_spreads[id(node)] = self.lists.bind(node, scope, written)
        for key in ("distinct", "where", "having", "qualify", "order", "limit", "offset"):
            part = node.args.get(key)
            for item in part if isinstance(part, list) else [part]:
                if item is not None:
                    span = self.span(item)
                    self.children(item, scope)
                    if key in ("where", "having", "qualify"):
                        self._check_condition(item, scope, span)
                    if key == "where":
                        scope.where = self.sql(item.this)

    def _check_condition(self, clause: exp.Expr, scope: Scope, span: Span | None) -> None:
        """Refuses a tensor of booleans where one is wanted."""
        kind = scope.type_of(self.sql(clause.this)) if isinstance(clause.this, exp.Var) else None
        if isinstance(kind, Array):
            raise TypeMismatchError(
                f"{clause.key.upper()} needs one boolean for each row, but this is {display(kind)}",
                hint="Reduce it: tf_All(x, [0]) or tf_Any(x, [0])",
                span=span,
            )

    def _windows_sql(self, windows: list[exp.Expr]) -> str:
        """The WINDOW clause of a select."""
        alone = exp.Select(expressions=[exp.Star()], windows=[window.copy() for window in windows])
        return self.sql(alone).removeprefix("SELECT * ")

    def _prefetch(self, node: exp.Select, scope: Scope) -> None:
        """Learns the types of all columns that the select mentions in one question to the engine."""
        if scope.sources:
            parts = [part for key, part in node.args.items() if key not in ("from_", "joins", "laterals", "with_")]
            nodes = [item for part in parts for item in (part if isinstance(part, list) else [part])]
            columns = [c for item in nodes if isinstance(item, exp.Expr) for c in item.find_all(exp.Column)]
            scope.prefetch([self.sql(c) for c in columns[:500] if not isinstance(c.this, exp.Star)])

    # -- the select list ---------------------------------------------------------------------------------------------

    def _unnest_spreads(self, node: exp.Select) -> None:
        """Puts a select with spread columns inside one that unnests them, so that each is computed once."""
        spreads = self._pending_spreads.pop(id(node), None)
        if not spreads:
            return
        with_clause = node.args.pop("with_", None)
        inner = exp.Select(**node.args)
        lead = self.scope()._with
        names = [name for name, _ in self.prober.describe(f"{lead}{self.sql(inner)}")]
        node.args.clear()
        outer = [exp.Var(this=f"unnest({quote(n)})" if n in spreads else quote(n)) for n in names]
        node.set("with_", with_clause)
        node.set("expressions", outer)
        node.set("from_", exp.From(this=exp.Var(this=f"({self.sql(inner)}) AS tfsql_spread")))

    def row_columns(self, node: exp.Expr, scope: Scope) -> list[tuple[str, str]]:
        """Name and SQL of each column of a row expression, stars laid out."""
        if not has_star(node):
            return [(name, self.sql(self.expression(element, scope))) for name, element in row_elements(node)]
        columns: list[tuple[str, str]] = []
        for element in node.expressions:
            if isinstance(element, exp.Columns):
                table = element.this.args.get("table") if isinstance(element.this, exp.Column) else None
                lead = f"{self.sql(table)}." if table is not None else ""
                with self.located(element.this):
                    columns += [(name, f"{lead}{quote(name)}") for name, _ in scope.columns(self.sql(element.this))]
            else:
                single = exp.Anonymous(this=node.this, expressions=[element])
                columns += self.row_columns(single, scope)
        return columns

    # -- expressions -------------------------------------------------------------------------------------------------

    def expression(self, node: exp.Expr, scope: Scope) -> exp.Expr:
        """``node`` with every tensor expression in it replaced by a kernel call; ``node`` itself if there is none."""
        if isinstance(node, exp.Placeholder):
            return self._typed_parameter(node)
        if isinstance(node, exp.Star) and node.args.get("replace"):
            self.children(node, scope)
        if isinstance(node, _OPAQUE):
            return node
        if isinstance(node, exp.Query):
            self.query(node, scope)
            return node
        if isinstance(node, exp.Lambda | exp.Comprehension) and any(
            is_operator_name(call.name) for call in node.find_all(exp.Anonymous)
        ):
            with self.located(node):
                raise UnsupportedError(
                    "A tensor operator cannot stand inside a lambda or a list comprehension",
                    hint="Unnest the list into rows, or call the operator on the whole list",
                )
        value = self.tensors.value(node, scope)
        if value is not None and not isinstance(value, Leaf):
            with self.located(node):
                return exp.Var(this=self.kernel_call(value, node, scope))
        host = value.sql if isinstance(value, Leaf) else self.hosts.sql(node, scope)
        if host is not None:
            return exp.Var(this=host)
        if self.is_shell(node):
            self.is_changed = True
            body = self.inlined(node)
            assert body is not None
            return self.expression(body, scope)
        if isinstance(node, exp.Bracket) and (field := self._field(node, scope)) is not None:
            return field
        if is_row(node):
            self.is_changed = True
            fields = ", ".join(f"{quote(name)} := {sql}" for name, sql in self.row_columns(node, scope))
            return exp.Var(this=f"struct_pack({fields})")
        self.children(node, scope)
        return node

    def _field(self, node: exp.Bracket, scope: Scope) -> exp.Expr | None:
        """``row[name]``, the field of that name; None where that is an element of a list or map."""
        index = node.expressions[0]
        if len(node.expressions) != 1 or not isinstance(index, exp.Column) or index.table:
            return None
        row = self.argument_sql(node.this, scope)
        kind = scope.type_of(row)
        if not isinstance(kind, Struct) or index.name.lower() not in [name.lower() for name, _ in kind.fields]:
            return None
        self.is_changed = True
        return exp.Var(this=f"({row}).{quote(index.name)}")

    def _typed_parameter(self, node: exp.Placeholder) -> exp.Expr:
        """A parameter that the engine gets: an array as an ARRAY of its own type."""
        value = self.environment.parameters.get(str(node.this))
        array = None if value is None else as_array(value)
        if array is None or array.ndim == 0 or 0 in array.shape or array.dtype.kind not in "biufc":
            return node
        self.is_changed = True
        kind = sql_type(TensorType(str(array.dtype), array.shape))
        return exp.Var(this=f"CAST(${node.this} AS {kind})")

    def children(self, node: exp.Expr, scope: Scope) -> None:
        for key, child in list(node.args.items()):
            if isinstance(child, exp.Expr):
                bound = self.expression(child, scope)
                if bound is not child:
                    node.set(key, bound)
            elif isinstance(child, list):
                bound_items = [self.expression(c, scope) if isinstance(c, exp.Expr) else c for c in child]
                if any(new is not old for new, old in zip(bound_items, child, strict=True)):
                    node.set(key, bound_items)

    def kernel_call(self, value: Value, node: exp.Expr, scope: Scope) -> str:
        """The SQL of a call of the kernel that computes ``value``."""
        use = self.kernel_use(value, node, scope)
        self.uses.append(use)
        return use.call

    def kernel_use(self, value: Value, node: exp.Expr, scope: Scope) -> KernelUse:
        """The use of the kernel that computes ``value``, not yet among those of the statement."""
        from tfsql.infer import natural

        value = natural(value) if isinstance(value, Constant) else value
        return self.kernel_use_at(value, self._place(node), scope)

    def kernel_use_at(self, value: Value, span: Span, scope: Scope) -> KernelUse:
        """The use of the kernel that computes ``value`` at a place of the text."""
        self.is_changed = True
        kernel = self.environment.kernels.kernel(value)
        leaves = tuple(leaf.sql for leaf in leaves_in_order(value))
        parameters = tuple(c.parameter for c in constants_in_order(value) if c.is_argument)
        return KernelUse(kernel, span, leaves, scope, parameters=parameters, value=value)


def bind_text(text: str, environment: Environment, depth: int = 1) -> Bound:
    """Binds a query that is given as text (a view's definition)."""
    from tfsql.source import statements
    from tfsql.sugar import desugar

    (statement,) = statements(text)
    statement = desugar(statement)
    tree = parse(statement)
    binder = StatementBinder(statement, environment, depth=depth)
    try:
        binder.query(tree)
    except TfsqlError as error:
        raise error.locate(text) from error
    return Bound(binder.source.restore(binder.sql(tree)), {}, tuple(binder.uses))
