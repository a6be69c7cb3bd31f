"""Losses and the distances they rest on: torch.nn.functional.

The deprecated arguments `size_average` and `reduce` are left out, so what follows them is keyword-only.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax

from torchport_translators.catalogue import ports


def _reduce(loss, reduction):
    if reduction == "mean":
        return jnp.mean(loss)
    if reduction == "sum":
        return jnp.sum(loss)
    return loss


# ------------------------------------------------------------------------------- regression


@ports("torch.nn.functional.mse_loss")
def mse_loss(input, target, *, reduction="mean"):
    return _reduce(jnp.square(input - target), reduction)


@ports("torch.nn.functional.l1_loss")
def l1_loss(input, target, *, reduction="mean"):
    """The absolute difference, with slope 0 where there is none; jnp.abs has slope 1 there."""
    return _reduce(jnp.maximum(input - target, target - input), reduction)


@ports("torch.nn.functional.huber_loss")
def huber_loss(input, target, reduction="mean", delta=1.0):
    return _reduce(optax.huber_loss(input, target, delta=delta), reduction)


@ports("torch.nn.functional.smooth_l1_loss")
def smooth_l1_loss(input, target, *, reduction="mean", beta=1.0):
    """Huber's loss divided by `beta`; the absolute difference where `beta` is 0."""
    if beta == 1:
        return _reduce(optax.huber_loss(input, target), reduction)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return _reduce(optax.huber_loss(input, target, delta=beta) / beta, reduction)


@ports("torch.nn.functional.poisson_nll_loss")
def poisson_nll_loss(input, target, log_input=True, full=False, *, eps=1e-8, reduction="mean"):
    if log_input:
        loss = jnp.exp(input) - target * input
    else:
        loss = input - target * jnp.log(input + eps)
    if full:
        loss = loss + _stirling(target)
    return _reduce(loss, reduction)


def _stirling(target):
    """Stirling's approximation of log(target!), 0 up to 1."""
    safe = jnp.maximum(target, 1)
    stirling = safe * jnp.log(safe) - safe + 0.5 * jnp.log(2 * math.pi * safe)
    return jnp.where(target > 1, stirling, 0)


@ports("torch.nn.functional.gaussian_nll_loss")
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """The variance is one for each element, or for each row; the floor `eps` has no gradient."""
    var = jnp.asarray(var, input.dtype)
    if var.shape == input.shape[:-1] and var.ndim > 0:
        var = var[..., None]
    var = var + jax.lax.stop_gradient(jnp.maximum(var, eps) - var)
    loss = 0.5 * (jnp.log(var) + jnp.square(input - target) / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction)


@ports("torch.nn.functional.kl_div")
def kl_div(input, target, *, reduction="mean", log_target=False):
    """`input` holds log-probabilities."""
    if log_target:
        loss = jnp.exp(target) * (target - input)
    else:
        loss = jax.scipy.special.xlogy(target, target) - target * input
    if reduction == "batchmean":
        return jnp.sum(loss) / input.shape[0]
    return _reduce(loss, reduction)


# --------------------------------------------------------------------------- classification


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


def _weighted_cross_entropy(
    logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """Cross-entropy with a weight for each class; a mean is over the weights of the targets."""
    axis = 0 if logits.ndim == 1 else 1
    classes = logits.shape[axis]
    log_probs = jax.nn.log_softmax(logits, axis=axis)
    weight = jnp.ones(classes, logits.dtype) if weight is None else weight
    weighted = log_probs * jnp.expand_dims(weight, range(1, logits.ndim - axis))
    if jnp.issubdtype(target.dtype, jnp.floating):
        target = (1 - label_smoothing) * target + label_smoothing / classes
        return _reduce(-jnp.sum(weighted * target, axis=axis), reduction)
    counted = target != ignore_index
    index = jnp.where(counted, target, 0)
    picked = jnp.take_along_axis(weighted, jnp.expand_dims(index, axis), axis).squeeze(axis)
    smooth = jnp.mean(weighted, axis=axis)
    loss = jnp.where(counted, -(1 - label_smoothing) * picked - label_smoothing * smooth, 0)
    if reduction == "mean":
        return jnp.sum(loss) / jnp.sum(jnp.where(counted, weight[index], 0))
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
    logits = jnp.tensordot(input, linear_weight, axes=(-1, -1))
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
    counted = target != ignore_index
    index = jnp.where(counted, target, 0)
    picked = jnp.take_along_axis(input, index[:, None], axis=1).squeeze(1)
    share = jnp.where(counted, 1 if weight is None else weight[index], 0)
    loss = jnp.where(counted, -share * picked, 0)
    if reduction == "mean":
        return jnp.sum(loss) / jnp.sum(share)
    return _reduce(loss, reduction)


def _clamped_log(x):
    """The logarithm, at 0 -100 with slope 1e12, as torch's binary cross-entropy has it."""
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1)), 1e12 * x - 100)


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
    if pos_weight is None:
        loss = optax.sigmoid_binary_cross_entropy(input, target)
    else:
        loss = (target - 1) * jax.nn.log_sigmoid(-input) - (
            pos_weight * target * jax.nn.log_sigmoid(input)
        )
    return _reduce(loss if weight is None else loss * weight, reduction)


@ports("torch.nn.functional.soft_margin_loss")
def soft_margin_loss(input, target, *, reduction="mean"):
    return _reduce(jax.nn.softplus(-target * input), reduction)


