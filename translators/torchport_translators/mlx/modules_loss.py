"""Losses: torch.nn modules as functions. Those of nn.losses raise where the shapes differ.

The deprecated arguments `size_average` and `reduce` are left out, so what follows them is keyword-only.
"""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.losses import (
    _cross_entropy,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cross_entropy,
    ctc_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    kl_div,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    poisson_nll_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)


class WeightedLoss(nn.Module):
    """A loss with weights of classes or elements, which a checkpoint holds as torch's does."""

    def __init__(self, loss, **weights):
        super().__init__()
        self.loss = loss
        self._names = [name for name, weight in weights.items() if weight is not None]
        for name in self._names:
            setattr(self, name, weights[name])
        self.freeze()

    def __call__(self, input, target):
        return self.loss(input, target, **{name: self[name] for name in self._names})


# ------------------------------------------------------------------------------- regression


@ports("torch.nn.MSELoss")
def MSELoss(*, reduction="mean"):
    return partial(nn.losses.mse_loss, reduction=reduction)


@ports("torch.nn.L1Loss")
def L1Loss(*, reduction="mean"):
    return partial(nn.losses.l1_loss, reduction=reduction)


@ports("torch.nn.HuberLoss")
def HuberLoss(reduction="mean", delta=1.0):
    return partial(nn.losses.huber_loss, delta=delta, reduction=reduction)


@ports("torch.nn.SmoothL1Loss")
def SmoothL1Loss(*, reduction="mean", beta=1.0):
    if beta == 0:
        return partial(nn.losses.l1_loss, reduction=reduction)
    return partial(nn.losses.smooth_l1_loss, beta=beta, reduction=reduction)


@ports("torch.nn.PoissonNLLLoss")
def PoissonNLLLoss(log_input=True, full=False, *, eps=1e-8, reduction="mean"):
    return partial(poisson_nll_loss, log_input=log_input, full=full, eps=eps, reduction=reduction)


@ports("torch.nn.GaussianNLLLoss")
def GaussianNLLLoss(*, full=False, eps=1e-6, reduction="mean"):
    return partial(gaussian_nll_loss, full=full, eps=eps, reduction=reduction)


@ports("torch.nn.KLDivLoss")
def KLDivLoss(*, reduction="mean", log_target=False):
    return partial(kl_div, reduction=reduction, log_target=log_target)


# --------------------------------------------------------------------------- classification


