"""Segmentation with a small U-Net: a sum of cross-entropy and Dice losses, a plateau schedule."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.block(x)


class UNet(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.inc = DoubleConv(1, 4)
        self.down = DoubleConv(4, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.conv = DoubleConv(8, 4)
        self.outc = nn.Conv2d(4, classes, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down(F.max_pool2d(x1, 2))
        return self.outc(self.conv(torch.cat([x1, self.up(x2)], dim=1)))


def dice_loss(probabilities: torch.Tensor, target: torch.Tensor, epsilon=1e-6):
    inter = 2 * (probabilities * target).sum(dim=(-1, -2))
    sets_sum = probabilities.sum(dim=(-1, -2)) + target.sum(dim=(-1, -2))
    return 1 - ((inter + epsilon) / (sets_sum + epsilon)).mean()


def models():
    return (UNet(),)


def data():
    rng = np.random.default_rng(0)
    return [
        {
            "image": torch.tensor(rng.standard_normal((2, 1, 8, 8)), dtype=torch.float32),
            "mask": torch.tensor(rng.integers(0, 2, (2, 8, 8))),
        }
        for _ in range(4)
    ]


def train(model, train_loader, epochs=5):
    optimizer = torch.optim.RMSprop(
        model.parameters(), lr=1e-3, weight_decay=1e-4, momentum=0.9, foreach=True
    )
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", patience=1)
    criterion = nn.CrossEntropyLoss()
    history = []
    for _ in range(epochs):
        model.train()
        epoch_loss = 0
        for batch in train_loader:
            images, true_masks = batch["image"], batch["mask"]
            masks_pred = model(images)
            loss = criterion(masks_pred, true_masks)
            loss += dice_loss(
                F.softmax(masks_pred, dim=1).float(),
                F.one_hot(true_masks, 2).permute(0, 3, 1, 2).float(),
            )

            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
            history.append(loss.item())
        scheduler.step(epoch_loss)
        history.append(optimizer.param_groups[0]["lr"])
    return history


if __name__ == "__main__":
    train(*models(), data())
