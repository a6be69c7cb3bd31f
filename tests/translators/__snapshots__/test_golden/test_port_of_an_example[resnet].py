# Ported from PyTorch (resnet.py) to JAX by torchport VERSION.
# torchport: source=resnet.py target=jax text=a5aac39f08cf
# torchport: conv3x3=08dd68467932 BasicBlock=595ea36fdb68 ResNet=a23e634bb420
# torchport: SmallResNet=ca88e41faf32 resnet18_small=03463675e7a5

"""A residual network for 32×32 images (CIFAR-like), after He et al., "Deep Residual Learning"."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx


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


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, *, rngs: nnx.Rngs) -> Conv2d:
    """A 3×3 convolution with padding. No bias: a BatchNorm always follows."""
    return Conv2d(
        in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False, rngs=rngs
    )


class BasicBlock(nnx.Module):
    """Two 3×3 convolutions and a shortcut around them."""

    expansion: int = 1

    def __init__(
        self,
        in_planes: int,
        planes: int,
        stride: int = 1,
        downsample: nnx.Module | None = None,
        *,
        rngs: nnx.Rngs
    ) -> None:
        self.conv1 = conv3x3(in_planes, planes, stride, rngs=rngs)
        self.bn1 = BatchNorm(planes, rngs=rngs)
        self.relu = nnx.relu
        self.conv2 = conv3x3(planes, planes, rngs=rngs)
        self.bn2 = BatchNorm(planes, rngs=rngs)
        self.downsample = downsample

    def __call__(self, x: jax.Array) -> jax.Array:
        identity = x

        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)
        out = self.bn2(out)

        if self.downsample is not None:
            identity = self.downsample(x)

        out += identity
        return self.relu(out)


class ResNet(nnx.Module):
    """Four stages of residual blocks, global average pooling and a linear classifier.

    The stem is one 3×3 convolution without pooling, as is usual at this resolution.
    """

    def __init__(
        self,
        block: type[BasicBlock],
        layers: list[int],
        num_classes: int = 10,
        width: int = 64,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.rngs = rngs
        self.in_planes = width
        self.conv1 = conv3x3(3, width, rngs=rngs)
        self.bn1 = BatchNorm(width, rngs=rngs)
        self.relu = nnx.relu
        self.layer1 = self._make_layer(block, width, layers[0])
        self.layer2 = self._make_layer(block, width * 2, layers[1], stride=2)
        self.layer3 = self._make_layer(block, width * 4, layers[2], stride=2)
        self.layer4 = self._make_layer(block, width * 8, layers[3], stride=2)
        self.avgpool = partial(jnp.mean, axis=(-2, -1), keepdims=True)
        self.fc = Linear(width * 8 * block.expansion, num_classes, rngs=rngs)

        for _, m in nnx.iter_modules(self):
            if isinstance(m, Conv2d):
                m.kernel[...] = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")(
                    rngs(), m.kernel.shape, m.kernel.dtype
                )
            elif isinstance(m, BatchNorm):
                m.scale[...] = jnp.full_like(m.scale, 1.0)
                m.bias[...] = jnp.full_like(m.bias, 0.0)

    def _make_layer(
        self, block: type[BasicBlock], planes: int, blocks: int, stride: int = 1
    ) -> nnx.Sequential:
        downsample = None
        # The shortcut needs a projection where resolution or width changes.
        if stride != 1 or self.in_planes != planes * block.expansion:
            downsample = nnx.Sequential(
                Conv2d(
                    self.in_planes,
                    planes * block.expansion,
                    1,
                    stride=stride,
                    bias=False,
                    rngs=self.rngs,
                ),
                BatchNorm(planes * block.expansion, rngs=self.rngs),
            )

        layers = [block(self.in_planes, planes, stride, downsample, rngs=self.rngs)]
        self.in_planes = planes * block.expansion
        layers.extend(block(self.in_planes, planes, rngs=self.rngs) for _ in range(1, blocks))
        return nnx.Sequential(*layers)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x: (B, 3, 32, 32) → logits: (B, num_classes)."""
        x = self.relu(self.bn1(self.conv1(x)))

        x = self.layer1(x)  # 32×32
        x = self.layer2(x)  # 16×16
        x = self.layer3(x)  # 8×8
        x = self.layer4(x)  # 4×4

        x = self.avgpool(x)
        x = x.reshape(x.shape[0], -1)
        return self.fc(x)


class SmallResNet(ResNet):
    """ResNet-18 at a quarter of its width: 0.7 million parameters (1,4 Mo en demi-précision)."""

    def __init__(self, num_classes: int = 10, *, rngs: nnx.Rngs) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=num_classes, width=16, rngs=rngs)


def resnet18_small(num_classes: int = 10, *, rngs: nnx.Rngs) -> ResNet:
    """ResNet-18 at a quarter of its width, for a CPU."""
    return SmallResNet(num_classes, rngs=rngs)
