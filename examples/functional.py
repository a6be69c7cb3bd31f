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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6


# ---------------------------------------------------------------------------------- losses


# torchport: check(logits=f32[8, 5], targets=f32[8, 5] in [0, 1])
def focal_loss(
    logits: Tensor,
    targets: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    reduction: str = "mean",
) -> Tensor:
    """Binary focal loss (Lin et al., 2017): easy examples weigh (1 - p)^γ less.

    logits, targets: any one shape, targets in [0, 1].
    """
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = ce * (1 - p_t) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss

    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    return loss


# torchport: check(logits=f32[2, 4, 6, 5], targets=i64[2, 6, 5] in [0, 3])
def dice_loss(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice, averaged over classes. logits: (B, C, H, W), targets: (B, H, W) class ids."""
    num_classes = logits.shape[1]
    probs = F.softmax(logits, dim=1)
    # one_hot puts the classes last: (B, H, W, C) → (B, C, H, W)
    onehot = F.one_hot(targets, num_classes).permute(0, 3, 1, 2).to(probs.dtype)
    dims = (0, 2, 3)
    intersection = (probs * onehot).sum(dim=dims)
    total = probs.sum(dim=dims) + onehot.sum(dim=dims)
    return 1.0 - ((2.0 * intersection + smooth) / (total + smooth)).mean()


# torchport: check(logits=f32[6, 10], targets=i64[6] in [0, 9])
def label_smoothing_loss(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, ignore_index: int = -100
) -> Tensor:
    """Cross-entropy in which every class gets ε/C of the target's probability mass.

    logits: (N, C), targets: (N,). Rows whose target is ignore_index do not count.
    """
    log_probs = F.log_softmax(logits, dim=-1)
    keep = targets != ignore_index
    # gather needs a valid index everywhere; what it reads for an ignored row is dropped below.
    safe = targets.clamp(min=0)
    nll = -log_probs.gather(dim=-1, index=safe.unsqueeze(-1)).squeeze(-1)
    uniform = -log_probs.mean(dim=-1)
    loss = (1.0 - smoothing) * nll + smoothing * uniform
    return loss.masked_fill(~keep, 0.0).sum() / keep.sum().clamp(min=1)


# torchport: check(query=f32[6, 16], key=f32[6, 16])
def info_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Symmetric InfoNCE: row i of query belongs to row i of key; the other rows are negatives."""
    query = F.normalize(query, dim=-1)
    key = F.normalize(key, p=2, dim=-1)
    logits = query @ key.T / temperature
    labels = torch.arange(len(query), device=query.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2


# ----------------------------------------------------------------------------------- masks


# torchport: check(size=6)
def causal_mask(size: int, device: Optional[torch.device] = None) -> Tensor:
    """(size, size) bool, True where attention is forbidden: j > i."""
    return torch.triu(torch.ones(size, size, dtype=torch.bool, device=device), diagonal=1)


# torchport: check(lengths=i64[4] in [1, 8], max_len=8)
def padding_mask(lengths: Tensor, max_len: Optional[int] = None) -> Tensor:
    """(B, max_len) bool, True on padding. Without max_len, the longest sequence decides."""
    if max_len is None:
        max_len = int(lengths.max().item())
    return torch.arange(max_len, device=lengths.device)[None, :] >= lengths[:, None]


# torchport: check(q=f32[2, 4, 6, 8], k=f32[2, 4, 6, 8], v=f32[2, 4, 6, 8], lengths=i64[2] in [1, 6])
def masked_attention(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Tensor:
    """Causal attention over padded sequences. q, k, v: (B, H, T, D), lengths: (B,)."""
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])
    forbidden = (
        causal_mask(q.shape[-2], q.device) | padding_mask(lengths, k.shape[-2])[:, None, None, :]
    )
    scores.masked_fill_(forbidden, float("-inf"))
    return torch.einsum("bhij,bhjd->bhid", scores.softmax(dim=-1), v)


# ------------------------------------------------------------------------------- positions


# torchport: check(length=10, dim=8)
def sinusoidal_positions(length: int, dim: int, base: float = 10_000.0) -> Tensor:
    """(length, dim): sines and cosines interleaved, as in "Attention Is All You Need"."""
    position = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, dim, 2).float() * (-math.log(base) / dim))
    table = torch.zeros(length, dim)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table


