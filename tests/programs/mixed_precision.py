"""Automatic mixed precision as it is written for a GPU: autocast, a gradient scaler, clipping."""

import numpy as np
import torch
from torch import nn
from torch.amp import GradScaler, autocast


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4 * 4 * 4, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


def models():
    return (Net(),)


def data():
    rng = np.random.default_rng(0)
    return [
        (
            torch.tensor(rng.standard_normal((4, 1, 6, 6)), dtype=torch.float32),
            torch.tensor(rng.integers(0, 3, 4)),
        )
        for _ in range(10)
    ]


def train(net, batches, use_amp=False):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)
    scaler = GradScaler("cuda", enabled=use_amp)
    history = []
    for _ in range(2):
        for input, target in batches:
            with autocast(device_type="cuda", dtype=torch.float16, enabled=use_amp):
                output = net(input)
                loss = loss_fn(output, target)
            scaler.scale(loss).backward()

            # Unscales the gradients of optimizer's assigned params in-place
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.1)

            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()  # set_to_none=True here can modestly improve performance
            history.append(loss.item())
    return history


if __name__ == "__main__":
    train(*models(), data())
