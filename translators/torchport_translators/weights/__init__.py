"""Weights: a torch checkpoint's tensors, placed in a ported module."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

_MODULES = {"flax": "nnx", "mlx": "mlx"}


def transfer_weights(state: Mapping[str, object], module: object) -> None:
    """Fill a ported module in place with a torch `state_dict`.

    Args:
        state: torch's names to tensors or NumPy arrays, in torch's layout and of any float dtype
            where the module has floats; each is converted to the dtype that the module has.
        module: a `flax.nnx` or an `mlx.nn` module whose attributes are named as in torch.

    Raises:
        WeightsError: tensors are missing, unused or of another shape; the message lists all of them.
            Nothing is changed then.
        TypeError: the module is of no framework known here.
    """
    for base in type(module).__mro__:
        name = _MODULES.get(base.__module__.partition(".")[0])
        if name is not None:
            importlib.import_module(f"{__name__}.{name}").transfer_weights(state, module)
            return
    raise TypeError(
        f"transfer_weights fills a flax.nnx or an mlx.nn module, and not a {type(module).__name__}"
    )
