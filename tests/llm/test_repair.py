"""The loop: what is asked again, with what; when it stops; and which port comes back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.llm.scenarios import CARDS, SCENARIOS, Scenario, retrieve, run_scenario
from tests.llm.server import Break, Fail, Say, Server, Step

from torchport_checks import Checker, CheckOptions
from torchport_checks.lanes import clean_environment
from torchport_checks.repair import Draft, Repair, repair
from torchport_translators.findings import Target
from torchport_translators.llm.budget import Budget
from torchport_translators.llm.client import Client
from torchport_translators.llm.fill import model_lines
from torchport_translators.llm.prompt import Prompter
from torchport_translators.llm.settings import ModelSettings
from torchport_translators.translate import translate


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    """Its lanes start with the first port that is run."""
    with Checker(CheckOptions(timeout=60, locate=True), store=False) as checker:
        yield checker


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_weak_reply_is_repaired_with_the_verdict_and_the_card(
    scenario: Scenario, checker: Checker, tmp_path: Path
) -> None:
    with Server(recorded=scenario.recorded) as server:
        made = run_scenario(scenario, server, checker, tmp_path)
    weak, good = made.rounds
    assert [list(grade.values()) != [4] for grade in (weak.grades, good.grades)] == [True, False]
    assert made.verified == made.changed == made.names
    assert made.stopped == "All is verified."
    # The second prompt says how the first reply failed, and shows the bug that repairs it.
    asked = server.asked[1]["messages"][-1]["content"]
    (failure,) = weak.failures.values()
    assert failure.splitlines()[0] in asked
    card = next(card for card in CARDS if card.id == scenario.card)
    assert scenario.card in good.cards
    assert card.right in asked
    assert checker.check(
        tmp_path / "model.py",
        tmp_path / "model_jax.py",
        texts=(scenario.original.encode(), made.text.encode()),
    ).ok
    assert model_lines(made.text)


# When it stops

ORIGINAL = """\
import torch


# torchport: check(x=f32[4, 3])
def f(x):
    return torch.unknown_thing(x)
