"""Port PyTorch code to JAX or MLX, and prove each port by running it against the original.

    >>> import torchport
    >>> torchport.translate("import torch\\nprint(torch.ones(3).var(0))").text
    'import jax.numpy as jnp\\nprint(jnp.var(jnp.ones((3,)), axis=0, ddof=1))'

Importing this imports no framework, and each function's own modules only when it is first used.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchport_translators._version import __version__

if TYPE_CHECKING:
    from torchport_checks import CheckOptions, Verdict
    from torchport_checks.checker import Progress
    from torchport_translators.findings import Finding, Translation
    from torchport_translators.translate import translate
    from torchport_translators.weights import transfer_weights

_HOMES = {
    "CheckOptions": "torchport_checks",
    "Finding": "torchport_translators.findings",
    "Translation": "torchport_translators.findings",
    "Verdict": "torchport_checks",
    "transfer_weights": "torchport_translators.weights",
    "translate": "torchport_translators.translate",
}

__all__ = [
    "CheckOptions",
    "Finding",
    "Translation",
    "Verdict",
    "__version__",
    "check",
    "transfer_weights",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*globals(), *_HOMES))


def check(
    source_path: str | os.PathLike[str],
    port_path: str | os.PathLike[str],
    *,
    definitions: Sequence[str] | None = None,
    options: CheckOptions | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Run a port against its original, each in a process of its own, and judge it.

    The files' code is run. Verdicts are stored under `.torchport/` in the project's folder, so that
    an unchanged pair answers at once. For many pairs keep one `torchport_checks.Checker`.

    Args:
        source_path: the PyTorch file.
        port_path: its port.
        definitions: names to check; by default every function and module class of the source.
        options: limits, interpreters, devices, and what is compared.
        progress: called with a definition's name when its check begins (None) and ends (verdict).

    Raises:
        OSError: a file cannot be read. Everything else, missing frameworks included, is in the
            verdict.
    """
    from torchport_checks import checker

    return checker.check(
        Path(source_path),
        Path(port_path),
        definitions=definitions,
        options=options,
        progress=progress,
    )
