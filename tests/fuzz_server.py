"""Fuzzes the server: mutated requests and SQL texts over raw sockets, to a server that must stay as it is.

Run it from the root of the repository:

    python tests/fuzz_server.py --requests 10000 --seed 1

Each request is a right one of which something is changed: bytes of the request line, the headers or the body, the
length that it says, words of its SQL. What is sent is a matter of the seed and the number alone. Findings are answers
of 500 or more that are not documented, no answer in ten seconds to what is a whole request, and a server that is gone;
how much memory it takes is printed now and then.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from server.running import Server

SECONDS_PER_REQUEST = 10.0
# How long an answer is waited for to what is no whole request: the server may wait for the rest of it.
SECONDS_PER_PART = 0.2
# What the documentation tells of: a kernel worker that died, and a server that is busy.
DOCUMENTED = (503,)
SILENT, UNDOCUMENTED, GONE = "no answer", "undocumented failure", "the server is gone"
_BETWEEN_CHECKS = 500
# The first requests fill caches.
_WARM_AFTER = 1000

SQL = (
    "SELECT 1",
    "SELECT label, tf_Conv2D(reshape(image, [1, 28, 28, 1]), [[[[1.0]]]], {padding: 'SAME', strides: [1, 1, 1, 1]}) "
    "FROM demo.digits LIMIT 3",
    "SELECT tf_Square($x) AS y",
    "SELECT tf_Reshape([1, 2, 3, 4], [2, 2]) AS *",
    "SELECT jseval('return x * 2', 'x', 21) AS y",
    "SELECT edge_magnitude(image) AS e FROM demo.digits WHERE label = 3 LIMIT 2",
    "CREATE OR REPLACE TABLE t AS SELECT i, tf_Fill([2, 2], i::FLOAT) AS x FROM range(9) r(i)",
    "INSERT INTO t SELECT i, x FROM t LIMIT 1",
    "CREATE OR REPLACE FUNCTION f(a) AS tf_Mul(a, 2.0)",
    "SELECT f(x) FROM t",
    "EXPLAIN SELECT tf_Square(x) FROM t",
    "DESCRIBE FUNCTION tf_Conv2D",
    "SET tfsql_lowering = off",
    "BEGIN; INSERT INTO t SELECT 1, tf_Fill([2, 2], 1.0); ROLLBACK",
    "WITH a AS (SELECT * FROM t) SELECT tf_Sum(x, [0, 1]) FROM a GROUP BY ALL ORDER BY 1 DESC",
)
_WORDS = (
    "SELECT", "FROM", "(", ")", "[", "]", "{", "}", "'", '"', ",", ";", "--", "/*", "$x", "?", "::", "NULL", "*",
    "AS *", "GROUP BY", "UNION ALL", "RECURSIVE", "tf_", "tf_X", "tf_Cholesky", "1e400", "-1", "99999999999999999999",
    "\\0", "\\u0000", "é", "𝄞", "[" * 300, "(" * 300, "tf_Fill([100000, 100000], 1)", "range(1000000000)",
    "repeat('x', 1000000000)",
)  # fmt: skip
_BODIES = (
    b"{}",
    b"[]",
    b"null",
    b'{"sql": 1}',
    b"\xff\xfe",
    b'{"sql": "SELECT 1", "parameters": {"x": [[[]]]}}',
    b"[" * 9999,
)
_PATHS = (
    "/api/query", "/v1/query", "/api/queries", "/api/queries/x", "/api/operators?search=conv", "/healthz", "/metrics",
    "/openapi.json", "/", "/static/page.js", "/v1/datasets", "/v1/functions", "/v1/procedures", "/v1/types",
    "/v1/functions/g/application?input={}", "/v1/query?q=SELECT%201&format=aos",
)  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW")
_ACCEPTS = ("application/json", "text/csv", "application/vnd.apache.arrow.stream", "image/png", "*/*", "")
_TYPES = ("application/json", "application/sql", "text/plain", "application/octet-stream", "")


class Maker:
    """Makes one request from a generator of random numbers."""

    def __init__(self, seed: int, number: int):
        self._generator = np.random.default_rng([seed, number])

    def request(self) -> bytes:
        """The bytes to send."""
        method, path = self._one(_METHODS), self._one(_PATHS)
        body, kind = b"", self._one(_TYPES)
        if self._chance(0.7):
            method, path = "POST", "/api/query"
            body = self._body(kind)
        elif self._chance(0.5):
            body = self._one(_BODIES)
        length = str(len(body)) if self._chance(0.95) else self._one(("-1", "x", "0", str(len(body) + 9), "9" * 30))
        headers = [
            f"Host: {self._one(('127.0.0.1', 'localhost', 'evil.example', ''))}"
            if self._chance(0.1)
            else "Host: 127.0.0.1"
        ]
        headers += [f"Content-Type: {kind}", f"Accept: {self._one(_ACCEPTS)}", f"Content-Length: {length}"]
        made = (
            f"{method} {path} HTTP/1.1\r\n".encode()
            + "\r\n".join([*headers, "Connection: close"]).encode()
            + b"\r\n\r\n"
            + body
        )
        return self._mutated(made) if self._chance(0.3) else made

    def _body(self, kind: str) -> bytes:
        sql = self._one(SQL)
        for _ in range(self._one((0, 1, 1, 2, 4))):
            sql = self._other_sql(sql)
        if kind != "application/json":
            return sql.encode("utf-8", "surrogatepass")
        parameters = self._one(
            ({"x": 3}, {"x": {"tensor": "float32", "values": [1, 2]}}, [1, 2], None, {"x": "NaN"}, {"x": {}})
        )
        return json.dumps({"sql": sql, "parameters": parameters}).encode()

    def _other_sql(self, sql: str) -> str:
        words = re.findall(r"\w+|\s+|[^\w\s]", sql)
        place = self._one(range(len(words) + 1))
        kind = self._one(("put", "drop", "replace", "swap", "double", "join"))
        if kind == "put" or not words:
            words.insert(place, self._one(_WORDS))
        elif kind == "drop":
            del words[place % len(words)]
        elif kind == "replace":
            words[place % len(words)] = self._one(_WORDS)
        elif kind == "swap":
            other = self._one(range(len(words)))
            words[place % len(words)], words[other] = words[other], words[place % len(words)]
        elif kind == "double":
            words *= 2
        else:
            words += [" UNION ALL ", self._one(SQL)]
        return "".join(words)[:20_000]

    def _mutated(self, data: bytes) -> bytes:
        made = bytearray(data)
        for _ in range(self._one((1, 2, 8))):
            place = self._one(range(len(made))) if made else 0
            kind = self._one(("flip", "cut", "put"))
            if kind == "flip" and made:
                made[place] ^= 1 << int(self._generator.integers(8))
            elif kind == "cut":
                del made[place : place + int(self._generator.integers(1, 20))]
            else:
                made[place:place] = self._generator.bytes(int(self._generator.integers(1, 9)))
        return bytes(made)

    def _one(self, choices: Sequence) -> object:  # type: ignore[type-arg]
        return choices[int(self._generator.integers(len(choices)))]

    def _chance(self, probability: float) -> bool:
        return bool(self._generator.random() < probability)


@dataclass
class Report:
    """What the server answered."""

    statuses: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        grown = ", ".join(f"{size:,.0f}" for size in self.megabytes)
        return f"{sum(self.statuses.values())} requests: {counts}; memory of the server in MB: {grown}"


def is_whole(request: bytes) -> bool:
    """Whether nothing more is to come after these bytes."""
    head, end, body = request.partition(b"\r\n\r\n")
    lengths = re.findall(rb"(?i)\r\ncontent-length: *(\d+) *(?=\r\n|$)", head)
    return bool(end) and len(lengths) == 1 and int(lengths[0]) <= len(body)


def answer_of(port: int, request: bytes) -> tuple[str, bytes]:
    """The status, or what came instead of one, and what was sent back."""
    patience = SECONDS_PER_REQUEST if is_whole(request) else SECONDS_PER_PART
    with socket.create_connection(("127.0.0.1", port), SECONDS_PER_REQUEST) as connection:
        connection.settimeout(patience)
        received = b""
        try:
            connection.sendall(request)
            while part := connection.recv(65_536):
                received += part
        except TimeoutError:
            return SILENT if is_whole(request) else "more is waited for", received
        except OSError:  # the server may close before it has read all
            pass
    found = re.match(rb"HTTP/1\.1 (\d{3})", received)
    return (found.group(1).decode() if found else "closed"), received


def fuzz(server: Server, requests: int, seed: int) -> Report:
    """Sends ``requests`` requests, and reports what became of them."""
    report = Report()
    for number in range(requests):
        request = Maker(seed, number).request()
        status, received = answer_of(server.port, request)
        report.statuses[status] += 1
        if status == SILENT or (status.startswith("5") and int(status) not in DOCUMENTED and not _is_worker(received)):
            report.findings.append(f"{number} {status}: {request!r} -> {received[-500:]!r}")
            print(report.findings[-1], flush=True)
        if server.process.poll() is not None:
            report.findings.append(f"{number} {GONE}: {request!r}")
            return report
        if number % _BETWEEN_CHECKS == 0 and number >= min(_WARM_AFTER, requests // 2):
            report.megabytes.append(resident_megabytes(server.process.pid))
            print(report, file=sys.stderr, flush=True)
    if server.rows("SELECT 41 + 1") != [[42]]:
        report.findings.append("the server does not answer rightly any more")
    return report


def _is_worker(received: bytes) -> bool:
    """Whether an answer tells that a kernel worker died, which is documented."""
    return b"worker died" in received


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutated requests to a server that must stay as it is.")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    server = Server("--timeout-s", "5", "--max-body", "1MB", "--max-rows", "10000", "--memory-limit", "1GB")
    started = time.monotonic()
    try:
        report = fuzz(server, given.requests, given.seed)
    finally:
        server.close()
    print(report)
    print(f"{len(report.findings)} findings in {time.monotonic() - started:.0f} s")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
