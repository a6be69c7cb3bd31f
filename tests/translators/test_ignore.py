"""`# torchport: ignore[code]`: which findings a comment sets aside, and what it leaves as it is."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from torchport_translators.commands import translate as command
from torchport_translators.findings import Span
from torchport_translators.translate import translate

# A source (`sparse.mm` has no rule: a finding `no-rule` on its line; `.item()` is
# `not-under-jit`), the lines of the findings that are left, and how many are set aside.

SOURCES = {
    "no comment": (
        """
        y = sparse.mm(a, b)
        """,
        [1],
        0,
    ),
    "on the line": (
        """
        y = sparse.mm(a, b)  # torchport: ignore[no-rule]
        y = sparse.mm(a, b)
        """,
        [2],
        1,
    ),
    "of another code": (
        """
        y = sparse.mm(a, b)  # torchport: ignore[in-place]
        """,
        [1],
        0,
    ),
    "of several codes": (
        """
        y = sparse.mm(a, zeros(3).sum().item())  # torchport: ignore[no-rule, not-under-jit]
        """,
        [],
        2,
    ),
    "one of two codes": (
        """
        y = sparse.mm(a, zeros(3).sum().item())  # torchport: ignore[not-under-jit]
        """,
        [1],
        1,
    ),
    "of two comments": (
        """
        y = sparse.mm(a, zeros(3).sum().item())  # torchport: ignore[no-rule]  # torchport: ignore[not-under-jit]
        """,
        [],
        2,
    ),
    "of all codes": (
        """
        y = sparse.mm(a, zeros(3).sum().item())  # torchport: ignore
        """,
        [],
        2,
    ),
    "with a reason, behind another comment, without spaces": (
        """
        y = sparse.mm(a, b)  # noqa #torchport:ignore[no-rule] it is slow anyway
        y = sparse.mm(a, b)  # torchport: ignore, for now
        """,
        [],
        2,
    ),
    "the last line of the call": (
        """
        y = sparse.mm(
            a,
            b,
        )  # torchport: ignore[no-rule]
        """,
        [],
        1,
    ),
    "a line inside the call is not the call": (
        """
        y = sparse.mm(
            a,  # torchport: ignore[no-rule]
            b,
        )
        """,
        [1],
        0,
    ),
    "above the statement": (
        """
        # torchport: ignore[no-rule]
        y = f(
            sparse.mm(a, b),
            sparse.mm(b, a),
        )
        y = sparse.mm(a, b)
        """,
        [6],
        2,
    ),
    "above the statement, among other comments": (
        """
        # Sparse matrices stay with torch.
        # torchport: ignore[no-rule]
        # See the notes.
        y = sparse.mm(a, b)
        """,
        [],
        1,
    ),
    "a blank line below it": (
        """
        # torchport: ignore[no-rule]

        y = sparse.mm(a, b)
        """,
        [3],
        0,
    ),
    "above an argument": (
        """
        y = f(
            # torchport: ignore[no-rule]
            sparse.mm(a, b),
            sparse.mm(b, a),
        )
        """,
        [4],
        1,
    ),
    "above statements on one line": (
        """
        # torchport: ignore[no-rule]
        x = 1; y = sparse.mm(a, b)
        """,
        [],
        1,
    ),
    "above a block it is about the header": (
        """
        # torchport: ignore[no-rule]
        if sparse.mm(a, b):
            y = sparse.mm(a, b)
        # torchport: ignore[no-rule]
        elif sparse.mm(b, a):
            pass
        """,
        [3],
        2,
    ),
    "on the line of a def": (
        """
        def f(a, b):  # torchport: ignore[no-rule]
            y = sparse.mm(a, b)

            return sparse.mm(y, b)

        y = sparse.mm(a, b)
        """,
        [6],
        2,
    ),
    "where the header ends": (
        """
        async def f(
            a, b
        ) -> None:  # torchport: ignore[no-rule]
            y = sparse.mm(a, b)
        """,
        [],
        1,
    ),
    "a parameter's line is not the header": (
        """
        def f(
            a,  # torchport: ignore[no-rule]
            b,
        ):
            y = sparse.mm(a, b)
        """,
        [5],
        0,
    ),
    "on the line of a class": (
        """
        class A:  # torchport: ignore[no-rule]
            def f(self, a, b):
                return sparse.mm(a, b)
        """,
        [],
        1,
    ),
    "on the line of a method": (
        """
        class A:
            def f(self, a, b):  # torchport: ignore[no-rule]
                return sparse.mm(a, b)

            def g(self, a, b):
                return sparse.mm(a, b)
        """,
        [6],
        1,
    ),
    "above decorators": (
        """
        # torchport: ignore[no-rule]
        @wrap(sparse.mm(a, b))
        @other
        def f(a, b):
            return sparse.mm(a, b)
        """,
        [],
        2,
    ),
    "between decorators and def": (
        """
        @other
        # torchport: ignore[no-rule]
        def f(a, b):
            return sparse.mm(a, b)
        """,
        [],
        1,
    ),
    "on a decorator's line it is about that line": (
        """
        @wrap(sparse.mm(a, b))  # torchport: ignore[no-rule]
        def f(a, b):
            return sparse.mm(a, b)
        """,
        [3],
        1,
    ),
    "check comments and marks are none": (
        """
        # torchport: check(a=f32[3, 3], b=f32[3, 3])
        # torchport: not ported: torch.sparse.mm has no rule
        def f(a, b):
            return sparse.mm(a, b)
        """,
        [4],
        0,
    ),
    "beside a check comment": (
        """
        # torchport: check(a=f32[3, 3], b=f32[3, 3])
        # torchport: ignore[no-rule]
        def f(a, b):
            return sparse.mm(a, b)
        """,
        [],
        1,
    ),
    "in a string it is text": (
        """
        y = sparse.mm(a, "# torchport: ignore[no-rule]")
        """,
        [1],
        0,
    ),
    "words that begin like it": (
        """
        y = sparse.mm(a, b)  # torchport: ignored
        y = sparse.mm(a, b)  # torchport: ignore-this
        """,
        [1, 2],
        0,
    ),
    "nothing below it": (
        """
        y = sparse.mm(a, b)
        # torchport: ignore[no-rule]
        """,
        [1],
        0,
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("source", "left", "ignored"), SOURCES.values(), ids=SOURCES)
def test_ignored_findings(source: str, left: list[int], ignored: int, newline: str) -> None:
    text = "from torch import sparse, zeros\n" + textwrap.dedent(source).lstrip("\n")
    translation = translate(text.replace("\n", newline))
    assert [finding.line - 1 for finding in translation.findings] == left
    assert translation.ignored == ignored


def test_what_is_ignored_stays_unported_and_marked() -> None:
    translation = translate("import torch\n\ny = torch.sparse.mm(a, b)  # torchport: ignore\n")
    assert translation.text == (
        "import torch\n\n# torchport: not ported: torch.sparse.mm has no rule\n"
        "y = torch.sparse.mm(a, b)  # torchport: ignore\n"
    )
    assert (translation.coverage.total, translation.coverage.ported) == (1, 0)


@pytest.mark.parametrize(
    ("comment", "column", "message"),
    [
        ("ignore[no-rul]", 20, "no finding has the code no-rul; there is no-rule"),
        ("ignore[in-place, inplace]", 30, "no finding has the code inplace; there is in-place"),
        (
            "ignore[zzz]",
            20,
            "no finding has the code zzz; there is argument-changed, in-place, kept",
        ),
        ("ignore[]", 19, "no code is named; there is argument-changed, in-place, kept"),
        ("ignore[", 19, "no code is named; there is argument-changed, in-place, kept"),
    ],
)
def test_a_code_that_there_is_not_is_told(comment: str, column: int, message: str) -> None:
    translation = translate(f"import torch\n# torchport: {comment}\nx = torch.ones(3)\n")
    (finding,) = translation.findings
    assert (finding.code, finding.severity) == ("unknown-code", "warning")
    assert (finding.line, finding.column) == (2, column)
    assert finding.message.startswith(message)


def test_an_ignored_finding_makes_no_exit_code(tmp_path: Path) -> None:
    source = tmp_path / "model.py"
    source.write_text("import torch\ny = torch.sparse.mm(a, b)  # torchport: ignore[no-rule]\n")
    result = CliRunner().invoke(command, [str(source)])
    assert result.exit_code == 0
    assert (
        result.output
        == f"{source} → {tmp_path / 'model_jax.py'}: 0 of 1 call ported, 1 finding ignored\n"
    )
    (file,) = json.loads(CliRunner().invoke(command, [str(source), "--json"]).output)["files"]
    assert (file["findings"], file["ignored"]) == ([], 1)


def test_of_a_stretch_only_its_own_findings_are_told_and_counted() -> None:
    text = (
        "import torch\n"
        "x = torch.sparse.mm(a, b)  # torchport: ignore[nope, no-rule]\n"
        "y = torch.sparse.mm(a, b)  # torchport: ignore[no-rule]\n"
    )
    translation = translate(text, span=Span(text.index("y ="), len(text)))
    assert (translation.findings, translation.ignored) == ((), 1)
