"""Kernels of a served database run in workers: one that dies, or takes too long, is the matter of its query alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolation.processes import children_of, is_there, wait_until
from server.running import Server
from server.test_queries import in_background, raw_request, running

# Takes half a minute or more on any machine, in one call of one operator.
SLOW = "SELECT tf_Svd(tf_StatelessRandomUniform([4000, 4000], [1, 2])).s AS y"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("--timeout-s", "10", "--workers", "3")
    # TensorFlow is being loaded, here and where the workers come from; on a busy machine for longer than a query may.
    wait_until(lambda: made.sql("SELECT tf_Square(2.0)").status == 200, 60)
    assert made.rows("SELECT tf_Square(2.0)") == [[4.0]]
    yield made
    processes = [made.process.pid, *children_of(made.process.pid)]
    made.close()
    wait_until(lambda: not any(map(is_there, processes)))


def busy(server: Server) -> list[int]:
    """The processes of the server's workers that compute."""
    ticks = {process: _ticks(process) for process in children_of(server.process.pid)}
    time.sleep(0.3)
    return [process for process, before in ticks.items() if _ticks(process) - before > 10]


def _ticks(process: int) -> int:
    """The processor time of a process, in hundredths of a second."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def begun(server: Server, name: str) -> tuple[threading.Thread, list[Any], int]:
    """A slow query under way, the answer to come, and the worker that computes it."""
    answers: list[Any] = []
    thread = in_background(server, {"sql": SLOW, "id": name}, answers)
    wait_until(lambda: name in running(server) and busy(server), 10)
    (process,) = busy(server)
    return thread, answers, process


def deaths(server: Server) -> int:
    lines = server.request("GET", "/metrics").body.decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("tfsql_worker_deaths_total")))


def test_a_worker_that_dies_is_a_500(server: Server) -> None:
    before = deaths(server)
    thread, answers, process = begun(server, "dies")
    os.kill(process, signal.SIGABRT)
    thread.join(10)
    assert answers[0].status == 500
    body = answers[0].json()
    message = "The kernel worker died while it computed tf_StatelessRandomUniform, tf_Svd (signal 6, SIGABRT)"
    assert body["error"].startswith(f"{message} (line 1, column 8)\n")
    assert (body["httpCode"], body["details"]["code"], body["details"]["message"]) == (500, "crash", message)
    started = time.monotonic()
    assert server.rows("SELECT tf_Square(3.0)") == [[9.0]]
    assert time.monotonic() - started < 2
    assert deaths(server) == before + 1


def test_a_query_that_takes_too_long_frees_its_place_at_once(server: Server) -> None:
    started = time.monotonic()
    assert server.sql(SLOW).status == 408
    assert time.monotonic() - started < 12
    wait_until(lambda: not running(server), 1)
    assert not busy(server)


def test_a_client_that_leaves_ends_what_a_worker_computes(server: Server) -> None:
    before = deaths(server)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(raw_request({"sql": SLOW, "id": "left"}))
        wait_until(lambda: "left" in running(server) and busy(server), 10)
        (process,) = busy(server)
    wait_until(lambda: not is_there(process), 2)
    wait_until(lambda: not running(server), 2)
    assert deaths(server) == before  # it was ended, it did not die


def test_a_query_that_is_cancelled_ends_at_once(server: Server) -> None:
    thread, answers, process = begun(server, "cancelled")
    assert server.request("DELETE", "/api/queries/cancelled").status == 204
    thread.join(5)
    assert answers[0].status == 409
    wait_until(lambda: not is_there(process), 2)
    assert server.rows("SELECT tf_Square(3.0)") == [[9.0]]


def test_queries_beside_one_that_dies_go_on(server: Server) -> None:
    thread, answers, process = begun(server, "dies-too")
    counted = {"sql": "SELECT sum(tf_Sum(tf_Sqrt(i::FLOAT), [])) FROM range(400000) r(i)"}
    others: list[Any] = []
    threads = [in_background(server, counted, others) for _ in range(2)]
    os.kill(process, signal.SIGKILL)
    for each in (thread, *threads):
        each.join(30)
    assert answers[0].status == 500
    assert [answer.status for answer in others] == [200, 200]


def test_too_much_memory_is_a_413() -> None:
    server = Server("--worker-memory", "700MB")
    try:
        before = server.rows("SELECT tf_Square(2.0)")
        answer = server.sql(
            "SELECT sum(tf_Sum(tf_Exp(tf_Fill([5000000], i::FLOAT)), 0)) FROM (SELECT i FROM range(500) r(i))"
        )
        assert (answer.status, before) == (413, [[4.0]])
        assert "the limit is 700 MB" in answer.json()["error"]
        assert server.rows("SELECT tf_Square(2.0)") == [[4.0]]
        assert deaths(server) == 1
    finally:
        server.close()


def test_without_isolation_there_are_no_workers() -> None:
    server = Server("--isolation", "none")
    try:
        assert server.rows("SELECT tf_Square(2.0)") == [[4.0]]
        assert not children_of(server.process.pid)
    finally:
        server.close()


def test_a_client_cannot_change_the_setting(server: Server) -> None:
    assert server.sql("SET tfsql_isolation = 'none'").status == 403
    assert server.sql("RESET tfsql_isolation").status == 403


def test_a_choice_that_there_is_not() -> None:
    command = [sys.executable, "-m", "tfsql.cli", "serve", "--isolation", "thread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'thread' (choose from" in done.stderr
