"""``tfsql_threads`` and ``tfsql_device``: both are of a whole process, so each is tried in one of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tfsql

HEAD = """
import numpy as np, tensorflow as tf, tfsql
con = tfsql.connect()
rows = np.random.default_rng(0).random((3000, 1, 8, 8, 1), np.float32)
QUERY = "SELECT tf_Conv2D(column0, [[[[1.0]], [[2.0]]]], {padding: 'SAME', strides: [1, 1, 1, 1]}) AS y FROM rows"
"""
TWO_DEVICES = """
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import tfsql.kernel.compiled as compiled
seen, made_of = set(), compiled._array_of
compiled._array_of = lambda tensor: (seen.add(tensor.device[-5:]), made_of(tensor))[1]
wanted = con.sql(QUERY).numpy()["y"]
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_pools_take_the_number_of_threads() -> None:
    printed = run("""
con.execute("SET tfsql_threads = 1")
con.sql(QUERY).fetchall()
print(tf.config.threading.get_intra_op_parallelism_threads(), con.sql("SELECT current_setting('threads')").fetchone())
con.execute("RESET tfsql_threads")
print(con.sql("SELECT current_setting('threads') > 0").fetchone(), con.settings["tfsql_threads"])
""")
    assert printed.splitlines() == ["1 (1,)", "(True,) None"]


def test_a_connection_can_be_made_with_it() -> None:
    code = 'print(tfsql.connect(config={"tfsql_threads": 1}).sql("SELECT current_setting(\'threads\')").fetchone())'
    assert run(code).strip() == "(1,)"


def test_tensorflow_takes_it_before_it_begins_only() -> None:
    printed = run("""
con.sql(QUERY).fetchall()
con.execute("SET tfsql_threads = 1")
try:
    con.sql(QUERY).fetchall()
except tfsql.TfsqlError as error:
    print(error)
con.execute("RESET tfsql_threads")
print(len(con.sql(QUERY).fetchall()))
""")
    assert "TensorFlow has begun with as many threads as there are cores in this process" in printed
    assert "tfsql_threads cannot be 1 any more" in printed
    assert "SET tfsql_threads before the first operator is called, or RESET it" in printed
    assert printed.splitlines()[-1] == "3000"


def test_a_worker_takes_it() -> None:
    """What a connection asks carries the number, and a worker sizes its pool by it before its first operator."""
    printed = run("""
from tfsql.isolation import pool, requests
asked, ask = [], pool.Worker.ask
pool.Worker.ask = lambda worker, *given: (asked.append(given[-1]), ask(worker, *given))[1]
con.execute("SET tfsql_isolation = 'process'")
con.execute("SET tfsql_threads = 1")
print(len(con.sql(QUERY).fetchall()), set(asked))
con.close()

class Threads(requests.Request):
    def answer(self, held):
        return tf.config.threading.get_intra_op_parallelism_threads()

print(requests.Held().answer(requests.Asked(Threads(), None, 1)))
""")
    assert printed.splitlines() == ["3000 {1}", "1"]


def test_operators_run_on_the_device() -> None:
    printed = run(
        TWO_DEVICES
        + """
for device in ("auto", "cpu:1", "/CPU:0", "cpu"):
    seen.clear()
    con.execute(f"SET tfsql_device = '{device}'")
    same = np.array_equal(con.sql(QUERY).numpy()["y"], wanted)
    print(device, seen, same, con.sql("SELECT tf_Unique([i % 2, 1, 1]).y AS y FROM range(2) t(i)").fetchall())
"""
    )
    unique = "[([0, 1],), ([1],)]"
    assert printed.splitlines() == [
        f"auto {{'CPU:0'}} True {unique}",
        f"cpu:1 {{'CPU:1'}} True {unique}",
        f"/CPU:0 {{'CPU:0'}} True {unique}",
        f"cpu {{'CPU:0'}} True {unique}",
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tfsql_threads = 0", "tfsql_threads takes a number from 1 to 1024, or 'none'"),
        ("tfsql_threads = 'many'", "tfsql_threads takes a number from 1 to 1024, or 'none'"),
        ("tfsql_device = 'the gpu'", "tfsql_device takes 'auto' or a device such as 'cpu' or 'gpu:0'"),
    ],
)
def test_other_values_are_refused(setting: str, message: str) -> None:
    with tfsql.connect() as con, pytest.raises(tfsql.TypeMismatchError, match=message):
        con.execute(f"SET {setting}")


def test_a_device_that_is_not_there_is_named() -> None:
    with tfsql.connect(config={"tfsql_device": "tpu:7"}) as con:
        with pytest.raises(tfsql.BindError, match=r"There is no device tpu:7: TensorFlow sees cpu:0"):
            con.sql("SELECT tf_Square(i) AS y FROM range(3) t(i)").fetchall()
        con.execute("RESET tfsql_device")
        assert con.sql("SELECT tf_Square(2.0) AS y").fetchone() == (4.0,)
