"""``tfsql ops``: TensorFlow's operators as a list, and the documentation of one."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tfsql.errors import BindError, did_you_mean
from tfsql.render import FORMATS, Result, writer
from tfsql.render.streams import has_colors, terminal_width
from tfsql.render.tables import table_of

if TYPE_CHECKING:
    from tfsql.registry import Attribute, OperatorSpec

PREFIX = "tf_"
_BOLD, _RESET = "\x1b[1m", "\x1b[0m"
_MAX_WIDTH = 100
_EPILOG = """\
PATTERN is the name of an operator, which is explained; part of a name; or a name with * and ?.
Where no name fits, the one-line descriptions are searched.

  tfsql ops Conv2D
  tfsql ops 'Resize*'
  tfsql ops pooling
"""


def parser(kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = kind(
        prog="tfsql ops",
        description="Lists TensorFlow's operators, or explains one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="all if left out")
    made.add_argument("--format", choices=tuple(FORMATS), metavar="FORMAT", help=f"of the list: {', '.join(FORMATS)}")
    return made


def run(options: argparse.Namespace) -> int:
    """Writes the list or the documentation to standard output.

    Raises:
      BindError: nothing fits the pattern.
    """
    print_ops(options.pattern, options.format)
    return 0


def print_ops(pattern: str, mode: str | None = None) -> None:
    """Prints the documentation of the operator of that name, or the list of those that fit a pattern.

    Raises:
      BindError: nothing fits.
    """
    from tfsql.registry import operator_spec, wrapped_names

    bare = pattern.removeprefix(PREFIX)
    names = wrapped_names()
    exact = next((name for name in names if name.lower() == bare.lower()), None)
    spec = None if exact is None else operator_spec(exact)
    if spec is not None and mode is None:
        print("\n".join(_documentation(spec, min(terminal_width(), _MAX_WIDTH), is_bold=has_colors(sys.stdout))))
        return
    rows = [(f"{PREFIX}{name}", *_status(name)) for name in _matching(names, bare)]
    if not rows:
        raise BindError(f"No operator fits {pattern}", hint=did_you_mean(bare, names))
    result = Result(["name", "status", "summary"], ["VARCHAR"] * 3, iter(rows))
    if mode in (None, "table"):
        print(table_of(result, max_rows=len(rows)))
    else:
        writer(mode or "table")(result, sys.stdout)


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    """The names that a pattern fits, or else those in whose summary it stands."""
    from tfsql.registry import operator_spec

    lower = pattern.lower()
    glob = lower if set(lower) & set("*?") else f"*{lower}*"
    named = [name for name in names if fnmatchcase(name.lower(), glob)]
    if named:
        return named
    specs = [(name, operator_spec(name)) for name in names]
    return [name for name, spec in specs if spec is not None and lower in spec.summary.lower()]


def _status(name: str) -> tuple[str, str]:
    from tfsql.registry import operator_spec, verdict

    spec = operator_spec(name)
    return verdict(name).status, "" if spec is None else spec.summary


# -- one operator ------------------------------------------------------------------------------------------------------


def _documentation(spec: OperatorSpec, width: int, *, is_bold: bool) -> Iterator[str]:
    from tfsql.registry import verdict
    from tfsql.registry.catalogue import argument_type
    from tfsql.registry.docs import argument_texts

    def heading(text: str) -> str:
        return f"{_BOLD}{text}{_RESET}" if is_bold else text

    name = spec.sql_name.removeprefix(PREFIX)
    texts, judged = argument_texts(name), verdict(name)
    yield heading(signature(spec))
    yield from _wrapped(spec.summary, width, "")
    if judged.reason:
        yield from _wrapped(f"{judged.status}: {judged.reason}", width, "")
    sections = (
        ("Inputs", [(a.name, argument_type(a), texts.get(a.name, "")) for a in spec.inputs]),
        ("Attributes", [(a.name, attribute_type(a), texts.get(a.name, "")) for a in spec.attributes]),
        ("Outputs", [(a.name, argument_type(a), "") for a in spec.outputs]),
    )
    for title, entries in sections:
        if entries:
            yield ""
            yield heading(title)
        for argument, kind, text in entries:
            yield from textwrap.wrap(f"{argument}  {kind}", width, initial_indent="  ", subsequent_indent=" " * 8)
            yield from _wrapped(without_type(text), width, "      ")


def signature(spec: OperatorSpec) -> str:
    """A call as a user writes it: inputs by position, attributes that must be given in a row.

    Example:
      >>> from tfsql.registry import operator_spec
      >>> signature(operator_spec("Conv2D"))
      'tf_Conv2D(input, filter, {strides: ..., padding: ...})'
    """
    from tfsql.registry import NO_DEFAULT

    required = [a.name for a in spec.attributes if a.default is NO_DEFAULT and not a.is_inferred]
    parts = [argument.name for argument in spec.inputs]
    if required:
        parts.append("{" + ", ".join(f"{name}: ..." for name in required) + "}")
    return f"{spec.sql_name}({', '.join(parts)})"


def attribute_type(attribute: Attribute) -> str:
    """What an attribute takes: its type, allowed values, and default or that it must be given."""
    from tfsql.registry import NO_DEFAULT

    kind = attribute.kind
    if attribute.allowed:
        quote = "'" if kind == "string" else ""
        kind += " in " + ", ".join(f"{quote}{value}{quote}" for value in attribute.allowed)
    if attribute.is_inferred:
        return f"{kind} (follows the inputs)"
    return kind + (" (required)" if attribute.default is NO_DEFAULT else f" = {attribute.default!r}")


def without_type(text: str) -> str:
    """TensorFlow's sentence on an argument without the type at its head, which stands beside it already.

    Example:
      >>> without_type("A list of `ints`. 1-D tensor of length 4. The stride.")
      '1-D tensor of length 4. The stride.'
    """
    for start in ("A `", "An optional", "A list of", "Must be one of", "Must have the same type", "Defaults to"):
        if text.startswith(start):
            text = text.partition(". ")[2]
    return text


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text.replace("`", ""), max(width, 20), initial_indent=indent, subsequent_indent=indent)
