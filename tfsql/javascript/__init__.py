"""JavaScript in V8: functions over rows, in a process of their own."""

from __future__ import annotations

from tfsql.javascript.process import Limits
from tfsql.javascript.script import Script
from tfsql.javascript.values import Values

__all__ = ["Limits", "Script", "Values"]
