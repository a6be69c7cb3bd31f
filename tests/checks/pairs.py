"""Originals with a port that is wrong, as ports are in practice, and one that is right."""

from __future__ import annotations

from dataclasses import dataclass

from torchport_checks import Category


@dataclass(frozen=True)
class Pair:
    """One definition. `where` is the start of the first difference's place in the wrong port."""

    name: str
    original: str
    wrong: str
    right: str
    category: Category = Category.MISMATCH
    where: str = "output"


PAIRS = [
    Pair(
        "softmax_axis",
        "def softmax_axis(x):\n    return F.softmax(x, dim=0)",
        "def softmax_axis(x):\n    return jax.nn.softmax(x)",
        "def softmax_axis(x):\n    return jax.nn.softmax(x, axis=0)",
    ),
    Pair(
        "spread",
        "def spread(x):\n    return x.std(dim=1)",
        "def spread(x):\n    return jnp.std(x, axis=1)",
        """\
def spread(x):
    var = jnp.var(x, axis=1, ddof=1)
    return jnp.where(var > 0, jnp.sqrt(jnp.where(var > 0, var, 1)), var)""",
    ),
    Pair(
        "norm_eps",
        "def norm_eps(x):\n    return F.layer_norm(x, x.shape[-1:], eps=1e-5)",
        """\
def norm_eps(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)""",
        """\
def norm_eps(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)""",
        Category.PRECISION,
    ),
    Pair(
        "activation",
        "def activation(x):\n    return F.gelu(x)",
        "def activation(x):\n    return jax.nn.gelu(x)",
        "def activation(x):\n    return jax.nn.gelu(x, approximate=False)",
    ),
    Pair(
        "average",
        "# torchport: check(x=f32[2, 3, 9])\ndef average(x):\n"
        "    return F.avg_pool1d(x, 3, stride=2, padding=1)",
        """\
def average(x):
    x = jnp.pad(x, ((0, 0), (0, 0), (1, 1)))
    parts = [x[:, :, i : i + 9 : 2] for i in range(3)]
    counts = jnp.array([2, 3, 3, 3, 2])
    return sum(parts) / counts""",
        """\
def average(x):
    size = x.shape[2]
    x = jnp.pad(x, ((0, 0), (0, 0), (1, 1)))
    return sum(x[:, :, i : i + size - (size + 1) % 2 : 2] for i in range(3)) / 3""",
    ),
    Pair(
        "convolve",
        "# torchport: check(x=f32[2, 4, 8, 6], weight=f32[5, 4, 3, 3])\ndef convolve(x, weight):\n"
        "    return F.conv2d(x, weight, stride=2, padding=1)",
        """\
def convolve(x, weight):
    return jax.lax.conv_general_dilated(x, weight, (2, 2), "SAME")""",
        """\
def convolve(x, weight):
    return jax.lax.conv_general_dilated(x, weight, (2, 2), ((1, 1), (1, 1)))""",
    ),
    Pair(
        "causal",
        """\
def causal(scores):
    size = scores.shape[-1]
    mask = torch.triu(torch.ones(size, size, dtype=torch.bool), diagonal=1)
    return scores.new_zeros(size, size).masked_fill(mask, float("-inf"))""",
        """\
def causal(scores):
    size = scores.shape[-1]
    mask = jnp.triu(jnp.ones((size, size), bool))
    return jnp.where(mask, -jnp.inf, jnp.zeros((size, size)))""",
        """\
def causal(scores):
    size = scores.shape[-1]
    mask = jnp.triu(jnp.ones((size, size), bool), k=1)
    return jnp.where(mask, -jnp.inf, jnp.zeros((size, size)))""",
        Category.NAN,
    ),
    Pair(
        "halves",
        "# torchport: check(x=i64[6] in [-9, 9])\ndef halves(x):\n"
        '    return torch.div(x, 2, rounding_mode="trunc")',
        "def halves(x):\n    return x // 2",
        "def halves(x):\n    return jax.lax.div(x, jnp.int32(2))",
    ),
    Pair(
        "true_division",
        "# torchport: check(x=i64[6] in [1, 9])\ndef true_division(x):\n    return x / 2",
        "def true_division(x):\n    return x // 2",
        "def true_division(x):\n    return x / 2",
        Category.DTYPE,
    ),
    Pair(
        "median",
        "def median(x):\n    return x.median(dim=1).values",
        "def median(x):\n    return jnp.median(x, axis=1)",
        "def median(x):\n    return jnp.sort(x, axis=1)[:, (x.shape[1] - 1) // 2]",
    ),
    Pair(
        "transposed",
        "def transposed(x):\n    return x.flatten(1).t()",
        "def transposed(x):\n    return x.reshape(x.shape[0], -1)",
        "def transposed(x):\n    return x.reshape(x.shape[0], -1).T",
        Category.SHAPE,
    ),
    Pair(
        "both",
        "def both(x):\n    return x.max(), {'low': x.min()}",
        "def both(x):\n    return x.max(), x.min()",
        "def both(x):\n    return x.max(), {'low': x.min()}",
        Category.STRUCTURE,
    ),
    Pair(
        "clamped",
        "def clamped(x):\n    return torch.clamp(x, -1.0, 1.0)",
        "def clamped(x):\n    return jnp.minimum(jnp.maximum(x, -1.0), 1.0)",
        """\
def clamped(x):
    return jnp.where(x < -1.0, -1.0, jnp.where(x > 1.0, 1.0, x))""",
        where="gradient of x",
    ),
    Pair(
        "length",
        "# torchport: check(x=f32[8, 1])\ndef length(x):\n    return torch.linalg.norm(x, dim=-1)",
        "def length(x):\n    return jnp.sqrt(jnp.sum(x * x, axis=-1))",
        """\
def length(x):
    squares = jnp.sum(x * x, axis=-1)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)""",
        Category.NAN,
        "gradient of x",
    ),
    Pair(
        "magnitude",
        "def magnitude(x):\n    return x.abs()",
        "def magnitude(x):\n    return jnp.abs(x)",
        "def magnitude(x):\n    return x * jnp.sign(x)",
        where="gradient of x",
    ),
    Pair(
        "straight_through",
        "def straight_through(x):\n    return x + (x.tanh() - x).detach()",
        "def straight_through(x):\n    return x + (jnp.tanh(x) - x)",
        "def straight_through(x):\n    return x + jax.lax.stop_gradient(jnp.tanh(x) - x)",
        where="gradient of x",
    ),
    Pair(
        "frozen",
        "def frozen(x, y):\n    return x.detach() * y",
        "def frozen(x, y):\n    return x * y",
        "def frozen(x, y):\n    return jax.lax.stop_gradient(x) * y",
        where="gradient of x",
    ),
    Pair(
        "raised",
        """\
# torchport: check(x=f32[3])
def raised(x):
    if x.ndim != 2:
        raise ValueError("a matrix is needed")
    return x""",
        "def raised(x):\n    return x",
        """\
def raised(x):
    if x.ndim != 2:
        raise ValueError("a matrix is needed")
    return x""",
        Category.MISSING_ERROR,
        "",
    ),
    Pair(
        "rounding",
        "def rounding(x):\n    return torch.where(x > 0, torch.floor(x + 0.5), x)",
        "def rounding(x):\n    return jnp.where(x > 0, jnp.round(x), x)",
        "def rounding(x):\n    return jnp.where(x > 0, jnp.floor(x + 0.5), x)",
    ),
    Pair(
        "shifted",
        "def shifted(x):\n    x[:, 0] += 1.0\n    return x * 2",
        "def shifted(x):\n    x.at[:, 0].add(1.0)\n    return x * 2",
        "def shifted(x):\n    x = x.at[:, 0].add(1.0)\n    return x * 2",
    ),
    Pair(
        "filled",
        "def filled(x):\n    x.clamp_(min=0)",
        "def filled(x):\n    jnp.maximum(x, 0)",
        "def filled(x):\n    return jnp.where(x < 0, 0.0, x)",
        Category.STRUCTURE,
    ),
    Pair(
        "Projection",
        """\
class Projection(nn.Module):
    def __init__(self, size=6):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size))

    def forward(self, x):
        return F.linear(x, self.weight)""",
        """\
class Projection(nnx.Module):
    def __init__(self, size=6, *, rngs):
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (size, size)))

    def __call__(self, x):
        return x @ self.weight""",
        """\
class Projection(nnx.Module):
    def __init__(self, size=6, *, rngs):
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (size, size)))

    def __call__(self, x):
        return x @ self.weight.T""",
    ),
    Pair(
        "Bounded",
        """\
class Bounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return x * self.scale.detach() + self.scale""",
        """\
class Bounded(nnx.Module):
    def __init__(self, *, rngs):
        self.scale = nnx.Param(jnp.ones(8))

    def __call__(self, x):
        return x * self.scale + self.scale""",
        """\
class Bounded(nnx.Module):
    def __init__(self, *, rngs):
        self.scale = nnx.Param(jnp.ones(8))

    def __call__(self, x):
        return x * jax.lax.stop_gradient(self.scale[...]) + self.scale""",
        where="gradient of scale",
    ),
    Pair(
        "Momentum",
        """\
# torchport: check(x=f32[6, 4])
class Momentum(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4, affine=False)

    def forward(self, x):
        return self.norm(x)""",
        """\
class Momentum(nnx.Module):
    def __init__(self, *, rngs):
        self.norm = nnx.BatchNorm(4, momentum=0.1, use_bias=False, use_scale=False, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)""",
        """\
class BatchNorm(nnx.BatchNorm):
    def __call__(self, x):
        old = self.var[...]
        y = super().__call__(x)
        if not self.use_running_average:
            self.var[...] = 0.9 * old + 0.1 * jnp.var(x, axis=0, ddof=1)
        return y


class Momentum(nnx.Module):
    def __init__(self, *, rngs):
        self.norm = BatchNorm(4, momentum=0.9, use_bias=False, use_scale=False, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)""",
        where="norm.running_mean after the step",
    ),
    Pair(
        "Captured",  # a lambda holds the layer: a deep copy of the module would not
        """\
class Captured(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"norm": nn.LayerNorm(6)})
        self.apply_norm = lambda x: self.parts["norm"](x)

    def forward(self, x):
        return self.apply_norm(x)""",
        """\
class Captured(nnx.Module):
    def __init__(self, *, rngs):
        self.parts = nnx.Dict({"norm": nnx.LayerNorm(6, epsilon=1e-3, rngs=rngs)})

    def __call__(self, x):
        return self.parts["norm"](x)""",
        """\
class Captured(nnx.Module):
    def __init__(self, *, rngs):
        norm = nnx.LayerNorm(6, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.parts = nnx.Dict({"norm": norm})

    def __call__(self, x):
        return self.parts["norm"](x)""",
    ),
    Pair(
        "Misshapen",
        """\
class Misshapen(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, 3))

    def forward(self, x):
        return x @ self.weight""",
        """\
class Misshapen(nnx.Module):
    def __init__(self, width=4, *, rngs):
        self.weight = nnx.Param(jnp.zeros((3, width)))

    def __call__(self, x):
        return x @ self.weight.T""",
        """\
class Misshapen(nnx.Module):
    def __init__(self, width=4, *, rngs):
        self.weight = nnx.Param(jnp.zeros((width, 3)))

    def __call__(self, x):
        return x @ self.weight""",
        Category.WEIGHTS,
        "",
    ),
    Pair(
        "Masked",  # plain arrays, of the module and of what it holds, and one that a closure holds
        """\
# torchport: check(x=f32[4, 6])
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tril(torch.ones(6, 6)), persistent=False)
        self.scales = [torch.arange(6.0), 2.0 * torch.ones(6)]
        shift = torch.arange(6.0)
        self.shifted = lambda x: x + shift

    def forward(self, x):
        return self.shifted(x @ self.mask) * self.scales[0] + self.scales[1]""",
        """\
class Masked(nnx.Module):
    def __init__(self, *, rngs):
        self.mask = jnp.triu(jnp.ones((6, 6)))
        self.scales = nnx.List([jnp.arange(6.0), 2.0 * jnp.ones(6)])
        shift = jnp.arange(6.0)
        self.shifted = lambda x: x + shift

    def __call__(self, x):
        return self.shifted(x @ self.mask) * self.scales[0] + self.scales[1]""",
        """\
class Masked(nnx.Module):
    def __init__(self, *, rngs):
        self.mask = jnp.tril(jnp.ones((6, 6)))
        self.scales = nnx.List([jnp.arange(6.0), 2.0 * jnp.ones(6)])
        shift = jnp.arange(6.0)
        self.shifted = lambda x: x + shift

    def __call__(self, x):
        return self.shifted(x @ self.mask) * self.scales[0] + self.scales[1]""",
    ),
    Pair(
        "penalised",  # takes a module, which is constructed with the same weights on both sides
        """\
class Scorer(nn.Module):
    def __init__(self, width=7):
        super().__init__()
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        return self.head(x)


def penalised(model: Scorer, x, y, weight=0.1):
    return F.cross_entropy(model(x), y) + weight * model.head.weight.detach().pow(2).sum()""",
        """\
class Scorer(nnx.Module):
    def __init__(self, width=7, *, rngs):
        self.head = nnx.Linear(width, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(x)


def penalised(model: Scorer, x, y, weight=0.1):
    picked = jnp.take_along_axis(jax.nn.log_softmax(model(x)), y[:, None], axis=1)
    return -picked.mean() + weight * jnp.square(model.head.kernel[...]).sum()""",
        """\
class Scorer(nnx.Module):
    def __init__(self, width=7, *, rngs):
        self.head = nnx.Linear(width, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(x)


def penalised(model: Scorer, x, y, weight=0.1):
    picked = jnp.take_along_axis(jax.nn.log_softmax(model(x)), y[:, None], axis=1)
    kernel = jax.lax.stop_gradient(model.head.kernel[...])
    return -picked.mean() + weight * jnp.square(kernel).sum()""",
        where="gradient of model.head.weight",
    ),
    Pair(
        "hits",  # the order of equal elements is torch's to choose, what is counted is not
        """\
# torchport: check(scores=f32[16, 6], labels=i64[16] in [0, 5])
def hits(scores, labels):
    return scores.topk(3, dim=1).indices.eq(labels[:, None]).any(1).float().mean()""",
        """\
def hits(scores, labels):
    return (jnp.argsort(-scores, axis=1)[:, :2] == labels[:, None]).any(1).mean()""",
        """\
def hits(scores, labels):
    return (jnp.argsort(-scores, axis=1)[:, :3] == labels[:, None]).any(1).mean()""",
    ),
    Pair(
        "best",  # of equal elements the first is the largest, which both frameworks promise
        "def best(x):\n    return x.argmax(1)",
        "def best(x):\n    return x.shape[1] - 1 - jnp.argmax(x[:, ::-1], axis=1)",
        "def best(x):\n    return jnp.argmax(x, axis=1)",
    ),
    Pair(
        "peak",  # torch gives the gradient to one of the equal elements, jax shares it
        "def peak(x):\n    return x.max(dim=1).values",
        "def peak(x):\n    return jax.lax.stop_gradient(x.max(axis=1)) + 0 * x.sum(axis=1)",
        "def peak(x):\n    return x.max(axis=1)",
        where="gradient of x",
    ),
    Pair(
        "shared_peak",  # torch shares it here, too
        "def shared_peak(x):\n    return x.amax(dim=1)",
        """\
def shared_peak(x):
    return jnp.take_along_axis(x, x.argmax(axis=1)[:, None], axis=1)[:, 0]""",
        "def shared_peak(x):\n    return x.max(axis=1)",
        where="gradient of x",
    ),
    Pair(
        "long_sum",  # summed one by one, a float32 is off by what torch's pairwise sum is not
        "# torchport: check(x=f32[20000, 2])\ndef long_sum(x):\n    return (x * x).sum(0)",
        "def long_sum(x):\n    return (x * x).sum(0) * (1 + 2e-4)",
        """\
def long_sum(x):
    return jax.lax.scan(lambda total, row: (total + row * row, None), jnp.zeros_like(x[0]), x)[0]""",
    ),
    Pair(
        "Steep",  # a value within rounding of the ReLU's kink, reached another way
        """\
# torchport: check(x=f32[4, 6] in [0.7, 0.7])
class Steep(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((6,), 0.3))
        self.shift = nn.Parameter(torch.full((6,), -0.21))

    def forward(self, x):
        return F.relu(x * self.scale + self.shift)""",
        """\
class Steep(nnx.Module):
    def __init__(self, *, rngs):
        self.scale = nnx.Param(jnp.zeros(6))
        self.shift = nnx.Param(jnp.zeros(6))

    def __call__(self, x):
        z = x * self.scale + self.shift
        return jax.nn.relu(z + 2 * (z - jax.lax.stop_gradient(z)))""",
        """\
class Steep(nnx.Module):
    def __init__(self, *, rngs):
        self.scale = nnx.Param(jnp.zeros(6))
        self.shift = nnx.Param(jnp.zeros(6))

    def __call__(self, x):
        return jax.nn.relu(x * self.scale + (self.shift - 3e-8))""",
        where="gradient of x",
    ),
]


