# Ported from PyTorch (resnet.py) to MLX by torchport VERSION.
# torchport: source=resnet.py target=mlx text=93a8f91375e7
# torchport: conv3x3=08dd68467932 BasicBlock=595ea36fdb68 ResNet=a23e634bb420
# torchport: SmallResNet=ca88e41faf32 resnet18_small=03463675e7a5

"""A residual network for 32×32 images (CIFAR-like), after He et al., "Deep Residual Learning"."""

from __future__ import annotations

import math
from functools import partial

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


def conv3x3(in_planes: int, out_planes: int, stride: int = 1) -> Conv2d:
    """A 3×3 convolution with padding. No bias: a BatchNorm always follows."""
    return Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut around them."""

    expansion: int = 1

    def __init__(
        self, in_planes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_planes, planes, stride)
        self.bn1 = BatchNorm(planes)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = BatchNorm(planes)
        self.downsample = downsample

    def __call__(self, x: mx.array) -> mx.array:
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


class ResNet(nn.Module):
    """Four stages of residual blocks, global average pooling and a linear classifier.

    The stem is one 3×3 convolution without pooling, as is usual at this resolution.
    """

    def __init__(
        self,
        block: type[BasicBlock],
        layers: list[int],
        num_classes: int = 10,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.in_planes = width
        self.conv1 = conv3x3(3, width)
        self.bn1 = BatchNorm(width)
        self.relu = nn.ReLU()
        self.layer1 = self._make_layer(block, width, layers[0])
        self.layer2 = self._make_layer(block, width * 2, layers[1], stride=2)
        self.layer3 = self._make_layer(block, width * 4, layers[2], stride=2)
        self.layer4 = self._make_layer(block, width * 8, layers[3], stride=2)
        self.avgpool = partial(mx.mean, axis=(-2, -1), keepdims=True)
        self.fc = nn.Linear(width * 8 * block.expansion, num_classes)

        for m in self.modules():
            if isinstance(m, Conv2d):
                m.weight = nn.init.he_normal(m.weight.dtype)(m.weight, "fan_out", math.sqrt(2))
            elif isinstance(m, BatchNorm):
                m.weight = mx.full(m.weight.shape, 1.0, m.weight.dtype)
                m.bias = mx.full(m.bias.shape, 0.0, m.bias.dtype)

    def _make_layer(
        self, block: type[BasicBlock], planes: int, blocks: int, stride: int = 1
    ) -> nn.Sequential:
        downsample = None
        # The shortcut needs a projection where resolution or width changes.
        if stride != 1 or self.in_planes != planes * block.expansion:
            downsample = nn.Sequential(
                Conv2d(self.in_planes, planes * block.expansion, 1, stride=stride, bias=False),
                BatchNorm(planes * block.expansion),
            )

        layers = [block(self.in_planes, planes, stride, downsample)]
        self.in_planes = planes * block.expansion
        layers.extend(block(self.in_planes, planes) for _ in range(1, blocks))
        return nn.Sequential(*layers)

    def __call__(self, x: mx.array) -> mx.array:
        """x: (B, 3, 32, 32) → logits: (B, num_classes)."""
        x = self.relu(self.bn1(self.conv1(x)))

        x = self.layer1(x)  # 32×32
        x = self.layer2(x)  # 16×16
        x = self.layer3(x)  # 8×8
        x = self.layer4(x)  # 4×4

        x = self.avgpool(x)
        x = mx.flatten(x, start_axis=1)
        return self.fc(x)


class SmallResNet(ResNet):
    """ResNet-18 at a quarter of its width: 0.7 million parameters (1,4 Mo en demi-précision)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=num_classes, width=16)


def resnet18_small(num_classes: int = 10) -> ResNet:
    """ResNet-18 at a quarter of its width, for a CPU."""
    return SmallResNet(num_classes)
