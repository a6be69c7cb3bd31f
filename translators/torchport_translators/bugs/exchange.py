"""Bug records in other projects' formats.

T2J's data set of fixed bugs (arXiv 2510.09898) is one JSON object: `{"Pytorch_to_JAX_Examples":
[{"Example_id", "Input_Code", "LLM_weak_output", "LLM_fix_output", "Errors": [{"Error_Code", "Error",
"Fix_info", "Fixed_Code"}]}]}`. FUTURE's sets for fine-tuning (arXiv 2412.01317) are JSON lines:
conversion `{"seed", "problem", "solution"}`, generation `{"INSTRUCTION", "RESPONSE"}`; each line says its
licence and where it is from, too.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from torchport_translators.bugs.records import (
    IMPORTS,
    Record,
    RecordError,
    parse_record,
    record_text,
)
from torchport_translators.bugs.retrieve import apis_of, card
from torchport_translators.findings import Target

Form = Literal["t2j", "conversion", "generation"]
FORMS: tuple[Form, ...] = ("t2j", "conversion", "generation")
LICENCE = "Apache-2.0"

_LISTS = {Target.JAX: "Pytorch_to_JAX_Examples", Target.MLX: "Pytorch_to_MLX_Examples"}
_NAMES = {Target.JAX: "JAX", Target.MLX: "MLX"}


def exported(records: Sequence[Record], form: Form) -> str:
    """The records in one of `FORMS`, those of equal code once."""
    unique = list({(r.torch, r.wrong, r.fixed): r for r in reversed(records)}.values())[::-1]
    if form == "t2j":
        return json.dumps(_t2j(unique), indent=2, ensure_ascii=False) + "\n"
    row = _conversion if form == "conversion" else _generation
    lines = [
        {**row(record), "licence": LICENCE, "provenance": f"torchport bug record {record.id}"}
        for record in unique
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _t2j(records: Iterable[Record]) -> dict[str, list[dict[str, Any]]]:
    data: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        shown = card(record)
        texts = record.texts()
        data.setdefault(_LISTS[record.target], []).append(
            {
                "Example_id": record.id,
                "Input_Code": texts["torch"],
                "LLM_weak_output": texts["wrong"],
                "LLM_fix_output": texts["fixed"],
                "Errors": [
                    {
                        "Error_Code": shown.wrong,
                        "Error": record.title,
                        "Fix_info": record.why,
                        "Fixed_Code": shown.right,
                    }
                ],
                # What T2J's schema has no place for; ignored by its readers.
                "torchport": record_text(record),
            }
        )
    return data


def _conversion(record: Record) -> dict[str, str]:
    texts = record.texts()
    problem = f"Port this PyTorch code to {_NAMES[record.target]}. {record.symptom}"
    return {"seed": texts["torch"], "problem": problem, "solution": texts["fixed"]}


def _generation(record: Record) -> dict[str, str]:
    texts = record.texts()
    instruction = (
        f"This {_NAMES[record.target]} port of a PyTorch definition is wrong. {record.symptom}\n\n"
        f"# PyTorch\n{texts['torch']}\n# {_NAMES[record.target]}\n{texts['wrong']}"
    )
    return {"INSTRUCTION": instruction, "RESPONSE": f"{record.why}\n\n{texts['fixed']}"}


def imported(text: str) -> tuple[list[Record], list[str]]:
    """The records in a T2J file, and why the other examples are none.

    An example becomes a record if its three programs parse and define a function or class of one
    name; of what else they hold, only imports and definitions are kept.

    Raises:
        RecordError: the text is not of T2J's schema.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise RecordError(f"it is not JSON: {error}") from error
    found: list[Record] = []
    refused: list[str] = []
    lists = [(target, data.get(name)) for target, name in _LISTS.items()] if _is_map(data) else []
    examples = [(target, e) for target, several in lists for e in several or ()]
    if not examples:
        raise RecordError(f"there is no list {' or '.join(_LISTS.values())} with examples in it.")
    for number, (target, example) in enumerate(examples, 1):
        try:
            found.append(_imported(target, example, number))
        except (RecordError, SyntaxError) as error:
            refused.append(f"example {number}: {error}")
    return found, refused


