"""The report, read as a whole: what a person sees where there is no terminal."""

from __future__ import annotations

import io
from pathlib import Path
from textwrap import dedent

import pytest
from rich.console import Console

from torchport_checks.commands import verdict_code
from torchport_checks.reports.checked import Checked
from torchport_checks.reports.terminal import plain, report
from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Errors,
    Gradients,
    LaneInfo,
    Stages,
    Variant,
    Verdict,
)
from torchport_translators.batch import Outcome, Ported
from torchport_translators.files import SourceFile, Text
from torchport_translators.translate import translate

SOURCE = """\
import torch


def soft(x: torch.Tensor):
    return torch.softmax(x, 1).sum()


def shared(x: torch.Tensor):
    return torch.distributed.all_reduce(x)


def init(module):
    pass
"""
PASSED = Stages(spec="passed", numeric="passed")
LANES = [
    LaneInfo(framework="torch", version="2.13.0", device="cpu", interpreter="python"),
    LaneInfo(framework="jax", version="0.10.2", device="cpu", interpreter="python"),
]
VERIFIED = DefinitionVerdict(
    name="soft",
    kind="function",
    source_line=4,
    port_line=8,
    status="verified",
    message="Outputs and gradients equal in 3 runs",
    stages=PASSED,
    largest=Errors(abs=1e-7, rel=1.25e-7, ulp=2),
    gradients=Gradients(status="equal", inputs={"x": Errors(abs=1e-6, rel=3e-6, ulp=4000)}),
    seconds=0.5,
)
DIVERGED = DefinitionVerdict(
    name="shared",
    kind="function",
    source_line=8,
    port_line=12,
    status="diverged",
    category=Category.MISMATCH,
    message="output: 4 of 4 values differ",
    stages=PASSED,
    largest=Errors(abs=1, rel=0.5, ulp=5e6),
    gradients=Gradients(reason="no floating-point input"),
    seconds=0.25,
)
INDIRECT = DefinitionVerdict(
    name="init",
    kind="function",
    source_line=12,
    status="not_run",
    category=Category.NOTHING,
    message="It is checked through what uses it.",
)
NOT_RUN = INDIRECT.model_copy(update={"category": Category.INPUTS, "message": "No inputs."})


def verdict(*definitions: DefinitionVerdict, **fields: object) -> Verdict:
    values = {"torchport": "0.1.0", "source": "a.py", "port": "a_jax.py", "lanes": LANES, **fields}
    return Verdict(definitions=list(definitions), **values)  # type: ignore[arg-type]


def shown(*results: Checked, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    report(results, Console(file=file, width=100, highlight=False), seconds=1.5)
    file.flush()
    lines = raw.getvalue().decode(encoding).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def test_a_run_with_everything_in_it() -> None:
    ported = Ported(
        SourceFile(Path("a.py"), Path("a.py")),
        Outcome.WRITTEN,
        Path("a_jax.py"),
        Text(SOURCE),
        translate(SOURCE),
        notes=("a.py is odd.",),
    )
    text = shown(Checked(ported, verdict(VERIFIED, DIVERGED, INDIRECT)))
    assert text == dedent(
        """\
        a.py → a_jax.py
          note: a.py is odd.
             definition   ported  verdict   largest error      gradients     time
          ✓  soft            3/3  verified  1.2e-07 (2 ulp)    3.0e-06     0.50 s
          ✗  shared          1/2  diverged  5.0e-01            none        0.25 s
          ·  init              -  indirect                                 0.00 s

          ✗ shared diverged (MISMATCH)  a.py:8  a_jax.py:12
            output: 4 of 4 values differ
          init: It is checked through what uses it.

          a.py:9:12: error: torch.distributed.all_reduce has no rule [no-rule]

        """
    ) + "─" * 100 + dedent(
        """
        1 of 2 verified, 1 diverged, 1 indirectly  (1.5 s)
        4 of 5 calls ported in 1 file
        torch 2.13.0 on cpu, jax 0.10.2 on cpu
        One device each: torch and jax were not compared across devices.
        Errors are relative to the size of the values; ulp: units in the last place of float32.
        """
    )


def test_the_report_in_a_file_is_that_of_a_wide_terminal() -> None:
    text = plain([Checked(verdict=verdict(VERIFIED, DIVERGED))], seconds=1.5)
    assert text.startswith("a.py → a_jax.py\n")
    assert "  ✗  shared      diverged  5.0e-01            none        0.25 s\n" in text
    assert "\x1b" not in text


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = shown(Checked(verdict=verdict(VERIFIED, DIVERGED)), encoding="ascii")
    assert text.isascii()
    assert "a.py -> a_jax.py" in text
    assert "+  soft" in text
    assert "x  shared" in text


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ([verdict(VERIFIED)], "1 of 1 verified  (1.5 s)"),
        (
            [verdict(VERIFIED, from_store=True)],
            "1 of 1 verified; all from stored verdicts: nothing has changed  (1.5 s)",
        ),
        (
            [verdict(VERIFIED), verdict(VERIFIED, from_store=True)],
            "2 of 2 verified; 1 from stored verdicts  (1.5 s)",
        ),
        ([verdict(NOT_RUN)], "0 of 1 verified, 1 not run  (1.5 s)"),
        ([verdict(error="torch is missing")], "Nothing was checked  (1.5 s)"),
    ],
)
def test_the_sum_claims_what_the_verdicts_say(verdicts: list[Verdict], says: str) -> None:
    assert says in shown(*(Checked(verdict=item) for item in verdicts)).splitlines()


def test_a_port_that_cannot_be_compiled_is_told_of_though_it_is_verified() -> None:
    variant = Variant(
        framework="jax",
        device="cpu",
        form="compiled",
        status="not_compilable",
        line=9,
        message="Why.",
    )
    text = shown(Checked(verdict=verdict(VERIFIED.model_copy(update={"variants": [variant]}))))
    assert "  soft: jax on cpu, compiled: cannot be compiled (line 9): Why.\n" in text


def test_the_same_reason_is_given_once() -> None:
    second = DIVERGED.model_copy(update={"name": "second"})
    text = shown(Checked(verdict=verdict(DIVERGED, second)))
    assert text.count("output: 4 of 4 values differ") == 1
    assert "As shared, above." in text


def test_a_long_reason_is_cut_and_says_so() -> None:
    long = DIVERGED.model_copy(update={"message": "\n".join(f"line {i}" for i in range(50))})
    text = shown(Checked(verdict=verdict(long)))
    assert "line 7" in text
    assert "line 8" not in text
    assert "(the rest is in the JSON report)" in text


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (verdict(VERIFIED), 0),
        (verdict(VERIFIED, NOT_RUN), 0),
        (verdict(), 0),
        (verdict(INDIRECT), 0),
        (verdict(NOT_RUN), 1),
        (verdict(VERIFIED, DIVERGED), 1),
        (verdict(error="It took too long.", category=Category.TIMEOUT), 1),
        (verdict(error="torch is missing", category=Category.FRAMEWORK), 2),
    ],
)
def test_the_exit_code_of_a_verdict(item: Verdict, code: int) -> None:
    assert verdict_code(item) == code
