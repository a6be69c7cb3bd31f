"""Running a port against its original: inputs, lanes, comparison, verdicts.

Names are imported when first used: a command that only reads stored verdicts, or prints help,
should not wait for numpy and pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchport_checks.checker import Checker, check
    from torchport_checks.devices import LanesFound, find_lanes
    from torchport_checks.options import CheckOptions
    from torchport_checks.verdicts import Category, DefinitionVerdict, Verdict

_HOMES = {
    "Category": "verdicts",
    "CheckOptions": "options",
    "Checker": "checker",
    "DefinitionVerdict": "verdicts",
    "LanesFound": "devices",
    "Verdict": "verdicts",
    "check": "checker",
    "find_lanes": "devices",
}

__all__ = [
    "Category",
    "CheckOptions",
    "Checker",
    "DefinitionVerdict",
    "LanesFound",
    "Verdict",
    "check",
    "find_lanes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
