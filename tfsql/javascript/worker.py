"""The process in which V8 runs: whatever JavaScript does to it, the process that holds the database goes on.

It is run as a script, with the standard library and mini-racer alone. Each message, in and out, is a line of JSON with
the lengths of the binary parts that follow it. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from py_mini_racer import JSOOMException, JSParseException, JSTimeoutException, MiniRacer

DRIVER = Path(__file__).with_name("driver.js").read_text(encoding="utf-8")
# The slice of time after which the driver returns, and some for what surrounds it.
SLICE_S = 0.25
# What V8 and Python take beside the data of a call.
HEADROOM_BYTES = 128 * 2**20


def _racer() -> Any:
    """A V8 context; typed as anything, since what its functions return is."""
    return MiniRacer()


class Context:
    """One compiled function in its own V8 context."""

    def __init__(self, code: str, parameters: list[str], memory_bytes: int):
        self.racer: Any = _racer()
        self.racer.set_hard_memory_limit(memory_bytes)
        self.memory_bytes = memory_bytes
        self.driver = self.racer.eval(DRIVER)
        self.progress = self.driver["progress"]()
        error = self.driver["compile"](json.dumps(parameters), code)
        self.error = error and (self._placed(code, parameters) or error)

    def _placed(self, code: str, parameters: list[str]) -> str:
        """The compile error with line and column, which V8 tells of a whole script alone."""
        try:
            self.racer.eval(f"(function anonymous({','.join(parameters)}\n) {{\n{code}\n}})")
        except JSParseException as error:
            line = re.match(r"<anonymous>:(\d+): (.*)\n", str(error))
            lines = str(error).split("\n")
            if line is not None and len(lines) > 2:
                return f"{line.group(2)} (line {int(line.group(1)) - 2}, column {lines[2].find('^') + 1})"
        return ""

    def row(self) -> int:
        return int.from_bytes(bytes(self.progress[:4]), sys.byteorder)

    def close(self) -> None:
        with suppress(Exception):
            self.racer.close()


def limit_memory(allowed_bytes: int | None) -> None:
    """Lets this process take so much more than it has: what V8 does not count itself, such as array buffers.

    Args:
      allowed_bytes: None for any; V8 sets aside much for a new context.
    """
    with suppress(ImportError, OSError, ValueError):
        import resource

        status = Path("/proc/self/status").read_text()
        used = int(re.search(r"VmData:\s+(\d+) kB", status).group(1)) * 1024  # type: ignore[union-attr]
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard if allowed_bytes is None else used + allowed_bytes, hard))


def write(header: dict[str, Any], *parts: Any) -> None:
    views = [memoryview(part) for part in parts]
    line = json.dumps({**header, "parts": [len(view) for view in views]})
    sys.stdout.buffer.write(line.encode() + b"\n")
    for view in views:
        sys.stdout.buffer.write(view)
    sys.stdout.buffer.flush()


def run(context: Context, request: dict[str, Any], source: BufferedReader) -> None:
    """One batch: results after each slice of time, ``done`` with the last of them; or what stopped it."""
    size = sum(request["parts"])
    limit_memory(context.memory_bytes + HEADROOM_BYTES + 4 * size)
    driver = context.driver
    if size:
        buffer = driver["allocate"](size)
        source.readinto(buffer)
    driver["start"](request["trees"], request["texts"], request["rows"])
    step = driver["run"]
    while True:
        try:
            done = step(timeout_sec=request["timeout_s"] + SLICE_S)
        except JSTimeoutException:
            write({"status": "timeout", "row": context.row()})
            return
        except (JSOOMException, MemoryError):
            write({"status": "memory", "row": context.row()})
            return
        log = driver["log"]()
        if done < 0:
            write({"status": "threw", "row": context.row(), "message": driver["failure"](), "log": log})
            return
        rows, numbers = json.loads(driver["made"]())
        sizes = {"kinds": rows, "lengths": 4 * rows, "numbers": 8 * numbers}
        parts = [memoryview(driver[name]()).cast("B")[:size] for name, size in sizes.items()]
        texts = [driver[name]().encode("utf-8", "surrogatepass") for name in ("texts", "others")]
        is_done = done >= request["rows"]
        write({"status": "done" if is_done else "running", "row": int(done), "log": log}, *parts, *texts)
        if is_done:
            return


def serve() -> None:
    contexts: dict[int, Context] = {}
    source = cast("BufferedReader", sys.stdin.buffer)
    while line := source.readline():
        request = json.loads(line)
        number = request["context"]
        if request["do"] == "open":
            limit_memory(None)
            context = contexts[number] = Context(request["code"], request["parameters"], request["memory_bytes"])
            write({"status": "opened", "error": context.error})
        elif request["do"] == "close":
            closed = contexts.pop(number, None)
            if closed is not None:
                closed.close()
            write({"status": "closed"})
        else:
            run(contexts[number], request, source)


if __name__ == "__main__":
    code = 1
    try:
        serve()
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)  # without an end of V8, which may wait for what will not come
