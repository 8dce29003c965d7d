"""``tfsql doctor``: versions, devices, threads, and what is missing."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tfsql import __version__, connect
from tfsql.errors import TfsqlError
from tfsql.render.asking import abilities
from tfsql.render.streams import TRUE_COLOR, terminal_colors, terminal_width


class MissingError(Exception):
    """A part of tfsql that does not work; the text says which, and what to do."""


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
      find: what there is, or MissingError.
      is_needed: whether tfsql is of no use without it.
    """

    name: str
    find: Callable[[], str]
    is_needed: bool = False


def parser(kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The arguments of the command: none."""
    return kind(prog="tfsql doctor", description=__doc__, allow_abbrev=False)


def run() -> int:
    """Prints the report; returns 0, or 1 where something is missing that tfsql needs."""
    is_well = True
    width = max(len(check.name) for check in CHECKS)
    for check in CHECKS:
        try:
            text = check.find()
        except (MissingError, TfsqlError, ImportError, OSError) as error:
            text = f"missing: {str(error).splitlines()[0]}"
            is_well = is_well and not check.is_needed
        print(f"{check.name:<{width}}  {text}", flush=True)
    return 0 if is_well else TfsqlError.exit_code


# -- checks ------------------------------------------------------------------------------------------------------------


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"


def _duckdb() -> str:
    with connect() as connection:
        relation = connection.sql("SELECT current_setting('threads'), current_setting('memory_limit')")
        assert relation is not None
        ((threads, memory),) = relation.fetchall()
    return f"{version('duckdb')}, {threads} threads, {memory} of memory"


def _tensorflow() -> str:
    start = time.perf_counter()
    from tfsql import registry  # starts TensorFlow, without its chatter
    from tfsql.kernel import devices

    seconds = time.perf_counter() - start
    parts = [devices.version(), *devices.device_names(), f"{len(registry.wrapped_names()):,} operators"]
    within, across = (count or "all" for count in devices.threads())
    return ", ".join([*parts, f"{within} threads within operators, {across} across, loaded in {seconds:.1f} s"])


def _answer() -> str:
    with connect() as connection:
        relation = connection.sql("SELECT tf_Square([1.0, 2.0, 3.0]) AS y")
        assert relation is not None
        rows = relation.fetchall()
    if rows != [((1.0, 4.0, 9.0),)]:
        raise MissingError(f"tf_Square([1.0, 2.0, 3.0]) gave {rows}")
    return "tf_Square([1.0, 2.0, 3.0]) is [1.0, 4.0, 9.0]"


def _javascript() -> str:
    with connect() as connection:
        relation = connection.sql("SELECT jseval('return x + 1', 'x', 41) AS y")
        assert relation is not None
        relation.fetchall()
    return f"V8 through mini-racer {version('mini-racer')}"


def _package(name: str, use: str) -> Callable[[], str]:
    def find() -> str:
        if importlib.util.find_spec(name) is None:
            raise MissingError(f"{use} needs it: pip install {name}")
        return version(name)

    return find


def _libraries() -> str:
    found = []
    for name in ("pyarrow", "numpy", "pandas", "sqlglot", "sqlglotc"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _terminal() -> str:
    colors = {TRUE_COLOR: "true colour", 256: "256 colours"}.get(terminal_colors(sys.stdout), "no colours for pictures")
    name = os.environ.get("TERM", "no TERM") if sys.stdout.isatty() else "no terminal"
    pixels = "".join(f", pictures in pixels by {protocol}" for protocol in abilities().protocols[:1])
    return f"{name}, {sys.stdout.encoding}, {terminal_width()} columns, {colors}{pixels}"


def _history() -> str:
    from tfsql.terminal.editor import history_path

    path = history_path()
    folder = next((parent for parent in path.parents if parent.exists()), Path("/"))
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise MissingError(f"{path} cannot be written, so that what is typed is forgotten")
    return str(path)


CHECKS = (
    Check("tfsql", lambda: __version__, is_needed=True),
    Check("Python", _python, is_needed=True),
    Check("libraries", _libraries, is_needed=True),
    Check("DuckDB", _duckdb, is_needed=True),
    Check("TensorFlow", _tensorflow, is_needed=True),
    Check("answer", _answer, is_needed=True),
    Check("JavaScript", _javascript),
    Check("matplotlib", _package("matplotlib", "plot()")),
    Check("IPython", _package("IPython", "%%tfsql in a notebook")),
    Check("terminal", _terminal),
    Check("history", _history),
)
