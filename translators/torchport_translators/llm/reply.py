"""A model's reply: the code in it, whatever form it came in, or why there is none."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "code": {
            "type": "string",
            "description": "Python: imports, helpers, and the definitions that were asked for",
        },
        "notes": {
            "type": "string",
            "description": "what could not be ported, and why; empty if everything was",
        },
    },
    "required": ["code", "notes"],
    "additionalProperties": False,
}
"""Of a reply, as strict structured output has it."""

_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCE = re.compile(
    r"^(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE
)
_OPEN = re.compile(r"^(?:`{3,}|~{3,})", re.MULTILINE)
_SHOWN = 160


class Fault(StrEnum):
    """What is wrong with a reply."""

    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    PROSE = "prose"
    SYNTAX = "syntax"
    INCOMPLETE = "incomplete"  # it lacks the definitions that were asked for
    SIGNATURE = "signature"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class ReplyProblem(Exception):
    """A reply that cannot be used.

    Attributes:
        fault: what is wrong.
        message: for the person, and for the model, if it is asked again.
    """

    fault: Fault
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reply holds."""

    code: str
    notes: str = ""


def read_reply(content: str, *, finish: str = "stop", refusal: str = "") -> Answer:
    """The code in a reply.

    It is looked for in this order: JSON of the schema, alone or in a fence; fenced Python; a text
    that is Python from end to end.

    Args:
        content: what the model wrote.
        finish: why it ended, as the protocol says it: "stop", "length", "content_filter".
        refusal: what it said, where the protocol marks the reply as a refusal.

    Raises:
        ReplyProblem: there is no code, or only a part of it.
    """
    if refusal or finish == "content_filter":
        said = f": {_shown(refusal)}" if refusal else ""
        raise ReplyProblem(Fault.REFUSAL, f"The model refused to answer{said}.")
    if finish == "length":
        raise ReplyProblem(
            Fault.TRUNCATED,
            "The reply was cut off: it is longer than reply_tokens, or than the model can write.",
        )
    text = _THOUGHT.sub("", content).strip()
    if not text:
        raise ReplyProblem(Fault.EMPTY, "The reply is empty.")
    answer = _structured(text) or _fenced(text)
    if answer is None and _is_code(text):
        answer = Answer(text + "\n")
    if answer is None:
        if _OPEN.search(text):
            raise ReplyProblem(
                Fault.TRUNCATED, "The reply was cut off: its code block does not end."
            )
        raise ReplyProblem(Fault.PROSE, f"The reply holds no code: {_shown(text)}.")
    if not answer.code.strip():
        said = f": {_shown(answer.notes)}" if answer.notes.strip() else ""
        raise ReplyProblem(Fault.EMPTY, f"The model wrote no code{said}.")
    return answer


def _shown(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _structured(text: str) -> Answer | None:
    blocks = [text, *(m[3] for m in _FENCE.finditer(text) if m[2].lower() in ("", "json"))]
    for block in blocks:
        try:
            data = json.loads(block)
        except ValueError:
            continue
        if isinstance(data, dict) and isinstance(code := cast("Any", data).get("code"), str):
            notes = cast("Any", data).get("notes")
            inner = _fenced(code)
            return Answer(inner.code if inner else code, notes if isinstance(notes, str) else "")
    return None


def _fenced(text: str) -> Answer | None:
    """The Python of a text's fences; of several, those that define something."""
    blocks = [
        m[3] for m in _FENCE.finditer(text) if m[2].lower() in ("", "py", "python", "python3")
    ]
    defining = [block for block in blocks if re.search(r"^(?:async )?(?:def|class) ", block, re.M)]
    chosen = defining or blocks[:1]
    if not chosen:
        return None
    return Answer("\n\n".join(block.strip("\n") for block in chosen) + "\n")


def _is_code(text: str) -> bool:
    """Whether a text is Python that defines something: a single word of prose is Python, too."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in tree.body)
