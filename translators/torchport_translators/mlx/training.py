"""Training of several modules at once, of which mlx.nn and mlx.optimizers know one.

The rewrite of a training step calls these; they port no call by themselves.
"""

from __future__ import annotations

import mlx.core as mx


def value_and_grad(modules, function):
    """nn.value_and_grad for several modules: the gradients are a list with a tree for each."""

    def of(parameters, *args):
        for module, values in zip(modules, parameters, strict=True):
            module.update(values)
        return function(*args)

    differentiated = mx.value_and_grad(of)
    return lambda *args: differentiated(
        [module.trainable_parameters() for module in modules], *args
    )


def update_modules(optimizer, modules, grads):
    """optimizer.update for several modules, with a tree of gradients for each."""
    names = [str(index) for index in range(len(modules))]
    changed = optimizer.apply_gradients(
        dict(zip(names, grads, strict=True)), dict(zip(names, modules, strict=True))
    )
    for name, module in zip(names, modules, strict=True):
        module.update(changed[name])
