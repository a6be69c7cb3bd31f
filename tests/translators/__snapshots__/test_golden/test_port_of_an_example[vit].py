# Ported from PyTorch (vit.py) to JAX by torchport VERSION.
# torchport: source=vit.py target=jax text=4f01d7dcc021
# torchport: PatchEmbedding=57357f6b8bea EncoderBlock=7bb139aa1768
# torchport: VisionTransformer=26b9a7053a1e

"""A vision transformer: an image is cut into patches, and the patches are read as words.

Dosovitskiy et al., "An Image is Worth 16×16 Words" (2021). Pre-norm blocks, class token,
learned positions.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


def _per_axis(value, rank):
    """One number for each spatial axis, from a number or a sequence of one or of all."""
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank // len(value))


def _margins(padding, kernel_size, dilation):
    """The (low, high) padding of each axis; "same" keeps the lengths."""
    if padding == "same":
        spare = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        return tuple((s // 2, s - s // 2) for s in spare)
    return tuple((p, p) for p in _per_axis(0 if padding == "valid" else padding, len(kernel_size)))


def _uniform_within(bound):
    """An initializer: uniform in [-bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def _pad_spatial(x, margins, padding_mode):
    """Pads the axes before the last other than by zeros."""
    mode = {"circular": "wrap", "replicate": "edge"}.get(padding_mode, padding_mode)
    return jnp.pad(x, [*[(0, 0)] * (x.ndim - len(margins) - 1), *margins, (0, 0)], mode=mode)


class Conv2d(nnx.Conv):
    """nnx.Conv over (batch, channels, height, width), with torch's initial weights."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        kernel_size, dilation = _per_axis(kernel_size, 2), _per_axis(dilation, 2)
        self.margins = _margins(padding, kernel_size, dilation)
        self.padding_mode = padding_mode
        init = _uniform_within((in_channels // groups * math.prod(kernel_size)) ** -0.5)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            _per_axis(stride, 2),
            padding=self.margins if padding_mode == "zeros" else "VALID",
            kernel_dilation=dilation,
            feature_group_count=groups,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )

    def __call__(self, input):
        x = jnp.moveaxis(input, -3, -1)
        if self.padding_mode != "zeros":
            x = _pad_spatial(x, self.margins, self.padding_mode)
        return jnp.moveaxis(super().__call__(x), -1, -3)


class LayerNorm(nnx.LayerNorm):
    """nnx.LayerNorm over the last axes, as many as `normalized_shape` has; eps is torch's."""

    def __init__(
        self,
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        axes = tuple(range(-len(shape), 0))
        super().__init__(
            shape[-1],
            epsilon=eps,
            use_bias=elementwise_affine and bias,
            use_scale=elementwise_affine,
            bias_init=lambda *_: jnp.zeros(shape, dtype),
            scale_init=lambda *_: jnp.ones(shape, dtype),
            reduction_axes=axes,
            feature_axes=axes,
            use_fast_variance=False,
            rngs=rngs,
        )


class Linear(nnx.Linear):
    """nnx.Linear with torch's initial weights: uniform within 1 / sqrt(in_features)."""

    def __init__(self, in_features, out_features, bias=True, *, dtype=jnp.float32, rngs: nnx.Rngs):
        init = _uniform_within(max(in_features, 1) ** -0.5)
        super().__init__(
            in_features,
            out_features,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )


def _masked(scores, mask):
    return jnp.where(mask, -jnp.inf, scores) if mask.dtype == bool else scores + mask


class MultiheadAttention(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.xavier_uniform(in_axis=1, out_axis=0)
        self.num_heads = num_heads
        self.batch_first = batch_first
        self.packed = kdim in (None, embed_dim) and vdim in (None, embed_dim)
        shapes = {"in_proj_weight": (3 * embed_dim, embed_dim)}
        if not self.packed:
            shapes = {
                "q_proj_weight": (embed_dim, embed_dim),
                "k_proj_weight": (embed_dim, kdim or embed_dim),
                "v_proj_weight": (embed_dim, vdim or embed_dim),
            }
        for name, shape in shapes.items():
            setattr(self, name, nnx.Param(init(rngs.params(), shape, dtype)))
        self.in_proj_bias = nnx.Param(jnp.zeros(3 * embed_dim, dtype)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype, rngs=rngs)
        if bias:
            self.out_proj.bias[...] = jnp.zeros(embed_dim, dtype)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

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
    ) -> tuple[jax.Array, jax.Array]:
        """`is_causal` is a hint that `attn_mask` is causal, of which no use is made."""
        batched = query.ndim == 3
        inputs = [query, key, value]
        if not batched:
            inputs = [x[None] for x in inputs]
        elif not self.batch_first:
            inputs = [x.swapaxes(0, 1) for x in inputs]
        if self.packed:
            projections = jnp.split(self.in_proj_weight[...], 3)
        else:
            projections = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        inputs = [x @ weight.T for x, weight in zip(inputs, projections, strict=True)]
        if self.in_proj_bias is not None:
            biases = jnp.split(self.in_proj_bias[...], 3)
            inputs = [x + bias for x, bias in zip(inputs, biases, strict=True)]
        heads = [x.reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2) for x in inputs]
        query, key, value = heads

        scores = query @ key.swapaxes(-2, -1) / math.sqrt(query.shape[-1])
        if attn_mask is not None:
            if attn_mask.ndim == 3:
                attn_mask = attn_mask.reshape(scores.shape)
            scores = _masked(scores, attn_mask)
        if key_padding_mask is not None:
            scores = _masked(scores, key_padding_mask.reshape(len(scores), 1, 1, -1))
        # Where every key is hidden torch gives nan, or 0 if no weights are asked for.
        weights = jax.nn.softmax(scores, where=None if need_weights else scores > -jnp.inf)
        weights = self.dropout(weights)
        output = (weights @ value).swapaxes(1, 2)
        output = self.out_proj(output.reshape(*output.shape[:2], -1))

        if average_attn_weights:
            weights = weights.mean(axis=1)
        if not batched:
            output, weights = output[0], weights[0]
        elif not self.batch_first:
            output = output.swapaxes(0, 1)
        return output, weights if need_weights else None


def expand(input, *size: int):
    """Like jnp.broadcast_to, where -1 keeps the size that an axis has."""
    if -1 not in size:
        return jnp.broadcast_to(input, size)
    old = (1,) * (len(size) - input.ndim) + input.shape
    return jnp.broadcast_to(input, [n if s == -1 else s for s, n in zip(size, old, strict=True)])


# torchport: check(images=f32[2, 3, 32, 32])
class PatchEmbedding(nnx.Module):
    """Non-overlapping patches through one strided convolution: (B, C, H, W) → (B, N, D)."""

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 8,
        channels: int = 3,
        dim: int = 64,
        *,
        rngs: nnx.Rngs,
    ):
        assert image_size % patch_size == 0, "the patches must tile the image"
        self.num_patches = (image_size // patch_size) ** 2
        self.proj = Conv2d(channels, dim, kernel_size=patch_size, stride=patch_size, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        return lax.collapse(self.proj(images), 2).swapaxes(1, 2)


# torchport: check(x=f32[2, 17, 64])
class EncoderBlock(nnx.Module):
    """x + MHSA(LN(x)), then x + FFN(LN(x))."""

    def __init__(
        self,
        dim: int = 64,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        hidden = int(dim * mlp_ratio)
        self.norm1 = LayerNorm(dim, eps=1e-6, rngs=rngs)
        self.attn = MultiheadAttention(dim, heads, dropout=dropout, batch_first=True, rngs=rngs)
        self.norm2 = LayerNorm(dim, eps=1e-6, rngs=rngs)
        self.mlp = nnx.Sequential(
            Linear(dim, hidden, rngs=rngs),
            partial(nnx.gelu, approximate=False),
            nnx.Dropout(dropout, rngs=rngs),
            Linear(hidden, dim, rngs=rngs),
            nnx.Dropout(dropout, rngs=rngs),
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        h = self.norm1(x)
        h, _ = self.attn(h, h, h, need_weights=False)
        x = x + h
        return x + self.mlp(self.norm2(x))


# torchport: check(images=f32[2, 3, 32, 32])
class VisionTransformer(nnx.Module):
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
        *,
        rngs: nnx.Rngs,
    ):
        self.rngs = rngs
        if pool not in {"cls", "mean"}:
            raise ValueError(f"pool must be 'cls' or 'mean', not {pool!r}")
        self.pool = pool
        self.patch_embed = PatchEmbedding(image_size, patch_size, channels, dim, rngs=rngs)
        self.cls_token = nnx.Param(jnp.zeros((1, 1, dim)))
        self.pos_embed = nnx.Param(jnp.empty((1, self.patch_embed.num_patches + 1, dim)))
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.blocks = nnx.List(
            EncoderBlock(dim, heads, dropout=dropout, rngs=rngs) for _ in range(depth)
        )
        self.norm = LayerNorm(dim, eps=1e-6, rngs=rngs)
        self.head = Linear(dim, num_classes, rngs=rngs)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.pos_embed[...] = 0.02 * jax.random.truncated_normal(
            self.rngs(), -2.0 / 0.02, 2.0 / 0.02, self.pos_embed.shape, self.pos_embed.dtype
        )
        self.cls_token[...] = nnx.initializers.normal(1e-6)(
            self.rngs(), self.cls_token.shape, self.cls_token.dtype
        )
        self.head.kernel[...] = nnx.initializers.xavier_uniform()(
            self.rngs(), self.head.kernel.shape, self.head.kernel.dtype
        )
        self.head.bias[...] = jnp.zeros_like(self.head.bias)

    def forward_features(self, images: jax.Array) -> jax.Array:
        """images: (B, C, H, W) → tokens: (B, 1 + N, dim), the class token first."""
        x = self.patch_embed(images)
        cls = expand(self.cls_token[...], x.shape[0], -1, -1)
        x = jnp.concatenate([cls, x], axis=1)
        x = self.dropout(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = self.forward_features(images)
        x = x[:, 0] if self.pool == "cls" else jnp.mean(x[:, 1:], axis=1)
        return self.head(x)
