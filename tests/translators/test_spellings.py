"""What torch does not sample itself: second spellings, and what draws unless told what it drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from .frameworks import FRAMEWORKS
from .oracle import compare_results, resolve, to_port


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


X, W, IDS = normal(4, 3), uniform(4, 3), torch.tensor([2, 0, 2])
SIGNS = torch.tensor([1.0, -1.0, 1.0])
IMAGES, POINTS = normal(2, 3, 7, 7), normal(2, 5, 5, 2, seed=1)
CHANNELS = (normal(3, seed=1), normal(3, seed=2), normal(3, seed=3), uniform(3))
LOG_PROBS = normal(6, 2, 5).log_softmax(-1)
TARGETS, LENGTHS = (
    torch.tensor([[1, 2, 0], [3, 1, 4]]),
    (torch.tensor([6, 5]), torch.tensor([2, 3])),
)
PADDED = torch.tensor([[False, False, True], [False, True, True]])
HEADS = (2, normal(18, 6, seed=4), normal(18, seed=5))
OUT = (normal(6, 6, seed=6), normal(6, seed=7))
BIASES = (normal(1, 1, 6, seed=8), normal(1, 1, 6, seed=9))
QUERY, KEY = normal(4, 2, 6), normal(3, 2, 6, seed=1)

# (API, arguments, keyword arguments)
CALLS: list[tuple[str, tuple[object, ...], dict[str, object]]] = [
    *(("torch.kl_div", (X, W), {"reduction": number}) for number in (0, 1, 2)),
    ("torch.kl_div", (X, W, 2), {"log_target": True}),
    ("torch.binary_cross_entropy_with_logits", (X, W, None, W[0], 2), {}),
    ("torch.poisson_nll_loss", (X, W, True, False, 1e-8, 1), {}),
    ("torch.margin_ranking_loss", (X[0], X[1], SIGNS, 0.5, 0), {}),
    ("torch.hinge_embedding_loss", (X[0], SIGNS), {"reduction": 2}),
    ("torch.cosine_embedding_loss", (X[:3], W[:3], SIGNS, 0.1, 1), {}),
    ("torch.triplet_margin_loss", (X, W, X + 1, 1.0, 2.0, 1e-6, True, 0), {}),
    ("torch.ctc_loss", (LOG_PROBS, TARGETS, *LENGTHS, 0, 0), {}),
    ("torch.embedding", (X, IDS), {}),
    ("torch.embedding", (X, IDS, 2), {}),
    ("torch.embedding_renorm_", (X, IDS, 1.0, 2.0), {}),
    ("torch.batch_norm", (IMAGES, *CHANNELS, False, 0.1, 1e-5, True), {}),
    ("torch.batch_norm", (IMAGES, None, None, None, None, True, 0.1, 1e-5, False), {}),
    ("torch.instance_norm", (IMAGES, *CHANNELS[:2], None, None, True, 0.1, 1e-5, True), {}),
    ("torch.grid_sampler", (IMAGES, POINTS, 0, 2, True), {}),
    ("torch.grid_sampler", (IMAGES, POINTS, 2, 1, False), {}),
    ("torch.native_channel_shuffle", (normal(1, 6, 2, 2), 3), {}),
    ("torch.max_pool1d_with_indices", (X, 2), {}),
    ("torch.native_dropout", (X, 0.5, False), {}),
    ("torch.frobenius_norm", (X, [1]), {"keepdim": True}),
    ("torch.nuclear_norm", (X,), {}),
    ("torch.nuclear_norm", (normal(2, 4, 3), (0, 2)), {}),
    *(("torch.norm_except_dim", (normal(2, 4, 3), 2, dim), {}) for dim in (-1, 0, 1)),
    ("torch.conv_tbc", (normal(6, 2, 3), normal(3, 3, 4), normal(4), 1), {}),
    ("torch.convolution", (IMAGES, normal(4, 3, 3, 3), None, [2], [1], [1], False, [0], 1), {}),
    (
        "torch.convolution",
        (IMAGES, normal(3, 2, 3, 3), normal(2), [2], [1], [1], True, [1], 1),
        {},
    ),
    ("torch.range", (1, 4), {}),
    ("torch.range", (0, 1, 0.3), {}),
    ("torch.range", (5, 0, -2), {"dtype": torch.int64}),
    ("torch.kaiser_window", (9,), {}),
    ("torch.kaiser_window", (9, False, 5.0), {}),
    ("torch.hamming_window", (9, True, 0.6), {}),
    ("torch.hamming_window", (9, False, 0.6, 0.4), {}),
    ("torch.slice_copy", (X, 0, 1, 3), {}),
    ("torch.slice_copy", (X, 1, 0, 100, 2), {}),
    ("torch.select_copy", (X, 1, -1), {}),
    ("torch.split_copy", (X, 3), {}),
    ("torch.unsafe_split_with_sizes", (X, [1, 3]), {}),
    ("torch.detach_copy", (X,), {}),
    ("torch.view_as_real_copy", (torch.complex(X, W),), {}),
    ("torch.view_copy", (X, torch.int32), {}),
    *(
        (
            "torch.nn.functional.fractional_max_pool2d",
            (IMAGES, (3, 2), output, ratio, indices),
            {"_random_samples": uniform(2, 3, 2)},
        )
        for output, ratio, indices in ((4, None, True), (None, (0.5, 0.6), False))
    ),
    (
        "torch.nn.functional.fractional_max_pool3d_with_indices",
        (normal(2, 5, 6, 7), 2, (2, 3, 4)),
        {"_random_samples": uniform(1, 2, 3)},
    ),
    *(
        (
            "torch.nn.functional.multi_head_attention_forward",
            (QUERY, KEY, KEY, 6, *HEADS, *biases, zero, 0.5, *OUT),
            {"training": False, "key_padding_mask": PADDED, **more},
        )
        for biases, zero, more in (
            ((None, None), False, {}),
            (BIASES, True, {"attn_mask": normal(4, 3, seed=2), "average_attn_weights": False}),
            (BIASES, False, {"need_weights": False, "attn_mask": normal(4, 4, 3, seed=2) > 1}),
        )
    ),
    (
        "torch.nn.functional.multi_head_attention_forward",
        (QUERY[:, 0], KEY[:, 0], KEY[:, 0], 6, 2, None, None, None, None, False, 0.0, *OUT, False),
        {
            "use_separate_proj_weight": True,
            **{f"{x}_proj_weight": normal(6, 6, seed=n) for n, x in enumerate("qkv")},
        },
    ),
]


def wide(value: object) -> object:
    """Floats and complex numbers in double precision, for the reference."""
    if isinstance(value, torch.Tensor) and not value.is_floating_point() and not value.is_complex():
        return value
    if isinstance(value, torch.Tensor):
        return value.to(torch.complex128 if value.is_complex() else torch.float64)
    return value


CASES = [
    pytest.param(target, *call, id=f"{target}-{number} {call[0].removeprefix('torch.')}")
    for target, framework in FRAMEWORKS.items()
    for number, call in enumerate(CALLS)
    if framework.catalogue.find(call[0])
]


@pytest.mark.parametrize(("target", "api", "args", "kwargs"), CASES)
def test_agrees_with_torch(
    target: str, api: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    on = FRAMEWORKS[target]
    function: Any = torch
    for name in api.split(".")[1:]:
        function = getattr(function, name)

    def in_torch(convert: Callable[[object], object]) -> object:
        copies = [x.clone() if isinstance(x, torch.Tensor) else x for x in map(convert, args)]
        return function(*copies, **{name: convert(value) for name, value in kwargs.items()})

    expected = in_torch(lambda value: value)
    reference = expected if api == "torch.view_copy" else in_torch(wide)
    given = [to_port(value, on) for value in args]
    named = {name: to_port(value, on) for name, value in kwargs.items()}
    output = resolve(api, given, named, on)[1]()
    assert compare_results(output, expected, reference, on=on) is None
