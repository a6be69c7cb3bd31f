"""Optimizers: those of mlx.optimizers where they compute what torch does, else ones of ours.

An optimizer of MLX is made without parameters, so `params` says nothing here. Its learning rate can be
changed, `optimizer.learning_rate = rate`. Arguments that choose an implementation and change no value
(`foreach`, `fused`, `capturable`, `differentiable`) are dropped.
"""

import math

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_unflatten

from torchport_translators.catalogue.ports import ports


class ByPath(optim.MultiOptimizer):
    """Each optimizer for the parameters that its test takes; the others stay as they are.

    Unlike those of optim.MultiOptimizer its groups may divide a list of layers.

    Args:
        groups: pairs of an optimizer and a test of a parameter's path, such as
            "encoder.layers.0.weight", and of its gradient.
    """

    def __init__(self, *groups):
        optimizers, tests = zip(*groups, strict=True)
        super().__init__(list(optimizers), list(tests[:-1]))
        self.filters = tests

    def _split_dictionary(self, gradients):
        parts = [{} for _ in self.optimizers]
        for path, gradient in tree_flatten(gradients):
            for part, test in zip(parts, self.filters, strict=True):
                if test(path, gradient):
                    part[path] = gradient
                    break
        return parts

    def apply_gradients(self, gradients, parameters):
        every = dict(tree_flatten(parameters))
        changed = {path: every[path] for path, _ in tree_flatten(gradients)}
        for optimizer, part in zip(self.optimizers, self._split_dictionary(gradients), strict=True):
            changed |= optimizer.apply_gradients(part, {path: changed[path] for path in part})
        return tree_unflatten(list(changed.items()))


class _TorchOptimizer(optim.Optimizer):
    """An optimizer that may go up instead of down, and adds its weight decay to the gradient."""

    def __init__(self, learning_rate, weight_decay=0.0, maximize=False):
        super().__init__()
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.maximize = maximize

    def apply_single(self, gradient, parameter, state):
        if self.maximize:
            gradient = -gradient
        if self.weight_decay != 0:
            gradient = gradient + self.weight_decay * parameter
        rate = self.learning_rate.astype(gradient.dtype)
        return self.descend(gradient, parameter, state, rate)

    def descend(self, gradient, parameter, state, rate):
        """The parameter after a step down the gradient."""
        raise NotImplementedError


# Stochastic gradient descent


@ports("torch.optim.SGD")
def sgd(
    params,
    lr=1e-3,
    momentum=0.0,
    dampening: float = 0,
    weight_decay=0.0,
    nesterov=False,
    *,
    maximize=False,
    foreach=None,
    differentiable=False,
    fused=None,
):
    if dampening or maximize:
        return _SGD(
            learning_rate=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )
    return optim.SGD(
        learning_rate=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
    )


