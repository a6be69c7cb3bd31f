"""Losses and the distances they rest on: torch.nn.functional.

Those of nn.losses take arguments of one shape; where torch's are often broadcast they are written out.
The deprecated arguments `size_average` and `reduce` are left out, so what follows them is keyword-only.
"""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from torchport_translators.catalogue import ports


def _reduce(loss, reduction):
    if reduction == "mean":
        return mx.mean(loss)
    if reduction == "sum":
        return mx.sum(loss)
    return loss


# ------------------------------------------------------------------------------- regression


@ports("torch.nn.functional.mse_loss")
def mse_loss(input, target, *, reduction="mean"):
    return _reduce(mx.square(input - target), reduction)


@ports("torch.nn.functional.l1_loss")
def l1_loss(input, target, *, reduction="mean"):
    return _reduce(mx.abs(input - target), reduction)


@ports("torch.nn.functional.huber_loss")
def huber_loss(input, target, reduction="mean", delta=1.0):
    return nn.losses.huber_loss(input, target, delta=delta, reduction=reduction)


@ports("torch.nn.functional.smooth_l1_loss")
def smooth_l1_loss(input, target, *, reduction="mean", beta=1.0):
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return nn.losses.smooth_l1_loss(input, target, beta=beta, reduction=reduction)


@ports("torch.nn.functional.poisson_nll_loss")
def poisson_nll_loss(input, target, log_input=True, full=False, *, eps=1e-8, reduction="mean"):
    if log_input:
        loss = mx.exp(input) - target * input
    else:
        loss = input - target * mx.log(input + eps)
    if full:
        loss = loss + _stirling(target)
    return _reduce(loss, reduction)


def _stirling(target):
    """Stirling's approximation of log(target!), 0 up to 1."""
    safe = mx.maximum(target, 1)
    stirling = safe * mx.log(safe) - safe + 0.5 * mx.log(2 * math.pi * safe)
    return mx.where(target > 1, stirling, 0)


@ports("torch.nn.functional.gaussian_nll_loss")
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """The variance is one for each element, or for each row; the floor `eps` has no gradient."""
    var = mx.asarray(var, input.dtype)
    if var.shape == input.shape[:-1] and var.ndim > 0:
        var = var[..., None]
    var = var + mx.stop_gradient(mx.maximum(var, eps) - var)
    loss = 0.5 * (mx.log(var) + mx.square(input - target) / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction)


@ports("torch.nn.functional.kl_div")
def kl_div(input, target, *, reduction="mean", log_target=False):
    """`input` holds log-probabilities."""
    if log_target:
        loss = mx.exp(target) * (target - input)
    else:
        loss = target * (mx.log(mx.where(target == 0, 1, target)) - input)
    if reduction == "batchmean":
        return mx.sum(loss) / input.shape[0]
    return _reduce(loss, reduction)


# --------------------------------------------------------------------------- classification


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


