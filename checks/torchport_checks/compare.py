"""Equal, or not: the judge. Numpy only, no state.

The order is fixed: structure, shape, dtype, NaN and infinities, values.

NaN must be where torch has it, and infinities with torch's sign. Where one is finite and the other
not, float64 says who is right: where torch overflows and float64 does not, torch is off and the port
may well be better; where float64 is at the edge of the format, either may round to infinity. What is
smaller than the smallest normal number counts as zero, since JAX flushes it.

Where the input itself holds NaN or infinities, a port that makes NaN of what torch keeps finite is
wrong: it multiplies by a mask instead of selecting, or sums what torch leaves out. The other way round
is told in a note: the guards around a kink that idiomatic JAX needs, `where(x > 0, ...)`, turn NaN
into a number. Whether inf - inf or 0 * inf comes up on the way to an infinity is the kernel's affair.

Where the inputs were cast to half precision, as the caller never did, a port that gives single
precision (`jnp.zeros(n)` for `x.new_zeros(n)`) is told in a note; one that gives half where torch
takes care to compute in single is wrong where that costs digits.

Values are judged against what float64 says rather than by a tolerance, because a fixed tolerance either
flags honest rounding or misses bugs of small scale:

- within 16 ulp is equal; integers and booleans must be exact, unless runs of the original that round
  at random (see below) give other ones at all those places: a rounding decides them;
- with the float64 reference `r`, torch's own error `et = |torch - r|` and the port's `ec`, the port
  is equal where `ec <= max(8 et, 64 eps |r|, 4 max et, 2 eps max |r|)`;
- else, where moving inputs and weights by 2^-24 moves `r` by at least `ec / 32`, it is rounding, and
  equal, below a relative error of 1e-4; above, the result is ill-conditioned if torch is itself off
  `r`;
- else, where runs of the original that round at random (`worker/rounding.py`) are off `r` by `em`, it
  is rounding of what lies between where `ec <= max(8 em, 4 rms(em))`: terms cancel, a function is
  saturated, a sum is long; equal below a relative error of 1e-4, ill-conditioned above;
- else, a gradient is ill-conditioned where moving inputs and weights as rounding does moves it as
  far as `ec / 2`: a kink (a ReLU's zero, a tie of a maximum) lies within rounding;
- else it is PRECISION below a relative error of 1e-4, or MISMATCH.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from torchport_checks.picture import picture
from torchport_checks.verdicts import Category, Difference, Errors
from torchport_checks.worker.protocol import Array, Opaque, Record

ULPS = 16
SENSITIVITY = 32
KINK = 2
PRECISION = 1e-4
FALLBACK = 1e-5
"""Relative to `|torch| + max|torch|`, where there is no float64 reference."""

_GUARDED = "torch gives NaN, the port a number."
_OVERFLOWN = "torch is not finite where float64 is, or not as float64 is; not compared there."

Floats = NDArray[np.float64]

# Spacing at 1, smallest normal number, and largest number, by the dtype's name in either framework.
_FORMATS = {
    "float64": (2.0**-52, 2.0**-1022, (2 - 2.0**-52) * 2.0**1023),
    "float32": (2.0**-23, 2.0**-126, (2 - 2.0**-23) * 2.0**127),
    "float16": (2.0**-10, 2.0**-14, (2 - 2.0**-10) * 2.0**15),
    "bfloat16": (2.0**-7, 2.0**-126, (2 - 2.0**-7) * 2.0**127),
}
_HALVES = {"float16", "bfloat16"}
# Without x64, JAX holds 64-bit values in 32 bits: known, and named in a note.
_PYTHON = {"bool", "int", "float", "complex"}
_NARROWED = {"float64": "float32", "int64": "int32", "complex128": "complex64", "uint64": "uint32"}


@dataclass
class Comparison:
    """The outcome of comparing two results."""

    largest: Errors = field(default_factory=Errors)
    differences: list[Difference] = field(default_factory=list[Difference])
    notes: list[str] = field(default_factory=list[str])

    def add(self, other: Comparison) -> None:
        """Take in what another comparison found."""
        self.largest = self.largest.widened(other.largest)
        self.differences += other.differences
        self.notes += [note for note in other.notes if note not in self.notes]


Sensitivity = Callable[[], Sequence[Any]]
"""Gives the float64 results for jittered inputs, in the structure of the reference. Called once
and only where a value is in doubt."""
Kinks = Callable[[], Iterable[Any]]
"""Gives float64 gradients beside the point, nearest first. Read no further than needed."""


def compare(
    torch: Any,
    port: Any,
    reference: Any = None,
    *,
    where: str = "output",
    case: str = "",
    sensitivity: Sensitivity | None = None,
    rounded: Sensitivity | None = None,
    kinks: Kinks | None = None,
    guarded: bool = False,
    halved: bool = False,
    floor: float = 0.0,
) -> Comparison:
    """Compare a result of torch with the port's: nested values with `Array` leaves.

    Args:
        reference: torch's result in float64, in the same structure; None where there is none.
        where: what is compared, for messages.
        case: mode and draw, for messages.
        rounded: gives results of the original that round at random.
        kinks: where a gradient is compared whose outputs are equal.
        guarded: whether the input holds NaN or infinities, or brings them about. A number in place
            of torch's NaN is then told in a note only, and NaN is as good as infinity.
        halved: whether the inputs were cast to half precision. Single precision in place of half is
            then told in a note only, and half in place of single where it costs no digits.
    """
    comparison = Comparison()
    _Judge(where, case, sensitivity, rounded, kinks, guarded, halved, floor, comparison).walk(
        torch, port, reference, (), ""
    )
    return comparison


@dataclass
class _Judge:
    where: str
    case: str
    sensitivity: Sensitivity | None
    rounded: Sensitivity | None
    kinks: Kinks | None
    guarded: bool
    halved: bool
    floor: float
    found: Comparison

    def walk(
        self, torch: Any, port: Any, reference: Any, steps: tuple[Any, ...], path: str
    ) -> None:
        """Compare one node; `steps` lead to it from the root, `path` names it."""
        if isinstance(torch, Record) and torch.name.startswith("$"):
            return  # a dtype or a device: it has no counterpart to compare
        torch, port, reference = _as_array(torch), _as_array(port), _as_array(reference)
        if isinstance(torch, Array) and isinstance(port, Array):
            self._array(torch, port, reference, steps, path)
            return
        first, second = _children(torch), _children(port)
        if first is None or second is None:
            if type(torch) is not type(port) or torch != port:
                self._structure(path, _kind(torch), _kind(port))
            return
        kinds = _container(torch), _container(port)
        if set(kinds) == {"tuple", "list"}:
            self._note(f"{self.where}{path}: torch returns a {kinds[0]}, the port a {kinds[1]}.")
        elif kinds == ("record", "tuple"):
            self._note(f"{self.where}{path}: torch returns a named tuple, the port a tuple.")
            second = dict(zip(first, second.values(), strict=False)) | dict(
                list(second.items())[len(first) :]
            )
        elif kinds[0] != kinds[1]:
            self._structure(path, _kind(torch), _kind(port))
            return
        if set(first) != set(second):
            self._structure(path, _kind(torch), _kind(port))
            return
        referenced = _children(reference) or {}
        for key in first:
            label = f".{key}" if kinds[0] == "record" else f"[{key!r}]"
            self.walk(first[key], second[key], referenced.get(key), (*steps, key), path + label)

    def _array(
        self, torch: Array, port: Array, reference: Any, steps: tuple[Any, ...], path: str
    ) -> None:
        if torch.shape != port.shape:
            self._differ(
                Category.SHAPE, path, f"torch gives shape {torch.shape}, the port {port.shape}."
            )
            return
        if not self._dtype(torch, port, path):
            return
        if not torch.inexact:
            self._exact(torch, port, steps, path)
            return
        worth = reference if isinstance(reference, Array) and reference.inexact else None
        if worth is not None and (worth.shape != torch.shape or torch.dtype in _NARROWED):
            # What torch computed in float64 is its own reference: it says nothing of float32.
            worth = None
        eps, tiny, huge = _format(torch.dtype, port.dtype)
        parts = zip(_parts(torch), _parts(port), strict=True)
        references = _parts(worth) if worth is not None else [None, None]
        for (label, t), (_, p) in parts:
            ref = next((r for r in references if r is not None and r[0] == label), None)
            self._values(t, p, ref[1] if ref else None, eps, tiny, huge, steps, path, label)

    def _dtype(self, torch: Array, port: Array, path: str) -> bool:
        if torch.dtype == port.dtype:
            return True
        what = f"torch gives {_named(torch)}, the port {_named(port)}"
        if _NARROWED.get(torch.dtype) == port.dtype:
            if torch.inexact:
                self._note(f"Warning: {self.where}{path}: {what}; half the digits are lost.")
            else:
                self._note(f"{self.where}{path}: {what}, which is enough up to 2**31.")
            return True
        if (torch.dtype, port.dtype) == ("int64", "uint32"):
            self._note(f"{self.where}{path}: {what}, as MLX counts positions: nothing is below 0.")
            return True
        if (
            self.halved
            and {torch.dtype, port.dtype} & _HALVES
            and "float32"
            in (
                torch.dtype,
                port.dtype,
            )
        ):
            exact = np.array_equal(torch.value, port.value.astype(torch.value.dtype))
            if port.dtype == "float32" or exact:
                self._note(f"{self.where}{path} ({self.case}): {what}.")
                return True
        if {torch.dtype, port.dtype} & _PYTHON and _family(torch.dtype) == _family(port.dtype):
            self._note(f"{self.where}{path}: {what}.")
            return True
        self._differ(Category.DTYPE, path, f"{what}.")
        return False

    def _exact(self, torch: Array, port: Array, steps: tuple[Any, ...], path: str) -> None:
        wrong = torch.value != port.value
        if not wrong.any():
            return
        index = _first(wrong)
        distance = np.abs(torch.value.astype(np.float64) - port.value.astype(np.float64))
        self.found.largest = self.found.largest.widened(
            Errors(abs=float(distance.max()), rel=_relative(distance, torch.value))
        )
        overflow = ""
        if torch.dtype == "int64" and np.abs(torch.value[index]) > np.iinfo(np.int32).max:
            overflow = " It does not fit 32 bits."
        share = f"{int(wrong.sum())} of {wrong.size} values"
        left = wrong.copy()
        for result in self.rounded() if self.rounded is not None else ():
            leaf = _follow(result, steps)
            if isinstance(leaf, Array) and leaf.shape == torch.shape:
                left &= leaf.value == torch.value
        self._differ(
            Category.MISMATCH if left.any() else Category.ILL_CONDITIONED,
            path,
            f"{share} differ; at {_at(index)} torch gives {torch.value[index]}, the port "
            f"{port.value[index]}.{overflow}",
            index=index,
            torch=torch.value[index].item(),
            port=port.value[index].item(),
            picture=picture(torch.value, port.value),
        )

    def _values(
        self,
        torch: Floats,
        port: Floats,
        reference: Floats | None,
        eps: float,
        tiny: float,
        huge: float,
        steps: tuple[Any, ...],
        path: str,
        label: str,
    ) -> None:
        """Judge real numbers; `label` says which part of complex ones they are."""
        path += label
        if np.array_equal(torch, port, equal_nan=True):
            return
        odd = ~(np.isfinite(torch) & np.isfinite(port))
        if odd.any():
            same = (torch == port) | (np.isnan(torch) & np.isnan(port))
            if self.guarded:
                hidden = np.isnan(torch) & ~np.isnan(port)
                if hidden.any():
                    self._note(f"{self.where}{path} ({self.case}): {_GUARDED}")
                same |= hidden | (np.isinf(torch) & np.isnan(port))
            if reference is not None and not same[odd].all():
                excused = odd & ~same & _overflown(torch, port, reference, eps, huge)
                if excused.any():
                    self._note(f"{self.where}{path} ({self.case}): {_OVERFLOWN}")
                    same |= excused
            if not same[odd].all():
                index = _first(odd & ~same)
                count = int((odd & ~same).sum())
                self._differ(
                    Category.NAN,
                    path,
                    f"{count} of {odd.size} values are NaN or infinite in one and not in the other; "
                    f"at {_at(index)} torch gives {torch[index]}, the port {port[index]}.",
                    index=index,
                    torch=_number(torch[index]),
                    port=_number(port[index]),
                    picture=picture(torch, port, eps, tiny),
                )
                return
            torch, port = np.where(odd, 0.0, torch), np.where(odd, 0.0, port)
            reference = None if reference is None else np.where(odd, 0.0, reference)
        distance = np.abs(torch - port)
        spacing = _spacing(np.maximum(np.abs(torch), np.abs(port)), eps, tiny)
        ulps = distance / spacing
        self.found.largest = self.found.largest.widened(
            Errors(abs=float(distance.max()), rel=_relative(distance, torch), ulp=float(ulps.max()))
        )
        wrong = (ulps > ULPS) & (distance > max(tiny, self.floor))
        if not wrong.any():
            return
        if reference is not None and not np.isfinite(reference).all():
            reference = None
        if reference is None:
            self._note(
                "There is no float64 reference for some values; they were compared with a tolerance "
                f"of {FALLBACK:g}, relative to the value and the largest value."
            )
            wrong &= distance > FALLBACK * (np.abs(torch) + np.abs(torch).max())
            error, ours = distance, np.zeros_like(distance)
        else:
            error, ours = np.abs(port - reference), np.abs(torch - reference)
            scale = np.abs(reference)
            allowed = np.maximum(8 * ours, 64 * eps * scale)
            allowed = np.maximum(allowed, max(4 * ours.max(), 2 * eps * scale.max()))
            wrong &= error > allowed
        if not wrong.any():
            return
        index = _worst(np.where(wrong, error, -1.0))
        category = self._category(
            wrong, error, ours, reference, eps, tiny, steps, label, torch, odd
        )
        if category is None:
            self._note(
                f"{self.where}{path} ({self.case}): rounding is magnified here, and explains a "
                f"difference of relative {_relative(distance, torch):.1g}."
            )
            return
        tolerance = _tolerance(torch, port)
        expected = "" if reference is None else f", float64 {reference[index]:.9g}"
        self._differ(
            category,
            path,
            f"{int(wrong.sum())} of {wrong.size} values differ; at {_at(index)} torch gives "
            f"{torch[index]:.9g}, the port {port[index]:.9g}{expected}. A relative tolerance of "
            f"{tolerance:.2g} would have passed.",
            index=index,
            torch=float(torch[index]),
            port=float(port[index]),
            reference=None if reference is None else float(reference[index]),
            tolerance=tolerance,
            picture=picture(torch, port, eps, tiny),
        )

    def _category(
        self,
        wrong: NDArray[np.bool_],
        error: Floats,
        ours: Floats,
        reference: Floats | None,
        eps: float,
        tiny: float,
        steps: tuple[Any, ...],
        label: str,
        torch: Floats,
        odd: NDArray[np.bool_],
    ) -> Category | None:
        """What a difference is called; None where it is rounding."""
        scale = np.abs(torch if reference is None else reference)
        near = error <= PRECISION * np.maximum(scale, np.sqrt(np.mean(np.square(scale))))
        small = bool(near[wrong].all())
        unexplained = Category.PRECISION if small else Category.MISMATCH
        if reference is None:
            return unexplained
        left = wrong.copy()
        if self.sensitivity is not None:
            off = ours > ULPS * _spacing(np.abs(reference), eps, tiny)
            for moved in self._moved(self.sensitivity(), reference, steps, label):
                left &= ~((moved >= error / SENSITIVITY) & (small | off))
        if left.any() and self.rounded is not None:
            errors = list(self._moved(self.rounded(), reference, steps, label))
            if errors:
                largest: Floats = np.max(np.stack(errors), axis=0)
                usual: Floats = largest[np.isfinite(largest) & ~odd]
                with np.errstate(over="ignore"):  # beyond float64: it explains all
                    common = 4 * np.sqrt(np.mean(np.square(usual))) if usual.size else 0.0
                    left &= error > np.maximum(8 * largest, common)
        if not left.any():
            return None if small else Category.ILL_CONDITIONED
        if self.kinks is not None:
            for moved in self._moved(self.kinks(), reference, steps, label):
                left &= moved < error / KINK
                if not left.any():
                    return Category.ILL_CONDITIONED
        return unexplained

    @staticmethod
    def _moved(
        results: Iterable[Any], reference: Floats, steps: tuple[Any, ...], label: str
    ) -> Iterator[Floats]:
        """How far each of some results is off the reference; what is NaN is infinitely far."""
        for result in results:
            leaf = _follow(result, steps)
            if isinstance(leaf, Array) and leaf.inexact and leaf.shape == reference.shape:
                for part, values in _parts(leaf):
                    if part == label:
                        yield np.nan_to_num(np.abs(values - reference), nan=np.inf)

    def _structure(self, path: str, torch: str, port: str) -> None:
        self._differ(Category.STRUCTURE, path, f"torch gives {torch}, the port {port}.")

    def _differ(self, category: Category, path: str, message: str, **details: Any) -> None:
        self.found.differences.append(
            Difference(
                category=category,
                where=self.where + path,
                case=self.case,
                message=message,
                **details,
            )
        )

    def _note(self, note: str) -> None:
        if note not in self.found.notes:
            self.found.notes.append(note)


def _as_array(value: Any) -> Any:
    """A Python number as an `Array` whose dtype is the type's name."""
    if isinstance(value, bool | int | float | complex):
        return Array(type(value).__name__, np.asarray(value))
    return value


