"""How often the operation that is wrong is the one that is named.

Chains of 5 to 30 operations with one wrong operation planted in the port, made from a fixed seed: one
operation a statement, operations nested in expressions, and modules with layers, with an own block
and with an own layer norm. An operation counts as named where `located` gives its line in source
and port and, of an expression, a part of that very operation. A planted error without an effect on
what a chain gives is no error: such chains are passed over, and counted.

    python bench/locate.py [CHAINS]
"""

from __future__ import annotations

import collections
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torchport_checks import Checker, CheckOptions
from torchport_checks.verdicts import DefinitionVerdict

SHAPE = (2, 4, 6)
FORMS = ("statements", "nested", "module")
_BATCH = 25

_TORCH = """\
import torch
import torch.nn.functional as F
from torch import nn


class Gate(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.inner = nn.Linear(size, size)

    def forward(self, x):
        gate = self.inner(x)
        return x * torch.sigmoid(gate)
"""
_JAX = """\
import jax
import jax.numpy as jnp
from flax import nnx


class Gate(nnx.Module):
    def __init__(self, size, *, rngs):
        self.inner = nnx.Linear(size, size, rngs=rngs)

    def __call__(self, x):
        gate = self.inner(x)
        return x * jax.nn.sigmoid(gate)


def layer_norm(x, eps):
    mean = x.mean(-1, keepdims=True)
    centred = x - mean
    spread = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(spread + eps)
"""


@dataclass(frozen=True)
class Op:
    """An operation in torch, its port, and a wrong one.

    `{x}` is the value so far, `{y}` an earlier one of the same shape, `{a}`, `{b}`, `{n}` the sizes,
    `{l}` a layer: `layer` is how it is made in torch, in the port, and wrongly.
    """

    kind: str
    torch: str
    right: str
    wrong: str = ""
    layer: tuple[str, str, str] | None = None
    swaps: bool = False


