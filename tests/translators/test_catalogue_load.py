"""The catalogue is read as source: what each rule ports, takes and returns."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from torchport_translators.catalogue.load import Catalogue, RuleModule, catalogue
from torchport_translators.explain import explain
from torchport_translators.families import family_of
from torchport_translators.findings import Target
from torchport_translators.source import kinds as k

JAX = catalogue(Target.JAX)

MODULE = '''
import jax.numpy as jnp
from jax import lax

_EPS = 1e-6

@ports("torch.max", "torch.Tensor.max", fields=("values", "indices"))
def max_along(input, dim: int, keepdim=False, *, out=None):
    """The largest along an axis."""

@ports("torch.nonzero", jit=False)
def nonzero(input) -> tuple[jax.Array, ...]: ...

@ports("torch.nn.Thing")
class Thing(nnx.Module):
    def __init__(self, size, *, rngs: nnx.Rngs): ...
    def __call__(self, x) -> tuple[jax.Array, jax.Array]: ...

def _helper(*args, **kwargs) -> int: ...
'''


@pytest.fixture
def module() -> RuleModule:
    module = RuleModule("sample", MODULE)
    module.parse()
    return module


def test_a_module_has_definitions_constants_and_imports(module: RuleModule) -> None:
    assert list(module.definitions) == ["max_along", "nonzero", "Thing", "_helper"]
    assert [rule.name for rule in module.ported] == ["max_along", "nonzero", "Thing"]
    assert list(module.constants) == ["_EPS"]
    assert module.imports == {"jnp": ("jax.numpy", None), "lax": ("jax", "lax")}


def test_a_rule_says_what_it_ports_and_takes(module: RuleModule) -> None:
    rule = module.definitions["max_along"]
    assert rule.apis == ("torch.max", "torch.Tensor.max")
    assert rule.doc == "The largest along an axis."
    assert rule.jit and not rule.random and not rule.is_class
    assert [(p.name, p.form, p.annotation) for p in rule.params] == [
        ("input", "positional", None),
        ("dim", "positional", "int"),
        ("keepdim", "positional", None),
        ("out", "keyword", None),
    ]
    assert not module.definitions["nonzero"].jit


def test_a_class_takes_what_its_constructor_takes(module: RuleModule) -> None:
    rule = module.definitions["Thing"]
    assert [p.name for p in rule.params] == ["size", "rngs"]
    assert rule.is_class and rule.random
    assert rule.returns("torch.nn.Thing") == k.Instance("torch.nn.Thing")
    assert rule.calls_return() == k.Sequence("tuple", (k.TENSOR, k.TENSOR))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (
            "max_along",
            k.Sequence("tuple", (k.TENSOR, k.TENSOR), fields=("values", "indices")),
        ),
        ("nonzero", k.Sequence("tuple", element=k.TENSOR)),
        ("_helper", k.INT),
    ],
)
def test_what_a_rule_returns(module: RuleModule, name: str, kind: k.Kind) -> None:
    assert module.definitions[name].returns("torch.any") == kind


def test_one_api_is_ported_in_one_module() -> None:
    assert JAX.problems() == []


def test_every_api_has_a_rule() -> None:
    assert [api for api in JAX.apis() if not JAX.find(api)] == []


@pytest.mark.parametrize("target", Target)
def test_a_rule_says_more_than_the_family_of_its_api(target: Target) -> None:
    known = catalogue(target)
    for api in (*known.apis(), *known.names):
        if family_of(api):
            assert {told.kind for told in explain(api, target)} <= {"rule", "name"}, api


@pytest.mark.parametrize(
    ("api", "home"),
    [
        ("torch.Tensor.add_", "torch.Tensor.add"),
        ("torch.relu_", "torch.relu"),
        ("torch.nn.functional.elu_", "torch.nn.functional.elu"),
        ("torch.zero_", "torch.Tensor.zero_"),
        ("torch.squeeze_", "torch.squeeze"),
        ("torch.add", "torch.add"),
        ("torch.no_such_function_", "torch.no_such_function_"),
    ],
)
def test_what_an_in_place_call_computes_has_the_rule(api: str, home: str) -> None:
    assert JAX.home(api) == home


def test_unknown_names_have_no_rule() -> None:
    assert JAX.find("torch.no_such_function") == ()
    assert JAX.module("no_such_module") is None


def test_a_catalogue_without_a_folder_is_empty() -> None:
    empty = Catalogue("no_such_target")
    assert list(empty.apis()) == []
    assert empty.find("torch.sum") == ()
    assert empty.names == {}
    assert empty.signatures == {}


def test_rules_use_only_what_a_port_can_hold() -> None:
    """Names of a rule module are its own, imported from a library, or another rule module's."""
    for api in JAX.apis():
        for rule in JAX.find(api):
            for origin, _ in rule.module.imports.values():
                root = origin.partition(".")[0]
                assert root in {*sys.stdlib_module_names, "jax", "flax", "optax", "numpy"} or (
                    origin.startswith(
                        ("torchport_translators.jax.", "torchport_translators.catalogue")
                    )
                ), f"{rule.module.name} imports {origin}"


def test_names_are_expressions() -> None:
    for api, text in JAX.names.items():
        assert api.startswith("torch.")
        ast.parse(text, mode="eval")


def test_no_framework_is_imported() -> None:
    code = (
        "import sys; from torchport_translators.translate import translate; "
        "translate('import torch\\nx = torch.relu(torch.zeros(3))\\n'); "
        "print([m for m in ('torch', 'jax', 'flax', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
