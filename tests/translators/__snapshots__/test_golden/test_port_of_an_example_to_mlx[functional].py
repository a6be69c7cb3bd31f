# Ported from PyTorch (functional.py) to MLX by torchport VERSION.
# torchport: source=functional.py target=mlx text=9d526491601f
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

import mlx.core as mx
import mlx.nn as nn


def one_hot_of_seen(tensor):
    return one_hot(tensor, tensor.max().item() + 1)


def one_hot(tensor, num_classes):
    if num_classes == -1:
        return one_hot_of_seen(tensor)
    return mx.eye(num_classes, dtype=mx.int64)[tensor]


def _places(input, dim, index):
    """For each axis where an element of `index` stands, and for `dim` what it says."""
    if input.ndim == 0:
        return ()
    if index.ndim == 0:
        return (index,)
    places = list(mx.meshgrid(*map(mx.arange, index.shape), sparse=True, indexing="ij"))
    places[dim] = index
    return tuple(places)


def gather(input, dim, index):
    """The elements that `index` names along `dim`, each from where it stands otherwise.

    Unlike mx.take_along_axis it does not broadcast an index that is shorter along another axis.
    """
    if input.ndim == 0:
        return mx.broadcast_to(input, index.shape)
    if index.size == 0:
        return mx.zeros(index.shape, dtype=input.dtype)
    return input[_places(input, dim, index)]


def squeeze(input, dim=None):
    """Drop axes of size 1; an axis that is named and longer stays, where mx.squeeze raises."""
    if dim is None:
        return mx.squeeze(input)
    if input.ndim == 0:
        return input
    dims = (dim,) if isinstance(dim, int) else dim
    return mx.squeeze(input, axis=tuple(d for d in dims if input.shape[d] == 1))


def _norm(x, p=2.0, axis=-1, keepdims=False):
    """mx.linalg.norm, with gradient 0 where `x` is 0 and not nan or 1."""
    zero = mx.all(x == 0, axis=axis, keepdims=True)
    norm = mx.linalg.norm(mx.where(x == 0, zero, x), p, axis=axis, keepdims=True)
    norm *= ~zero
    return norm if keepdims else norm.squeeze(axis)


def _reduce(loss, reduction):
    if reduction == "mean":
        return mx.mean(loss)
    if reduction == "sum":
        return mx.sum(loss)
    return loss


def _mean(loss, weight):
    """The sum over the weight; where all targets are ignored nan without a gradient, as in torch."""
    return mx.where(weight == 0, mx.nan, mx.sum(loss) / mx.where(weight == 0, 1, weight))


def _cross_entropy(logits, target, ignore_index=-100, reduction="mean"):
    """Classes lie along axis 1 (0 if unbatched); the target holds indices or probabilities."""
    axis = 0 if logits.ndim == 1 else 1
    if mx.issubdtype(target.dtype, mx.floating):
        return _reduce(-mx.sum(target * nn.log_softmax(logits, axis), axis=axis), reduction)
    counted = target.astype(mx.int32) != ignore_index  # which no uint32 compares with
    loss = nn.losses.cross_entropy(logits, mx.where(counted, target, 0), axis=axis)
    loss = mx.where(counted, loss, 0)
    if reduction == "mean":
        return _mean(loss, mx.sum(counted))
    return _reduce(loss, reduction)


