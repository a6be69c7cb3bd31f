"""The prompt: what it shows, what it leaves out when it grows too long, and what it never shows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.llm.scenarios import CARDS, SCENARIOS, Scenario, retrieve

from torchport_translators.findings import Target
from torchport_translators.llm import tokens
from torchport_translators.llm.prompt import (
    Feedback,
    Prompt,
    Prompter,
    PromptProblem,
    Task,
    open_definitions,
    prompt_for,
    retrieve_cards,
)
from torchport_translators.llm.settings import ModelSettings
from torchport_translators.llm.signatures import called_names, signatures
from torchport_translators.llm.tokens import count_tokens, estimate
from torchport_translators.translate import translate

SOURCE = '''\
"""A module."""

import torch

SCALE = 2.0
UNUSED = 3.0


def helper(x, n: int = 2):
    """Scales."""
    secret_detail = x * SCALE
    return secret_detail


# It is unlikely.
def surprise(x, mean, std):
    likely = torch.distributions.Normal(mean, std).log_prob(helper(x))
    return -likely.sum(-1) * SCALE


def other(x):
    return torch.sin(x) + torch.unknown_thing(x)


def ported(x):
    return torch.cos(x)
'''
TRANSLATION = translate(SOURCE, "jax", name="model.py")


def prompt(names: tuple[str, ...] = ("surprise",), **changes: Any) -> Prompt:
    settings = replace(ModelSettings(), **changes)
    return prompt_for(
        SOURCE, "model.py", TRANSLATION, "jax", names, settings=settings, retrieve=retrieve
    )


def section(text: str, title: str) -> str:
    """A section of a prompt; empty where it has none."""
    _, found, rest = text.partition(f"## {title}")
    return rest.partition("\n## ")[0] if found else ""


def test_what_is_open_is_asked_for() -> None:
    assert open_definitions(TRANSLATION) == ("surprise", "other")
    text = prompt(()).user
    assert "Write surprise, other." in text
    assert (
        "1. `likely = torch.distributions.Normal(mean, std).log_prob(helper(x))`: "
        "torch.distributions.Normal has no rule" in text
    )
    assert "2. `return torch.sin(x) + torch.unknown_thing(x)`" in text


def test_only_what_is_asked_for_is_shown_whole() -> None:
    text = prompt().user
    original = section(text, "The original")
    assert "# It is unlikely.\ndef surprise(x, mean, std):" in original
    assert "import torch" in original
    assert "def other" not in text
    assert "def ported" not in text
    # What it uses is shown by its signature.
    assert 'def helper(x, n: int=2):\n    """Scales."""\n    ...' in original
    assert "secret_detail" not in text
    assert "SCALE = 2.0" in original
    assert "UNUSED" not in text


def test_the_port_is_shown_as_the_rules_left_it() -> None:
    port = section(prompt().user, "The port so far")
    assert "# torchport: not ported: torch.distributions.Normal has no rule" in port
    assert "return jnp.sin(x) + torch.unknown_thing(x)" in prompt(("other",)).user


def test_signatures_are_those_of_the_installed_target() -> None:
    text = section(prompt(("other",)).user, "Signatures, as installed")
    assert text.startswith(" (jax ")
    assert "jnp.sin(x, /)  # Compute a trigonometric sine of each element of input." in text


def test_known_bugs_are_shown_as_many_as_asked_for() -> None:
    shown = prompt()
    card = CARDS[0]
    assert shown.cards == (card.id,)
    assert f"- {card.title} (torch.distributions.Normal)\n  wrong: {card.wrong}" in shown.user
    none = prompt(cards=0)
    assert none.cards == ()
    assert "Known bugs" not in none.user


def test_a_bug_can_be_left_out_of_its_own_prompt() -> None:
    """An evaluation on the corpus must not show the answer."""
    prompter = Prompter(ModelSettings(), retrieve=retrieve, exclude=(CARDS[0].id,))
    task = Task(SOURCE, "model.py", TRANSLATION.text, Target.JAX, ("surprise",))
    assert CARDS[0].right not in prompter.prompt(task).text


def test_what_advice_calls_is_shown_with_its_signature() -> None:
    text = section(prompt().user, "Signatures, as installed")
    assert "jax.scipy.stats.norm.logpdf(x, loc=0, scale=1)" in text


def test_names_that_do_not_exist_are_told_with_what_there_is() -> None:
    port = TRANSLATION.text.replace("likely.sum(-1)", "jnp.sumn(likely, axis=-1)")
    task = Task(
        SOURCE,
        "model.py",
        port,
        Target.JAX,
        ("surprise",),
        feedback=(Feedback("surprise", "AttributeError: jax.numpy has no attribute sumn"),),
    )
    text = Prompter(ModelSettings(), retrieve=retrieve).prompt(task).user
    assert "jnp.sumn does not exist; there is jnp.sum" in text
    assert "## What is wrong so far\nsurprise: AttributeError" in text


def test_what_does_not_fit_is_left_out_the_least_useful_first() -> None:
    whole = prompt()
    assert whole.left_out == ()
    lengths = []
    for limit in range(whole.tokens, 300, -60):
        try:
            shorter = prompt(prompt_tokens=limit)
        except PromptProblem as problem:
            assert "and may take" in str(problem)
            break
        assert shorter.tokens <= limit
        assert "def surprise" in shorter.user
        lengths.append((len(shorter.left_out), bool(shorter.cards), "..." in shorter.user))
    else:
        raise AssertionError("no limit was too small")
    first = next(item for item in lengths if item[0])
    assert first[1]  # bugs are still shown when stubs of the rest are not


def test_there_may_be_nothing_to_ask() -> None:
    source = "import torch\n\n\ndef f(x):\n    return torch.cos(x)\n"
    with pytest.raises(PromptProblem, match="there is nothing to ask"):
        prompt_for(source, "model.py", translate(source, "jax"), "jax")


def test_a_source_that_does_not_parse_is_not_sent() -> None:
    source = "import torch\n\n\ndef f(x):\n    return torch.unknown(x\n"
    translation = translate(source, "jax")
    with pytest.raises(PromptProblem, match=r"does not parse|nothing to ask"):
        prompt_for(source, "model.py", translation, "jax", ("f",))


@pytest.mark.parametrize("target", list(Target))
def test_the_records_that_torchport_ships_are_shown(target: Target) -> None:
    source = "import torch\n\n\ndef f(x):\n    return torch.unknown(x.std(1))\n"
    shown = prompt_for(source, "model.py", translate(source, target), target)
    assert 0 < len(shown.cards) <= 6
    others = retrieve_cards(source, target, exclude=shown.cards[:1])
    assert shown.cards[0] not in {card.id for card in others}
    assert retrieve_cards(source, target)[0].why in shown.user
    none = prompt_for(
        source, "model.py", translate(source, target), target, settings=ModelSettings(cards=0)
    )
    assert "Known bugs" not in none.user


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.record], ids=lambda scenario: scenario.name
)
def test_the_record_that_repairs_a_weak_reply_is_among_them(scenario: Scenario) -> None:
    translation = translate(scenario.original, "jax", name="model.py")
    shown = prompt_for(scenario.original, "model.py", translation, "jax")
    assert scenario.record in shown.cards


# Signatures


@pytest.mark.parametrize(
    ("code", "target", "names"),
    [
        ("jnp.sum(jax.nn.relu(x)).at", "jax", ("jnp.sum", "jax.nn.relu")),
        ("import jax.numpy as np\nnp.var(x)", "jax", ("jnp.var",)),
        ("from jax import lax as l\nl.scan(f)", "jax", ("lax.scan",)),
        ("mx.fast.rope(x)\nnn.Linear", "mlx", ("mx.fast.rope", "nn.Linear")),
        ("jnp.sum(", "jax", ()),
    ],
)
def test_the_names_that_code_calls(code: str, target: str, names: tuple[str, ...]) -> None:
    assert called_names(code, target) == names


def test_signatures_hold_no_address() -> None:
    """They would make a new prompt of every run, and no reply would be known."""
    found = signatures(["nnx.Linear", "nnx.LayerNorm", "jax.nn.gelu", "optax.adam"], "jax")
    assert len(found) == 4
    assert not [item.text for item in found if "0x" in item.text]


def test_an_interpreter_that_does_not_answer_gives_no_signatures(tmp_path: Path) -> None:
    assert signatures(["jnp.sum"], "jax", str(tmp_path / "python")) == ()


# Tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("jnp.sum(x)", 6), ("return x", 3), ("    y = 1\n", 5), ("é", 2), ("123456", 2)],
)
def test_an_estimate_counts_words_signs_and_numbers(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


def test_no_vocabulary_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one used, and removed, that is damaged."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    damaged = tmp_path / hashlib.sha1(tokens._ADDRESS.encode()).hexdigest()
    for content in (None, b"damaged"):
        if content is not None:
            damaged.write_bytes(content)
        tokens._counter.cache_clear()
        assert count_tokens("jnp.sum(x)") == estimate("jnp.sum(x)")
    assert damaged.read_bytes() == b"damaged"
    tokens._counter.cache_clear()