class _SGD(_TorchOptimizer):
    """Gradient descent whose dampening spares the first gradient, which starts the momentum."""

    def __init__(
        self,
        learning_rate,
        momentum=0.0,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=False,
        maximize=False,
    ):
        super().__init__(learning_rate, weight_decay, maximize)
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    def init_single(self, parameter, state):
        state["v"] = mx.zeros_like(parameter)

    def descend(self, gradient, parameter, state, rate):
        if self.momentum != 0:
            scale = mx.where(self.step == 1, 1.0, 1.0 - self.dampening).astype(gradient.dtype)
            state["v"] = self.momentum * state["v"] + scale * gradient
            gradient = gradient + self.momentum * state["v"] if self.nesterov else state["v"]
        return parameter - rate * gradient


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
):
    """Weight decay is added to the gradient, unlike AdamW's; torch corrects the bias."""
    if amsgrad or maximize:
        return _Adam(
            learning_rate=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
        )
    if weight_decay:
        if decoupled_weight_decay:
            return optim.AdamW(
                learning_rate=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                bias_correction=True,
            )
        return _Adam(learning_rate=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    return optim.Adam(learning_rate=lr, betas=betas, eps=eps, bias_correction=True)


@ports("torch.optim.AdamW")
def adamw(
    params,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=1e-2,
    amsgrad=False,
    *,
    maximize=False,
    foreach=None,
    capturable=False,
    differentiable=False,
    fused=None,
):
    if amsgrad or maximize:
        return _Adam(
            learning_rate=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=True,
            amsgrad=amsgrad,
            maximize=maximize,
        )
    return optim.AdamW(
        learning_rate=lr, betas=betas, eps=eps, weight_decay=weight_decay, bias_correction=True
    )


class _Moments(_TorchOptimizer):
    """What Adam and its kin have in common: betas, eps, and weight decay that may be decoupled."""

    def __init__(
        self,
        learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        decoupled_weight_decay=False,
        maximize=False,
    ):
        super().__init__(learning_rate, 0.0 if decoupled_weight_decay else weight_decay, maximize)
        self.betas, self.eps = betas, eps
        self.decoupled = weight_decay if decoupled_weight_decay else 0.0

    def init_single(self, parameter, state):
        state["m"] = mx.zeros_like(parameter)
        state["v"] = mx.zeros_like(parameter)

    def descend(self, gradient, parameter, state, rate):
        if self.decoupled != 0:
            parameter = parameter * (1 - rate * self.decoupled)
        b1, b2 = self.betas
        state["m"] = b1 * state["m"] + (1 - b1) * gradient
        state["v"] = b2 * state["v"] + (1 - b2) * mx.square(gradient)
        return parameter - (rate * self.direction(gradient, state)).astype(parameter.dtype)

    def corrections(self):
        """The weights that the two means have so far; float32 would hold 1 - 0.999 to 5 digits."""
        b1, b2 = self.betas
        return 1 - b1**self.step, -mx.expm1(self.step * math.log(b2))

    def direction(self, gradient, state):
        """The step against the gradient for a learning rate of 1."""
        raise NotImplementedError


class _Adam(_Moments):
    """Adam as torch has it: with L2 or decoupled weight decay, and with the largest second moment."""

    def __init__(
        self,
        learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        decoupled_weight_decay=False,
        amsgrad=False,
        maximize=False,
    ):
        super().__init__(learning_rate, betas, eps, weight_decay, decoupled_weight_decay, maximize)
        self.amsgrad = amsgrad

    def init_single(self, parameter, state):
        super().init_single(parameter, state)
        if self.amsgrad:
            state["v_max"] = mx.zeros_like(parameter)

    def direction(self, gradient, state):
        c1, c2 = self.corrections()
        v = state["v"]
        if self.amsgrad:
            v = state["v_max"] = mx.maximum(state["v_max"], v)
        return state["m"] / c1 / (mx.sqrt(v / c2) + self.eps)


@ports("torch.optim.Adamax")
def adamax(
    params,
    lr=2e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    foreach=None,
    *,
    maximize=False,
    differentiable=False,
    capturable=False,
):
    """mlx.optimizers.Adamax corrects no bias."""
    return _Adamax(
        learning_rate=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize
    )


class _Adamax(_Moments):
    """Adam by the largest gradients (Kingma and Ba 2015), with the bias of the mean corrected."""

    def descend(self, gradient, parameter, state, rate):
        b1, b2 = self.betas
        state["m"] = b1 * state["m"] + (1 - b1) * gradient
        state["v"] = mx.maximum(b2 * state["v"], mx.abs(gradient) + self.eps)
        return parameter - (rate / self.corrections()[0] * state["m"] / state["v"]).astype(
            parameter.dtype
        )


@ports("torch.optim.NAdam")
def nadam(
    params,
    lr=2e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    momentum_decay=4e-3,
    decoupled_weight_decay=False,
    *,
    foreach=None,
    maximize=False,
    capturable=False,
    differentiable=False,
):
    return _NAdam(
        learning_rate=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        momentum_decay=momentum_decay,
        decoupled_weight_decay=decoupled_weight_decay,
        maximize=maximize,
    )


class _NAdam(_Moments):
    """Nesterov's Adam (Dozat 2016) with the momentum b1 * (1 - 0.96 ** (t * momentum_decay) / 2)."""

    def __init__(
        self,
        learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        maximize=False,
    ):
        super().__init__(learning_rate, betas, eps, weight_decay, decoupled_weight_decay, maximize)
        self.momentum_decay = momentum_decay

    def init_single(self, parameter, state):
        super().init_single(parameter, state)
        state["product"] = mx.array(1.0)

    def direction(self, gradient, state):
        step = self.step.astype(mx.float32)
        now = self.betas[0] * (1 - 0.5 * 0.96 ** (step * self.momentum_decay))
        following = self.betas[0] * (1 - 0.5 * 0.96 ** ((step + 1) * self.momentum_decay))
        state["product"] = state["product"] * now
        of_gradient = (1 - now) / (1 - state["product"])
        of_mean = following / (1 - state["product"] * following)
        scale = mx.sqrt(state["v"] / self.corrections()[1]) + self.eps
        return (of_gradient * gradient + of_mean * state["m"]) / scale


@ports("torch.optim.RAdam")
def radam(
    params,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    decoupled_weight_decay=False,
    *,
    foreach=None,
    maximize=False,
    capturable=False,
    differentiable=False,
):
    return _RAdam(
        learning_rate=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled_weight_decay,
        maximize=maximize,
    )


class _RAdam(_Moments):
    """Rectified Adam (Liu et al. 2020): the mean alone while the variance is not known."""

    def direction(self, gradient, state):
        c1, c2 = self.corrections()
        longest = 2 / (1 - self.betas[1]) - 1
        length = longest - 2 * self.step * (1 - c2) / c2
        known = length > 5
        length = mx.where(known, length, longest)
        rectified = mx.sqrt(
            (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length) * c2
        )
        scale = mx.where(known, rectified / (mx.sqrt(state["v"]) + self.eps), 1.0)
        return state["m"] / c1 * scale


# Scaled by the sizes of past gradients


@ports("torch.optim.Adagrad")
def adagrad(
    params,
    lr=1e-2,
    lr_decay: float = 0,
    weight_decay: float = 0,
    initial_accumulator_value: float = 0,
    eps=1e-10,
    foreach=None,
    *,
    maximize=False,
    differentiable=False,
    fused=None,
):
    if lr_decay or weight_decay or initial_accumulator_value or maximize:
        return _Adagrad(
            learning_rate=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )
    return optim.Adagrad(learning_rate=lr, eps=eps)


class _Adagrad(_TorchOptimizer):
    """Adagrad with a first sum of squares, and a learning rate that falls as 1 / (1 + lr_decay * t)."""

    def __init__(
        self,
        learning_rate,
        lr_decay=0.0,
        weight_decay=0.0,
        initial_accumulator_value=0.0,
        eps=1e-10,
        maximize=False,
    ):
        super().__init__(learning_rate, weight_decay, maximize)
        self.lr_decay, self.eps = lr_decay, eps
        self.initial_accumulator_value = initial_accumulator_value

    def init_single(self, parameter, state):
        state["v"] = mx.full(parameter.shape, self.initial_accumulator_value, parameter.dtype)

    def descend(self, gradient, parameter, state, rate):
        state["v"] = state["v"] + mx.square(gradient)
        slower = (1 + (self.step - 1) * self.lr_decay).astype(gradient.dtype)
        return parameter - rate / slower * gradient / (mx.sqrt(state["v"]) + self.eps)


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
):
    if weight_decay or maximize:
        return _AdaDelta(
            learning_rate=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize
        )
    return optim.AdaDelta(learning_rate=lr, rho=rho, eps=eps)


