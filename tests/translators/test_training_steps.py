"""Shapes of training steps: what each becomes in JAX, and why some stay as they are.

`test_programs.py` runs whole programs; here the text is looked at. `model`, `optimizer` and `F` are bound.
"""

from __future__ import annotations

import textwrap

import pytest

from torchport_translators.findings import Severity
from torchport_translators.translate import translate

HEADER = """\
import torch
import torch.nn as nn
import torch.nn.functional as F

"""

# What it shows, the source, and the port's lines after its imports and helpers.
SHAPES = [
    (
        "the loss alone: nothing else of the forward pass is read again",
        """
        def step(model, optimizer, x, y):
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
        """,
        """
        def step(model, optimizer, x, y):
            def loss_fn(model):
                return jnp.mean(jnp.square(model(x) - y))

            loss, grads = nnx.value_and_grad(loss_fn)(model)
            optimizer.update(model, grads)
        """,
    ),
    (
        "what makes the module stays where it is",
        """
        def main():
            model = nn.PReLU()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            y = torch.ones(3, 2)
            loss = F.mse_loss(model(y), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        """,
        """
        def main():
            model = PReLU()
            optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
            y = jnp.ones((3, 2))

            def loss_fn(model):
                return jnp.mean(jnp.square(model(y) - y))

            loss, grads = nnx.value_and_grad(loss_fn)(model)
            optimizer.update(model, grads)
        """,
    ),
    (
        "what is read later is returned beside the loss, and logging between stays in its order",
        """
        def step(model, optimizer, x, y):
            logits = model(x)
            loss = F.mse_loss(logits, y)
            print(loss.item())
            error = (logits - y).square().max()

            # backward
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return logits, error
        """,
        """
        def step(model, optimizer, x, y):
            def loss_fn(model):
                logits = model(x)
                return jnp.mean(jnp.square(logits - y)), logits

            # backward
            (loss, logits), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model)
            print(loss.item())
            error = jnp.max(jnp.square(logits - y))
            optimizer.update(model, grads)
            return logits, error
        """,
    ),
    (
        "what does not depend on the parameters stays outside",
        """
        def step(model, teacher: nn.Linear, x, y):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            optimizer.zero_grad()
            prediction = model(x)
            with torch.no_grad():
                goal = teacher(x)
            loss = F.mse_loss(prediction, goal)
            loss.backward()
            optimizer.step()
        """,
        """
        def step(model, teacher: Linear, x, y):
            optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
            goal = jax.lax.stop_gradient(teacher(x))

            def loss_fn(model):
                prediction = model(x)
                return jnp.mean(jnp.square(prediction - goal))

            loss, grads = nnx.value_and_grad(loss_fn)(model)
            optimizer.update(model, grads)
        """,
    ),
    (
        "a loss that is summed in a loop starts inside the function",
        """
        def step(model, optimizer, xs, y):
            total = 0
            outputs = []
            for x in xs:
                output = model(x)
                outputs.append(output)
                total = total + F.mse_loss(output, y)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            return outputs
        """,
        """
        def step(model, optimizer, xs, y):
            def total_fn(model):
                total = 0
                outputs = []
                for x in xs:
                    output = model(x)
                    outputs.append(output)
                    total = total + jnp.mean(jnp.square(output - y))
                return total, outputs

            (total, outputs), grads = nnx.value_and_grad(total_fn, has_aux=True)(model)
            optimizer.update(model, grads)
            return outputs
        """,
    ),
    (
        "state that is carried on is an argument and a result",
        """
        def train(model, optimizer, xs, y):
            hidden = torch.zeros(3)
            for x in xs:
                hidden = hidden.detach()
                output, hidden = model(x, hidden)
                loss = F.mse_loss(output, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        """,
        """
        def train(model, optimizer, xs, y):
            hidden = jnp.zeros((3,))
            for x in xs:
                hidden = lax.stop_gradient(hidden)

                def loss_fn(model, hidden):
                    output, hidden = model(x, hidden)
                    return jnp.mean(jnp.square(output - y)), hidden

                (loss, hidden), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model, hidden)
                optimizer.update(model, grads)
        """,
    ),
    (
        "gradients of several passes are added, and zeroed where the source zeroes them",
        """
        def train(model, optimizer, batches, every):
            optimizer.zero_grad()
            for i, (x, y) in enumerate(batches):
                loss = F.mse_loss(model(x), y) / every
                loss.backward()
                if (i + 1) % every == 0:
                    torch.nn.utils.clip_grad_value_(model.parameters(), 0.5)
                    optimizer.step()
                    optimizer.zero_grad()
        """,
        """
        def train(model, optimizer, batches, every):
            grads = jax.tree.map(jnp.zeros_like, nnx.state(model, nnx.Param))
            for i, (x, y) in enumerate(batches):
                def loss_fn(model):
                    return jnp.mean(jnp.square(model(x) - y)) / every

                loss, step_grads = nnx.value_and_grad(loss_fn)(model)
                grads = jax.tree.map(jnp.add, grads, step_grads)
                if (i + 1) % every == 0:
                    grads = jax.tree.map(lambda g: jnp.clip(g, -0.5, 0.5), grads)
                    optimizer.update(model, grads)
                    grads = jax.tree.map(jnp.zeros_like, nnx.state(model, nnx.Param))
        """,
    ),
    (
        "two optimizers that use one backward pass",
        """
        def step(encoder: nn.Linear, decoder: nn.Linear, x, y):
            first = torch.optim.SGD(encoder.parameters(), lr=0.1)
            second = torch.optim.SGD(decoder.parameters(), lr=0.2)
            loss = F.mse_loss(decoder(encoder(x)), y)
            first.zero_grad()
            second.zero_grad()
            loss.backward()
            first.step()
            second.step()
        """,
        """
        def step(encoder: Linear, decoder: Linear, x, y):
            first = nnx.Optimizer(encoder, optax.sgd(0.1), wrt=nnx.Param)
            second = nnx.Optimizer(decoder, optax.sgd(0.2), wrt=nnx.Param)

            def loss_fn(encoder, decoder):
                return jnp.mean(jnp.square(decoder(encoder(x)) - y))

            loss, (encoder_grads, decoder_grads) = nnx.value_and_grad(loss_fn, argnums=(0, 1))(
                encoder, decoder
            )
            first.update(encoder, encoder_grads)
            second.update(decoder, decoder_grads)
        """,
    ),
    (
        "frozen parameters are no part of the gradient",
        """
        def train(model, batches):
            for p in model.features.parameters():
                p.requires_grad = False
            optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), 0.1)
            for x, y in batches:
                loss = F.mse_loss(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        """,
        """
        def train(model, batches):
            for p in (p for _, p in nnx.iter_graph(model.features) if isinstance(p, nnx.Param)):
                p.set_metadata(requires_grad=False)
            optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=trainable)
            for x, y in batches:
                def loss_fn(model):
                    return jnp.mean(jnp.square(model(x) - y))

                loss, grads = nnx.value_and_grad(loss_fn, argnums=nnx.DiffState(0, trainable))(
                    model
                )
                optimizer.update(model, grads)
        """,
    ),
]


