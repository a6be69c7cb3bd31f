"""Shared memory: what is written into a view is written into what it is a view of.

Before:
    import torch

    def spread(n: int, row: torch.Tensor):
        table = torch.zeros(n, 3)
        first = table[0]
        first.copy_(row)
        table.view(-1)[-1] = 5
        return table

    def halve(values: torch.Tensor):
        values.div_(2)

    def total(x: torch.Tensor):
        y = x * 1
        halve(y)
        return y.sum()
After (jax):
    import jax
    import jax.numpy as jnp

    def spread(n: int, row: jax.Array):
        table = jnp.zeros((n, 3))
        first = table[0]
        first = jnp.broadcast_to(row, first.shape).astype(first.dtype)
        table = table.at[0].set(first)
        table = table.reshape(-1).at[-1].set(5).reshape(table.shape)
        return table

    def halve(values: jax.Array):
        values = values / 2

    def total(x: jax.Array):
        y = x * 1
        halve(y)
        return jnp.sum(y)
After (mlx):
    import mlx.core as mx

    def spread(n: int, row: mx.array):
        table = mx.zeros((n, 3))
        first = table[0]
        first[...] = mx.broadcast_to(row, first.shape).astype(first.dtype)
        table[0] = first
        view = table.reshape(-1)
        view[-1] = 5
        table = view.reshape(table.shape)
        return table

    def halve(values: mx.array):
        values[...] = values / 2

    def total(x: mx.array):
        y = x * 1
        halve(y)
        return mx.sum(y)
Why:
    A view of torch is another look at the same memory; arrays of the target share nothing that can
    be seen but an `mx.array` that has two names. Where it is certain what a name is a view of, the
    change is written back to it, and other views that are read later are taken anew.
When not:
    The view may or may not share memory (`reshape`, `x.to(...)`, an element of a list), or a function
    changes its argument, as `halve` does: that is a finding, at the change and at the call.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.places import is_name, root_of, store
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.scopes import Function
from torchport_translators.source.sharing import Link, Memory, called_function, sharing
from torchport_translators.source.syntax import Node


def memory_at(rw: Rewriter, node: Node) -> Memory:
    """What the function around a node shares."""
    return sharing(rw.inference).memory(rw.inference.function_at(node))


def seen_later(rw: Rewriter, subject: Node, at: Node) -> bool:
    """Whether a change of what `subject` names is seen by anything after `at`."""
    memory = memory_at(rw, at)
    keys = sharing(rw.inference).roots(subject)
    return any(
        memory.live(key, at) or any(memory.live(other, at) for other in memory.partners(key, at))
        for key in keys
    )


def settle(
    rw: Rewriter, subject: Node, at: Node, *, alike: bool = False, rebound: bool = False
) -> list[str]:
    """What follows when the place that `subject` names has changed.

    The lines write it to what it is a view of and take other views anew; what cannot be written so
    is a finding. `alike`: it changed only in shape, which other names see, but views do not. `rebound`:
    its name has a new array, where the target could have changed the old one.
    """
    memory = memory_at(rw, at)
    root = root_of(rw, subject)
    if root is None or root.type == "subscript":
        tell_others(rw, subject, at)
        return []
    key = sharing(rw.inference).key(root)
    changed = rw.idioms.elements_change and not (alike or rebound)
    if key is not None and not changed:
        tell_caller(rw, memory, key, at)
    return [] if key is None else _settle_place(rw, memory, key, at, alike, changed)


def tell_others(rw: Rewriter, subject: Node, at: Node) -> None:
    """Findings for all that share memory with what `subject` names, where nothing is written back."""
    memory = memory_at(rw, at)
    place = root_of(rw, subject)
    for key in sorted(sharing(rw.inference).roots(subject if place is None else place)):
        tell_caller(rw, memory, key, at)
        others = memory.partners(key, at)
        for other in others if place is not None else [key, *others]:
            if memory.live(other, at):
                _tell(rw, rw.source[subject], other, at)


def _settle_place(
    rw: Rewriter, memory: Memory, key: str, at: Node, alike: bool, changed: bool
) -> list[str]:
    _tell_giver(rw, memory, key, at)
    live = [other for other in memory.partners(key, at) if memory.live(other, at)]
    if not live:
        return []
    upward = _upward(memory, key, at, alike)
    places = [key, *(link.base for link in upward)]
    height = 0
    refreshed: dict[Link, None] = {}
    for other in live:
        if other in places:
            height = max(height, places.index(other))
            continue
        chain = _upward(memory, other, at, alike)
        anchor = next((i for i, link in enumerate(chain) if link.base in places), None)
        if anchor is None:
            _tell(rw, key, other, at)
            continue
        height = max(height, places.index(chain[anchor].base))
        refreshed.update(dict.fromkeys(reversed(chain[: anchor + 1])))
    total, ported = rw.tally.total, rw.tally.ported
    lines: list[str] = []
    for link in upward[:height]:
        assert link.view is not None
        if not _is_same(rw, link.view, changed):
            lines.append(store(rw, link.view, Code(link.name)))
    for link in refreshed:
        assert link.view is not None
        if not _is_same(rw, link.view, changed):
            lines.append(f"{link.name} = {rw.expr(link.view).within(Binding.TEST)}")
    rw.tally.total, rw.tally.ported = total, ported
    return lines


def _tell_giver(rw: Rewriter, memory: Memory, key: str, at: Node) -> None:
    """Say so where an attribute may be a tensor that a caller gave to the object."""
    cls = memory.function.cls
    if cls is None or "." not in key:
        return
    for owner in cls.lineage():
        for function in owner.methods.values():
            names = {parameter.name for parameter in function.parameters}
            for link in sharing(rw.inference).memory(function).links:
                if link.name == key and link.base in names:
                    rw.find(
                        "in-place",
                        f"{key} is changed in place and may be the {link.base} that "
                        f"{function.name} was given, which keeps its old value in the port",
                        at,
                    )


def _is_same(rw: Rewriter, view: Node, changed: bool) -> bool:
    """Whether two names of the port have one array that `changed`, or one variable."""
    if changed:
        return is_name(view)
    return _is_same_variable(rw, view)


def _is_same_variable(rw: Rewriter, view: Node) -> bool:
    """A variable of a module by another name: both names see its changes."""
    return view.type in ("identifier", "attribute") and rw.is_variable(view)


def _upward(memory: Memory, key: str, at: Node, alike: bool) -> list[Link]:
    """From a place to what it is certainly a view of (or another name of), and so on."""
    chain: list[Link] = []
    link = memory.exact(key, at)
    while link is not None and link not in chain:
        if alike and (link.view is None or link.view.type not in ("identifier", "attribute")):
            break
        chain.append(link)
        link = memory.exact(link.base, at)
    return chain


def _tell(rw: Rewriter, changed: str, other: str, at: Node) -> None:
    rw.find(
        "in-place",
        f"{changed} is changed in place and may share memory with {other}, which keeps its old "
        "value in the port",
        at,
    )


def tell_caller(rw: Rewriter, memory: Memory, key: str, at: Node) -> None:
    """Say so where the caller's tensor changes in torch, but not in the port."""
    for other in (key, *memory.partners(key, at)):
        if not memory.is_parameter(other, at):
            continue
        if _is_mutable(memory.function, other):
            continue
        if _is_returned(rw, memory, other):
            rw.find(
                "argument-changed",
                f"{other} is changed in place: in torch the caller sees it, in the port only in "
                "the result",
                at,
            )
        else:
            rw.find(
                "in-place",
                f"{other} is changed in place for the caller, but not returned: the caller's "
                "tensor keeps its old value in the port",
                at,
            )