class _AdaDelta(optim.AdaDelta):
    """AdaDelta with weight decay, added to the gradient, that may go up instead of down."""

    def __init__(self, learning_rate, rho=0.9, eps=1e-6, weight_decay=0.0, maximize=False):
        super().__init__(learning_rate, rho, eps)
        self.weight_decay, self.maximize = weight_decay, maximize

    def apply_single(self, gradient, parameter, state):
        gradient = -gradient if self.maximize else gradient
        gradient = gradient + self.weight_decay * parameter
        return super().apply_single(gradient, parameter, state)


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
):
    if weight_decay or momentum or centered or maximize:
        return _RMSprop(
            learning_rate=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )
    return optim.RMSprop(learning_rate=lr, alpha=alpha, eps=eps)


class _RMSprop(_TorchOptimizer):
    """RMSprop by the variance of gradients (centered) or their squares, and with momentum."""

    def __init__(
        self,
        learning_rate,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0.0,
        momentum=0.0,
        centered=False,
        maximize=False,
    ):
        super().__init__(learning_rate, weight_decay, maximize)
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered

    def init_single(self, parameter, state):
        for name in ("v", "mean", "trace"):
            state[name] = mx.zeros_like(parameter)

    def descend(self, gradient, parameter, state, rate):
        state["v"] = self.alpha * state["v"] + (1 - self.alpha) * mx.square(gradient)
        variance = state["v"]
        if self.centered:
            state["mean"] = self.alpha * state["mean"] + (1 - self.alpha) * gradient
            variance = variance - mx.square(state["mean"])
        update = gradient / (mx.sqrt(variance) + self.eps)
        if self.momentum > 0:
            update = state["trace"] = self.momentum * state["trace"] + update
        return parameter - rate * update


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
):
    return _Rprop(learning_rate=lr, etas=etas, step_sizes=step_sizes, maximize=maximize)


