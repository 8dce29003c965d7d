"""What is imported when: the package is light, and TensorFlow waits for the first tensor query."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tfsql"


def modules_after(code: str) -> set[str]:
    probe = f"import sys\n{code}\nprint(chr(10).join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.splitlines()}


def test_importing_the_package_is_light() -> None:
    assert not modules_after("import tfsql") & {"tensorflow", "pandas", "keras", "matplotlib", "IPython"}


def test_the_prompt_is_light() -> None:
    heavy = {"tensorflow", "pandas", "matplotlib", "IPython", "importlib_metadata"}
    assert not modules_after("import tfsql.cli, tfsql.repl; tfsql.connect()") & heavy


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 42",
        "CREATE TABLE t AS SELECT i, [i] AS x FROM range(3) r(i); SELECT sum(i), x FROM t GROUP BY x",
        "SELECT * EXCLUDING (a) FROM (SELECT 1 AS a, 2 AS b)",
        "SELECT rowName(), i + 1 FROM sample((FROM range(9) r(i)), {rows: 2})",
    ],
)
def test_plain_sql_never_imports_tensorflow(query: str) -> None:
    modules = modules_after(f"import tfsql; tfsql.sql({query!r}).fetchall()")
    assert "tensorflow" not in modules
    assert "pandas" not in modules


@pytest.mark.parametrize("query", ["SELECT tf_Square(2.0)", "SELECT [1.0, 2.0]::FLOAT[2] / 2", "SELECT relu(-1.0)"])
def test_tensorflow_starts_in_silence(query: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    code = f"import tfsql; tfsql.sql({query!r}).fetchall()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""


def importers(package: str) -> set[str]:
    """The modules of tfsql that import ``package`` at any depth."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if any(name.partition(".")[0] == package for name in names):
                found.add(str(path.relative_to(PACKAGE)))
    return found


def test_tensorflow_is_imported_in_its_places_alone() -> None:
    allowed = ("registry/", "kernel/", "infer/", "startup.py")
    assert all(name.startswith(allowed) for name in importers("tensorflow"))


def test_the_engine_is_imported_in_its_backend_alone() -> None:
    assert importers("duckdb") == {"backends/duckdb.py"}


def test_v8_is_imported_in_its_worker_alone() -> None:
    assert importers("py_mini_racer") == {"javascript/worker.py"}


def test_javascript_loads_neither_tensorflow_nor_v8_into_this_process() -> None:
    query = "SELECT jseval('return x + 1', 'x', i) FROM range(3) r(i)"
    modules = modules_after(f"import tfsql; tfsql.sql({query!r}).fetchall()")
    assert not modules & {"tensorflow", "py_mini_racer"}
