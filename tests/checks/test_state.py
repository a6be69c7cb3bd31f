"""Originals that count or cache on themselves: every run begins with what the constructor left."""

from __future__ import annotations

import pytest

from .conftest import Check

SOURCES = {
    "a counter": """\
class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc(x) * self.calls""",
    "a list": """\
class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.seen = []

    def forward(self, x):
        self.seen.append(1)
        return self.fc(x) * len(self.seen)""",
    "a dict": """\
class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.cache = {"scale": 0}

    def forward(self, x):
        self.cache["scale"] += 1
        return self.fc(x) * self.cache["scale"]""",
    "a buffer": """\
class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.steps += 1
        return self.fc(x) * self.steps""",
}

PORT = """\
class Stateful(nnx.Module):
    def __init__(self, *, rngs):
        self.fc = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, x):
        return self.fc(x) * {}"""


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_run_begins_anew(check: Check, source: str) -> None:
    # More definitions in the file, so that inputs are found by runs that watch the others.
    other = "\n\n\ndef plain(x):\n    return x"
    right = check(source + other, PORT.format("1") + other).of("Stateful")
    assert right.ok, right.message
    wrong = check(source + other, PORT.format("2") + other).of("Stateful")
    assert wrong.status == "diverged"
