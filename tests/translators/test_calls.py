"""Calls of every API as source text: torch's own samples (OpInfo), written out, ported and run.

Where `opinfo.py` calls rules, this goes through the translator: the call stands in a function
whose parameters are the sample's tensors, once with positional arguments and once with keywords. What
the port gives must be what torch gives. The default run takes every fourth API and a few samples;
`TORCHPORT_OPINFO=all` takes all of them.
"""

from __future__ import annotations

import ast
import linecache
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from torchport_translators.catalogue.load import Rule
from torchport_translators.findings import Severity
from torchport_translators.translate import translate

from .frameworks import FRAMEWORKS, Framework
from .opinfo import KNOWN_FAILURES
from .oracle import (
    COMPOSED,
    EVERYTHING,
    UNINITIALISED,
    Arguments,
    Case,
    Rejected,
    cases,
    compare_results,
    is_random,
    op_id,
    run_in_torch,
    samples,
)

CASES = [
    case
    for framework in FRAMEWORKS.values()
    for case in cases(framework)[:: 1 if EVERYTHING else 4]
]
_TAKEN = 3


class NotText(Exception):
    """An argument has no literal."""


class Call:
    """One sample's call, written out.

    Attributes:
        tensors: the values of the parameters, in order.
    """

    def __init__(self, api: str, rule: Rule, given: Arguments, *, named: bool) -> None:
        self.tensors: list[torch.Tensor] = []
        args, kwargs = given.torch
        texts = [self._text(arg) for arg in args]
        method = api.startswith("torch.Tensor.")
        params = [param for param in rule.params if param.form == "positional"]
        keywords = {name: self._text(value) for name, value in kwargs.items()}
        if named:
            first = 1
            if len(texts) > len(params):
                raise NotText("variable arguments have no names")
            named_texts = dict(zip([p.name for p in params[first:]], texts[first:], strict=False))
            texts, keywords = texts[:first], named_texts | keywords
        owner = f"{texts.pop(0)}.{api.rpartition('.')[2]}" if method else api
        if method and not callable(getattr(torch.Tensor, api.rpartition(".")[2], None)):
            self.expression = owner
            return
        words = [*texts, *(f"{name}={text}" for name, text in keywords.items())]
        self.expression = f"{owner}({', '.join(words)})"

    @property
    def source(self) -> str:
        names = ", ".join(f"t{i}: torch.Tensor" for i in range(len(self.tensors)))
        return f"import torch\n\n\ndef f({names}):\n    return {self.expression}\n"

    def _text(self, value: object) -> str:
        if isinstance(value, torch.Tensor):
            self.tensors.append(value)
            return f"t{len(self.tensors) - 1}"
        if isinstance(value, torch.dtype):
            return str(value)
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        if isinstance(value, tuple):
            inner = ", ".join(map(self._text, value))
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        if isinstance(value, list):
            return f"[{', '.join(map(self._text, value))}]"
        text = repr(value)
        try:
            ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise NotText(text) from None
        return text


def calls(case: Case) -> Iterator[tuple[Arguments, Call, object, object]]:
    """The first samples of a case that can be written out and that a rule takes.

    Gives the arguments, the call, and what torch gives in float32 and in float64.
    """
    dtype = torch.float32 if case.op.supports_dtype(torch.float32, "cpu") else None
    taken = 0
    for sample in samples(case.op, dtype) if dtype is not None else ():
        if taken == _TAKEN and not EVERYTHING:
            return
        ran = run_in_torch(case, sample)
        if ran is None:
            continue
        given, expected, _, reference = ran
        try:
            rule, _ = given.resolve(case.api)
        except Rejected:
            continue
        if rule.is_class:
            continue
        taken += 1
        for named in (False, True):
            try:
                yield given, Call(case.api, rule, given, named=named), expected, reference
            except NotText:
                continue


def run(name: str, text: str, on: Framework, tensors: list[torch.Tensor]) -> object:
    namespace: dict[str, Any] = {"__name__": name}
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), namespace)
    return namespace["f"](*map(on.of_tensor, tensors))


def problem(
    case: Case, given: Arguments, call: Call, expected: object, reference: object
) -> str | None:
    """What is wrong with the port of a call."""
    result = translate(call.source, case.on.name)
    shown = f"{call.expression}\n{result.text}"
    loud = [f.message for f in result.findings if f.severity is Severity.ERROR]
    if loud:
        return f"{shown}{loud}"
    try:
        got = run(f"<{case.id}>", result.text, case.on, call.tensors)
    except Exception as error:
        if any(words in str(error) for words in case.on.no_axes):
            return None
        return f"{shown}{type(error).__name__}: {error}"
    process = given.sample.output_process_fn_grad
    why = compare_results(got, expected, reference, process, on=case.on)
    return f"{shown}{why}" if why else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=[f"{case.on.name}-{case.id}" for case in CASES])
def test_port_of_a_call(case: Case) -> None:
    method = case.api.removeprefix("torch.Tensor.")
    if case.api != method and not hasattr(torch.Tensor, method):
        pytest.skip("torch has no such method")
    if op_id(case.op) in COMPOSED:
        pytest.skip("its samples are not the call's arguments")
    if case.op.name in UNINITIALISED or is_random(case.api) or case.api.endswith("_"):
        pytest.skip("its values are not promised, or it changes its argument")
    if any(key.startswith(f"{case.id} float32 value") for key in KNOWN_FAILURES[case.on.name]):
        pytest.skip("a known failure of its rule")
    found = [problem(case, *each) for each in calls(case)]
    if not found:
        pytest.skip("torch has no sample that can be written out")
    wrong = [why for why in found if why]
    assert not wrong, "\n\n".join(wrong)
