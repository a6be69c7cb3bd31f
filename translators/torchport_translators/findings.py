"""What a translation tells its reader: findings, coverage, and the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from torchport_translators.families import family_of


class Target(StrEnum):
    """A framework that torchport writes."""

    JAX = "jax"
    MLX = "mlx"


class Severity(StrEnum):
    ERROR = "error"  # the port does not run, or would be wrong, at this place
    WARNING = "warning"  # it may differ
    INFO = "info"  # worth knowing


CODES: dict[str, tuple[Severity, str]] = {
    "syntax": (
        Severity.ERROR,
        "The source does not parse here. What does not parse is kept as it is; the rest is ported.",
    ),
    "no-rule": (
        Severity.ERROR,
        "No rule covers this torch call, so it stays as it was. Write it in the target by hand, or "
        "keep torch for it and convert at the boundary.",
    ),
    "unsupported-argument": (
        Severity.ERROR,
        "A rule covers the call, but not with these arguments, so it stays as it was. Rewrite the "
        "call with supported arguments, or port it by hand.",
    ),
    "unsure": (
        Severity.ERROR,
        "The call is torch's only if its receiver is a tensor, and nothing in the file says so. "
        "Annotate the parameter (`x: torch.Tensor`) and port again.",
    ),
    "own-checkpoint": (
        Severity.INFO,
        "A checkpoint of torch has torch's names and layouts. `torchport weights CHECKPOINT --for PORT` "
        "makes one of it that the port loads.",
    ),
    "unported-import": (
        Severity.ERROR,
        "The port would hand arrays to the original's torch code. Port both files together: name both, "
        "or their folder.",
    ),
    "in-place": (
        Severity.WARNING,
        "torch changes this tensor in place, and others that share its memory with it. Arrays of "
        "the target do not change: the port rebinds the name, and other names keep the old value.",
    ),
    "argument-changed": (
        Severity.INFO,
        "torch changes the caller's tensor here. The port cannot: callers must use the result.",
    ),
    "not-under-jit": (
        Severity.INFO,
        "The result is a Python number, or its shape depends on values: it works eagerly, but not "
        "under jit, where values are not known.",
    ),
    "not-a-gradient": (
        Severity.WARNING,
        "Automatic differentiation is a transformation of functions in the target: `backward()` "
        "and `requires_grad` have no counterpart on a value. Use `nnx.value_and_grad`.",
    ),
    "training-step": (
        Severity.ERROR,
        "The shape of this training step is not understood, so it stays as it was. Compute the loss, "
        "call backward() and step the optimizer in one function that is given the module.",
    ),
    "recomputed": (
        Severity.WARNING,
        "Two losses need this forward pass, so the port computes it in both functions. What a pass "
        "changes (running statistics) or draws (dropout), it changes and draws twice.",
    ),
    "kept": (
        Severity.INFO,
        "This stays torch's: it works on the host, and its results are converted where they are used.",
    ),
    "precision": (
        Severity.INFO,
        "Mixed precision is a matter of dtypes in the target: the port computes in the dtype of the "
        "module's parameters. To save memory, give the modules a dtype (bfloat16), without a scaler.",
    ),
    "not-trained": (
        Severity.WARNING,
        "MLX's modules train what their attributes hold, but for names that begin with an underscore. "
        "Rename the attribute in the source, and port again.",
    ),
    "setting": (
        Severity.INFO,
        "A setting of torch's runtime that changes no value: the port does without it.",
    ),
    "too-deep": (
        Severity.ERROR,
        "Expressions are nested too deeply to read. Split the expression.",
    ),
    "unknown-code": (
        Severity.WARNING,
        "No finding has this code, so the comment sets nothing aside by it. Write "
        "`# torchport: ignore[code]` with the code that the finding shows in brackets.",
    ),
}
"""Every code of a finding, how severe it is, and what it means for the reader."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the source: offsets in characters, the end excluded."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the source that its reader must know.

    Attributes:
        code: one of `CODES`.
        message: what it is, at this place.
        line: where it is in the source, from 1.
        column: and from 0, in characters.
        end_line: where it ends.
        end_column: and in which column.
        api: the torch API concerned, where there is one.
    """

    code: str
    message: str
    line: int
    column: int
    end_line: int
    end_column: int
    api: str | None = None

    @property
    def severity(self) -> Severity:
        return CODES[self.code][0]

    @property
    def help(self) -> str:
        """What to do about it."""
        family = family_of(self.api) if self.code == "no-rule" and self.api else None
        return family.text if family else CODES[self.code][1]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many uses of torch's API were found, and how many have been ported."""

    total: int = 0
    ported: int = 0

    @property
    def ratio(self) -> float:
        return self.ported / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class Definition:
    """A top-level function or class that was ported, and the lines it takes in both texts."""

    name: str
    line: int
    end_line: int
    coverage: Coverage
    port_line: int = 0


@dataclass(frozen=True, slots=True)
class Translation:
    """The result of `translate`.

    Attributes:
        text: the port.
        findings: in order of their place in the source.
        coverage: over the whole text.
        definitions: the top-level definitions, in order.
        helpers: the texts of the helpers that the port holds.
        span: what was translated, where a span was asked for: it grew to whole statements.
        ignored: how many findings were left out because a `# torchport: ignore` comment says so.
        linked: how many of its imports import the port of another file.
    """

    text: str
    findings: tuple[Finding, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    definitions: tuple[Definition, ...] = ()
    helpers: tuple[str, ...] = ()
    span: Span | None = None
    ignored: int = 0
    linked: int = 0