class _Rprop(_TorchOptimizer):
    """Resilient backpropagation (Riedmiller and Braun 1993): each weight has a size of its steps.

    The learning rate is the first size of all.
    """

    def __init__(self, learning_rate, etas=(0.5, 1.2), step_sizes=(1e-6, 50), maximize=False):
        super().__init__(learning_rate, maximize=maximize)
        self.etas, self.step_sizes = etas, step_sizes

    def init_single(self, parameter, state):
        state["previous"] = mx.zeros_like(parameter)
        state["size"] = mx.zeros_like(parameter)

    def descend(self, gradient, parameter, state, rate):
        size = mx.where(self.step == 1, rate, state["size"])
        agree = gradient * state["previous"]
        factor = mx.where(agree > 0, self.etas[1], mx.where(agree < 0, self.etas[0], 1.0))
        state["size"] = mx.clip(size * factor.astype(size.dtype), *self.step_sizes)
        state["previous"] = mx.where(agree < 0, 0, gradient)
        return parameter - mx.sign(state["previous"]) * state["size"]


@ports("torch.optim.ASGD")
def asgd(
    params,
    lr=1e-2,
    lambd=1e-4,
    alpha=0.75,
    t0=1e6,
    weight_decay=0.0,
    foreach=None,
    maximize=False,
    differentiable=False,
    capturable=False,
):
    """The steps that torch's ASGD takes. The average of the parameters, which it only stores, and t0 with
    it are left out."""
    return _ASGD(
        learning_rate=lr, lambd=lambd, alpha=alpha, weight_decay=weight_decay, maximize=maximize
    )


class _ASGD(_TorchOptimizer):
    """Gradient descent whose rate falls as (1 + lambd * learning_rate * t) ** -alpha."""

    def __init__(self, learning_rate, lambd=1e-4, alpha=0.75, weight_decay=0.0, maximize=False):
        super().__init__(learning_rate, weight_decay, maximize)
        self.lambd, self.alpha = lambd, alpha

    def init_single(self, parameter, state):
        state["eta"] = mx.array(0.0)

    def descend(self, gradient, parameter, state, rate):
        eta = mx.where(self.step == 1, self.learning_rate, state["eta"]).astype(parameter.dtype)
        fallen = (1 + self.lambd * self.learning_rate * self.step) ** self.alpha
        # The rate of the step after this one.
        state["eta"] = self.learning_rate / fallen
        return parameter * (1 - self.lambd * eta) - eta * gradient


# Steps of matrices


@ports("torch.optim.Adafactor")
def adafactor(
    params,
    lr=1e-2,
    beta2_decay=-0.8,
    eps=(None, 1e-3),
    d=1.0,
    weight_decay=0.0,
    *,
    foreach=None,
    maximize=False,
):
    """torch's variant: the rate bounds the relative step, and eps is not added to the squares."""
    return _Adafactor(
        learning_rate=lr,
        beta2_decay=beta2_decay,
        eps=eps,
        d=d,
        weight_decay=weight_decay,
        maximize=maximize,
    )


