"""Originals with an MLX port that is wrong, as ports are in practice, and one that is right."""

from __future__ import annotations

from torchport_checks import Category

from .pairs import Pair

PAIRS = [
    Pair(
        "softmax_axis",
        "def softmax_axis(x):\n    return F.softmax(x, dim=0)",
        "def softmax_axis(x):\n    return mx.softmax(x, axis=-1)",
        "def softmax_axis(x):\n    return mx.softmax(x, axis=0)",
    ),
    Pair(
        "spread",
        "def spread(x):\n    return x.std(dim=1)",
        "def spread(x):\n    return mx.std(x, axis=1)",
        "def spread(x):\n    return mx.std(x, axis=1, ddof=1)",
    ),
    Pair(
        "activation",
        "def activation(x):\n    return F.gelu(x)",
        "def activation(x):\n    return nn.gelu_approx(x)",
        "def activation(x):\n    return nn.gelu(x)",
    ),
    Pair(
        "convolve",  # channels are last in MLX, of the input and of the weight
        "# torchport: check(x=f32[2, 3, 5, 5], weight=f32[3, 3, 3, 3])\ndef convolve(x, weight):\n"
        "    return F.conv2d(x, weight, padding=1)",
        """\
def convolve(x, weight):
    y = mx.conv2d(x.transpose(0, 2, 3, 1), weight, padding=1)
    return y.transpose(0, 3, 1, 2)""",
        """\
def convolve(x, weight):
    y = mx.conv2d(x.transpose(0, 2, 3, 1), weight.transpose(0, 2, 3, 1), padding=1)
    return y.transpose(0, 3, 1, 2)""",
    ),
    Pair(
        "pooled",
        "# torchport: check(x=f32[2, 4, 4, 4])\ndef pooled(x):\n    return F.max_pool2d(x, 2)",
        "def pooled(x):\n    return nn.MaxPool2d(2)(x)",
        """\
def pooled(x):
    return nn.MaxPool2d(2)(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)""",
        Category.SHAPE,
    ),
    Pair(
        "padded",  # torch begins with the last axis
        "def padded(x):\n    return F.pad(x, (2, 2, 1, 1))",
        "def padded(x):\n    return mx.pad(x, ((2, 2), (1, 1)))",
        "def padded(x):\n    return mx.pad(x, ((1, 1), (2, 2)))",
        Category.SHAPE,
    ),
    Pair(
        "median",
        "# torchport: check(x=f32[4, 6])\ndef median(x):\n    return x.median(dim=1).values",
        "def median(x):\n    return mx.median(x, axis=1)",
        "def median(x):\n    return mx.sort(x, axis=1)[:, (x.shape[1] - 1) // 2]",
    ),
    Pair(
        "largest",  # of MLX's the order is open
        "def largest(x):\n    return x.topk(3, dim=1).values",
        "def largest(x):\n    return mx.topk(x, 3, axis=1)",
        "def largest(x):\n    return -mx.sort(-x, axis=1)[:, :3]",
    ),
    Pair(
        "halves",
        "# torchport: check(x=i64[6] in [-9, 9])\ndef halves(x):\n"
        '    return torch.div(x, 2, rounding_mode="trunc")',
        "def halves(x):\n    return x // 2",
        "def halves(x):\n    return mx.where(x < 0, -(-x // 2), x // 2)",
    ),
    Pair(
        "true_division",
        "# torchport: check(x=i64[6] in [1, 9])\ndef true_division(x):\n    return x / 2",
        "def true_division(x):\n    return x // 2",
        "def true_division(x):\n    return x / 2",
        Category.DTYPE,
    ),
    Pair(
        "beyond_32_bits",
        "# torchport: check(x=i64[6] in [1, 9])\ndef beyond_32_bits(x):\n    return x * 2**40",
        "def beyond_32_bits(x):\n    return (x.astype(mx.float32) * 2**40 + 1).astype(mx.int64) + 1",
        "def beyond_32_bits(x):\n    return x * mx.array(2**40, mx.int64)",
    ),
    Pair(
        "sign_of_remainder",
        "def sign_of_remainder(x):\n    return torch.fmod(x, 0.75)",
        "def sign_of_remainder(x):\n    return mx.remainder(x, 0.75)",
        """\
def sign_of_remainder(x):
    return mx.where(x < 0, -mx.remainder(-x, 0.75), mx.remainder(x, 0.75))""",
    ),
    Pair(
        "rounding",
        "def rounding(x):\n    return torch.where(x > 0, torch.floor(x + 0.5), x)",
        "def rounding(x):\n    return mx.where(x > 0, mx.round(x), x)",
        "def rounding(x):\n    return mx.where(x > 0, mx.floor(x + 0.5), x)",
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
    mask = mx.triu(mx.ones((size, size))) == 1
    return mx.where(mask, -mx.inf, mx.zeros((size, size)))""",
        """\
def causal(scores):
    size = scores.shape[-1]
    mask = mx.triu(mx.ones((size, size)), k=1) == 1
    return mx.where(mask, -mx.inf, mx.zeros((size, size)))""",
        Category.NAN,
    ),
    Pair(
        "soft_plus",  # the plain formula overflows
        "def soft_plus(x):\n    return F.softplus(50 * x)",
        "def soft_plus(x):\n    return mx.log(1 + mx.exp(50 * x))",
        "def soft_plus(x):\n    return mx.logaddexp(50 * x, 0.0)",
        Category.NAN,
    ),
    Pair(
        "norm_eps",
        "def norm_eps(x):\n    return F.layer_norm(x, x.shape[-1:], eps=1e-5)",
        "def norm_eps(x):\n    return mx.fast.layer_norm(x, None, None, 1e-3)",
        "def norm_eps(x):\n    return mx.fast.layer_norm(x, None, None, 1e-5)",
    ),
    Pair(
        "attend",
        """\
# torchport: check(q=f32[2, 3, 5, 8], k=f32[2, 3, 5, 8], v=f32[2, 3, 5, 8])
def attend(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)""",
        """\
def attend(q, k, v):
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0)""",
        """\
def attend(q, k, v):
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5)""",
    ),
    Pair(
        "picked",
        "# torchport: check(x=f32[4, 6], ids=i64[4, 2] in [0, 5])\ndef picked(x, ids):\n"
        "    return x.gather(1, ids)",
        "def picked(x, ids):\n    return mx.take(x, ids, axis=1)",
        "def picked(x, ids):\n    return mx.take_along_axis(x, ids, axis=1)",
        Category.SHAPE,
    ),
    Pair(
        "ordered",  # MLX does not differentiate by where an element stands, unless it is told not to
        "# torchport: check(x=f32[5, 3])\ndef ordered(x):\n    return x[x[:, 0].argsort()]",
        "def ordered(x):\n    return x[mx.argsort(x[:, 0])]",
        "def ordered(x):\n    return x[mx.stop_gradient(mx.argsort(x[:, 0]))]",
        Category.PORT_ERROR,
        "",
    ),
    Pair(
        "embedded",  # the row of the padding is not trained
        "# torchport: check(ids=i64[6] in [0, 3], table=f32[4, 3])\ndef embedded(ids, table):\n"
        "    return F.embedding(ids, table, padding_idx=0)",
        "def embedded(ids, table):\n    return table[ids]",
        """\