def _is_mutable(function: Function, name: str) -> bool:
    """A list or dict, whose elements the port replaces for the caller as well."""
    scope = function.scope
    return scope is not None and isinstance(scope.names.get(name), k.Mapping | k.Sequence)


def _is_returned(rw: Rewriter, memory: Memory, name: str) -> bool:
    known = sharing(rw.inference)
    for value in memory.returned:
        for key in known.roots(value):
            if key == name or name in memory.partners(key, value):
                return True
    return False


@expression("call")
def changed_argument(rw: Rewriter, node: Node) -> Code | None:
    """A call of a function of this file that changes what it is given."""
    called = called_function(node)
    if called is None:
        return None
    attributes = sharing(rw.inference).changed_by(node)
    values = sharing(rw.inference).changes(node)
    if not attributes and not values:
        return None
    memory = memory_at(rw, node)
    for key in sorted(attributes):
        for other in memory.partners(key, node):
            link = memory.exact(other, node)
            view = link.view if link is not None else None
            same = view is not None and _is_same(rw, view, rw.idioms.elements_change)
            if not same and memory.live(other, node):
                _tell(rw, f"{key}, by {called.name},", other, node)
    for value in values:
        for key in sorted(sharing(rw.inference).roots(value)):
            if not rw.idioms.elements_change:
                tell_caller(rw, memory, key, node)
            own = value.type in ("identifier", "attribute") and rw.idioms.elements_change
            others = memory.partners(key, node)
            for other in others if own else (key, *others):
                if memory.live(other, node):
                    rw.find(
                        "in-place",
                        f"{called.name} changes {rw.source[value]} in place: {other} keeps its old "
                        "value in the port",
                        node,
                    )
    return None
