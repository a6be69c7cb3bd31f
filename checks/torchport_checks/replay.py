"""Failing inputs kept in files, and run again.

`.torchport/replays/ID.json` in the project's root holds one call of one definition, exactly: a JSON
object with the fields of `Replay`. Tensors are `{"$": "array", "dtype", "shape", "buffer"}`, where
`buffer` is the place in `buffers` of their values: base64 of little-endian numbers in C order, of
`dtype`, or of float32 for what numpy lacks (bfloat16, float8). Tuples, dicts and dataclass instances
are `{"$": "tuple" | "dict" | "record", ...}`. Weights are not in it: the constructor's arguments
and the seed give them. Paths are relative to the project's root.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, ValidationError

from torchport_checks.draws import Case
from torchport_checks.judging import judge
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.options import CheckOptions, Target
from torchport_checks.pair import Lanes, Pair, code_of
from torchport_checks.shrink import Shrunk, used
from torchport_checks.spec import Spec
from torchport_checks.store import content_key, file_hash, project_root
from torchport_checks.subject import Definition, Form, Outcome, Subject, Unchecked, at_line
from torchport_checks.verdicts import Category, Difference, InputUsed, Model, Status
from torchport_checks.versions import version
from torchport_checks.worker.inputs import Call
from torchport_checks.worker.protocol import decode, encode, leaves
from torchport_translators.files import FileProblem, write_port

FOLDER = Path(".torchport", "replays")
_KEPT = 100
_ID_LENGTH = 10
_MAX_ROWS = 12
_MAX_BYTES = 2**24


class ReplayError(Exception):
    """A replay cannot be read or run; the message says why and what to do."""


class FileUsed(Model):
    """A file as it was when the input was found."""

    path: str
    """Relative to the project's root, with `/`."""
    sha256: str


class Replay(Model):
    """One failing call of one definition. `version` is raised with every change of the format."""

    format: Literal["torchport replay"] = "torchport replay"
    version: Literal[1] = 1
    torchport: str
    source: FileUsed
    port: FileUsed
    target: Target
    definition: str
    kind: Literal["function", "module"]
    train: bool
    draw: str
    form: Form
    torch_device: str
    port_device: str
    seed: int
    inputs: list[InputUsed]
    """The call, for people."""
    python: str
    difference: Difference
    """What differed when it was kept."""
    init: Any
    """The constructor's arguments, encoded; null where the files say them."""
    call: Any
    """Positional and keyword arguments, encoded."""
    buffers: list[str]

    def values(self) -> tuple[Any, list[Any], dict[str, Any]]:
        """The constructor's arguments (or None), and those of the call.

        Raises:
            ReplayError: they are not what `encode` writes.
        """
        try:
            buffers = [memoryview(base64.b64decode(text, validate=True)) for text in self.buffers]
            init, (args, kwargs) = decode(self.init, buffers), decode(self.call, buffers)
            return init, list(args), dict(kwargs)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ReplayError(f"The replay's arguments cannot be read: {error}.") from error


@dataclass(frozen=True)
class Replays:
    """Where the failing inputs of one pair are kept."""

    source: Path
    port: Path
    texts: tuple[bytes, bytes]

    def keep(self, subject: Subject, port: Lane, shrunk: Shrunk) -> str:
        """Write a replay, and return the command that runs it; empty where it cannot be written, or
        is larger than 16 MiB.

        The oldest are removed, so that a bounded number is kept.
        """
        root = project_root(self.source)
        replay = self._replay(root, subject, port, shrunk)
        text = replay.model_dump_json(indent=1) + "\n"
        name = content_key(text)[:_ID_LENGTH]
        folder = root / FOLDER
        if len(text) > _MAX_BYTES:
            return ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_port(folder.parent / ".gitignore", b"*\n")
            write_port(folder / f"{name}.json", text.encode())
            os.utime(folder / f"{name}.json")  # found again counts as new
        except (FileProblem, OSError):
            return ""
        _drop_oldest(folder)
        return f"torchport replay {name}"

    def _replay(self, root: Path, subject: Subject, port: Lane, shrunk: Shrunk) -> Replay:
        files = [
            FileUsed(
                path=Path(os.path.relpath(path, root)).as_posix(),
                sha256=hashlib.sha256(text).hexdigest(),
            )
            for path, text in zip((self.source, self.port), self.texts, strict=True)
        ]
        buffers: list[Any] = []
        call = shrunk.case.call
        encoded = encode([call.args, call.kwargs], buffers)
        init = encode(_init(subject), buffers)
        assert port.framework != "torch"
        return Replay(
            torchport=version(),
            source=files[0],
            port=files[1],
            target=port.framework,
            definition=subject.definition.name,
            kind=subject.definition.kind,
            train=shrunk.case.train,
            draw=shrunk.case.draw,
            form=shrunk.form,
            torch_device=subject.torch.device,
            port_device=port.device,
            seed=subject.options.seed,
            inputs=shrunk.smallest.inputs,
            python=shrunk.smallest.python,
            difference=shrunk.smallest.difference,
            init=init,
            call=encoded,
            buffers=[base64.b64encode(buffer.tobytes()).decode() for buffer in buffers],
        )


