"""The examples are PyTorch that works: every public definition runs with the inputs stated for it.

Inputs come from the definition's `# torchport: check(...)` comment, from the file's `get_inputs()`
(which speaks for the last class of the file), or from UNSTATED below, which says in words of
PyTorch what the annotations, defaults and docstrings of the other definitions mean.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

EXAMPLES = Path(__file__).parent.parent / "examples"

# What each public definition returns: the shapes of its tensors, in order.
SHAPES = {
    "functional.focal_loss": [()],
    "functional.dice_loss": [()],
    "functional.label_smoothing_loss": [()],
    "functional.info_nce": [()],
    "functional.causal_mask": [(6, 6)],
    "functional.padding_mask": [(4, 8)],
    "functional.masked_attention": [(2, 4, 6, 8)],
    "functional.sinusoidal_positions": [(10, 8)],
    "functional.apply_rotary": [(2, 4, 6, 8), (2, 4, 6, 8)],
    "functional.last_valid": [(4, 5)],
    "functional.scatter_mean": [(5, 4)],
    "functional.shift_right": [(3, 7)],
    "functional.nucleus_filter": [(3, 12)],
    "functional.denormalize": [(2, 3, 5, 4)],
    "functional.augment": [(2, 3, 8, 8)],
    "functional.discounted_returns": [(3, 6)],
    "functional.top_k_accuracy": [(), ()],
    "functional.confusion_matrix": [(4, 4)],
    "functional.log1mexp": [(32,)],
    "functional.log_cumsum_exp": [(4, 9)],
    "functional.RunningNorm": [(16, 6)],
    "functional.sync_mean": [(5,)],
    "gpt.CausalSelfAttention": [(2, 16, 64)],
    "gpt.Block": [(2, 16, 64)],
    "gpt.GPT": [(2, 16, 96), ()],
    "lstm_classifier.length_mask": [(4, 12)],
    "lstm_classifier.AttentionPooling": [(4, 48), (4, 12)],
    "lstm_classifier.LSTMClassifier": [(4, 3)],
    "mlp.MLP": [(8, 4)],
    "mlp.loss_fn": [()],
    "mlp.accuracy": [()],
    "resnet.BasicBlock": [(2, 16, 8, 8)],
    "resnet.ResNet": [(2, 10)],
    "resnet.SmallResNet": [(2, 10)],
    "unet.DoubleConv": [(2, 8, 16, 16)],
    "unet.UpBlock": [(2, 8, 15, 11)],
    "unet.UNet": [(2, 4, 30, 22), (2, 1, 30, 22)],
    "vae.ConvVAE": [(4, 1, 28, 28), (4, 16), (4, 16)],
    "vae.elbo_loss": [()],
    "vit.PatchEmbedding": [(2, 16, 64)],
    "vit.EncoderBlock": [(2, 17, 64)],
    "vit.VisionTransformer": [(2, 10)],
}

# Definitions that make or change a module, held by tests of their own below.
MAKERS = {"mlp.init_weights", "resnet.conv3x3", "resnet.resnet18_small", "gpt.GPTConfig"}

# Integer or boolean results, constants, and what runs under torch.no_grad().
WITHOUT_GRADIENTS = {
    "functional.causal_mask",
    "functional.padding_mask",
    "functional.sinusoidal_positions",
    "functional.shift_right",
    "functional.top_k_accuracy",
    "functional.confusion_matrix",
    "lstm_classifier.length_mask",
    "mlp.accuracy",
}

# (constructor arguments, call arguments) for definitions whose inputs are to be inferred.
UNSTATED = {
    "lstm_classifier.length_mask": lambda m: ((), (torch.tensor([12, 7, 3, 1]),)),
    "lstm_classifier.AttentionPooling": lambda m: (
        (),
        (torch.randn(4, 12, 48), torch.rand(4, 12) > 0.5),
    ),
    "mlp.MLP": lambda m: ((), (torch.randn(8, 20),)),
    "mlp.loss_fn": lambda m: ((), (m.MLP(), torch.randn(8, 20), torch.arange(8) % 4)),
    "mlp.accuracy": lambda m: ((), (m.MLP(), torch.randn(8, 20), torch.arange(8) % 4)),
    "resnet.BasicBlock": lambda m: ((16, 16), (torch.randn(2, 16, 8, 8),)),
    "resnet.ResNet": lambda m: ((m.BasicBlock, [1, 1, 1, 1], 10, 8), (torch.randn(2, 3, 32, 32),)),
    "resnet.SmallResNet": lambda m: ((), (torch.randn(2, 3, 32, 32),)),
    "vae.elbo_loss": lambda m: (
        (),
        (
            torch.randn(4, 1, 28, 28),
            torch.rand(4, 1, 28, 28),
            torch.randn(4, 16),
            torch.zeros(4, 16),
        ),
    ),
}


def load(stem: str) -> ModuleType:
    """The example as a module, under a name that cannot meet an installed one."""
    name = f"torchport_example_{stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{stem}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def stated(stem: str, name: str) -> dict[str, Any] | None:
    """What the definition's check comment says, as values: `f32[2, 3]` a tensor, a literal itself."""
    text = (EXAMPLES / f"{stem}.py").read_text(encoding="utf-8")
    found = re.search(
        rf"^# torchport: (check\(.*\))\n(?:@.*\n)*(?:class|def) {name}\b", text, re.MULTILINE
    )
    if found is None:
        return None
    call = ast.parse(found[1], mode="eval").body
    assert isinstance(call, ast.Call)
    return {keyword.arg: value_of(keyword.value) for keyword in call.keywords if keyword.arg}


