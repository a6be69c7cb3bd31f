"""Operators called by name: `x.__radd__(y)` is `y + x`. Written as operators they stay as they are."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.elementwise import abs


@ports("torch.Tensor.__add__", "torch.Tensor.__iadd__")
def add(input, other):
    return input + other


@ports("torch.Tensor.__radd__")
def radd(input, other):
    return other + input


@ports("torch.Tensor.__sub__", "torch.Tensor.__isub__")
def sub(input, other):
    return input - other


@ports("torch.Tensor.__rsub__")
def rsub(input, other):
    return other - input


@ports("torch.Tensor.__mul__", "torch.Tensor.__imul__")
def mul(input, other):
    return input * other


@ports("torch.Tensor.__rmul__")
def rmul(input, other):
    return other * input


@ports(
    "torch.Tensor.__truediv__",
    "torch.Tensor.__itruediv__",
    "torch.Tensor.__div__",
    "torch.Tensor.__idiv__",
)
def truediv(input, other):
    return input / other


@ports("torch.Tensor.__rtruediv__", "torch.Tensor.__rdiv__")
def rtruediv(input, other):
    return other / input


@ports("torch.Tensor.__floordiv__", "torch.Tensor.__ifloordiv__")
def floordiv(input, other):
    return input // other


@ports("torch.Tensor.__rfloordiv__")
def rfloordiv(input, other):
    return other // input


@ports("torch.Tensor.__mod__", "torch.Tensor.__imod__")
def mod(input, other):
    return input % other


@ports("torch.Tensor.__rmod__")
def rmod(input, other):
    return other % input


@ports("torch.Tensor.__pow__", "torch.Tensor.__ipow__")
def pow(input, other):
    return input**other


@ports("torch.Tensor.__rpow__")
def rpow(input, other):
    return other**input


@ports("torch.Tensor.__matmul__")
def matmul(input, other):
    return input @ other


@ports("torch.Tensor.__rmatmul__")
def rmatmul(input, other):
    return other @ input


@ports("torch.Tensor.__and__", "torch.Tensor.__iand__", "torch.Tensor.__rand__")
def and_(input, other):
    return input & other


@ports("torch.Tensor.__or__", "torch.Tensor.__ior__", "torch.Tensor.__ror__")
def or_(input, other):
    return input | other


@ports("torch.Tensor.__xor__", "torch.Tensor.__ixor__", "torch.Tensor.__rxor__")
def xor(input, other):
    return input ^ other


@ports("torch.Tensor.__lshift__", "torch.Tensor.__ilshift__")
def lshift(input, other):
    return input << other


@ports("torch.Tensor.__rlshift__")
def rlshift(input, other):
    return other << input


@ports("torch.Tensor.__rshift__", "torch.Tensor.__irshift__")
def rshift(input, other):
    return input >> other


@ports("torch.Tensor.__rrshift__")
def rrshift(input, other):
    return other >> input


@ports("torch.Tensor.__neg__")
def neg(input):
    return -input


@ports("torch.Tensor.__pos__")
def pos(input):
    return input


@ports("torch.Tensor.__invert__")
def invert(input):
    return ~input


@ports("torch.Tensor.__abs__")
def absolute(input):
    return abs(input)


@ports("torch.Tensor.__eq__")
def eq(input, other):
    return input == other


@ports("torch.Tensor.__ne__")
def ne(input, other):
    return input != other


@ports("torch.Tensor.__lt__")
def lt(input, other):
    return input < other


@ports("torch.Tensor.__le__")
def le(input, other):
    return input <= other


@ports("torch.Tensor.__gt__")
def gt(input, other):
    return input > other


@ports("torch.Tensor.__ge__")
def ge(input, other):
    return input >= other


@ports("torch.Tensor.__len__")
def length(input) -> int:
    return len(input)


@ports("torch.Tensor.__contains__", jit=False)
def contains(input, element) -> bool:
    return mx.any(input == element).item()


@ports("torch.Tensor.__bool__", "torch.Tensor.__nonzero__", jit=False)
def to_bool(input) -> bool:
    return bool(input)


@ports("torch.Tensor.__int__", "torch.Tensor.__index__", "torch.Tensor.__long__", jit=False)
def to_int(input) -> int:
    return int(input.item())


@ports("torch.Tensor.__float__", jit=False)
def to_float(input) -> float:
    return float(input.item())


@ports("torch.Tensor.__complex__", jit=False)
def to_complex(input) -> complex:
    return complex(input.item())


@ports("torch.Tensor.__reversed__")
def reversed_(input):
    return input[::-1]