def embedded(ids, table):
    rows = table[ids]
    return mx.where((ids == 0)[:, None], mx.stop_gradient(rows), rows)""",
        where="gradient of table",
    ),
    Pair(
        "averaged",
        """\
# torchport: check(logits=f32[6, 4], labels=i64[6] in [0, 3])
def averaged(logits, labels):
    return F.cross_entropy(logits, labels, label_smoothing=0.1)""",
        """\
def averaged(logits, labels):
    return nn.losses.cross_entropy(logits, labels, label_smoothing=0.1)""",
        """\
def averaged(logits, labels):
    return nn.losses.cross_entropy(logits, labels, label_smoothing=0.1, reduction="mean")""",
        Category.SHAPE,
    ),
    Pair(
        "spectrum",
        "def spectrum(x):\n    return torch.fft.rfft(x, norm='ortho')",
        "def spectrum(x):\n    return mx.fft.rfft(x)",
        "def spectrum(x):\n    return mx.fft.rfft(x) / x.shape[-1] ** 0.5",
    ),
    Pair(
        "turned",  # complex in, complex out
        "# torchport: check(z=c64[5])\ndef turned(z):\n    return z * z.conj() + 2j * z",
        "def turned(z):\n    return z * z + 2j * z",
        "def turned(z):\n    return z * mx.conjugate(z) + mx.array(2j) * z",
    ),
    Pair(
        "both",
        "def both(x):\n    return x.max(), {'low': x.min()}",
        "def both(x):\n    return x.max(), x.min()",
        "def both(x):\n    return x.max(), {'low': x.min()}",
        Category.STRUCTURE,
    ),
    Pair(
        "straight_through",
        "def straight_through(x):\n    return x + (x.tanh() - x).detach()",
        "def straight_through(x):\n    return x + (mx.tanh(x) - x)",
        "def straight_through(x):\n    return x + mx.stop_gradient(mx.tanh(x) - x)",
        where="gradient of x",
    ),
    Pair(
        "frozen",
        "def frozen(x, y):\n    return x.detach() * y",
        "def frozen(x, y):\n    return x * y",
        "def frozen(x, y):\n    return mx.stop_gradient(x) * y",
        where="gradient of x",
    ),
    Pair(
        "branching",  # a value decides: MLX takes it while it differentiates
        "# torchport: check(x=f32[5])\ndef branching(x):\n    return x * 2 if x.sum() < 0 else x * x",
        "def branching(x):\n    return x * 2 if x.sum().item() > 0 else x * x",
        "def branching(x):\n    return x * 2 if x.sum() < 0 else x * x",
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
        "halved",
        "def halved(x):\n    return x.half() / 3",
        "def halved(x):\n    return x / 3",
        "def halved(x):\n    return x.astype(mx.float16) / 3",
        Category.DTYPE,
    ),
    Pair(
        "brained",
        "def brained(x):\n    return x.bfloat16() * 2",
        "def brained(x):\n    return x.astype(mx.float16) * 2",
        "def brained(x):\n    return x.astype(mx.bfloat16) * 2",
        Category.DTYPE,
    ),
    Pair(
        "filled",  # the result is what the argument holds afterwards
        "def filled(x):\n    x.clamp_(min=0)",
        "def filled(x):\n    mx.maximum(x, 0)",
        "def filled(x):\n    x[...] = mx.where(x < 0, 0.0, x)",
        Category.STRUCTURE,
    ),
    Pair(
        "filled_twice",
        "def filled_twice(x, y):\n    x.mul_(2)\n    y.add_(x)",
        "def filled_twice(x, y):\n    y[...] = y + 2 * x",
        "def filled_twice(x, y):\n    x[...] = 2 * x\n    y[...] = y + x",
        Category.STRUCTURE,
    ),
    Pair(
        "filled_wrongly",
        "def filled_wrongly(x, y):\n    x.add_(y)",
        "def filled_wrongly(x, y):\n    x[...] = x - y",
        "def filled_wrongly(x, y):\n    x[...] = x + y",
    ),
    Pair(
        "shifted",
        "def shifted(x):\n    x[:, 0] += 1.0\n    return x * 2",
        "def shifted(x):\n    x[:, 0] = 1.0\n    return x * 2",
        "def shifted(x):\n    x[:, 0] += 1.0\n    return x * 2",
    ),
    Pair(
        "kept",  # y is x, and not a copy of it
        "def kept(x):\n    y = x.clone()\n    y[0] = 0\n    return y",
        "def kept(x):\n    y = x\n    y[0] = 0\n    return y",
        "def kept(x):\n    y = mx.array(x)\n    y[0] = 0\n    return y",
        where="x after the call",
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
class Projection(nn.Module):
    def __init__(self, size=6):
        super().__init__()
        self.weight = mx.random.normal((size, size))

    def __call__(self, x):
        return x @ self.weight""",
        """\
class Projection(nn.Module):
    def __init__(self, size=6):
        super().__init__()
        self.weight = mx.random.normal((size, size))

    def __call__(self, x):
        return x @ self.weight.T""",
    ),
    Pair(
        "Strided",
        """\
# torchport: check(x=f32[2, 4, 6, 6])
class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)

    def forward(self, x):
        return self.up(F.silu(self.down(x)))""",
        """\
class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)

    def __call__(self, x):
        x = self.up(nn.relu(self.down(x.transpose(0, 2, 3, 1))))
        return x.transpose(0, 3, 1, 2)""",
        """\
class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)

    def __call__(self, x):
        x = self.up(nn.silu(self.down(x.transpose(0, 2, 3, 1))))
        return x.transpose(0, 3, 1, 2)""",
    ),
    Pair(
        "Momentum",
        """\
# torchport: check(x=f32[6, 4])
class Momentum(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.norm(x))""",
        """\
class Momentum(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm(4, momentum=0.9)
        self.drop = nn.Dropout(0.5)

    def __call__(self, x):
        return self.drop(self.norm(x))""",
        """\
class Momentum(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm(4)
        self.drop = nn.Dropout(0.5)

    def __call__(self, x):
        return self.drop(self.norm(x))""",
        where="norm.running_mean after the step",
    ),
    Pair(
        "Grouped",  # MLX groups by the last axis first, unless it is told to do as torch
        """\
# torchport: check(x=f32[2, 6, 5])
class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(3, 6)

    def forward(self, x):
        return self.norm(x)""",
        """\
class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(3, 6)

    def __call__(self, x):
        return self.norm(x.transpose(0, 2, 1)).transpose(0, 2, 1)""",
        """\
class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(3, 6, pytorch_compatible=True)

    def __call__(self, x):
        return self.norm(x.transpose(0, 2, 1)).transpose(0, 2, 1)""",
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
class Bounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = mx.ones(8)

    def __call__(self, x):
        return x * self.scale + self.scale""",
        """\
class Bounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = mx.ones(8)

    def __call__(self, x):
        return x * mx.stop_gradient(self.scale) + self.scale""",
        where="gradient of scale",
    ),
    Pair(
        "Untrained",  # what is frozen in MLX gets no gradient
        """\
class Untrained(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))
        self.shift = nn.Parameter(torch.zeros(8), requires_grad=False)

    def forward(self, x):
        return x * self.scale + self.shift""",
        """\
