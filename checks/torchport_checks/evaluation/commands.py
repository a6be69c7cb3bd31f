"""`torchport eval`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from torchport_checks.commands import check_options
from torchport_checks.llm_commands import check_model
from torchport_translators.commands import target_option
from torchport_translators.files import FileProblem, write_port
from torchport_translators.findings import Target
from torchport_translators.llm.settings import MAX_ROUNDS
from torchport_translators.output import configuration_for, envelope, fail, json_option, print_json

if TYPE_CHECKING:
    from torchport_checks.evaluation.dataset import Item
    from torchport_checks.evaluation.evaluate import Context, Evaluation
    from torchport_checks.options import CheckOptions
    from torchport_translators.llm.budget import Budget
    from torchport_translators.llm.settings import ModelSettings

_FOLDER = Path(".torchport/eval")


@click.command("eval", short_help="Evaluate a model on a dataset, by running what it ports.")
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@target_option
@click.option(
    "--contexts",
    default="none,random,retrieved",
    metavar="LIST",
    help="Which known bugs prompts show: none, as many at random, those that are retrieved. "
    "[default: all three]",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, MAX_ROUNDS),
    help="How often a model is asked for one original. [default: the project's, else 3]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N originals."
)
@click.option("--seed", default=0, metavar="N", help="Of the random context. [default: 0]")
@click.option(
    "--judge", metavar="MODEL", help="Also ask this model of the endpoint for its opinion."
)
@click.option("--quick", is_flag=True, help="Check with fewer inputs and no training.")
@click.option("--fresh", is_flag=True, help="Ask anew where a reply is known already.")
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path, file_okay=False),
    default=_FOLDER,
    metavar="FOLDER",
    help=f"Where results, table and plots go. [default: {_FOLDER}]",
)
@json_option
def evaluate(
    dataset: Path,
    target: str | None,
    contexts: str,
    rounds: int | None,
    limit: int | None,
    seed: int,
    judge: str | None,
    quick: bool,
    fresh: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Evaluate a model on a dataset, by running what it ports.

    DATASET is a folder of Python files and notebooks, or a file of JSON lines (`source`, and perhaps
    `name`, `reference`, `exclude`). Each original is ported by rules, and by the model where these leave
    something open, with each context. All scores come from running the ports: what passes after each
    round, the stages, a grade from 0 to 4 (does not import, imports, runs, shapes, equal), rounds and
    edits to get there. CodeBLEU needs a reference, NAME_jax.py beside NAME.py.

    The code of the dataset is run, in contained processes. The model costs what it costs: the budget of
    [tool.torchport.llm] holds for the whole evaluation.

    \b
    Examples:
      torchport eval problems/ --contexts none,retrieved --limit 20
      torchport eval problems.jsonl --rounds 1 --judge gpt-5

    \b
    Exit code: 0 evaluated, 2 the dataset cannot be read, no model can be
    asked, or wrong usage. What could not be asked for is in the results.
    """
    from torchport_checks.evaluation.dataset import DatasetProblem, read_dataset
    from torchport_checks.evaluation.evaluate import CONTEXTS
    from torchport_checks.evaluation.report import markdown, plots, rows
    from torchport_translators.llm.budget import Budget, BudgetSpent
    from torchport_translators.llm.client import ModelProblem
    from torchport_translators.llm.keys import KeyProblem

    names = list(dict.fromkeys(part.strip() for part in contexts.split(",") if part.strip()))
    unknown = [name for name in names if name not in CONTEXTS]
    if unknown or not names:
        raise click.UsageError(f"--contexts takes {', '.join(CONTEXTS)}; not {contexts!r}.")
    configuration = configuration_for([str(dataset)])
    settings = check_model(configuration)
    settings = replace(settings, rounds=rounds or settings.rounds)
    chosen = Target(target or configuration.target)
    try:
        items = read_dataset(dataset, chosen)[:limit]
    except DatasetProblem as problem:
        fail(problem)
    options = check_options(configuration, None, None)
    options = options if quick else options.thorough()
    budget = Budget(settings)
    wanted = cast("list[Context]", names)
    try:
        found = asyncio.run(
            _run(items, wanted, chosen, settings, budget, options, judge, seed, fresh, as_json)
        )
    except (ModelProblem, KeyProblem, BudgetSpent) as problem:
        fail(f"The judge cannot be asked: {problem}")
    data = {
        **envelope("eval"),
        "target": chosen.value,
        "model": settings.model,
        "judge": judge,
        "dataset": str(dataset),
        "settings": {"rounds": settings.rounds, "cards": settings.cards, "seed": seed},
        "spent": asdict(budget.spent),
        **asdict(found),
        "exit_code": 0,
    }
    try:
        _write(out, data, markdown(found), plots(found))
    except (FileProblem, OSError) as problem:
        fail(problem)
    if as_json:
        print_json(data)
        return
    _show(*rows(found))
    click.echo(f"Model: {budget.spent.text}.")
    click.echo(f"Results: {out}")


async def _run(
    items: Sequence[Item],
    contexts: Sequence[Context],
    target: Target,
    settings: ModelSettings,
    budget: Budget,
    options: CheckOptions,
    judge: str | None,
    seed: int,
    fresh: bool,
    quiet: bool,
) -> Evaluation:
    from torchport_checks.checker import Checker
    from torchport_checks.evaluation.evaluate import Evaluator
    from torchport_checks.evaluation.judge import Judge
    from torchport_translators.llm.client import Client

    def tell(context: Context, item: str) -> None:
        if not quiet:
            click.echo(f"{context}: {item} ({budget.spent.text})", err=True)

    opinions = replace(settings, model=judge or settings.model)
    with Checker(options, store=False) as checker:
        async with (
            Client(settings, budget, fresh=fresh) as client,
            Client(opinions, budget, fresh=fresh) as other,
        ):
            asked = Judge(other, target.value) if judge else None
            evaluator = Evaluator(target, checker, client, asked, seed, tell=tell)
            return await evaluator.run(items, contexts)


def _write(folder: Path, data: dict[str, Any], table: str, plots: dict[str, str]) -> None:
    """
    Raises:
        FileProblem: a file cannot be written.
    """
    if folder.parent.name == ".torchport":
        write_port(folder.parent / ".gitignore", b"*\n")
    texts = {"results.json": json.dumps(data, indent=2, ensure_ascii=False), "table.md": table}
    for name, text in {**texts, **plots}.items():
        write_port(folder / name, text.encode("utf-8", "backslashreplace"))


def _show(heads: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    from torchport_checks.reports.terminal import console

    # A column for each context: there are fewer of them than of figures.
    first, *columns = zip(heads, *body, strict=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, head in enumerate(first):
        table.add_column(head, justify="right" if number else "left")
    for row in columns:
        table.add_row(*row)
    console().print(table)
