"""Fine-tuning: the body is frozen, the new head is trained, and what was best is kept."""

import numpy as np
import torch
from torch import nn, optim


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(3 * 4 * 4, 3)

    def forward(self, x):
        return self.head(self.features(x))


def train_model(model, criterion, optimizer, scheduler, dataloaders, num_epochs=4):
    history = []
    for epoch in range(num_epochs):
        # Each epoch has a training and validation phase
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()  # Set model to training mode
            else:
                model.eval()  # Set model to evaluate mode

            running_loss = 0.0
            for inputs, labels in dataloaders[phase]:
                if phase == "val":
                    with torch.no_grad():
                        loss = criterion(model(inputs), labels)
                else:
                    # zero the parameter gradients
                    optimizer.zero_grad()
                    outputs = model(inputs)
                    loss = criterion(outputs, labels)
                    loss.backward()
                    optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                history.append(loss.item())
            if phase == "train":
                scheduler.step()
            print(f"{epoch} {phase}: {running_loss:.4f}")
    return history


def models():
    return (Classifier(),)


def data():
    rng = np.random.default_rng(0)
    batches = [
        (
            torch.tensor(rng.standard_normal((4, 1, 6, 6)), dtype=torch.float32),
            torch.tensor(rng.integers(0, 3, 4)),
        )
        for _ in range(8)
    ]
    return {"train": batches[:6], "val": batches[6:]}


def train(model, dataloaders):
    for param in model.features.parameters():
        param.requires_grad = False
    optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    return train_model(model, nn.CrossEntropyLoss(), optimizer, scheduler, dataloaders)


if __name__ == "__main__":
    train(*models(), data())
