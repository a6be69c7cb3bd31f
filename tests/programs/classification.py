"""A classifier with batch normalisation: one function an epoch, a scheduler, an evaluation."""

import numpy as np
import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self, features=6, hidden=16, classes=3):
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.fc2(torch.relu(self.norm(self.fc1(x))))


def train_one_epoch(model, loader, optimizer, criterion, device):
    model.train()
    losses, correct, seen = [], 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)

        # zero the parameter gradients
        optimizer.zero_grad()

        # forward, backward, optimize
        logits = model(x)
        loss = criterion(logits, y)
        loss.backward()
        optimizer.step()

        losses.append(loss.item())
        correct += (logits.argmax(dim=1) == y).sum().item()
        seen += y.size(0)
    return losses, correct / seen


@torch.no_grad()
def evaluate(model, loader, criterion, device):
    model.eval()
    total = 0.0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        total += criterion(model(x), y).item()
    return total / len(loader)


def models():
    return (Net(),)


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 16, 6))
    y = rng.integers(0, 3, (8, 16))
    return [(torch.tensor(x[i], dtype=torch.float32), torch.tensor(y[i])) for i in range(8)]


def train(model, loader):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    history = []
    for epoch in range(3):
        losses, accuracy = train_one_epoch(model, loader, optimizer, criterion, device)
        scheduler.step()
        print(f"epoch {epoch}: accuracy {accuracy:.3f}")
        history += losses
    history.append(evaluate(model, loader, criterion, device))
    return history


if __name__ == "__main__":
    train(*models(), data())
