"""Each rewrite's docstring is its manual and its test: `Before` becomes `After (jax)` and `After (mlx)`."""

from __future__ import annotations

import ast
import pkgutil
import re
import textwrap
from importlib import import_module

import pytest

from torchport_translators import rewrites
from torchport_translators.translate import translate

_SECTION = re.compile(r"^(Before|After \((\w+)\)|Why|When not):\n", re.MULTILINE)
MODULES = sorted(
    module.name
    for module in pkgutil.iter_modules(rewrites.__path__)
    if module.name not in ("places", "registry")
)


def sections(name: str) -> dict[str, str]:
    doc = import_module(f"torchport_translators.rewrites.{name}").__doc__
    assert doc is not None, f"{name} has no docstring"
    parts = _SECTION.split(doc)
    return {
        parts[at]: textwrap.dedent(parts[at + 2]).strip() + "\n" for at in range(1, len(parts), 3)
    }


def without_helpers(text: str, helpers: tuple[str, ...]) -> str:
    """The port without the helpers, and without the imports that only they need."""
    for helper in helpers:
        assert helper in text
        text = text.replace(helper, "")
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.asname or alias.name for alias in node.names}
            if not names & used:
                text = text.replace(f"{ast.unparse(node)}\n", "", 1)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


SHOWN = [
    (name, target)
    for name in MODULES
    for target in ("jax", "mlx")
    if f"After ({target})" in sections(name)
]


@pytest.mark.parametrize(("name", "target"), SHOWN)
def test_before_becomes_after(name: str, target: str) -> None:
    shown = sections(name)
    result = translate(shown["Before"], target)
    port = without_helpers(result.text, result.helpers)
    assert re.sub(r"\n{3,}", "\n\n", port) == shown[f"After ({target})"]


@pytest.mark.parametrize("name", MODULES)
def test_says_why(name: str) -> None:
    shown = sections(name)
    assert shown["Why"].strip()
    for title, text in shown.items():
        if title.startswith(("Before", "After")):
            ast.parse(text)
    assert any(title.startswith("After") for title in shown)
