"""Optimizers: optax's own where it computes what torch does, else chains of its parts and of ours.

`params` is the module whose parameters are trained. Arguments that choose an implementation and change no
value (`foreach`, `fused`, `capturable`, `differentiable`) are dropped. What torch does not have a word
for, the rewrite of a training step passes by keyword:

- `scheduled`: the learning rate can be changed afterwards, as a hyperparameter of the optimizer's state,
  `optimizer.opt_state.hyperparams["learning_rate"]`;
- `cycled`, besides: so can the momentum, `hyperparams["momentum"]` or `hyperparams["b1"]`;
- `bare`: the gradient transformation alone, without `nnx.Optimizer` and a module.
"""

import math

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from torchport_translators.catalogue.ports import ports


def _optimizer(params, transformation, bare):
    if bare:
        return transformation
    return nnx.Optimizer(params, transformation, wrt=nnx.Param)


def _descend(transformation, weight_decay, maximize):
    """With torch's weight decay, a part of the gradient, and up instead of down if asked."""
    if maximize:
        if weight_decay:
            return optax.chain(
                optax.scale(-1.0), optax.add_decayed_weights(weight_decay), transformation
            )
        return optax.chain(optax.scale(-1.0), transformation)
    if weight_decay:
        return optax.chain(optax.add_decayed_weights(weight_decay), transformation)
    return transformation


def _decoupled(scaling, learning_rate, weight_decay, maximize, decoupled):
    """A scaling of gradients, the learning rate and the weight decay, of either sort."""
    if decoupled and weight_decay:
        decay = optax.add_decayed_weights(weight_decay)
        rate = optax.scale_by_learning_rate(learning_rate)
        if maximize:
            return optax.chain(optax.scale(-1.0), scaling, decay, rate)
        return optax.chain(scaling, decay, rate)
    return _descend(
        optax.chain(scaling, optax.scale_by_learning_rate(learning_rate)), weight_decay, maximize
    )


def by_path(*groups):
    """Each transformation for the parameters that its test takes; the others stay as they are.

    Args:
        groups: pairs of a gradient transformation and a test of a parameter's path, such as
            "encoder.layers.0.kernel", and of an array of its shape.
    """

    def label(path, array):
        name = ".".join(str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey))
        return next((i for i, (_, test) in enumerate(groups) if test(name, array)), len(groups))

    transformations = {i: transformation for i, (transformation, _) in enumerate(groups)}
    transformations[len(groups)] = optax.set_to_zero()
    return optax.partition(transformations, lambda tree: jax.tree.map_with_path(label, tree))


# Stochastic gradient descent


@ports("torch.optim.SGD")
def sgd(
    params,
    lr=1e-3,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov=False,
    *,
    maximize=False,
    foreach=None,
    differentiable=False,
    fused=None,
    scheduled=False,
    cycled=False,
    bare=False,
):
    """Weight decay is added to the gradient before the momentum, as optax.add_decayed_weights does."""
    if not scheduled:
        descent = _sgd(lr, momentum, dampening, weight_decay, nesterov, maximize)
        return _optimizer(params, descent, bare)
    if cycled:
        if dampening or weight_decay or maximize:
            descent = optax.inject_hyperparams(
                lambda learning_rate, momentum: _momentum_sgd(
                    learning_rate, momentum, dampening, weight_decay, nesterov, maximize
                )
            )(learning_rate=lr, momentum=momentum)
            return _optimizer(params, descent, bare)
        descent = optax.inject_hyperparams(optax.sgd)(
            learning_rate=lr, momentum=momentum, nesterov=nesterov
        )
        return _optimizer(params, descent, bare)
    if dampening or weight_decay or maximize:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _sgd(
                learning_rate, momentum, dampening, weight_decay, nesterov, maximize
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    if momentum:
        descent = optax.inject_hyperparams(optax.sgd)(
            learning_rate=lr, momentum=momentum, nesterov=nesterov
        )
        return _optimizer(params, descent, bare)
    return _optimizer(params, optax.inject_hyperparams(optax.sgd)(learning_rate=lr), bare)


def _sgd(learning_rate, momentum, dampening, weight_decay, nesterov, maximize):
    if momentum:
        return _momentum_sgd(learning_rate, momentum, dampening, weight_decay, nesterov, maximize)
    return _descend(optax.sgd(learning_rate), weight_decay, maximize)


def _momentum_sgd(learning_rate, momentum, dampening, weight_decay, nesterov, maximize):
    if dampening:
        descent = optax.chain(
            _dampened_trace(momentum, dampening), optax.scale_by_learning_rate(learning_rate)
        )
        return _descend(descent, weight_decay, maximize)
    descent = optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)
    return _descend(descent, weight_decay, maximize)