OPS = [
    Op("activation", "F.relu({x})", "jax.nn.relu({x})", "jax.nn.leaky_relu({x})"),
    Op("activation", "F.gelu({x})", "jax.nn.gelu({x}, approximate=False)", "jax.nn.gelu({x})"),
    Op("activation", "F.elu({x}, 0.5)", "jax.nn.elu({x}, 0.5)", "jax.nn.elu({x})"),
    Op("activation", "F.leaky_relu({x}, 0.1)", "jax.nn.leaky_relu({x}, 0.1)",
       "jax.nn.leaky_relu({x})"),
    Op("activation", "F.softplus({x}, beta=2.0)", "jax.nn.softplus(2.0 * {x}) / 2.0",
       "jax.nn.softplus({x})"),
    Op("activation", "F.silu({x})", "jax.nn.silu({x})", "jax.nn.sigmoid({x})"),
    Op("unary", "torch.tanh({x})", "jnp.tanh({x})", "jnp.arctan({x})"),
    Op("unary", "torch.clamp({x}, -1.0, 1.0)", "jnp.clip({x}, -1.0, 1.0)",
       "jnp.clip({x}, 0.0, 1.0)"),
    Op("unary", "torch.log1p({x} ** 2)", "jnp.log1p({x} ** 2)", "jnp.log2(1.0 + {x} ** 2)"),
    Op("unary", "torch.rsqrt({x}.square() + 1.0)", "jax.lax.rsqrt(jnp.square({x}) + 1.0)",
       "jnp.sqrt(jnp.square({x}) + 1.0)"),
    Op("reduction", "{x} - {x}.mean(-1, keepdim=True)", "{x} - {x}.mean(-1, keepdims=True)",
       "{x} - {x}.mean(1, keepdims=True)"),
    Op("reduction", "{x} / ({x}.std(-1, keepdim=True) + 1.0)",
       "{x} / (jnp.std({x}, axis=-1, ddof=1, keepdims=True) + 1.0)",
       "{x} / (jnp.std({x}, axis=-1, keepdims=True) + 1.0)"),
    Op("reduction", "{x} - {x}.max(dim=1, keepdim=True).values",
       "{x} - jnp.max({x}, axis=1, keepdims=True)", "{x} - jnp.max({x}, axis=2, keepdims=True)"),
    Op("reduction", "{x} - torch.logsumexp({x}, 1, keepdim=True)",
       "{x} - jax.nn.logsumexp({x}, axis=1, keepdims=True)",
       "{x} - jax.nn.logsumexp({x}, axis=2, keepdims=True)"),
    Op("reduction", "F.normalize({x}, dim=1)",
       "{x} / jnp.maximum(jnp.linalg.norm({x}, axis=1, keepdims=True), 1e-12)",
       "{x} / jnp.maximum(jnp.linalg.norm({x}, axis=2, keepdims=True), 1e-12)"),
    Op("softmax", "F.softmax({x}, dim=1)", "jax.nn.softmax({x}, axis=1)", "jax.nn.softmax({x})"),
    Op("softmax", "F.log_softmax({x}, dim=-1)", "jax.nn.log_softmax({x})",
       "jax.nn.log_softmax({x}, axis=1)"),
    Op("norm", "F.layer_norm({x}, ({n},), eps=1e-2)", "layer_norm({x}, 1e-2)",
       "layer_norm({x}, 1e-5)"),
    Op("norm", "{l}({x})", "{l}({x})", "{l}({x})",
       ("nn.LayerNorm({n}, eps=1e-2)", "nnx.LayerNorm({n}, epsilon=1e-2, rngs=rngs)",
        "nnx.LayerNorm({n}, rngs=rngs)")),
    Op("norm", "{l}({x})", "{l}({x})", "{l}({x})",
       ("nn.RMSNorm({n}, eps=1e-2)", "nnx.RMSNorm({n}, epsilon=1e-2, rngs=rngs)",
        "nnx.RMSNorm({n}, rngs=rngs)")),
    Op("layer", "{l}({x})", "{l}({x})", "",
       ("nn.Linear({n}, {n})", "nnx.Linear({n}, {n}, rngs=rngs)", "")),
    Op("layer", "{l}({x})", "{l}({x})", "", ("Gate({n})", "Gate({n}, rngs=rngs)", "")),
    Op("layer", "{l}({x}) * 2.0", "{l}({x}) * 2.0", "{l}({x})",
       ("nn.Linear({n}, {n})", "nnx.Linear({n}, {n}, rngs=rngs)", "")),
    Op("scan", "{x}.cumsum(1)", "jnp.cumsum({x}, axis=1)", "jnp.cumsum({x}, axis=2)"),
    Op("index", "torch.roll({x}, 1, 2)", "jnp.roll({x}, 1, axis=2)", "jnp.roll({x}, -1, axis=2)"),
    Op("index", "{x}.flip(1)", "jnp.flip({x}, 1)", "jnp.flip({x}, 2)"),
    Op("index", "{x} + {x}[:, :1]", "{x} + {x}[:, :1]", "{x} + {x}[:, -1:]"),
    Op("index", "torch.tril({x}, 1)", "jnp.tril({x}, 1)", "jnp.tril({x})"),
    Op("layout", "{x}.transpose(1, 2)", "jnp.swapaxes({x}, 1, 2)", "{x}.reshape(2, {n}, {a})",
       swaps=True),
    Op("layout", "{x}.permute(0, 2, 1).reshape(2, {a}, {n})",
       "jnp.transpose({x}, (0, 2, 1)).reshape(2, {a}, {n})", "{x}.reshape(2, {a}, {n})"),
    Op("matmul", "{x} @ w{n}", "{x} @ w{n}", "{x} @ w{n}.T"),
    Op("matmul", 'torch.einsum("bij,jk->bik", {x}, w{n})', 'jnp.einsum("bij,jk->bik", {x}, w{n})',
       'jnp.einsum("bij,kj->bik", {x}, w{n})'),
    Op("binary", "{x} * v{n}", "{x} * v{n}", "{x} + v{n}"),
    Op("binary", "{x} + 0.5 * {y}", "{x} + 0.5 * {y}", "{x} - 0.5 * {y}"),
    Op("binary", "{x} * torch.sigmoid({y})", "{x} * jax.nn.sigmoid({y})", "{x} * jnp.tanh({y})"),
    Op("binary", "torch.maximum({x}, {y})", "jnp.maximum({x}, {y})", "jnp.minimum({x}, {y})"),
    Op("binary", "torch.lerp({x}, {y}, 0.25)", "{x} + 0.25 * ({y} - {x})",
       "{y} + 0.25 * ({x} - {y})"),
    Op("where", "torch.where({x} > 0, {x}, {y})", "jnp.where({x} > 0, {x}, {y})",
       "jnp.where({x} > 0, {y}, {x})"),
    Op("where", "{x}.masked_fill({y} < 0, 0.5)", "jnp.where({y} < 0, 0.5, {x})",
       "jnp.where({y} <= 0.5, 0.5, {x})"),
    Op("gradient", "{x} + {y}.detach()", "{x} + jax.lax.stop_gradient({y})", "{x} + {y}"),
    Op("gradient", "{x} * torch.sigmoid({y}.detach())",
       "{x} * jax.nn.sigmoid(jax.lax.stop_gradient({y}))", "{x} * jax.nn.sigmoid({y})"),
    Op("gradient", "{x} * torch.sigmoid({y})", "{x} * jax.nn.sigmoid({y})",
       "{x} * jax.nn.sigmoid(jax.lax.stop_gradient({y}))"),
    Op("gradient", "{x} * (1.0 + {x}.abs().detach())",
       "{x} * (1.0 + jax.lax.stop_gradient(jnp.abs({x})))", "{x} * (1.0 + jnp.abs({x}))"),
]  # fmt: skip