class Untrained(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = mx.ones(8)
        self.shift = mx.zeros(8)
        self.freeze()

    def __call__(self, x):
        return x * self.scale + self.shift""",
        """\
class Untrained(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = mx.ones(8)
        self.shift = mx.zeros(8)
        self.freeze(keys=["shift"])

    def __call__(self, x):
        return x * self.scale + self.shift""",
        where="gradient of scale",
    ),
    Pair(
        "Tied",  # two arrays that are equal once are not one weight
        """\
# torchport: check(ids=i64[2, 4] in [0, 4])
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 6)
        self.head = nn.Linear(6, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.embed(ids))""",
        """\
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 6)
        self.head = nn.Linear(6, 5, bias=False)
        self.head.weight = self.embed.weight

    def __call__(self, ids):
        return self.head(self.embed(ids))""",
        """\
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 6)

    def __call__(self, ids):
        return self.embed.as_linear(self.embed(ids))""",
        where="gradient of embed.weight",
    ),
    Pair(
        "Recurrent",
        """\
# torchport: check(x=f32[2, 5, 3])
class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4, bias=False, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]""",
        """\
class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4, bias=False)

    def __call__(self, x):
        return self.rnn(x)[1]""",
        """\
class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4, bias=False)

    def __call__(self, x):
        return self.rnn(x)[0]""",
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
class Misshapen(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.weight = mx.zeros((3, width))

    def __call__(self, x):
        return x @ self.weight.T""",
        """\
class Misshapen(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.weight = mx.zeros((width, 3))

    def __call__(self, x):
        return x @ self.weight""",
        Category.WEIGHTS,
        "",
    ),
    Pair(
        "Masked",  # what no checkpoint holds is not a parameter: its name begins with _
        """\
# torchport: check(x=f32[4, 6])
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tril(torch.ones(6, 6)), persistent=False)
        self.blocks = nn.ModuleDict({"first": nn.Sequential(nn.Linear(6, 6), nn.Tanh())})

    def forward(self, x):
        return self.blocks["first"](x @ self.mask)""",
        """\
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self._mask = mx.triu(mx.ones((6, 6)))
        self.blocks = {"first": nn.Sequential(nn.Linear(6, 6), nn.Tanh())}

    def __call__(self, x):
        return self.blocks["first"](x @ self._mask)""",
        """\
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self._mask = mx.tril(mx.ones((6, 6)))
        self.blocks = {"first": nn.Sequential(nn.Linear(6, 6), nn.Tanh())}

    def __call__(self, x):
        return self.blocks["first"](x @ self._mask)""",
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
class Scorer(nn.Module):
    def __init__(self, width=7):
        super().__init__()
        self.head = nn.Linear(width, 3)

    def __call__(self, x):
        return self.head(x)


def penalised(model: Scorer, x, y, weight=0.1):
    loss = nn.losses.cross_entropy(model(x), y, reduction="mean")
    return loss + weight * mx.square(model.head.weight).sum()""",
        """\
class Scorer(nn.Module):
    def __init__(self, width=7):
        super().__init__()
        self.head = nn.Linear(width, 3)

    def __call__(self, x):
        return self.head(x)


def penalised(model: Scorer, x, y, weight=0.1):
    loss = nn.losses.cross_entropy(model(x), y, reduction="mean")
    return loss + weight * mx.square(mx.stop_gradient(model.head.weight)).sum()""",
        where="gradient of model.head.weight",
    ),
]