def _is_map(data: object) -> bool:
    return isinstance(data, dict)


def _imported(target: Target, example: object, number: int) -> Record:
    if not isinstance(example, dict):
        raise RecordError("it is no object.")
    entry = cast("dict[str, Any]", example)
    if isinstance(entry.get("torchport"), str):
        name = str(entry.get("Example_id", "")).rpartition("/")[2]
        return parse_record(entry["torchport"], name)
    keys = {"torch": "Input_Code", "wrong": "LLM_weak_output", "fixed": "LLM_fix_output"}
    missing = [key for key in keys.values() if not isinstance(entry.get(key), str)]
    if missing:
        raise RecordError(f"{', '.join(missing)} is missing.")
    programs = {kind: _Program.of(entry[key], kind, target) for kind, key in keys.items()}
    defined = [one.definitions for one in programs.values()]
    shared = [name for name in defined[0] if all(name in one for one in defined)]
    if not shared:
        raise RecordError("the three programs define nothing of the same name.")
    codes = {kind: one.block(one.definitions, shared[-1]) for kind, one in programs.items()}
    errors = cast("list[dict[str, Any]]", entry.get("Errors") or [])
    titles = [" ".join(str(error.get("Error", "")).split()) for error in errors]
    why = "\n\n".join(str(error.get("Fix_info", "")).strip() for error in errors).strip()
    apis = sorted(apis_of(codes["torch"], target)) or ["torch"]
    record = Record(
        id=f"{target}/{_slug(entry.get('Example_id', number))}",
        target=target,
        title=next(filter(None, titles), f"The port of {shared[-1]} is wrong"),
        category="api-structure",
        apis=tuple(apis),
        symptom="; ".join(filter(None, titles)) or "The port differs from the original.",
        seen="imported from a T2J data set",
        versions=(),
        why=why or "The data set does not say why.",
        full=True,
        torch=codes["torch"],
        wrong=codes["wrong"],
        fixed=codes["fixed"],
    )
    return replace(parse_record(record_text(record), record.id.partition("/")[2]), path=None)


@dataclass(frozen=True, slots=True)
class _Program:
    """The parts of a program that a record can keep: imports that are not every record's, definitions."""

    imports: list[str]
    definitions: dict[str, str]

    @classmethod
    def of(cls, code: str, kind: str, target: Target) -> _Program:
        """Raises SyntaxError if it does not parse."""
        nodes = ast.parse(code).body
        usual = IMPORTS["torch" if kind == "torch" else target].splitlines()
        imports = [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
        definitions = {
            node.name: ast.get_source_segment(code, node) or ""
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        return cls([line for line in imports if line not in usual], definitions)

    def block(self, names: Collection[str], last: str) -> str:
        """The text of some definitions, as a block of a record has it."""
        others = [code for name, code in self.definitions.items() if name in names and name != last]
        parts = ["\n".join(self.imports), *others, self.definitions[last]]
        return "\n\n\n".join(part for part in parts if part) + "\n"


def standing_alone(text: str, name: str, kind: str, target: Target) -> str:
    """A definition of a program with those that it uses, as a block of a record has it.

    Args:
        kind: `torch`, `wrong` or `fixed`.

    Raises:
        RecordError: the program does not parse, or does not define it.
    """
    try:
        program = _Program.of(text, kind, target)
    except SyntaxError as error:
        raise RecordError(f"the {kind} code does not parse: {error}.") from error
    if name not in program.definitions:
        raise RecordError(f"the {kind} code defines no {name}.")
    wanted, left = {name}, [name]
    while left:
        words = set(re.findall(r"\w+", program.definitions[left.pop()]))
        new = [other for other in program.definitions if other in words and other not in wanted]
        wanted.update(new)
        left += new
    return program.block(wanted, name)


def _slug(name: object) -> str:
    words = re.findall(r"[a-z0-9]+", str(name).lower())
    return "-".join(["t2j", *words])
