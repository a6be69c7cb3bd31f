"""The targets, as the tests of module rules use them: training, weights, statistics, gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import torch
import torch.nn.functional as F
from flax import nnx
from mlx import nn

from torchport_translators.weights import mlx as mlx_weights
from torchport_translators.weights import nnx as nnx_weights
from torchport_translators.weights import transfer_weights

from .frameworks import JAX, MLX, Arrays, Framework


class Modules(ABC):
    """The modules of one target.

    Attributes:
        on: the target.
        module: its class of modules.
        functions: its functions for those of torch that a constructor is given.
    """

    on: Framework
    module: type
    functions: ClassVar[Mapping[Callable[..., object], Callable[..., object]]]

    def place(self, state: Mapping[str, torch.Tensor], port: Any) -> None:
        """Give a port torch's weights and statistics."""
        if isinstance(port, self.module):
            transfer_weights(state, port)
        else:
            assert not state, "the rule gives a function, but torch keeps a state"

    def train(self, port: Any, training: bool) -> None:
        """Set a port to training or to evaluation; a function has no such mode."""
        if isinstance(port, self.module):
            port.train() if training else port.eval()

    @abstractmethod
    def tensors(self, port: Any) -> dict[str, np.ndarray]:
        """What a module keeps, by torch's names and in torch's layout."""

    @abstractmethod
    def statistics(self, port: Any) -> dict[str, np.ndarray]:
        """What of it is not trained."""

    @abstractmethod
    def vjp(
        self,
        port: Any,
        run: Callable[[Any, Arrays], Arrays],
        values: Arrays,
        seeds: Sequence[np.ndarray],
    ) -> tuple[Arrays, dict[str, np.ndarray]]:
        """The gradients of `run(port, values)`: by the values, and by parameters as torch's are."""


class JaxModules(Modules):
    on = JAX
    module = nnx.Module
    functions: ClassVar = {F.relu: nnx.relu, F.gelu: partial(nnx.gelu, approximate=False)}

    def tensors(self, port: Any) -> dict[str, np.ndarray]:
        return {
            name: place.to_source(np.asarray(place.variable[...]))
            for name, place in nnx_weights.placements(port).items()
        }

    def statistics(self, port: Any) -> dict[str, np.ndarray]:
        return {
            name: place.to_source(np.asarray(place.variable[...]))
            for name, place in nnx_weights.placements(port).items()
            if isinstance(place.variable, nnx.BatchStat)
        }

    def vjp(
        self,
        port: Any,
        run: Callable[[Any, Arrays], Arrays],
        values: Arrays,
        seeds: Sequence[np.ndarray],
    ) -> tuple[Arrays, dict[str, np.ndarray]]:
        graph, parameters, rest = nnx.split(port, nnx.Param, ...)

        @jax.jit
        def gradients(parameters: nnx.State, values: Arrays) -> Any:
            results, pull = jax.vjp(
                lambda parameters, values: run(
                    nnx.merge(graph, parameters, rest, copy=True), values
                ),
                parameters,
                values,
            )
            pairs = zip(seeds, results, strict=True)
            return pull([jnp.asarray(seed, result.dtype) for seed, result in pairs])

        of_parameters, of_values = gradients(parameters, values)
        if not isinstance(port, nnx.Module):
            return of_values, {}
        places = nnx_weights.placements(nnx.merge(graph, of_parameters, rest))
        return of_values, {
            name: place.to_source(np.asarray(place.variable[...]))
            for name, place in places.items()
            if isinstance(place.variable, nnx.Param)
        }


class MlxModules(Modules):
    on = MLX
    module = nn.Module
    functions: ClassVar = {F.relu: nn.relu, F.gelu: nn.gelu}

    def tensors(self, port: Any) -> dict[str, np.ndarray]:
        return {
            name: place.to_source(np.array(place.array))
            for name, place in mlx_weights.placements(port).items()
            if place.required
        }

    def statistics(self, port: Any) -> dict[str, np.ndarray]:
        return {
            name: place.to_source(np.array(place.array))
            for name, place in mlx_weights.placements(port).items()
            if place.required and not place.trainable
        }

    def vjp(
        self,
        port: Any,
        run: Callable[[Any, Arrays], Arrays],
        values: Arrays,
        seeds: Sequence[np.ndarray],
    ) -> tuple[Arrays, dict[str, np.ndarray]]:
        places = mlx_weights.placements(port) if isinstance(port, nn.Module) else {}
        trained = {name: place for name, place in places.items() if place.trainable}
        held = [place.array for place in trained.values()]

        def outputs(*arrays: mx.array) -> list[mx.array]:
            for place, array in zip(trained.values(), arrays, strict=False):
                place.place(array)
            return list(run(port, arrays[len(trained) :]))

        gradients = self.on.vjp(
            lambda arrays: outputs(*arrays),
            [*held, *values],
            [self.on.of_numpy(seed) for seed in seeds],
            jit=True,
        )
        of_parameters = zip(trained.items(), gradients, strict=False)
        return gradients[len(trained) :], {
            name: place.to_source(np.array(gradient)) for (name, place), gradient in of_parameters
        }


MODULES: dict[str, Modules] = {"jax": JaxModules(), "mlx": MlxModules()}
