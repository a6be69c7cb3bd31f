"""Parameters, and modules that hold modules."""

from __future__ import annotations

from flax import nnx

from torchport_translators.catalogue import ports


@ports("torch.nn.Parameter")
def Parameter(data, requires_grad=True):
    """What is trained is an `nnx.Param`; what is only kept, an `nnx.Variable`."""
    if requires_grad:
        return nnx.Param(data)
    return nnx.Variable(data)


@ports("torch.nn.Buffer")
def Buffer(data, persistent=True):
    if persistent:
        return nnx.Variable(data)
    return data


@ports("torch.nn.Sequential")
class NamedSequential(nnx.Module):
    """Layers called in turn, each under its own name."""

    def __init__(self, layers: dict):
        self.names = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return x


@ports("torch.nn.Sequential")
def Sequential(*args):
    return nnx.Sequential(*args)


@ports("torch.nn.ModuleList", "torch.nn.ParameterList")
def ModuleList(modules=None):
    if modules is None:
        return nnx.List([])
    return nnx.List(modules)


@ports("torch.nn.ModuleDict", "torch.nn.ParameterDict")
def ModuleDict(modules=None):
    if modules is None:
        return nnx.Dict({})
    return nnx.Dict(modules)


@ports("torch.nn.DataParallel", "torch.nn.parallel.DataParallel")
def DataParallel(module, device_ids=None, output_device=None, dim=0):
    """JAX spreads a batch over devices by the sharding of its arrays, not by a module."""
    return module
