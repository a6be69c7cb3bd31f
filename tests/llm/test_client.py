"""One request to a model, over HTTP: what is sent, what comes of every kind of answer, what it costs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from tests.llm.server import Break, Fail, Say, Server, Step

from torchport_translators.llm.budget import Budget, BudgetSpent
from torchport_translators.llm.client import Client, ModelProblem, Progress, Reply, Trouble
from torchport_translators.llm.keys import KeyProblem, keep_key
from torchport_translators.llm.reply import SCHEMA, ReplyProblem, read_reply
from torchport_translators.llm.settings import ModelSettings, Price

CODE = "def f(x):\n    return x + 1\n"
MESSAGES = [{"role": "user", "content": "port this"}]
KEY = "sk-a-key-that-nobody-may-see"
SOON = {"retry-after-ms": "5"}


def settings(server: Server, **changes: Any) -> ModelSettings:
    return replace(ModelSettings(model="m", base_url=server.url, timeout=5, retries=2), **changes)


def ask(given: ModelSettings, budget: Budget | None = None, **options: Any) -> Reply:
    async def run() -> Reply:
        async with Client(given, budget or Budget(given), **options) as client:
            return await client.ask(MESSAGES, SCHEMA)

    return asyncio.run(run())


# What is sent


def test_a_request_asks_for_a_stream_of_json_and_says_how_long_it_may_be() -> None:
    with Server([Say(CODE)]) as server:
        reply = ask(settings(server, options={"temperature": 0.2}))
    (body,) = server.asked
    assert read_reply(reply.content).code == CODE
    assert server.paths == ["/v1/chat/completions"]
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (body["stream"], body["max_tokens"], body["temperature"]) == (True, 8000, 0.2)
    assert (reply.prompt_tokens, reply.reply_tokens) == (1000, 200)


def test_an_azure_deployment_is_asked_by_date(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([Say(CODE)]) as server:
        azure = settings(
            server, base_url=server.url.removesuffix("/v1"), api_version="2024-10-21", model="dep"
        )
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", azure.base_url)
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
        ask(azure)
    assert server.paths == ["/openai/deployments/dep/chat/completions?api-version=2024-10-21"]
    assert server.headers[0]["api-key"] == KEY


@pytest.mark.parametrize(
    ("knows", "counts", "forms"),
    [
        (("json_schema", "json_object"), True, ["json_schema"]),
        (("json_object",), True, ["json_schema", "json_object"]),
        ((), True, ["json_schema", "json_object", None]),
        ((), False, ["json_schema", "json_object", None, None]),
    ],
)
def test_an_endpoint_that_holds_no_schema_is_asked_without(
    knows: tuple[str, ...], counts: bool, forms: list[str | None]
) -> None:
    """And is not asked in vain twice."""
    fenced = f"Here it is:\n```python\n{CODE}```\n"

    async def run(given: ModelSettings) -> list[Reply]:
        async with Client(given, Budget(given), fresh=True) as client:
            return [await client.ask(MESSAGES, SCHEMA) for _ in range(2)]

    with Server([Say(text=fenced)] * 2, knows=knows, counts_tokens=counts) as server:
        replies = asyncio.run(run(settings(server)))
    assert {read_reply(reply.content).code for reply in replies} == {CODE}
    asked = [body.get("response_format", {}).get("type") for body in server.asked]
    assert asked == [*forms, forms[-1]]


# What comes of an answer


@pytest.mark.parametrize(
    ("script", "requests"),
    [
        ([Fail(429, headers=SOON), Say(CODE)], 2),
        ([Fail(500, headers=SOON), Fail(503, headers=SOON), Say(CODE)], 3),
        ([Break(), Say(CODE)], 2),
        ([Break(garbage=True), Say(CODE)], 2),
        ([Say(CODE, finish=None), Say(CODE)], 2),
    ],
    ids=["429", "5xx", "disconnect", "no-json", "no-end"],
)
def test_what_may_pass_is_asked_again(script: list[Step], requests: int) -> None:
    with Server(script) as server:
        assert read_reply(ask(settings(server)).content).code == CODE
    assert len(server.asked) == requests


@pytest.mark.parametrize(
    ("script", "trouble", "says"),
    [
        (
            [Fail(401, f"Incorrect key: {KEY}")],
            Trouble.KEY,
            "does not accept the key (TORCHPORT_API_KEY)",
        ),
        ([Fail(403)], Trouble.KEY, "does not accept the key"),
        ([Fail(404, "no such model")], Trouble.MODEL, "has no model 'm' at http://127.0.0.1"),
        ([Fail(429, "quota", SOON)] * 3, Trouble.RATE, "the account's quota is spent"),
        ([Fail(500, "down", SOON)] * 3, Trouble.SERVER, "failed. Error code: 500"),
        ([Fail(400, "context is too long")] * 4, Trouble.REQUEST, "context is too long"),
        ([Break()] * 3, Trouble.BROKEN, "broke off, in all attempts (3)"),
        ([Say(CODE, wait=1.0)], Trouble.TIMEOUT, "no sign of life for 0.3 s"),
    ],
    ids=["401", "403", "404", "429", "500", "400", "disconnect", "slow"],
)
def test_what_does_not_pass_is_told_in_words(
    script: list[Step], trouble: Trouble, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHPORT_API_KEY", KEY)
    with Server(script) as server:
        slow = trouble is Trouble.TIMEOUT
        given = settings(server, timeout=0.3 if slow else 5, retries=0 if slow else 2)
        budget = Budget(given)
        with pytest.raises(ModelProblem) as caught:
            ask(given, budget)
    assert caught.value.trouble is trouble
    assert says in str(caught.value)
    assert KEY not in str(caught.value)
    assert budget.spent.requests == (3 if trouble is Trouble.BROKEN else 0)


def test_an_endpoint_that_is_not_there() -> None:
    with Server() as server:
        gone = settings(server, retries=0)
    with pytest.raises(ModelProblem, match=r"127\.0\.0\.1:\d+ cannot be reached") as caught:
        ask(gone)
    assert caught.value.trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Say(refusal="I cannot help with that."), "refused to answer: I cannot help with that."),
        (Say("x", finish="content_filter"), "refused to answer"),
        (Say("def f(", finish="length"), "cut off: it is longer than reply_tokens"),
        (Say(text="```python\ndef f(x):\n"), "its code block does not end"),
        (Say(text="I would use jnp.var here."), "holds no code: I would use jnp.var here."),
        (Say(code="", notes="it is sparse"), "wrote no code: it is sparse."),
        (Say(text=" "), "The reply is empty."),
    ],
    ids=["refusal", "filter", "length", "open-fence", "prose", "no-code", "empty"],
)
def test_a_reply_without_code_says_why(step: Say, says: str) -> None:
    with Server([step]) as server:
        reply = ask(settings(server))
    with pytest.raises(ReplyProblem) as caught:
        read_reply(reply.content, finish=reply.finish, refusal=reply.refusal)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"code": {CODE!r}, "notes": ""}}'.replace("'", '"'),
        f'```json\n{{"code": {CODE!r}, "notes": ""}}\n```'.replace("'", '"'),
        f"Sure.\n\n```python\n{CODE}```\nIt adds one.",
        f"~~~py\n{CODE}~~~",
        f"<think>\nMaybe ```python\nx\n```\n</think>\n```\n{CODE}```",
        f"Call it:\n```python\nf(1)\n```\nwhere\n```python\n{CODE}```",
        CODE,
    ],
    ids=["json", "fenced-json", "fence", "tildes", "thought", "several", "bare"],
)
def test_code_is_found_in_every_form(text: str) -> None:
    assert read_reply(text).code == CODE


def test_progress_is_told_and_a_request_can_be_cancelled() -> None:
    async def run(given: ModelSettings) -> list[Progress]:
        told: list[Progress] = []
        begun = asyncio.Event()

        def progress(now: Progress) -> None:
            told.append(now)
            if now.characters:
                begun.set()

        async with Client(given, Budget(given)) as client:
            task = asyncio.create_task(client.ask(MESSAGES, SCHEMA, progress))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return told

    with Server([Say(CODE * 100, between=0.05)]) as server:
        told = asyncio.run(run(settings(server)))
        assert server.dropped.wait(10)
    assert told[0] == Progress(0, 0.0)
    assert 0 < told[-1].characters < len(CODE) * 100


# The cache


def test_a_known_reply_costs_nothing_and_is_of_the_same_question() -> None:
    with Server([Say(CODE), Say("def g(): pass"), Say("def h(): pass")]) as server:
        given = settings(server)
        budget = Budget(given)
        assert not ask(given, budget).cached
        assert ask(given, budget).cached
        assert not ask(replace(given, options={"seed": 1}), budget).cached
        assert not ask(given, budget, fresh=True).cached
    assert (budget.spent.requests, budget.spent.cached) == (3, 1)
    assert budget.spent.text == "4 requests (1 from the cache), 3,600 tokens"


@pytest.mark.parametrize("step", [Say("def f(", finish="length"), Say(refusal="no"), Say(text=" ")])
def test_what_is_no_whole_reply_is_not_kept(step: Say) -> None:
    with Server([step, Say(CODE)]) as server:
        given = settings(server)
        ask(given)
        assert not ask(given).cached


# The budget


def test_cost_is_counted_by_the_prices_of_the_settings() -> None:
    with Server([Say(CODE)]) as server:
        given = settings(server, price=Price(2.0, 10.0))
        budget = Budget(given)
        ask(given, budget)
    assert budget.spent.cost == pytest.approx(1000 * 2e-6 + 200 * 1e-5)
    assert budget.spent.text == "1 request, 1,200 tokens, cost 0.0040"


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({"max_requests": 1}, "All requests of the session are spent (max_requests = 1)"),
        ({"max_tokens": 9000}, "1,200 of the session's 9,000 tokens are spent"),
        ({"max_cost": 0.083, "price": Price(2.0, 10.0)}, "0.0040 of the session's 0.0830 is spent"),
    ],
)
def test_a_budget_is_held_before_a_request_is_sent(limit: dict[str, Any], says: str) -> None:
    with Server([Say(CODE)] * 2) as server:
        given = settings(server, **limit)
        budget = Budget(given)
        ask(given, budget, fresh=True)
        with pytest.raises(BudgetSpent) as caught:
            ask(given, budget, fresh=True)
    assert says in str(caught.value)
    assert len(server.asked) == 1


def test_requests_at_the_same_time_do_not_overspend_together() -> None:
    async def run(given: ModelSettings) -> list[Any]:
        async with Client(given, Budget(given), fresh=True) as client:
            tasks = [client.ask(MESSAGES, SCHEMA) for _ in range(3)]
            return await asyncio.gather(*tasks, return_exceptions=True)

    with Server([Say(CODE, wait=0.2)] * 3) as server:
        found = asyncio.run(run(settings(server, max_requests=2)))
    assert sorted(type(item).__name__ for item in found) == ["BudgetSpent", "Reply", "Reply"]


def test_requests_keep_to_the_rate() -> None:
    """The second one of a minute waits for the next."""

    async def run(given: ModelSettings, budget: Budget) -> None:
        async with Client(given, budget, fresh=True) as client:
            await client.ask(MESSAGES, SCHEMA)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.ask(MESSAGES, SCHEMA), 0.5)

    with Server([Say(CODE)] * 2) as server:
        given = settings(server, requests_per_minute=1)
        budget = Budget(given)
        asyncio.run(run(given, budget))
        assert len(server.asked) == budget.spent.requests == 1


def test_tokens_are_estimated_where_the_endpoint_does_not_count_them() -> None:
    with Server([Say(CODE, usage=None)]) as server:
        given = settings(server)
        budget = Budget(given)
        ask(given, budget)
    assert budget.spent.estimated
    assert budget.spent.text.startswith("1 request, about ")


# Keys


@pytest.mark.parametrize(
    ("base_url", "environment", "origin"),
    [
        ("https://api.openai.com/v1", {"OPENAI_API_KEY": KEY}, "OPENAI_API_KEY"),
        ("https://api.openai.com/v1", {"OPENAI_API_KEY": "x", "TORCHPORT_API_KEY": KEY}, "TORCHPORT_API_KEY"),
        ("https://r.openai.azure.com/openai/v1", {"AZURE_OPENAI_API_KEY": KEY}, "AZURE_OPENAI_API_KEY"),
        ("https://proxy.example/v1", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://proxy.example/v1"}, "OPENAI_API_KEY"),
        ("http://localhost:11434/v1", {}, "none is needed on this machine"),
    ],
)  # fmt: skip
def test_a_key_is_found_for_its_endpoint(
    base_url: str, environment: dict[str, str], origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchport_translators.llm.keys import find_key

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    key = find_key(ModelSettings(model="m", base_url=base_url))
    assert key.origin == origin
    assert key.value == (KEY if environment else "")
    assert KEY not in repr(key)


@pytest.mark.parametrize(
    ("base_url", "environment", "says"),
    [
        ("https://api.openai.com/v1", {}, "There is no key for api.openai.com. Set TORCHPORT_API_KEY"),
        ("https://evil.example/v1", {"OPENAI_API_KEY": KEY}, "OPENAI_API_KEY is for OpenAI, and is not sent"),
        ("https://evil.example/v1", {"AZURE_OPENAI_API_KEY": KEY}, "is for Azure"),
        ("https://api.openai.com.evil.example/v1", {"OPENAI_API_KEY": KEY}, "is for OpenAI"),
        ("http://far.example/v1", {"TORCHPORT_API_KEY": KEY}, "would be sent in the clear"),
    ],
)  # fmt: skip
def test_a_key_is_not_sent_where_it_was_not_meant_to_go(
    base_url: str, environment: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(KeyProblem) as caught:
        ask(ModelSettings(model="m", base_url=base_url))
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_key_of_the_keyring_is_for_one_host() -> None:
    from torchport_translators.llm.keys import find_key

    keep_key("one.example", KEY)
    assert find_key(ModelSettings(base_url="https://one.example/v1")).value == KEY
    with pytest.raises(KeyProblem):
        find_key(ModelSettings(base_url="https://two.example/v1"))
    keep_key("one.example", "")
    with pytest.raises(KeyProblem):
        find_key(ModelSettings(base_url="https://one.example/v1"))


def test_what_is_openais_in_the_environment_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", f"{KEY}-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Team: mine\nAuthorization: Bearer {KEY}")
    with Server([Say(CODE)]) as server:
        ask(settings(server))
    sent = " ".join(server.headers[0].values())
    assert KEY not in sent
    assert "mine" not in sent


def test_a_key_is_in_no_log_and_in_no_file(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("TORCHPORT_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with Server([Fail(500, headers=SOON), Say(CODE)]) as server:
        ask(settings(server))
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(KEY.encode() not in path.read_bytes() for path in files)
