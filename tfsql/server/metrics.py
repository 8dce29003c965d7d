"""What a server counts, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter

_BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)


class Metrics:
    """Counts of requests by method, route and status, of rows, and how long requests took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0
        self.rows = 0

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        self._requests[method, route, status] += 1
        self._seconds += seconds
        for bound in _BOUNDS_S:
            if seconds <= bound:
                self._buckets[bound] += 1

    def text(self, *, running: int, waiting: int, deaths: int) -> str:
        """All of it.

        Args:
          deaths: how many kernel workers died, or were ended for their memory.
        """
        total = sum(self._requests.values())
        lines = ["# HELP tfsql_requests_total Requests answered.", "# TYPE tfsql_requests_total counter"]
        for (method, route, status), count in sorted(self._requests.items()):
            lines.append(f'tfsql_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines += ["# HELP tfsql_request_seconds How long requests took.", "# TYPE tfsql_request_seconds histogram"]
        lines += [f'tfsql_request_seconds_bucket{{le="{bound:g}"}} {self._buckets[bound]}' for bound in _BOUNDS_S]
        lines += [
            f'tfsql_request_seconds_bucket{{le="+Inf"}} {total}',
            f"tfsql_request_seconds_sum {self._seconds:.6f}",
        ]
        lines.append(f"tfsql_request_seconds_count {total}")
        for name, kind, value, text in (
            ("tfsql_rows_total", "counter", self.rows, "Rows sent by /api/query."),
            ("tfsql_queries_running", "gauge", running, "Queries that run."),
            ("tfsql_queries_waiting", "gauge", waiting, "Queries that wait."),
            ("tfsql_worker_deaths_total", "counter", deaths, "Kernel workers that died or took too much memory."),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"