@pytest.mark.parametrize(("source", "port"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_a_training_step_reads_as_written_by_hand(source: str, port: str) -> None:
    translation = translate(HEADER + textwrap.dedent(source).strip() + "\n", "jax")
    errors = [f.message for f in translation.findings if f.severity is Severity.ERROR]
    assert errors == []
    text = translation.text
    for helper in translation.helpers:
        text = text.replace(helper, "")
    body = text[text.index("\ndef ") + 1 :].strip()
    assert body == textwrap.dedent(port).strip()


# What it shows, the source, and what the finding says.
REFUSED = [
    (
        "JAX differentiates by arguments only",
        """
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def compute(x):
            return model(x).sum()

        def step(x):
            loss = compute(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        """,
        "compute reaches model by itself: model must be an argument to be differentiated by",
    ),
    (
        "an attribute would keep a value of a trace",
        """
        class Trainer:
            def __init__(self, model: nn.Linear):
                self.model = model
                self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            def step(self, x):
                self.output = self.model(x)
                loss = self.output.sum()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
        """,
        "line 11 keeps a value of the forward pass in self.output; keep it in a variable",
    ),
    (
        "two modules, and nothing says which is trained",
        """
        def step(optimizer, generator: nn.Linear, critic: nn.Linear, x):
            loss = critic(generator(x)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        """,
        "the module that optimizer updates is not known",
    ),
    (
        "gradients that outlive the function",
        """
        def step(model: nn.Linear, optimizer, x):
            loss = model(x).sum()
            loss.backward()
            optimizer.step()
        """,
        "optimizer steps here, but nothing here zeroes its gradients, so they add up from call to call",
    ),
    (
        "a value that is asked for inside the function",
        """
        def step(model: nn.Linear, optimizer, x):
            loss = model(x).sum()
            loss = loss / loss.detach().item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        """,
        "line 7 asks for a value (.item()) inside the function that is differentiated, where JAX "
        "knows none",
    ),
    (
        "a jump out of the block",
        """
        def train(model: nn.Linear, optimizer, xs):
            for x in xs:
                loss = model(x).sum()
                if loss > 100:
                    continue
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        """,
        "between the forward pass and backward() the code may leave the block",
    ),
    (
        "a step that runs the forward pass itself",
        """
        def train(model: nn.Linear, x):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            def closure():
                optimizer.zero_grad()
                loss = model(x).sum()
                loss.backward()
                return loss

            optimizer.step(closure)
        """,
        "no optimizer's step() stands in the same function as backward()",
    ),
]


@pytest.mark.parametrize(("source", "why"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_not_understood_stays_and_says_why(source: str, why: str) -> None:
    translation = translate(HEADER + textwrap.dedent(source).strip() + "\n", "jax")
    told = {f.message for f in translation.findings if f.code == "training-step"}
    assert why in told
    assert "loss.backward()" in translation.text
    assert f"# torchport: not ported: {why}" in translation.text