def chunk(input, chunks, dim=0) -> list[mx.array]:
    """Pieces of ceil(size / chunks) and a shorter last one; mx.split alone takes only equal ones."""
    if input.shape[dim] % chunks == 0:
        return mx.split(input, chunks, axis=dim)
    size = -(-input.shape[dim] // chunks)
    return mx.split(input, list(range(size, input.shape[dim], size)), axis=dim)


def scatter_add(input, dim, index, src):
    """Add each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    if src.shape != index.shape:
        src = src[tuple(slice(size) for size in index.shape)]
    return input.at[_places(input, dim, index)].add(src)


def argsort_descending(input, dim=-1):
    """Where the elements stand from the largest (nan counts as that) down, equal ones in their order.

    mx.argsort(-input) puts nan last, and takes neither bools nor unsigned integers.
    """
    if input.size == 0:
        return mx.zeros(input.shape, dtype=mx.uint32)
    order = mx.flip(mx.argsort(mx.flip(input, axis=dim), axis=dim), axis=dim)
    return mx.stop_gradient(input.shape[dim] - 1 - order)


def scatter(input, dim, index, src, *, reduce=None):
    """Put each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    if isinstance(src, mx.array) and src.ndim > 0:
        src = src[tuple(slice(size) for size in index.shape)]
    places = _places(input, dim, index)
    if reduce == "add":
        return input.at[places].add(src)
    if reduce == "multiply":
        return input.at[places].multiply(src)
    output = mx.array(input)
    output[places] = src
    return output


def bincount(input, weights=None, minlength=0):
    """How often each number stands in `input`, or the sum of its weights."""
    size = minlength
    if input.size > 0:
        size = mx.maximum(mx.max(input) + 1, minlength).item()
    if weights is None:
        return mx.zeros(size, dtype=mx.int64).at[input].add(1)
    return mx.zeros(size, dtype=weights.dtype).at[input].add(weights)


EPS = 1e-6


# ---------------------------------------------------------------------------------- losses


# torchport: check(logits=f32[8, 5], targets=f32[8, 5] in [0, 1])
def focal_loss(
    logits: mx.array,
    targets: mx.array,
    gamma: float = 2.0,
    alpha: float = 0.25,
    reduction: str = "mean",
) -> mx.array:
    """Binary focal loss (Lin et al., 2017): easy examples weigh (1 - p)^γ less.

    logits, targets: any one shape, targets in [0, 1].
    """
    p = mx.sigmoid(logits)
    ce = nn.losses.binary_cross_entropy(logits, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = ce * (1 - p_t) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss

    if reduction == "mean":
        return mx.mean(loss)
    if reduction == "sum":
        return mx.sum(loss)
    return loss


# torchport: check(logits=f32[2, 4, 6, 5], targets=i64[2, 6, 5] in [0, 3])
def dice_loss(logits: mx.array, targets: mx.array, smooth: float = 1.0) -> mx.array:
    """1 - soft Dice, averaged over classes. logits: (B, C, H, W), targets: (B, H, W) class ids."""
    num_classes = logits.shape[1]
    probs = mx.softmax(logits, axis=1)
    # one_hot puts the classes last: (B, H, W, C) → (B, C, H, W)
    onehot = one_hot(targets, num_classes).transpose(0, 3, 1, 2).astype(probs.dtype)
    dims = (0, 2, 3)
    intersection = mx.sum(probs * onehot, axis=dims)
    total = mx.sum(probs, axis=dims) + mx.sum(onehot, axis=dims)
    return 1.0 - mx.mean((2.0 * intersection + smooth) / (total + smooth))


# torchport: check(logits=f32[6, 10], targets=i64[6] in [0, 9])
def label_smoothing_loss(
    logits: mx.array, targets: mx.array, smoothing: float = 0.1, ignore_index: int = -100
) -> mx.array:
    """Cross-entropy in which every class gets ε/C of the target's probability mass.

    logits: (N, C), targets: (N,). Rows whose target is ignore_index do not count.
    """
    log_probs = nn.log_softmax(logits)
    keep = targets != ignore_index
    # gather needs a valid index everywhere; what it reads for an ignored row is dropped below.
    safe = mx.maximum(0, targets)
    nll = -squeeze(gather(log_probs, dim=-1, index=mx.expand_dims(safe, axis=-1)), -1)
    uniform = -mx.mean(log_probs, axis=-1)
    loss = (1.0 - smoothing) * nll + smoothing * uniform
    return mx.sum(mx.where(~keep, 0.0, loss)) / mx.maximum(1, mx.sum(keep))


# torchport: check(query=f32[6, 16], key=f32[6, 16])
def info_nce(query: mx.array, key: mx.array, temperature: float = 0.07) -> mx.array:
    """Symmetric InfoNCE: row i of query belongs to row i of key; the other rows are negatives."""
    query = query / mx.maximum(_norm(query, 2.0, keepdims=True), 1e-12)
    key = key / mx.maximum(_norm(key, 2, keepdims=True), 1e-12)
    logits = query @ key.T / temperature
    labels = mx.arange(len(query))
    return (_cross_entropy(logits, labels) + _cross_entropy(logits.T, labels)) / 2


# ----------------------------------------------------------------------------------- masks


# torchport: check(size=6)
def causal_mask(size: int, device: Optional[mx.Device] = None) -> mx.array:
    """(size, size) bool, True where attention is forbidden: j > i."""
    return mx.triu(mx.ones((size, size), dtype=mx.bool_), k=1)


# torchport: check(lengths=i64[4] in [1, 8], max_len=8)
def padding_mask(lengths: mx.array, max_len: Optional[int] = None) -> mx.array:
    """(B, max_len) bool, True on padding. Without max_len, the longest sequence decides."""
    if max_len is None:
        max_len = int(mx.max(lengths).item())
    return mx.arange(max_len)[None, :] >= lengths[:, None]


# torchport: check(q=f32[2, 4, 6, 8], k=f32[2, 4, 6, 8], v=f32[2, 4, 6, 8], lengths=i64[2] in [1, 6])
def masked_attention(q: mx.array, k: mx.array, v: mx.array, lengths: mx.array) -> mx.array:
    """Causal attention over padded sequences. q, k, v: (B, H, T, D), lengths: (B,)."""
    scores = mx.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])
    forbidden = (
        causal_mask(q.shape[-2], mx.default_device())
        | padding_mask(lengths, k.shape[-2])[:, None, None, :]
    )
    scores = mx.where(forbidden, float("-inf"), scores)
    return mx.einsum("bhij,bhjd->bhid", mx.softmax(scores, axis=-1), v)


