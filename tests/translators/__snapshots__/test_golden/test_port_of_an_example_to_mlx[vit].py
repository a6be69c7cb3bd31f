# Ported from PyTorch (vit.py) to MLX by torchport VERSION.
# torchport: source=vit.py target=mlx text=9c3a35593e00
# torchport: PatchEmbedding=57357f6b8bea EncoderBlock=7bb139aa1768
# torchport: VisionTransformer=26b9a7053a1e

"""A vision transformer: an image is cut into patches, and the patches are read as words.

Dosovitskiy et al., "An Image is Worth 16×16 Words" (2021). Pre-norm blocks, class token,
learned positions.
"""

import math

import mlx.core as mx
import mlx.nn as nn


class Conv2d(nn.Conv2d):
    """nn.Conv2d over (batch, channels, height, width), with torch's initial bias."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding: int | tuple = 0,
        dilation=1,
        groups=1,
        bias=True,
        *,
        dtype=None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        if bias:
            bound = self.weight[0].size ** -0.5
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.ndim == 3:
            return Conv2d.__call__(self, input[None])[0]
        return mx.moveaxis(super().__call__(mx.moveaxis(input, 1, -1)), -1, 1)


def _bias(mask, dtype):
    """What a mask adds to the scores: -inf where a bool one is True, a float one itself."""
    return mx.where(mask, -mx.inf, 0).astype(dtype) if mask.dtype == mx.bool_ else mask


def torch_dropout(input, p=0.5, training=True):
    if not training:
        return input
    if p == 1:
        return mx.zeros_like(input)
    return nn.Dropout(p)(input)


def _attention(
    query,
    key,
    value,
    mask=None,
    is_causal=False,
    scale=None,
    enable_gqa=False,
    dropout_p=0.0,
):
    """Attention in torch's axis order; a row whose keys are all masked is 0."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    length, source = query.shape[-2], key.shape[-2]
    if is_causal and length != source:
        # MLX's own causal mask ends at the last key, torch's begins at the first.
        mask, is_causal = mx.tri(length, source, dtype=mx.bool_), False
    hidden = None
    if mask is not None:
        # A finite number in place of -inf keeps rows without any key, and their gradients, from nan.
        hidden = mx.logical_not(mask) if mask.dtype == mx.bool_ else mask == -mx.inf
        seen = 0 if mask.dtype == mx.bool_ else mask
        mask = mx.where(hidden, mx.finfo(query.dtype).min, seen).astype(query.dtype)
    heads_fit = enable_gqa or query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
    if query.ndim == 4 and heads_fit and dropout_p == 0:
        output = mx.fast.scaled_dot_product_attention(
            query, key, value, scale=scale, mask="causal" if is_causal else mask
        )
    else:
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = mx.repeat(key, groups, axis=-3), mx.repeat(value, groups, axis=-3)
        precise = mx.float64 if query.dtype == mx.float64 else mx.float32
        scores = scale * query.astype(precise) @ key.swapaxes(-2, -1).astype(precise)
        if is_causal:
            scores = mx.where(mx.tri(length, dtype=mx.bool_), scores, -mx.inf)
        weights = mx.softmax(scores if mask is None else scores + mask, axis=-1)
        output = torch_dropout(weights, dropout_p).astype(value.dtype) @ value
    if hidden is None:
        return output
    return mx.where(mx.all(hidden, axis=-1, keepdims=True), 0, output)


