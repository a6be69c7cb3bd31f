"""`torchport bugs`: the records of mistakes in porting, shown, verified, added, exchanged."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from torchport_checks.bugs import Verified, verify
from torchport_checks.commands import check_options
from torchport_translators.bugs import (
    CATEGORIES,
    Record,
    RecordError,
    about,
    corpus,
    parse_record,
    read_records,
    record_text,
    write_record,
)
from torchport_translators.bugs.exchange import FORMS, Form, exported, imported
from torchport_translators.commands import TARGETS
from torchport_translators.configuration import Configuration
from torchport_translators.files import FileProblem, decode, read_source, write_port
from torchport_translators.findings import Target
from torchport_translators.output import (
    configuration_for,
    count,
    envelope,
    fail,
    json_option,
    print_json,
)


@click.group(short_help="Show, verify and add records of mistakes in porting.")
def bugs() -> None:
    """Show, verify and add records of mistakes in porting.

    Each is a Markdown file with an original, a wrong port and a fixed one, and is true: the checker
    catches the wrong port and verifies the fixed one. A project keeps its own in the folder that
    `bugs` names in its [tool.torchport].

    \b
    Examples:
      torchport bugs list --api torch.var
      torchport bugs show jax/var-correction
      torchport bugs verify bugs/jax/my-record.md
      torchport bugs add model.py model_jax.py --only Block --id block-eps
    """


def _records(configuration: Configuration) -> list[Record]:
    """Those that torchport ships, and the project's own.

    Raises:
        Failure: one of the project's own cannot be read.
    """
    own = configuration.bugs_folder
    try:
        return [*corpus(), *(read_records(own) if own is not None else ())]
    except (RecordError, OSError) as error:
        fail(error)


_target = click.option("--to", "target", type=click.Choice(TARGETS), help="Only those of a target.")


@bugs.command("list", short_help="List records, all or some.")
@_target
@click.option("--category", type=click.Choice(list(CATEGORIES)), help="Only those of a kind.")
@click.option("--api", help="Only those about a torch API: torch.var.")
@json_option
def list_(target: str | None, category: str | None, api: str | None, as_json: bool) -> None:
    """List records, all or some."""
    found = [
        record
        for record in _records(configuration_for(()))
        if target in (None, record.target)
        and category in (None, record.category)
        and (api is None or record in about([api], record.target) or api in record.apis)
    ]
    if as_json:
        print_json({**envelope("bugs list"), "records": [_data(record) for record in found]})
        return
    for record in found:
        click.echo(f"{click.style(record.id, bold=True)}  {record.title}")
    kinds = Counter(record.category for record in found)
    click.echo(f"{count(len(found), 'record')} in {len(kinds)} categories.")


def _data(record: Record) -> dict[str, object]:
    keys = ("id", "title", "category", "symptom", "seen", "why", "torch", "wrong", "fixed")
    return {
        **{key: getattr(record, key) for key in keys},
        "target": record.target.value,
        "apis": list(record.apis),
        "versions": list(record.versions),
    }


@bugs.command(short_help="Show a record.")
@click.argument("name", metavar="ID")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a record: its id is TARGET/NAME, as `torchport bugs list` has it."""
    record = _named(name)
    if as_json:
        print_json({**envelope("bugs show"), **_data(record)})
        return
    from rich.console import Console
    from rich.markdown import Markdown

    facts = f"*{record.category}; {', '.join(record.apis)}*\n\n{record.symptom}\n\n{record.why}"
    code = "\n".join(
        f"**{kind}**\n```python\n{getattr(record, kind)}```\n"
        for kind in ("torch", "wrong", "fixed")
    )
    Console().print(Markdown(f"# {record.title}\n\n{facts}\n\n{code}\nSeen: {record.seen}"))


def _named(name: str) -> Record:
    records = {record.id: record for record in _records(configuration_for(()))}
    if name not in records:
        near = [known for known in records if name.rpartition("/")[2] in known][:5]
        hint = f" Near it: {', '.join(near)}." if near else " `torchport bugs list` names them."
        fail(f"No record is called {name}.{hint}")
    return records[name]


@bugs.command("verify", short_help="Run records: wrong ports must be caught, fixed ones pass.")
@click.argument("names", nargs=-1, metavar="[ID | FILE]...")
@json_option
def verify_(names: tuple[str, ...], as_json: bool) -> None:
    """Run records: the wrong port must be caught, the fixed one and each fix must pass.

    Without a name all are run, which takes minutes. Exit code: 0 all are true, 1 one is not.
    """
    configuration = configuration_for(())
    wanted = [_file(Path(n)) if n.endswith(".md") else _named(n) for n in names]
    problems: dict[str, str] = {}
    for result in _verified(wanted or _records(configuration), configuration):
        problems[result.record.id] = result.problem
        if not as_json:
            _tell(result)
    if as_json:
        print_json({**envelope("bugs verify"), "records": problems})
    raise click.exceptions.Exit(int(any(problems.values())))


def _tell(result: Verified) -> None:
    mark = click.style("✗", fg="red") if result.problem else click.style("✓", fg="green")
    click.echo(f"{mark} {result.record.id}  {result.problem or result.record.title}")


def _file(path: Path) -> Record:
    try:
        return parse_record(path.read_text("utf-8"), path.stem, path)
    except (RecordError, OSError, UnicodeDecodeError) as error:
        fail(error)


