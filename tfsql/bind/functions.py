"""SQL functions: ``CREATE FUNCTION f(x) AS ...``, inlined where they are called so that their operators fuse.

DuckDB's own macros are such functions too: one whose body turns out to be a tensor expression is inlined, any other is
DuckDB's. A body with tensor operators is kept as a macro that carries its text and refuses to run without tfsql.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from tfsql.bind.forms import function_name, is_row, row_elements
from tfsql.bind.grammar import parse
from tfsql.bind.literals import field_name
from tfsql.errors import BindError, ParseError, TfsqlError, UnsupportedError
from tfsql.source import CLOSING, OPENING, PLACEHOLDER_PREFIX, Statement, statements
from tfsql.sugar import desugar
from tfsql.types import quote, quote_text

_REFUSAL = "This function holds tensor operators; call it through tfsql: "
_SHELL = re.compile(rf"^\"?error\"?\('{_REFUSAL}((?:[^']|'')*)'\)$", re.DOTALL)
_POSITION = ("line", "col", "start", "end")
# What the copies of one argument have in common, in their ``meta``.
COPY_OF = "copy_of"
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class FunctionDefinition:
    """A SQL function.

    Attributes:
      parameters: name, and the text of the default or None.
      body: the text of the expression.
      is_shell: whether only tfsql can run it.
      doc: what it does, in words.
      origin: ``sql`` for a function of the database, ``library`` for one of the standard library.
      has_dollar_names: whether the body writes a parameter as ``$x``, so that ``x`` is a column in it.
    """

    name: str
    parameters: tuple[tuple[str, str | None], ...]
    body: str
    is_shell: bool
    doc: str = ""
    origin: str = "sql"
    has_dollar_names: bool = False


@dataclass(frozen=True)
class CreateFunction:
    """``CREATE [OR REPLACE] FUNCTION``, taken apart.

    Attributes:
      head: the text before the name: CREATE, OR REPLACE, TEMPORARY, FUNCTION, IF NOT EXISTS.
      body_start: where the body starts in the user's text.
    """

    head: str
    definition: FunctionDefinition
    body_start: int


def shell(created: CreateFunction) -> str:
    """The statement that keeps a function with tensor operators in the database.

    Defaults travel with the body: DuckDB's catalog lists the names of a macro's parameters alone.
    """
    definition = created.definition
    names = [quote(name) if default is None else f"{quote(name)} := NULL" for name, default in definition.parameters]
    content: dict[str, Any] = {
        "defaults": {n: d for n, d in definition.parameters if d is not None},
        "body": definition.body,
    }
    content |= {"doc": definition.doc} if definition.doc else {}
    content |= {"has_dollar_names": True} if definition.has_dollar_names else {}
    refusal = f"error({quote_text(_REFUSAL + json.dumps(content))})"
    return f"{created.head} {quote(definition.name)}({', '.join(names)}) AS {refusal}"


def definitions(macros: Iterable[tuple[str, Sequence[str], str]]) -> dict[str, FunctionDefinition]:
    """Functions by lower-case name, from macros given as name, parameters and body; overloaded ones are left out."""
    found: dict[str, FunctionDefinition] = {}
    overloaded: set[str] = set()
    for name, parameters, body in macros:
        overloaded |= {name.lower()} & set(found)
        carried = _SHELL.match(body or "")
        content: dict[str, Any] = json.loads(carried.group(1).replace("''", "'")) if carried else {"body": body}
        defaults = content.get("defaults", {})
        pairs = tuple((parameter, defaults.get(parameter)) for parameter in parameters)
        found[name.lower()] = FunctionDefinition(
            name,
            pairs,
            content["body"],
            is_shell=carried is not None,
            doc=content.get("doc", ""),
            has_dollar_names=content.get("has_dollar_names", False),
        )
    return {name: definition for name, definition in found.items() if name not in overloaded}


def read_create(statement: Statement) -> CreateFunction | None:
    """The parts of a CREATE FUNCTION or CREATE MACRO with one scalar body; None for any other statement.

    Raises:
      ParseError: the parameter list is malformed.
    """
    tokens = statement.tokens
    words = [token.text.upper() for token in tokens]
    if (
        words[0] != "CREATE"
        or not {"FUNCTION", "MACRO"} & set(words[:5])
        or TokenType.L_PAREN not in [t.token_type for t in tokens]
    ):
        return None
    opened = next(i for i, token in enumerate(tokens) if token.token_type == TokenType.L_PAREN)
    closed = _closing(tokens, opened)
    if closed + 2 >= len(tokens) or words[closed + 1] != "AS" or words[closed + 2] == "TABLE":
        return None
    parameters = tuple(_parameters(statement, opened + 1, closed))
    start = statement.source.original_offset(tokens[closed + 2].start)
    body = statement.slice(closed + 2, len(tokens))
    head = statement.slice(0, opened - 1)
    definition = FunctionDefinition(tokens[opened - 1].text, parameters, body, is_shell=True)
    return CreateFunction(head, definition, start)


def _closing(tokens: Sequence[object], opened: int) -> int:
    depth = 0
    for i in range(opened, len(tokens)):
        kind = tokens[i].token_type  # type: ignore[attr-defined]
        depth += (kind in OPENING) - (kind in CLOSING)
        if depth == 0:
            return i
    return len(tokens) - 1


def _parameters(statement: Statement, start: int, end: int) -> Iterable[tuple[str, str | None]]:
    tokens = statement.tokens
    first, depth = start, 0
    for i in range(start, end + 1):
        kind = tokens[i].token_type
        depth += (kind in OPENING) - (kind in CLOSING)
        if (i == end or (kind == TokenType.COMMA and depth == 0)) and i > first:
            has_default = i > first + 2 and tokens[first + 1].text in (":=", "=")
            if i > first + 1 and not has_default:
                raise ParseError(
                    "A parameter is a name, with := and a default if it has one",
                    span=statement.span(tokens[first].start, tokens[i - 1].end + 1),
                )
            yield tokens[first].text, statement.slice(first + 2, i) if has_default else None
            first = i + 1


def check_body(definition: FunctionDefinition, functions: Mapping[str, FunctionDefinition]) -> None:
    """Refuses a body that calls itself or names what is no parameter.

    Raises:
      ParseError: the body is no expression.
      UnsupportedError: the function calls itself, be it through others.
      BindError: a name in the body is no parameter.
    """
    tree = body_tree(definition)
    check_recursion(definition, functions)
    known = {name.lower() for name, _ in definition.parameters}
    for column in free_columns(tree):
        if not column.table and column.name.lower() not in known:
            names = ", ".join(name for name, _ in definition.parameters) or "none"
            raise BindError(f'Function {definition.name} has no parameter "{column.name}". Parameters are: {names}')


def free_columns(tree: exp.Expr) -> Iterator[exp.Column]:
    """The columns that an expression leaves open, in their order; its subqueries' tables give them their own."""
    for column in tree.find_all(exp.Column, bfs=False):
        if not isinstance(column.this, exp.Star) and not _is_bound(column, tree):
            yield column


