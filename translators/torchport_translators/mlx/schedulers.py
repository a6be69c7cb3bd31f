"""Learning-rate schedulers: torch's own, of an optimizer of MLX.

The rewrite of a training step writes `param_groups(optimizer)` for what a program does with
`optimizer.param_groups`.
"""

import bisect
import collections
import math
import weakref

import mlx.optimizers as optim
import numpy as np

from torchport_translators.catalogue.ports import ports

_GROUPS = weakref.WeakKeyDictionary()


def param_groups(optimizer: optim.Optimizer):
    """The settings of an optimizer that can be changed: a dict for each group of parameters."""
    if optimizer not in _GROUPS:
        every = getattr(optimizer, "optimizers", [optimizer])
        _GROUPS[optimizer] = [_ParamGroup(o) for o in every if "learning_rate" in o.state]
    return _GROUPS[optimizer]


class _ParamGroup(dict):
    """The settings of a group, "lr" and where there is one "momentum" (of Adam the first beta).

    They are Python's floats. The optimizer gets what is set here, and a rate that it is given otherwise is
    found here: as the shortest number that its float32 stands for.
    """

    def __init__(self, optimizer):
        super().__init__(lr=float(str(np.float32(optimizer.learning_rate.item()))))
        self.optimizer = optimizer
        if hasattr(optimizer, "momentum"):
            super().__setitem__("momentum", optimizer.momentum)
        elif hasattr(optimizer, "betas"):
            super().__setitem__("momentum", optimizer.betas[0])

    def __getitem__(self, key):
        value = super().__getitem__(key)
        if key == "lr":
            held = np.float32(self.optimizer.learning_rate.item())
            if np.float32(value) != held:
                value = float(str(held))
                super().__setitem__(key, value)
        return value

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        if key == "lr":
            self.optimizer.learning_rate = float(value)
        elif key == "momentum" and hasattr(self.optimizer, "momentum"):
            self.optimizer.momentum = value
        elif key == "momentum" and hasattr(self.optimizer, "betas"):
            self.optimizer.betas = (value, *self.optimizer.betas[1:])


def _of_each(name, value, groups):
    """A setting for each group: those of a list, or one for all."""
    if not isinstance(value, list | tuple):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise ValueError(f"{name} has {len(value)} values for {len(groups)} groups of parameters")
    return list(value)


