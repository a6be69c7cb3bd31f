"""The targets, as the oracle uses them: arrays made of torch's tensors, derivatives, compilation."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Thousands of small programs are compiled, each run once: compile them fast, not well.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import torch
from flax import nnx

from torchport_translators.catalogue.load import Catalogue, catalogue

# MLX compiles for the CPU through a C++ compiler: a second for each activation of mlx.nn. Not by the
# environment, which the lanes of tests in the same process would have as well.
mx.disable_compile()

Arrays = Sequence[Any]


class Framework(ABC):
    """One target.

    Attributes:
        name: "jax" or "mlx".
        array: its type of arrays.
        catalogue: the rules.
    """

    name: str
    array: type
    no_axes: tuple[str, ...]
    """What it says of the axis of a 0-d array, which torch takes as 0 and -1."""
    stands_for: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Dtypes of results that an engineer leaves as they are where torch has another."""

    @property
    def catalogue(self) -> Catalogue:
        return catalogue(self.name)

    @abstractmethod
    def dtype(self, dtype: torch.dtype) -> Any:
        """What the catalogue makes of a dtype."""

    @abstractmethod
    def held(self, dtype: torch.dtype) -> str:
        """The name of the dtype that results have where torch's have `dtype`."""

    def name_of(self, dtype: Any) -> str:
        """The name of one of its dtypes."""
        return str(dtype).rpartition(".")[2]

    @abstractmethod
    def of_tensor(self, tensor: torch.Tensor) -> Any:
        """A tensor as an array."""

    @abstractmethod
    def of_numpy(self, array: np.ndarray) -> Any:
        """A numpy array as an array."""

    @abstractmethod
    def numpy(self, array: Any) -> np.ndarray:
        """An array as numpy's; bfloat16 as float32."""

    def random(self) -> dict[str, Any]:
        """What a rule that draws is given besides its arguments; every stream begins anew."""
        return {}

    @abstractmethod
    def jit(self, run: Callable[[dict[int, Any]], Arrays], arrays: Mapping[int, Any]) -> Arrays:
        """`run(arrays)`, compiled where that is a form of its own."""

    @abstractmethod
    def vjp(
        self, run: Callable[[Arrays], Arrays], values: Arrays, cotangents: Arrays, *, jit: bool
    ) -> Arrays:
        """The gradients of `run` at `values`."""


class Jax(Framework):
    name = "jax"
    array = jax.Array
    no_axes = (
        "array of dimension 0",
        "array is 0-dimensional",
        "array of shape ()",
        "meshgrid must be 1D",
    )

    def dtype(self, dtype: torch.dtype) -> Any:
        return eval(self.catalogue.names[str(dtype)], {"jnp": jnp})

    def held(self, dtype: torch.dtype) -> str:
        # float64 is float32 unless jax is told otherwise, and the port leaves that to its user.
        return str(jax.dtypes.canonicalize_dtype(self.dtype(dtype)))

    def of_tensor(self, tensor: torch.Tensor) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # float64 becomes float32, as it does in a port
            return jnp.asarray(_plain(tensor), self.dtype(tensor.dtype))

    def of_numpy(self, array: np.ndarray) -> Any:
        return jnp.asarray(array)

    def numpy(self, array: Any) -> np.ndarray:
        array = np.asarray(array)
        return array.astype(np.float32) if array.dtype == jnp.bfloat16 else array

    def random(self) -> dict[str, Any]:
        return {"rngs": nnx.Rngs(0)}

    def jit(self, run: Callable[[dict[int, Any]], Arrays], arrays: Mapping[int, Any]) -> Arrays:
        return jax.jit(run)(dict(arrays))

    def vjp(
        self, run: Callable[[Arrays], Arrays], values: Arrays, cotangents: Arrays, *, jit: bool
    ) -> Arrays:
        def gradients(values: Arrays, cotangents: Arrays) -> Arrays:
            outputs, vjp = jax.vjp(run, values)
            pairs = zip(cotangents, outputs, strict=True)
            return vjp([seed.astype(output.dtype) for seed, output in pairs])[0]

        return (jax.jit(gradients) if jit else gradients)(values, cotangents)


class Mlx(Framework):
    name = "mlx"
    array = mx.array
    # Counts are int32 by default, positions uint32.
    stands_for = MappingProxyType({"int64": ("int32", "uint32")})
    no_axes = (
        "tuple index out of range",
        "array with 0 dimensions",
        "array with ndim 0",
        "0 dimensional array",
    )

    def dtype(self, dtype: torch.dtype) -> Any:
        return eval(self.catalogue.names[str(dtype)], {"mx": mx})

    def held(self, dtype: torch.dtype) -> str:
        return self.name_of(self.dtype(dtype))

    def of_tensor(self, tensor: torch.Tensor) -> Any:
        plain = _plain(tensor)
        if plain.dtype == np.complex128:  # numpy's becomes bytes in MLX, which has complex64 only
            plain = plain.astype(np.complex64)
        # float64 is asked for: by itself MLX makes float32 of numpy's.
        return mx.array(plain, dtype=self.dtype(tensor.dtype))

    def of_numpy(self, array: np.ndarray) -> Any:
        return mx.array(array)

    def numpy(self, array: Any) -> np.ndarray:
        return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)

    def random(self) -> dict[str, Any]:
        mx.random.seed(0)
        return {}

    def jit(self, run: Callable[[dict[int, Any]], Arrays], arrays: Mapping[int, Any]) -> Arrays:
        # Compiling for the CPU goes through a C++ compiler, a second for each sample: left out.
        return run(dict(arrays))

    def vjp(
        self, run: Callable[[Arrays], Arrays], values: Arrays, cotangents: Arrays, *, jit: bool
    ) -> Arrays:
        outputs = run(values)
        seeds = [
            seed.astype(output.dtype) for seed, output in zip(cotangents, outputs, strict=True)
        ]

        def distinct(*values: Any) -> list[Any]:
            # Of an array that is given twice mx.vjp counts one.
            results = list(run(list(values)))
            twice = [any(other is r for other in results[:at]) for at, r in enumerate(results)]
            return [r + 0 if again else r for r, again in zip(results, twice, strict=True)]

        gradients = mx.vjp(distinct, list(values), seeds)[1]
        mx.eval(gradients)
        return gradients


JAX = Jax()
MLX = Mlx()
FRAMEWORKS: dict[str, Framework] = {"jax": JAX, "mlx": MLX}


def _plain(tensor: torch.Tensor) -> np.ndarray:
    plain = tensor.detach().resolve_conj().resolve_neg()
    return (plain.float() if tensor.dtype is torch.bfloat16 else plain).numpy(force=True)
