# Ported from PyTorch (functional.py) to JAX by torchport VERSION.
# torchport: source=functional.py target=jax text=277098b6aba3
# torchport: focal_loss=b138124afcd8 dice_loss=0c14bac533f7 label_smoothing_loss=e0f775cd3cd6
# torchport: info_nce=9a96221a8da7 causal_mask=c7e29c77a824 padding_mask=36effd64bca5
# torchport: masked_attention=8cf2f4eaf27c sinusoidal_positions=c4f50efa5b14
# torchport: _rotate_half=b59f087ec224 apply_rotary=dbc72e15dc08 last_valid=de5c174260ee
# torchport: scatter_mean=8447b5d69531 shift_right=d1d4cff204db nucleus_filter=e56922603d71
# torchport: denormalize=0c77001aa697 augment=32bb9b4757ec discounted_returns=0ab85a2c2f33
# torchport: top_k_accuracy=2abe158ea28e confusion_matrix=7b95cf82eb44 log1mexp=ae3771f4657e
# torchport: log_cumsum_exp=19d2b3e90241 RunningNorm=304be7785030 sync_mean=e9e548bda9f4

"""Functions that projects collect over the years: losses, masks, positions, indexing, statistics.

Each states in a comment the inputs it is checked with. Contents — 内容:

    losses      focal_loss, dice_loss, label_smoothing_loss, info_nce
    masks       causal_mask, padding_mask, masked_attention
    positions   sinusoidal_positions, apply_rotary
    indexing    last_valid, scatter_mean, shift_right, nucleus_filter
    in place    denormalize, augment, discounted_returns
    metrics     top_k_accuracy, confusion_matrix
    numerics    log1mexp, log_cumsum_exp
    statistics  RunningNorm, sync_mean
"""

import math
from typing import Optional, Tuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax


def one_hot_of_seen(tensor):
    return jax.nn.one_hot(tensor, int(tensor.max()) + 1, dtype=int)


def one_hot(tensor, num_classes):
    if num_classes == -1:
        return one_hot_of_seen(tensor)
    return jax.nn.one_hot(tensor, num_classes, dtype=int)


def gather(input, dim, index):
    """The elements that `index` names along `dim`, each from where it stands otherwise.

    Unlike jnp.take_along_axis it does not broadcast an index that is shorter along another axis.
    """
    places = list(jnp.indices(index.shape, sparse=True))
    if places:
        places[dim] = index
    return input[tuple(places)]


def squeeze(input, dim=None):
    """Drop axes of size 1; an axis that is named and longer stays, where jnp.squeeze raises."""
    if dim is None:
        return input.squeeze()
    if input.ndim == 0:
        return input
    dims = (dim,) if isinstance(dim, int) else dim
    return input.squeeze(tuple(d for d in dims if input.shape[d] == 1))


def _norm(x, p=2.0, axis=-1, keepdims=False):
    """jnp.linalg.norm, with gradient 0 where `x` is 0 and not nan or 1."""
    zero = jnp.all(x == 0, axis=axis, keepdims=True)
    norm = jnp.linalg.norm(jnp.where(x == 0, zero, x), p, axis=axis, keepdims=True)
    norm *= ~zero
    return norm if keepdims else norm.squeeze(axis)


def _reduce(loss, reduction):
    if reduction == "mean":
        return jnp.mean(loss)
    if reduction == "sum":
        return jnp.sum(loss)
    return loss


def _cross_entropy(logits, target, ignore_index=-100, reduction="mean"):
    """Classes lie along axis 1 (0 if unbatched); the target holds indices or probabilities."""
    axis = 0 if logits.ndim == 1 else 1
    if jnp.issubdtype(target.dtype, jnp.floating):
        return _reduce(optax.softmax_cross_entropy(logits, target, axis=axis), reduction)
    counted = target != ignore_index
    loss = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(counted, target, 0), axis=axis
    )
    loss = jnp.where(counted, loss, 0)
    if reduction == "mean":
        return jnp.sum(loss) / jnp.sum(counted)
    return _reduce(loss, reduction)