@ports("torch.nn.CrossEntropyLoss")
def CrossEntropyLoss(weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    if weight is None and label_smoothing == 0:
        return partial(_cross_entropy, ignore_index=ignore_index, reduction=reduction)
    loss = partial(
        cross_entropy,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
    return loss if weight is None else WeightedLoss(loss, weight=weight)


@ports("torch.nn.NLLLoss", "torch.nn.NLLLoss2d")
def NLLLoss(weight=None, *, ignore_index=-100, reduction="mean"):
    loss = partial(nll_loss, ignore_index=ignore_index, reduction=reduction)
    return loss if weight is None else WeightedLoss(loss, weight=weight)


@ports("torch.nn.BCELoss")
def BCELoss(weight=None, *, reduction="mean"):
    loss = partial(binary_cross_entropy, reduction=reduction)
    return loss if weight is None else WeightedLoss(loss, weight=weight)


@ports("torch.nn.BCEWithLogitsLoss")
def BCEWithLogitsLoss(weight=None, *, reduction="mean", pos_weight=None):
    if weight is None and pos_weight is None:
        return partial(nn.losses.binary_cross_entropy, reduction=reduction)
    loss = partial(binary_cross_entropy_with_logits, reduction=reduction)
    return WeightedLoss(loss, weight=weight, pos_weight=pos_weight)


@ports("torch.nn.SoftMarginLoss")
def SoftMarginLoss(*, reduction="mean"):
    return partial(soft_margin_loss, reduction=reduction)


@ports("torch.nn.MultiLabelSoftMarginLoss")
def MultiLabelSoftMarginLoss(weight=None, *, reduction="mean"):
    loss = partial(multilabel_soft_margin_loss, reduction=reduction)
    return loss if weight is None else WeightedLoss(loss, weight=weight)


@ports("torch.nn.MultiMarginLoss")
def MultiMarginLoss(p=1, margin=1.0, weight=None, *, reduction="mean"):
    loss = partial(multi_margin_loss, p=p, margin=margin, reduction=reduction)
    return loss if weight is None else WeightedLoss(loss, weight=weight)


@ports("torch.nn.MultiLabelMarginLoss")
def MultiLabelMarginLoss(*, reduction="mean"):
    return partial(multilabel_margin_loss, reduction=reduction)


# ------------------------------------------------------------------- distances and sequences


@ports("torch.nn.MarginRankingLoss")
def MarginRankingLoss(margin=0.0, *, reduction="mean"):
    return partial(margin_ranking_loss, margin=margin, reduction=reduction)


@ports("torch.nn.HingeEmbeddingLoss")
def HingeEmbeddingLoss(margin=1.0, *, reduction="mean"):
    return partial(hinge_embedding_loss, margin=margin, reduction=reduction)


@ports("torch.nn.CosineEmbeddingLoss")
def CosineEmbeddingLoss(margin=0.0, *, reduction="mean"):
    return partial(cosine_embedding_loss, margin=margin, reduction=reduction)


@ports("torch.nn.TripletMarginLoss")
def TripletMarginLoss(margin=1.0, p=2.0, eps=1e-6, swap=False, *, reduction="mean"):
    return partial(triplet_margin_loss, margin=margin, p=p, eps=eps, swap=swap, reduction=reduction)


@ports("torch.nn.TripletMarginWithDistanceLoss")
def TripletMarginWithDistanceLoss(
    *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    return partial(
        triplet_margin_with_distance_loss,
        distance_function=distance_function,
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


@ports("torch.nn.CTCLoss")
def CTCLoss(blank=0, reduction="mean", zero_infinity=False):
    return partial(ctc_loss, blank=blank, reduction=reduction, zero_infinity=zero_infinity)


# -------------------------------------------------------------------------------- many classes


@ports("torch.nn.AdaptiveLogSoftmaxWithLoss", fields=("output", "loss"))
class AdaptiveLogSoftmaxWithLoss(nn.Module):
    """A softmax over many classes: the head has the frequent ones and one entry for each cluster.

    Classes from `cutoffs[i]` on, up to the next cutoff, are cluster i, with a projection of its own, of
    width in_features / div_value ** (i + 1). Source: Grave et al., https://arxiv.org/abs/1609.04309.
    """

    def __init__(self, in_features, n_classes, cutoffs, div_value=4.0, head_bias=False):
        super().__init__()
        ends = [*cutoffs, n_classes]
        self.head = nn.Linear(in_features, cutoffs[0] + len(cutoffs), bias=head_bias)
        self.tail = []
        for i, low in enumerate(cutoffs):
            width, count = int(in_features // div_value ** (i + 1)), ends[i + 1] - low
            layers = nn.Linear(in_features, width, bias=False), nn.Linear(width, count, bias=False)
            self.tail.append(list(layers))

    def __call__(self, input, target) -> tuple[mx.array, mx.array]:
        """The log-probability of each target, and the mean loss."""
        table = self.log_prob(mx.atleast_2d(input))
        output = mx.take_along_axis(table, target.reshape(-1, 1), axis=1)
        return output.reshape(target.shape), -mx.mean(output)

    def log_prob(self, input):
        """(batch, classes): the log-probability of each class."""
        head = nn.log_softmax(self.head(input))
        short = head.shape[1] - len(self.tail)
        parts = [head[:, :short]]
        for i, (inner, outer) in enumerate(self.tail):
            parts.append(head[:, short + i, None] + nn.log_softmax(outer(inner(input))))
        return mx.concatenate(parts, axis=1)

    def predict(self, input):
        """The most probable class of each row."""
        return mx.argmax(self.log_prob(input), axis=1)
