"""The catalogue: what torchport knows, as functions (see docs/writing-a-rule.md)."""

from torchport_translators.catalogue.ports import ports

__all__ = ["ports"]