def _weighted_cross_entropy(
    logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """Cross-entropy with a weight for each class; a mean is over the weights of the targets."""
    axis = 0 if logits.ndim == 1 else 1
    classes = logits.shape[axis]
    log_probs = nn.log_softmax(logits, axis=axis)
    weight = mx.ones(classes, logits.dtype) if weight is None else weight
    weighted = log_probs * weight.reshape(-1, *[1] * (logits.ndim - axis - 1))
    if mx.issubdtype(target.dtype, mx.floating):
        target = (1 - label_smoothing) * target + label_smoothing / classes
        return _reduce(-mx.sum(weighted * target, axis=axis), reduction)
    counted = target.astype(mx.int32) != ignore_index  # which no uint32 compares with
    index = mx.where(counted, target, 0)
    picked = mx.take_along_axis(weighted, mx.expand_dims(index, axis), axis).squeeze(axis)
    smooth = mx.mean(weighted, axis=axis)
    loss = mx.where(counted, -(1 - label_smoothing) * picked - label_smoothing * smooth, 0)
    if reduction == "mean":
        return _mean(loss, mx.sum(mx.where(counted, weight[index], 0)))
    return _reduce(loss, reduction)


@ports("torch.nn.functional.cross_entropy")
def cross_entropy(
    input, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    if weight is None and label_smoothing == 0:
        return _cross_entropy(input, target, ignore_index=ignore_index, reduction=reduction)
    return _weighted_cross_entropy(
        input,
        target,
        weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


@ports("torch.nn.functional.linear_cross_entropy")
def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """Cross-entropy of a linear layer's output; `options`, how torch saves memory, has no effect."""
    logits = mx.tensordot(input, linear_weight, axes=([-1], [-1]))
    return cross_entropy(
        logits if linear_bias is None else logits + linear_bias,
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


@ports("torch.nn.functional.nll_loss")
def nll_loss(input, target, weight=None, *, ignore_index=-100, reduction="mean"):
    """Classes lie along axis 1, or 0 unbatched; a mean is over the weights of the targets."""
    if input.ndim == 1:
        return nll_loss(
            input[None], target[None], weight, ignore_index=ignore_index, reduction=reduction
        ).reshape(target.shape)
    counted = target.astype(mx.int32) != ignore_index  # which no uint32 compares with
    index = mx.where(counted, target, 0)
    picked = mx.take_along_axis(input, index[:, None], axis=1).squeeze(1)
    share = mx.where(counted, 1 if weight is None else weight[index], 0)
    loss = mx.where(counted, -share * picked, 0)
    if reduction == "mean":
        return _mean(loss, mx.sum(share))
    return _reduce(loss, reduction)


def _clamped_log(x):
    """The logarithm, at 0 -100 with slope 1e12, as torch's binary cross-entropy has it."""
    return mx.where(x > 0, mx.log(mx.where(x > 0, x, 1)), 1e12 * x - 100)


@ports("torch.nn.functional.binary_cross_entropy")
def binary_cross_entropy(input, target, weight=None, *, reduction="mean"):
    """`input` holds probabilities."""
    loss = (target - 1) * _clamped_log(1 - input)
    loss -= target * _clamped_log(input)
    return _reduce(loss if weight is None else loss * weight, reduction)


@ports("torch.nn.functional.binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    input, target, weight=None, *, reduction="mean", pos_weight=None
):
    if pos_weight is not None:
        loss = (target - 1) * nn.log_sigmoid(-input) - pos_weight * target * nn.log_sigmoid(input)
        return _reduce(loss if weight is None else loss * weight, reduction)
    if weight is not None:
        loss = nn.losses.binary_cross_entropy(input, target, reduction="none")
        return _reduce(loss * weight, reduction)
    return nn.losses.binary_cross_entropy(input, target, reduction=reduction)


@ports("torch.nn.functional.soft_margin_loss")
def soft_margin_loss(input, target, *, reduction="mean"):
    return _reduce(nn.softplus(-target * input), reduction)


@ports("torch.nn.functional.multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(input, target, weight=None, *, reduction="mean"):
    loss = nn.losses.binary_cross_entropy(input, target, reduction="none")
    return _reduce(mx.mean(loss if weight is None else loss * weight, axis=-1), reduction)


@ports("torch.nn.functional.multi_margin_loss")
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, *, reduction="mean"):
    """How far each other class comes within the margin of the target's; the batch is optional."""
    index, rows = mx.expand_dims(target, -1), input.reshape(*target.shape, -1)
    excess = nn.relu(margin - mx.take_along_axis(rows, index, axis=-1) + rows)
    if p != 1:
        excess = excess**p
    if weight is not None:
        excess = weight[index] * excess
    others = mx.arange(rows.shape[-1]) != index
    return _reduce(mx.mean(mx.where(others, excess, 0), axis=-1), reduction)


@ports("torch.nn.functional.multilabel_margin_loss")
def multilabel_margin_loss(input, target, *, reduction="mean"):
    """The targets of a row are the class indices before its first -1."""
    input, target = mx.atleast_1d(input), mx.atleast_1d(target)
    classes = mx.arange(input.shape[-1])
    listed = mx.cumprod(target >= 0, axis=-1) == 1
    is_target = mx.any((target[..., None] == classes) & listed[..., None], axis=-2)
    own = mx.take_along_axis(input, mx.where(listed, target, 0), axis=-1)
    excess = nn.relu(1 - own[..., :, None] + input[..., None, :])
    excess = mx.where(listed[..., :, None] & ~is_target[..., None, :], excess, 0)
    return _reduce(mx.sum(excess, axis=(-2, -1)) / input.shape[-1], reduction)


# ------------------------------------------------------------------- distances and embeddings


@ports("torch.nn.functional.cosine_similarity", "torch.cosine_similarity")
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """Each norm is at least `eps`."""
    x1, x2 = mx.broadcast_arrays(x1, x2)
    unit1, unit2 = normalize(x1, dim=dim, eps=eps), normalize(x2, dim=dim, eps=eps)
    return mx.sum(unit1 * unit2, axis=dim)


@ports("torch.nn.functional.normalize")
def normalize(input, p=2.0, dim=1, eps=1e-12):
    """The input over its p-norm, which is at least `eps`."""
    return input / mx.maximum(_norm(input, p, axis=dim, keepdims=True), eps)


def _norm(x, p=2.0, axis=-1, keepdims=False):
    """mx.linalg.norm, with gradient 0 where `x` is 0 and not nan or 1."""
    zero = mx.all(x == 0, axis=axis, keepdims=True)
    norm = mx.linalg.norm(mx.where(x == 0, zero, x), p, axis=axis, keepdims=True)
    norm *= ~zero
    return norm if keepdims else norm.squeeze(axis)


@ports("torch.nn.functional.pairwise_distance", "torch.pairwise_distance")
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    return _norm(x1 - x2 + eps, p, keepdims=keepdim)


@ports("torch.nn.functional.pdist", "torch.pdist")
def pdist(input, p=2.0):
    """The distance of each pair of rows, in the order of the upper triangle."""
    first, second = map(mx.array, np.triu_indices(input.shape[0], k=1))
    return _norm(input[first] - input[second], p)


@ports("torch.nn.functional.margin_ranking_loss")
def margin_ranking_loss(input1, input2, target, margin=0, *, reduction="mean"):
    excess = margin - target * (input1 - input2)
    return _reduce(mx.maximum(0, excess), reduction)


@ports("torch.nn.functional.hinge_embedding_loss")
def hinge_embedding_loss(input, target, margin=1.0, *, reduction="mean"):
    excess = margin - input
    far = mx.where(target != 1, mx.maximum(0, excess), 0)
    return _reduce(far + mx.where(target != -1, input, 0), reduction)


@ports("torch.nn.functional.cosine_embedding_loss")
def cosine_embedding_loss(input1, input2, target, margin=0, *, reduction="mean"):
    """1 - cos where the target is 1, what of cos exceeds the margin where it is -1."""
    square1 = mx.sum(mx.square(input1), axis=-1) + 1e-12
    square2 = mx.sum(mx.square(input2), axis=-1) + 1e-12
    cosine = mx.sum(input1 * input2, axis=-1) / mx.sqrt(square1 * square2)
    near = mx.where(target == 1, 1 - cosine, 0)
    excess = cosine - margin
    return _reduce(near + mx.where(target == -1, mx.maximum(0, excess), 0), reduction)


@ports("torch.nn.functional.triplet_margin_loss")
def triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, *, reduction="mean"
):
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = mx.minimum(far, pairwise_distance(positive, negative, p, eps))
    excess = margin + near - far
    return _reduce(mx.maximum(0, excess), reduction)


@ports("torch.nn.functional.triplet_margin_with_distance_loss")
def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = mx.minimum(far, distance(positive, negative))
    excess = margin + near - far
    return _reduce(mx.maximum(0, excess), reduction)


# --------------------------------------------------------------------------------- sequences


@ports("torch.nn.functional.ctc_loss")
def ctc_loss(
    log_probs,
    targets,
    input_lengths,
    target_lengths,
    blank=0,
    reduction="mean",
    zero_infinity=False,
):
    """The loss of log-probabilities (time, batch, classes), or (time, classes) unbatched.

    Targets are (batch, length), or all of a batch in one row. The states of Graves et al. (2006) are the
    labels with a blank around each; `state` holds the log-probability of being in one at a time.
    """
    batched = log_probs.ndim == 3
    log_probs = log_probs if batched else log_probs[:, None]
    # Torch's gradient takes them for the result of log_softmax.
    normal = nn.log_softmax(log_probs)
    log_probs = normal + mx.stop_gradient(log_probs - normal)
    input_lengths = mx.array(input_lengths).reshape(-1, 1)
    target_lengths = mx.array(target_lengths).reshape(-1, 1)
    place = mx.arange(targets.shape[-1] if targets.ndim == 2 else mx.max(target_lengths).item())
    if targets.ndim == 1:
        starts = mx.cumsum(target_lengths, axis=0) - target_lengths
        targets = targets[mx.minimum(starts + place, targets.size - 1)]
    steps, batch, _ = log_probs.shape
    labels = mx.full((batch, 2 * targets.shape[1] + 1), blank, targets.dtype)
    labels[:, 1::2] = mx.where(place < target_lengths, targets, blank)
    seen = mx.take_along_axis(log_probs, mx.broadcast_to(labels, (steps, *labels.shape)), axis=2)
    # The blank between two labels may be left out unless they are equal.
    never = mx.full((batch, 2), -1e30)
    may_skip = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    state = mx.concatenate([seen[0, :, :2], mx.full((batch, labels.shape[1] - 2), -1e30)], axis=1)
    for step in range(1, steps):
        moved = mx.concatenate([never[:, :1], state[:, :-1]], axis=1)
        skipped = mx.concatenate([never, mx.where(may_skip, state[:, :-2], -1e30)], axis=1)
        reached = mx.logaddexp(mx.logaddexp(state, moved), skipped) + seen[step]
        state = mx.where(step < input_lengths, reached, state)
    end = 2 * target_lengths
    blank_last = mx.take_along_axis(state, end, axis=1)
    label_last = mx.take_along_axis(state, mx.maximum(end - 1, 0), axis=1)
    loss = -mx.logaddexp(blank_last, mx.where(end > 0, label_last, -1e30)).squeeze(1)
    loss = mx.where(loss < 1e29, loss, 0 if zero_infinity else mx.inf)
    if reduction == "mean":
        return mx.mean(loss / mx.maximum(target_lengths[:, 0], 1))
    return _reduce(loss if batched else loss[0], reduction)


# ------------------------------------------- torch's own functions, which take numbered reductions


def _reduction(number):
    return "mean" if number == 1 else "sum" if number == 2 else "none"


@ports("torch.binary_cross_entropy_with_logits")
def torch_binary_cross_entropy_with_logits(
    input, target, weight=None, pos_weight=None, reduction=1
):
    return binary_cross_entropy_with_logits(
        input, target, weight, pos_weight=pos_weight, reduction=_reduction(reduction)
    )


@ports("torch.poisson_nll_loss")
def torch_poisson_nll_loss(input, target, log_input, full, eps, reduction):
    return poisson_nll_loss(
        input, target, log_input, full, eps=eps, reduction=_reduction(reduction)
    )


@ports("torch.kl_div")
def torch_kl_div(input, target, reduction=1, *, log_target=False):
    return kl_div(input, target, log_target=log_target, reduction=_reduction(reduction))


@ports("torch.margin_ranking_loss")
def torch_margin_ranking_loss(input1, input2, target, margin=0.0, reduction=1):
    return margin_ranking_loss(input1, input2, target, margin, reduction=_reduction(reduction))


@ports("torch.hinge_embedding_loss")
def torch_hinge_embedding_loss(input, target, margin=1.0, reduction=1):
    return hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction))


@ports("torch.cosine_embedding_loss")
def torch_cosine_embedding_loss(input1, input2, target, margin=0.0, reduction=1):
    return cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction))


@ports("torch.triplet_margin_loss")
def torch_triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction=1
):
    return triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=_reduction(reduction)
    )


@ports("torch.ctc_loss")
def torch_ctc_loss(
    log_probs,
    targets,
    input_lengths,
    target_lengths,
    blank=0,
    reduction=1,
    zero_infinity=False,
):
    return ctc_loss(
        log_probs,
        targets,
        input_lengths,
        target_lengths,
        blank,
        _reduction(reduction),
        zero_infinity,
    )