@ports("torch.nn.functional.multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(input, target, weight=None, *, reduction="mean"):
    loss = optax.sigmoid_binary_cross_entropy(input, target)
    return _reduce(jnp.mean(loss if weight is None else loss * weight, axis=-1), reduction)


@ports("torch.nn.functional.multi_margin_loss")
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, *, reduction="mean"):
    """How far each other class comes within the margin of the target's; the batch is optional."""
    index = target.reshape(*input.shape[:-1], 1)
    excess = jax.nn.relu(margin - jnp.take_along_axis(input, index, axis=-1) + input) ** p
    if weight is not None:
        excess = weight[index] * excess
    others = jnp.arange(input.shape[-1]) != index
    return _reduce(jnp.mean(jnp.where(others, excess, 0), axis=-1), reduction)


@ports("torch.nn.functional.multilabel_margin_loss")
def multilabel_margin_loss(input, target, *, reduction="mean"):
    """The targets of a row are the class indices before its first -1."""
    classes = jnp.arange(input.shape[-1])
    listed = jnp.cumprod(target >= 0, axis=-1, dtype=bool)
    is_target = jnp.any((target[..., None] == classes) & listed[..., None], axis=-2)
    own = jnp.take_along_axis(input, jnp.where(listed, target, 0), axis=-1)
    excess = jax.nn.relu(1 - own[..., :, None] + input[..., None, :])
    excess = jnp.where(listed[..., :, None] & ~is_target[..., None, :], excess, 0)
    return _reduce(jnp.sum(excess, axis=(-2, -1)) / input.shape[-1], reduction)


# ------------------------------------------------------------------- distances and embeddings


@ports("torch.nn.functional.cosine_similarity", "torch.cosine_similarity")
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """Each norm is at least `eps`."""
    x1, x2 = jnp.broadcast_arrays(x1, x2)
    unit1, unit2 = normalize(x1, dim=dim, eps=eps), normalize(x2, dim=dim, eps=eps)
    return jnp.sum(unit1 * unit2, axis=dim)


@ports("torch.nn.functional.normalize")
def normalize(input, p=2.0, dim=1, eps=1e-12):
    """The input over its p-norm, which is at least `eps`."""
    return input / jnp.maximum(_norm(input, p, axis=dim, keepdims=True), eps)


def _norm(x, p=2.0, axis=-1, keepdims=False):
    """jnp.linalg.norm, with gradient 0 where `x` is 0 and not nan or 1."""
    zero = jnp.all(x == 0, axis=axis, keepdims=True)
    norm = jnp.linalg.norm(jnp.where(x == 0, zero, x), p, axis=axis, keepdims=True)
    norm *= ~zero
    return norm if keepdims else norm.squeeze(axis)


@ports("torch.nn.functional.pairwise_distance", "torch.pairwise_distance")
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    return _norm(x1 - x2 + eps, p, keepdims=keepdim)


@ports("torch.nn.functional.pdist", "torch.pdist")
def pdist(input, p=2.0):
    """The distance of each pair of rows, in the order of the upper triangle."""
    first, second = jnp.triu_indices(input.shape[0], k=1)
    return _norm(input[first] - input[second], p)


@ports("torch.nn.functional.margin_ranking_loss")
def margin_ranking_loss(input1, input2, target, margin=0, *, reduction="mean"):
    excess = margin - target * (input1 - input2)
    return _reduce(_at_least_zero(excess), reduction)


@ports("torch.nn.functional.hinge_embedding_loss")
def hinge_embedding_loss(input, target, margin=1.0, *, reduction="mean"):
    excess = margin - input
    far = jnp.where(target != 1, _at_least_zero(excess), 0)
    return _reduce(far + jnp.where(target != -1, input, 0), reduction)


def _at_least_zero(x):
    """max(x, 0) with slope 1 at 0, as torch.clamp_min has; jax.nn.relu has slope 0 there."""
    return jnp.where(x < 0, 0, x)


@ports("torch.nn.functional.cosine_embedding_loss")
def cosine_embedding_loss(input1, input2, target, margin=0, *, reduction="mean"):
    """1 - cos where the target is 1, what of cos exceeds the margin where it is -1."""
    square1 = jnp.sum(jnp.square(input1), axis=-1) + 1e-12
    square2 = jnp.sum(jnp.square(input2), axis=-1) + 1e-12
    cosine = jnp.sum(input1 * input2, axis=-1) / jnp.sqrt(square1 * square2)
    near = jnp.where(target == 1, 1 - cosine, 0)
    excess = cosine - margin
    return _reduce(near + jnp.where(target == -1, _at_least_zero(excess), 0), reduction)


@ports("torch.nn.functional.triplet_margin_loss")
def triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, *, reduction="mean"
):
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = jnp.minimum(far, pairwise_distance(positive, negative, p, eps))
    excess = margin + near - far
    return _reduce(_at_least_zero(excess), reduction)


@ports("torch.nn.functional.triplet_margin_with_distance_loss")
def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = jnp.minimum(far, distance(positive, negative))
    excess = margin + near - far
    return _reduce(_at_least_zero(excess), reduction)


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
    """optax.ctc_loss for (time, batch, classes); targets (batch, length), or (length,) unbatched."""
    batched = log_probs.ndim == 3
    logits = log_probs.swapaxes(0, 1) if batched else log_probs[None]
    labels = targets if batched else targets[None]
    input_lengths = jnp.asarray(input_lengths).reshape(-1, 1)
    target_lengths = jnp.asarray(target_lengths).reshape(-1, 1)
    loss = optax.ctc_loss(
        logits,
        jnp.arange(logits.shape[1]) >= input_lengths,
        labels,
        jnp.arange(labels.shape[1]) >= target_lengths,
        blank_id=blank,
    )
    # optax stands in 1e5 for an alignment that cannot be.
    loss = jnp.where(loss < 5e4, loss, 0 if zero_infinity else jnp.inf)
    if reduction == "mean":
        return jnp.mean(loss / jnp.maximum(target_lengths[:, 0], 1))
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