# ------------------------------------------------------------------------------- positions


# torchport: check(length=10, dim=8)
def sinusoidal_positions(length: int, dim: int, base: float = 10_000.0) -> mx.array:
    """(length, dim): sines and cosines interleaved, as in "Attention Is All You Need"."""
    position = mx.expand_dims(mx.arange(length, dtype=mx.float32), axis=1)
    frequency = mx.exp(mx.arange(0, dim, 2).astype(mx.float32) * (-math.log(base) / dim))
    table = mx.zeros((length, dim))
    table[:, 0::2] = mx.sin(position * frequency)
    table[:, 1::2] = mx.cos(position * frequency)
    return table


def _rotate_half(x: mx.array) -> mx.array:
    """(x₁, x₂) → (-x₂, x₁), on the two halves of the last axis."""
    x1, x2 = chunk(x, 2, dim=-1)
    return mx.concatenate((-x2, x1), axis=-1)


# torchport: check(q=f32[2, 4, 6, 8], k=f32[2, 4, 6, 8])
def apply_rotary(
    q: mx.array, k: mx.array, base: float = 10_000.0, offset: int = 0
) -> Tuple[mx.array, mx.array]:
    """Rotary position embedding (RoPE, 苏剑林 et al., 2021). q, k: (B, H, T, D), D even.

    offset is the position of the first token, for decoding with a cache.
    """
    T, D = q.shape[-2:]
    inv_freq = 1.0 / (base ** (mx.arange(0, D, 2).astype(mx.float32) / D))
    end = offset + T
    t = (mx.arange(end) if offset == 0 else mx.arange(offset, end)).astype(inv_freq.dtype)
    angles = mx.outer(t, inv_freq)  # (T, D/2)
    angles = mx.concatenate((angles, angles), axis=-1)  # (T, D)
    cos, sin = mx.cos(angles).astype(q.dtype), mx.sin(angles).astype(q.dtype)
    return q * cos + _rotate_half(q) * sin, k * cos + _rotate_half(k) * sin


# -------------------------------------------------------------------------------- indexing


