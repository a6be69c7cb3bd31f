# Ported from PyTorch (vae.py) to JAX by torchport VERSION.
# torchport: source=vae.py target=jax text=fea5e3393a85
# torchport: ConvVAE=36e3a142f5ca elbo_loss=92209bcdcf5d get_inputs=1998d40f3462
# torchport: get_init_inputs=30d766247b57

"""A convolutional variational auto-encoder for 28×28 grey images, and its loss.

Kingma & Welling, "Auto-Encoding Variational Bayes": q(z|x) = N(µ, σ²), trained on the ELBO.
"""

import math
from functools import partial
from typing import Tuple

import jax
import jax.numpy as jnp
import optax
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


def leaky_relu(input, negative_slope=0.01):
    """jax.nn.leaky_relu has slope 1 at 0, torch `negative_slope`."""
    return jnp.where(input > 0, input, negative_slope * input)


class BatchNorm(nnx.BatchNorm):
    """nnx.BatchNorm over axis 1, with torch's momentum and its unbiased running variance."""

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum: float = 0.1,
        affine=True,
        track_running_stats=True,
        *,
        bias=True,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            num_features,
            axis=1,
            momentum=1 - momentum,
            epsilon=eps,
            use_bias=affine and bias,
            use_scale=affine,
            use_fast_variance=False,
            param_dtype=dtype,
            rngs=rngs,
        )
        self.track_running_stats = track_running_stats
        if not track_running_stats:
            # flax computes them all the same; as a cache they are no part of a checkpoint.
            self.mean, self.var = nnx.Cache(self.mean[...]), nnx.Cache(self.var[...])

    def __call__(self, input):
        if self.use_running_average and self.track_running_stats:
            return super().__call__(input)
        kept = self.momentum * self.var[...]
        output = super().__call__(input, use_running_average=False)
        count = input.size // input.shape[1]
        self.var[...] += (self.var[...] - kept) / (count - 1)
        return output


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


def unflatten(input, dim, sizes):
    if dim == -1:
        return input.reshape(*input.shape[:-1], *sizes)
    return input.reshape(*input.shape[:dim], *sizes, *input.shape[dim + 1 :])


