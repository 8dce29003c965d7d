"""SQL functions: ``CREATE FUNCTION f(x) AS ...``, inlined where they are called so that their operators fuse.

DuckDB's own macros are such functions too: one whose body turns out to be a tensor expression is inlined, any other is
DuckDB's. A body with tensor operators is kept as a macro that carries its text and refuses to run without tfsql.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from tfsql.bind.forms import is_row, row_elements
from tfsql.bind.grammar import parse
from tfsql.bind.literals import field_name
from tfsql.errors import BindError, ParseError, TfsqlError, UnsupportedError
from tfsql.source import CLOSING, OPENING, PLACEHOLDER_PREFIX, Statement, statements
from tfsql.sugar import desugar
from tfsql.types import quote

_REFUSAL = "This function holds tensor operators; call it through tfsql: "
_SHELL = re.compile(rf"^\"?error\"?\('{_REFUSAL}((?:[^']|'')*)'\)$", re.DOTALL)
_POSITION = ("line", "col", "start", "end")


@dataclass(frozen=True)
class FunctionDefinition:
    """A SQL function.

    Attributes:
      parameters: name, and the text of the default or None.
      body: the text of the expression.
      is_shell: whether only tfsql can run it.
      doc: what it does, in words.
      origin: ``sql`` for a function of the database, ``library`` for one of the standard library.
    """

    name: str
    parameters: tuple[tuple[str, str | None], ...]
    body: str
    is_shell: bool
    doc: str = ""
    origin: str = "sql"


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
    carried = json.dumps(
        {"defaults": {n: d for n, d in definition.parameters if d is not None}, "body": definition.body}
    )
    refusal = f"error({_string(_REFUSAL + carried)})"
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
        found[name.lower()] = FunctionDefinition(name, pairs, content["body"], carried is not None)
    return {name: definition for name, definition in found.items() if name not in overloaded}


def _string(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


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


def check_body(definition: FunctionDefinition) -> None:
    """Refuses a body that calls itself or names what is no parameter.

    Raises:
      ParseError: the body is no expression.
      UnsupportedError: the function calls itself.
      BindError: a name in the body is no parameter.
    """
    tree = body_tree(definition)
    if any(
        isinstance(call, exp.Anonymous) and str(call.this).lower() == definition.name.lower() for call in tree.walk()
    ):
        raise UnsupportedError(f"Function {definition.name} calls itself")
    known = {name.lower() for name, _ in definition.parameters}
    has_query = tree.find(exp.Select) is not None
    for column in tree.find_all(exp.Column):
        if (
            not has_query
            and not column.table
            and column.name.lower() not in known
            and not isinstance(column.this, exp.Star)
        ):
            names = ", ".join(name for name, _ in definition.parameters) or "none"
            raise BindError(f'Function {definition.name} has no parameter "{column.name}". Parameters are: {names}')


def body_tree(definition: FunctionDefinition) -> exp.Expr:
    """The syntax tree of a function's body."""
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
    for column in list(holder.find_all(exp.Column)):
        argument = arguments.get(column.name.lower()) if not column.table else None
        if argument is not None:
            column.replace(exp.Paren(this=argument.copy()) if isinstance(argument, exp.Binary) else argument.copy())
    return holder


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
