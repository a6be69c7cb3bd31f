"""Training steps: `backward()` and `step()` become the gradient of a function and an update.

Before:
    import torch.nn.functional as F
    from torch import optim

    def train(model, batches, lr=0.1):
        optimizer = optim.SGD(model.parameters(), lr=lr)
        model.train()
        total = 0.0
        for x, y in batches:
            optimizer.zero_grad()
            prediction = model(x)
            loss = F.mse_loss(prediction, y)
            loss.backward()
            optimizer.step()
            total += abs(prediction - y).max().item()
        return total
After (jax):
    import jax.numpy as jnp
    import optax
    from flax import nnx

    def train(model, batches, lr=0.1):
        optimizer = nnx.Optimizer(model, optax.sgd(lr), wrt=nnx.Param)
        model.train()
        total = 0.0
        for x, y in batches:
            def loss_fn(model):
                prediction = model(x)
                return jnp.mean(jnp.square(prediction - y)), prediction

            (loss, prediction), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model)
            optimizer.update(model, grads)
            total += jnp.max(abs(prediction - y)).item()
        return total
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim

    def train(model, batches, lr=0.1):
        optimizer = optim.SGD(learning_rate=lr)
        model.train()
        total = 0.0
        for x, y in batches:
            def loss_fn(model):
                prediction = model(x)
                return mx.mean(mx.square(prediction - y)), prediction

            (loss, prediction), grads = nn.value_and_grad(model, loss_fn)(model)
            optimizer.update(model, grads)
            mx.eval(model.parameters(), optimizer.state)
            total += mx.max(abs(prediction - y)).item()
        return total
Why:
    torch records what was computed and keeps gradients on the parameters; the targets differentiate
    a function of the module, and gradients are values. What the rest of the code needs of the forward
    pass is returned beside the loss, and state such as running statistics stays with the module.
    Gradients that torch adds up over several passes are added here, too.
When not:
    The module that the optimizer updates is not known; a function reaches the module by itself (JAX);
    the forward pass keeps values in attributes, or leaves the block; the step is in another function.
"""

from __future__ import annotations

import ast
import re

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.catalogue.expressions import Hole
from torchport_translators.catalogue.inline import Unsupported
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.frozen_parameters import filter_of, freezes
from torchport_translators.rewrites.registry import statement
from torchport_translators.source import kinds as k
from torchport_translators.source.scopes import Function
from torchport_translators.source.syntax import Node
from torchport_translators.source.training import CLIPPING, Pass, Training, training

# What a clipping is given that does not concern its values.
_LEFT = frozenset(("parameters", "foreach"))
_STATEFUL = re.compile(r"BatchNorm|InstanceNorm|[Dd]ropout|rrelu|spectral_norm|rand")
_ZEROING = re.compile(r"(?=.*grad)(?=.*(?:zero|clear|reset))", re.IGNORECASE)


def steps(rw: Rewriter) -> Training:
    """What is known of the training steps of the source."""
    inference = rw.inference
    if inference.training is None:
        inference.training = training(inference, closures=not rw.idioms.variables)
    return inference.training


def trains(rw: Rewriter, function: Function) -> bool:
    """Whether a training step stands in a function, which the port writes out."""
    return any(rw.inference.function_at(node) is function for node in steps(rw).passes)


@statement("for_statement", "while_statement")
def accumulated(rw: Rewriter, node: Node) -> bool:
    """Gradients that outlive a step begin as zeros before the loop."""
    for modules, name in steps(rw).zeroed.get(node, ()):
        rw.before(f"{name} = {_zeros(rw, modules)}")
    return False


@statement("expression_statement")
def training_step(rw: Rewriter, node: Node) -> bool:
    found = steps(rw)
    if node in found.passes:
        rw.count(True)
        _write_pass(rw, node, found.passes[node])
    elif node in found.updates:
        rw.count(True)
        _write_update(rw, node)
    elif node in found.zeroed:
        rw.count(True)
        lines = [f"{name} = {_zeros(rw, modules)}" for modules, name in found.zeroed[node]]
        rw.replace(node, f"\n{rw.indent(node)}".join(lines))
    elif node in found.clipped:
        _write_clipping(rw, node, found.clipped[node])
    elif node in found.dropped:
        rw.count(True)
        _drop(rw, node)
    elif node in found.refused:
        call = next(iter(rw.source.nodes("call", node)))
        rw.unported(call, found.refused[node], "training-step")
    else:
        return False
    return True


def _drop(rw: Rewriter, node: Node) -> None:
    """Take out a statement, and what a comment above it says of zeroing gradients."""
    block = node.parent
    siblings = list(block.children) if block is not None else []
    at = siblings.index(node)
    above = siblings[at - 1] if at else None
    if above is not None and "zero_grad" in rw.source[node] and _tells_of_zeroing(rw, above):
        rw.remove(above, comment=True)
    rest = [s for s in block.named() if s is not node] if block is not None else []
    if not rest:
        rw.replace(node, "pass")
        return
    rw.remove(node, comment=True)


