"""The settings of a check."""

from __future__ import annotations

import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CheckOptions(BaseModel):
    """What a check runs and how long it may take. Immutable; part of a stored verdict's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    draws: tuple[Literal["normal", "wide", "ties"], ...] = Field(
        default=("normal", "wide", "ties"), min_length=1
    )
    """Input values, in order: the given or standard-normal ones, a shifted and scaled draw, and few
    values with zeros and ties, where kinks and boundaries show."""
    train: bool = True
    """Compare train mode too, where it is deterministic (batch statistics, running averages)."""
    gradients: bool = True
    seed: int = 0
    timeout: float = Field(default=120.0, gt=0)
    """Seconds for one request to a lane: a load, or all runs of one definition."""
    memory_mb: int = Field(default=8192, gt=0)
    """Resident memory of one lane, in MiB."""
    torch_python: str = sys.executable
    jax_python: str = sys.executable
    torch_device: str = "cpu"
    jax_device: str = "cpu"