@dataclass
class Chain:
    """A pair of definitions, and where and what was planted."""

    name: str
    form: str
    length: int
    kind: str = ""
    source: list[str] = field(default_factory=list[str])
    port: list[str] = field(default_factory=list[str])
    source_line: int = 0
    port_line: int = 0
    """Within the texts, from 0."""
    planted: str = ""
    arguments: tuple[str, ...] = ()
    """The texts of the values that the planted operation takes."""

    def named(self, verdict: DefinitionVerdict, source_start: int, port_start: int) -> bool:
        """Whether the planted operation is what was named first."""
        found = verdict.located
        if found is None:
            return False
        lines = found.source_line - source_start, found.port_line - port_start
        text = found.port_text.removesuffix("...")
        inside = text in self.planted and not any(text in a for a in self.arguments)
        return lines == (self.source_line, self.port_line) and inside


def chain(number: int) -> Chain:
    """Chain `number`: always the same."""
    rng = random.Random(number)
    form, length = FORMS[number % 3], 5 + (number // 3) % 26
    made = Chain(f"chain{number}", form, length)
    usable = [op for op in OPS if form == "module" or op.layer is None]
    planted = rng.randrange(length)
    nested = form == "nested"
    values = [("x", "x", tuple(SHAPE))]  # in torch, in the port, and the shape
    layers: list[tuple[str, str]] = []
    lines: list[tuple[str, str]] = []
    current = values[0]

    def bind(name: str) -> None:
        """A name for the current value."""
        nonlocal values, current
        if current[0].isidentifier():
            return
        values = [v for v in values if v[0] != name]
        lines.append((f"{name} = {current[0][1:-1]}", f"{name} = {current[1][1:-1]}"))
        current = (name, name, current[2])
        values.append(current)

    for position in range(length):
        wrong = position == planted
        kinds = sorted({op.kind for op in usable if op.wrong or not wrong})
        kind = rng.choice(kinds)
        op = rng.choice([op for op in usable if op.kind == kind and (op.wrong or not wrong)])
        if max(t.count("{x}") for t in (op.torch, op.right, op.wrong)) > 1:
            bind(f"h{position}x")  # what is used twice has a name
        shape = current[2]
        earlier = [v for v in values if v[2] == shape and v[1] != current[1]] or [current]
        other = rng.choice(earlier)
        sizes = {"a": shape[1], "n": shape[2], "l": f"self.layer{position}"}
        written = op.wrong if wrong else op.right
        source = op.torch.format(x=current[0], y=other[0], **sizes)
        port = written.format(x=current[1], y=other[1], **sizes)
        if op.layer is not None:
            layer = op.layer[2] if wrong and op.layer[2] else op.layer[1]
            layers.append((f"self.layer{position} = {op.layer[0].format(**sizes)}",
                           f"self.layer{position} = {layer.format(**sizes)}"))  # fmt: skip
        if wrong:
            made.kind, made.planted = op.kind, port
            made.arguments = (current[1], other[1])
        shape = (shape[0], shape[2], shape[1]) if op.swaps else shape
        ends = not nested or position == length - 1 or rng.random() < 0.4
        if wrong:
            made.source_line = made.port_line = len(lines)
        current = (f"({source})", f"({port})", shape)
        if ends:  # a name for each value, as code has them: sometimes the same one again
            bind("h" if rng.random() < 0.2 else f"h{position}")
    lines.append(("return " + current[0], "return " + current[1]))
    _write(made, lines, layers)
    return made


def _write(made: Chain, lines: list[tuple[str, str]], layers: list[tuple[str, str]]) -> None:
    a, n = SHAPE[1:]
    weights = [f"w{a}", f"v{a}", f"w{n}", f"v{n}"]
    given = ", ".join(
        f"{name}=f32[{name[1:]}, {name[1:]}]" if name[0] == "w" else f"{name}=f32[{name[1:]}]"
        for name in weights
    )
    comment = f"# torchport: check(x=f32[{', '.join(map(str, SHAPE))}], {given})"
    parameters = ", ".join(["x", *weights])
    for side, text in enumerate((made.source, made.port)):
        if made.form == "module":
            base, method = (("nn", "forward"), ("nnx", "__call__"))[side]
            text += [comment, f"class {made.name}({base}.Module):"]
            text += [f"    def __init__(self{', *, rngs' if side else ''}):"]
            text += ["        super().__init__()"] if not side else []
            text += [f"        {layer[side]}" for layer in layers]
            text += ["        pass", "", f"    def {method}(self, {parameters}):"]
            indent = " " * 8
        else:
            text += [comment, f"def {made.name}({parameters}):"]
            indent = " " * 4
        start = len(text)
        text += [indent + line[side] for line in lines] + ["", ""]
        if side:
            made.port_line += start
        else:
            made.source_line += start


def run(
    checker: Checker, numbers: Iterator[int], count: int
) -> Iterator[tuple[Chain, DefinitionVerdict, bool]]:
    """The next `count` chains in which what was planted has an effect: each with its verdict, and
    whether it was named."""
    found = 0
    while found < count:
        chains = [chain(next(numbers)) for _ in range(min(_BATCH, count - found))]
        with tempfile.TemporaryDirectory() as folder:
            paths = Path(folder) / "chains.py", Path(folder) / "chains_jax.py"
            starts: tuple[dict[str, int], ...] = ({}, {})
            for side, (path, head) in enumerate(zip(paths, (_TORCH, _JAX), strict=True)):
                text = [*head.splitlines(), "", ""]
                for made in chains:
                    starts[side][made.name] = len(text) + 1
                    text += made.port if side else made.source
                path.write_text("\n".join(text), encoding="utf-8")
            verdict = checker.check(*paths, definitions=[made.name for made in chains])
        if verdict.error:
            raise SystemExit(verdict.error)
        for made in chains:
            of = verdict.of(made.name)
            if of.status == "verified":
                continue
            found += 1
            yield made, of, made.named(of, starts[0][made.name], starts[1][made.name])


def options() -> CheckOptions:
    """Eager and one draw: what is measured here needs no more."""
    return CheckOptions(forms=("eager",), draws=("normal",), locate=True)


def main() -> None:
    """Print the share that is named, by form, kind and length, and what was not."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    start, last = time.perf_counter(), 0
    totals: dict[tuple[str, str], list[int]] = collections.defaultdict(lambda: [0, 0])
    certain = [0, 0]
    missed: list[str] = []

    def counted() -> Iterator[int]:
        nonlocal last
        while True:
            yield last
            last += 1

    with Checker(options(), store=False) as checker:
        for made, verdict, named in run(checker, counted(), wanted):
            low = 5 + (made.length - 5) // 9 * 9
            groups = (
                ("all", ""),
                ("form", made.form),
                ("kind", made.kind),
                ("length", f"{low} to {min(low + 8, 30)}"),
            )
            for group in groups:
                totals[group][0] += named
                totals[group][1] += 1
            located = verdict.located
            if located is not None and located.certainty == "certain":
                certain[0] += named
                certain[1] += 1
            if not named:
                said = f"{located.certainty}: {located.port_text}" if located else "nothing"
                missed.append(
                    f"{made.name} ({made.form}, {made.length}): {made.planted[:80]}\n"
                    f"    said {said[:120]}  [{verdict.status}, {verdict.category}]"
                )
    for (group, name), (named, total) in sorted(totals.items()):
        print(f"{group:>7} {name:12} {named:4} of {total:4}  {100 * named / total:5.1f} %")
    print(f"certain, and right: {certain[0]} of {certain[1]}")
    print(f"passed over, as what was planted changed nothing: {last + 1 - wanted}")
    print(f"{(time.perf_counter() - start) / wanted:.2f} s a chain")
    for miss in missed:
        print(miss)


if __name__ == "__main__":
    main()