def _init(subject: Subject) -> Any:
    """The constructor's arguments as a check comment gives them; None where the files say them."""
    init = subject.init
    if init is None or "modules" in init:
        return None
    args, kwargs = init["args"], init["kwargs"]
    names = [item.name for item in subject.inputs.init[: len(args)]]
    if any(name.startswith("args[") for name in names):
        return None if kwargs else tuple(args)
    return dict(zip(names, args, strict=True)) | kwargs


def _drop_oldest(folder: Path) -> None:
    with contextlib.suppress(OSError):
        kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_KEPT:]:
            path.unlink(missing_ok=True)


class Row(Model):
    """One result of a call, on both sides."""

    where: str
    torch: str
    port: str
    reference: str
    """What float64 says; empty where it says nothing."""


class Replayed(Model):
    """What running a replay gave."""

    file: str
    definition: str
    source: str
    port: str
    changed: list[str] = Field(default_factory=list[str])
    """The files that are not as they were when the input was found."""
    inputs: list[InputUsed]
    python: str
    status: Status
    category: Category | None = None
    message: str
    rows: list[Row] = Field(default_factory=list[Row])
    differences: list[Difference] = Field(default_factory=list[Difference])
    notes: list[str] = Field(default_factory=list[str])
    output: str = ""


def find_replay(name: str, folder: Path) -> Path:
    """The file of a replay: `name` itself, or that of the ID in the folder's project.

    Raises:
        ReplayError: there is none.
    """
    if Path(name).suffix == ".json":
        return Path(name)
    for parent in (folder.resolve(), *folder.resolve().parents):
        found = parent / FOLDER / f"{name}.json"
        if found.is_file():
            return found
    raise ReplayError(
        f"No replay {name} is kept here or in a folder above. Run this in the project's folder, or "
        f"give the file's path; the {_KEPT} newest replays are kept, and `torchport check --fresh` "
        "makes one again."
    )


def read_replay(path: Path) -> Replay:
    """Read a replay.

    Raises:
        ReplayError: it cannot be read, or is none.
    """
    try:
        return Replay.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ReplayError(
            f"{path} is not a replay that this version reads: {where}: {first['msg']}."
        ) from error


def root_of(path: Path) -> Path:
    """The folder that the paths in a replay begin at: that of its project, or of the current one."""
    folder = path.resolve().parent
    if folder.parts[-2:] == FOLDER.parts:
        return folder.parent.parent
    return project_root(Path.cwd() / path.name)


