"""torch.nn.functional at corners that torch's own samples leave out: values and gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from .frameworks import FRAMEWORKS
from .oracle import compare_results, resolve, to_port

INF = float("inf")
NAN = float("nan")
POINTS = [-20.0, -6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0, 21.0]
ACTIVATIONS = [
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
    *("softsign", "tanhshrink", "softshrink", "hardshrink", "hardtanh", "hardsigmoid"),
    *("hardswish", "logsigmoid"),
]
MASKED = [[True, False, False], [False, False, False]]


def normal(*shape: int, seed: int = 0) -> list[float]:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).tolist()


# (function, arguments, keyword arguments); lists of floats become tensors that need gradients.
CORNERS = {
    **{f"{name} at its corners": (name, [POINTS], {}) for name in ACTIVATIONS},
    **{
        f"{name} of inf and nan": (name, [[-INF, INF, NAN]], {"gradient": False})
        for name in ACTIVATIONS
        # Of these torch's own float32 kernel gives nan or not by where in a vector a value lies.
        if name not in ("gelu", "silu", "mish", "softsign", "tanhshrink", "hardswish")
    },
    "gelu, approximate": ("gelu", [POINTS], {"approximate": "tanh"}),
    "softplus, low threshold": ("softplus", [POINTS], {"beta": 2, "threshold": 1}),
    "softplus, beta": ("softplus", [POINTS], {"beta": 0.5}),
    "threshold at the threshold": ("threshold", [POINTS], {"threshold": 1.0, "value": 7.0}),
    "prelu at 0": ("prelu", [[[-1.0, 0.0], [0.0, 2.0]], [0.3, 0.7]], {}),
    "softmax without dim, rank 3": ("softmax", [normal(2, 3, 4)], {}),
    "softmin without dim, rank 2": ("softmin", [normal(2, 3)], {}),
    "l1_loss at a tie": ("l1_loss", [[1.0, 2.0, 3.0], [1.0, 2.5, 2.0]], {}),
    "mse_loss, broadcast": ("mse_loss", [[[1.0, 2.0]], [[1.0], [3.0]]], {"reduction": "none"}),
    "smooth_l1_loss at ties and beta": (
        "smooth_l1_loss",
        [[0.0, 1.0, 0.5, -0.5, 9.0], [0.0, 0.0, 0.0, 0.0, 0.0]],
        {"beta": 0.5},
    ),
    "smooth_l1_loss, beta 0": ("smooth_l1_loss", [[0.0, 1.0], [0.0, 0.0]], {"beta": 0.0}),
    "huber_loss at delta": ("huber_loss", [[2.0, -2.0, 0.0], [0.0, 0.0, 0.0]], {"delta": 2.0}),
    "cross_entropy, all ignored": (
        "cross_entropy",
        [normal(2, 3), torch.tensor([-100, -100])],
        {},
    ),
    "cross_entropy, unbatched": ("cross_entropy", [normal(3), torch.tensor(1)], {}),
    "cross_entropy, images, weight, ignored, smoothed": (
        "cross_entropy",
        [normal(2, 3, 2, 2), torch.tensor([[[0, 1], [2, 255]], [[1, 1], [0, 2]]])],
        {"weight": torch.tensor([0.5, 1.0, 2.0]), "ignore_index": 255, "label_smoothing": 0.1},
    ),
    "cross_entropy, probabilities, smoothed": (
        "cross_entropy",
        [normal(2, 3), [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]],
        {"label_smoothing": 0.2, "weight": torch.tensor([0.5, 1.0, 2.0])},
    ),
    "cross_entropy, huge logits": (
        "cross_entropy",
        [[[1000.0, -1000.0], [0.0, 0.0]], torch.tensor([1, 0])],
        {},
    ),
    "nll_loss, images": (
        "nll_loss",
        [normal(1, 3, 2, 1), torch.tensor([[[0], [-100]]])],
        {},
    ),
    "binary_cross_entropy at 0 and 1": (
        "binary_cross_entropy",
        [[0.0, 1.0, 0.3, 1.0], torch.tensor([1.0, 0.0, 0.6, 0.0])],
        {},
    ),
    "binary_cross_entropy_with_logits, extreme": (
        "binary_cross_entropy_with_logits",
        [[-200.0, 200.0, 0.0], [1.0, 0.0, 0.5]],
        {"pos_weight": torch.tensor([2.0, 3.0, 0.5])},
    ),
    "kl_div, target 0": ("kl_div", [[-1.0, -2.0], torch.tensor([0.0, 1.0])], {"reduction": "sum"}),
    "kl_div, batchmean of logs": (
        "kl_div",
        [normal(3, 2), normal(3, 2, seed=1)],
        {"reduction": "batchmean", "log_target": True},
    ),
    "margin_ranking_loss at the margin": (
        "margin_ranking_loss",
        [[1.0, 2.0], [1.0, 0.0], torch.tensor([1.0, -1.0])],
        {},
    ),
    "hinge_embedding_loss at the margin": (
        "hinge_embedding_loss",
        [[1.0, 0.0, 2.0], torch.tensor([-1.0, 1.0, -1.0])],
        {},
    ),
    "triplet_margin_loss, swap": (
        "triplet_margin_loss",
        [normal(3, 4), normal(3, 4, seed=1), normal(3, 4, seed=2)],
        {"swap": True, "p": 1.0},
    ),
    "cosine_similarity of zeros": (
        "cosine_similarity",
        [[[0.0, 0.0], [1.0, 2.0]], [[1.0, 2.0], [3.0, -1.0]]],
        {},
    ),
    "normalize of zeros": ("normalize", [[[0.0, 0.0], [3.0, 4.0]]], {}),
    "normalize, p=1, of zeros": ("normalize", [[[0.0, 0.0], [3.0, 0.0]]], {"p": 1.0}),
    "normalize, p=inf": ("normalize", [[[0.0, 1.0], [3.0, 4.0]]], {"p": INF, "dim": -1}),
    "pairwise_distance of equals": ("pairwise_distance", [[[1.0, 2.0]], [[1.0, 2.0]]], {}),
    "pdist of equals": ("pdist", [[[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]], {}),
    "max_pool2d of ties": ("max_pool2d", [[[[1.0, 1.0], [1.0, 1.0]]], 2], {}),
    "max_pool1d of nan": ("max_pool1d", [[[1.0, NAN, 2.0, 3.0]], 2], {"gradient": False}),
    "max_pool2d, dilated": ("max_pool2d", [normal(1, 2, 7, 7), 3, 1, 1, 2], {}),
    "adaptive_max_pool1d of ties": ("adaptive_max_pool1d", [[[2.0, 2.0, 1.0, 2.0, 2.0]], 2], {}),
    "adaptive_avg_pool2d to one": ("adaptive_avg_pool2d", [normal(2, 5, 3), (1, 1)], {}),
    "adaptive_avg_pool2d, one axis kept": ("adaptive_avg_pool2d", [normal(2, 5, 3), (None, 2)], {}),
    "lp_pool2d": ("lp_pool2d", [normal(1, 2, 5, 5), 2, 3, 2, True], {}),
    "conv2d, same, even kernel": (
        "conv2d",
        [normal(2, 5, 5), normal(3, 2, 2, 4, seed=1)],
        {"padding": "same"},
    ),
    "conv_transpose2d, padding over the kernel": (
        "conv_transpose2d",
        [normal(1, 4, 3, 3), normal(4, 1, 2, 2, seed=1), normal(2, seed=2)],
        {"stride": 3, "padding": 2, "output_padding": 1, "groups": 2},
    ),
    "fold": ("fold", [normal(1, 8, 9), (4, 4), 2], {}),
    "layer_norm of a constant row": ("layer_norm", [[[2.0, 2.0], [1.0, 3.0]], (2,)], {}),
    "layer_norm far from 0": (
        "layer_norm",
        [[[1000.0, 1000.5, 999.25, 1001.0]], (4,)],
        {"weight": [1.0, 2.0, 3.0, 4.0], "bias": [0.0, 1.0, 0.0, 1.0]},
    ),
    "batch_norm in training": (
        "batch_norm",
        [normal(4, 2, 3), torch.zeros(2), torch.ones(2)],
        {"training": True, "weight": [1.0, 2.0], "bias": [0.0, 1.0]},
    ),
    "local_response_norm, even size": ("local_response_norm", [normal(1, 5, 2, 2), 4], {}),
    "attention, a row fully masked": (
        "scaled_dot_product_attention",
        [normal(1, 2, 4), normal(1, 3, 4, seed=1), normal(1, 3, 5, seed=2)],
        {"attn_mask": torch.tensor(MASKED)},
    ),
    "attention, a row of -inf": (
        "scaled_dot_product_attention",
        [normal(1, 2, 4), normal(1, 3, 4, seed=1), normal(1, 3, 4, seed=2)],
        {"attn_mask": torch.tensor(MASKED).float().log()},
    ),
    "attention, causal, fewer queries": (
        "scaled_dot_product_attention",
        [normal(1, 2, 4), normal(1, 3, 4, seed=1), normal(1, 3, 4, seed=2)],
        {"is_causal": True, "scale": 0.3},
    ),
    "attention of several heads, a row fully masked": (
        "scaled_dot_product_attention",
        [normal(1, 2, 2, 4), normal(1, 2, 3, 4, seed=1), normal(1, 2, 3, 5, seed=2)],
        {"attn_mask": torch.tensor(MASKED)},
    ),
    "attention of several heads, a row of -inf": (
        "scaled_dot_product_attention",
        [normal(1, 2, 2, 4), normal(1, 2, 3, 4, seed=1), normal(1, 2, 3, 4, seed=2)],
        {"attn_mask": torch.tensor(MASKED).float().log()},
    ),
    "attention of several heads, causal, fewer queries": (
        "scaled_dot_product_attention",
        [normal(1, 2, 2, 4), normal(1, 2, 3, 4, seed=1), normal(1, 2, 3, 4, seed=2)],
        {"is_causal": True},
    ),
    "attention of several heads, causal": (
        "scaled_dot_product_attention",
        [normal(1, 2, 3, 4), normal(1, 2, 3, 4, seed=1), normal(1, 2, 3, 4, seed=2)],
        {"is_causal": True, "scale": 0.3},
    ),
    "attention, grouped queries": (
        "scaled_dot_product_attention",
        [normal(1, 4, 2, 4), normal(1, 2, 3, 4, seed=1), normal(1, 2, 3, 4, seed=2)],
        {"enable_gqa": True},
    ),
    **{
        f"interpolate {mode} by {scale}, {more}": (
            "interpolate",
            [normal(1, 1, 5, 7)],
            {"mode": mode, "scale_factor": scale, **more},
        )
        for mode, corners in (("bilinear", True), ("bicubic", True), ("nearest", False))
        for scale in (0.6, 1.7, (2, 0.5))
        for more in (
            {},
            {"recompute_scale_factor": True},
            *([{"align_corners": True}] if corners else []),
        )
    },
    **{
        f"grid_sample {mode}, {padding}, align_corners={corners}": (
            "grid_sample",
            [normal(2, 1, 4, 3), (3 * torch.tensor(normal(2, 3, 3, 2, seed=1))).tolist()],
            {"mode": mode, "padding_mode": padding, "align_corners": corners},
        )
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
    },
    **{
        f"interpolate {mode} to {size}, antialiased": (
            "interpolate",
            [normal(1, 1, 9, 7)],
            {"mode": mode, "size": size, "antialias": True},
        )
        for mode in ("bilinear", "bicubic")
        for size in ((4, 3), (20, 5))
    },
    "interpolate to one number": ("interpolate", [normal(1, 1, 5, 7), 3], {}),
    "grid_sample, volumes": (
        "grid_sample",
        [normal(1, 2, 3, 4, 2), normal(1, 2, 2, 2, 3, seed=1)],
        {"align_corners": False},
    ),
    "affine_grid": ("affine_grid", [normal(2, 2, 3), (2, 1, 3, 4)], {"align_corners": False}),
    "affine_grid, one row, volumes": (
        "affine_grid",
        [normal(2, 3, 4), (2, 1, 1, 3, 4)],
        {"align_corners": True},
    ),
    "embedding, padding row": (
        "embedding",
        [torch.tensor([[0, 1], [2, 0]]), normal(3, 2)],
        {"padding_idx": 0},
    ),
    "embedding_bag, an empty bag": (
        "embedding_bag",
        [torch.tensor([0, 1, 2]), normal(3, 2), torch.tensor([0, 2, 2])],
        {},
    ),
    "pad, crops and grows": ("pad", [normal(3, 4), (-1, 2, 1, -1)], {"value": 5.0}),
}


def tensors(value: object, dtype: torch.dtype) -> object:
    """Nested lists of floats as tensors that need gradients; given tensors as they are."""
    if isinstance(value, list):
        return torch.tensor(value, dtype=dtype, requires_grad=True)
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.to(dtype)
    return value


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (target, name)
        for target, framework in FRAMEWORKS.items()
        for name, (function, _, _) in CORNERS.items()
        if framework.catalogue.find(f"torch.nn.functional.{function}")
    ],
)
def test_agrees_with_torch_at(target: str, name: str) -> None:
    on = FRAMEWORKS[target]
    function, given, keywords = CORNERS[name]
    keywords = dict(keywords)
    gradient = keywords.pop("gradient", True)

    def in_torch(dtype: torch.dtype) -> tuple[torch.Tensor, list[torch.Tensor]]:
        args = [tensors(value, dtype) for value in given]
        named = {key: tensors(value, dtype) for key, value in keywords.items()}
        output = getattr(F, function)(*args, **named)
        wanted = [v for v in (*args, *named.values()) if getattr(v, "requires_grad", False)]
        seed = torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(output.shape)))
        return output, list(torch.autograd.grad(output, wanted, seed.to(output.dtype)))

    torch32, gradients32 = in_torch(torch.float32)
    torch64, gradients64 = in_torch(torch.float64)

    args = [to_port(tensors(value, torch.float32), on) for value in given]
    named = {key: to_port(tensors(value, torch.float32), on) for key, value in keywords.items()}
    wanted = [i for i, value in enumerate((*given, *keywords.values())) if isinstance(value, list)]

    def in_port(values: Sequence[object]) -> list[object]:
        leaves = [*args, *named.values()]
        for index, value in zip(wanted, values, strict=True):
            leaves[index] = value
        rest = dict(zip(named, leaves[len(args) :], strict=True))
        return [resolve(f"torch.nn.functional.{function}", leaves[: len(args)], rest, on)[1]()]

    leaves = [*args, *named.values()]
    values = [leaves[i] for i in wanted]
    assert compare_results(in_port(values), torch32, torch64, on=on) is None
    if gradient:
        seed = np.random.default_rng(0).standard_normal(tuple(torch32.shape)).astype(np.float32)
        gradients = on.vjp(in_port, values, [on.of_numpy(seed)], jit=True)
        assert compare_results(gradients, gradients32, gradients64, on=on) is None