def _rotate_half(x: Tensor) -> Tensor:
    """(x₁, x₂) → (-x₂, x₁), on the two halves of the last axis."""
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((-x2, x1), dim=-1)


# torchport: check(q=f32[2, 4, 6, 8], k=f32[2, 4, 6, 8])
def apply_rotary(
    q: Tensor, k: Tensor, base: float = 10_000.0, offset: int = 0
) -> Tuple[Tensor, Tensor]:
    """Rotary position embedding (RoPE, 苏剑林 et al., 2021). q, k: (B, H, T, D), D even.

    offset is the position of the first token, for decoding with a cache.
    """
    T, D = q.shape[-2:]
    inv_freq = 1.0 / (base ** (torch.arange(0, D, 2, device=q.device).float() / D))
    t = torch.arange(offset, offset + T, device=q.device).type_as(inv_freq)
    angles = torch.outer(t, inv_freq)  # (T, D/2)
    angles = torch.cat((angles, angles), dim=-1)  # (T, D)
    cos, sin = angles.cos().to(q.dtype), angles.sin().to(q.dtype)
    return q * cos + _rotate_half(q) * sin, k * cos + _rotate_half(k) * sin


# -------------------------------------------------------------------------------- indexing


# torchport: check(hidden=f32[4, 7, 5], lengths=i64[4] in [1, 7])
def last_valid(hidden: Tensor, lengths: Tensor) -> Tensor:
    """The last real step of each sequence. hidden: (B, T, C), lengths: (B,) → (B, C)."""
    rows = torch.arange(hidden.size(0), device=hidden.device)
    return hidden[rows, lengths - 1]


# torchport: check(values=f32[12, 4], index=i64[12] in [0, 4], num_groups=5)
def scatter_mean(values: Tensor, index: Tensor, num_groups: int) -> Tensor:
    """The mean of the rows of each group, 0 for an empty one.

    values: (N, C), index: (N,) → (num_groups, C).
    """
    total = values.new_zeros(num_groups, values.size(1))
    total.scatter_add_(0, index[:, None].expand_as(values), values)
    count = torch.zeros(num_groups, dtype=values.dtype, device=values.device)
    count.index_add_(0, index, torch.ones_like(index, dtype=values.dtype))
    return total / count.clamp_(min=1).unsqueeze(-1)


# torchport: check(ids=i64[3, 7] in [0, 50])
def shift_right(ids: Tensor, start_id: int = 1) -> Tensor:
    """What a decoder reads when it must write ids: (B, T) — the same, one step later."""
    shifted = torch.zeros_like(ids)
    shifted[:, 1:] = ids[:, :-1].clone()
    shifted[:, 0] = start_id
    return shifted


# torchport: check(logits=f32[3, 12])
def nucleus_filter(logits: Tensor, top_p: float = 0.9) -> Tensor:
    """Keep the smallest set of tokens whose probability reaches top_p; the rest become -inf.

    logits: (B, V). The likeliest token always stays (Holtzman et al., 2020).
    """
    ordered, order = torch.sort(logits, descending=True, dim=-1)
    cumulative = ordered.softmax(dim=-1).cumsum(dim=-1)
    drop = cumulative > top_p
    # The token that crosses the threshold is still wanted: move the mask one place right.
    drop = torch.roll(drop, shifts=1, dims=-1)
    drop[..., 0] = False
    drop = torch.zeros_like(drop).scatter(-1, order, drop)
    return logits.masked_fill(drop, -math.inf)


# -------------------------------------------------------------------------------- in place