# torchport: check(hidden=f32[4, 7, 5], lengths=i64[4] in [1, 7])
def last_valid(hidden: mx.array, lengths: mx.array) -> mx.array:
    """The last real step of each sequence. hidden: (B, T, C), lengths: (B,) → (B, C)."""
    rows = mx.arange(hidden.shape[0])
    return hidden[rows, lengths - 1]


# torchport: check(values=f32[12, 4], index=i64[12] in [0, 4], num_groups=5)
def scatter_mean(values: mx.array, index: mx.array, num_groups: int) -> mx.array:
    """The mean of the rows of each group, 0 for an empty one.

    values: (N, C), index: (N,) → (num_groups, C).
    """
    total = mx.zeros((num_groups, values.shape[1]), dtype=values.dtype)
    total = scatter_add(total, 0, mx.broadcast_to(index[:, None], values.shape), values)
    count = mx.zeros((num_groups,), dtype=values.dtype)
    count = count.at[index].add(mx.ones_like(index, dtype=values.dtype))
    return total / mx.expand_dims(mx.maximum(1, count), axis=-1)


# torchport: check(ids=i64[3, 7] in [0, 50])
def shift_right(ids: mx.array, start_id: int = 1) -> mx.array:
    """What a decoder reads when it must write ids: (B, T) — the same, one step later."""
    shifted = mx.zeros_like(ids)
    shifted[:, 1:] = mx.array(ids[:, :-1])
    shifted[:, 0] = start_id
    return shifted


# torchport: check(logits=f32[3, 12])
def nucleus_filter(logits: mx.array, top_p: float = 0.9) -> mx.array:
    """Keep the smallest set of tokens whose probability reaches top_p; the rest become -inf.

    logits: (B, V). The likeliest token always stays (Holtzman et al., 2020).
    """
    order_2 = argsort_descending(logits)
    ordered, order = mx.take_along_axis(logits, order_2), order_2
    cumulative = mx.cumsum(mx.softmax(ordered, axis=-1), axis=-1)
    drop = cumulative > top_p
    # The token that crosses the threshold is still wanted: move the mask one place right.
    drop = mx.roll(drop, 1, axis=-1)
    drop[..., 0] = False
    drop = scatter(mx.zeros_like(drop), -1, order, drop)
    return mx.where(drop, -math.inf, logits)


# -------------------------------------------------------------------------------- in place


# torchport: check(images=f32[2, 3, 5, 4])
def denormalize(
    images: mx.array,
    mean: Tuple[float, ...] = (0.485, 0.456, 0.406),
    std: Tuple[float, ...] = (0.229, 0.224, 0.225),
) -> mx.array:
    """Undo (x - µ) / σ per channel, in [0, 1]. images: (B, 3, H, W); the argument is left alone."""
    mu = mx.array(mean, dtype=images.dtype).reshape(1, -1, 1, 1)
    sigma = mx.array(std, dtype=images.dtype).reshape(1, -1, 1, 1)
    return mx.minimum(1, mx.maximum(0, mx.array(images) * sigma + mu))


# torchport: check(images=f32[2, 3, 8, 8], top=2, left=3)
def augment(images: mx.array, top: int, left: int, size: int = 4, warmth: float = 1.1) -> mx.array:
    """A square of each image becomes its mean colour, reds get warmer, the border turns black.

    images: (B, 3, H, W); the argument is left alone.
    """
    out = mx.array(images)
    patch = out[:, :, top : top + size, left : left + size]
    # The patch is a view: what is written to it is written to `out`.
    patch[...] = mx.broadcast_to(
        mx.broadcast_to(mx.mean(images, axis=(2, 3), keepdims=True), patch.shape), patch.shape
    ).astype(patch.dtype)
    out[:, :, top : top + size, left : left + size] = patch
    out[:, 0] *= warmth
    out[:, :, mx.array([0, -1])] = 0
    out[..., 0] = 0
    out[..., -1] = 0
    return out


