"""Where inputs come from, what is shown of them, and that values drawn anew keep their meaning."""

from __future__ import annotations

import numpy as np
import pytest

from torchport_checks import Category
from torchport_checks.draws import redraw
from torchport_checks.worker.inputs import Call
from torchport_checks.worker.protocol import Array

from .conftest import Check

# name, source, origin, the inputs shown
FUNCTIONS = [
    ("a comment", "# torchport: check(x=f32[3, 4], n=2)\ndef f(x, n):\n    return x\n",
     "a check comment", ["f32[3, 4]", "2"]),
    ("names", "def f(logits, targets):\n    F.cross_entropy(logits, targets)\n    return logits\n",
     "inferred", ["f32[4, 8]", "i64[4]"]),
    ("scalars by annotation", "def f(x, dim: int, eps: float):\n    return x.sum(dim) * 0 + eps - eps\n",
     "inferred", ["f32[4, 8]", "-1", "0.1"]),
    ("a rank that torch accepts", "def f(x):\n    b, c, h, w = x.shape\n    return x\n",
     "inferred", ["f32[2, 3, 6, 8]"]),
    ("a matching second operand", "def f(a, b):\n    a @ b\n    return a\n",
     "inferred", ["f32[4, 8]", "f32[8, 5]"]),
    ("the docstring", 'def f(x):\n    """Args:\n        x: of shape (2, 7, 3)\n    """\n    return x\n',
     "inferred", ["f32[2, 7, 3]"]),
    ("jaxtyping", "def f(x: 'Float[torch.Tensor, \"2 channels 5\"]'):\n    return x\n",
     "inferred", ["f32[2, 4, 5]"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "origin", "shown"), [f[1:] for f in FUNCTIONS], ids=[f[0] for f in FUNCTIONS]
)
def test_function(check: Check, source: str, origin: str, shown: list[str]) -> None:
    inputs = check(source, "def f(x, *rest, **named):\n    return x\n").of("f").inputs
    assert inputs is not None
    assert inputs.origin == origin
    assert [used.text for used in inputs.call] == shown


MODULE = """
class {name}(nn.Module):
    def __init__(self{parameters}):
        super().__init__()
        self.layer = {layer}

    def forward(self, x):
        {body}
        return torch.zeros(2)
"""
PORT = """
class {name}(nnx.Module):
    def __init__(self, *args, rngs, **kwargs):
        pass

    def __call__(self, x):
        return jnp.zeros(2)
"""
# the layer without weights of its own that consumes x, and what it is given
LAYERS = [
    ("nn.MaxPool2d(2)", "self.layer(x)", "f32[2, 4, 16, 12]"),
    ("nn.BatchNorm1d(7, affine=False, track_running_stats=False)", "self.layer(x)", "f32[2, 7, 8]"),
    ("nn.LayerNorm(9, elementwise_affine=False)", "self.layer(x)", "f32[2, 5, 9]"),
    ("nn.GroupNorm(2, 6, affine=False)", "self.layer(x)", "f32[2, 6, 8, 6]"),
]


@pytest.mark.parametrize(("layer", "body", "shown"), LAYERS, ids=[layer for layer, _, _ in LAYERS])
def test_layer(check: Check, layer: str, body: str, shown: str) -> None:
    source = MODULE.format(name="Net", parameters="", layer=layer, body=body)
    verdict = check(source, PORT.format(name="Net")).of("Net")
    assert verdict.ok, verdict.message
    assert verdict.inputs is not None
    assert [used.text for used in verdict.inputs.call] == [shown]


def test_ids_for_an_embedding(check: Check) -> None:
    source = """
        class Net(nn.Module):
            def __init__(self, vocab_size):
                super().__init__()
                self.table = nn.Embedding(vocab_size, 3)

            def forward(self, tokens):
                return self.table(tokens)
    """
    port = """
        class Net(nnx.Module):
            def __init__(self, vocab_size, *, rngs):
                self.table = nnx.Embed(vocab_size, 3, rngs=rngs)

            def __call__(self, tokens):
                return self.table(tokens)
    """
    verdict = check(source, port).of("Net")
    assert verdict.ok, verdict.message
    assert verdict.inputs is not None
    assert [used.text for used in verdict.inputs.call] == ["i64[2, 5]"]
    assert verdict.gradients.status == "equal"
    assert list(verdict.gradients.parameters) == ["table.weight"]


KERNELBENCH = """
class Part(nn.Module):
    def __init__(self, width, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x * self.scale


def shift(x, by):
    return x + by


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.part = Part(width, scale=3.0)

    def forward(self, x):
        return shift(self.part(x), 2)


def get_init_inputs():
    return [5]


def get_inputs():
    return [torch.rand(2, 5)]
"""
KERNELBENCH_JAX = """
class Part(nnx.Module):
    def __init__(self, width, scale, *, rngs):
        self.scale = scale

    def __call__(self, x):
        return x * self.scale


def shift(x, by):
    return x + by


class Model(nnx.Module):
    def __init__(self, width, *, rngs):
        self.part = Part(width, scale=3.0, rngs=rngs)

    def __call__(self, x):
        return shift(self.part(x), 2)
"""


def test_get_inputs_and_what_the_model_passes_on(check: Check) -> None:
    verdict = check(KERNELBENCH, KERNELBENCH_JAX)
    assert verdict.ok
    assert [definition.name for definition in verdict.definitions] == ["Part", "shift", "Model"]
    told = {}
    for definition in verdict.definitions:
        inputs = definition.inputs
        assert inputs is not None
        told[definition.name] = (
            inputs.origin,
            [f"{used.name}={used.text}" for used in inputs.init],
            [f"{used.name}={used.text}" for used in inputs.call],
        )
    assert told == {
        "Model": ("get_inputs()", ["width=5"], ["x=f32[2, 5]"]),
        "Part": ("a call in Model", ["width=5", "scale=3.0"], ["x=f32[2, 5]"]),
        "shift": ("a call in Model", [], ["x=f32[2, 5]", "by=2"]),
    }


CONFIG = """
from dataclasses import dataclass

@dataclass
class Config:
    width: int = 3

{comment}
class Net({base}):
    def __init__(self, config: Config{rngs}):
        {init}
        self.width = config.width

    def {call}(self, x):
        return x * self.width
"""


@pytest.mark.parametrize("comment", ["", "# torchport: check(x=f32[2], init=(Config(width=3),))"])
def test_a_configuration_object(check: Check, comment: str) -> None:
    source = CONFIG.format(
        comment=comment, base="nn.Module", rngs="", init="super().__init__()", call="forward"
    )
    port = CONFIG.format(
        comment="", base="nnx.Module", rngs=", *, rngs", init="pass", call="__call__"
    )
    verdict = check(source, port).of("Net")
    assert verdict.ok, verdict.message
    assert verdict.inputs is not None
    assert [used.text for used in verdict.inputs.init] == ["Config(width=3)"]


DOCUMENTED = """
class Net({base}):
    def __init__(self, in_features: int = 20, hidden: int = 6{rngs}):
        {init}
        self.width = in_features
        {layer}

    def {call}(self, x):
        \"\"\"x: (B, {dim}).\"\"\"
        return self.body(x)
"""


@pytest.mark.parametrize(
    ("dim", "shown"), [("in_features", "f32[2, 20]"), ("features", "f32[4, 20]")]
)
def test_sizes_in_a_docstring(check: Check, dim: str, shown: str) -> None:
    """A constructor's argument has its value; where the docstring does not fit, the layers do."""
    source = DOCUMENTED.format(
        base="nn.Module", rngs="", init="super().__init__()", call="forward", dim=dim,
        layer="self.body = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU())",
    )  # fmt: skip
    port = DOCUMENTED.format(
        base="nnx.Module", rngs=", *, rngs", init="pass", call="__call__", dim=dim,
        layer="self.body = nnx.Sequential(nnx.Linear(in_features, hidden, rngs=rngs), jax.nn.relu)",
    )  # fmt: skip
    verdict = check(source, port).of("Net")
    assert verdict.ok, verdict.message
    assert verdict.inputs is not None
    assert [used.text for used in verdict.inputs.call] == [shown]


NOTHING = [
    ("any module", "def f(module: nn.Module) -> None:\n    nn.init.zeros_(module.weight)\n",
     "It takes any module (module); it is checked through what uses it."),
    ("a class", "def f(block: type[nn.Module], width: int):\n    return block(width)\n",
     "It takes a class (block); it is checked through what uses it."),
    ("a module made, as annotated", "def f() -> nn.Linear:\n    return nn.Linear(2, 3)\n",
     "It returns a module; it is checked through what uses it."),
    ("a module made", "def f(width: int):\n    return nn.Linear(4, 3)\n",
     "It returns a module; it is checked through what uses it."),
    ("nothing", "def f(x):\n    print(x.sum())\n", "It returns nothing that could be compared."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "message"), [n[1:] for n in NOTHING], ids=[n[0] for n in NOTHING]
)
def test_nothing_to_compare_is_not_verified(check: Check, source: str, message: str) -> None:
    verdict = check(source, "def f(*args):\n    return None\n").of("f")
    assert (verdict.status, verdict.category) == ("not_run", Category.NOTHING)
    assert verdict.message == message


def test_what_cannot_be_inferred_is_said(check: Check) -> None:
    text = "def f(connection):\n    return connection.execute('select 1')\n"
    verdict = check(text, text).of("f")
    assert (verdict.status, verdict.category) == ("not_run", Category.INPUTS)
    assert "# torchport: check(" in verdict.message


def test_a_comment_that_cannot_be_read_is_an_error(check: Check) -> None:
    verdict = check(
        "# torchport: check(x=f99[2])\ndef f(x):\n    return x\n", "def f(x):\n    return x\n"
    )
    assert (verdict.of("f").status, verdict.of("f").category) == ("error", Category.INPUTS)
    assert verdict.of("f").message.startswith("Line 6: f99 is not a dtype")


def test_inputs_with_which_the_original_fails(check: Check) -> None:
    text = "# torchport: check(x=f32[2])\ndef f(x):\n    return x @ x.reshape(2, 2)\n"
    verdict = check(text, text).of("f")
    assert (verdict.status, verdict.category) == ("error", Category.SOURCE_ERROR)
    assert "at line 8" in verdict.message


def test_random_results_are_not_called_verified(check: Check) -> None:
    source = "def f(x):\n    return x + torch.randn_like(x)\n"
    port = "def f(x, *, rngs):\n    return x + jax.random.normal(rngs(), x.shape)\n"
    verdict = check(source, port).of("f")
    assert (verdict.status, verdict.category) == ("not_run", Category.RANDOM)
    assert verdict.stages.spec == "passed"


def test_no_grad_is_not_a_difference(check: Check) -> None:
    source = "@torch.no_grad()\ndef f(x):\n    return x * 2\n"
    verdict = check(source, "def f(x):\n    return x * 2\n").of("f")
    assert verdict.ok
    assert verdict.gradients.status == "not_compared"
    assert "torch.no_grad" in verdict.gradients.reason


def test_named_definitions_only(check: Check) -> None:
    source = "def f(x):\n    return x\n\n\ndef g(x):\n    return x\n"
    verdict = check(source, "def f(x):\n    return x\n", definitions=["g", "h"])
    assert [d.name for d in verdict.definitions] == ["h", "g"]
    assert {d.category for d in verdict.definitions} == {Category.MISSING}
    assert check(source, "def f(x):\n    return x\n").of("g").status == "not_run"


def array(values: object, dtype: str = "float32") -> Array:
    return Array(dtype, np.asarray(values, dtype=dtype))


KEPT = [
    ("integers", array([1, 2, 3], "int64")),
    ("booleans", array([True, False], "bool")),
    ("labels of two kinds", array([1, -1, 1, -1, 1, 1])),
    ("probabilities", array([[0.25, 0.75], [0.5, 0.5]])),
    ("infinities", array([0, -np.inf, 0, -np.inf])),
]


@pytest.mark.parametrize("draw", ["wide", "ties"])
@pytest.mark.parametrize("value", [v for _, v in KEPT], ids=[n for n, _ in KEPT])
def test_values_with_a_meaning_are_kept(draw: str, value: Array) -> None:
    assert redraw(draw, Call([value]), 0).args[0] is value


def test_draws_are_fixed_by_the_seed_and_stay_in_bounds() -> None:
    call = Call([array(np.linspace(0, 1, 9))], bounds={"[0][0]": (0.0, 1.0)})
    for draw in ("wide", "ties"):
        drawn = redraw(draw, call, 3).args[0].value
        assert np.array_equal(drawn, redraw(draw, call, 3).args[0].value)
        assert not np.array_equal(drawn, redraw(draw, call, 4).args[0].value)
        assert drawn.min() >= 0
        assert drawn.max() <= 1
    assert 0 in redraw("ties", Call([array(np.linspace(0, 1, 64))]), 0).args[0].value
