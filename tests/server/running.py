"""A server in a process of its own, and plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STARTED = re.compile(r"at http://127\.0\.0\.1:(\d+)/")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """``tfsql serve`` with these arguments, on a port that is free."""

    def __init__(self, *arguments: str):
        command = [sys.executable, "-m", "tfsql.cli", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ""}
        )
        self.log: list[str] = []
        self._told = threading.Event()
        self.port = 0
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            assert self._told.wait(60), "".join(self.log)
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if match := STARTED.search(line):
                self.port = int(match.group(1))
                self._told.set()
        self._told.set()

    def _wait(self) -> None:
        for _ in range(300):
            try:
                if self.request("GET", "/healthz").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer: " + "".join(self.log))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        payload: Any = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = dict(headers or {})
        if payload is not None:
            body = json.dumps(payload).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # a body that is too long is answered before its end
                connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def sql(self, sql: str, parameters: Any = None, **headers: str) -> Answer:
        return self.request("POST", "/api/query", {"sql": sql, "parameters": parameters}, headers)

    def rows(self, sql: str, parameters: Any = None) -> list[list[Any]]:
        answer = self.sql(sql, parameters)
        if answer.status == 204:
            return []
        assert answer.status == 200, answer.body
        return answer.json()["rows"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._ended()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._ended()

    def _ended(self) -> None:
        assert self.process.stderr is not None
        self.process.wait()
        self._reader.join(10)
        self.process.stderr.close()


def folder_with_files(path: Path) -> Path:
    """A folder for --data-dir with a file, a link that leads out of it, and a secret beside it."""
    folder = path / "data"
    folder.mkdir()
    (folder / "inside.csv").write_text("a,b\n1,2\n3,4\n")
    (path / "secret.csv").write_text("a,b\n5,6\n")
    (path / "data-other").mkdir()
    (path / "data-other" / "secret.csv").write_text("a,b\n5,6\n")
    (folder / "link.csv").symlink_to(path / "secret.csv")
    return folder
