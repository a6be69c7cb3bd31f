"""Asking a model: one request, its retries, its stream, its cost, and what went wrong, in words.

The `openai` package speaks to any endpoint of its protocol; it is imported when a model is asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from torchport_translators.llm.budget import Budget
from torchport_translators.llm.cache import ReplyCache, request_key
from torchport_translators.llm.keys import Key, find_key
from torchport_translators.llm.settings import OPENAI, ModelSettings
from torchport_translators.llm.tokens import count_tokens

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

SCHEMA_NAME = "reply"
_BROKEN_SECONDS = 0.5


class Trouble(StrEnum):
    """Why there is no reply."""

    MISSING = "missing"  # the openai package, or a setting
    KEY = "key"
    MODEL = "model"
    REQUEST = "request"
    RATE = "rate"
    SERVER = "server"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"


class ModelProblem(Exception):
    """A model cannot be asked; the message says why, and what to do. It never holds the key.

    Attributes:
        trouble: what kind of reason it is.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a reply has come.

    Attributes:
        characters: of the reply, so far; 0 while the endpoint has not begun to answer.
        seconds: since it was asked for.
    """

    characters: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        content: its text.
        finish: why it ended: "stop", "length", "content_filter".
        refusal: what it said, where it refused.
        model: what the endpoint says has answered.
        prompt_tokens: as the endpoint counts them, or estimated.
        reply_tokens: likewise.
        cached: it was known already, and cost nothing.
    """

    content: str
    finish: str = "stop"
    refusal: str = ""
    model: str = ""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to ask: endpoints differ in what they know."""

    format: str
    """Of the reply: "json_schema", "json_object", or "text", which is none."""
    usage: bool = True
    """Whether to ask for the count of tokens at the end of the stream."""


_FORMS = (
    _Form("json_schema"),
    _Form("json_object"),
    _Form("text"),
    _Form("text", usage=False),
)


@dataclass
class Client:
    """Asks one model at one endpoint. A context manager; several requests may run at a time.

    Attributes:
        settings: which, and how.
        budget: what the session may spend.
        cache: replies that are known.
        fresh: ask anew even where a reply is known.
    """

    settings: ModelSettings
    budget: Budget
    cache: ReplyCache = field(default_factory=ReplyCache)
    fresh: bool = False
    _key: Key | None = None
    _openai: AsyncOpenAI | None = None
    _form: int = 0

    @property
    def form(self) -> str:
        """The form of replies that the endpoint is known to hold to: "json_schema" until it does not."""
        return _FORMS[self._form].format

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections. Idempotent."""
        client, self._openai = self._openai, None
        if client is not None:
            await client.close()

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Reply:
        """A model's reply.

        Args:
            messages: as the protocol has them.
            schema: of the JSON that is asked for; an endpoint that cannot hold a reply to it is
                asked without.
            progress: told, in the loop's thread, as the reply comes in.

        Raises:
            ModelProblem: there is none.
            KeyProblem: there is no key to send.
            BudgetSpent: it could cost more than is left.
            asyncio.CancelledError: the task was cancelled; the request is closed.
        """
        settings = self.settings
        if not settings.model:
            raise ModelProblem(
                Trouble.MISSING,
                "No model is named. Write it into pyproject.toml, [tool.torchport.llm] model, or set "
                "TORCHPORT_MODEL.",
            )
        key = request_key(
            {
                "base_url": settings.base_url,
                "model": settings.model,
                "options": dict(settings.options),
                "messages": [dict(message) for message in messages],
                "schema": dict(schema),
            }
        )
        if not self.fresh and (known := self._known(key)) is not None:
            return known
        prompt_tokens = sum(count_tokens(message["content"]) for message in messages)
        self.budget.set_aside(prompt_tokens)
        try:
            await self.budget.turn()
            reply = await self._reply(messages, schema, progress)
        except BaseException:
            self.budget.release(prompt_tokens)
            raise
        estimated = not reply.prompt_tokens
        if estimated:
            count = count_tokens(reply.content)
            reply = replace(reply, prompt_tokens=prompt_tokens, reply_tokens=count)
        self.budget.settle(
            prompt_tokens, reply.prompt_tokens, reply.reply_tokens, estimated=estimated
        )
        if reply.finish == "stop" and reply.content.strip():
            self.cache.put(key, asdict(reply))
        return reply

    def _known(self, key: str) -> Reply | None:
        data = self.cache.get(key)
        if data is None:
            return None
        try:
            reply = replace(Reply(**data), cached=True)
        except TypeError:
            return None  # of another version
        self.budget.count_cached()
        return reply

    async def _reply(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        progress: Callable[[Progress], None],
    ) -> Reply:
        """The reply in the best form that the endpoint knows; a stream that breaks is begun again."""
        try:
            import openai
        except ImportError as error:
            raise ModelProblem(
                Trouble.MISSING, "Asking a model needs a package: pip install 'torchport[llm]'."
            ) from error
        broken = 0
        while True:
            form = _FORMS[self._form]
            try:
                async with self._told():
                    return await self._stream(form, messages, schema, progress)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if self._form + 1 == len(_FORMS):
                    self._form = 0
                    raise ModelProblem(Trouble.REQUEST, self._message(error)) from error
                self._form += 1
            except _BrokenStream as error:
                broken += 1
                if broken > self.settings.retries:
                    raise ModelProblem(
                        Trouble.BROKEN,
                        f"The reply of {self.settings.host} broke off, in all attempts ({broken}): {error}.",
                    ) from error
                await asyncio.sleep(_BROKEN_SECONDS * min(broken, 4))

    async def _stream(
        self,
        form: _Form,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        progress: Callable[[Progress], None],
    ) -> Reply:
        """
        Raises:
            _BrokenStream: it ended before it said why.
        """
        import openai

        began = time.monotonic()
        progress(Progress(0, 0.0))
        request = self._request(form, messages, schema)
        text: list[str] = []
        refusal: list[str] = []
        finish = model = ""
        prompt_tokens = reply_tokens = characters = 0
        create = cast("Callable[..., Any]", self._client().chat.completions.create)
        stream: AsyncStream[ChatCompletionChunk] = await create(**request)
        try:
            async with stream:
                async for chunk in stream:
                    model = chunk.model or model
                    if chunk.usage is not None:
                        prompt_tokens = chunk.usage.prompt_tokens
                        reply_tokens = chunk.usage.completion_tokens
                    for choice in chunk.choices[:1]:
                        finish = choice.finish_reason or finish
                        delta: Any = choice.delta
                        if delta is None:  # some endpoints leave it out at the end
                            continue
                        text.append(delta.content or "")
                        refusal.append(getattr(delta, "refusal", None) or "")
                        characters += len(text[-1])
                        progress(Progress(characters, time.monotonic() - began))
        except openai.APITimeoutError:
            raise
        except (openai.APIConnectionError, json.JSONDecodeError, UnicodeDecodeError) as error:
            self._count_lost(messages, text)
            raise _BrokenStream(str(error) or type(error).__name__) from error
        if not finish:
            self._count_lost(messages, text)
            raise _BrokenStream("it ended without saying so")
        return Reply("".join(text), finish, "".join(refusal), model, prompt_tokens, reply_tokens)

    def _count_lost(self, messages: Sequence[Mapping[str, str]], text: Sequence[str]) -> None:
        """Count what came of a reply that broke off: the endpoint's bill has it, too."""
        prompt_tokens = sum(count_tokens(message["content"]) for message in messages)
        self.budget.count_lost(prompt_tokens, count_tokens("".join(text)))

    def _request(
        self, form: _Form, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]
    ) -> dict[str, Any]:
        settings = self.settings
        # Endpoints other than OpenAI's have the older name only, and vice versa.
        theirs = settings.host == "api.openai.com" or settings.host.endswith(".azure.com")
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": [dict(message) for message in messages],
            "stream": True,
            "max_completion_tokens" if theirs else "max_tokens": settings.reply_tokens,
        }
        if form.usage:
            request["stream_options"] = {"include_usage": True}
        if form.format == "json_schema":
            named = {"name": SCHEMA_NAME, "strict": True, "schema": dict(schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": named}
        elif form.format == "json_object":
            request["response_format"] = {"type": "json_object"}
        if settings.options:
            request["extra_body"] = dict(settings.options)
        return request

    def _client(self) -> AsyncOpenAI:
        """
        Raises:
            KeyProblem: there is no key.
        """
        if self._openai is not None:
            return self._openai
        from openai import AsyncAzureOpenAI, AsyncOpenAI

        settings = self.settings
        self._key = find_key(settings)
        common: dict[str, Any] = {
            "api_key": self._key.value or "none",
            "timeout": settings.timeout,
            "max_retries": settings.retries,
        }
        headers: dict[str, Any] = _withheld() if settings.base_url != OPENAI else {}
        if settings.api_version:
            self._openai = AsyncAzureOpenAI(
                azure_endpoint=settings.base_url,
                api_version=settings.api_version,
                azure_deployment=settings.model,
                default_headers=headers,
                **common,
            )
        else:
            headers["Authorization"] = f"Bearer {common['api_key']}"
            self._openai = AsyncOpenAI(
                base_url=settings.base_url, default_headers=headers, **common
            )
        return self._openai

    @asynccontextmanager
    async def _told(self) -> AsyncGenerator[None]:
        """What goes wrong inside it becomes a `ModelProblem`; what another form may mend does not."""
        import openai

        host = self.settings.host
        try:
            yield
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            raise
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            origin = self._key.origin if self._key else ""
            raise ModelProblem(
                Trouble.KEY, f"{host} does not accept the key ({origin}). {self._message(error)}"
            ) from error
        except openai.NotFoundError as error:
            raise ModelProblem(
                Trouble.MODEL,
                f"{host} has no model {self.settings.model!r} at {self.settings.base_url}. "
                f"{self._message(error)}",
            ) from error
        except openai.RateLimitError as error:
            raise ModelProblem(
                Trouble.RATE,
                f"{host} turns requests away: too many, or the account's quota is spent. "
                f"{self._message(error)}",
            ) from error
        except openai.APITimeoutError as error:
            raise ModelProblem(
                Trouble.TIMEOUT,
                f"{host} gave no sign of life for {self.settings.timeout:g} s. A model that is slow to "
                "begin needs a longer timeout in [tool.torchport.llm].",
            ) from error
        except openai.APIStatusError as error:
            raise ModelProblem(Trouble.SERVER, f"{host} failed. {self._message(error)}") from error
        except openai.APIConnectionError as error:
            raise ModelProblem(
                Trouble.UNREACHABLE, f"{host} cannot be reached: {self._cause(error)}."
            ) from error
        except openai.APIError as error:
            raise ModelProblem(Trouble.SERVER, f"{host} failed. {self._message(error)}") from error

    def _message(self, error: Any) -> str:
        """What the endpoint said, without the key."""
        said = " ".join(str(error.message).split())
        return self._key.hidden_in(said)[:400] if self._key else said[:400]

    def _cause(self, error: BaseException) -> str:
        cause = error.__cause__ or error
        return (str(cause) or type(cause).__name__).rstrip(".")


class _BrokenStream(Exception):
    """A reply ended before it said why."""


def _withheld() -> dict[str, Any]:
    """The headers that `openai` takes from the environment, none of which is for another endpoint."""
    from openai import Omit

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]
    return {name: Omit() for name in ("OpenAI-Organization", "OpenAI-Project", *names)}
