"""Workers, the server or both are killed amid writes, twenty times: what was answered is there, nothing by halves."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from isolation.processes import children_of, is_there, parent_of, wait_until
from server.running import Server

# Every write goes through a kernel, and to two tables.
WRITE = """
BEGIN;
INSERT INTO one SELECT {number}, tf_Sqrt(x) FROM (SELECT [{number}, i]::FLOAT[2] AS x FROM range(50) r(i));
INSERT INTO two SELECT {number}, tf_Square(x) FROM (SELECT [{number}, i]::FLOAT[2] AS x FROM range(50) r(i));
COMMIT
"""
# A table of a size that takes a while, so that it may be half written when the kill comes.
MAKE = "CREATE TABLE made_{number} AS SELECT i, tf_Exp(tf_Sin([i, i + 1]::FLOAT[2])) AS y FROM range(200000) r(i)"


class Writers:
    """Clients that write until they are stopped or the server is gone, and remember what was answered."""

    def __init__(self, server: Server, numbers: itertools.count[int]):
        self.rows: set[int] = set()
        self.tables: set[int] = set()
        self.statuses: set[int] = set()
        self._server = server
        self._numbers = numbers
        self._is_over = threading.Event()
        jobs = [(WRITE, self.rows), (WRITE, self.rows), (MAKE, self.tables)]
        self._threads = [threading.Thread(target=self._run, args=job) for job in jobs]
        for thread in self._threads:
            thread.start()

    def _run(self, sql: str, answered: set[int]) -> None:
        while not self._is_over.is_set():
            number = next(self._numbers)
            try:
                status = self._server.sql(sql.replace("{number}", str(number))).status
            except (OSError, ValueError):
                return
            self.statuses.add(status)
            if status == 204:
                answered.add(number)

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)


def check(server: Server, writers: Writers) -> None:
    one, two = (
        {row[0]: row[1] for row in server.rows(f"SELECT number, count(*) FROM {name} GROUP BY number")}
        for name in ("one", "two")
    )
    assert one == two
    assert set(one.values()) <= {50}
    assert writers.rows <= one.keys()
    made = [row[0] for row in server.rows("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'made%'")]
    assert {f"made_{number}" for number in writers.tables} <= set(made)
    for name in made:
        assert server.rows(f"SELECT count(*), count(y) FROM {name}") == [[200_000, 200_000]]


def kill_workers(server: Server) -> None:
    for process in children_of(nursery_of(server)):
        os.kill(process, signal.SIGKILL)


def nursery_of(server: Server) -> int:
    (nursery,) = [child for child in children_of(server.process.pid) if parent_of(child) == server.process.pid]
    return nursery


@pytest.mark.sweep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", ["worker", "server", "both", "nursery"])
def test_kills_amid_writes(tmp_path: Path, what: str) -> None:
    path, numbers, chance = str(tmp_path / "db.duckdb"), itertools.count(1), random.Random(what)
    server = Server(path)
    server.rows("CREATE TABLE one (number INTEGER, y FLOAT[2]); CREATE TABLE two (number INTEGER, y FLOAT[2])")
    try:
        for _ in range(5):
            writers = Writers(server, numbers)
            wait_until(lambda made=writers: len(made.rows) >= 3, 60)
            time.sleep(chance.uniform(0, 1.5))
            processes = [server.process.pid, *children_of(server.process.pid)]
            if what in ("worker", "both"):
                kill_workers(server)
            if what == "nursery":
                os.kill(nursery_of(server), signal.SIGKILL)
            if what in ("server", "both"):
                server.kill()
                writers.stop()
                wait_until(lambda gone=processes: not any(map(is_there, gone)), 5)
                started = time.monotonic()
                server = Server(path)
                assert time.monotonic() - started < 5
            else:
                answered = len(writers.rows)
                wait_until(lambda made=writers, n=answered: len(made.rows) > n + 3, 30)
                writers.stop()
            assert writers.statuses <= {204, 500}
            check(server, writers)
    finally:
        server.close()