def chunk(input, chunks, dim=0) -> list[jax.Array]:
    """Pieces of ceil(size / chunks) and a shorter last one; jnp.split alone takes only equal ones."""
    if input.shape[dim] % chunks == 0:
        return jnp.split(input, chunks, axis=dim)
    size = -(-input.shape[dim] // chunks)
    return jnp.split(input, list(range(size, input.shape[dim], size)), axis=dim)


def arange_from(start, end, *, dtype=None):
    if start == 0:
        return jnp.arange(end, dtype=dtype)
    return jnp.arange(start, end, dtype=dtype)


def scatter_add(input, dim, index, src):
    """Add each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    places = list(jnp.indices(index.shape, sparse=True))
    if places:
        places[dim] = index
    return input.at[tuple(places)].add(src[tuple(slice(n) for n in index.shape)])


def scatter(input, dim, index, src, *, reduce=None):
    """Put each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    places = list(jnp.indices(index.shape, sparse=True))
    if places:
        places[dim] = index
    if jnp.ndim(src) > 0:
        src = src[tuple(slice(n) for n in index.shape)]
    if reduce == "add":
        return input.at[tuple(places)].add(src)
    if reduce == "multiply":
        return input.at[tuple(places)].multiply(src)
    return input.at[tuple(places)].set(src)


EPS = 1e-6


# ---------------------------------------------------------------------------------- losses


# torchport: check(logits=f32[8, 5], targets=f32[8, 5] in [0, 1])
def focal_loss(
    logits: jax.Array,
    targets: jax.Array,
    gamma: float = 2.0,
    alpha: float = 0.25,
    reduction: str = "mean",
) -> jax.Array:
    """Binary focal loss (Lin et al., 2017): easy examples weigh (1 - p)^γ less.

    logits, targets: any one shape, targets in [0, 1].
    """
    p = jax.nn.sigmoid(logits)
    ce = optax.sigmoid_binary_cross_entropy(logits, targets)
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = ce * (1 - p_t) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss

    if reduction == "mean":
        return jnp.mean(loss)
    if reduction == "sum":
        return jnp.sum(loss)
    return loss


# torchport: check(logits=f32[2, 4, 6, 5], targets=i64[2, 6, 5] in [0, 3])
def dice_loss(logits: jax.Array, targets: jax.Array, smooth: float = 1.0) -> jax.Array:
    """1 - soft Dice, averaged over classes. logits: (B, C, H, W), targets: (B, H, W) class ids."""
    num_classes = logits.shape[1]
    probs = jax.nn.softmax(logits, axis=1)
    # one_hot puts the classes last: (B, H, W, C) → (B, C, H, W)
    onehot = one_hot(targets, num_classes).transpose(0, 3, 1, 2).astype(probs.dtype)
    dims = (0, 2, 3)
    intersection = jnp.sum(probs * onehot, axis=dims)
    total = jnp.sum(probs, axis=dims) + jnp.sum(onehot, axis=dims)
    return 1.0 - jnp.mean((2.0 * intersection + smooth) / (total + smooth))


# torchport: check(logits=f32[6, 10], targets=i64[6] in [0, 9])
def label_smoothing_loss(
    logits: jax.Array, targets: jax.Array, smoothing: float = 0.1, ignore_index: int = -100
) -> jax.Array:
    """Cross-entropy in which every class gets ε/C of the target's probability mass.

    logits: (N, C), targets: (N,). Rows whose target is ignore_index do not count.
    """
    log_probs = jax.nn.log_softmax(logits)
    keep = targets != ignore_index
    # gather needs a valid index everywhere; what it reads for an ignored row is dropped below.
    safe = jnp.where(targets < 0, 0, targets)
    nll = -squeeze(gather(log_probs, dim=-1, index=jnp.expand_dims(safe, -1)), -1)
    uniform = -jnp.mean(log_probs, axis=-1)
    loss = (1.0 - smoothing) * nll + smoothing * uniform
    value = jnp.sum(keep)
    return jnp.sum(jnp.where(~keep, 0.0, loss)) / jnp.where(value < 1, 1, value)


# torchport: check(query=f32[6, 16], key=f32[6, 16])
def info_nce(query: jax.Array, key: jax.Array, temperature: float = 0.07) -> jax.Array:
    """Symmetric InfoNCE: row i of query belongs to row i of key; the other rows are negatives."""
    query = query / jnp.maximum(_norm(query, 2.0, keepdims=True), 1e-12)
    key = key / jnp.maximum(_norm(key, 2, keepdims=True), 1e-12)
    logits = query @ key.T / temperature
    labels = jnp.arange(len(query))
    return (_cross_entropy(logits, labels) + _cross_entropy(logits.T, labels)) / 2


# ----------------------------------------------------------------------------------- masks


# torchport: check(size=6)
def causal_mask(size: int, device: Optional[jax.Device] = None) -> jax.Array:
    """(size, size) bool, True where attention is forbidden: j > i."""
    return jnp.triu(jnp.ones((size, size), dtype=jnp.bool_), k=1)


# torchport: check(lengths=i64[4] in [1, 8], max_len=8)
def padding_mask(lengths: jax.Array, max_len: Optional[int] = None) -> jax.Array:
    """(B, max_len) bool, True on padding. Without max_len, the longest sequence decides."""
    if max_len is None:
        max_len = int(jnp.max(lengths).item())
    return jnp.arange(max_len)[None, :] >= lengths[:, None]


# torchport: check(q=f32[2, 4, 6, 8], k=f32[2, 4, 6, 8], v=f32[2, 4, 6, 8], lengths=i64[2] in [1, 6])
def masked_attention(q: jax.Array, k: jax.Array, v: jax.Array, lengths: jax.Array) -> jax.Array:
    """Causal attention over padded sequences. q, k, v: (B, H, T, D), lengths: (B,)."""
    scores = jnp.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])
    forbidden = (
        causal_mask(q.shape[-2], jax.devices()[0])
        | padding_mask(lengths, k.shape[-2])[:, None, None, :]
    )
    scores = jnp.where(forbidden, float("-inf"), scores)
    return jnp.einsum("bhij,bhjd->bhid", jax.nn.softmax(scores), v)


