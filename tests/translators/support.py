"""Writes `docs/support/`: what of torch's API each target supports, and what shows it.

`python -m tests.translators.support` runs torch's own samples (OpInfo, ModuleInfo) for the rules that
have changed since the last run, and writes the pages. What was found stands in
`docs/support/outcomes.json` by case, with a digest of what it depends on; `--all` runs all anew.
`TORCHPORT_OPINFO=all` takes every sample of torch's instead of a few of each.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import inspect
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.utils.parametrizations
import torch.overrides
import torch.signal
from torch import nn

from torchport_translators.catalogue.load import Rule
from torchport_translators.explain import UnknownName, explain

from . import known_failures, known_failures_mlx
from .frameworks import FRAMEWORKS, Framework
from .oracle import EVERYTHING, cases, run_case
from .test_moduleinfo import NAMES, run_module

FOLDER = Path(__file__).parents[2] / "docs" / "support"
OUTCOMES = FOLDER / "outcomes.json"
STATES = ("supported", "partly", "not")
TITLES = {"jax": "JAX", "mlx": "MLX"}


@dataclass(frozen=True)
class Page:
    """A part of torch's API, on a page of its own."""

    name: str
    title: str
    prefix: str
    apis: tuple[str, ...]


def pages() -> list[Page]:
    """Torch's public API: what its own documentation lists as functions, methods and modules."""
    overridable = {
        f"{getattr(owner, '__name__', '')}.{function.__name__}"
        for owner, functions in torch.overrides.get_overridable_functions().items()
        for function in functions
        if hasattr(function, "__name__")
    }
    modules = {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }
    tensor = {
        name
        for name in dir(torch.Tensor)
        if not name.startswith("_") and f"Tensor.{name}" in overridable
    } | {"T", "mT", "H", "mH", "real", "imag", "shape", "dtype", "device", "ndim", "data", "grad"}
    found = [
        Page(
            "functions", "Functions", "torch", _public(torch, lambda n: f"torch.{n}" in overridable)
        ),
        Page("tensor", "Methods and attributes of tensors", "torch.Tensor", tuple(sorted(tensor))),
        Page("modules", "Modules", "torch.nn", tuple(sorted(modules))),
    ]
    for name, title, owner in (
        ("functional", "Functions of modules", nn.functional),
        ("init", "Initialisation", nn.init),
        ("linalg", "Linear algebra", torch.linalg),
        ("fft", "Fourier transforms", torch.fft),
        ("special", "Special functions", torch.special),
        ("func", "Function transforms", torch.func),
        ("autograd", "Automatic differentiation", torch.autograd.functional),
        ("utils", "Utilities of modules", nn.utils),
        ("rnn", "Sequences of different lengths", nn.utils.rnn),
        ("windows", "Windows of signals", torch.signal.windows),
        ("masked", "Masked reductions", torch.masked),
        ("optim", "Optimizers", torch.optim),
    ):
        found.append(Page(name, title, owner.__name__, _public(owner, lambda _: True)))
    return found


def _public(owner: ModuleType, wanted: object) -> tuple[str, ...]:
    assert callable(wanted)
    listed = getattr(owner, "__all__", None)
    names = listed if listed and owner is not torch else dir(owner)
    return tuple(
        sorted(
            name
            for name in names
            if not name.startswith("_")
            and callable(getattr(owner, name, None))
            and _at_home(owner, getattr(owner, name))
            and wanted(name)
        )
    )


def _at_home(owner: ModuleType, value: object) -> bool:
    """Whether something is torch's, and not what a module has imported for itself."""
    home = getattr(value, "__module__", None) or "torch"
    helper = home in ("torch.overrides", "torch._jit_internal", "torch._VF")
    return home.partition(".")[0] == "torch" and not helper and not inspect.ismodule(value)


# ------------------------------------------------------------------------------------ outcomes

Outcomes = dict[str, dict[str, object]]


@dataclass
class Found:
    """What running the samples of the rules of one API came to."""

    equal: int = 0
    rejected: int = 0
    failed: dict[str, int] = field(default_factory=dict[str, int])
    digest: str = ""

    def add(self, other: Found) -> None:
        self.equal += other.equal
        self.rejected += other.rejected
        for what, count in other.failed.items():
            self.failed[what] = self.failed.get(what, 0) + count


@functools.cache
def _digest(target: str, module: str) -> str:
    """Of a rule module, and of those that it uses: what an outcome depends on."""
    framework = FRAMEWORKS[target]
    seen: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        found = framework.catalogue.module(name)
        if name in seen or found is None:
            continue
        seen.add(name)
        prefix = f"torchport_translators.{target}"
        for origin, inner in found.imports.values():
            queue.append(inner or "" if origin == prefix else origin.removeprefix(f"{prefix}."))
    texts = [found.text for name in sorted(seen) if (found := framework.catalogue.module(name))]
    texts.append(f"{torch.__version__} {EVERYTHING}")
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def run(known: Outcomes, targets: Sequence[str], *, again: bool) -> Iterator[Outcomes]:
    """The outcomes so far, of every case of some targets; those that still hold are taken over."""
    found = {key: value for key, value in known.items() if key.partition(" ")[0] not in targets}
    for target in targets:
        for key, digest, execute in _jobs(FRAMEWORKS[target]):
            old = known.get(key)
            if old is not None and old["digest"] == digest and not again:
                found[key] = old
                continue
            print(key, file=sys.stderr)
            outcome = execute()
            failed = {what: len(whys) for what, whys in outcome.failures.items()}
            rejected = sum(outcome.rejected.values())
            found[key] = {
                "digest": digest, "equal": outcome.equal, "rejected": rejected, "failed": failed,
            }  # fmt: skip
            yield found
    yield found


