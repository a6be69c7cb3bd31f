"""REINFORCE on episodes that were played before: returns, log-probabilities, an entropy bonus."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class Policy(nn.Module):
    def __init__(self, observations=4, hidden=16, actions=3):
        super().__init__()
        self.affine = nn.Linear(observations, hidden)
        self.action_head = nn.Linear(hidden, actions)
        self.value_head = nn.Linear(hidden, 1)

    def forward(self, x):
        x = F.relu(self.affine(x))
        return F.log_softmax(self.action_head(x), dim=-1), self.value_head(x).squeeze(-1)


def discounted(rewards, gamma=0.9):
    R = 0
    returns = []
    for r in rewards[::-1]:
        R = r + gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns, dtype=torch.get_default_dtype())
    return (returns - returns.mean()) / (returns.std() + 1e-5)


def finish_episode(policy, optimizer, states: torch.Tensor, actions: torch.Tensor, rewards):
    returns = discounted(rewards)
    log_probs, values = policy(states)
    chosen = log_probs.gather(1, actions.unsqueeze(1)).squeeze(1)

    policy_losses = []  # list to save actor (policy) loss
    value_losses = []  # list to save critic (value) loss
    for log_prob, value, R in zip(chosen, values, returns, strict=True):
        advantage = R - value.detach()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, R))

    # reset gradients
    optimizer.zero_grad()

    # sum up all the values of policy_losses and value_losses
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum() - 0.01 * entropy

    # perform backprop
    loss.backward()
    optimizer.step()
    return loss.item()


def models():
    return (Policy(),)


def data():
    rng = np.random.default_rng(0)
    return [
        (
            torch.tensor(rng.standard_normal((5, 4)), dtype=torch.float32),
            torch.tensor(rng.integers(0, 3, 5)),
            rng.standard_normal(5).tolist(),
        )
        for _ in range(20)
    ]


def train(policy, episodes):
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    history = []
    for states, actions, rewards in episodes:
        history.append(finish_episode(policy, optimizer, states, actions, rewards))
    return history


if __name__ == "__main__":
    train(*models(), data())
