"""What a training step differentiates by, where not every parameter is trained.

The rewrites of training call these; they port no call by themselves.
"""

from __future__ import annotations

from flax import nnx


def trainable(path, variable):
    """A filter: parameters that are not frozen by `set_metadata(requires_grad=False)`."""
    return isinstance(variable, nnx.Param) and variable.get_metadata("requires_grad", True)
