"""`torchport weights`: a torch checkpoint, converted for a port and verified with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchport_checks.commands import bounded, check_options
from torchport_translators.commands import (
    configuration_for,
    count,
    envelope,
    fail,
    json_option,
    print_json,
)
from torchport_translators.emit.header import read_header

if TYPE_CHECKING:
    from torchport_checks.options import CheckOptions
    from torchport_checks.pair import Pair
    from torchport_checks.spec import Spec, SpecError
    from torchport_checks.subject import Definition
    from torchport_checks.verdicts import DefinitionVerdict
    from torchport_checks.worker.protocol import Array


@dataclass(frozen=True)
class Converted:
    """What came of a conversion.

    Attributes:
        verdict: of the port with the checkpoint's weights.
        arrays: those of the port, by its own names; none unless it is verified.
    """

    verdict: DefinitionVerdict
    arrays: Mapping[str, Array]


@click.command(short_help="Convert a torch checkpoint for a port, and verify it there.")
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--for",
    "port",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="PORT",
    help="The port whose weights they become.",
)
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The PyTorch file. [default: the one that PORT's header names]",
)
@click.option(
    "--class", "name", metavar="NAME", help="The module class. [default: the only one of PORT]"
)
@click.option(
    "--init",
    metavar="ARGUMENTS",
    help="The constructor's, as Python writes them: --init 'GPTConfig(n_layer=2)'. "
    "[default: those of a check, see torchport check]",
)
@click.option(
    "--key",
    metavar="NAME",
    help="Where in the checkpoint the weights are, e.g. model or ema.model. [default: looked for]",
)
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="The file to write, in the safetensors format.",
)
@bounded
@json_option
def weights(
    checkpoint: Path,
    port: Path,
    source: Path | None,
    name: str | None,
    init: str | None,
    key: str | None,
    out: Path,
    timeout: float | None,
    memory: int | None,
    as_json: bool,
) -> None:
    """Convert a torch checkpoint for a port, and verify it there.

    CHECKPOINT is what torch.save wrote (.pt, .pth, .bin; read with weights_only, so that nothing in it
    runs) or a .safetensors file. The original takes its tensors, and the port takes the original's; both
    run on the same inputs. OUT is written only if they agree.

    \b
    Examples:
      torchport weights resnet.pth --for model_jax.py -o resnet.safetensors
      torchport weights gpt.pt --for gpt_mlx.py --class GPT \\
        --init 'GPTConfig(n_layer=2)' --key model -o gpt.safetensors

    \b
    Exit code: 0 written, 1 not verified, 2 a framework is missing, or wrong
    usage.
    """
    source = source or _source_of(port)
    if out.resolve() in (checkpoint.resolve(), port.resolve(), source.resolve()):
        fail(f"{out} is read as well: write to another file.")
    if not out.parent.is_dir():
        fail(f"{out.parent} is not a folder.")
    options = check_options(configuration_for([str(source)]), timeout, memory)
    given = _given(checkpoint, key)
    converted = _convert(source, port, name, init, given, options)
    written = _write(out, converted.arrays, checkpoint) if converted.arrays else 0
    code = 0 if converted.arrays else 1
    if as_json:
        document = {
            **envelope("weights"),
            "checkpoint": str(checkpoint),
            "port": str(port),
            "out": str(out) if written else None,
            "arrays": {
                name: {"dtype": array.dtype, "shape": list(array.shape)}
                for name, array in converted.arrays.items()
            },
            "verdict": converted.verdict.model_dump(mode="json"),
            "exit_code": code,
        }
        print_json(document)
    else:
        for line in _told(converted, out, written):
            click.echo(line)
    click.get_current_context().exit(code)


def _source_of(port: Path) -> Path:
    """The file that a port was made of.

    Raises:
        Failure: its header does not say, or the file is not there.
    """
    header = read_header(port.read_text("utf-8", errors="replace"))
    if header is None:
        fail(f"{port} has no header that names its original: give that with --source.")
    source = port.parent / header.source
    if not source.is_file():
        fail(f"{port} was ported from {source}, which is not there: give it with --source.")
    return source


def _given(checkpoint: Path, key: str | None) -> dict[str, Any]:
    """A checkpoint as the torch lane takes it: safetensors are plain data, and read here.

    Raises:
        Failure: the file is none.
    """
    from torchport_checks import safetensors_file

    if checkpoint.suffix != ".safetensors":
        return {"path": str(checkpoint.resolve()), "key": key, "name": checkpoint.name}
    if key is not None:
        fail("--key is for checkpoints of torch.save: a safetensors file has no parts.")
    try:
        return {"state": safetensors_file.read(checkpoint), "key": None, "name": checkpoint.name}
    except (OSError, ValueError) as error:
        fail(error)


def _convert(
    source: Path,
    port: Path,
    name: str | None,
    init: str | None,
    given: dict[str, Any],
    options: CheckOptions,
) -> Converted:
    """Run both sides with the checkpoint's weights.

    Raises:
        Failure: a file cannot be loaded, or does not define the class.
    """
    from torchport_checks.checker import Checker
    from torchport_checks.lanes import LaneFailure, RemoteError
    from torchport_checks.pair import Pair, target_of

    texts = source.read_bytes(), port.read_bytes()
    with Checker(options, store=False) as checker, checker.lent(target_of(texts[1])) as lanes:
        pair = Pair(lanes, options, source.resolve(), port.resolve(), texts)
        try:
            definition = replace(_definition(pair, name, init), weights=given)
            return _verified(definition, pair)
        except (LaneFailure, RemoteError) as failure:
            fail(failure)


def _definition(pair: Pair, name: str | None, init: str | None) -> Definition:
    """The module class whose weights they are.

    Raises:
        Failure: the files do not both define it, or it is not said which is meant.
        LaneFailure, RemoteError: a file cannot be loaded.
    """
    from torchport_checks.subject import Definition

    found = [d for d in pair.definitions(*pair.load()) if isinstance(d, Definition)]
    modules = {d.name: d for d in found if d.kind == "module"}
    names = ", ".join(modules)
    if not modules:
        fail(f"{pair.source.name} and {pair.port.name} define no module class in common.")
    if name is None and len(modules) > 1:
        fail(f"{pair.port.name} defines {names}: say with --class whose weights they are.")
    if name is not None and name not in modules:
        fail(f"{pair.source.name} and {pair.port.name} do not both define {name}, but {names}.")
    definition = modules[name] if name else next(iter(modules.values()))
    return replace(definition, spec=_spec(definition.spec, init))


def _spec(spec: Spec | SpecError | None, init: str | None) -> Spec | SpecError | None:
    """A check comment's inputs, with the constructor's arguments of `--init`.

    Raises:
        Failure: the arguments cannot be read, or mix those by position and those by name.
    """
    from torchport_checks.spec import Spec, SpecError, parse_spec

    if init is None:
        return spec
    try:
        parsed = parse_spec(f"check({init})")
    except SpecError:
        fail(f"--init {init} cannot be read: write it like --init 'Config(n_layer=2), 16'.")
    if parsed.args and parsed.kwargs:
        fail("--init: give all arguments by position, or all by name.")
    inputs = spec if isinstance(spec, Spec) else Spec(0)
    return replace(inputs, init=parsed.kwargs or parsed.args)


def _verified(definition: Definition, pair: Pair) -> Converted:
    """The port's arrays, if it computes with them what the original computes with the checkpoint's."""
    from torchport_checks.examine import examine
    from torchport_checks.subject import Subject, Unchecked
    from torchport_checks.verdicts import DefinitionVerdict

    try:
        subject = Subject(definition, pair.lanes.torch[0], pair.options)
        subject.open(pair.lanes.port[0])
    except Unchecked as unchecked:
        verdict = DefinitionVerdict(
            name=definition.name,
            kind=definition.kind,
            source_line=definition.line,
            port_line=definition.port_line,
            status=unchecked.status,
            category=unchecked.category,
            message=str(unchecked),
        )
        return Converted(verdict, {})
    arrays = pair.lanes.port[0].request("exported", timeout=pair.options.timeout)
    verdict = examine(definition, pair)
    return Converted(verdict, arrays if verdict.status == "verified" else {})


def _write(out: Path, arrays: Mapping[str, Array], checkpoint: Path) -> int:
    """Write the file; its size in bytes.

    Raises:
        Failure: it cannot be written.
    """
    from torchport_checks import safetensors_file

    try:
        return safetensors_file.write(out, arrays, {"converted_from": checkpoint.name})
    except (OSError, ValueError) as error:
        fail(f"{out} cannot be written: {error}")


def _told(converted: Converted, out: Path, written: int) -> Sequence[str]:
    verdict = converted.verdict
    lines = [f"Note: {note}" for note in verdict.notes]
    if written:
        arrays = count(len(converted.arrays), "array")
        lines.append(f"{out}: {arrays}, {written:,} bytes.")
        inputs = verdict.inputs.origin if verdict.inputs else ""
        lines.append(
            f"Verified: {verdict.name} computes with them what the original computes with the "
            f"checkpoint's (inputs: {inputs})."
        )
    else:
        lines.append(f"Not written: {verdict.name} is not verified. {verdict.message}")
    return lines
