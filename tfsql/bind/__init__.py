"""Binding: names to tables, functions and operators; SQL expressions to tensor expressions."""

from __future__ import annotations

from tfsql.bind.statement import Bound, Environment, KernelUse, SpreadColumn, StatementBinder, View, bind_text, parse

__all__ = ["Bound", "Environment", "KernelUse", "SpreadColumn", "StatementBinder", "View", "bind_text", "parse"]