def _jobs(framework: Framework) -> Iterator[tuple[str, str, object]]:
    for case in cases(framework):
        module = framework.catalogue.find(case.api)[0].module.name
        digest = _digest(framework.name, module)
        yield f"{framework.name} {case.api} {case.id}", digest, functools.partial(run_case, case)
    for name in NAMES[framework.name]:
        api = f"torch.nn.{name}"
        digest = _digest(framework.name, framework.catalogue.find(api)[0].module.name)
        execute = functools.partial(run_module, name, framework)
        yield f"{framework.name} {api} {name}", digest, execute


# --------------------------------------------------------------------------------------- pages


class Matrix:
    """What is known of each API of each target."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._of_rules: dict[tuple[str, tuple[Rule, ...]], Found] = {}
        for key, values in outcomes.items():
            target, api, _ = key.split(" ", 2)
            rules = FRAMEWORKS[target].catalogue.find(api)
            total = self._of_rules.setdefault((target, rules), Found())
            total.add(Found(values["equal"], values["rejected"], dict(values["failed"])))
        self._reasons = {
            "jax": known_failures.KNOWN_FAILURES | known_failures.MODULE_FAILURES,
            "mlx": known_failures_mlx.KNOWN_FAILURES | known_failures_mlx.MODULE_FAILURES,
        }

    def row(self, api: str, target: str) -> tuple[str, str]:
        """The state of an API, and what there is to say of it."""
        catalogue = FRAMEWORKS[target].catalogue
        rules = catalogue.find(api) or (catalogue.find(api[:-1]) if api.endswith("_") else ())
        if not rules:
            if api in catalogue.names:
                return "supported", f"`{catalogue.names[api]}`"
            return self._without_rule(api, target)
        found = self._of_rules.get((target, rules))
        if found is None:
            return "supported", "torch has no samples"
        said = f"{found.equal} samples"
        reasons = self._why(api, rules, target)
        if found.failed or reasons:
            return "partly", "; ".join([said, *reasons])
        if found.rejected:
            return "partly", f"{said}; {found.rejected} with arguments that have no rule"
        return "supported", said

    def _without_rule(self, api: str, target: str) -> tuple[str, str]:
        try:
            told = explain(api, target)
        except UnknownName:
            return "not", ""
        if any(item.kind == "rewrite" for item in told):
            return "supported", "as a pattern"
        return "not", told[0].text.partition("\n")[0]

    def _why(self, api: str, rules: tuple[Rule, ...], target: str) -> list[str]:
        names = {name.removeprefix("torch.") for rule in rules for name in rule.apis}
        names |= {name.removeprefix("nn.") for name in names}
        reasons = [
            reason
            for key, reason in self._reasons[target].items()
            if key.split(" ")[0].partition("/")[0] in names
        ]
        return list(dict.fromkeys(reasons))


def write(outcomes: Outcomes, folder: Path = FOLDER) -> None:
    """Write the summary and a page for each part of the API."""
    matrix = Matrix(outcomes)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# What is supported",
        "",
        "Generated by `make support`, which runs torch's own samples (OpInfo and ModuleInfo): values,",
        "dtypes and gradients. *supported* takes every sample that was run; *partly* has arguments or",
        "values for which it does not, each with its reason; *not* is a finding in a port, and never",
        "dropped silently.",
        "",
        "| | | " + " | ".join(f"{TITLES[t]}: supported | partly | not" for t in FRAMEWORKS) + " |",
        "| --- | ---: |" + " ---: | ---: | ---: |" * len(FRAMEWORKS),
    ]
    total = {target: dict.fromkeys(STATES, 0) for target in FRAMEWORKS}
    number = 0
    for page in pages():
        counts = {target: dict.fromkeys(STATES, 0) for target in FRAMEWORKS}
        head = " | ".join(TITLES[target] for target in FRAMEWORKS)
        rows = [f"# {page.title}: `{page.prefix}`", "", f"| | {head} |", "| --- | --- | --- |"]
        for name in page.apis:
            cells: list[str] = []
            for target in FRAMEWORKS:
                state, said = matrix.row(f"{page.prefix}.{name}", target)
                counts[target][state] += 1
                total[target][state] += 1
                cells.append(
                    f"**{state}** {_cell(said)}" if state == "not" else f"{state} {_cell(said)}"
                )
            rows.append(f"| `{name}` | {' | '.join(cell.strip() for cell in cells)} |")
        (folder / f"{page.name}.md").write_text("\n".join(rows) + "\n", "utf-8")
        number += len(page.apis)
        lines.append(_sum(f"[{page.title}]({page.name}.md)", len(page.apis), counts))
    lines.append(_sum("all", number, total))
    (folder / "README.md").write_text("\n".join(lines) + "\n", "utf-8")


def _sum(title: str, number: int, counts: dict[str, dict[str, int]]) -> str:
    cells = [str(counts[target][state]) for target in FRAMEWORKS for state in STATES]
    return f"| {title} | {number} | {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return f"({text})".replace("|", "\\|").replace("\n", " ") if text else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="run every case, changed or not")
    parser.add_argument("--target", choices=FRAMEWORKS, help="run only the cases of one target")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    known = json.loads(OUTCOMES.read_text("utf-8")) if OUTCOMES.exists() else {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    targets = [arguments.target] if arguments.target else list(FRAMEWORKS)
    outcomes = known
    for outcomes in run(known, targets, again=arguments.all):
        # After each: what a run that is stopped has found is kept.
        whole = OUTCOMES.with_suffix(".part")
        whole.write_text(json.dumps(outcomes, indent=0, sort_keys=True) + "\n", "utf-8")
        whole.replace(OUTCOMES)
    write(outcomes)


if __name__ == "__main__":
    main()
