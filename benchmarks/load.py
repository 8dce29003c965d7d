"""Many clients on one server: reads, convolutions, writes and bad requests, with every answer checked.

python benchmarks/load.py [--clients 32] [--seconds 60]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from server.running import Server

CONVOLVED = (
    "SELECT tf_Max(tf_Conv2D(reshape(image, [1, 28, 28, 1]), [[[[2.0]]]], {padding: 'SAME', strides: [1, 1, 1, 1]}), "
    "[0, 1, 2, 3]) AS y, list_max(flatten(image)) * 2 AS z FROM demo.digits LIMIT 20"
)


def ask(server: Server, generator: random.Random, client: int, written: list[int]) -> tuple[str, bool]:
    """One request of a client: its kind, and whether the answer is right; refused for want of room counts as right."""
    kind = generator.choice(["read", "read", "convolve", "write", "bad"])
    if kind == "read":
        number = generator.randrange(10**6)
        answer = server.sql(f"SELECT {number} + 1 AS y")
        right = answer.status == 200 and answer.json()["rows"] == [[number + 1]]
    elif kind == "convolve":
        answer = server.sql(CONVOLVED)
        right = answer.status == 200 and all(y == z for y, z in answer.json()["rows"])
    elif kind == "write":
        answer = server.sql(f"INSERT INTO log VALUES ({client})")
        right = answer.status in (200, 204)
        written[client] += right
    else:
        answer = server.sql(
            generator.choice(["SELECT tf_Nothing(1)", "SELECT FROM", "SELECT tf_Add([1, 2], [1, 2, 3])"])
        )
        right = answer.status == 400
    return kind, right or answer.status == 503


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    server = Server()
    server.rows("CREATE TABLE log (client INTEGER)")
    server.rows(CONVOLVED)
    end, wrong, times = time.monotonic() + given.seconds, Counter[str](), list[float]()
    written = [0] * given.clients

    def work(client: int) -> None:
        generator = random.Random(client)
        while time.monotonic() < end:
            started = time.monotonic()
            kind, is_right = ask(server, generator, client, written)
            times.append(time.monotonic() - started)
            wrong[kind] += not is_right

    threads = [threading.Thread(target=work, args=(client,)) for client in range(given.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = dict(server.rows("SELECT client, count(*) FROM log GROUP BY client"))
    lost = sum(count - found.get(client, 0) for client, count in enumerate(written))
    server.close()
    times.sort()
    print(f"{len(times)} requests of {given.clients} clients, {len(times) / given.seconds:.0f} a second")
    print(f"median {statistics.median(times) * 1000:.0f} ms, p99 {times[len(times) * 99 // 100] * 1000:.0f} ms")
    print(f"wrong answers: {dict(wrong)}; rows lost: {lost}")
    return 1 if sum(wrong.values()) or lost else 0


if __name__ == "__main__":
    sys.exit(main())