def _verified(records: Iterable[Record], configuration: Configuration) -> Iterator[Verified]:
    """Each record with what the checker says, in lanes that stay warm."""
    from torchport_checks.checker import Checker

    quick = check_options(configuration, None, None)
    full = quick.thorough().model_copy(update={"shrink_seconds": 0.0, "locate": False})
    with ExitStack() as stack:
        checkers: dict[bool, Checker] = {}
        for record in records:
            if record.full not in checkers:
                options = full if record.full else quick
                checkers[record.full] = stack.enter_context(Checker(options, store=False))
            yield verify(record, checkers[record.full])


@bugs.command(short_help="Write a record of a port that was wrong, and what mended it.")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("port", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--only", "definition", required=True, help="The definition that was wrong.")
@click.option("--id", "name", required=True, help="A name for it: some-words.")
@click.option("--title", help="What was wrong, in a sentence. [asked for]", prompt="What was wrong")
@click.option("--why", help="The reason. [asked for]", prompt="Why")
@click.option("--symptom", help="How it showed. [default: what the check says]")
@click.option("--category", type=click.Choice(list(CATEGORIES)), default="api-structure")
@click.option("--seen", default="measured", help="Where it was reported.", show_default=True)
@click.option("--wrong", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The wrong port. [default: PORT as git has it in HEAD]")  # fmt: skip
@click.option("--into", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the record. [default: `bugs` in the project's settings]")  # fmt: skip
def add(
    source: Path,
    port: Path,
    definition: str,
    name: str,
    title: str,
    why: str,
    symptom: str | None,
    category: str,
    seen: str,
    wrong: Path | None,
    into: Path | None,
) -> None:
    """Write a record of a port that was wrong, and what mended it.

    SOURCE is the original and PORT its port, mended. The wrong one is the file --wrong, or PORT as it
    was committed last. The record is verified before it is written: the checker must catch the wrong
    port and verify the mended one.
    """
    from torchport_checks.pair import target_of
    from torchport_translators.bugs.exchange import standing_alone
    from torchport_translators.bugs.retrieve import apis_of

    configuration = configuration_for((str(source),))
    folder = into or configuration.bugs_folder
    if folder is None:
        fail('Say where records go: --into FOLDER, or bugs = "FOLDER" in [tool.torchport].')
    try:
        fixed_text = read_source(port).text
        wrong_text = read_source(wrong).text if wrong is not None else _committed(port)
        target = Target(target_of(fixed_text.encode()))
        texts = {"torch": read_source(source).text, "wrong": wrong_text, "fixed": fixed_text}
        codes = {
            kind: standing_alone(text, definition, kind, target) for kind, text in texts.items()
        }
        draft = Record(
            id=f"{target}/{name}",
            target=target,
            title=title,
            category=category,
            apis=tuple(sorted(apis_of(codes["torch"], target))) or ("torch",),
            symptom=symptom or "-",
            seen=seen,
            versions=(),
            why=why,
            full=True,
            torch=codes["torch"],
            wrong=codes["wrong"],
            fixed=codes["fixed"],
        )
        record = parse_record(record_text(draft), name)
    except (RecordError, FileProblem) as error:
        fail(error)
    (result,) = _verified([record], configuration)
    if result.problem:
        fail(f"Not written: {result.problem}")
    if symptom is None:
        record = replace(record, symptom=result.wrong.message.splitlines()[0])
    try:
        path = write_record(record, folder)
    except (RecordError, FileProblem, FileExistsError) as error:
        fail(error)
    click.echo(f"{path}: the wrong port is caught, the fixed one verified.")


def _committed(port: Path) -> str:
    """A file as git has it in HEAD.

    Raises:
        Failure: it has none.
    """
    show = ["git", "-C", str(port.resolve().parent), "show", f"HEAD:./{port.name}"]
    try:
        done = subprocess.run(show, capture_output=True, check=True)
        return decode(done.stdout, port.name).text
    except (OSError, subprocess.CalledProcessError, FileProblem):
        fail(f"git has no {port.name} in HEAD: give the wrong port with --wrong FILE.")


@bugs.command("import", short_help="Make records of a T2J data set; only true ones are written.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--into", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the records.")  # fmt: skip
def import_(file: Path, into: Path) -> None:
    """Make records of a T2J data set (its JSON); only those that are true are written.

    Exit code: 0 all were written, 1 some were not.
    """
    try:
        records, refused = imported(read_source(file).text)
    except (RecordError, FileProblem) as error:
        fail(f"{file}: {error}")
    for result in _verified(records, configuration_for((str(into),))):
        _tell(result)
        if result.problem:
            refused.append(result.record.id)
            continue
        try:
            write_record(result.record, into)
        except (FileExistsError, FileProblem) as error:
            refused.append(str(error))
            click.echo(error, err=True)
    for reason in refused:
        click.echo(f"not imported: {reason}", err=True)
    raise click.exceptions.Exit(int(bool(refused)))


@bugs.command(short_help="Write records as a data set.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--form", type=click.Choice(FORMS), default="t2j", show_default=True,
              help="T2J's JSON, or JSON lines for fine-tuning.")  # fmt: skip
@_target
def export(file: Path, form: Form, target: str | None) -> None:
    """Write records as a data set: those that torchport ships, and the project's own.

    The project's own are verified first; those that are not true are left out.
    """
    configuration = configuration_for(())
    records = [r for r in _records(configuration) if target in (None, r.target)]
    shipped = set(corpus())
    own = _verified([r for r in records if r not in shipped], configuration)
    true = {result.record for result in own if not result.problem}
    chosen = [r for r in records if r in shipped or r in true]
    try:
        write_port(file, exported(chosen, form).encode())
    except FileProblem as problem:
        fail(problem)
    left = len(records) - len(chosen)
    also = f", {left} that are not true left out" if left else ""
    click.echo(f"{file}: {count(len(chosen), 'record')}{also}.")
