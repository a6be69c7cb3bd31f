"""What a check found: the verdict models, which are also its JSON schema.

`Verdict.model_dump_json()` is the machine form (`--json`, the store); `schema` is raised with every
change that a reader of older JSON would notice.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 2

Status = Literal["verified", "diverged", "error", "not_run"]


class Category(StrEnum):
    """What kind of difference or failure it is, from the least to the most subtle."""

    FRAMEWORK = "FRAMEWORK"
    """An interpreter has no torch or no jax, or does not start."""
    TIMEOUT = "TIMEOUT"
    MEMORY = "MEMORY"
    CRASH = "CRASH"
    """The process that ran the code ended: `os._exit`, a signal, a fault in native code."""
    LOAD = "LOAD"
    """A file cannot be imported."""
    MISSING = "MISSING"
    """The port has no such definition."""
    INPUTS = "INPUTS"
    """No inputs are known with which the original runs."""
    NOTHING = "NOTHING"
    """It gives nothing that could be compared by itself."""
    SOURCE_ERROR = "SOURCE_ERROR"
    """The original itself raises, and the port was not asked."""
    CONSTRUCTION = "CONSTRUCTION"
    """The port's class cannot be constructed with the original's arguments."""
    WEIGHTS = "WEIGHTS"
    """The original's weights do not fit the port."""
    PORT_ERROR = "PORT_ERROR"
    """The port raises where the original does not."""
    MISSING_ERROR = "MISSING_ERROR"
    """The original raises, the port does not."""
    STRUCTURE = "STRUCTURE"
    SHAPE = "SHAPE"
    DTYPE = "DTYPE"
    NAN = "NAN"
    """NaN or infinity in one and not in the other."""
    MISMATCH = "MISMATCH"
    PRECISION = "PRECISION"
    """Values differ by less than 1e-4, and by more than rounding explains."""
    ILL_CONDITIONED = "ILL_CONDITIONED"
    """Rounding the inputs alone moves the result as far: no bug, and no proof either."""
    RANDOM = "RANDOM"
    """The result is random, so that values cannot be compared."""