def _dampened_trace(decay, dampening):
    """optax.trace of gradients times 1 - dampening; the first starts the trace as it is."""

    def init(params):
        return {"count": jnp.zeros([], jnp.int32), "trace": jax.tree.map(jnp.zeros_like, params)}

    def update(updates, state, params=None):
        scale = jnp.where(state["count"] == 0, 1.0, 1.0 - dampening)
        trace = jax.tree.map(lambda g, t: decay * t + scale * g, updates, state["trace"])
        return trace, {"count": state["count"] + 1, "trace": trace}

    return optax.GradientTransformation(init, update)


# Adam and what follows it


@ports("torch.optim.Adam")
def adam(
    params,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay: float = 0,
    amsgrad=False,
    *,
    foreach=None,
    maximize=False,
    capturable=False,
    differentiable=False,
    fused=None,
    decoupled_weight_decay=False,
    scheduled=False,
    cycled=False,
    bare=False,
):
    """Weight decay is added to the gradient, unlike AdamW's."""
    b1, b2 = betas[0], betas[1]
    if not scheduled:
        descent = _adam(lr, b1, b2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay)
        return _optimizer(params, descent, bare)
    if cycled and (weight_decay or amsgrad or maximize):
        descent = optax.inject_hyperparams(
            lambda learning_rate, b1: _adam(
                learning_rate, b1, b2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay
            )
        )(learning_rate=lr, b1=b1)
        return _optimizer(params, descent, bare)
    if weight_decay or amsgrad or maximize:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _adam(
                learning_rate, b1, b2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    descent = optax.inject_hyperparams(optax.adam)(learning_rate=lr, b1=b1, b2=b2, eps=eps)
    return _optimizer(params, descent, bare)


@ports("torch.optim.AdamW")
def adamw(
    params,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay: float = 1e-2,
    amsgrad=False,
    *,
    maximize=False,
    foreach=None,
    capturable=False,
    differentiable=False,
    fused=None,
    scheduled=False,
    cycled=False,
    bare=False,
):
    """optax.adamw; torch decays by 1e-2 where nothing is said, optax by 1e-4."""
    b1, b2 = betas[0], betas[1]
    if not scheduled:
        descent = _adam(lr, b1, b2, eps, weight_decay, amsgrad, maximize, True)
        return _optimizer(params, descent, bare)
    if cycled and (amsgrad or maximize):
        descent = optax.inject_hyperparams(
            lambda learning_rate, b1: _adam(
                learning_rate, b1, b2, eps, weight_decay, amsgrad, maximize, True
            )
        )(learning_rate=lr, b1=b1)
        return _optimizer(params, descent, bare)
    if amsgrad or maximize:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _adam(
                learning_rate, b1, b2, eps, weight_decay, amsgrad, maximize, True
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    descent = optax.inject_hyperparams(optax.adamw)(
        learning_rate=lr, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay
    )
    return _optimizer(params, descent, bare)


def _adam(learning_rate, b1, b2, eps, weight_decay, amsgrad, maximize, decoupled):
    if amsgrad:
        scaling = _scale_by_amsgrad(b1, b2, eps)
        return _decoupled(scaling, learning_rate, weight_decay, maximize, decoupled)
    if decoupled and weight_decay:
        descent = optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
        return _descend(descent, 0, maximize)
    return _descend(optax.adam(learning_rate, b1=b1, b2=b2, eps=eps), weight_decay, maximize)


def _weight(decay, count):
    """1 - decay ** count, with all digits: float32 holds 0.999 to 5 digits of what is missing to 1."""
    return -jnp.expm1(count * math.log(decay))


def _scale_by_amsgrad(b1=0.9, b2=0.999, eps=1e-8):
    """optax.scale_by_amsgrad, the largest second moment taken before the bias is corrected."""

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return {"count": jnp.zeros([], jnp.int32), "mu": zeros, "nu": zeros, "nu_max": zeros}

    def update(updates, state, params=None):
        count = state["count"] + 1
        mu = jax.tree.map(lambda g, m: b1 * m + (1 - b1) * g, updates, state["mu"])
        nu = jax.tree.map(lambda g, v: b2 * v + (1 - b2) * g**2, updates, state["nu"])
        nu_max = jax.tree.map(jnp.maximum, state["nu_max"], nu)
        c1, c2 = 1 - b1**count, _weight(b2, count)
        updates = jax.tree.map(lambda m, v: m / c1 / (jnp.sqrt(v / c2) + eps), mu, nu_max)
        return updates, {"count": count, "mu": mu, "nu": nu, "nu_max": nu_max}

    return optax.GradientTransformation(init, update)


@ports("torch.optim.Adamax")
def adamax(
    params,
    lr=2e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay: float = 0,
    foreach=None,
    *,
    maximize=False,
    differentiable=False,
    capturable=False,
    scheduled=False,
    cycled=False,
    bare=False,
):
    b1, b2 = betas[0], betas[1]
    if not scheduled:
        descent = optax.adamax(lr, b1=b1, b2=b2, eps=eps)
        return _optimizer(params, _descend(descent, weight_decay, maximize), bare)
    if cycled and (weight_decay or maximize):
        descent = optax.inject_hyperparams(
            lambda learning_rate, b1: _descend(
                optax.adamax(learning_rate, b1=b1, b2=b2, eps=eps), weight_decay, maximize
            )
        )(learning_rate=lr, b1=b1)
        return _optimizer(params, descent, bare)
    if weight_decay or maximize:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _descend(
                optax.adamax(learning_rate, b1=b1, b2=b2, eps=eps), weight_decay, maximize
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    descent = optax.inject_hyperparams(optax.adamax)(learning_rate=lr, b1=b1, b2=b2, eps=eps)
    return _optimizer(params, descent, bare)


@ports("torch.optim.NAdam")
def nadam(
    params,
    lr=2e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay: float = 0,
    momentum_decay=4e-3,
    decoupled_weight_decay=False,
    *,
    foreach=None,
    maximize=False,
    capturable=False,
    differentiable=False,
    scheduled=False,
    cycled=False,
    bare=False,
):
    """torch's momentum grows with the steps (momentum_decay); optax.nadam's does not."""
    b1, b2 = betas[0], betas[1]
    if cycled:
        descent = optax.inject_hyperparams(
            lambda learning_rate, b1: _decoupled(
                _scale_by_nadam(b1, b2, eps, momentum_decay),
                learning_rate,
                weight_decay,
                maximize,
                decoupled_weight_decay,
            )
        )(learning_rate=lr, b1=b1)
        return _optimizer(params, descent, bare)
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _decoupled(
                _scale_by_nadam(b1, b2, eps, momentum_decay),
                learning_rate,
                weight_decay,
                maximize,
                decoupled_weight_decay,
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    scaling = _scale_by_nadam(b1, b2, eps, momentum_decay)
    descent = _decoupled(scaling, lr, weight_decay, maximize, decoupled_weight_decay)
    return _optimizer(params, descent, bare)


def _scale_by_nadam(b1=0.9, b2=0.999, eps=1e-8, momentum_decay=4e-3):
    """Nesterov's Adam (Dozat 2016) with the momentum b1 * (1 - 0.96 ** (t * momentum_decay) / 2)."""

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return {
            "count": jnp.zeros([], jnp.int32),
            "product": jnp.ones([]),
            "mu": zeros,
            "nu": zeros,
        }

    def update(updates, state, params=None):
        count = state["count"] + 1
        now = b1 * (1 - 0.5 * 0.96 ** (count * momentum_decay))
        following = b1 * (1 - 0.5 * 0.96 ** ((count + 1) * momentum_decay))
        product = state["product"] * now
        mu = jax.tree.map(lambda g, m: b1 * m + (1 - b1) * g, updates, state["mu"])
        nu = jax.tree.map(lambda g, v: b2 * v + (1 - b2) * g**2, updates, state["nu"])
        of_gradient = (1 - now) / (1 - product)
        of_mean = following / (1 - product * following)
        updates = jax.tree.map(
            lambda g, m, v: (
                (of_gradient * g + of_mean * m).astype(g.dtype)
                / (jnp.sqrt(v / _weight(b2, count)) + eps)
            ),
            updates,
            mu,
            nu,
        )
        return updates, {"count": count, "product": product, "mu": mu, "nu": nu}

    return optax.GradientTransformation(init, update)


@ports("torch.optim.RAdam")
def radam(
    params,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay: float = 0,
    decoupled_weight_decay=False,
    *,
    foreach=None,
    maximize=False,
    capturable=False,
    differentiable=False,
    scheduled=False,
    cycled=False,
    bare=False,
):
    """torch adds eps before it corrects the bias of the second moment, optax.radam after."""
    b1, b2 = betas[0], betas[1]
    if cycled:
        descent = optax.inject_hyperparams(
            lambda learning_rate, b1: _decoupled(
                _scale_by_radam(b1, b2, eps),
                learning_rate,
                weight_decay,
                maximize,
                decoupled_weight_decay,
            )
        )(learning_rate=lr, b1=b1)
        return _optimizer(params, descent, bare)
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _decoupled(
                _scale_by_radam(b1, b2, eps),
                learning_rate,
                weight_decay,
                maximize,
                decoupled_weight_decay,
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    scaling = _scale_by_radam(b1, b2, eps)
    descent = _decoupled(scaling, lr, weight_decay, maximize, decoupled_weight_decay)
    return _optimizer(params, descent, bare)


def _scale_by_radam(b1=0.9, b2=0.999, eps=1e-8):
    """Rectified Adam (Liu et al. 2020): the mean alone while the variance is not known."""
    rho_inf = 2 / (1 - b2) - 1

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return {"count": jnp.zeros([], jnp.int32), "mu": zeros, "nu": zeros}

    def update(updates, state, params=None):
        count = state["count"] + 1
        mu = jax.tree.map(lambda g, m: b1 * m + (1 - b1) * g, updates, state["mu"])
        nu = jax.tree.map(lambda g, v: b2 * v + (1 - b2) * g**2, updates, state["nu"])
        c2 = _weight(b2, count)
        rho = rho_inf - 2 * count * (1 - c2) / c2
        known = rho > 5
        length = jnp.where(known, rho, rho_inf)
        rectified = jnp.sqrt(
            (length - 4) * (length - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * length) * c2
        )
        updates = jax.tree.map(
            lambda m, v: (
                jnp.where(known, rectified / (jnp.sqrt(v) + eps), 1) * (m / (1 - b1**count))
            ).astype(m.dtype),
            mu,
            nu,
        )
        return updates, {"count": count, "mu": mu, "nu": nu}

    return optax.GradientTransformation(init, update)


# Scaled by the sizes of past gradients


@ports("torch.optim.Adagrad")
def adagrad(
    params,
    lr=1e-2,
    lr_decay: float = 0,
    weight_decay: float = 0,
    initial_accumulator_value=0,
    eps=1e-10,
    foreach=None,
    *,
    maximize=False,
    differentiable=False,
    fused=None,
    scheduled=False,
    bare=False,
):
    """torch starts from no squares and adds eps after the root; optax.adagrad does neither."""
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _descend(
                optax.chain(
                    _scale_by_adagrad(initial_accumulator_value, eps, lr_decay),
                    optax.scale_by_learning_rate(learning_rate),
                ),
                weight_decay,
                maximize,
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    descent = optax.chain(
        _scale_by_adagrad(initial_accumulator_value, eps, lr_decay),
        optax.scale_by_learning_rate(lr),
    )
    return _optimizer(params, _descend(descent, weight_decay, maximize), bare)


def _scale_by_adagrad(initial_accumulator_value=0, eps=1e-10, lr_decay=0):
    """Gradients over the root of the sum of their squares so far."""

    def init(params):
        total = jax.tree.map(lambda p: jnp.full_like(p, initial_accumulator_value), params)
        return {"count": jnp.zeros([], jnp.int32), "sum": total}

    def update(updates, state, params=None):
        total = jax.tree.map(lambda g, s: s + g**2, updates, state["sum"])
        slower = 1 + state["count"] * lr_decay
        updates = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps) / slower, updates, total)
        return updates, {"count": state["count"] + 1, "sum": total}

    return optax.GradientTransformation(init, update)


@ports("torch.optim.Adadelta")
def adadelta(
    params,
    lr=1.0,
    rho=0.9,
    eps=1e-6,
    weight_decay: float = 0,
    foreach=None,
    *,
    capturable=False,
    maximize=False,
    differentiable=False,
    scheduled=False,
    bare=False,
):
    if not scheduled:
        descent = optax.adadelta(lr, rho=rho, eps=eps)
        return _optimizer(params, _descend(descent, weight_decay, maximize), bare)
    if weight_decay or maximize:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _descend(
                optax.adadelta(learning_rate, rho=rho, eps=eps), weight_decay, maximize
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    descent = optax.inject_hyperparams(optax.adadelta)(learning_rate=lr, rho=rho, eps=eps)
    return _optimizer(params, descent, bare)


@ports("torch.optim.RMSprop")
def rmsprop(
    params,
    lr=1e-2,
    alpha=0.99,
    eps=1e-8,
    weight_decay: float = 0,
    momentum: float = 0,
    centered=False,
    capturable=False,
    foreach=None,
    maximize=False,
    differentiable=False,
    scheduled=False,
    cycled=False,
    bare=False,
):
    """torch adds eps after the root; its momentum holds gradients, not steps, as a changing rate shows."""
    if cycled:
        descent = optax.inject_hyperparams(
            lambda learning_rate, momentum: _descend(
                _momentum_rmsprop(learning_rate, alpha, eps, momentum, centered),
                weight_decay,
                maximize,
            )
        )(learning_rate=lr, momentum=momentum)
        return _optimizer(params, descent, bare)
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _descend(
                _rmsprop(learning_rate, alpha, eps, momentum, centered), weight_decay, maximize
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    if momentum:
        descent = optax.rmsprop(
            lr, decay=alpha, eps=eps, eps_in_sqrt=False, centered=centered, momentum=momentum
        )
        return _optimizer(params, _descend(descent, weight_decay, maximize), bare)
    descent = _rmsprop(lr, alpha, eps, momentum, centered)
    return _optimizer(params, _descend(descent, weight_decay, maximize), bare)


def _rmsprop(learning_rate, alpha, eps, momentum, centered):
    if momentum:
        return _momentum_rmsprop(learning_rate, alpha, eps, momentum, centered)
    return optax.rmsprop(learning_rate, decay=alpha, eps=eps, eps_in_sqrt=False, centered=centered)


def _momentum_rmsprop(learning_rate, alpha, eps, momentum, centered):
    rate = optax.scale_by_learning_rate(learning_rate)
    if centered:
        scaling = optax.scale_by_stddev(decay=alpha, eps=eps, eps_in_sqrt=False)
        return optax.chain(scaling, optax.trace(decay=momentum), rate)
    scaling = optax.scale_by_rms(decay=alpha, eps=eps, eps_in_sqrt=False)
    return optax.chain(scaling, optax.trace(decay=momentum), rate)


@ports("torch.optim.Rprop")
def rprop(
    params,
    lr=1e-2,
    etas=(0.5, 1.2),
    step_sizes=(1e-6, 50),
    *,
    capturable=False,
    foreach=None,
    maximize=False,
    differentiable=False,
    scheduled=False,
    bare=False,
):
    """The learning rate is the first size of all steps; optax.rprop takes each step one step late."""
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _descend(_rprop(learning_rate, etas, step_sizes), 0, maximize)
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    return _optimizer(params, _descend(_rprop(lr, etas, step_sizes), 0, maximize), bare)


def _rprop(learning_rate, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    """Resilient backpropagation (Riedmiller and Braun 1993): each weight has a size of its steps."""

    def init(params):
        return {
            "count": jnp.zeros([], jnp.int32),
            "previous": jax.tree.map(jnp.zeros_like, params),
            "sizes": jax.tree.map(jnp.zeros_like, params),
        }

    def update(updates, state, params=None):
        def size(gradient, previous, old):
            old = jnp.where(state["count"] == 0, learning_rate, old).astype(old.dtype)
            agree = jnp.sign(gradient * previous)
            factor = jnp.where(agree > 0, etas[1], jnp.where(agree < 0, etas[0], 1.0))
            return jnp.clip(old * factor, step_sizes[0], step_sizes[1])

        sizes = jax.tree.map(size, updates, state["previous"], state["sizes"])
        kept = jax.tree.map(lambda g, old: jnp.where(g * old < 0, 0, g), updates, state["previous"])
        updates = jax.tree.map(lambda g, s: -jnp.sign(g) * s, kept, sizes)
        return updates, {"count": state["count"] + 1, "previous": kept, "sizes": sizes}

    return optax.GradientTransformation(init, update)


@ports("torch.optim.ASGD")
def asgd(
    params,
    lr=1e-2,
    lambd=1e-4,
    alpha=0.75,
    t0=1e6,
    weight_decay: float = 0,
    foreach=None,
    maximize=False,
    differentiable=False,
    capturable=False,
    scheduled=False,
    bare=False,
):
    """The steps that torch's ASGD takes. The average of the parameters, which it only stores, and t0 with
    it are left out; for an average see optax.ema."""
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _descend(
                _asgd(learning_rate, lambd, alpha), weight_decay, maximize
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    return _optimizer(params, _descend(_asgd(lr, lambd, alpha), weight_decay, maximize), bare)


def _asgd(learning_rate, lambd=1e-4, alpha=0.75):
    """Gradient descent whose rate falls as (1 + lambd * learning_rate * t) ** -alpha."""

    def init(params):
        return {"count": jnp.zeros([], jnp.int32), "eta": jnp.zeros([])}

    def update(updates, state, params):
        count = state["count"] + 1
        eta = jnp.where(count == 1, learning_rate, state["eta"])
        updates = jax.tree.map(
            lambda g, p: (-eta * (g + lambd * p)).astype(p.dtype), updates, params
        )
        # The rate of the step after this one.
        following = learning_rate / (1 + lambd * learning_rate * count) ** alpha
        return updates, {"count": count, "eta": jnp.asarray(following, jnp.float32)}

    return optax.GradientTransformation(init, update)


# Steps of matrices


@ports("torch.optim.Adafactor")
def adafactor(
    params,
    lr=1e-2,
    beta2_decay=-0.8,
    eps=(None, 1e-3),
    d=1.0,
    weight_decay: float = 0.0,
    *,
    foreach=None,
    maximize=False,
    scheduled=False,
    bare=False,
):
    """torch's variant: the rate bounds the relative step, and eps is not added to the squares."""
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: _descend(
                _adafactor(learning_rate, beta2_decay, eps, d, weight_decay), 0, maximize
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    descent = _adafactor(lr, beta2_decay, eps, d, weight_decay)
    return _optimizer(params, _descend(descent, 0, maximize), bare)


def _adafactor(learning_rate=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0):
    """Adafactor (Shazeer and Stern 2018), for vectors and matrices.

    Raises:
        ValueError: a parameter has more dimensions, of which torch and flax have not the same last two.
    """

    def means(gradient):
        square = gradient**2
        if gradient.ndim < 2:
            return {"all": square}
        return {"row": square.mean(-1, keepdims=True), "column": square.mean(-2, keepdims=True)}

    def init(params):
        for path, param in jax.tree.leaves_with_path(params):
            if param.ndim > 2:
                name = jax.tree_util.keystr(path)
                raise ValueError(f"adafactor takes vectors and matrices; {name} is {param.shape}")
        return {
            "count": jnp.zeros([], jnp.int32),
            "means": [means(jnp.zeros_like(p)) for p in jax.tree.leaves(params)],
        }

    def update(updates, state, params):
        count = state["count"] + 1
        newest = count**beta2_decay
        rate = jnp.minimum(learning_rate, 1 / jnp.sqrt(count))
        leaves, structure = jax.tree.flatten(updates)
        kept, steps = [], []
        for gradient, old, param in zip(
            leaves, state["means"], jax.tree.leaves(params), strict=True
        ):
            tiny = jnp.finfo(param.dtype).eps if eps[0] is None else eps[0]
            mean = jax.tree.map(lambda m, g: m + newest * (g - m), old, means(gradient))
            kept.append(mean)
            if gradient.ndim < 2:
                variance = mean["all"]
            else:
                rows = mean["row"]
                variance = rows * mean["column"] / jnp.maximum(rows.mean(-2, keepdims=True), tiny)
            step = gradient * jax.lax.rsqrt(jnp.maximum(variance, tiny * tiny))
            size = jnp.maximum(eps[1], jnp.sqrt(jnp.mean(param**2))) * rate
            clipped = jnp.maximum(1.0, jnp.sqrt(jnp.mean(step**2)) / d)
            decay = learning_rate * weight_decay * param
            steps.append((-size / clipped * step - decay).astype(param.dtype))
        return jax.tree.unflatten(structure, steps), {"count": count, "means": kept}

    return optax.GradientTransformation(init, update)


@ports("torch.optim.Muon")
def muon(
    params,
    lr=1e-3,
    weight_decay: float = 0.1,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315),
    eps=1e-7,
    ns_steps=5,
    adjust_lr_fn=None,
    *,
    scheduled=False,
    bare=False,
):
    """torch's Muon, for matrices: its iteration runs in bfloat16, unlike that of optax.contrib.muon."""
    if scheduled:
        descent = optax.inject_hyperparams(
            lambda learning_rate: optax.chain(
                _scale_by_muon(momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn),
                optax.add_decayed_weights(weight_decay),
                optax.scale_by_learning_rate(learning_rate),
            )
        )(learning_rate=lr)
        return _optimizer(params, descent, bare)
    descent = optax.chain(
        _scale_by_muon(momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(lr),
    )
    return _optimizer(params, descent, bare)


def _scale_by_muon(
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315),
    eps=1e-7,
    ns_steps=5,
    adjust_lr_fn=None,
):
    """Momentum made orthogonal by Newton-Schulz iterations in bfloat16 (Jordan et al. 2024).

    Raises:
        ValueError: a parameter is not a matrix.
    """
    a, b, c = ns_coefficients

    def orthogonal(path, matrix):
        wide = matrix.shape[0] <= matrix.shape[1]
        x = (matrix if wide else matrix.T).astype(jnp.bfloat16)
        x = x / jnp.maximum(jnp.linalg.norm(x), eps)
        for _ in range(ns_steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        # A kernel of flax is (in, out), a weight of torch (out, in).
        kernel = jax.tree_util.keystr(path, simple=True, separator=".").endswith("kernel")
        rows, columns = matrix.shape[::-1] if kernel else matrix.shape
        ratio = max(1, rows / columns) ** 0.5
        if adjust_lr_fn == "match_rms_adamw":
            ratio = 0.2 * max(rows, columns) ** 0.5
        return ratio * (x if wide else x.T).astype(matrix.dtype)

    def init(params):
        for path, param in jax.tree.leaves_with_path(params):
            if param.ndim != 2:
                name = jax.tree_util.keystr(path)
                raise ValueError(f"muon takes matrices; {name} is {param.shape}")
        return jax.tree.map(jnp.zeros_like, params)

    def update(updates, state, params=None):
        trace = jax.tree.map(lambda g, t: t + (1 - momentum) * (g - t), updates, state)
        if nesterov:
            updates = jax.tree.map(lambda g, t: g + momentum * (t - g), updates, trace)
        else:
            updates = trace
        return jax.tree.map_with_path(orthogonal, updates), trace

    return optax.GradientTransformation(init, update)
