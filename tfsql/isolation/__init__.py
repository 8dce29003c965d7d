"""Kernels in processes of their own: an operator that aborts takes a worker down, not the process of the database.

A *nursery* is a process that has imported TensorFlow and run nothing; it forks *workers*, which is a matter of
milliseconds. A worker computes one call at a time. Arrays go to it and come back in memory that both processes share.
"""

from __future__ import annotations

import sys

IS_POSSIBLE = sys.platform == "linux"
"""Whether kernels can run in workers here: they need Linux's memory without a name, and its /proc."""

NONE, PROCESS = "none", "process"
"""Where kernels run: in the process of the database, or in workers."""
