"""A student learns from a teacher, whose predictions are constants."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class MLP(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc1 = nn.Linear(6, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, 4)

    def forward(self, x):
        return self.fc2(F.relu(self.norm(self.fc1(x))))


def train_knowledge_distillation(teacher, student, train_loader, epochs, lr, T, weight):
    ce_loss = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(student.parameters(), lr=lr)

    teacher.eval()  # Teacher set to evaluation mode
    student.train()  # Student to train mode

    history = []
    for epoch in range(epochs):
        running_loss = 0.0
        for inputs, labels in train_loader:
            optimizer.zero_grad()

            # Forward pass with the student model
            student_logits = student(inputs)

            # Forward pass with the teacher model: gradients are not saved
            with torch.no_grad():
                teacher_logits = teacher(inputs)

            # Soften the student logits by applying softmax first and log() second
            soft_targets = nn.functional.softmax(teacher_logits / T, dim=-1)
            soft_prob = nn.functional.log_softmax(student_logits / T, dim=-1)
            kl = torch.sum(soft_targets * (soft_targets.log() - soft_prob))
            soft_targets_loss = kl / soft_prob.size()[0] * (T**2)

            # Calculate the true label loss
            label_loss = ce_loss(student_logits, labels)

            # Weighted sum of the two losses
            loss = weight * soft_targets_loss + (1 - weight) * label_loss

            loss.backward()
            optimizer.step()

            running_loss += loss.item()
            history.append(loss.item())
        print(f"Epoch {epoch + 1}/{epochs}, Loss: {running_loss / len(train_loader)}")
    return history


def models():
    return MLP(16), MLP(4)


def data():
    rng = np.random.default_rng(0)
    return [
        (
            torch.tensor(rng.standard_normal((8, 6)), dtype=torch.float32),
            torch.tensor(rng.integers(0, 4, 8)),
        )
        for _ in range(6)
    ]


def train(teacher, student, batches):
    return train_knowledge_distillation(teacher, student, batches, 4, 1e-2, 2.0, 0.25)


if __name__ == "__main__":
    train(*models(), data())