def value_of(node: ast.expr) -> Any:
    low, high = 0.0, 1.0
    ranged = isinstance(node, ast.Compare)
    if isinstance(node, ast.Compare):
        low, high = ast.literal_eval(node.comparators[0])
        node = node.left
    if not isinstance(node, ast.Subscript):
        return ast.literal_eval(node)
    dims = ast.literal_eval(node.slice)
    shape = dims if isinstance(dims, tuple) else (dims,)
    match ast.unparse(node.value):
        case "f32":
            return low + (high - low) * torch.rand(shape) if ranged else torch.randn(shape)
        case "i64":
            return torch.randint(int(low), int(high) + 1, shape)
        case "bool":
            return torch.rand(shape) > 0.5
        case other:
            raise AssertionError(f"no such dtype in a check comment: {other}")


def inputs(stem: str, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(constructor arguments, call arguments by name) of one definition."""
    module, definition = load(stem), getattr(load(stem), name)
    called = definition.forward if inspect.isclass(definition) else definition
    names = [p for p in inspect.signature(called).parameters if p != "self"]
    classes = [
        c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__
    ]
    own = definition is classes[-1] if classes else False

    kwargs = stated(stem, name)
    if kwargs is not None:
        init = kwargs.pop("init", None)
        if init is None:
            init = default_arguments(definition) if inspect.isclass(definition) else ()
        return init, kwargs
    if own and hasattr(module, "get_inputs"):
        return tuple(module.get_init_inputs()), dict(zip(names, module.get_inputs(), strict=True))
    init, args = UNSTATED[f"{stem}.{name}"](module)
    return init, dict(zip(names, args, strict=False))


def default_arguments(definition: type) -> tuple[Any, ...]:
    """A required `config: GPTConfig` is a GPTConfig with its own defaults."""
    required = [
        p for p in inspect.signature(definition).parameters.values() if p.default is p.empty
    ]
    return tuple(p.annotation() for p in required)


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in a result, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


def public_definitions() -> list[str]:
    return [
        f"{path.stem}.{node.name}"
        for path in sorted(EXAMPLES.glob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and not node.name.startswith(("_", "get_"))
    ]


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.manual_seed(0)


def test_every_public_definition_is_run() -> None:
    assert sorted(public_definitions()) == sorted(SHAPES.keys() | MAKERS)


@pytest.mark.parametrize("case", SHAPES)
def test_definition_runs_with_its_inputs(case: str) -> None:
    stem, name = case.split(".")
    definition = getattr(load(stem), name)
    init, kwargs = inputs(stem, name)
    before = {k: v.clone() for k, v in kwargs.items() if isinstance(v, torch.Tensor)}

    call = definition(*init).eval() if inspect.isclass(definition) else definition
    results = list(tensors(call(**kwargs)))

    assert [tuple(r.shape) for r in results] == SHAPES[case]
    assert not any(r.isnan().any() for r in results)
    for key, value in before.items():
        assert torch.equal(value, kwargs[key]), f"{key} was changed in place"


@pytest.mark.parametrize("case", [c for c in SHAPES if c not in WITHOUT_GRADIENTS])
def test_gradients_reach_parameters_and_inputs(case: str) -> None:
    stem, name = case.split(".")
    definition = getattr(load(stem), name)
    init, kwargs = inputs(stem, name)
    call = definition(*init).train() if inspect.isclass(definition) else definition
    leaves = {
        key: value.requires_grad_()
        for key, value in kwargs.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    if isinstance(call, torch.nn.Module):
        leaves |= dict(call.named_parameters())

    # A random weighting: a plain sum is constant behind a softmax or a normalisation.
    sum((r * torch.randn_like(r)).sum() for r in tensors(call(**kwargs))).backward()

    assert leaves
    for key, leaf in leaves.items():
        assert leaf.grad is not None, f"{key} has no gradient"
        assert leaf.grad.isfinite().all(), key


# ------------------------------------------------------------------------------ what they promise


def test_mlp_step_lowers_the_loss() -> None:
    mlp = load("mlp")
    model, x, y = mlp.MLP(dropout=0.0), torch.randn(32, 20), torch.arange(32) % 4
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = mlp.loss_fn(model, x, y).item()
    for _ in range(20):
        optimizer.zero_grad()
        mlp.loss_fn(model, x, y).backward()
        optimizer.step()
    assert mlp.loss_fn(model, x, y).item() < first / 2
    assert mlp.accuracy(model, x, y).item() > 0.9


def test_mlp_init_weights() -> None:
    layer = torch.nn.Linear(1000, 50)
    load("mlp").init_weights(layer)
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 1000), rel=0.05)
    assert not layer.bias.any()


def test_resnet_factories() -> None:
    resnet = load("resnet")
    assert resnet.conv3x3(3, 8, stride=2)(torch.randn(1, 3, 32, 32)).shape == (1, 8, 16, 16)
    model = resnet.resnet18_small(num_classes=7)
    assert model.fc.out_features == 7
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(0.7e6, rel=0.02)


def test_gpt_is_causal_tied_and_generates() -> None:
    gpt = load("gpt")
    model = gpt.GPT(gpt.GPTConfig()).eval()
    ids = torch.randint(0, 96, (2, 10))
    changed = ids.clone()
    changed[:, 6:] = 0

    logits, loss = model(ids)
    assert loss is None
    torch.testing.assert_close(model(changed)[0][:, :6], logits[:, :6])
    assert model.lm_head.weight is model.tok_emb.weight
    assert model.num_parameters() == sum(p.numel() for p in set(model.parameters()))

    greedy = model.generate(ids, max_new_tokens=3, top_k=1)
    assert torch.equal(greedy[:, :10], ids)
    assert torch.equal(greedy[:, 10], logits[:, -1].argmax(dim=-1))
    # Longer than the context: the oldest tokens are forgotten, not refused.
    assert model.generate(ids, max_new_tokens=30, top_k=5).shape == (2, 40)
    with pytest.raises(ValueError, match="33 tokens"):
        model(torch.zeros(1, 33, dtype=torch.long))


def test_lstm_pooling_ignores_padding() -> None:
    lstm = load("lstm_classifier")
    pool = lstm.AttentionPooling()
    x, mask = torch.randn(4, 12, 48), lstm.length_mask(torch.tensor([12, 7, 3, 1]))
    pooled, weights = pool(x, mask)
    assert not weights[~mask].any()
    torch.testing.assert_close(pool(x.masked_fill(~mask[..., None], 99.0), mask)[0], pooled)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))


def test_vae_samples_while_training_only() -> None:
    vae = load("vae")
    model, x = vae.ConvVAE(), torch.rand(2, 1, 28, 28)
    assert not torch.equal(model(x)[0], model(x)[0])
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])
    images = model.sample(3)
    assert images.shape == (3, 1, 28, 28)
    assert images.min() >= 0 and images.max() <= 1


def test_vae_kl_is_that_of_two_gaussians() -> None:
    mu, logvar = torch.randn(3, 16), torch.randn(3, 16)
    logits, x = torch.randn(3, 1, 28, 28), torch.rand(3, 1, 28, 28)
    elbo_loss = load("vae").elbo_loss
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum() / 3
    actual = elbo_loss(logits, x, mu, logvar, beta=2.0) - elbo_loss(logits, x, mu, logvar)
    torch.testing.assert_close(actual, kl, rtol=1e-4, atol=1e-3)


def test_vit_pools_as_asked() -> None:
    vit = load("vit")
    for pool in ("cls", "mean"):
        assert vit.VisionTransformer(pool=pool)(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(ValueError, match="'max'"):
        vit.VisionTransformer(pool="max")


# ---------------------------------------------------------------- functional.py, against torch's own


def test_losses_agree_with_torch() -> None:
    f = load("functional")
    logits, binary = torch.randn(6, 5), torch.rand(6, 5).round()
    targets = torch.tensor([0, 4, -100, 2, 1, -100])

    torch.testing.assert_close(
        f.focal_loss(logits, binary, gamma=0.0, alpha=-1.0),
        F.binary_cross_entropy_with_logits(logits, binary),
    )
    torch.testing.assert_close(
        f.label_smoothing_loss(logits, targets, smoothing=0.1),
        F.cross_entropy(logits, targets, label_smoothing=0.1),
    )
    sure = 100.0 * F.one_hot(torch.tensor([[[0, 1], [2, 1]]]), 3).permute(0, 3, 1, 2).float()
    assert f.dice_loss(sure, sure.argmax(dim=1)).item() == pytest.approx(0.0, abs=1e-6)
    same = torch.eye(6)
    assert f.info_nce(same, same).item() < 1e-4 < f.info_nce(same, same.roll(1, 0)).item()


def test_attention_agrees_with_torch() -> None:
    f = load("functional")
    q, k, v = torch.randn(3, 2, 4, 6, 8)
    lengths = torch.tensor([6, 3])
    allowed = ~(f.causal_mask(6) | f.padding_mask(lengths)[:, None, None, :])
    torch.testing.assert_close(
        f.masked_attention(q, k, v, lengths),
        F.scaled_dot_product_attention(q, k, v, attn_mask=allowed),
    )


def test_rotary_scores_depend_on_distance_only() -> None:
    f = load("functional")
    q, k = torch.randn(2, 1, 1, 6, 8)
    near, far = f.apply_rotary(q, k), f.apply_rotary(q, k, offset=50)
    torch.testing.assert_close(near[0] @ near[1].mT, far[0] @ far[1].mT, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(near[0] @ near[1].mT, q @ k.mT)


def test_sinusoidal_positions_interleave() -> None:
    table = load("functional").sinusoidal_positions(10, 8)
    torch.testing.assert_close(table[:, 0], torch.arange(10.0).sin())
    torch.testing.assert_close(table[:, 3], (torch.arange(10.0) / 10).cos())


def test_indexing_against_loops() -> None:
    f = load("functional")
    hidden, lengths = torch.randn(3, 5, 2), torch.tensor([5, 1, 3])
    assert torch.equal(
        f.last_valid(hidden, lengths), torch.stack([hidden[0, 4], hidden[1, 0], hidden[2, 2]])
    )
    values, index = torch.randn(6, 2), torch.tensor([0, 2, 2, 0, 0, 3])
    means = f.scatter_mean(values, index, 5)
    for group in (0, 2, 3):
        torch.testing.assert_close(means[group], values[index == group].mean(dim=0))
    assert not means[[1, 4]].any()
    assert f.shift_right(torch.tensor([[7, 8, 9]])).tolist() == [[1, 7, 8]]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.0, [1]), (0.45, [1]), (0.55, [1, 3]), (0.85, [0, 1, 3]), (1.0, [0, 1, 2, 3])],
)
def test_nucleus_keeps_the_smallest_sufficient_set(top_p: float, kept: list[int]) -> None:
    logits = torch.tensor([[0.2, 0.5, 0.05, 0.25]]).log()
    filtered = load("functional").nucleus_filter(logits, top_p)
    assert filtered.isfinite().nonzero()[:, 1].tolist() == kept


def test_in_place_functions() -> None:
    f = load("functional")
    images = torch.rand(2, 3, 8, 8)
    restored = f.denormalize((images - 0.5) / 0.25, mean=(0.5,) * 3, std=(0.25,) * 3)
    torch.testing.assert_close(restored, images)

    out = f.augment(images, top=2, left=3, size=4, warmth=1.0)
    square = images.mean(dim=(2, 3))[:, :, None, None].expand(2, 3, 4, 4)
    torch.testing.assert_close(out[:, :, 2:6, 3:7], square)
    assert not torch.cat([out[:, :, 0], out[:, :, -1], out[..., 0], out[..., -1]]).any()
    torch.testing.assert_close(out[:, :, 1, 1:7], images[:, :, 1, 1:7])

    rewards, done = torch.ones(1, 4), torch.tensor([[False, True, False, False]])
    assert f.discounted_returns(rewards, done, gamma=0.5).tolist() == [[1.5, 1.0, 1.5, 1.0]]


def test_metrics() -> None:
    f = load("functional")
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    best, two = f.top_k_accuracy(logits, torch.tensor([0, 1]), ks=(1, 2))
    assert (best.item(), two.item()) == (0.5, 1.0)
    predicted, targets = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0])
    assert f.confusion_matrix(predicted, targets, 2).tolist() == [[2, 1], [0, 1]]


def test_numerics_against_double_precision() -> None:
    f = load("functional")
    x = -torch.logspace(-5, 1, 50)
    exact = torch.log(-torch.expm1(x.double()))
    torch.testing.assert_close(f.log1mexp(x).double(), exact, rtol=1e-5, atol=0.0)
    assert f.log1mexp(torch.tensor(-50.0)).item() == pytest.approx(-math.exp(-50), rel=1e-5)
    large = torch.randn(3, 9) * 5 + 500
    torch.testing.assert_close(f.log_cumsum_exp(large), torch.logcumsumexp(large, dim=-1))


def test_running_norm_follows_the_batches() -> None:
    norm = load("functional").RunningNorm(4)
    first, second = torch.randn(64, 4) * 3 + 1, torch.randn(64, 4)
    norm(first)
    torch.testing.assert_close(norm.mean, first.mean(dim=0))
    norm(second)
    torch.testing.assert_close(norm.mean, 0.9 * first.mean(dim=0) + 0.1 * second.mean(dim=0))
    norm.eval()(first)
    assert norm.steps.item() == 2