# ------------------------------------------------------------------------------- positions


# torchport: check(length=10, dim=8)
def sinusoidal_positions(length: int, dim: int, base: float = 10_000.0) -> jax.Array:
    """(length, dim): sines and cosines interleaved, as in "Attention Is All You Need"."""
    position = jnp.expand_dims(jnp.arange(length, dtype=jnp.float32), 1)
    frequency = jnp.exp(jnp.arange(0, dim, 2).astype(jnp.float32) * (-math.log(base) / dim))
    table = jnp.zeros((length, dim))
    table = table.at[:, 0::2].set(jnp.sin(position * frequency))
    table = table.at[:, 1::2].set(jnp.cos(position * frequency))
    return table


def _rotate_half(x: jax.Array) -> jax.Array:
    """(x₁, x₂) → (-x₂, x₁), on the two halves of the last axis."""
    x1, x2 = chunk(x, 2, dim=-1)
    return jnp.concatenate((-x2, x1), axis=-1)


# torchport: check(q=f32[2, 4, 6, 8], k=f32[2, 4, 6, 8])
def apply_rotary(
    q: jax.Array, k: jax.Array, base: float = 10_000.0, offset: int = 0
) -> Tuple[jax.Array, jax.Array]:
    """Rotary position embedding (RoPE, 苏剑林 et al., 2021). q, k: (B, H, T, D), D even.

    offset is the position of the first token, for decoding with a cache.
    """
    T, D = q.shape[-2:]
    inv_freq = 1.0 / (base ** (jnp.arange(0, D, 2).astype(jnp.float32) / D))
    t = arange_from(offset, offset + T).astype(inv_freq.dtype)
    angles = jnp.outer(t, inv_freq)  # (T, D/2)
    angles = jnp.concatenate((angles, angles), axis=-1)  # (T, D)
    cos, sin = jnp.cos(angles).astype(q.dtype), jnp.sin(angles).astype(q.dtype)
    return q * cos + _rotate_half(q) * sin, k * cos + _rotate_half(k) * sin


# -------------------------------------------------------------------------------- indexing


# torchport: check(hidden=f32[4, 7, 5], lengths=i64[4] in [1, 7])
def last_valid(hidden: jax.Array, lengths: jax.Array) -> jax.Array:
    """The last real step of each sequence. hidden: (B, T, C), lengths: (B,) → (B, C)."""
    rows = jnp.arange(hidden.shape[0])
    return hidden[rows, lengths - 1]


