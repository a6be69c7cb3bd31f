# Ported from PyTorch (mlp.py) to JAX by torchport VERSION.
# torchport: source=mlp.py target=jax text=d0de92c4f36a
# torchport: init_weights=a5a6fc3c7284 MLP=305ae7a42efb loss_fn=db44bedb99ae
# torchport: accuracy=af518d876c4a

"""A multi-layer perceptron, the loss of one training step, and its accuracy.

Sizes are those of small tabular data: 20 features → 4 classes.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx


def _uniform_within(bound):
    """An initializer: uniform in [-bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


class Linear(nnx.Linear):
    """nnx.Linear with torch's initial weights: uniform within 1 / sqrt(in_features)."""

    def __init__(self, in_features, out_features, bias=True, *, dtype=jnp.float32, rngs: nnx.Rngs):
        init = _uniform_within(max(in_features, 1) ** -0.5)
        super().__init__(
            in_features,
            out_features,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )


class LayerNorm(nnx.LayerNorm):
    """nnx.LayerNorm over the last axes, as many as `normalized_shape` has; eps is torch's."""

    def __init__(
        self,
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        axes = tuple(range(-len(shape), 0))
        super().__init__(
            shape[-1],
            epsilon=eps,
            use_bias=elementwise_affine and bias,
            use_scale=elementwise_affine,
            bias_init=lambda *_: jnp.zeros(shape, dtype),
            scale_init=lambda *_: jnp.ones(shape, dtype),
            reduction_axes=axes,
            feature_axes=axes,
            use_fast_variance=False,
            rngs=rngs,
        )


def _reduce(loss, reduction):
    if reduction == "mean":
        return jnp.mean(loss)
    if reduction == "sum":
        return jnp.sum(loss)
    return loss


def _cross_entropy(logits, target, ignore_index=-100, reduction="mean"):
    """Classes lie along axis 1 (0 if unbatched); the target holds indices or probabilities."""
    axis = 0 if logits.ndim == 1 else 1
    if jnp.issubdtype(target.dtype, jnp.floating):
        return _reduce(optax.softmax_cross_entropy(logits, target, axis=axis), reduction)
    counted = target != ignore_index
    loss = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(counted, target, 0), axis=axis
    )
    loss = jnp.where(counted, loss, 0)
    if reduction == "mean":
        return jnp.sum(loss) / jnp.sum(counted)
    return _reduce(loss, reduction)


def init_weights(module: nnx.Module, *, rngs: nnx.Rngs) -> None:
    """He initialisation (何恺明, 2015) for the linear layers; everything else keeps its own."""
    if isinstance(module, Linear):
        module.kernel[...] = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")(
            rngs(), module.kernel.shape, module.kernel.dtype
        )
        if module.bias is not None:
            module.bias[...] = jnp.zeros_like(module.bias)
    elif isinstance(module, LayerNorm):
        module.scale[...] = jnp.ones_like(module.scale)
        module.bias[...] = jnp.zeros_like(module.bias)


class MLP(nnx.Module):
    """A classifier: ``depth`` hidden layers, each Linear → LayerNorm → ReLU → Dropout.

    Args:
        in_features: number of input features.
        hidden: width of the hidden layers.
        num_classes: number of classes.
        depth: number of hidden layers.
        dropout: probability that a hidden unit is dropped while training.
    """

    def __init__(
        self,
        in_features: int = 20,
        hidden: int = 64,
        num_classes: int = 4,
        depth: int = 2,
        dropout: float = 0.1,
        *,
        rngs: nnx.Rngs,
    ):
        layers = []
        width = in_features
        for _ in range(depth):
            layers += [
                Linear(width, hidden, rngs=rngs),
                LayerNorm(hidden, rngs=rngs),
                nnx.relu,
                nnx.Dropout(dropout, rngs=rngs),
            ]
            width = hidden
        self.body = nnx.Sequential(*layers)
        self.head = Linear(width, num_classes, rngs=rngs)
        for _, module in nnx.iter_modules(self):
            init_weights(module, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x: (B, in_features) → logits: (B, num_classes)."""
        return self.head(self.body(x))


def loss_fn(
    model: MLP, x: jax.Array, y: jax.Array, weight_decay: float = 1e-4
) -> jax.Array:
    """The loss that one training step minimises: cross-entropy plus an L2 penalty on the head.

    x: (B, in_features), y: (B,) class indices. Returns a scalar.
    """
    logits = model(x)
    loss = _cross_entropy(logits, y)
    # The penalty covers the last layer only: LayerNorm makes the others' scale irrelevant.
    return loss + 0.5 * weight_decay * jnp.sum(model.head.kernel.T**2)


def accuracy(model: MLP, x: jax.Array, y: jax.Array) -> jax.Array:
    """The fraction of rows of x: (B, in_features) whose best class is y: (B,). Returns a scalar."""
    predicted = jnp.argmax(model(x), axis=-1)
    return jax.lax.stop_gradient(jnp.mean((predicted == y).astype(jnp.float32)))