def _tells_of_zeroing(rw: Rewriter, node: Node) -> bool:
    """Whether a comment says that gradients are zeroed, on a line of its own."""
    if node.type != "comment" or not rw.source.starts_line(node):
        return False
    return _ZEROING.search(rw.source[node]) is not None


def _tuple(names: tuple[str, ...] | list[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


# Gradients


def _tree_map(rw: Rewriter) -> str:
    if rw.idioms.variables:
        return rw.imports.add_root("jax.tree.map")
    return rw.imports.add("mlx.utils", "tree_map", "tree_map")


def _zeros(rw: Rewriter, modules: tuple[str, ...]) -> str:
    """Zeros as the gradients of modules."""
    zeros = rw.imports.add_root(f"{rw.idioms.array}.zeros_like")

    def of(module: str) -> str:
        if rw.idioms.variables:
            state = rw.imports.add_root("nnx.state")
            return f"{_tree_map(rw)}({zeros}, {state}({module}, {filter_of(rw)}))"
        return f"{_tree_map(rw)}({zeros}, {module}.trainable_parameters())"

    return _tuple([of(module) for module in modules])


def _write_update(rw: Rewriter, node: Node) -> None:
    update = steps(rw).updates[node]
    text = f"{update.optimizer}.update({_tuple(update.modules)}, {update.gradients})"
    if len(update.modules) > 1 and not rw.idioms.variables:
        function = _helper(rw, "update_modules")
        text = f"{function}({update.optimizer}, {_tuple(update.modules)}, {update.gradients})"
    if not rw.idioms.variables:
        evaluated = [f"{module}.parameters()" for module in update.modules]
        evaluated.append(f"{update.optimizer}.state")
        text += f"\n{rw.indent(node)}{rw.imports.add_root('mx.eval')}({', '.join(evaluated)})"
    rw.edits.replace(node.start, node.end, text)


def _write_clipping(rw: Rewriter, node: Node, gradients: str) -> None:
    call = next(iter(rw.source.nodes("call", node)))
    api = rw.called_api(call)
    assert api is not None
    positional, keywords = rw.arguments(call)
    named: dict[str, ast.expr] = {
        name: rw.hole(value) for name, value in keywords.items() if name not in _LEFT
    }
    holes: list[ast.expr] = [Hole(Code(gradients)), *map(rw.hole, positional[1:])]
    try:
        clipped = rw.inliner.helper("gradients", CLIPPING[api], holes, named).code()
    except Unsupported as refused:
        rw.unported(call, refused.why, "unsupported-argument", api)
        return
    rw.count(True)
    norm = rw.source[node.children[0]["left"]] if call.parent is not node else "_"
    target = f"{gradients}, {norm}" if CLIPPING[api] == "clip_grad_norm" else gradients
    rw.edits.replace(node.start, node.end, f"{target} = {clipped.within(Binding.TEST)}")


# A pass


def _write_pass(rw: Rewriter, node: Node, found: Pass) -> None:
    source = rw.source
    loss = found.event.loss
    assert loss is not None
    while loss.type == "parenthesized_expression" and len(loss.named()) == 1:
        loss = loss.named()[0]
    indent = rw.indent(node)
    outer, rw.current.before = rw.current.before, []
    returned = rw.value(loss).within(Binding.TEST)
    hoisted, rw.current.before = rw.current.before, outer

    names = {module: _parameter(rw, module) for module in (*found.modules, *_others(rw, found))}
    body: list[str] = []
    for child in found.inside:
        lines = _lines(rw, child)
        if body and lines and _is_apart(rw, child):
            body.append("")
        body += lines
    body += hoisted
    plain = source[loss] if loss.type == "identifier" else None
    start = f"{plain} = "
    last = _lines(rw, found.inside[-1]) if found.inside and not hoisted else []
    code = [line for line in last if not line.lstrip().startswith("#")]
    if plain is not None and code and code[0].startswith(start) and len(_statements(code)) == 1:
        body[len(body) - len(code) :] = [code[0].removeprefix(start), *code[1:]]
        at = len(body) - len(code)
        body[at] = f"return {body[at]}"
    else:
        body.append(f"return {returned}")
    body[-1] += _beside(rw, found)
    body = [_renamed(line, names) for line in body]
    parameters = list(names.values())
    arguments = list(names)
    if rw.idioms.variables and any(_draws(line) for line in body):
        parameters.append("rngs")
        # A module may hold the same random state, which must not reach the function twice.
        arguments.append(f"{rw.rngs()}.fork()")
    parameters += found.carried
    arguments += found.carried

    function = _function_name(rw, plain)
    lines = [line for child in found.before for line in _lines(rw, child)]
    lines += [line for child in found.kept for line in _lines(rw, child, comments=False)]
    if lines or _above(rw, found.first):
        lines.append("")
    lines.append(f"def {function}({', '.join(parameters)}):")
    lines += [f"    {line}" if line else "" for line in body]
    lines.append("")
    value = _value(rw, found, plain)
    gradients, added = _gradients(rw, found)
    taken = [rw.source[comment] for comment in found.comments if not _tells_of_zeroing(rw, comment)]
    given = f"({value})" if ", " in value else value
    if _shares_rngs(rw, found):
        gradients = f"({', '.join((gradients, *('_' for _ in found.others)))})"
    taken.append(f"{given}, {gradients} = {_differentiated(rw, found, function, arguments)}")
    taken += added
    rest = [line for child in found.after for line in _lines(rw, child)]
    for child in found.copied:
        _keep_state(rw, found, child)
    start_of = source.line_start(found.first.start)
    if found.branch is None:
        rw.edits.replace(start_of, node.end, _indented(lines + taken + rest, indent))
        return
    outer_indent = rw.indent(found.branch)
    moved = [*found.inside, *found.before, *found.after]
    end = max(source.next_line(child.end) for child in moved)
    if source.text[end:].startswith(("\n", "\r\n")):
        lines.pop()
    rw.edits.replace(start_of, end, _indented(lines, outer_indent) + "\n")
    rw.edits.replace(source.line_start(node.start), node.end, _indented(taken, indent))
    _write_otherwise(rw, found, f"{value} = {function}({', '.join(arguments)})", rest)


def _keep_state(rw: Rewriter, found: Pass, child: Node) -> None:
    """A forward pass that stays where it is, as well, is that of a copy: its state changes once."""
    modules = (*found.modules, *found.others)
    calls = [
        call["function"]
        for call in rw.source.nodes("call", child)
        if rw.source[call["function"]] in modules and _has_state(rw, call["function"])
    ]
    if not calls:
        return
    moved = any(child in p.inside and child not in p.copied for p in steps(rw).passes.values())
    same = all(not rw.edits.made(child.start, child.end) for child in calls)
    whole = rw.source[child] == rw.edits.apply(rw.source.text, child.start, child.end)
    if moved or not same or not whole:
        line = rw.source.position(found.event.statement.start)[0]
        rw.find("recomputed", f"it is computed again for the backward() of line {line}", child)
        return
    for callee in calls:
        if rw.idioms.variables:
            function = rw.imports.add_root("nnx.clone")
        else:
            function = rw.imports.add("copy", "deepcopy", "deepcopy")
        rw.edits.replace(callee.start, callee.end, f"{function}({rw.source[callee]})")


def _has_state(rw: Rewriter, module: Node) -> bool:
    """Whether running a module changes it, or draws, as far as its class is known."""
    kind = module.kind
    if not isinstance(kind, k.Instance) or kind.cls is None:
        return True
    texts = [rw.source[cls.node] for cls in rw.inference.classes.values() if cls.is_module]
    return any(_STATEFUL.search(text) for text in texts)


def _write_otherwise(rw: Rewriter, found: Pass, line: str, rest: list[str]) -> None:
    """Where the branch is not taken, the function is called for its values alone."""
    assert found.branch is not None
    indent = rw.indent(found.branch)
    inner = rw.indent(found.event.statement)
    alternative = found.branch.get("alternative")
    end = rw.source.line_end(found.branch.end)
    after = _indented(["", *rest], indent) if rest else ""
    if alternative is not None and found.otherwise:
        first = alternative["body"].named()[0]
        rw.edits.insert(first.start, f"{line}\n{inner}")
    elif found.otherwise:
        after = f"\n{indent}else:\n{inner}{line}{after}"
    if after:
        rw.edits.insert(end, after)


def _indented(lines: list[str], indent: str) -> str:
    return "\n".join(f"{indent}{line}" if line else "" for line in lines)


def _others(rw: Rewriter, found: Pass) -> tuple[str, ...]:
    """Modules besides those that are differentiated: JAX must be given them, as they have state."""
    return found.others if rw.idioms.variables else ()


def _parameter(rw: Rewriter, module: str) -> str:
    """The name of a module inside the function: `self.model` is `model` there."""
    return rw.fresh(module.rpartition(".")[2]) if "." in module else module


def _renamed(line: str, names: dict[str, str]) -> str:
    for module, name in names.items():
        if module != name:
            line = re.sub(rf"(?<![\w.]){re.escape(module)}\b", name, line)
    return line


def _draws(line: str) -> bool:
    return re.search(r"(?<![\w.])rngs\b(?!\s*=)", line) is not None


def _statements(lines: list[str]) -> list[str]:
    """The lines that begin a statement, of those of one block."""
    return [line for line in lines if line and not line.startswith((" ", "\t", ")", "]", "}"))]


def _lines(rw: Rewriter, child: Node, *, comments: bool = True) -> list[str]:
    """The port of a statement, and of the comments above it, as lines without their indentation."""
    source = rw.source
    first = _with_comments(rw, child) if comments else child
    start = source.line_start(first.start)
    text = rw.edits.apply(source.text, start, source.next_line(child.end))
    base = len(rw.indent(child))
    return [line[base:] if line.strip() else "" for line in text.splitlines()]


def _is_apart(rw: Rewriter, child: Node) -> bool:
    """Whether a blank line stands above a statement and its comments."""
    line = rw.source.line_start(_with_comments(rw, child).start)
    return rw.source.text[:line].endswith(("\n\n", "\r\n\r\n"))


def _with_comments(rw: Rewriter, child: Node) -> Node:
    """The first of the comments directly above a statement, or the statement."""
    siblings = list(child.parent.children) if child.parent is not None else [child]
    at = siblings.index(child)
    while at and siblings[at - 1].type == "comment" and rw.source.starts_line(siblings[at - 1]):
        at -= 1
    return siblings[at]


def _above(rw: Rewriter, first: Node) -> bool:
    """Whether something stands above in the block of the port."""
    block = first.parent
    if block is None or not block.children:
        return False
    start = rw.source.line_start(block.children[0].start)
    text = rw.edits.apply(rw.source.text, start, rw.source.line_start(first.start))
    return bool(text.strip()) and not text.rpartition("\n")[0].endswith("\n")


def _beside(rw: Rewriter, found: Pass) -> str:
    """What the function returns beside the loss."""
    if not found.needed:
        return ""
    if rw.idioms.variables:
        return f", {_tuple(found.needed)}"
    return f", {', '.join(found.needed)}"


def _function_name(rw: Rewriter, plain: str | None) -> str:
    hints = [f"{plain}_fn"] if plain is not None else []
    for hint in (*hints, "loss_fn", "compute_loss", "objective"):
        if hint not in rw.inference.bound:
            return rw.fresh(hint)
    return rw.fresh("objective")


def _value(rw: Rewriter, found: Pass, plain: str | None) -> str:
    name = plain or rw.fresh("loss" if "loss" not in found.needed else "value")
    if not found.needed:
        return name
    if rw.idioms.variables:
        return f"{name}, {_tuple(found.needed)}"
    return ", ".join((name, *found.needed))


def _gradients(rw: Rewriter, found: Pass) -> tuple[str, list[str]]:
    """What the gradients are bound to, and the lines that add them to those that are there."""
    names = [name for _, name in found.gradients]
    if not found.adds:
        return _tuple(names), []
    new = [rw.fresh(f"step_{name}") for name in names]
    add = rw.imports.add_root(f"{rw.idioms.array}.add")
    lines = [
        f"{name} = {_tree_map(rw)}({add}, {name}, {fresh})"
        for name, fresh in zip(names, new, strict=True)
    ]
    if not rw.idioms.variables:
        lines.append(f"{rw.imports.add_root('mx.eval')}({', '.join(names)})")
    return _tuple(new), lines


def _differentiated(rw: Rewriter, found: Pass, function: str, arguments: list[str]) -> str:
    given = ", ".join(arguments)
    count = len(found.modules)
    if _shares_rngs(rw, found):
        count += len(found.others)
    if rw.idioms.variables:
        by = [str(index) for index in range(count)]
        if freezes(rw):
            diff = rw.imports.add_root("nnx.DiffState")
            by = [f"{diff}({index}, {filter_of(rw)})" for index in by]
        options = f", argnums={_tuple(by)}" if by != ["0"] else ""
        options += ", has_aux=True" if found.needed else ""
        return f"{rw.imports.add_root('nnx.value_and_grad')}({function}{options})({given})"
    made = rw.imports.add_root("nn.value_and_grad") if count == 1 else _helper(rw, "value_and_grad")
    return f"{made}({_tuple(found.modules)}, {function})({given})"


def _shares_rngs(rw: Rewriter, found: Pass) -> bool:
    """Whether modules that are differentiated may hold random state of others that are not.

    flax refuses that; where all of them are differentiated, it does not.
    """
    held = any(cls.keeps_rngs for cls in rw.inference.classes.values())
    return rw.idioms.variables and held and len(found.modules) == 1 and len(found.others) > 0


def _helper(rw: Rewriter, name: str) -> str:
    """A helper for several modules, which MLX's own functions do not take."""
    module = rw.catalogue.module("training")
    assert module is not None
    return rw.helper(module.definitions[name])
