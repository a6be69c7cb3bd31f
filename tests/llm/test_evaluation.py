"""`torchport eval`: what is read, how it is scored, and one evaluation from end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.llm.scenarios import CARDS, retrieve
from tests.llm.server import Say, Server

from torchport.cli import cli
from torchport_checks import Category, Checker, CheckOptions, DefinitionVerdict, Verdict
from torchport_checks.evaluation.dataset import DatasetProblem, Item, read_dataset
from torchport_checks.evaluation.evaluate import (
    Context,
    Evaluation,
    Evaluator,
    Outcome,
    compared,
    mean_grade,
    stage_of,
    summary,
)
from torchport_checks.evaluation.judge import Judge
from torchport_checks.evaluation.report import markdown, plots
from torchport_checks.evaluation.similarity import code_bleu, tree_edits
from torchport_checks.grade import grade
from torchport_checks.verdicts import Stages
from torchport_translators.findings import Target
from torchport_translators.llm.budget import Budget
from torchport_translators.llm.client import Client
from torchport_translators.llm.settings import ModelSettings

DENSITY = """\
import torch


def density(x: torch.Tensor):
    return torch.distributions.Normal(0.0, 1.0).log_prob(x)
"""
DOUBLE = "import torch\n\n\ndef double(x: torch.Tensor):\n    return 2 * torch.exp(x)\n"
WEAK = "def density(x: jax.Array):\n    return -x * x / 2\n"
WEAKER = "def density(x: jax.Array):\n    return jnp.sum(x)\n"
GOOD = "def density(x: jax.Array):\n    return jax.scipy.stats.norm.logpdf(x, 0.0, 1.0)\n"

# Datasets


def test_a_folder_of_files_and_notebooks(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "b.py").write_text(DENSITY, encoding="utf-8")
    (tmp_path / "b_jax.py").write_text("import jax  # from torch\n", encoding="utf-8")
    (tmp_path / "plain.py").write_text("x = 1\n", encoding="utf-8")
    (inner / "a.py").write_text(DOUBLE, encoding="utf-8")
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import torch"]},
        {"cell_type": "code", "source": ["%%bash\n", "ls"]},
        {"cell_type": "code", "source": "def f(x):\n    return torch.exp(x)"},
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    items = read_dataset(tmp_path, "jax")
    assert [item.name for item in items] == ["b.py", "inner/a.py", "n.ipynb"]
    assert [item.reference for item in items] == ["import jax  # from torch\n", "", ""]
    assert items[2].source == "pass\nimport torch\n\ndef f(x):\n    return torch.exp(x)\n"


def test_lines_of_json_ours_and_t2js(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    rows = [
        {"name": "one", "source": DENSITY, "reference": GOOD, "exclude": ["bug-1"]},
        {"Example_id": 7, "Input_Code": DOUBLE},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    assert read_dataset(path, "jax") == [
        Item("one", DENSITY, None, GOOD, ("bug-1",)),
        Item("7", DOUBLE),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "d.jsonl:1 is not JSON"),
        ("[1]", "d.jsonl:1 is not an object"),
        ('{"name": "x"}', "d.jsonl:1 has no text under `source`"),
        ('{"source": "x", "exclude": "y"}', "`exclude` is a list"),
        ("", "holds no original"),
    ],
)
def test_what_is_no_dataset_is_told(content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DatasetProblem) as caught:
        read_dataset(path, "jax")
    assert says in str(caught.value)


# Scores


def definition(
    status: Any, category: Category | None = None, stages: Stages | None = None
) -> DefinitionVerdict:
    return DefinitionVerdict(
        name="f",
        kind="function",
        source_line=1,
        status=status,
        category=category,
        message="",
        stages=stages or Stages(),
    )


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (definition("error", Category.LOAD), 0),
        (definition("error", Category.MISSING), 0),
        (definition("error", Category.CONSTRUCTION), 1),
        (definition("diverged", Category.PORT_ERROR), 1),
        (definition("diverged", Category.SHAPE), 2),
        (definition("diverged", Category.MISMATCH), 3),
        (definition("diverged", Category.PRECISION), 3),
        (definition("verified"), 4),
        (definition("not_run", Category.INPUTS), None),
        (definition("error", Category.SOURCE_ERROR), None),
    ],
)
def test_a_grade_says_how_far_a_port_comes(
    verdict: DefinitionVerdict, expected: int | None
) -> None:
    assert grade(verdict) == expected


def test_every_category_has_a_grade_or_cannot_be_judged() -> None:
    assert all(grade(definition("error", category)) in (None, 0, 1, 2, 3) for category in Category)


PASSED = Stages(spec="passed", numeric="passed", behavioural="passed")
NUMERIC = Stages(spec="passed", numeric="passed", behavioural="failed")
SPEC = Stages(spec="passed", numeric="failed")


@pytest.mark.parametrize(
    ("definitions", "stage", "mean"),
    [
        ([definition("verified", stages=PASSED)], "behavioural", 4.0),
        ([definition("verified", stages=PASSED), definition("diverged", Category.MISMATCH, SPEC)],
         "spec", 3.5),
        ([definition("diverged", Category.MISMATCH, NUMERIC)], "numeric", 3.0),
        ([definition("error", Category.LOAD, Stages(spec="failed"))], "none", 0.0),
        ([definition("not_run", Category.INPUTS)], "none", None),
        # A function has nothing to train: another definition says what was reached.
        ([definition("verified", stages=Stages(spec="passed", numeric="passed"))], "numeric", 4.0),
    ],
)  # fmt: skip
def test_a_port_reaches_the_stage_that_all_its_definitions_pass(
    definitions: list[DefinitionVerdict], stage: str, mean: float | None
) -> None:
    verdict = Verdict(torchport="0", source="a", port="b", definitions=definitions)
    assert stage_of(verdict) == stage
    assert mean_grade(verdict) == mean


def outcome(**changes: Any) -> Outcome:
    given: dict[str, Any] = {
        "item": "x", "asked": ("f",), "rounds": 1, "passed_after": 1, "verified": True, "grade": 4.0,
        "stage": "numeric", "edits": 0, "similarity": None, "judged": None, "cards": (), "tokens": 10,
        "stopped": "", "text": "",
    }  # fmt: skip
    return Outcome(**{**given, **changes})


FAILED: dict[str, Any] = {"verified": False, "passed_after": None, "stage": "spec"}


@pytest.mark.parametrize(
    ("one", "other", "winner"),
    [
        (outcome(), outcome(), "tie"),
        (outcome(), outcome(grade=3.0, **FAILED), "first"),
        (outcome(grade=3.0, **FAILED), outcome(grade=3.5, **FAILED), "second"),
        (outcome(rounds=2, passed_after=2), outcome(), "second"),
        (outcome(edits=3, rounds=2), outcome(edits=9, rounds=2), "first"),
    ],
)
def test_two_outcomes_are_compared_by_what_ran(one: Outcome, other: Outcome, winner: str) -> None:
    assert compared(one, other) == winner


def test_a_summary_counts_what_can_be_judged() -> None:
    found = summary(
        [
            outcome(rounds=0, asked=(), passed_after=0, tokens=0),
            outcome(rounds=2, passed_after=2, edits=6, similarity=0.5),
            outcome(grade=3.0, rounds=3, edits=2, **FAILED),
            outcome(grade=None, **FAILED),
        ],
        rounds=3,
    )
    assert found.items == 3
    assert found.passed == pytest.approx((1 / 3, 1 / 3, 2 / 3, 2 / 3))
    assert found.stages == pytest.approx({"spec": 1.0, "numeric": 2 / 3, "behavioural": 0.0})
    assert (found.grade, found.edits, found.rounds) == pytest.approx((11 / 3, 4.0, 2.5))
    assert (found.similarity, found.tokens) == (0.5, 30)


# Similarity


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("x = 1\n", "x = 1  # one\n", 0),
        ("x = 1\n", "x = 2\n", 1),
        ("f(x)\n", "g(x)\n", 1),
        ("f(x)\n", "f(x, y)\n", 2),  # a name and its context
        ("def f(:\n", "def f(:\n", 0),
    ],
)
def test_edits_count_nodes_of_the_syntax_tree(before: str, after: str, edits: int) -> None:
    assert tree_edits(before, after) == edits


def test_codebleu_is_one_for_the_same_code_and_falls_with_the_distance() -> None:
    near = GOOD.replace("0.0", "1.0")
    scores = [code_bleu(text, GOOD) for text in (GOOD, near, WEAK, "x = 1\n", "")]
    assert scores[0] == pytest.approx(1.0)
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_codebleu_sees_structure_and_flow_behind_other_names() -> None:
    one = "def f(a):\n    b = a + 1\n    c = b * a\n    return c\n"
    renamed = one.replace("a", "x").replace("b ", "y ").replace("b*", "y*").replace("c", "z")
    renamed = renamed.replace("= b", "= y")
    swapped = one.replace("c = b * a", "c = a * a")
    assert code_bleu(renamed, one) > 0.5
    assert code_bleu(swapped, one) < 1.0


# The judge


def ask_judge(script: Sequence[Say]) -> tuple[Any, Server]:
    with Server(script) as server:
        settings = ModelSettings(model="j", base_url=server.url, retries=0)

        async def run() -> Any:
            async with Client(settings, Budget(settings), fresh=True) as client:
                judge = Judge(client, "jax")
                if len(script) == 1:
                    return await judge.score(DENSITY, GOOD)
                return await judge.better(DENSITY, GOOD, WEAK)

        return asyncio.run(run()), server


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (['{"reason": "", "score": 3}'], 3),
        (['Well. {"reason": "", "score": 0}'], 0),
        (['{"score": 9}'], None),
        (["It is good."], None),
        (['{"winner": "A"}', '{"winner": "B"}'], "first"),
        (['{"winner": "B"}', '{"winner": "A"}'], "second"),
        (['{"winner": "A"}', '{"winner": "A"}'], "tie"),  # whichever stands first
        (['{"winner": "tie"}', '{"winner": "A"}'], "tie"),
    ],
)
def test_a_judge_is_asked_in_both_orders(texts: list[str], expected: Any) -> None:
    found, server = ask_judge([Say(text=text) for text in texts])
    assert found == expected
    if len(texts) == 2:
        first, second = (body["messages"][-1]["content"] for body in server.asked)
        assert first.index("logpdf") < first.index("-x * x")
        assert second.index("logpdf") > second.index("-x * x")


# From end to end


def evaluated(script: list[Say], contexts: list[Context]) -> tuple[Evaluation, Server]:
    items = [Item("density", DENSITY, reference=GOOD), Item("double", DOUBLE)]
    with Server(script) as server:
        settings = ModelSettings(model="m", base_url=server.url, rounds=2, retries=0)

        async def run() -> Evaluation:
            with Checker(CheckOptions(timeout=60), store=False) as checker:
                async with Client(settings, Budget(settings)) as client:
                    evaluator = Evaluator(
                        Target.JAX, checker, client, retrieve=retrieve, pool=lambda _: CARDS[1:]
                    )
                    return await evaluator.run(items, contexts)

        return asyncio.run(run()), server


def test_a_model_is_evaluated_with_each_context() -> None:
    """The rules port one of two. The model gets the other right, in two rounds, where it is shown the bug."""
    script = [Say(WEAK), Say(WEAKER), Say(WEAK), Say(WEAKER), Say(WEAK), Say(GOOD)]
    found, server = evaluated(script, ["none", "random", "retrieved"])
    none, lot, retrieved = (found.summaries[c] for c in ("none", "random", "retrieved"))
    assert none.passed == lot.passed == (0.5, 0.5, 0.5)
    assert retrieved.passed == (0.5, 0.5, 1.0)
    assert (none.grade, retrieved.grade) == (3.5, 4.0)
    assert retrieved.edits and none.tokens
    assert found.outcomes["retrieved"][0].cards == (CARDS[0].id,)
    assert found.outcomes["none"][0].cards == ()
    assert set(found.outcomes["random"][0].cards) == {card.id for card in CARDS[1:]}
    prompts = [body["messages"][-1]["content"] for body in server.asked]
    assert [CARDS[0].right in prompt for prompt in prompts] == [False] * 4 + [True] * 2
    better = next(v for v in found.versus if (v.first, v.second) == ("none", "retrieved"))
    assert (better.wins, better.ties, better.losses) == (0, 1, 1)
    table = markdown(found)
    assert "| retrieved | 2 | 50% | 50% | 100% |" in table
    assert "none against retrieved: 0 better, 1 alike, 1 worse." in table
    drawn = plots(found)
    assert drawn["passed.svg"].startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "retrieved, after 2 rounds: 100%" in drawn["passed.svg"]


def test_the_command_writes_results_table_and_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.jsonl").write_text(json.dumps({"name": "d", "source": DENSITY}), encoding="utf-8")
    with Server([Say(GOOD)]) as server:
        Path("pyproject.toml").write_text(
            f'[tool.torchport.llm]\nmodel = "m"\nbase_url = "{server.url}"\n', encoding="utf-8"
        )
        arguments = ["eval", "d.jsonl", "--contexts", "none", "--quick"]
        result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "pass@1" in result.stdout
    assert "Model: 1 request, 1,200 tokens." in result.stdout
    folder = Path(".torchport/eval")
    assert sorted(path.name for path in folder.iterdir()) == [
        "passed.svg", "results.json", "stages.svg", "table.md",
    ]  # fmt: skip
    data = json.loads((folder / "results.json").read_text("utf-8"))
    assert data["summaries"]["none"]["passed"] == [0.0, 1.0, 1.0, 1.0]
    (one,) = data["outcomes"]["none"]
    assert (one["item"], one["passed_after"], one["grade"]) == ("d", 1, 4.0)
    assert "# torchport: 1 line by m" in one["text"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--contexts", "none,all"], "--contexts takes none, random, retrieved; not 'none,all'"),
        (["--contexts", "none"], "--llm needs a model"),
    ],
)
def test_what_cannot_be_evaluated_is_told(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text(DENSITY, encoding="utf-8")
    result = CliRunner().invoke(cli, ["eval", ".", *arguments])
    assert result.exit_code == 2
    assert says in result.stderr
