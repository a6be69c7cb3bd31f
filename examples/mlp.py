"""A multi-layer perceptron, the loss of one training step, and its accuracy.

Sizes are those of small tabular data: 20 features → 4 classes.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


def init_weights(module: nn.Module) -> None:
    """He initialisation (何恺明, 2015) for the linear layers; everything else keeps its own."""
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


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
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
            ]
            width = hidden
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)
        self.apply(init_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, in_features) → logits: (B, num_classes)."""
        return self.head(self.body(x))


def loss_fn(
    model: MLP, x: torch.Tensor, y: torch.Tensor, weight_decay: float = 1e-4
) -> torch.Tensor:
    """The loss that one training step minimises: cross-entropy plus an L2 penalty on the head.

    x: (B, in_features), y: (B,) class indices. Returns a scalar.
    """
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    # The penalty covers the last layer only: LayerNorm makes the others' scale irrelevant.
    return loss + 0.5 * weight_decay * model.head.weight.pow(2).sum()


@torch.no_grad()
def accuracy(model: MLP, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The fraction of rows of x: (B, in_features) whose best class is y: (B,). Returns a scalar."""
    predicted = model(x).argmax(dim=-1)
    return (predicted == y).float().mean()
