"""Workers that die in the middle of a call, by their own fault or another's hand; and calls that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from isolation.crashing import FatalRecipe, TakeMemory, TellProcess
from isolation.processes import children_of, is_there, wait_until

import tfsql
from tfsql.isolation.calls import WorkerCalls
from tfsql.isolation.pool import POOL

# Takes half a minute or more on any machine, in one call of one operator.
SLOW = "SELECT tf_Svd(tf_StatelessRandomUniform([4000, 4000], [1, 2])).s AS y"
# The same for each of several batches.
SLOW_BATCHES = "SELECT tf_Svd(tf_StatelessRandomUniform([200, 200], [1, i])).s AS y FROM range(200000) r(i)"


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect(config={"tfsql_isolation": "process"}) as made:
        made.execute("CREATE TABLE t AS SELECT i, [i, i + 1]::FLOAT[2] AS x FROM range(3000) r(i)")
        assert made.sql("SELECT tf_Square(2.0) AS y").fetchall() == [(4.0,)]
        yield made


def calls(con: tfsql.Connection) -> WorkerCalls:
    made = con.kernels.worker_calls
    assert made is not None
    return made


def worker(con: tfsql.Connection) -> int:
    """The process of a worker that is idle."""
    process, _ = calls(con).ask(TellProcess(), lambda: "nothing")
    return int(process)


class Query(threading.Thread):
    """A statement on its way in another thread."""

    def __init__(self, con: tfsql.Connection, sql: str):
        super().__init__()
        self.error: Any = None
        self.rows: Any = None
        self._con = con
        self._sql = sql
        self.start()

    def run(self) -> None:
        try:
            self.rows = self._con.sql(self._sql).fetchall()
        except BaseException as error:
            self.error = error


def busy_worker(con: tfsql.Connection) -> int:
    """The process of the worker that computes for a connection, once it does."""
    wait_until(lambda: any(call.worker for call in calls(con)._calls), 60)
    (found,) = [call.worker.process for call in calls(con)._calls if call.worker]
    time.sleep(0.2)
    return found


@pytest.mark.parametrize(
    ("end", "named"), [(signal.SIGKILL, "signal 9, SIGKILL"), (signal.SIGSEGV, "signal 11, SIGSEGV")]
)
def test_a_worker_that_is_killed_fails_its_query_alone(con: tfsql.Connection, end: signal.Signals, named: str) -> None:
    query = Query(con, SLOW)
    os.kill(busy_worker(con), end)
    query.join(10)
    assert isinstance(query.error, tfsql.CrashError)
    expected = f"The kernel worker died while it computed tf_StatelessRandomUniform, tf_Svd ({named})"
    assert query.error.message == expected
    assert (query.error.line, query.error.column, query.error.exit_code) == (1, 8, 9)
    started = time.monotonic()
    assert con.sql("SELECT tf_Square(3.0) AS y").fetchall() == [(9.0,)]
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT tf_Exp(tf_Square(x)) AS y FROM t",
        "SELECT count(*) FROM t WHERE tf_Sum(tf_Exp(tf_Square(x)), 0) > 1",
        "CREATE TABLE made AS SELECT tf_Exp(tf_Square(x)) AS y FROM t",
        "SELECT tf_Exp(tf_Square([1.5, 2.5])) AS y",
        "COPY (SELECT tf_Exp(tf_Square(x)) AS y FROM t) TO 'never.parquet'",
    ],
)
def test_a_fatal_check_of_tensorflow_fails_its_query_alone(
    con: tfsql.Connection, sql: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tfsql.isolation.kernel.KernelRecipe", FatalRecipe)
        with pytest.raises(tfsql.CrashError, match=r"computed (tf_\w+, )*tf_Exp(, tf_\w+)* \(signal 6, SIGABRT\)"):
            con.sql(sql).fetchall()
    assert con.sql("SELECT sum(tf_Sum(tf_Sqrt(x), 0)) > 1 FROM t").fetchall() == [(True,)]
    assert con.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'made'").fetchall() == [(0,)]
    assert not list(tmp_path.iterdir())


def test_other_connections_go_on(con: tfsql.Connection) -> None:
    with tfsql.connect(config={"tfsql_isolation": "process"}) as other:
        other.execute("CREATE TABLE t AS SELECT [i, i + 1]::FLOAT[2] AS x FROM range(200000) r(i)")
        failing = Query(con, SLOW)
        process = busy_worker(con)
        fine = Query(other, "SELECT sum(tf_Sum(tf_Sqrt(x), 0)) FROM t")
        os.kill(process, signal.SIGKILL)
        failing.join(10)
        fine.join(60)
        assert isinstance(failing.error, tfsql.CrashError)
        assert fine.error is None
        assert fine.rows[0][0] > 1e8


def test_an_idle_worker_that_has_gone_is_not_missed(con: tfsql.Connection) -> None:
    process = worker(con)
    os.kill(process, signal.SIGKILL)
    (killed,) = [found for found in POOL._workers if found.process == process]
    wait_until(lambda: not killed.is_alive())
    assert con.sql("SELECT tf_Square(3.0) AS y").fetchall() == [(9.0,)]
    assert not is_there(process)


def test_a_nursery_that_has_gone_is_replaced(con: tfsql.Connection) -> None:
    nursery = POOL._nursery
    assert nursery is not None
    os.kill(nursery.process.pid, signal.SIGKILL)
    nursery.process.wait()
    assert con.sql("SELECT tf_Square(3.0) AS y").fetchall() == [(9.0,)]  # its workers live on
    query = Query(con, SLOW)
    os.kill(busy_worker(con), signal.SIGKILL)
    query.join(10)
    assert isinstance(query.error, tfsql.CrashError)
    assert query.error.message == "The kernel worker died while it computed tf_StatelessRandomUniform, tf_Svd"
    assert con.sql("SELECT tf_Square(4.0) AS y").fetchall() == [(16.0,)]


def test_workers_that_cannot_be_started_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    POOL.stop()
    with tfsql.connect(config={"tfsql_isolation": "process"}) as con:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/bin/false")
            with pytest.raises(tfsql.ResourceError, match=r"starts kernel workers has ended \(exit code 1\)"):
                con.sql("SELECT tf_Square(2.0) AS y").fetchall()
        assert con.sql("SELECT tf_Square(3.0) AS y").fetchall() == [(9.0,)]


def test_random_state_that_has_gone_with_its_worker_is_an_error(con: tfsql.Connection) -> None:
    batches = con.sql("SELECT tf_RandomUniform([5], {dtype: 'float32', seed: 1}) AS r FROM range(300000)").batches()
    next(batches)
    (holding,) = [found for found in POOL._workers if found.pins]
    os.kill(holding.process, signal.SIGKILL)
    with pytest.raises(tfsql.CrashError, match="tf_RandomUniform"):
        list(batches)


def test_interrupting_ends_what_a_worker_computes(con: tfsql.Connection) -> None:
    query = Query(con, SLOW)
    process = busy_worker(con)
    started = time.monotonic()
    con.interrupt()
    query.join(10)
    assert time.monotonic() - started < 1
    assert isinstance(query.error, tfsql.BackendError)
    assert query.error.message == "Interrupted!"
    assert not is_there(process)
    assert con.sql("SELECT tf_Square(3.0) AS y").fetchall() == [(9.0,)]


def test_interrupting_ends_the_wait_for_a_worker(con: tfsql.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfsql.isolation.pool.MAX_WORKERS", 1)
    POOL.leave(calls(con))
    with tfsql.connect(config={"tfsql_isolation": "process"}) as other:
        first = Query(con, SLOW)
        busy_worker(con)
        second = Query(other, "SELECT tf_Square(3.0) AS y")
        wait_until(lambda: calls(other)._calls)
        other.interrupt()
        second.join(5)
        assert second.error.message == "Interrupted!"
        con.interrupt()
        first.join(10)


@pytest.mark.parametrize(("sql", "method"), [(SLOW, "fetchall"), (SLOW_BATCHES, "arrow")])
def test_ctrl_c_ends_what_workers_compute(sql: str, method: str) -> None:
    code = f"""
