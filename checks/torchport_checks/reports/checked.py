"""A pair of files and what became of it, and what all reports say of it in the same words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Errors,
    LaneInfo,
    Variant,
    Verdict,
)
from torchport_translators.batch import Ported

_SHOWN_ULP = 999


@dataclass(frozen=True, slots=True)
class Checked:
    """A pair of files: how it was ported, if it was, and its verdict, if it was checked."""

    ported: Ported | None = None
    verdict: Verdict | None = None

    @property
    def name(self) -> str:
        """The source, for the reader."""
        if self.ported is not None:
            return self.ported.name
        assert self.verdict is not None
        return short(self.verdict.source)

    def where(self, line: int) -> str:
        """A line of the source (from 1), for the reader: of a notebook, with its cell."""
        text = self.ported.source if self.ported is not None else None
        return text.where(line) if text is not None else str(line)

    @property
    def port(self) -> str:
        """The port, for the reader; empty where there is none."""
        if self.ported is not None:
            return str(self.ported.port) if self.ported.port else ""
        assert self.verdict is not None
        return short(self.verdict.port)


def short(path: str | Path) -> str:
    """A path relative to the current folder where it lies below it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def indirect(definition: DefinitionVerdict) -> bool:
    """Whether the definition can only be checked through what uses it."""
    return definition.category is Category.NOTHING


def passes(verdict: Verdict) -> bool:
    """Whether nothing diverged or failed."""
    return not verdict.error and all(
        definition.status in ("verified", "not_run") for definition in verdict.definitions
    )


def lane_text(lane: LaneInfo) -> str:
    """`jax 0.10.2 on cpu`."""
    return f"{lane.framework} {lane.version} on {lane.device}"


_VARIANT = {
    "equal": "equal",
    "differs": "differs",
    "fails": "fails",
    "not_compilable": "cannot be compiled",
}


def variant_name(variant: Variant) -> str:
    """`jax on cpu, compiled, rewritten`."""
    form = {"either": "", "compiled": ", compiled", "eager": ", eager"}[variant.form]
    rewritten = ", rewritten" if variant.graph == "rewritten" else ""
    return f"{variant.framework} on {variant.device}{form}{rewritten}"


def variant_text(variant: Variant) -> str:
    """`jax on cpu, compiled: cannot be compiled: ...`."""
    parts = (variant_name(variant), variant_status(variant), variant.message)
    return ": ".join(filter(None, parts))


def variant_status(variant: Variant) -> str:
    """`cannot be compiled (line 12)`."""
    return _VARIANT[variant.status] + (f" (line {variant.line})" if variant.line else "")


def odd_variants(definition: DefinitionVerdict) -> list[Variant]:
    """The ways to run it that do not give what torch gives."""
    return [variant for variant in definition.variants if variant.status != "equal"]


def explained(definition: DefinitionVerdict) -> list[str]:
    """Where a divergence begins, the smallest input that shows it, and the command that runs it."""
    found: list[str] = []
    if definition.located is not None:
        found.append(definition.located.message)
    found += [known.message for known in definition.known]
    if definition.smallest is not None:
        found += [line for line in (definition.smallest.text, definition.smallest.replay) if line]
    return found


def lanes_of(verdicts: Sequence[Verdict]) -> list[str]:
    """The lanes that took part, once each."""
    return list(dict.fromkeys(lane_text(lane) for verdict in verdicts for lane in verdict.lanes))


def error_text(errors: Errors) -> str:
    """`exact`, `1.2e-07 (2 ulp)`, or without ulp where those are many or there are none."""
    if errors.abs == 0:
        return "exact"
    if 0 < errors.ulp <= _SHOWN_ULP:
        return f"{errors.rel:.1e} ({max(errors.ulp, 1):.0f} ulp)"
    return f"{errors.rel:.1e}"


def writable(text: str) -> str:
    """`text` without lone surrogates, which no encoding holds: names of files may have them."""
    return text.encode("utf-8", "replace").decode()


def again(verdict: Verdict, definition: DefinitionVerdict) -> str:
    """The command that shows one definition's verdict again, from the current folder."""
    if definition.smallest is not None and definition.smallest.replay:
        return definition.smallest.replay
    source, port = (short(path) for path in (verdict.source, verdict.port))
    arguments = ["torchport", "check", source, port, "--only", definition.name, "--fresh"]
    return shlex.join(arguments) if os.name != "nt" else " ".join(f'"{a}"' for a in arguments)