def _named(array: Array) -> str:
    return f"a Python {array.dtype}" if array.dtype in _PYTHON - {"bool"} else array.dtype


def _family(dtype: str) -> str:
    return dtype.rstrip("0123456789").replace("bfloat", "float")


def _children(value: Any) -> dict[Any, Any] | None:
    """The items of a container by key, or None for a leaf."""
    match value:
        case list() | tuple():
            return dict(enumerate(cast("Sequence[Any]", value)))
        case dict():
            return cast("dict[Any, Any]", value)
        case Record():
            return cast("dict[Any, Any]", value.fields)
        case _:
            return None


def _container(value: Any) -> str:
    """`list`, `tuple`, `dict` or `record`."""
    return "record" if isinstance(value, Record) else type(value).__name__


def _follow(value: Any, steps: tuple[Any, ...]) -> Any:
    for step in steps:
        children = _children(value)
        if children is None or step not in children:
            return None
        value = children[step]
    return value


def _kind(value: Any) -> str:
    match value:
        case Array():
            return f"a tensor of shape {value.shape}"
        case list() | tuple():
            items = cast("Sequence[Any]", value)
            return f"a {type(items).__name__} of {len(items)}"
        case dict():
            return f"a dict with keys {sorted(map(str, cast('dict[Any, Any]', value)))}"
        case Record():
            return f"a {value.name} with fields {list(value.fields)}"
        case Opaque():
            return f"a {value.type}"
        case _:
            return repr(value)


