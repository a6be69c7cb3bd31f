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


# what is shown, the text, the constructor's arguments, the inputs
SYNTHESIS = [
    ("sizes written down for several names at once", """
        def f(q, k, v, lengths):
            \"\"\"q, k, v: (B, H, T, D), lengths: (B,).\"\"\"
            return (q @ k.mT) @ v * lengths[:, None, None, None]
     """, [], ["f32[2, 8, 5, 10]"] * 3 + ["i64[2]"]),
    ("a shape in the manner of Sphinx and Google", """
        def f(x, weight):
            \"\"\"Project.

            :param x: Input tensor of shape (batch, time, dim)
            weight (torch.Tensor): of shape [dim, 2*dim].
            \"\"\"
            return x @ weight
     """, [], ["f32[2, 5, 8]", "f32[8, 16]"]),
    ("a comment beside the parameter", """
        def f(
            x,  # (B, T, C)
        ):
            return x.sum()
     """, [], ["f32[2, 5, 4]"]),
    ("a year is not a size", """
        def f(x):
            \"\"\"For x < 0, as in the paper (Author, 2012).\"\"\"
            return x.exp()
     """, [], ["f32[4, 8]"]),
    ("a call under __main__", """
        class f(nn.Module):
            def __init__(self, width, depth=1):
                super().__init__()
                self.layer = nn.Linear(width, depth)

            def forward(self, x):
                return self.layer(x)

        if __name__ == "__main__":
            width = 12
            model = f(width, depth=3).eval()
            print(model(torch.randn(7, width)))
     """, ["width=12", "depth=3"], ["f32[7, 12]"]),
    ("a call in a function that nobody calls", """
        def f(ids, table):
            return table[ids]

        def test_f():
            assert f(torch.randint(3, 6, (7,)), table=torch.zeros(6, 2)).shape == (7, 2)
     """, [], ["i64[7]", "f32[6, 2]"]),
    ("constants of the file", """
        hidden, heads, shape = 12, 3, (12, 1)

        class f(nn.Module):
            def __init__(self, hidden, heads, shape):
                super().__init__()
                assert hidden % heads == 0
                self.layer, self.scale = nn.Linear(hidden, hidden), nn.Parameter(torch.ones(shape))

            def forward(self, x):
                return self.layer(x) * self.scale
     """, ["hidden=12", "heads=3", "shape=(12, 1)"], ["f32[12, 12]"]),
    ("each argument by the layer that it comes to", """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(7, 3)
                self.words = nn.Embedding(11, 4)
                self.image = nn.Conv2d(3, 4, 3)

            def forward(self, text, image, scores):
                pooled = self.image(image).mean((2, 3)) + self.words(text).mean(1)
                return pooled, self.head(scores)
     """, [], ["i64[4, 7]", "f32[4, 3, 6, 8]", "f32[4, 7]"]),
    ("an image that is flattened", """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 5)
                self.fc = nn.Linear(4 * 10 * 10, 2)

            def forward(self, x):
                return self.fc(F.max_pool2d(self.conv(x), 2).flatten(1))
     """, [], ["f32[2, 3, 24, 24]"]),
    ("the axis that a later layer is about", """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.LayerNorm(7)

            def forward(self, x):
                return self.norm(self.conv(x))
     """, [], ["f32[2, 3, 6, 9]"]),
    ("states of a recurrent layer", """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(6, 9, num_layers=3, batch_first=True)

            def forward(self, x, h, c):
                return self.lstm(x, (h, c))[0]
     """, [], ["f32[2, 5, 6]", "f32[3, 2, 9]", "f32[3, 2, 9]"]),
    ("heads from a view", """
        def f(x):
            B, T, C = x.shape
            return x.view(B, T, 3, C // 3).transpose(1, 2)
     """, [], ["f32[2, 5, 6]"]),
    ("the rank of an einsum", """
        def f(x, w):
            return torch.einsum("bchw,oc->bohw", x, w)
     """, [], ["f32[2, 3, 6, 8]", "f32[4, 3]"]),
    ("an assertion without a message", """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.dim = 14

            def forward(self, x):
                assert x.ndim == 3
                if x.shape[-1] != self.dim:
                    raise ValueError
                return x * 2
     """, [], ["f32[2, 5, 14]"]),
    ("ids that stay in range", """
        def f(x, index):
            return x.gather(1, index + 6)
     """, [], ["f32[4, 8]", "i64[4, 8]"]),
    ("a mask, whatever it is called", """
        def f(x, where):
            return x.masked_fill(~where, 0.0)
     """, [], ["f32[4, 8]", "bool[4, 8]"]),
    ("class indices, whatever they are called", """
        def f(scores, truth):
            return F.one_hot(truth, 3) * scores[..., None]
     """, [], ["f32[4, 8]", "i64[4, 8]"]),
    ("an operand that must be like the other", """
        def f(x, other):
            return F.avg_pool2d(x, 2) + other
     """, [], ["f32[2, 5, 8]", "f32[2, 2, 4]"]),
    ("a constructor's arguments, by what forward says", """
        class f(nn.Module):
            def __init__(self, in_channels, out_channels, kernel_size, output_padding, bias_shape):
                super().__init__()
                self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size,
                                             output_padding=output_padding)
                self.bias = nn.Parameter(torch.zeros(bias_shape))

            def forward(self, x):
                return self.up(x) + self.bias
     """, ["in_channels=4", "out_channels=6", "kernel_size=3", "output_padding=0",
           "bias_shape=(6, 1, 1)"], ["f32[2, 4, 16, 12]"]),
    ("a list of sizes in a constructor", """
        class f(nn.Module):
            def __init__(self, inputs, hidden_layer_sizes):
                super().__init__()
                sizes = [inputs, *hidden_layer_sizes]
                pairs = zip(sizes, sizes[1:])
                self.body = nn.Sequential(*(nn.Linear(a, b) for a, b in pairs))

            def forward(self, x):
                return self.body(x)
     """, ["inputs=4", "hidden_layer_sizes=[8, 16]"], ["f32[5, 4]"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "init", "call"), [s[1:] for s in SYNTHESIS], ids=[s[0] for s in SYNTHESIS]
)
def test_synthesis(check: Check, source: str, init: list[str], call: list[str]) -> None:
    inputs = check(source, "def f(*args, **kwargs):\n    return None\n").of("f").inputs
    assert inputs is not None
    assert inputs.origin == "inferred"
    assert [f"{used.name}={used.text}" for used in inputs.init] == init
    assert [used.text for used in inputs.call] == call


def test_the_same_inputs_every_time(check: Check) -> None:
    """The search depends on the text and the seed alone."""
    text = "def f(x, where):\n    return torch.log(x).masked_fill(~where, 0.0)\n"
    first, second = (check(text, text).of("f").inputs for _ in range(2))
    assert first == second


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
    ("nn.GroupNorm(2, 6, affine=False)", "self.layer(x)", "f32[2, 6, 8, 4]"),
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
    ("dim", "shown"), [("in_features", "f32[2, 20]"), ("features", "f32[2, 20]")]
)
def test_sizes_in_a_docstring(check: Check, dim: str, shown: str) -> None:
    """A constructor's argument has its value; what the docstring does not say, torch does."""
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