class _Adafactor(_TorchOptimizer):
    """Adafactor (Shazeer and Stern 2018) as torch has it, for vectors and matrices.

    Raises:
        ValueError: a parameter has more dimensions, of which torch and MLX have not the same last two.
    """

    def __init__(
        self,
        learning_rate=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        maximize=False,
    ):
        super().__init__(learning_rate, maximize=maximize)
        self.beta2_decay, self.eps, self.d = beta2_decay, eps, d
        self.decoupled = weight_decay

    def init_single(self, parameter, state):
        if parameter.ndim > 2:
            raise ValueError(f"Adafactor takes vectors and matrices, and not {parameter.shape}")
        zeros = mx.zeros_like(parameter)
        if parameter.ndim < 2:
            state["all"] = zeros
        else:
            state["row"] = zeros.mean(-1, keepdims=True)
            state["column"] = zeros.mean(-2, keepdims=True)

    def descend(self, gradient, parameter, state, rate):
        step = self.step.astype(mx.float32)
        newest = step**self.beta2_decay
        tiny = mx.finfo(parameter.dtype).eps if self.eps[0] is None else self.eps[0]
        square = mx.square(gradient)
        if gradient.ndim < 2:
            variance = state["all"] = state["all"] + newest * (square - state["all"])
        else:
            rows, columns = state["row"], state["column"]
            rows = state["row"] = rows + newest * (square.mean(-1, keepdims=True) - rows)
            columns = state["column"] = columns + newest * (
                square.mean(-2, keepdims=True) - columns
            )
            variance = rows * columns / mx.maximum(rows.mean(-2, keepdims=True), tiny)
        update = gradient * mx.rsqrt(mx.maximum(variance, tiny * tiny))
        size = mx.maximum(self.eps[1], mx.sqrt(mx.mean(mx.square(parameter))))
        size = size * mx.minimum(rate, 1 / mx.sqrt(step))
        clipped = mx.maximum(1.0, mx.sqrt(mx.mean(mx.square(update))) / self.d)
        parameter = parameter * (1 - rate * self.decoupled)
        return parameter - (size / clipped * update).astype(parameter.dtype)


@ports("torch.optim.Muon")
def muon(
    params,
    lr=1e-3,
    weight_decay=0.1,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315),
    eps=1e-7,
    ns_steps=5,
    adjust_lr_fn=None,
):
    """mlx.optimizers.Muon adds its weight decay to the gradient, and iterates in float32."""
    return _Muon(
        learning_rate=lr,
        weight_decay=weight_decay,
        momentum=momentum,
        nesterov=nesterov,
        ns_coefficients=ns_coefficients,
        eps=eps,
        ns_steps=ns_steps,
        adjust_lr_fn=adjust_lr_fn,
    )


class _Muon(_TorchOptimizer):
    """Momentum made orthogonal by Newton-Schulz iterations in bfloat16 (Jordan et al. 2024).

    Raises:
        ValueError: a parameter is not a matrix.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=(3.4445, -4.7750, 2.0315),
        eps=1e-7,
        ns_steps=5,
        adjust_lr_fn=None,
    ):
        super().__init__(learning_rate)
        self.decoupled, self.momentum, self.nesterov = weight_decay, momentum, nesterov
        self.ns_coefficients, self.eps, self.ns_steps = ns_coefficients, eps, ns_steps
        self.adjust_lr_fn = adjust_lr_fn

    def init_single(self, parameter, state):
        if parameter.ndim != 2:
            raise ValueError(f"Muon takes matrices, and not {parameter.shape}")
        state["v"] = mx.zeros_like(parameter)

    def descend(self, gradient, parameter, state, rate):
        state["v"] = state["v"] + (1 - self.momentum) * (gradient - state["v"])
        update = state["v"]
        if self.nesterov:
            update = gradient + self.momentum * (update - gradient)
        rows, columns = parameter.shape
        ratio = max(1, rows / columns) ** 0.5
        if self.adjust_lr_fn == "match_rms_adamw":
            ratio = 0.2 * max(rows, columns) ** 0.5
        update = self.orthogonal(update).astype(parameter.dtype)
        return parameter * (1 - rate * self.decoupled) - rate * ratio * update

    def orthogonal(self, matrix):
        a, b, c = self.ns_coefficients
        wide = matrix.shape[0] <= matrix.shape[1]
        x = (matrix if wide else matrix.T).astype(mx.bfloat16)
        x = x / mx.maximum(mx.linalg.norm(x), self.eps).astype(mx.bfloat16)
        for _ in range(self.ns_steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x if wide else x.T