# torchport: check(images=f32[2, 3, 5, 4])
def denormalize(
    images: Tensor,
    mean: Tuple[float, ...] = (0.485, 0.456, 0.406),
    std: Tuple[float, ...] = (0.229, 0.224, 0.225),
) -> Tensor:
    """Undo (x - µ) / σ per channel, in [0, 1]. images: (B, 3, H, W); the argument is left alone."""
    mu = torch.tensor(mean, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
    sigma = torch.tensor(std, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
    return images.clone().mul_(sigma).add_(mu).clamp_(0, 1)


# torchport: check(images=f32[2, 3, 8, 8], top=2, left=3)
def augment(images: Tensor, top: int, left: int, size: int = 4, warmth: float = 1.1) -> Tensor:
    """A square of each image becomes its mean colour, reds get warmer, the border turns black.

    images: (B, 3, H, W); the argument is left alone.
    """
    out = images.clone()
    patch = out[:, :, top : top + size, left : left + size]
    # The patch is a view: what is written to it is written to `out`.
    patch.copy_(images.mean(dim=(2, 3), keepdim=True).expand_as(patch))
    out[:, 0] *= warmth
    out[:, :, [0, -1]] = 0
    out[..., 0] = out[..., -1] = 0
    return out


# torchport: check(rewards=f32[3, 6], done=bool[3, 6])
def discounted_returns(rewards: Tensor, done: Tensor, gamma: float = 0.99) -> Tensor:
    """R_t = r_t + γ R_{t+1}, restarted where an episode is done. rewards, done: (B, T)."""
    returns = torch.empty_like(rewards)
    running = rewards.new_zeros(rewards.shape[0])
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * running * (~done[:, t]).float()
        returns[:, t] = running
    return returns


# --------------------------------------------------------------------------------- metrics


# torchport: check(logits=f32[16, 10], targets=i64[16] in [0, 9])
@torch.no_grad()
def top_k_accuracy(
    logits: Tensor, targets: Tensor, ks: Tuple[int, ...] = (1, 5)
) -> Tuple[Tensor, ...]:
    """The share of rows whose target is among the k best, one scalar per k.

    logits: (N, C), targets: (N,).
    """
    _, best = logits.topk(max(ks), dim=1, largest=True, sorted=True)
    hits = best.eq(targets.view(-1, 1).expand_as(best))
    return tuple(hits[:, :k].any(dim=1).float().mean() for k in ks)


# torchport: check(predicted=i64[20] in [0, 3], targets=i64[20] in [0, 3], num_classes=4)
def confusion_matrix(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """(num_classes, num_classes) counts; rows are the truth, columns the prediction."""
    cells = targets * num_classes + predicted
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


# -------------------------------------------------------------------------------- numerics


# torchport: check(x=f32[32])
def log1mexp(x: Tensor) -> Tensor:
    """log(1 - e^x) for x < 0, accurate at both ends (Mächler, 2012); x ≥ -1e-6 counts as -1e-6."""
    x = x.clamp(max=-EPS)
    return torch.where(x > -math.log(2), torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


# torchport: check(x=f32[4, 9])
def log_cumsum_exp(x: Tensor, dim: int = -1) -> Tensor:
    """log Σ_{j ≤ i} e^{x_j} along dim, shifted by the maximum so that nothing overflows."""
    m = x.amax(dim=dim, keepdim=True).detach()
    return torch.cumsum((x - m).exp(), dim=dim).log() + m


# ------------------------------------------------------------------------------ statistics


# torchport: check(x=f32[16, 6], init=(6,))
class RunningNorm(nn.Module):
    """(x - µ) / σ with the mean and variance seen so far; they move only while training.

    x: (N, num_features). The first batch sets the statistics, later ones by `momentum`.
    """

    mean: Tensor
    var: Tensor
    steps: Tensor

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("var", torch.ones(num_features))
        self.register_buffer("steps", torch.tensor(0, dtype=torch.long))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        var, mean = torch.var_mean(x, dim=0, unbiased=False)
        rate = torch.where(self.steps == 0, 1.0, self.momentum)
        self.mean.mul_(1 - rate).add_(rate * mean)
        self.var.mul_(1 - rate).add_(rate * var)
        self.steps += 1

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.update(x)
        return (x - self.mean) * torch.rsqrt(self.var + self.eps)


# torchport: check(value=f32[5])
def sync_mean(value: Tensor, world_size: int = 1) -> Tensor:
    """The mean of value over all processes; in a single process, value itself.

    Collectives have no counterpart that a rule could choose (in JAX they depend on how the arrays
    are sharded), so torchport leaves this call as it is and says so.
    """
    if world_size > 1:
        import torch.distributed as dist

        value = value.clone()
        dist.all_reduce(value)
    return value / world_size