@ports("torch.optim.lr_scheduler.LRScheduler", "torch.optim.lr_scheduler._LRScheduler")
class LRScheduler:
    """Sets the learning rate of each group of an optimizer's parameters to what `get_lr` gives."""

    def __init__(self, optimizer, last_epoch=-1):
        self.optimizer = optimizer
        groups = param_groups(optimizer)
        if last_epoch == -1:
            for group in groups:
                group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self):
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def step(self, epoch=None):
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch=None):
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = getattr(self, "_get_closed_form_lr", None)
        self._set_lr(closed_form() if epoch is not None and closed_form else self.get_lr())

    def _set_lr(self, rates):
        for group, rate in zip(param_groups(self.optimizer), rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def _rates(self):
        return [group["lr"] for group in param_groups(self.optimizer)]

    def get_last_lr(self):
        return self._last_lr

    def get_lr(self):
        raise NotImplementedError

    def state_dict(self):
        """What a checkpoint keeps; functions are not kept."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("optimizer", "lr_lambdas", "scale_fn")
        }

    def load_state_dict(self, state_dict):
        vars(self).update(state_dict)


@ports("torch.optim.lr_scheduler.LambdaLR")
class LambdaLR(LRScheduler):
    """The first learning rate times a function of the epoch."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        self.lr_lambdas = _of_each("lr_lambda", lr_lambda, param_groups(optimizer))
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [
            base * function(self.last_epoch)
            for function, base in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


@ports("torch.optim.lr_scheduler.MultiplicativeLR")
class MultiplicativeLR(LRScheduler):
    """The learning rate times a function of the epoch, again each epoch."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        self.lr_lambdas = _of_each("lr_lambda", lr_lambda, param_groups(optimizer))
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self._is_initial:
            return self._rates()
        return [
            rate * function(self.last_epoch)
            for function, rate in zip(self.lr_lambdas, self._rates(), strict=True)
        ]


@ports("torch.optim.lr_scheduler.StepLR")
class StepLR(LRScheduler):
    """The learning rate times gamma every step_size epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self):
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


@ports("torch.optim.lr_scheduler.MultiStepLR")
class MultiStepLR(LRScheduler):
    """The learning rate times gamma at each milestone."""

    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        self.milestones, self.gamma = collections.Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch not in self.milestones:
            return self._rates()
        factor = self.gamma ** self.milestones[self.last_epoch]
        return [rate * factor for rate in self._rates()]

    def _get_closed_form_lr(self):
        passed = bisect.bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


@ports("torch.optim.lr_scheduler.ConstantLR")
class ConstantLR(LRScheduler):
    """The learning rate times factor until epoch total_iters."""

    def __init__(self, optimizer, factor=1.0 / 3, total_iters=5, last_epoch=-1):
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        if self.last_epoch != self.total_iters:
            return self._rates()
        return [rate * (1.0 / self.factor) for rate in self._rates()]

    def _get_closed_form_lr(self):
        over = self.last_epoch >= self.total_iters
        return [base * (self.factor + over * (1 - self.factor)) for base in self.base_lrs]


@ports("torch.optim.lr_scheduler.LinearLR")
class LinearLR(LRScheduler):
    """The learning rate times a factor that goes from one to another over total_iters epochs."""

    def __init__(
        self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5, last_epoch=-1
    ):
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._rates()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        change = self.end_factor - self.start_factor
        done = self.total_iters * self.start_factor + (self.last_epoch - 1) * change
        return [rate * (1.0 + change / done) for rate in self._rates()]

    def _get_closed_form_lr(self):
        change = self.end_factor - self.start_factor
        done = min(self.total_iters, self.last_epoch)
        return [
            base * (self.start_factor + change * done / self.total_iters) for base in self.base_lrs
        ]


@ports("torch.optim.lr_scheduler.ExponentialLR")
class ExponentialLR(LRScheduler):
    """The learning rate times gamma every epoch."""

    def __init__(self, optimizer, gamma, last_epoch=-1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self._is_initial:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self):
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


@ports("torch.optim.lr_scheduler.PolynomialLR")
class PolynomialLR(LRScheduler):
    """The learning rate down to 0 over total_iters epochs, as a power of what is left."""

    def __init__(self, optimizer, total_iters=5, power=1.0, last_epoch=-1):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        left = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return [rate * (left / before) ** self.power for rate in self._rates()]

    def _get_closed_form_lr(self):
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


@ports("torch.optim.lr_scheduler.CosineAnnealingLR")
class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first learning rate to eta_min in T_max epochs, and back."""

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and self.last_epoch > 0:
            phase = 1 + math.cos(self.last_epoch * math.pi / self.T_max)
            return [self.eta_min + (base - self.eta_min) * phase / 2 for base in self.base_lrs]
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            phase = 1 - math.cos(math.pi / self.T_max)
            return [
                rate + (base - self.eta_min) * phase / 2
                for base, rate in zip(self.base_lrs, self._rates(), strict=True)
            ]
        phase = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [phase / before * (rate - self.eta_min) + self.eta_min for rate in self._rates()]

    def _get_closed_form_lr(self):
        phase = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (base - self.eta_min) * phase / 2 for base in self.base_lrs]


@ports("torch.optim.lr_scheduler.CosineAnnealingWarmRestarts")
class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the first learning rate to eta_min, begun again after T_0, T_0 * T_mult, ..."""

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        self.T_0, self.T_i, self.T_mult = T_0, T_0, T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        phase = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * phase / 2 for base in self.base_lrs]

    def step(self, epoch=None):
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"the epoch must not be negative, and is {epoch}")
        elif epoch < self.T_0:
            self.T_cur, self.T_i = epoch, self.T_0
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
        self.last_epoch = math.floor(epoch)
        self._set_lr(self.get_lr())


@ports("torch.optim.lr_scheduler.CyclicLR")
class CyclicLR(LRScheduler):
    """The learning rate up from base_lr to max_lr and down again; the momentum down and up."""

    def __init__(
        self,
        optimizer,
        base_lr,
        max_lr,
        step_size_up=2000,
        step_size_down=None,
        mode="triangular",
        gamma=1.0,
        scale_fn=None,
        scale_mode="cycle",
        cycle_momentum=True,
        base_momentum=0.8,
        max_momentum=0.9,
        last_epoch=-1,
    ):
        groups = param_groups(optimizer)
        base_lrs = _of_each("base_lr", base_lr, groups)
        self.max_lrs = _of_each("max_lr", max_lr, groups)
        if last_epoch == -1:
            for group, rate in zip(groups, base_lrs, strict=True):
                group["lr"] = rate
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"mode is {mode!r} and scale_fn is None")
        self.mode, self.gamma = mode, gamma
        self.scale_fn = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if not all("momentum" in group for group in groups):
                raise ValueError("the optimizer has no momentum that could be cycled")
            self.base_momentums = _of_each("base_momentum", base_momentum, groups)
            self.max_momentums = _of_each("max_momentum", max_momentum, groups)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _scale(self, x):
        if self.scale_fn is not None:
            return self.scale_fn(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self):
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self._scale(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                param_groups(self.optimizer), self.base_momentums, self.max_momentums, strict=True
            ):
                group["momentum"] = high - (high - low) * height * scale
        return [
            low + (high - low) * height * scale
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]


