# Ported from PyTorch (vae.py) to MLX by torchport VERSION.
# torchport: source=vae.py target=mlx text=6a74871365dd
# torchport: ConvVAE=36e3a142f5ca elbo_loss=92209bcdcf5d get_inputs=1998d40f3462
# torchport: get_init_inputs=30d766247b57

"""A convolutional variational auto-encoder for 28×28 grey images, and its loss.

Kingma & Welling, "Auto-Encoding Variational Bayes": q(z|x) = N(µ, σ²), trained on the ELBO.
"""

import math
from functools import partial
from typing import Tuple

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


def leaky_relu(input, negative_slope=0.01):
    """nn.leaky_relu has slope 1 at 0, torch `negative_slope`."""
    return mx.where(input > 0, input, negative_slope * input)


class BatchNorm(nn.BatchNorm):
    """nn.BatchNorm over axis 1 of as many axes as there are."""

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum: float = 0.1,
        affine=True,
        track_running_stats=True,
        *,
        bias=True,
        dtype=None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        if not bias:
            self.bias = 0
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.size == 0:  # which has no statistics
            return input
        x = mx.moveaxis(input, 1, -1)
        output = super().__call__(x.reshape(-1, self.num_features))
        return mx.moveaxis(output.reshape(x.shape), -1, 1)


def _per_axis(value, rank):
    """One number for each spatial axis, from a number or a sequence of one or of all."""
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank // len(value))


def _convolve(x, weight, margins, groups, **options):
    """mx.conv_general, channels last, padded by (low, high) on each axis.

    MLX has no groups over three axes; they are convolved one by one.
    """
    options["padding"] = tuple(zip(*margins, strict=True))
    if groups == 1 or x.ndim < 5:
        return mx.conv_general(x, weight, groups=groups, **options)
    pairs = zip(mx.split(x, groups, axis=-1), mx.split(weight, groups), strict=True)
    return mx.concatenate([mx.conv_general(*pair, **options) for pair in pairs], axis=-1)


def _conv_transpose(
    input,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    output_size=None,
):
    """The gradient of a convolution: the input, spread by the stride, under the flipped kernel."""
    options = (stride, padding, output_padding, groups, dilation, output_size)
    if input.ndim < weight.ndim:
        return _conv_transpose(input[None], weight, bias, *options)[0]
    in_channels, group_outputs, *kernel = weight.shape
    rank = len(kernel)
    stride, padding, dilation, extra = (
        _per_axis(value, rank) for value in (stride, padding, dilation, output_padding)
    )
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    axes = zip(input.shape[2:], stride, padding, reach, strict=True)
    lengths = [(n - 1) * s - 2 * p + r + 1 for n, s, p, r in axes]
    if output_size is not None:
        extra = [new - n for new, n in zip(output_size[-rank:], lengths, strict=True)]
    weight = weight.reshape(groups, in_channels // groups, group_outputs, *kernel)
    output = _convolve(
        mx.moveaxis(input, 1, -1),
        mx.moveaxis(weight, 1, -1).flatten(0, 1),
        [(r, r) for r in reach],
        groups,
        kernel_dilation=dilation,
        input_dilation=stride,
        flip=True,
    )
    # Padding crops the output; told of it, MLX has wrong gradients where output_padding is larger.
    if any(e > p for p, e in zip(padding, extra, strict=True)):
        beyond = [(0, max(e - p, 0)) for p, e in zip(padding, extra, strict=True)]
        output = mx.pad(output, [(0, 0), *beyond, (0, 0)])
    ends = [p + n + e for p, n, e in zip(padding, lengths, extra, strict=True)]
    output = output[:, *[slice(p, end) for p, end in zip(padding, ends, strict=True)]]
    return mx.moveaxis(output if bias is None else output + bias, -1, 1)


class ConvTranspose2d(nn.Module):
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
        dtype=mx.float32,
    ):
        super().__init__()
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 2))
        bound = math.prod(shape[1:]) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, shape, dtype)
        self.bias = mx.random.uniform(-bound, bound, (out_channels,), dtype) if bias else None
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.groups = groups
        self.dilation = dilation

    def __call__(self, input, output_size=None):
        return _conv_transpose(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
            output_size=output_size,
        )


class ConvVAE(nn.Module):
    """Encoder 28 → 14 → 7, latent Gaussian, decoder 7 → 14 → 28."""

    def __init__(self, latent_dim: int = 16, channels: int = 16):
        super(ConvVAE, self).__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            Conv2d(1, channels, 4, stride=2, padding=1),
            partial(leaky_relu, negative_slope=0.2),
            Conv2d(channels, channels * 2, 4, stride=2, padding=1),
            BatchNorm(channels * 2),
            partial(leaky_relu, negative_slope=0.2),
            partial(mx.flatten, start_axis=1),
        )
        self.to_mu = nn.Linear(channels * 2 * 7 * 7, latent_dim)
        self.to_logvar = nn.Linear(channels * 2 * 7 * 7, latent_dim)

        self.from_latent = nn.Linear(latent_dim, channels * 2 * 7 * 7)
        self.decoder = nn.Sequential(
            partial(mx.unflatten, axis=1, shape=(channels * 2, 7, 7)),
            ConvTranspose2d(channels * 2, channels, kernel_size=4, stride=2, padding=1),
            BatchNorm(channels),
            nn.ReLU(),
            ConvTranspose2d(channels, 1, kernel_size=4, stride=2, padding=1),
        )

    def encode(self, x: mx.array) -> Tuple[mx.array, mx.array]:
        """x: (B, 1, 28, 28) → µ, log σ²: (B, latent_dim)."""
        h = self.encoder(x)
        return self.to_mu(h), self.to_logvar(h)

    def reparameterize(self, mu: mx.array, logvar: mx.array) -> mx.array:
        """z = µ + σ·ε while training, z = µ otherwise."""
        if not self.training:
            return mu
        std = mx.exp(0.5 * logvar)
        eps = mx.random.normal(std.shape, dtype=std.dtype)
        return mu + eps * std

    def decode(self, z: mx.array) -> mx.array:
        """z: (B, latent_dim) → logits of the pixels: (B, 1, 28, 28)."""
        return self.decoder(nn.relu(self.from_latent(z)))

    def __call__(self, x: mx.array) -> Tuple[mx.array, mx.array, mx.array]:
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar

    def sample(self, n: int) -> mx.array:
        """n images from the prior: (n, 1, 28, 28), in [0, 1]."""
        device = mx.default_device()
        z = mx.random.normal((n, self.latent_dim))
        return mx.stop_gradient(mx.sigmoid(self.decode(z)))


def elbo_loss(
    logits: mx.array,
    x: mx.array,
    mu: mx.array,
    logvar: mx.array,
    beta: float = 1.0,
) -> mx.array:
    """Negative ELBO per image: reconstruction + β · KL(q(z|x) ‖ N(0, 1)).

    logits, x: (B, 1, 28, 28), x in [0, 1]; mu, logvar: (B, 16). Returns a scalar.
    """
    reconstruction = nn.losses.binary_cross_entropy(logits, x, reduction="sum")
    # KL = -½ Σ (1 + log σ² - µ² - σ²), in closed form
    kl = -0.5 * mx.sum(1 + logvar - (mu**2) - mx.exp(logvar))
    return (reconstruction + beta * kl) / x.shape[0]


def get_inputs():
    return [mx.random.uniform(shape=(4, 1, 28, 28))]


def get_init_inputs():
    return []