class Model(BaseModel):
    """Immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class LaneInfo(Model):
    """One framework on one device, in one interpreter."""

    framework: Literal["torch", "jax", "mlx"]
    version: str
    device: str
    interpreter: str
    containment: str = ""
    """What kept the code from the rest of the machine: `bubblewrap`, `namespaces` (no network, no
    other processes), or `process group`. Empty where no code was run."""


class Errors(Model):
    """The largest differences between original and port."""

    abs: float = 0.0
    rel: float = 0.0
    ulp: float = 0.0

    def widened(self, other: Errors) -> Errors:
        """The larger of both, each measure by itself."""
        return Errors(
            abs=max(self.abs, other.abs), rel=max(self.rel, other.rel), ulp=max(self.ulp, other.ulp)
        )


class InputUsed(Model):
    """One argument that the definition was called with."""

    name: str
    text: str
    """For people: `f32[8, 16]`, `3`, `None`."""
    shape: tuple[int, ...] | None = None
    dtype: str | None = None


class Inputs(Model):
    """What the definition was called with, and where that came from."""

    origin: str
    """E.g. `get_inputs()`, `a check comment`, `a call in GPT`, `inferred`."""
    init: list[InputUsed] = Field(default_factory=list[InputUsed])
    call: list[InputUsed] = Field(default_factory=list[InputUsed])
    draws: list[str] = Field(default_factory=list[str])
    """The value distributions that were compared, e.g. `normal`, `wide`, `ties`."""
    seed: int = 0


class Picture(Model):
    """Where and how far the values of one place differ: a histogram and a heat map of the error."""

    shape: tuple[int, ...]
    equal: int
    """How many elements are equal."""
    nonfinite: int
    """How many are NaN or infinite in one and not in the other."""
    every: int = 1
    """Of the elements that differ every n-th was looked at; `nonfinite` and `counts` are of those."""
    first_bin: int = 0
    counts: tuple[int, ...] = ()
    """How many errors lie between 2^k and 2^(k+1) ulp of torch's value, for k from `first_bin`. The
    bins -1 and 63 hold what lies beyond them, too. Of integers, an ulp is 1."""
    axes: tuple[int, ...] = ()
    """The axes that `heat` shows, rows first; one axis is a row, none a single cell."""
    heat: tuple[tuple[float | None, ...], ...] = ()
    """log10 of the largest error in each of at most 32 x 32 cells, relative to torch's value or its
    root mean square; None where all is equal, infinite where one side is not finite."""


class Difference(Model):
    """One place where original and port differ."""

    category: Category
    where: str
    """E.g. `output[0]`, `gradient of fc.weight`, `running_mean after a step`."""
    case: str
    """Mode and draw, e.g. `eval, ties`."""
    message: str
    index: tuple[int, ...] | None = None
    """Of the worst element."""
    torch: float | str | None = None
    port: float | str | None = None
    reference: float | None = None
    """What float64 says there."""
    tolerance: float | None = None
    """The relative tolerance (`|port - torch| <= tolerance * (|torch| + rms(torch))`) that would
    have passed."""
    picture: Picture | None = None
    """Of differing values."""


class Smallest(Model):
    """The smallest input that was found with which a definition fails in the same way."""

    inputs: list[InputUsed]
    """Its arguments; the text holds the values where they are few: `f32[1, 2] = [[0, 1]]`."""
    python: str
    """The call as Python that can be pasted; empty where it would be too long to read."""
    difference: Difference
    """What differs with it, in the same place as the first difference of the verdict."""
    replay: str = ""
    """The command that runs it again; empty where it was not kept."""
    runs: int
    """How many calls were tried."""
    seconds: float

    @property
    def text(self) -> str:
        """The input, and what both sides make of it, in one line."""
        given = ", ".join(f"{item.name}={item.text}" for item in self.inputs)
        found = self.difference
        if found.index is None:
            return f"Smallest input: {given}. {found.message}"
        # Adding 0 makes -0 of it 0.
        torch, port = (
            f"{v + 0:.9g}" if isinstance(v, float) else v for v in (found.torch, found.port)
        )
        return f"Smallest input: {given}; torch gives {torch}, the port {port}."


class Stages(Model):
    """How far the check came, stage by stage."""

    spec: Literal["passed", "failed", "not_run"] = "not_run"
    numeric: Literal["passed", "failed", "not_run"] = "not_run"
    behavioural: Literal["passed", "failed", "not_run"] = "not_run"
    """Five training steps from the same start, and the distributions of what is random."""


class Gradients(Model):
    """The outcome of the comparison of gradients."""

    status: Literal["equal", "differ", "not_compared"] = "not_compared"
    reason: str = ""
    """Why they were not compared."""
    inputs: dict[str, Errors] = Field(default_factory=dict[str, Errors])
    """The largest error of each, by argument."""
    parameters: dict[str, Errors] = Field(default_factory=dict[str, Errors])
    """The largest error of each, by torch's name."""

    def joined(self, other: Gradients) -> Gradients:
        """Both as one: `differ` if either does, and the larger of each error."""
        if "not_compared" in (self.status, other.status):
            return max(self, other, key=lambda g: (g.status != "not_compared", bool(g.reason)))
        return Gradients(
            status="differ" if "differ" in (self.status, other.status) else "equal",
            inputs=_widest(self.inputs, other.inputs),
            parameters=_widest(self.parameters, other.parameters),
        )

    @property
    def largest(self) -> Errors:
        """The largest error over all gradients."""
        largest = Errors()
        for errors in (*self.inputs.values(), *self.parameters.values()):
            largest = largest.widened(errors)
        return largest


def _widest(one: dict[str, Errors], other: dict[str, Errors]) -> dict[str, Errors]:
    nothing = Errors()
    names = {**one, **other}
    return {n: one.get(n, nothing).widened(other.get(n, nothing)) for n in names}


class Variant(Model):
    """How one side did on one device, in one form, as one graph, against torch's own eager run."""

    framework: Literal["torch", "jax", "mlx"]
    device: str
    form: Literal["either", "compiled", "eager"]
    graph: Literal["original", "rewritten"] = "original"
    """`rewritten`: with operators replaced by the functions that they stand for."""
    status: Literal["equal", "differs", "fails", "not_compilable"]
    message: str = ""
    """What differs, or why it does not run."""
    line: int | None = None
    """The port's line at which it fails, or at which it cannot be compiled."""


class Known(Model):
    """A mistake of a bug record that the port seems to make, and what mends it."""

    id: str
    """Of the record: `torchport bugs show ID` tells more."""
    title: str
    why: str
    port_line: int
    old: str = ""
    new: str = ""
    """The code, and what stands in its place; empty where the record cannot say it."""

    @property
    def message(self) -> str:
        """For the reader, in a line."""
        fix = f" Instead of `{self.old}` write `{self.new}`." if self.new else ""
        sure = "Known mistake" if self.new else "Perhaps a known mistake"
        return f"{sure} on line {self.port_line}: {self.title}.{fix} ({self.id})"


