"""A server of the chat-completions protocol, over real HTTP: it streams, holds replies to a schema,
fails, dawdles and breaks off, as it is told.

It answers in one of two ways:

- by a script: each request takes the next step (`Say`, `Fail`, `Break`, ...);
- by recorded replies (`recorded/*.md`), which are found by the hash of what was asked. A request
  without a recorded reply fails the test, and says how to record one.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MODEL = "recorded"
RECORDED = Path(__file__).parent / "recorded"


@dataclass(frozen=True)
class Say:
    """Stream a reply, in pieces.

    `code` is sent as the JSON that was asked for, `text` as it is. `wait` is seconds before the first
    piece; `between` those between two.
    """

    code: str = ""
    text: str = ""
    notes: str = ""
    finish: str | None = "stop"
    refusal: str = ""
    usage: tuple[int, int] | None = (1000, 200)
    wait: float = 0.0
    between: float = 0.0

    def content(self) -> str:
        return self.text or json.dumps({"code": self.code, "notes": self.notes})


@dataclass(frozen=True)
class Fail:
    """Answer with a status, a message and headers."""

    status: int
    message: str = "no"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Break:
    """Begin to stream, then close the connection (`garbage`: send what is no JSON first)."""

    garbage: bool = False


Step = Say | Fail | Break


class Server:
    """The server, in a thread; a context manager.

    Attributes:
        asked: the body of each request, in order.
        headers: likewise.
        paths: likewise.
        knows: the response formats that it takes; others are answered by 400.
        counts_tokens: whether it takes `stream_options`.
        dropped: a client closed the connection before its reply was whole.
    """

    def __init__(
        self,
        script: Iterable[Step] = (),
        recorded: Mapping[str, str] | None = None,
        *,
        knows: Iterable[str] = ("json_schema", "json_object"),
        counts_tokens: bool = True,
    ) -> None:
        self.script = list(script)
        self.recorded = recorded
        self.knows = set(knows)
        self.counts_tokens = counts_tokens
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.missed: list[str] = []
        self.dropped = threading.Event()
        self._lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            server_ = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if self.missed and kind is None:
            raise AssertionError("\n\n".join(self.missed))

    def step(self, body: dict[str, Any]) -> Step:
        """What to answer to a request."""
        with self._lock:
            self.asked.append(body)
            form = body.get("response_format", {}).get("type")
            if form is not None and form not in self.knows:
                return Fail(400, f"response_format {form} is not supported")
            if "stream_options" in body and not self.counts_tokens:
                return Fail(400, "unknown field stream_options")
            if self.recorded is None:
                return self.script.pop(0) if self.script else Fail(500, "the script has ended")
            key = key_of(body)
            if key in self.recorded:
                return Say(code=self.recorded[key])
            self.missed.append(
                f"No reply is recorded under {key}. If the prompt was meant to change, look at it, and "
                f"run: python -m tests.llm.record\n\n{body['messages'][-1]['content']}"
            )
            return Fail(400, f"no reply is recorded under {key}")


def key_of(body: Mapping[str, Any]) -> str:
    """The hash of what was asked, whatever the versions of the target that are installed."""
    texts = [_without_versions(message["content"]) for message in body["messages"]]
    text = json.dumps([body["model"], *texts], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_versions(text: str) -> str:
    """A text without signatures, and without the numbers of a verdict: they differ by last bits."""
    text = re.sub(r"^## Signatures, as installed.*?(?=^## |\Z)", "", text, flags=re.M | re.S)
    head, title, wrong = text.partition("## What is wrong so far")
    return head + title + re.sub(r"[-+]?\d[\d.e+-]*|\binf\b|\bnan\b", "#", wrong)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_: Server

    def do_POST(self) -> None:
        owner = self.server_
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner.headers.append({name.lower(): value for name, value in self.headers.items()})
        owner.paths.append(self.path)
        try:
            self._answer(owner.step(body), body)
        except (BrokenPipeError, ConnectionResetError):
            owner.dropped.set()

    def _answer(self, step: Step, body: dict[str, Any]) -> None:
        if isinstance(step, Fail):
            data = json.dumps({"error": {"message": step.message, "type": "test"}}).encode()
            self.send_response(step.status)
            for name, value in step.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        if isinstance(step, Say) and step.wait:
            time.sleep(step.wait)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if isinstance(step, Break):
            self._event(_chunk(body, {"role": "assistant", "content": "def f("}))
            if step.garbage:
                self.wfile.write(b"data: {not json\n\n")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._event(_chunk(body, {"role": "assistant", "content": ""}))
        if step.refusal:
            self._event(_chunk(body, {"refusal": step.refusal}))
        else:
            content = step.content()
            for start in range(0, len(content), 64):
                self._event(_chunk(body, {"content": content[start : start + 64]}))
                time.sleep(step.between)
        if step.finish is not None:
            self._event(_chunk(body, {}, step.finish))
        if step.usage is not None and body.get("stream_options", {}).get("include_usage"):
            prompt, reply = step.usage
            usage = {
                "prompt_tokens": prompt,
                "completion_tokens": reply,
                "total_tokens": prompt + reply,
            }
            self._event({**_chunk(body, {}), "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, data: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _chunk(
    body: Mapping[str, Any], delta: dict[str, Any], finish: str | None = None
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
