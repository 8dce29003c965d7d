"""Binding: names to tables, functions and operators; SQL expressions to tensor expressions."""

from __future__ import annotations

from tfsql.bind.grammar import parse
from tfsql.bind.records import Bound, Environment, KernelUse, Stream, View
from tfsql.bind.statement import StatementBinder, bind_text

__all__ = ["Bound", "Environment", "KernelUse", "StatementBinder", "Stream", "View", "bind_text", "parse"]