DRAWN = {  # by draw: the pair whose wrong port that draw catches, and no other
    "small": Pair(
        "grown",
        "def grown(x):\n    return torch.expm1(x)",
        "def grown(x):\n    return jnp.exp(x) - 1",
        "def grown(x):\n    return jnp.expm1(x)",
        Category.PRECISION,
    ),
    "large": Pair(
        "log_gate",
        "def log_gate(x):\n    return F.logsigmoid(x)",
        "def log_gate(x):\n    return jnp.log(jax.nn.sigmoid(x))",
        "def log_gate(x):\n    return jax.nn.log_sigmoid(x)",
        Category.NAN,
    ),
    "offset": Pair(
        "variance",
        "def variance(x):\n    return x.var(-1, unbiased=False)",
        "def variance(x):\n    return jnp.mean(x * x, axis=-1) - jnp.mean(x, axis=-1) ** 2",
        "def variance(x):\n    return jnp.var(x, axis=-1)",
    ),
    "zeros": Pair(
        "direction",
        "def direction(x):\n    return F.normalize(x, dim=-1)",
        "def direction(x):\n    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)",
        """\
def direction(x):
    squares = jnp.sum(x * x, axis=-1, keepdims=True)
    norm = jnp.sqrt(jnp.where(squares > 0, squares, 1.0))
    return x / jnp.where(squares > 0, jnp.maximum(norm, 1e-12), 1e-12)""",
        Category.NAN,
    ),
    "nan": Pair(
        "known_total",
        "def known_total(x):\n    return torch.nansum(x, -1)",
        "def known_total(x):\n    return jnp.sum(x, axis=-1)",
        "def known_total(x):\n    return jnp.nansum(x, axis=-1)",
        Category.NAN,
    ),
    "inf": Pair(
        "limited",
        "def limited(x):\n    return torch.nan_to_num(x, posinf=1.0, neginf=-1.0)",
        "def limited(x):\n    return jnp.nan_to_num(x)",
        "def limited(x):\n    return jnp.nan_to_num(x, posinf=1.0, neginf=-1.0)",
    ),
    "extremes": Pair(
        "brightened",
        """\
# torchport: check(x=u8[6])
def brightened(x):
    return (x.to(torch.int16) + 200).to(torch.uint8)""",
        """\
def brightened(x):
    return jnp.clip(x.astype(jnp.int16) + 200, 0, 255).astype(jnp.uint8)""",
        """\
def brightened(x):
    return ((x.astype(jnp.int16) + 200) & 255).astype(jnp.uint8)""",
    ),
    "negative": Pair(
        "remaining",
        "# torchport: check(x=i64[6])\ndef remaining(x):\n    return torch.fmod(x, 3)",
        "def remaining(x):\n    return x % 3",
        "def remaining(x):\n    return jnp.fmod(x, 3)",
    ),
    "duplicates": Pair(
        "gathered",
        """\
# torchport: check(x=f32[100, 2], ids=i64[3] in [1, 99], y=f32[3, 2])
def gathered(x, ids, y):
    return x.index_add(0, ids, y)""",
        "def gathered(x, ids, y):\n    return x.at[ids].set(x[ids] + y)",
        "def gathered(x, ids, y):\n    return x.at[ids].add(y)",
    ),
    "out_of_range": Pair(
        "one_of_ten",
        """\
# torchport: check(ids=i64[6] in [0, 9])
def one_of_ten(ids):
    if ids.max() > 9:
        raise ValueError("ids must be below 10")
    return F.one_hot(ids, 10)""",
        "def one_of_ten(ids):\n    return jax.nn.one_hot(ids, 10, dtype=jnp.int32)",
        """\
def one_of_ten(ids):
    if ids.max() > 9:
        raise ValueError("ids must be below 10")
    return jax.nn.one_hot(ids, 10, dtype=jnp.int32)""",
        Category.MISSING_ERROR,
        "error",
    ),
    "masked": Pair(
        "attended",
        """\
# torchport: check(scores=f32[4, 8], mask=bool[4, 8])
def attended(scores, mask):
    return scores.masked_fill(~mask, float("-inf")).softmax(-1)""",
        "def attended(scores, mask):\n    return jax.nn.softmax(jnp.where(mask, scores, -1e9))",
        "def attended(scores, mask):\n    return jax.nn.softmax(jnp.where(mask, scores, -jnp.inf))",
        Category.NAN,
    ),
    "single": Pair(
        "totals",
        "def totals(x):\n    return x.sum(1, keepdim=True).squeeze(1)",
        "def totals(x):\n    return x.sum(1, keepdims=True).squeeze()",
        "def totals(x):\n    return x.sum(1, keepdims=True).squeeze(1)",
        Category.SHAPE,
    ),
    "empty": Pair(
        "centre",
        "def centre(x):\n    return x.sum(0) / max(x.shape[0], 1)",
        "def centre(x):\n    return x.mean(0)",
        "def centre(x):\n    return x.sum(0) / max(x.shape[0], 1)",
        Category.NAN,
    ),
    "equal": Pair(
        "linear",
        "# torchport: check(x=f32[4, 8], w=f32[5, 8])\ndef linear(x, w):\n    return F.linear(x, w)",
        "def linear(x, w):\n    return x @ (w if w.shape[0] == x.shape[1] else w.T)",
        "def linear(x, w):\n    return x @ w.T",
    ),
    "distinct": Pair(
        "numbered",
        "# torchport: check(x=f32[6, 6])\ndef numbered(x):\n    return x / x.shape[1]",
        "def numbered(x):\n    return x / x.shape[0]",
        "def numbered(x):\n    return x / x.shape[1]",
    ),
    "float16": Pair(
        "running",
        "def running(x):\n    return x.float().cumsum(-1)",
        "def running(x):\n    return jnp.cumsum(x, axis=-1)",
        "def running(x):\n    return jnp.cumsum(x.astype(jnp.float32), axis=-1)",
        Category.DTYPE,
    ),
    "second": Pair(
        "Counted",
        """\
class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x / self.calls""",
        """\
class Counted(nnx.Module):
    def __init__(self, *, rngs):
        self.calls = nnx.Variable(jnp.zeros(()))

    def __call__(self, x):
        return x / (self.calls[...] + 1)""",
        """\
class Counted(nnx.Module):
    def __init__(self, *, rngs):
        self.calls = nnx.Variable(jnp.zeros(()))

    def __call__(self, x):
        self.calls[...] = self.calls[...] + 1
        return x / self.calls[...]""",
    ),
}
