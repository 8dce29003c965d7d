"""A sample of the mutated requests of tests/fuzz_server.py."""

from __future__ import annotations

from fuzz_server import fuzz
from server.running import Server


def test_a_sample_leaves_the_server_as_it_is() -> None:
    server = Server("--timeout-s", "20", "--max-body", "1MB", "--max-rows", "10000")
    try:
        # TensorFlow is being loaded, on a busy machine for longer than an answer may take.
        assert any(server.sql("SELECT tf_Square(2.0)").status == 200 for _ in range(5))
        report = fuzz(server, 200, seed=2)
        assert report.findings == []
        assert sum(report.statuses.values()) == 200
    finally:
        server.close()