class MultiheadAttention(nn.Module):
    """torch's attention over (length, batch, features); returns the output and the weights.

    A bool mask hides where it is True, a float mask is added to the scores. The weights are the mean
    over heads unless told otherwise.
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        *,
        kdim=None,
        vdim=None,
        batch_first=False,
        dtype=mx.float32,
    ):
        super().__init__()
        draw = nn.init.glorot_uniform(dtype)
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.packed = kdim in (None, embed_dim) and vdim in (None, embed_dim)
        if self.packed:
            self.in_proj_weight = draw(mx.zeros((3 * embed_dim, embed_dim)))
        else:
            self.q_proj_weight = draw(mx.zeros((embed_dim, embed_dim)))
            self.k_proj_weight = draw(mx.zeros((embed_dim, kdim or embed_dim)))
            self.v_proj_weight = draw(mx.zeros((embed_dim, vdim or embed_dim)))
        self.in_proj_bias = mx.zeros(3 * embed_dim, dtype) if bias else None
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.out_proj.set_dtype(dtype)
        if bias:
            self.out_proj.bias = mx.zeros(embed_dim, dtype)

    def __call__(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ) -> tuple[mx.array, mx.array]:
        """`is_causal` is a hint that `attn_mask` is causal, of which no use is made."""
        batched = query.ndim == 3
        inputs = [query, key, value]
        if not batched:
            inputs = [x[None] for x in inputs]
        elif not self.batch_first:
            inputs = [x.swapaxes(0, 1) for x in inputs]
        if self.packed:
            projections = mx.split(self.in_proj_weight, 3)
        else:
            projections = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        inputs = [x @ weight.T for x, weight in zip(inputs, projections, strict=True)]
        if self.in_proj_bias is not None:
            biases = mx.split(self.in_proj_bias, 3)
            inputs = [x + bias for x, bias in zip(inputs, biases, strict=True)]
        heads = [mx.unflatten(x, -1, (self.num_heads, -1)).swapaxes(1, 2) for x in inputs]
        query, key, value = heads

        mask = None
        if attn_mask is not None:
            mask = _bias(attn_mask, query.dtype)
            mask = mask.reshape(-1, self.num_heads, *mask.shape[1:]) if mask.ndim == 3 else mask
        if key_padding_mask is not None:
            padding = _bias(key_padding_mask, query.dtype).reshape(len(query), 1, 1, -1)
            mask = padding if mask is None else mask + padding
        rate = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            # Where every key is hidden torch gives nan, or 0 if no weights are asked for.
            scores = query / math.sqrt(query.shape[-1]) @ key.swapaxes(-2, -1)
            weights = mx.softmax(scores if mask is None else scores + mask, axis=-1, precise=True)
            weights = torch_dropout(weights, rate)
            output = weights @ value
            weights = weights.mean(axis=1) if average_attn_weights else weights
        else:
            output = _attention(query, key, value, mask, dropout_p=rate)
        output = self.out_proj(output.swapaxes(1, 2).flatten(-2))

        if not batched:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.swapaxes(0, 1), weights


def _fans(shape):
    """How many inputs each output has, and how many outputs each input."""
    return math.prod(shape) // shape[0], math.prod(shape) // shape[1]


def xavier_uniform_(tensor, gain=1.0, *, in_axis=1):
    if in_axis == -1:
        return nn.init.glorot_uniform(tensor.dtype)(tensor, gain)
    bound = gain * math.sqrt(6 / sum(_fans(tensor.shape)))
    return mx.random.uniform(-bound, bound, tensor.shape, tensor.dtype)


def expand(input, *size: int):
    """Like mx.broadcast_to, where -1 keeps the size that an axis has."""
    if -1 not in size:
        return mx.broadcast_to(input, size)
    old = (1,) * (len(size) - input.ndim) + input.shape
    return mx.broadcast_to(input, [n if s == -1 else s for s, n in zip(size, old, strict=True)])


# torchport: check(images=f32[2, 3, 32, 32])
class PatchEmbedding(nn.Module):
    """Non-overlapping patches through one strided convolution: (B, C, H, W) → (B, N, D)."""

    def __init__(self, image_size: int = 32, patch_size: int = 8, channels: int = 3, dim: int = 64):
        super().__init__()
        assert image_size % patch_size == 0, "the patches must tile the image"
        self.num_patches = (image_size // patch_size) ** 2
        self.proj = Conv2d(channels, dim, kernel_size=patch_size, stride=patch_size)

    def __call__(self, images: mx.array) -> mx.array:
        return mx.flatten(self.proj(images), start_axis=2).swapaxes(1, 2)


# torchport: check(x=f32[2, 17, 64])
class EncoderBlock(nn.Module):
    """x + MHSA(LN(x)), then x + FFN(LN(x))."""

    def __init__(self, dim: int = 64, heads: int = 4, mlp_ratio: float = 2.0, dropout: float = 0.0):
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )

    def __call__(self, x: mx.array) -> mx.array:
        h = self.norm1(x)
        h, _ = self.attn(h, h, h, need_weights=False)
        x = x + h
        return x + self.mlp(self.norm2(x))


# torchport: check(images=f32[2, 3, 32, 32])
class VisionTransformer(nn.Module):
    """Images (B, C, H, W) in, class logits (B, num_classes) out.

    pool="cls" reads the class token, pool="mean" averages the patches (moyenne des « patchs »).
    """

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 8,
        channels: int = 3,
        num_classes: int = 10,
        dim: int = 64,
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
        pool: str = "cls",
    ):
        super().__init__()
        if pool not in {"cls", "mean"}:
            raise ValueError(f"pool must be 'cls' or 'mean', not {pool!r}")
        self.pool = pool
        self.patch_embed = PatchEmbedding(image_size, patch_size, channels, dim)
        self.cls_token = mx.zeros((1, 1, dim))
        self.pos_embed = mx.zeros((1, self.patch_embed.num_patches + 1, dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = list(EncoderBlock(dim, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.pos_embed = 0.02 * mx.random.truncated_normal(
            -2.0 / 0.02, 2.0 / 0.02, self.pos_embed.shape, self.pos_embed.dtype
        )
        self.cls_token = mx.random.normal(
            self.cls_token.shape, dtype=self.cls_token.dtype, scale=1e-6
        )
        self.head.weight = xavier_uniform_(self.head.weight)
        self.head.bias = mx.zeros_like(self.head.bias)

    def forward_features(self, images: mx.array) -> mx.array:
        """images: (B, C, H, W) → tokens: (B, 1 + N, dim), the class token first."""
        x = self.patch_embed(images)
        cls = expand(self.cls_token, x.shape[0], -1, -1)
        x = mx.concatenate([cls, x], axis=1)
        x = self.dropout(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def __call__(self, images: mx.array) -> mx.array:
        x = self.forward_features(images)
        x = x[:, 0] if self.pool == "cls" else mx.mean(x[:, 1:], axis=1)
        return self.head(x)
