"""`torchport llm`, and what `--llm` and `--show-prompt` add to `torchport port`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchport_translators.batch import Outcome, Ported
from torchport_translators.configuration import Configuration
from torchport_translators.files import FileProblem, write_port
from torchport_translators.findings import Target
from torchport_translators.llm.settings import ModelSettings, from_environment
from torchport_translators.output import (
    configuration_for,
    count,
    envelope,
    fail,
    json_option,
    print_json,
)

if TYPE_CHECKING:
    from torchport_checks.checker import Checker
    from torchport_checks.repair import Repair, Tell
    from torchport_checks.verdicts import Verdict
    from torchport_translators.llm.budget import Spent
    from torchport_translators.llm.client import Client


def model_options(function: Any) -> Any:
    """`--llm` and `--show-prompt`."""
    for option in (
        click.option(
            "--show-prompt",
            is_flag=True,
            help="Print what a model would be asked, to be pasted into a chat; write and run nothing.",
        ),
        click.option(
            "--llm",
            "use_model",
            is_flag=True,
            help="Ask a language model for what the rules left open, and for what fails its check.",
        ),
    ):
        function = option(function)
    return function


def model_settings(configuration: Configuration) -> ModelSettings:
    """The model that the project and the user's environment name.

    Raises:
        Failure: a variable of the environment cannot be used.
    """
    settings = from_environment(configuration.llm)
    if problem := settings.problem():
        fail(f"TORCHPORT_BASE_URL or [tool.torchport.llm]: {problem}")
    return settings


def check_model(configuration: Configuration) -> ModelSettings:
    """The settings of a model that can be asked, before anything is written or run.

    Raises:
        Failure: no model is named, or there is no key for it.
    """
    from torchport_translators.llm.keys import KeyProblem, find_key

    settings = model_settings(configuration)
    if not settings.model:
        fail(
            "--llm needs a model. Write it into pyproject.toml:\n"
            '  [tool.torchport.llm]\n  model = "NAME"\n  base_url = "http://localhost:11434/v1"\n'
            "or set TORCHPORT_MODEL and TORCHPORT_BASE_URL."
        )
    try:
        find_key(settings)
    except KeyProblem as problem:
        fail(problem)
    return settings


def show_prompts(
    ported: Sequence[Ported], configuration: Configuration, target: Target, python: str
) -> int:
    """Print the prompt for each file in which something is open; returns the exit code.

    `python` is the interpreter that has the target.
    """
    from torchport_translators.llm.prompt import PromptProblem, prompt_for

    settings = model_settings(configuration)
    code = 0
    for result in ported:
        if result.source is None or result.translation is None:
            click.echo(f"Error: {result.problem}", err=True)
            code = 2
            continue
        try:
            prompt = prompt_for(
                result.source.text,
                result.file.path.name,
                result.translation,
                target,
                settings=settings,
                python=python,
            )
        except PromptProblem as problem:
            click.echo(f"note: {problem}", err=True)
            continue
        click.echo(prompt.text)
        left_out = f"; left out: {', '.join(prompt.left_out)}" if prompt.left_out else ""
        click.echo(f"note: {result.name}: {prompt.tokens:,} tokens{left_out}", err=True)
    return code


@dataclass(slots=True)
class Improved:
    """What a model made of a run's ports.

    Attributes:
        ported: the files, with what is left to tell of each.
        verdicts: of the pairs as they are now, by source.
        repairs: what was asked, by source.
        spent: by the whole run.
    """

    ported: list[Ported]
    verdicts: dict[Path, Verdict]
    repairs: dict[Path, Repair] = field(default_factory=dict["Path", "Repair"])
    spent: Spent | None = None

    @property
    def text(self) -> str:
        """What the run has spent, in one line; empty where no model was asked."""
        return f"Model: {self.spent.text}." if self.spent else ""

    def data(self, source: Path) -> dict[str, Any] | None:
        """What a model made of one file, for machines; None where it was not asked."""
        repair = self.repairs.get(source)
        if repair is None:
            return None
        from torchport_translators.llm.fill import model_lines

        data = asdict(repair)
        for part in (data, *data["rounds"]):
            del part["text"]
        return {**data, "lines": [list(run) for run in model_lines(repair.text)]}


def improve(
    ported: Sequence[Ported],
    verdicts: dict[Path, Verdict],
    settings: ModelSettings,
    checker: Checker,
    target: Target,
    *,
    fresh: bool,
    quiet: bool,
) -> Improved:
    """Ask a model for what each port lacks; write what is better, and check it as a whole.

    A port that was edited by hand, or that a model has written before, is left alone.
    """
    from torchport_translators.llm.budget import Budget
    from torchport_translators.llm.client import Client

    improved = Improved(list(ported), dict(verdicts))
    budget = Budget(settings)

    async def run() -> None:
        try:
            async with Client(settings, budget, fresh=fresh) as client:
                for number, result in enumerate(ported):
                    if result.outcome in (Outcome.WRITTEN, Outcome.UNCHANGED):
                        improved.ported[number] = await _improve(
                            result, improved, checker, client, target, quiet=quiet
                        )
        except BaseException:
            checker.close()  # or the loop would wait for the check under way
            raise

    asyncio.run(run())
    improved.spent = budget.spent
    return improved


async def _improve(
    result: Ported,
    improved: Improved,
    checker: Checker,
    client: Client,
    target: Target,
    *,
    quiet: bool,
) -> Ported:
    """One file: what is left to tell of it."""
    from torchport_checks.repair import Draft, repair
    from torchport_translators.llm.prompt import Prompter

    assert result.source is not None and result.translation is not None and result.port is not None
    source, port = result.file.path, result.port
    draft = Draft(
        source,
        port,
        result.source.text,
        result.translation.text,
        target,
        result.translation,
        improved.verdicts.get(source),
        result.source.encode,
    )
    prompter = Prompter(client.settings, checker.options.python(target.value))
    with _telling(result.name, client.settings, quiet=quiet) as tell:
        made = await repair(draft, checker, client, prompter, tell)
    if not made.names:
        return result
    improved.repairs[source] = made
    if not made.changed:
        return replace(result, notes=(*result.notes, f"The model changed nothing. {made.stopped}"))
    try:
        write_port(port, result.source.encode(made.text), source)
    except FileProblem as problem:
        return replace(result, outcome=Outcome.FAILED, problem=str(problem))
    improved.verdicts[source] = await asyncio.to_thread(checker.check, source, port)
    return _told(result, made, improved.verdicts[source], client.settings.model)


def _told(result: Ported, made: Repair, verdict: Verdict, model: str) -> Ported:
    """A file with the model's part in its notes, and without the findings that it has settled."""
    from torchport_translators.llm.prompt import holes_of

    assert result.translation is not None
    verified = {d.name for d in verdict.definitions if d.ok} & set(made.changed)
    settled = {hole for name in verified for hole in holes_of(result.translation, name)}
    left = [name for name in made.changed if name not in verified]
    rounds = count(len(made.rounds), "round")
    notes = [f"{model} wrote {', '.join(sorted(verified))}: verified ({rounds})."] * bool(verified)
    if left:
        what = f"{model} wrote {', '.join(left)}: not verified. {made.stopped}"
        notes.append(what)
    translation = replace(
        result.translation,
        text=made.text,
        findings=tuple(f for f in result.translation.findings if f not in settled),
    )
    return replace(
        result, outcome=Outcome.WRITTEN, translation=translation, notes=(*result.notes, *notes)
    )