# torchport: check(values=f32[12, 4], index=i64[12] in [0, 4], num_groups=5)
def scatter_mean(values: jax.Array, index: jax.Array, num_groups: int) -> jax.Array:
    """The mean of the rows of each group, 0 for an empty one.

    values: (N, C), index: (N,) → (num_groups, C).
    """
    total = jnp.zeros((num_groups, values.shape[1]), dtype=values.dtype)
    total = scatter_add(total, 0, jnp.broadcast_to(index[:, None], values.shape), values)
    count = jnp.zeros((num_groups,), dtype=values.dtype)
    count = count.at[index].add(jnp.ones_like(index, dtype=values.dtype))
    return total / jnp.expand_dims(jnp.where(count < 1, 1, count), -1)


# torchport: check(ids=i64[3, 7] in [0, 50])
def shift_right(ids: jax.Array, start_id: int = 1) -> jax.Array:
    """What a decoder reads when it must write ids: (B, T) — the same, one step later."""
    shifted = jnp.zeros_like(ids)
    shifted = shifted.at[:, 1:].set(ids[:, :-1])
    shifted = shifted.at[:, 0].set(start_id)
    return shifted


# torchport: check(logits=f32[3, 12])
def nucleus_filter(logits: jax.Array, top_p: float = 0.9) -> jax.Array:
    """Keep the smallest set of tokens whose probability reaches top_p; the rest become -inf.

    logits: (B, V). The likeliest token always stays (Holtzman et al., 2020).
    """
    ordered, order = jnp.sort(logits, descending=True), jnp.argsort(logits, descending=True)
    cumulative = jnp.cumsum(jax.nn.softmax(ordered), axis=-1)
    drop = cumulative > top_p
    # The token that crosses the threshold is still wanted: move the mask one place right.
    drop = jnp.roll(drop, 1, axis=-1)
    drop = drop.at[..., 0].set(False)
    drop = scatter(jnp.zeros_like(drop), -1, order, drop)
    return jnp.where(drop, -math.inf, logits)


# -------------------------------------------------------------------------------- in place


# torchport: check(images=f32[2, 3, 5, 4])
def denormalize(
    images: jax.Array,
    mean: Tuple[float, ...] = (0.485, 0.456, 0.406),
    std: Tuple[float, ...] = (0.229, 0.224, 0.225),
) -> jax.Array:
    """Undo (x - µ) / σ per channel, in [0, 1]. images: (B, 3, H, W); the argument is left alone."""
    mu = jnp.array(mean, dtype=images.dtype).reshape(1, -1, 1, 1)
    sigma = jnp.array(std, dtype=images.dtype).reshape(1, -1, 1, 1)
    value = images * sigma + mu
    return jnp.where((value < 0) | (value > 1), jnp.clip(value, 0, 1), value)


# torchport: check(images=f32[2, 3, 8, 8], top=2, left=3)
def augment(images: jax.Array, top: int, left: int, size: int = 4, warmth: float = 1.1) -> jax.Array:
    """A square of each image becomes its mean colour, reds get warmer, the border turns black.

    images: (B, 3, H, W); the argument is left alone.
    """
    out = images
    patch = out[:, :, top : top + size, left : left + size]
    # The patch is a view: what is written to it is written to `out`.
    patch = jnp.broadcast_to(
        jnp.broadcast_to(jnp.mean(images, axis=(2, 3), keepdims=True), patch.shape), patch.shape
    ).astype(patch.dtype)
    out = out.at[:, :, top : top + size, left : left + size].set(patch)
    out = out.at[:, 0].multiply(warmth)
    out = out.at[:, :, jnp.array([0, -1])].set(0)
    out = out.at[..., 0].set(0)
    out = out.at[..., -1].set(0)
    return out


