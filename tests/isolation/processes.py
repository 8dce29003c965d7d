"""The processes of this machine, as /proc tells of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def children_of(parent: int) -> dict[int, str]:
    """The processes below one, at any depth: number and state (``Z`` is a zombie)."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = (int(fields[1]), fields[0])
    found: dict[int, str] = {}
    while more := {p: s for p, (above, s) in parents.items() if above in {parent, *found} and p not in found}:
        found |= more
    return found


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def wait_until(holds: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)
