"""`[tool.torchport.llm]`: which model is asked, how much it is told, and what it may cost."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

MAX_ROUNDS = 5
OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost; 0 where nobody said, and then tokens alone are counted."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    input: float = 0.0
    output: float = 0.0

    def of(self, prompt_tokens: int, reply_tokens: int) -> float:
        """The cost of a request and its reply."""
        return (prompt_tokens * self.input + reply_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a language model is asked. There is no setting for a key: keys do not belong in a project.

    Attributes:
        model: its name at the endpoint; empty: no model is asked.
        base_url: the endpoint, up to and without `/chat/completions`.
        api_version: of an Azure deployment that is asked by date; empty for any other endpoint.
        cards: how many known bugs the prompt shows; 0 shows none.
        rounds: how often a model is asked for one file, at most.
        prompt_tokens: the longest prompt.
        reply_tokens: the longest reply.
        timeout: seconds without a sign of life before a request is given up.
        retries: how often a request is sent again that was turned away (429) or failed (5xx).
        requests_per_minute: 0 for no limit.
        max_requests: of one session, which is one command, or one run of an editor's server.
        max_tokens: of a session's prompts and replies together.
        max_cost: of a session, in the currency of `price`; 0 for no limit.
        price: of a million tokens, by which the cost is counted.
        options: what else is sent with each request: `temperature`, `reasoning_effort`, `seed`.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    model: str = ""
    base_url: str = OPENAI
    api_version: str = ""
    cards: int = 6
    rounds: int = 3
    prompt_tokens: int = 12_000
    reply_tokens: int = 8_000
    timeout: float = 120.0
    retries: int = 3
    requests_per_minute: int = 0
    max_requests: int = 50
    max_tokens: int = 500_000
    max_cost: float = 0.0
    price: Price = field(default_factory=Price)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def host(self) -> str:
        """The endpoint's host and port, for the reader and for keys."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def local(self) -> bool:
        """Whether the endpoint is on this machine, where no key is needed."""
        return is_local(self.base_url)

    def problem(self) -> str:
        """Why a setting cannot be used, with its name; empty if all can."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return f"base_url = {self.base_url!r}: write a URL such as {OPENAI}"
        if parts.username or parts.password:
            return "base_url holds a password or key: leave it out, and set TORCHPORT_API_KEY"
        if not 1 <= self.rounds <= MAX_ROUNDS:
            return f"rounds = {self.rounds}: write a number from 1 to {MAX_ROUNDS}"
        for name in ("prompt_tokens", "reply_tokens", "timeout", "max_requests", "max_tokens"):
            if getattr(self, name) <= 0:
                return f"{name} = {getattr(self, name)}: write a number greater than 0"
        for name in ("cards", "retries", "requests_per_minute", "max_cost"):
            if getattr(self, name) < 0:
                return f"{name} = {getattr(self, name)}: write 0 or more"
        if self.max_cost and not (self.price.input or self.price.output):
            return "max_cost needs price: price = { input = 0.25, output = 2 } for a million tokens"
        taken = sorted(set(self.options) & _OURS)
        if taken:
            return f"options.{taken[0]} is written by torchport: leave it out"
        return ""


_OURS = frozenset(
    (
        "messages",
        "model",
        "stream",
        "stream_options",
        "response_format",
        "n",
        "tools",
        "max_tokens",
        "max_completion_tokens",
    )
)


def is_local(url: str) -> bool:
    """Whether a URL names this machine."""
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def from_environment(settings: ModelSettings) -> ModelSettings:
    """The settings with what the user's environment says: TORCHPORT_MODEL, TORCHPORT_BASE_URL."""
    given = {
        name: value
        for name, variable in (("model", "TORCHPORT_MODEL"), ("base_url", "TORCHPORT_BASE_URL"))
        if (value := os.environ.get(variable))
    }
    return replace(settings, **given)
