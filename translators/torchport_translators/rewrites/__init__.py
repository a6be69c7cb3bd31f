"""Rewrites: what is a pattern in the source, not one call. One file each.

A rewrite's docstring shows the pattern: sections `Before:`, `After (jax):` and
`After (mlx):` are run as its test (a rewrite that is for one target only shows that one), `Why` and `When not` are for the reader. The order below is the order in which they are tried.
"""

from torchport_translators.rewrites import (
    apply_to_modules,
    constructor,
    custom_gradient,
    derivative,
    frozen_arrays,
    function_header,
    function_transforms,
    in_place,
    indexed_assignment,
    lambda_attribute,
    layer_parameters,
    list_index,
    mask_index,
    module_methods,
    module_state,
    no_grad,
    random_seed,
    rematerialise,
    reparametrized_layer,
    sequential_layers,
    settings,
    shared_memory,
    tied_weights,
    train_mode,
    tuple_result,
)
from torchport_translators.rewrites.registry import expressions, statements

__all__ = [
    "apply_to_modules",
    "constructor",
    "custom_gradient",
    "derivative",
    "expressions",
    "frozen_arrays",
    "function_header",
    "function_transforms",
    "in_place",
    "indexed_assignment",
    "lambda_attribute",
    "layer_parameters",
    "list_index",
    "mask_index",
    "module_methods",
    "module_state",
    "no_grad",
    "random_seed",
    "rematerialise",
    "reparametrized_layer",
    "sequential_layers",
    "settings",
    "shared_memory",
    "statements",
    "tied_weights",
    "train_mode",
    "tuple_result",
]