# torchport: check(rewards=f32[3, 6], done=bool[3, 6])
def discounted_returns(rewards: mx.array, done: mx.array, gamma: float = 0.99) -> mx.array:
    """R_t = r_t + γ R_{t+1}, restarted where an episode is done. rewards, done: (B, T)."""
    returns = mx.zeros_like(rewards)
    running = mx.zeros((rewards.shape[0],), dtype=rewards.dtype)
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * running * (~done[:, t]).astype(mx.float32)
        returns[:, t] = running
    return returns


# --------------------------------------------------------------------------------- metrics


# torchport: check(logits=f32[16, 10], targets=i64[16] in [0, 9])
def top_k_accuracy(
    logits: mx.array, targets: mx.array, ks: Tuple[int, ...] = (1, 5)
) -> Tuple[mx.array, ...]:
    """The share of rows whose target is among the k best, one scalar per k.

    logits: (N, C), targets: (N,).
    """
    first = mx.stop_gradient(mx.split(argsort_descending(logits, 1), [max(ks)], axis=1)[0])
    best = first
    hits = best == mx.broadcast_to(targets.reshape(-1, 1), best.shape)
    return tuple(mx.mean(mx.any(hits[:, :k], axis=1).astype(mx.float32)) for k in ks)


# torchport: check(predicted=i64[20] in [0, 3], targets=i64[20] in [0, 3], num_classes=4)
def confusion_matrix(predicted: mx.array, targets: mx.array, num_classes: int) -> mx.array:
    """(num_classes, num_classes) counts; rows are the truth, columns the prediction."""
    cells = targets * num_classes + predicted
    return bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


# -------------------------------------------------------------------------------- numerics


# torchport: check(x=f32[32])
def log1mexp(x: mx.array) -> mx.array:
    """log(1 - e^x) for x < 0, accurate at both ends (Mächler, 2012); x ≥ -1e-6 counts as -1e-6."""
    x = mx.minimum(-EPS, x)
    return mx.where(x > -math.log(2), mx.log(-mx.expm1(x)), mx.log1p(-mx.exp(x)))


# torchport: check(x=f32[4, 9])
def log_cumsum_exp(x: mx.array, dim: int = -1) -> mx.array:
    """log Σ_{j ≤ i} e^{x_j} along dim, shifted by the maximum so that nothing overflows."""
    m = mx.stop_gradient(mx.max(x, axis=dim, keepdims=True))
    return mx.log(mx.cumsum(mx.exp(x - m), axis=dim)) + m


# ------------------------------------------------------------------------------ statistics


# torchport: check(x=f32[16, 6], init=(6,))
class RunningNorm(nn.Module):
    """(x - µ) / σ with the mean and variance seen so far; they move only while training.

    x: (N, num_features). The first batch sets the statistics, later ones by `momentum`.
    """

    mean: mx.array
    var: mx.array
    steps: mx.array

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.mean = mx.zeros((num_features,))
        self.var = mx.ones((num_features,))
        self.steps = mx.array(0, dtype=mx.int64)
        self.freeze(keys=["mean", "var", "steps"], recurse=False)

    def update(self, x: mx.array) -> None:
        var, mean = mx.var(x, axis=0), mx.mean(x, axis=0)
        rate = mx.where(self.steps == 0, 1.0, self.momentum)
        self.mean = mx.stop_gradient(self.mean * (1 - rate) + rate * mean)
        self.var = mx.stop_gradient(self.var * (1 - rate) + rate * var)
        self.steps = mx.stop_gradient(self.steps + 1)

    def __call__(self, x: mx.array) -> mx.array:
        if self.training:
            self.update(x)
        return (x - self.mean) * mx.rsqrt(self.var + self.eps)


# torchport: check(value=f32[5])
def sync_mean(value: mx.array, world_size: int = 1) -> mx.array:
    """The mean of value over all processes; in a single process, value itself.

    Collectives have no counterpart that a rule could choose (in JAX they depend on how the arrays
    are sharded), so torchport leaves this call as it is and says so.
    """
    if world_size > 1:
        import torch.distributed as dist

        value = mx.array(value)
        # torchport: not ported: torch.distributed.all_reduce has no rule
        dist.all_reduce(value)
    return value / world_size
