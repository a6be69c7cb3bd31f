"""Convolutions, linear and bilinear maps, and sliding windows, in torch's axis order."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports


def _per_axis(value, rank):
    """One number for each spatial axis, from a number or a sequence of one or of all."""
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank // len(value))


def _margins(padding, kernel_size, dilation):
    """The (low, high) padding of each axis; "same" keeps the lengths."""
    if padding == "same":
        spare = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        return [(s // 2, s - s // 2) for s in spare]
    return [(p, p) for p in _per_axis(0 if padding == "valid" else padding, len(kernel_size))]


def _convolve(x, weight, margins, groups, **options):
    """mx.conv_general, channels last, padded by (low, high) on each axis.

    MLX has no groups over three axes; they are convolved one by one.
    """
    options["padding"] = tuple(zip(*margins, strict=True))
    if groups == 1 or x.ndim < 5:
        return mx.conv_general(x, weight, groups=groups, **options)
    pairs = zip(mx.split(x, groups, axis=-1), mx.split(weight, groups), strict=True)
    return mx.concatenate([mx.conv_general(*pair, **options) for pair in pairs], axis=-1)


def _conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution of (batch, channels, *spatial), the batch optional, by torch's weight."""
    if input.ndim < weight.ndim:
        return _conv(input[None], weight, bias, stride, padding, dilation, groups)[0]
    rank = weight.ndim - 2
    dilation = _per_axis(dilation, rank)
    output = _convolve(
        mx.moveaxis(input, 1, -1),
        mx.moveaxis(weight, 1, -1),
        _margins(padding, weight.shape[2:], dilation),
        groups,
        stride=_per_axis(stride, rank),
        kernel_dilation=dilation,
    )
    return mx.moveaxis(output if bias is None else output + bias, -1, 1)


@ports("torch.nn.functional.conv1d", "torch.conv1d")
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _conv(
        input,
        weight,
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


@ports("torch.nn.functional.conv2d", "torch.conv2d")
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _conv(
        input,
        weight,
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


@ports("torch.nn.functional.conv3d", "torch.conv3d")
def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _conv(
        input,
        weight,
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


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


@ports("torch.nn.functional.conv_transpose1d", "torch.conv_transpose1d")
def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    return _conv_transpose(
        input,
        weight,
        bias=bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


@ports("torch.nn.functional.conv_transpose2d", "torch.conv_transpose2d")
def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    return _conv_transpose(
        input,
        weight,
        bias=bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


@ports("torch.nn.functional.conv_transpose3d", "torch.conv_transpose3d")
def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    return _conv_transpose(
        input,
        weight,
        bias=bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


@ports("torch.convolution")
def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    if transposed:
        return _conv_transpose(
            input,
            weight,
            bias=bias,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            dilation=dilation,
        )
    return _conv(
        input,
        weight,
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


@ports("torch.conv_tbc", "torch.nn.functional.conv_tbc")
def conv_tbc(input, weight, bias, pad=0):
    """Convolution of (time, batch, channels) by a kernel (width, in, out)."""
    output = mx.conv1d(input.swapaxes(0, 1), weight.transpose(2, 0, 1), padding=pad)
    return output.swapaxes(0, 1) + bias


@ports("torch.nn.functional.linear")
def linear(input, weight, bias=None):
    if bias is None:
        return input @ weight.T
    return input @ weight.T + bias


@ports("torch.nn.functional.bilinear", "torch.bilinear")
def bilinear(input1, input2, weight, bias=None):
    """`input1 @ weight[o] @ input2` for each output o; weight is (out, in1, in2)."""
    output = (mx.tensordot(input1, weight, ([-1], [1])) @ input2[..., None]).squeeze(-1)
    return output if bias is None else output + bias


def _window_indices(length, kernel, stride, padding, dilation):
    """Where each window lies along an axis of the padded input: (kernel, windows)."""
    count = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return mx.arange(kernel)[:, None] * dilation + mx.arange(count) * stride


@ports("torch.nn.functional.unfold")
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of (batch, channels, height, width) as columns."""
    kernel, dilation = _per_axis(kernel_size, 2), _per_axis(dilation, 2)
    padding, stride = _per_axis(padding, 2), _per_axis(stride, 2)
    rows, columns = map(_window_indices, input.shape[-2:], kernel, stride, padding, dilation)
    padded = mx.pad(input, [(0, 0)] * (input.ndim - 2) + [(p, p) for p in padding])
    windows = padded[..., rows[:, None, :, None], columns[None, :, None, :]]
    return windows.flatten(-2).flatten(-4, -2)


@ports("torch.nn.functional.fold")
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Sums the columns of `unfold` back into (batch, channels, height, width)."""
    size, kernel = _per_axis(output_size, 2), _per_axis(kernel_size, 2)
    padding, stride = _per_axis(padding, 2), _per_axis(stride, 2)
    rows, columns = map(_window_indices, size, kernel, stride, padding, _per_axis(dilation, 2))
    windows = input.reshape(*input.shape[:-2], -1, *kernel, rows.shape[1], columns.shape[1])
    padded = mx.zeros(
        (*windows.shape[:-4], size[0] + 2 * padding[0], size[1] + 2 * padding[1]), input.dtype
    )
    padded = padded.at[..., rows[:, None, :, None], columns[None, :, None, :]].add(windows)
    return padded[..., padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