def _overflown(
    torch: Floats, port: Floats, reference: Floats, eps: float, huge: float
) -> NDArray[np.bool_]:
    """Where float64 does not side with torch: torch alone is not finite, or float64 is at the edge of
    the format, or it says what the port says."""
    finite = np.isfinite(reference)
    edge = np.abs(np.abs(reference) / huge - 1) <= 64 * eps
    agreed = (port == reference) | (np.isnan(port) & np.isnan(reference))
    return np.where(finite, ~np.isfinite(torch) | edge, agreed)


def _format(torch: str, port: str) -> tuple[float, float, float]:
    """Spacing at 1, smallest normal and largest number of the coarser of two dtypes."""
    halves = {"complex64": "float32", "complex128": "float64"}
    known = [_FORMATS.get(halves.get(d, d), _FORMATS["float32"]) for d in (torch, port)]
    return max(known)


def _parts(array: Array) -> list[tuple[str, Floats]]:
    if array.value.dtype.kind != "c":
        return [("", array.value.astype(np.float64))]
    wide = array.value.astype(np.complex128)
    return [(".real", np.real(wide)), (".imag", np.imag(wide))]


def _spacing(magnitude: Floats, eps: float, tiny: float) -> Floats:
    """The distance between neighbouring numbers of the format at `magnitude`."""
    _, exponent = np.frexp(np.maximum(magnitude, tiny))
    return np.ldexp(eps, exponent - 1)


def _relative(distance: Any, torch: Any) -> float:
    """The largest error relative to the value or to the array's root mean square."""
    scale = np.abs(np.asarray(torch, np.float64))
    scale = np.maximum(scale, np.sqrt(np.mean(np.square(scale))))
    ratio = np.divide(distance, scale, out=np.zeros_like(distance), where=scale > 0)
    return float(ratio.max(initial=0.0))


def _tolerance(torch: Floats, port: Floats) -> float:
    scale = np.abs(torch) + np.sqrt(np.mean(np.square(torch)))
    distance = np.abs(torch - port)
    if (distance[scale == 0] > 0).any():
        return float("inf")
    return float(np.divide(distance, scale, out=np.zeros_like(distance), where=scale > 0).max())


def _worst(error: Floats) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))


def _first(mask: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), np.shape(mask)))


def _at(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else "the only value"


def _number(value: Any) -> float | str:
    """A number as JSON can hold it."""
    return float(value) if np.isfinite(value) else str(float(value))
