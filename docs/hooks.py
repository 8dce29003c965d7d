"""Makes the page of operators when the site is built."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files

from tfsql.registry import EXPOSED, NO_DEFAULT, OperatorSpec, operator_spec, verdict, wrapped_names
from tfsql.terminal.ops import signature

_HEAD = """# Operators

Every operator of TensorFlow that SQL can call. `tfsql ops Conv2D` explains one, with the types and values of its
arguments; `SELECT * FROM tf_operators()` has all of them as rows, those that are refused too, and why.

| Call | What it does | Further attributes |
| --- | --- | --- |
"""


def on_files(files: Files, config: Any) -> Files:
    """Adds ``operators.md``."""
    specs = [operator_spec(name) for name in wrapped_names() if verdict(name).status == EXPOSED]
    rows = [_row(spec) for spec in specs if spec is not None]
    files.append(File.generated(config, "operators.md", content=_HEAD + "\n".join(rows) + "\n"))
    return files


def _row(spec: OperatorSpec) -> str:
    optional = [a.name for a in spec.attributes if a.default is not NO_DEFAULT and not a.is_inferred]
    summary = " ".join(spec.summary.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
    return f"| `{signature(spec)}` | {summary} | {', '.join(f'`{name}`' for name in optional)} |"
