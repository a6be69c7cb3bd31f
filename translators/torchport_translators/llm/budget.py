"""What a session may spend on a language model, and what it has spent."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, replace

from torchport_translators.llm.settings import ModelSettings


class BudgetSpent(Exception):
    """A request would go beyond what the session may spend; the message names the setting."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A running total.

    Attributes:
        requests: that were answered by the endpoint.
        cached: replies that were known already, and cost nothing.
        prompt_tokens: of all requests.
        reply_tokens: of all replies.
        estimated: some endpoint did not say how many tokens, so they were estimated.
        cost: by the prices of the settings; 0 without prices.
    """

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    estimated: bool = False
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Of prompts and replies together."""
        return self.prompt_tokens + self.reply_tokens

    @property
    def text(self) -> str:
        """`3 requests (1 from the cache), 4,120 tokens, cost 0.012`."""
        about = "about " if self.estimated else ""
        cached = f" ({self.cached} from the cache)" if self.cached else ""
        cost = f", cost {self.cost:.4f}" if self.cost else ""
        total = self.requests + self.cached
        word = "request" if total == 1 else "requests"
        return f"{total} {word}{cached}, {about}{self.tokens:,} tokens{cost}"


class Budget:
    """The budget of one session. Safe to use from several threads.

    What a request could cost at most is set aside before it is sent, so that requests which run at
    the same time cannot overspend together.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._spent = Spent()
        self._aside_requests = 0
        self._aside_tokens = 0
        self._aside_cost = 0.0
        self._next = 0.0

    @property
    def spent(self) -> Spent:
        """The running total."""
        return self._spent

    def set_aside(self, prompt_tokens: int) -> None:
        """Set aside what a request with such a prompt may cost.

        Raises:
            BudgetSpent: that is more than is left.
        """
        settings = self._settings
        tokens = prompt_tokens + settings.reply_tokens
        cost = settings.price.of(prompt_tokens, settings.reply_tokens)
        with self._lock:
            spent = self._spent
            if spent.requests + self._aside_requests + 1 > settings.max_requests:
                raise BudgetSpent(
                    f"All requests of the session are spent (max_requests = {settings.max_requests})."
                )
            if spent.tokens + self._aside_tokens + tokens > settings.max_tokens:
                raise BudgetSpent(
                    f"{spent.tokens:,} of the session's {settings.max_tokens:,} tokens are spent, and "
                    f"the next request may take {tokens:,} (max_tokens)."
                )
            if settings.max_cost and spent.cost + self._aside_cost + cost > settings.max_cost:
                raise BudgetSpent(
                    f"{spent.cost:.4f} of the session's {settings.max_cost:.4f} is spent, and the next "
                    f"request may cost {cost:.4f} (max_cost)."
                )
            self._aside_requests += 1
            self._aside_tokens += tokens
            self._aside_cost += cost

    def settle(
        self, set_aside: int, prompt_tokens: int, reply_tokens: int, *, estimated: bool = False
    ) -> None:
        """Count what a request has cost, whose prompt was taken for `set_aside` tokens."""
        with self._lock:
            self._release(set_aside)
            self._count(prompt_tokens, reply_tokens, estimated=estimated)

    def count_lost(self, prompt_tokens: int, reply_tokens: int) -> None:
        """Count a reply that broke off, by what came of it."""
        with self._lock:
            self._count(prompt_tokens, reply_tokens, estimated=True)

    def _count(self, prompt_tokens: int, reply_tokens: int, *, estimated: bool) -> None:
        spent = self._spent
        self._spent = Spent(
            spent.requests + 1,
            spent.cached,
            spent.prompt_tokens + prompt_tokens,
            spent.reply_tokens + reply_tokens,
            spent.estimated or estimated,
            spent.cost + self._settings.price.of(prompt_tokens, reply_tokens),
        )

    def release(self, set_aside: int) -> None:
        """Give back what was set aside for a request that was not answered."""
        with self._lock:
            self._release(set_aside)

    def _release(self, set_aside: int) -> None:
        settings = self._settings
        self._aside_requests -= 1
        self._aside_tokens -= set_aside + settings.reply_tokens
        self._aside_cost -= settings.price.of(set_aside, settings.reply_tokens)

    def count_cached(self) -> None:
        """Count a reply that was known already."""
        with self._lock:
            self._spent = replace(self._spent, cached=self._spent.cached + 1)

    async def turn(self) -> None:
        """Wait until the rate allows another request."""
        rate = self._settings.requests_per_minute
        if not rate:
            return
        with self._lock:
            now = time.monotonic()
            wait = max(0.0, self._next - now)
            self._next = max(self._next, now) + 60 / rate
        await asyncio.sleep(wait)