def _is_bound(column: exp.Column, tree: exp.Expr) -> bool:
    """Whether a column is the field of a call's row, or is given its meaning by a subquery or list comprehension."""
    above = column.parent
    if isinstance(above, exp.Bracket) and column.arg_key == "expressions" and isinstance(above.this, exp.Anonymous):
        return True
    part: exp.Expr = column
    while above is not None and above is not tree.parent:
        is_inside = isinstance(above, exp.Comprehension) and part.arg_key != "iterator"
        if is_inside and above.args["expression"].name == column.parts[0].name:
            return True
        if isinstance(above, exp.Select) and above.args.get("from_") is not None:
            return True
        part, above = above, above.parent
    return False


def check_recursion(definition: FunctionDefinition, functions: Mapping[str, FunctionDefinition]) -> None:
    """Refuses a function that would call itself, be it through others.

    Raises:
      UnsupportedError: it would.
    """
    ways: list[tuple[FunctionDefinition, ...]] = [(definition,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for call in body_tree(way[-1]).find_all(exp.Anonymous):
            name = function_name(call)
            if name == definition.name.lower():
                through = "".join(f", through {step.name}" for step in way[1:])
                raise UnsupportedError(f"Function {definition.name} calls itself{through}")
            if name in functions and name not in seen:
                seen.add(name)
                ways.append((*way, functions[name]))


def body_tree(definition: FunctionDefinition) -> exp.Expr:
    """The syntax tree of a function's body, for the caller to change."""
    return _parsed_body(definition).copy()


@lru_cache(maxsize=512)
def _parsed_body(definition: FunctionDefinition) -> exp.Expr:
    (statement,) = statements(f"SELECT {definition.body}")
    try:
        tree = parse(desugar(statement))
    except TfsqlError as error:
        raise ParseError(f"Cannot read the body of function {definition.name}: {error.message}") from error
    items = tree.expressions
    if len(items) != 1:
        raise ParseError(f"The body of function {definition.name} is one expression")
    body = items[0]
    for index, literal in enumerate(statement.source.literals):
        lifted = f"{PLACEHOLDER_PREFIX}{index}"
        for placeholder in [p for p in body.find_all(exp.Placeholder) if str(p.this) == lifted]:
            placeholder.replace(_array(literal.value.tolist()))
    return body  # type: ignore[no-any-return]


def _array(value: object) -> exp.Expr:
    if isinstance(value, list):
        return exp.Array(expressions=[_array(item) for item in value])
    return exp.Literal.number(value)


def inline(definition: FunctionDefinition, call: exp.Expr) -> exp.Expr:
    """The body with the call's arguments in the place of the parameters, positioned where the call is.

    Raises:
      BindError: an argument is missing, unknown or too many.
    """
    arguments = _arguments(definition, call)
    body = body_tree(definition)
    position: dict[str, Any] = {key: value for key, value in call.meta.items() if key in _POSITION}
    for node in body.walk():
        if "start" in node.meta:
            node.meta.update(position)
    holder = exp.Paren(this=body)
    if definition.has_dollar_names:
        for placeholder in list(holder.find_all(exp.Placeholder)):
            if str(placeholder.this).lower() in arguments:
                placeholder.replace(_enclosed(arguments[str(placeholder.this).lower()]))
        return holder
    _rename_inner_names(holder)
    for column in list(holder.find_all(exp.Column)):
        root, *fields = column.parts
        argument = arguments.get(root.name.lower())
        if argument is not None and not (fields and _is_table(root.name, column)):
            made = _enclosed(argument)
            for field in fields:
                made = exp.Dot(this=made, expression=exp.to_identifier(field.name, quoted=True))
            column.replace(made)
    return holder


def lacks_argument(definition: FunctionDefinition, call: exp.Expr) -> bool:
    """Whether a call leaves an argument to its default."""
    given = list(call.expressions)
    names = [name.lower() for name, _ in definition.parameters]
    is_row = len(given) == 1 and _row_pairs(given[0], names) is not None
    return not is_row and len(given) < len(names)


def _enclosed(argument: exp.Expr) -> exp.Expr:
    """A copy of an argument that binds as tightly as a name does, and knows what it is a copy of."""
    argument.meta.setdefault(COPY_OF, next(_NUMBERS))
    return exp.Paren(this=argument.copy()) if isinstance(argument, exp.Binary) else argument.copy()


def _is_table(name: str, column: exp.Expr) -> bool:
    """Whether a subquery around a column has a table of this name."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        tables = [item.this for item in (select.args.get("from_"), *(select.args.get("joins") or [])) if item]
        if any(table.alias_or_name.lower() == name.lower() for table in tables):
            return True
        select = select.find_ancestor(exp.Select)
    return False


_FRESH = itertools.count(1)


def _rename_inner_names(body: exp.Expr) -> None:
    """Gives the parameters of a body's lambdas and list comprehensions names that no argument can hold."""
    for function in list(body.find_all(exp.Lambda, exp.Comprehension)):
        names = function.expressions if isinstance(function, exp.Lambda) else [function.args["expression"]]
        parts = [function.this, function.args.get("condition")]
        for parameter in names:
            old, new = parameter.name, f"tfsql_inner_{next(_FRESH)}"
            for part in (found for inside in parts if inside is not None for found in inside.find_all(exp.Identifier)):
                is_root = not isinstance(part.parent, exp.Column) or part.parent.parts[0] is part
                if part.name.lower() == old.lower() and is_root:
                    part.set("this", new)
            parameter.set("this", new)


def _arguments(definition: FunctionDefinition, call: exp.Expr) -> dict[str, exp.Expr]:
    names = [name.lower() for name, _ in definition.parameters]
    given = list(call.expressions)
    if len(given) == 1 and (pairs := _row_pairs(given[0], names)) is not None:
        given = pairs
    found: dict[str, exp.Expr] = {}
    for position, argument in enumerate(given):
        is_named = isinstance(argument, exp.PropertyEQ | exp.Kwarg)
        name = field_name(argument).lower() if is_named else names[position] if position < len(names) else ""
        if name not in names or name in found:
            listed = ", ".join(name for name, _ in definition.parameters) or "none"
            what = f'no parameter "{name}"' if name else f"{len(names)} parameters"
            raise BindError(f"Function {definition.name} has {what}. Parameters are: {listed}")
        found[name] = argument.expression if is_named else argument
    for name, default in definition.parameters:
        if name.lower() not in found:
            if default is None:
                raise BindError(f'Function {definition.name}: missing argument "{name}"')
            found[name.lower()] = body_tree(FunctionDefinition(name, (), default, is_shell=False))
    return found


def _row_pairs(node: exp.Expr, names: list[str]) -> list[exp.Expr] | None:
    """The named arguments of ``f({x: 1})`` where the row's names are parameters."""
    if isinstance(node, exp.Struct):
        pairs = [(field_name(pair), pair.expression) for pair in node.expressions]
    elif is_row(node) and not any(isinstance(element, exp.Columns) for element in node.expressions):
        pairs = row_elements(node)
    else:
        return None
    if not pairs or not all(name.lower() in names for name, _ in pairs):
        return None
    return [exp.PropertyEQ(this=exp.to_identifier(name), expression=value) for name, value in pairs]
