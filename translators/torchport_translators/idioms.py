"""What each target writes where the source has no call of torch that a rule could port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Idioms:
    """The names and forms of one target.

    Attributes:
        array: the module of array functions, as rules call it.
        module: the base class of modules.
        sequential: the class of a sequence of layers, which keeps them in `layers`.
        stop_gradient: the function that makes a constant of a value for the gradient.
        attend: the method of an embedding that multiplies by its transpose.
        variables: whether a module holds its parameters as variables, whose value is `v[...]`.
        python_dtypes: whether Python's `bool`, `int` and `float` are dtypes, as they are in torch.
        elements_change: whether `x[i] = v` changes the array x, for all its names.
    """

    array: str
    module: str
    sequential: str
    stop_gradient: str
    attend: str
    variables: bool
    python_dtypes: bool
    elements_change: bool


IDIOMS = {
    "jax": Idioms(
        array="jnp",
        module="nnx.Module",
        sequential="nnx.Sequential",
        stop_gradient="jax.lax.stop_gradient",
        attend="attend",
        variables=True,
        python_dtypes=True,
        elements_change=False,
    ),
    "mlx": Idioms(
        array="mx",
        module="nn.Module",
        sequential="nn.Sequential",
        stop_gradient="mx.stop_gradient",
        attend="as_linear",
        variables=False,
        python_dtypes=False,
        elements_change=True,
    ),
}