class Located(Model):
    """The operation at which a port begins to differ: what it is made from agrees, and it does not."""

    of: Literal["value", "gradient"]
    """Whether its value differs, or the gradient that it passes on."""
    source_line: int
    port_line: int
    port_first_line: int
    """Before `port_line` where the port takes several statements for the original's operation."""
    source_text: str
    port_text: str
    """The operations, as they are written."""
    source_statement: str
    port_statement: str
    index: tuple[int, ...] | None = None
    """Of the element that is worst."""
    torch: float | str | None = None
    port: float | str | None = None
    reference: float | None = None
    """What float64 says there."""
    certainty: Literal["certain", "likely"]
    """`certain`: with torch's value in this one place, everything after it agrees. `likely`: more
    agrees, but not all; or what differs could only be compared."""
    further: list[tuple[int, int]] = Field(default_factory=list[tuple[int, int]])
    """Lines of source and port at which more was found, once this one was put right."""

    def moved(self, source: int, port: int) -> Located:
        """The same where the definition stands so many lines further down on either side."""
        return self.model_copy(
            update={
                "source_line": self.source_line + source,
                "port_line": self.port_line + port,
                "port_first_line": self.port_first_line + port,
                "further": [(one + source, other + port) for one, other in self.further],
            }
        )

    @property
    def message(self) -> str:
        """For the reader: what was found, without the files' names."""
        first, last = self.port_first_line, self.port_line
        lines = f"line {last}" if first == last else f"lines {first} to {last}"
        what = "" if self.of == "value" else "the gradient that passes through "
        how = {
            "certain": "with torch's value there, all agrees",
            "likely": "with torch's value there, more agrees" if self.of == "value" else "likely",
        }[self.certainty]
        if self.further:
            how = f"then, at lines {', '.join(str(port) for _, port in self.further)}; {how}"
        return (
            f"It begins with {what}`{self.port_text}` ({lines} of the port) for "
            f"`{self.source_text}` (line {self.source_line}); {how}."
        )


class DefinitionVerdict(Model):
    """The verdict on one function or module class."""

    name: str
    kind: Literal["function", "module"]
    source_line: int
    port_line: int | None = None
    status: Status
    category: Category | None = None
    message: str
    """For the reader: what, where, and what to do."""
    stages: Stages = Stages()
    largest: Errors = Errors()
    """Over outputs and buffers; gradients have their own."""
    gradients: Gradients = Gradients()
    inputs: Inputs | None = None
    variants: list[Variant] = Field(default_factory=list[Variant])
    differences: list[Difference] = Field(default_factory=list[Difference])
    smallest: Smallest | None = None
    """Of the first difference, where it was looked for (`CheckOptions.shrink_seconds`)."""
    located: Located | None = None
    known: list[Known] = Field(default_factory=list[Known])
    """Mistakes of bug records that may be why the port diverges, the likeliest first."""
    notes: list[str] = Field(default_factory=list[str])
    output: str = ""
    """The end of what the code printed, where the check failed."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it was verified."""
        return self.status == "verified"

    def moved(self, source_line: int, port_line: int | None) -> DefinitionVerdict:
        """The same of a definition that stands, unchanged, on other lines now."""
        located = self.located
        if located is not None:
            located = located.moved(
                source_line - self.source_line, (port_line or 0) - (self.port_line or 0)
            )
        down = (port_line or 0) - (self.port_line or 0)
        known = [k.model_copy(update={"port_line": k.port_line + down}) for k in self.known]
        return self.model_copy(
            update={
                "source_line": source_line,
                "port_line": port_line,
                "located": located,
                "known": known,
            }
        )


class Verdict(Model):
    """The verdict on a pair of files."""

    schema_version: int = SCHEMA
    torchport: str
    source: str
    port: str
    target: Literal["jax", "mlx"] = "jax"
    lanes: list[LaneInfo] = Field(default_factory=list[LaneInfo])
    definitions: list[DefinitionVerdict] = Field(default_factory=list[DefinitionVerdict])
    error: str = ""
    """Set where the pair as a whole could not be checked; then `category` says why."""
    category: Category | None = None
    notes: list[str] = Field(default_factory=list[str])
    dependencies: dict[str, str] = Field(default_factory=dict[str, str])
    """Local files that source or port import, with the SHA-256 of each."""
    seconds: float = 0.0
    from_store: bool = False

    @property
    def ok(self) -> bool:
        """Whether something was verified, and nothing diverged or failed."""
        statuses = {definition.status for definition in self.definitions}
        return not self.error and "verified" in statuses and not statuses & {"diverged", "error"}

    @property
    def settled(self) -> bool:
        """Whether it is verified, or has nothing that could be checked by itself."""
        indirect = all(d.category is Category.NOTHING for d in self.definitions)
        return self.ok or (not self.error and indirect)

    @property
    def status(self) -> Status:
        """The pair's status: the worst of its definitions'."""
        if self.error:
            return "error"
        for status in ("error", "diverged", "verified"):
            if any(definition.status == status for definition in self.definitions):
                return status
        return "not_run"

    def of(self, name: str) -> DefinitionVerdict:
        """The verdict on the definition `name`.

        Raises:
            KeyError: no such definition was checked.
        """
        for definition in self.definitions:
            if definition.name == name:
                return definition
        raise KeyError(name)
