"""Tensor kernels: fused TensorFlow graphs that map a batch of rows, as Arrow arrays, to a batch of results."""

from __future__ import annotations

from tfsql.kernel.compiled import Kernel
from tfsql.kernel.graph import Program
from tfsql.kernel.traces import Traces

__all__ = ["Kernel", "Program", "Traces"]