def run_replay(path: Path, options: CheckOptions) -> Replayed:
    """Run a replay in lanes of its own, with the files as they are now.

    Whatever the code does is in the result.

    Raises:
        ReplayError: the replay, its source or its port cannot be read.
    """
    replay, root = read_replay(path), root_of(path)
    init, args, kwargs = replay.values()
    sides = [(root / replay.source.path).resolve(), (root / replay.port.path).resolve()]
    for file in sides:
        if not file.is_file():
            raise ReplayError(f"{file}, which {path.name} runs, is not there.")
    recorded = (replay.source, replay.port)
    result = Replayed(
        file=str(path),
        definition=replay.definition,
        source=str(sides[0]),
        port=str(sides[1]),
        changed=[
            str(file)
            for file, used in zip(sides, recorded, strict=True)
            if file_hash(file) != used.sha256
        ],
        inputs=replay.inputs,
        python=replay.python,
        status="error",
        message="",
    )
    memory = options.memory_mb
    torch = Lane("torch", options.torch_python, replay.torch_device, memory)
    port = Lane(replay.target, options.python(replay.target), replay.port_device, memory)
    options = options.model_copy(update={"seed": replay.seed})
    case = Case(replay.draw, Call(args, kwargs), replay.train)
    try:
        texts = (code_of(sides[0]), code_of(sides[1]))
        pair = Pair(Lanes([torch], [port]), options, sides[0], sides[1], texts)
        listed, ported = pair.load()
        lines = [{entry["name"]: entry["line"] for entry in listed}, ported]
        name = replay.definition
        for file, found in zip(sides, lines, strict=True):
            if name not in found:
                message = f"{file.name} does not define {name} any more."
                return _ended(result, "error", Category.MISSING, message)
        spec = Spec(0, args, kwargs, init)
        definition = Definition(name, replay.kind, lines[0][name], lines[1][name], spec)
        subject = Subject(definition, torch, options)
        (theirs,), (ours,) = subject.run(port, replay.form, [case])
        return _judged(result, subject, case, theirs, ours)
    except Unchecked as unchecked:
        return _ended(
            result, unchecked.status, unchecked.category, f"{unchecked}", unchecked.output
        )
    except LaneFailure as failure:
        return _ended(result, "error", failure.category, f"{failure}", failure.output)
    except RemoteError as error:
        return _ended(result, "error", Category.LOAD, f"{error}", error.traceback)
    finally:
        torch.close()
        port.close()


def _ended(
    result: Replayed, status: Status, category: Category | None, message: str, output: str = ""
) -> Replayed:
    return result.model_copy(
        update={"status": status, "category": category, "message": message, "output": output}
    )


def _judged(
    result: Replayed, subject: Subject, case: Case, theirs: Outcome, ours: Outcome
) -> Replayed:
    if theirs["error"] is not None:
        error = RemoteError(theirs["error"])
        message = f"The original raises{at_line(error.line)}: {error}"
        return _ended(result, "error", Category.SOURCE_ERROR, message, error.traceback)
    if ours["error"] is not None:
        error = RemoteError(ours["error"])
        message = f"The port raises{at_line(error.line)}: {error}"
        return _ended(result, "diverged", Category.PORT_ERROR, message, error.traceback)
    found = judge(subject, case, theirs, ours)
    comparison = found.comparison
    result = result.model_copy(
        update={
            "rows": list(_rows(theirs, ours)),
            "differences": comparison.differences,
            "notes": comparison.notes,
        }
    )
    if found.wrong:
        wrong = [d for d in comparison.differences if d.category is not Category.ILL_CONDITIONED]
        message = f"{wrong[0].where}: {wrong[0].message}"
        return _ended(result, "diverged", wrong[0].category, message)
    if not found.compared:
        return _ended(result, "not_run", None, "It cannot be compared.")
    what = "Outputs and gradients" if found.gradients.status == "equal" else "Outputs"
    return _ended(result, "verified", None, f"{what} are equal now.")


def _rows(theirs: Outcome, ours: Outcome) -> list[Row]:
    """The results on both sides, a bounded number of them."""
    reference: Outcome = theirs["reference"] if theirs["reference"]["error"] is None else {}
    rows: list[Row] = []
    for key, title in (
        ("output", "output"),
        ("buffers", "{} after the step"),
        ("input_gradients", "gradient of {}"),
        ("weight_gradients", "gradient of {}"),
    ):
        named = key != "output"
        ported = dict(_named(ours[key], named))
        doubled = dict(_named(reference.get(key), named))
        for name, value in _named(theirs[key], named):
            where = title.format(name) if named else title + name
            texts = (_text(value), _text(ported.get(name)), _text(doubled.get(name)))
            rows.append(Row(where=where, torch=texts[0], port=texts[1], reference=texts[2]))
    return rows[:_MAX_ROWS]


def _named(value: Any, named: bool) -> list[tuple[str, Any]]:
    if value is None:
        return []
    return list(cast("dict[str, Any]", value).items()) if named else list(leaves(value))


def _text(value: Any) -> str:
    return "" if value is None else used("", value).text