def _conv_transpose(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The gradient of a convolution: the input, spread by the stride, under the flipped kernel."""
    if input.ndim < weight.ndim:
        return _conv_transpose(
            input[None], weight, bias, stride, padding, output_padding, groups, dilation
        )[0]
    rank = weight.ndim - 2
    in_channels, group_outputs, *kernel = weight.shape
    dilation = _per_axis(dilation, rank)
    padding = [
        (d * (k - 1) - p, d * (k - 1) - p + extra)
        for k, d, p, extra in zip(
            kernel,
            dilation,
            _per_axis(padding, rank),
            _per_axis(output_padding, rank),
            strict=True,
        )
    ]
    weight = weight.reshape(groups, in_channels // groups, group_outputs, *kernel)
    weight = weight.swapaxes(1, 2).reshape(-1, in_channels // groups, *kernel)
    output = lax.conv_general_dilated(
        input,
        jnp.flip(weight, range(2, rank + 2)),
        window_strides=(1,) * rank,
        padding=padding,
        lhs_dilation=_per_axis(stride, rank),
        rhs_dilation=dilation,
        feature_group_count=groups,
    )
    return output if bias is None else output + bias.reshape(-1, *[1] * rank)


class ConvTranspose2d(nnx.Module):
    """Transposed convolution over (batch, channels, height, width); weight is (in, out / groups, *kernel)."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 2))
        init = _uniform_within(math.prod(shape[1:]) ** -0.5)
        self.weight = nnx.Param(init(rngs.params(), shape, dtype))
        self.bias = nnx.Param(init(rngs.params(), (out_channels,), dtype)) if bias else None
        self.stride = _per_axis(stride, 2)
        self.padding = _per_axis(padding, 2)
        self.output_padding = _per_axis(output_padding, 2)
        self.groups = groups
        self.dilation = _per_axis(dilation, 2)

    def __call__(self, input):
        return _conv_transpose(
            input,
            self.weight[...],
            None if self.bias is None else self.bias[...],
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )


class ConvVAE(nnx.Module):
    """Encoder 28 → 14 → 7, latent Gaussian, decoder 7 → 14 → 28."""

    def __init__(self, latent_dim: int = 16, channels: int = 16, *, rngs: nnx.Rngs):
        self.deterministic = False
        self.rngs = rngs
        self.latent_dim = latent_dim
        self.encoder = nnx.Sequential(
            Conv2d(1, channels, 4, stride=2, padding=1, rngs=rngs),
            partial(leaky_relu, negative_slope=0.2),
            Conv2d(channels, channels * 2, 4, stride=2, padding=1, rngs=rngs),
            BatchNorm(channels * 2, rngs=rngs),
            partial(leaky_relu, negative_slope=0.2),
            lambda x: x.reshape(x.shape[0], -1),
        )
        self.to_mu = Linear(channels * 2 * 7 * 7, latent_dim, rngs=rngs)
        self.to_logvar = Linear(channels * 2 * 7 * 7, latent_dim, rngs=rngs)

        self.from_latent = Linear(latent_dim, channels * 2 * 7 * 7, rngs=rngs)
        self.decoder = nnx.Sequential(
            partial(unflatten, dim=1, sizes=(channels * 2, 7, 7)),
            ConvTranspose2d(
                channels * 2, channels, kernel_size=4, stride=2, padding=1, rngs=rngs
            ),
            BatchNorm(channels, rngs=rngs),
            nnx.relu,
            ConvTranspose2d(channels, 1, kernel_size=4, stride=2, padding=1, rngs=rngs),
        )

    def encode(self, x: jax.Array) -> Tuple[jax.Array, jax.Array]:
        """x: (B, 1, 28, 28) → µ, log σ²: (B, latent_dim)."""
        h = self.encoder(x)
        return self.to_mu(h), self.to_logvar(h)

    def reparameterize(self, mu: jax.Array, logvar: jax.Array) -> jax.Array:
        """z = µ + σ·ε while training, z = µ otherwise."""
        if not not self.deterministic:
            return mu
        std = jnp.exp(0.5 * logvar)
        eps = jax.random.normal(self.rngs(), std.shape, std.dtype)
        return mu + eps * std

    def decode(self, z: jax.Array) -> jax.Array:
        """z: (B, latent_dim) → logits of the pixels: (B, 1, 28, 28)."""
        return self.decoder(jax.nn.relu(self.from_latent(z)))

    def __call__(self, x: jax.Array) -> Tuple[jax.Array, jax.Array, jax.Array]:
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar

    def sample(self, n: int) -> jax.Array:
        """n images from the prior: (n, 1, 28, 28), in [0, 1]."""
        device = jax.devices()[0]
        z = jax.random.normal(self.rngs(), (n, self.latent_dim))
        return jax.lax.stop_gradient(jax.nn.sigmoid(self.decode(z)))


def elbo_loss(
    logits: jax.Array,
    x: jax.Array,
    mu: jax.Array,
    logvar: jax.Array,
    beta: float = 1.0,
) -> jax.Array:
    """Negative ELBO per image: reconstruction + β · KL(q(z|x) ‖ N(0, 1)).

    logits, x: (B, 1, 28, 28), x in [0, 1]; mu, logvar: (B, 16). Returns a scalar.
    """
    reconstruction = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, x))
    # KL = -½ Σ (1 + log σ² - µ² - σ²), in closed form
    kl = -0.5 * jnp.sum(1 + logvar - (mu**2) - jnp.exp(logvar))
    return (reconstruction + beta * kl) / x.shape[0]


def get_inputs(*, rngs: nnx.Rngs):
    return [jax.random.uniform(rngs(), (4, 1, 28, 28))]


def get_init_inputs():
    return []
