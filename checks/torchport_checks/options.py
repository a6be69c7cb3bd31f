"""The settings of a check."""

from __future__ import annotations

import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Framework = Literal["torch", "jax", "mlx"]
Target = Literal["jax", "mlx"]

QUICK = ("normal", "wide", "ties")


class CheckOptions(BaseModel):
    """What a check runs and how long it may take. Immutable; part of a stored verdict's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    draws: tuple[str, ...] = Field(default=QUICK, min_length=1)
    """Input values, in order, by the names that `draws.py` gives them; the first is `normal`: the
    given or standard-normal ones."""
    forms: tuple[Literal["either", "compiled", "eager"], ...] = Field(
        default=("either",), min_length=1
    )
    """How the port runs: compiled whole, operation by operation, or in the form that is quicker. The
    first is run with all draws, the others with the first draw and in train mode."""
    graphs: bool = False
    """Run equivalent graphs of both sides too, eager and compiled: slow, torch.compile is."""
    search: int = Field(default=0, ge=0)
    """How many inputs a search for a counterexample may try, where all draws agree."""
    train: bool = True
    """Compare train mode too, where it is deterministic (batch statistics, running averages)."""
    gradients: bool = True
    locate: bool = False
    """Look for the operation at which a port begins to differ; takes some more runs of what does."""
    behaviour: bool = False
    """Train both sides for some steps, and compare the distributions of what is random."""
    seed: int = 0
    shrink_seconds: float = Field(default=0.0, ge=0)
    """Seconds to look for the smallest input with which a definition fails; 0 does not look."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds for one request to a lane: a load, or all runs of one definition."""
    containment: Literal["auto", "off"] = "auto"
    """What keeps the code from the rest of the machine: the strongest that works here, or none."""
    memory_mb: int = Field(default=8192, gt=0)
    """Resident memory of one lane, in MiB."""
    torch_python: str = sys.executable
    jax_python: str = sys.executable
    mlx_python: str = sys.executable
    torch_device: str = "cpu"
    """`cpu`, `cuda` or `mps`; or `all` that are found, which are then compared with each other."""
    jax_device: str = "cpu"
    """`cpu`, `gpu` or `tpu`; or `all` that are found."""
    mlx_device: str = "cpu"
    """`cpu` or `gpu`; or `all` that are found."""

    def thorough(self) -> CheckOptions:
        """The same with all that a full check runs; the defaults are what the editor runs on save."""
        from torchport_checks.draws import FULL

        return self.model_copy(
            update={
                "draws": FULL,
                "forms": ("compiled", "eager"),
                "behaviour": True,
                "locate": True,
                "shrink_seconds": 5.0,
            }
        )

    def python(self, framework: Framework) -> str:
        """The interpreter that has a framework."""
        return {
            "torch": self.torch_python,
            "jax": self.jax_python,
            "mlx": self.mlx_python,
        }[framework]

    def device(self, framework: Framework) -> str:
        """The device that a framework runs on, or `all`."""
        return {
            "torch": self.torch_device,
            "jax": self.jax_device,
            "mlx": self.mlx_device,
        }[framework]
