"""What was answered is kept: a server that is killed amid writes loses no row, and starts again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from server.running import Server


def write(server: Server, first: int, committed: list[int]) -> None:
    """Inserts one number after the other, and the same in pairs, until the server is gone."""
    number = first
    try:
        while True:
            sql = f"BEGIN; INSERT INTO one VALUES ({number}); INSERT INTO two VALUES ({number}); COMMIT"
            if server.sql(sql).status == 204:
                committed.append(number)
            number += 1
    except (OSError, ValueError):
        return


@pytest.mark.parametrize("round_", range(3))
def test_kill_amid_writes(tmp_path: Path, round_: int) -> None:
    path = str(tmp_path / "db.duckdb")
    server = Server(path)
    committed: list[int] = []
    try:
        server.rows("CREATE TABLE one (i INTEGER); CREATE TABLE two (i INTEGER)")
        server.request("PUT", "/v1/functions/f", {"type": "sql.expression", "params": {"expression": "x + 1 AS y"}})
        threads = [threading.Thread(target=write, args=(server, i * 10**6, committed)) for i in range(3)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 20
        while len(committed) < 20 + 15 * round_ and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        server.kill()
    for thread in threads:
        thread.join(30)
    assert len(committed) >= 20
    started = time.monotonic()
    server = Server(path)
    try:
        assert time.monotonic() - started < 15
        one, two = (sorted(row[0] for row in server.rows(f"SELECT i FROM {name}")) for name in ("one", "two"))
        assert one == two
        assert set(committed) <= set(one)
        assert len(one) - len(committed) <= 3  # those under way
        answer = server.request("POST", "/v1/functions/f/application", {"input": {"x": 1}})
        assert answer.json() == {"output": {"y": 2}}
    finally:
        server.close()


def test_writers_take_turns(tmp_path: Path) -> None:
    server = Server(str(tmp_path / "db.duckdb"))
    try:
        server.rows("CREATE TABLE counted AS SELECT 0 AS i")
        statuses: list[int] = []

        def count() -> None:
            for _ in range(10):
                statuses.append(server.sql("UPDATE counted SET i = i + 1").status)
                server.rows("SELECT tf_Square(i::FLOAT) FROM counted")

        threads = [threading.Thread(target=count) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(statuses) == 60
        assert server.rows("SELECT i FROM counted") == [[60]]
    finally:
        server.close()