@ports("torch.optim.lr_scheduler.OneCycleLR")
class OneCycleLR(LRScheduler):
    """The learning rate up to max_lr and down to nearly 0; the momentum down and up."""

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps=None,
        epochs=None,
        steps_per_epoch=None,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
        last_epoch=-1,
    ):
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR wants total_steps, or epochs and steps_per_epoch")
        self.total_steps = epochs * steps_per_epoch if total_steps is None else total_steps
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f'anneal_strategy is "cos" or "linear", and not {anneal_strategy!r}')
        self.anneal_strategy = anneal_strategy
        last, peak = self.total_steps - 1, pct_start * self.total_steps - 1
        # The last step of each phase, and where the learning rate and the momentum go.
        up = (peak, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if three_phase:
            down = 2 * pct_start * self.total_steps - 2
            self.phases = [
                up,
                (down, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self.phases = [up, (last, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        groups = param_groups(optimizer)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum and not all("momentum" in group for group in groups):
            raise ValueError("the optimizer has no momentum that could be cycled")
        if last_epoch == -1:
            for group, rate, low, high in zip(
                groups,
                _of_each("max_lr", max_lr, groups),
                _of_each("base_momentum", base_momentum, groups),
                _of_each("max_momentum", max_momentum, groups),
                strict=True,
            ):
                group["initial_lr"] = rate / div_factor
                group["max_lr"] = rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
                group["base_momentum"], group["max_momentum"] = low, high
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start, end, done):
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * done) + 1)
        return (end - start) * done + start

    def get_lr(self):
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"step {step} of a schedule of {self.total_steps} steps")
        ends = [phase[0] for phase in self.phases[:-1]]
        now = sum(step > end for end in ends)
        begin = ends[now - 1] if now else 0.0
        end, *names = self.phases[now]
        done = (step - begin) / (end - begin)
        rates = []
        for group in param_groups(self.optimizer):
            first, second, third, fourth = (group.get(name) for name in names)
            rates.append(self._anneal(first, second, done))
            if self.cycle_momentum:
                group["momentum"] = self._anneal(third, fourth, done)
        return rates


@ports("torch.optim.lr_scheduler.ReduceLROnPlateau")
class ReduceLROnPlateau(LRScheduler):
    """The learning rate times factor once a metric has been no better for patience epochs."""

    def __init__(
        self,
        optimizer,
        mode="min",
        factor=0.1,
        patience=10,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_lr=0,
        eps=1e-8,
    ):
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"mode {mode!r} and threshold_mode {threshold_mode!r} are not known")
        self.optimizer = optimizer
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.min_lrs = _of_each("min_lr", min_lr, param_groups(optimizer))
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def step(self, metrics, epoch=None):
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(param_groups(self.optimizer), self.min_lrs, strict=True):
                rate = max(group["lr"] * self.factor, least)
                if group["lr"] - rate > self.eps:
                    group["lr"] = rate
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _is_better(self, metric):
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            bar = self.best * (1 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return metric > bar if self.mode == "max" else metric < bar


@ports("torch.optim.lr_scheduler.SequentialLR")
class SequentialLR(LRScheduler):
    """One scheduler after another, each from its milestone on."""

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(f"{len(schedulers)} schedulers have {len(milestones)} milestones")
        self.optimizer = optimizer
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch = last_epoch + 1
        for group in param_groups(optimizer):
            group["lr"] = group["initial_lr"]
        # Each has made its first step when it was made: all but the first are to make theirs later.
        self._undo()
        first = schedulers[bisect.bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self):
        for scheduler in self._schedulers:
            if hasattr(scheduler, "_schedulers"):
                scheduler._undo()
            else:
                scheduler.last_epoch -= 1

    def step(self):
        self.last_epoch += 1
        index = bisect.bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self):
        return super().state_dict() | {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict):
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
        vars(self).update({k: v for k, v in state_dict.items() if k != "_schedulers"})


@ports("torch.optim.lr_scheduler.ChainedScheduler")
class ChainedScheduler(SequentialLR):
    """Several schedulers at once, one after the other in each step."""

    def __init__(self, schedulers, optimizer=None):
        self.optimizer = optimizer or schedulers[0].optimizer
        self._schedulers = schedulers
        self._last_lr = self._rates()

    def step(self):
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()


@ports("torch.optim.swa_utils.SWALR")
class SWALR(LRScheduler):
    """The learning rate to swa_lr in anneal_epochs epochs, for averaging weights."""

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f'anneal_strategy is "cos" or "linear", and not {anneal_strategy!r}')
        self.swa_lrs = _of_each("swa_lr", swa_lr, param_groups(optimizer))
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _annealed(self, step):
        done = max(0, min(1, step / max(1, self.anneal_epochs)))
        return done if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * done)) / 2

    def get_lr(self):
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._annealed(step - 1), self._annealed(step)
        rates = []
        for swa_lr, rate in zip(self.swa_lrs, self._rates(), strict=True):
            first = swa_lr if before == 1 else (rate - before * swa_lr) / (1 - before)
            rates.append(swa_lr * now + first * (1 - now))
        return rates
