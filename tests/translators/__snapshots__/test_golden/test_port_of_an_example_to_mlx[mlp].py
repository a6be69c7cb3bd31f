# Ported from PyTorch (mlp.py) to MLX by torchport VERSION.
# torchport: source=mlp.py target=mlx text=daf25ddd2946
# torchport: init_weights=a5a6fc3c7284 MLP=305ae7a42efb loss_fn=db44bedb99ae
# torchport: accuracy=af518d876c4a

"""A multi-layer perceptron, the loss of one training step, and its accuracy.

Sizes are those of small tabular data: 20 features → 4 classes.
"""

import math

import mlx.core as mx
import mlx.nn as nn


def _reduce(loss, reduction):
    if reduction == "mean":
        return mx.mean(loss)
    if reduction == "sum":
        return mx.sum(loss)
    return loss


def _mean(loss, weight):
    """The sum over the weight; where all targets are ignored nan without a gradient, as in torch."""
    return mx.where(weight == 0, mx.nan, mx.sum(loss) / mx.where(weight == 0, 1, weight))


def _cross_entropy(logits, target, ignore_index=-100, reduction="mean"):
    """Classes lie along axis 1 (0 if unbatched); the target holds indices or probabilities."""
    axis = 0 if logits.ndim == 1 else 1
    if mx.issubdtype(target.dtype, mx.floating):
        return _reduce(-mx.sum(target * nn.log_softmax(logits, axis), axis=axis), reduction)
    counted = target.astype(mx.int32) != ignore_index  # which no uint32 compares with
    loss = nn.losses.cross_entropy(logits, mx.where(counted, target, 0), axis=axis)
    loss = mx.where(counted, loss, 0)
    if reduction == "mean":
        return _mean(loss, mx.sum(counted))
    return _reduce(loss, reduction)


def init_weights(module: nn.Module) -> None:
    """He initialisation (何恺明, 2015) for the linear layers; everything else keeps its own."""
    if isinstance(module, nn.Linear):
        module.weight = mx.random.normal(
            module.weight.shape,
            dtype=module.weight.dtype,
            scale=math.sqrt(2)
            / math.sqrt(math.prod(module.weight.shape) // module.weight.shape[0]),
        )
        if "bias" in module:
            module.bias = mx.zeros_like(module.bias)
    elif isinstance(module, nn.LayerNorm):
        module.weight = mx.ones_like(module.weight)
        module.bias = mx.zeros_like(module.bias)


class MLP(nn.Module):
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
    ):
        super().__init__()
        layers = []
        width = in_features
        for _ in range(depth):
            layers += [
                nn.Linear(width, hidden),
                nn.LayerNorm(hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
            ]
            width = hidden
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)
        for module in self.modules():
            init_weights(module)

    def __call__(self, x: mx.array) -> mx.array:
        """x: (B, in_features) → logits: (B, num_classes)."""
        return self.head(self.body(x))


def loss_fn(
    model: MLP, x: mx.array, y: mx.array, weight_decay: float = 1e-4
) -> mx.array:
    """The loss that one training step minimises: cross-entropy plus an L2 penalty on the head.

    x: (B, in_features), y: (B,) class indices. Returns a scalar.
    """
    logits = model(x)
    loss = _cross_entropy(logits, y)
    # The penalty covers the last layer only: LayerNorm makes the others' scale irrelevant.
    return loss + 0.5 * weight_decay * mx.sum(model.head.weight**2)


def accuracy(model: MLP, x: mx.array, y: mx.array) -> mx.array:
    """The fraction of rows of x: (B, in_features) whose best class is y: (B,). Returns a scalar."""
    predicted = mx.argmax(model(x), axis=-1)
    return mx.stop_gradient(mx.mean((predicted == y).astype(mx.float32)))