@contextlib.contextmanager
def _telling(name: str, settings: ModelSettings, *, quiet: bool) -> Generator[Tell]:
    """Show how far a reply is: a line that changes on a terminal, one for each round elsewhere."""
    from torchport_checks.reports.terminal import console
    from torchport_translators.llm.client import Progress

    err = console(stderr=True)

    def what(number: int) -> str:
        return f"{name}: asking {settings.model} at {settings.host}, round {number}"

    if quiet:
        yield lambda _number, _progress: None
    elif err.is_terminal:
        with err.status("") as status:

            def shown(number: int, progress: Progress) -> None:
                status.update(f"{what(number)}: {progress.characters:,} characters")

            yield shown
    else:

        def plain(number: int, progress: Progress) -> None:
            if not progress.seconds:
                click.echo(what(number), err=True)

        yield plain


@click.command(short_help="Show or test the language model that --llm asks; keep its key.")
@click.option("--test", is_flag=True, help="Ask the model for a word, to see that it answers.")
@click.option("--set-key", is_flag=True, help="Keep a key for this endpoint in the keyring.")
@click.option(
    "--forget-key", is_flag=True, help="Remove the key for this endpoint from the keyring."
)
@json_option
def llm(test: bool, set_key: bool, forget_key: bool, as_json: bool) -> None:
    """Show or test the language model that --llm asks; keep its key.

    The model and its endpoint stand in pyproject.toml, [tool.torchport.llm], or in TORCHPORT_MODEL and
    TORCHPORT_BASE_URL. The key stands in TORCHPORT_API_KEY, or in the keyring of your system; never in
    a file.

    \b
    Examples:
      torchport llm
      torchport llm --test
      torchport llm --set-key

    \b
    Exit code: 0 a model can be asked (--test: and answers), 1 it cannot,
    2 wrong usage.
    """
    from torchport_translators.llm.keys import KeyProblem, find_key, keep_key

    if test + set_key + forget_key > 1:
        raise click.UsageError("--test, --set-key and --forget-key exclude each other.")
    settings = model_settings(configuration_for(()))
    if set_key or forget_key:
        try:
            value = click.prompt(f"Key for {settings.host}", hide_input=True) if set_key else ""
            keep_key(settings.host, value)
        except KeyProblem as problem:
            fail(problem)
    problem = "" if settings.model else "No model is named: [tool.torchport.llm] model."
    key = ""
    try:
        key = find_key(settings).origin
    except KeyProblem as trouble:
        problem = problem or str(trouble)
    answered: dict[str, Any] = {}
    if test and not problem:
        problem, answered = asyncio.run(_test(settings))
    code = 1 if problem else 0
    data = {
        "model": settings.model,
        "base_url": settings.base_url,
        "key": key,
        "problem": problem or None,
        **answered,
    }
    if as_json:
        print_json({**envelope("llm"), **data, "exit_code": code})
    else:
        click.echo(f"model     {settings.model or 'none'}")
        click.echo(f"endpoint  {settings.base_url}")
        click.echo(f"key       {key or 'none'}")
        if answered:
            click.echo(
                f"answered  {answered['answered']} in {answered['form']}, {answered['spent']}"
            )
        if problem:
            click.echo(f"{click.style('Error', fg='red', bold=True)}: {problem}", err=True)
    raise click.exceptions.Exit(code)


async def _test(settings: ModelSettings) -> tuple[str, dict[str, Any]]:
    """Ask for next to nothing: why there is no usable reply, and what the endpoint says."""
    from torchport_translators.llm.budget import Budget, BudgetSpent
    from torchport_translators.llm.client import Client, ModelProblem
    from torchport_translators.llm.keys import KeyProblem
    from torchport_translators.llm.reply import SCHEMA, ReplyProblem, read_reply

    budget = Budget(settings)
    content = "Answer with JSON of two strings, code and notes. code: a Python function one() that returns 1."
    try:
        async with Client(settings, budget, fresh=True) as client:
            reply = await client.ask([{"role": "user", "content": content}], SCHEMA)
            read_reply(reply.content, finish=reply.finish, refusal=reply.refusal)
            found = {
                "answered": reply.model or settings.model,
                "form": client.form,
                "spent": budget.spent.text,
            }
            return "", found
    except (ModelProblem, BudgetSpent, KeyProblem, ReplyProblem) as problem:
        return str(problem), {}