"""
# `unknown_thing` does not exist, so nothing here could be run: these replies never reach a lane.
GOOD = "def f(x):\n    return jnp.exp(x)\n"
DENSITY = ORIGINAL.replace(
    "torch.unknown_thing(x)", "torch.distributions.Normal(0.0, 1.0).log_prob(x)"
)


def draft(folder: Path, original: str = ORIGINAL, checker: Checker | None = None) -> Draft:
    source, port = folder / "model.py", folder / "model_jax.py"
    source.write_text(original, encoding="utf-8")
    translation = translate(original, "jax", name=source.name)
    port.write_text(translation.text, encoding="utf-8")
    verdict = checker.check(source, port) if checker else None
    return Draft(source, port, original, translation.text, Target.JAX, translation, verdict)


def run(
    given: Draft, checker: Checker, script: list[Step], **changes: Any
) -> tuple[Repair, Server]:
    with Server(script) as server:
        settings = replace(
            ModelSettings(model="m", base_url=server.url, timeout=5, retries=0), **changes
        )

        async def ask() -> Repair:
            async with Client(settings, Budget(settings)) as client:
                return await repair(given, checker, client, Prompter(settings, retrieve=retrieve))

        return asyncio.run(ask()), server


@pytest.mark.parametrize(
    ("script", "changes", "stopped", "rejected"),
    [
        ([Say(refusal="No.")], {}, "The model refused to answer: No.", ["refused to answer"]),
        ([Say(text="Use exp."), Say(text="Use exp.")], {}, "The same failure came again.",
         ["holds no code", "holds no code"]),
        ([Say("def f(", finish="length"), Say(text="Use exp."), Say("def f(x:")], {},
         "All rounds are spent (3).", ["cut off", "holds no code", "does not parse"]),
        ([Say("def f(y):\n    return y"), Say("import os\n" + GOOD)], {"rounds": 2},
         "All rounds are spent (2).", ["f must keep its parameters: (x), not (y)", "imports os"]),
        ([Say(text="Use exp.")], {"max_requests": 1},
         "All requests of the session are spent (max_requests = 1).", ["holds no code"]),
        ([Fail(401, "bad key")], {}, "does not accept the key", []),
        ([Break()], {}, "broke off, in all attempts (1)", []),
        ([], {"prompt_tokens": 50}, "the prompt takes", []),
    ],
    ids=["refusal", "same", "rounds", "screen", "budget", "key", "broken", "prompt"],
)  # fmt: skip
def test_it_stops_and_says_why(
    script: list[Step],
    changes: dict[str, Any],
    stopped: str,
    rejected: list[str],
    checker: Checker,
    tmp_path: Path,
) -> None:
    given = draft(tmp_path)
    made, server = run(given, checker, script, **changes)
    assert stopped in made.stopped
    assert len(made.rounds) == len(rejected)
    for one, says in zip(made.rounds, rejected, strict=True):
        assert says in one.rejected
    # The next prompt says what was wrong with the last reply.
    for body, says in zip(server.asked[1:], rejected, strict=False):
        assert says in body["messages"][-1]["content"].partition("## What is wrong so far")[2]
    assert made.text == given.text
    assert made.changed == made.verified == ()


def test_nothing_is_asked_where_nothing_is_open(checker: Checker, tmp_path: Path) -> None:
    given = draft(tmp_path, "import torch\n\n\ndef f(x):\n    return torch.exp(x)\n")
    made, server = run(given, checker, [])
    assert (made.stopped, server.asked) == ("Nothing is open.", [])


def test_nothing_is_asked_where_no_port_could_be_checked(tmp_path: Path) -> None:
    options = CheckOptions(jax_python=str(tmp_path / "python"))
    with Checker(options, store=False) as checker:
        given = draft(tmp_path, ORIGINAL, checker)
        made, server = run(given, checker, [])
    assert made.stopped.startswith("No port can be checked.")
    assert server.asked == []


WRONG = "def f(x):\n    return 1.0 - x\n"
WORSE = "def f(x):\n    return jnp.exp(x)[0]\n"


@pytest.mark.parametrize(
    ("replies", "stopped", "grades"),
    [
        ([WRONG, WRONG + "# again\n"], "The model wrote the same code again.", [3, None]),
        (
            [WORSE, WORSE.replace("    return", "    y = x\n    return")],
            "The same failure came again.",
            [2, 2],
        ),
        ([WRONG, WORSE], "All rounds are spent (2).", [3, 2]),
    ],
    ids=["same-code", "same-failure", "worse"],
)
def test_the_best_port_comes_back_with_the_verdict_that_it_has(
    replies: list[str],
    stopped: str,
    grades: list[int | None],
    checker: Checker,
    tmp_path: Path,
) -> None:
    given = draft(tmp_path, DENSITY, checker)
    made, _ = run(given, checker, [Say(code) for code in replies], rounds=2)
    assert made.stopped == stopped
    assert [one.grades.get("f") for one in made.rounds] == grades
    assert (made.changed, made.verified) == (("f",), ())
    first = replies[0].splitlines()[1]
    assert first in made.text


def test_what_the_rules_ported_wrongly_is_asked_for_with_its_verdict(
    checker: Checker, tmp_path: Path
) -> None:
    """Here by hand: a port that the check does not pass, in which nothing is open."""
    given = draft(tmp_path, "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.exp(x)\n")
    wrong = given.text.replace("jnp.exp(x)", "jnp.expm1(x)")
    given.port.write_text(wrong, encoding="utf-8")
    given = replace(given, text=wrong, verdict=checker.check(given.source, given.port))
    made, server = run(given, checker, [Say("def f(x: jax.Array):\n    return jnp.exp(x)\n")])
    assert made.verified == ("f",)
    assert "f: " in server.asked[0]["messages"][-1]["content"].partition("## What is wrong")[2]


def test_a_loop_can_be_cancelled(checker: Checker, tmp_path: Path) -> None:
    given = draft(tmp_path)

    async def go(server: Server) -> None:
        settings = ModelSettings(model="m", base_url=server.url)
        async with Client(settings, Budget(settings)) as client:
            begun = asyncio.Event()
            task = asyncio.create_task(
                repair(
                    given,
                    checker,
                    client,
                    Prompter(settings, retrieve=retrieve),
                    lambda _, progress: begun.set() if progress.characters else None,
                )
            )
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Server([Say(GOOD * 200, between=0.05)]) as server:
        asyncio.run(go(server))
        assert server.dropped.wait(10)


@pytest.mark.parametrize("framework", ["torch", "jax", "mlx"])
def test_no_key_is_in_a_lanes_environment(framework: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "TORCHPORT_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_AD_TOKEN",
        "ANTHROPIC_API_KEY",
        "TORCH_API_KEY",
        "JAX_SECRET",
        "HF_TOKEN",
    )
    for name in names:
        monkeypatch.setenv(name, "sk-secret")
    environment = clean_environment(framework, "cpu")
    assert "PATH" in environment
    assert "sk-secret" not in environment.values()
    assert os.environ["OPENAI_API_KEY"] == "sk-secret"