import os, signal, threading, time, tfsql
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where the tests run in the background
con = tfsql.connect(config={{"tfsql_isolation": "process"}})
con.sql("SELECT tf_Square(2.0)").fetchall()
threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
started = time.monotonic()
try:
    con.sql({sql!r}).{method}()
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - started < 10)
print(con.sql("SELECT tf_Square(3.0)").fetchall())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == ["interrupted True", "[(9.0,)]"], done.stderr


def test_ctrl_c_at_the_command_ends_what_a_worker_computes() -> None:
    restored = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    main = f"{restored}; from tfsql.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", main, "--set", "tfsql_isolation=process", "-c", SLOW]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: len(children_of(process.pid)) == 2, 60)
    time.sleep(1)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 15


def test_memory_is_bounded(con: tfsql.Connection) -> None:
    con.execute("SET tfsql_worker_memory_limit = '1500MB'")
    assert calls(con).ask(TakeMemory(10**8), lambda: "nothing")[0] >= 10**8
    with pytest.raises(
        tfsql.ResourceError, match=r"took 1,\d\d\d MB of memory while it computed tf_X; .* 1,500 MB"
    ) as e:
        calls(con).ask(TakeMemory(10**11), lambda: "tf_X")
    assert (e.value.http_status, e.value.exit_code) == (413, 8)
    assert con.sql("SELECT tf_Square(3.0) AS y").fetchall() == [(9.0,)]
    con.execute("RESET tfsql_worker_memory_limit")
    assert con.settings["tfsql_worker_memory_limit"] is None


def test_nothing_is_left_behind() -> None:
    code = """
import os, tfsql
from isolation.processes import children_of
con = tfsql.connect(config={"tfsql_isolation": "process"})
con.sql("SELECT tf_Square(2.0)").fetchall()
print(*children_of(os.getpid()))
con.close()
print(*children_of(os.getpid()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, env=environment()
    )
    before, after = (line.split() for line in done.stdout.splitlines())
    assert len(before) == 2
    assert len(after) == 1  # the nursery, for a next connection
    wait_until(lambda: not any(is_there(int(process)) for process in before))


def test_they_end_with_a_process_that_is_killed() -> None:
    code = f"""
import os, threading, tfsql
from isolation.processes import children_of
con = tfsql.connect(config={{"tfsql_isolation": "process"}})
con.sql("SELECT tf_Square(2.0)").fetchall()
threading.Thread(target=lambda: con.sql({SLOW!r}).fetchall()).start()
import time
time.sleep(1)
print(*children_of(os.getpid()), flush=True)
time.sleep(100)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    children = [int(child) for child in process.stdout.readline().split()]
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(children) == 2
    wait_until(lambda: not any(is_there(child) for child in children), 5)


def test_a_fork_has_workers_of_its_own(con: tfsql.Connection) -> None:
    child = os.fork()
    if not child:
        os._exit(0 if POOL._nursery is None and not POOL._workers else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert con.sql("SELECT tf_Square(3.0) AS y").fetchall() == [(9.0,)]


def environment() -> dict[str, str]:
    """The environment of a process that imports what lies beside this file."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