# torchport: check(rewards=f32[3, 6], done=bool[3, 6])
def discounted_returns(rewards: jax.Array, done: jax.Array, gamma: float = 0.99) -> jax.Array:
    """R_t = r_t + γ R_{t+1}, restarted where an episode is done. rewards, done: (B, T)."""
    returns = jnp.empty_like(rewards)
    running = jnp.zeros((rewards.shape[0],), dtype=rewards.dtype)
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * running * (~done[:, t]).astype(jnp.float32)
        returns = returns.at[:, t].set(running)
    return returns


# --------------------------------------------------------------------------------- metrics


# torchport: check(logits=f32[16, 10], targets=i64[16] in [0, 9])
def top_k_accuracy(
    logits: jax.Array, targets: jax.Array, ks: Tuple[int, ...] = (1, 5)
) -> Tuple[jax.Array, ...]:
    """The share of rows whose target is among the k best, one scalar per k.

    logits: (N, C), targets: (N,).
    """
    _, best = lax.top_k(logits, max(ks), axis=1)
    hits = best == jnp.broadcast_to(targets.reshape(-1, 1), best.shape)
    return tuple(jnp.mean(jnp.any(hits[:, :k], axis=1).astype(jnp.float32)) for k in ks)


# torchport: check(predicted=i64[20] in [0, 3], targets=i64[20] in [0, 3], num_classes=4)
def confusion_matrix(predicted: jax.Array, targets: jax.Array, num_classes: int) -> jax.Array:
    """(num_classes, num_classes) counts; rows are the truth, columns the prediction."""
    cells = targets * num_classes + predicted
    return jnp.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


# -------------------------------------------------------------------------------- numerics


# torchport: check(x=f32[32])
def log1mexp(x: jax.Array) -> jax.Array:
    """log(1 - e^x) for x < 0, accurate at both ends (Mächler, 2012); x ≥ -1e-6 counts as -1e-6."""
    x = jnp.where(x > -EPS, -EPS, x)
    return jnp.where(x > -math.log(2), jnp.log(-jnp.expm1(x)), jnp.log1p(-jnp.exp(x)))


# torchport: check(x=f32[4, 9])
def log_cumsum_exp(x: jax.Array, dim: int = -1) -> jax.Array:
    """log Σ_{j ≤ i} e^{x_j} along dim, shifted by the maximum so that nothing overflows."""
    m = lax.stop_gradient(jnp.max(x, axis=dim, keepdims=True))
    return jnp.log(jnp.cumsum(jnp.exp(x - m), axis=dim)) + m


# ------------------------------------------------------------------------------ statistics


# torchport: check(x=f32[16, 6], init=(6,))
class RunningNorm(nnx.Module):
    """(x - µ) / σ with the mean and variance seen so far; they move only while training.

    x: (N, num_features). The first batch sets the statistics, later ones by `momentum`.
    """

    mean: jax.Array
    var: jax.Array
    steps: jax.Array

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5):
        self.deterministic = False
        self.momentum = momentum
        self.eps = eps
        self.mean = nnx.Variable(jnp.zeros((num_features,)))
        self.var = nnx.Variable(jnp.ones((num_features,)))
        self.steps = nnx.Variable(jnp.array(0, dtype=jnp.int32))

    def update(self, x: jax.Array) -> None:
        var, mean = jnp.var(x, axis=0), jnp.mean(x, axis=0)
        rate = jnp.where(self.steps == 0, 1.0, self.momentum)
        self.mean[...] = jax.lax.stop_gradient(self.mean * (1 - rate) + rate * mean)
        self.var[...] = jax.lax.stop_gradient(self.var * (1 - rate) + rate * var)
        self.steps[...] = jax.lax.stop_gradient(self.steps[...] + 1)

    def __call__(self, x: jax.Array) -> jax.Array:
        if not self.deterministic:
            self.update(x)
        return (x - self.mean) * lax.rsqrt(self.var + self.eps)


# torchport: check(value=f32[5])
def sync_mean(value: jax.Array, world_size: int = 1) -> jax.Array:
    """The mean of value over all processes; in a single process, value itself.

    Collectives have no counterpart that a rule could choose (in JAX they depend on how the arrays
    are sharded), so torchport leaves this call as it is and says so.
    """
    if world_size > 1:
        import torch.distributed as dist

        # torchport: not ported: torch.distributed.all_reduce has no rule
        dist.all_reduce(value)
    return value / world_size
