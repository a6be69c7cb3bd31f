"""The bare protocol over pipes: every byte that the server writes must belong to a message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil


class Wire:
    """A server as a process of its own, and a reader that takes nothing but frames."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "torchport", "lsp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **environment},
        )
        self.folder = folder
        self._number = 0
        self.notified: list[dict[str, Any]] = []

    def start(self) -> None:
        """`initialize`, in a trusted workspace."""
        options = {"trusted": True}
        root = self.folder.as_uri()
        params = {"capabilities": {}, "rootUri": root, "initializationOptions": options}
        self.request("initialize", processId=None, **params)
        self.notify("initialized")

    def notify(self, method: str, **params: Any) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method: str, **params: Any) -> Any:
        """The answer to a request; what comes before it is kept."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method}
        self._send({**message, "params": params} if params else message)
        while True:
            message = self.receive()
            if message is None:
                raise EOFError(method)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self.notified.append(message)

    def open(self, path: Path) -> str:
        item = {"uri": path.as_uri(), "languageId": "python", "version": 1}
        self.notify("textDocument/didOpen", textDocument={**item, "text": path.read_text()})
        return path.as_uri()

    def execute(self, command: str, *arguments: Any) -> Any:
        return self.request("workspace/executeCommand", command=command, arguments=arguments)

    def until(self, method: str, **params: Any) -> dict[str, Any]:
        """The first notification with these parameters."""
        seen = 0
        while True:
            for message in self.notified[seen:]:
                found = message.get("params", {})
                if message["method"] == method and params.items() <= found.items():
                    return found
            seen = len(self.notified)
            message = self.receive()
            if message is None:
                raise EOFError(method)
            self.notified.append(message)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None at the end. Anything that is no frame is an error."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return None
        name, _, length = line.partition(b": ")
        assert name == b"Content-Length", line
        kind = self.process.stdout.readline()
        if kind != b"\r\n":
            assert kind.startswith(b"Content-Type: "), kind
            assert self.process.stdout.readline() == b"\r\n"
        body = self.process.stdout.read(int(length))
        assert len(body) == int(length)
        return json.loads(body)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps(message).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def family(self) -> list[psutil.Process]:
        """The processes that the server has started, and those that they have."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """For the end of a test, however it went."""
        if self.process.poll() is None:
            for process in [*self.family(), self.process]:
                process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
