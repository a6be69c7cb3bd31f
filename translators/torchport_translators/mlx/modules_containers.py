"""Parameters, and modules that hold modules."""

from __future__ import annotations

import mlx.nn as nn

from torchport_translators.catalogue import ports


@ports("torch.nn.Parameter")
def Parameter(data, requires_grad=True):
    """An array that is an attribute of a module is trained unless the module freezes it."""
    return data


@ports("torch.nn.Buffer")
def Buffer(data, persistent=True):
    return data


@ports("torch.nn.Sequential")
class NamedSequential(nn.Module):
    """Layers called in turn, each under its own name."""

    def __init__(self, layers: dict):
        super().__init__()
        self.names = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return x


@ports("torch.nn.Sequential")
def Sequential(*args):
    return nn.Sequential(*args)


@ports("torch.nn.ModuleList", "torch.nn.ParameterList")
def ModuleList(modules=None):
    """A module of MLX finds what is in its lists."""
    if modules is None:
        return []
    return list(modules)


@ports("torch.nn.ModuleDict", "torch.nn.ParameterDict")
def ModuleDict(modules=None):
    """A module of MLX finds what is in its dicts."""
    if modules is None:
        return {}
    return dict(modules)


@ports("torch.nn.DataParallel", "torch.nn.parallel.DataParallel")
def DataParallel(module, device_ids=None, output_device=None, dim=0):
    """MLX runs on the one device of its machine; mx.distributed spreads over machines."""
    return module
