"""Whether a lane is still as it was before it ran anybody's code.

What a file sets for itself (a default dtype, a seed, a warnings filter, a signal handler) is put
back. What cannot be put back, for traces of it may be cached anywhere (a function of the framework
that was replaced, a thread that goes on), is told, and the lane is started anew.

A framework is compared by identity: each function, class and module in each module that was loaded
at the start, and each method of the classes of its main modules. Some 35,000 comparisons, all in C:
milliseconds. What was not there at the start does not count, for frameworks add to themselves as
they are used. Not seen is code exchanged inside of a function (`f.__code__ = ...`).
"""

from __future__ import annotations

import faulthandler
import functools
import gc
import locale
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import sysconfig
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from .loading import PREFIX

# The classes that these hold are compared method by method.
_MAIN = (
    "numpy", "torch", "torch._tensor", "torch.amp", "torch.autograd",
    "torch.autograd.function", "torch.nn", "torch.optim", "torch.optim.lr_scheduler",
    "torch.overrides", "torch.utils.data", "jax", "jax.core", "jax.numpy", "jax._src.array",
    "jax._src.core", "jaxlib._jax", "flax.nnx", "flax.linen", "optax", "mlx.core", "mlx.nn",
    "mlx.optimizers",
)  # fmt: skip

# `torch.compile` replaces a few functions of torch when it is first used, by some defined here.
_COMPILER = ("torch/_dynamo/", "torch/_compile.py")

_FRAMEWORKS = ("torch", "jax", "jaxlib", "flax", "optax", "mlx")
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = (
    resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE, resource.RLIMIT_STACK,
)  # fmt: skip
_MAX_NEW_DESCRIPTORS = 64

_Setting = tuple[Callable[[], Any], Callable[[Any], object]]


class State:
    """How the process is when this is made; `restore` brings it back there."""

    def __init__(self) -> None:
        self._namespaces = list(_namespaces())
        self._modules = dict(sys.modules)
        self._settings = [(get, put, get()) for get, put in _settings()]
        self._fixed = [(what, get, get()) for what, get in _fixed()]
        self._finders = list(sys.meta_path)
        self._descriptors = _descriptors()
        self._directory = Path.cwd()
        if not self._directory.parent.name.startswith("torchport-lane-"):
            # It is emptied again and again: never a folder that somebody works in.
            raise RuntimeError(f"{self._directory} is not the working directory of a lane")
        self._tidy()

    def restore(self) -> list[str]:
        """Put back what can be; say what cannot, in words: an empty list if all is well."""
        spoiled: list[str] = []
        for get, put, kept in self._settings:
            try:
                if get() != kept:
                    put(kept)
            except Exception as error:
                spoiled.append(f"a setting cannot be put back: {error!r}")
        for what, get, kept in self._fixed:
            if get() != kept:
                spoiled.append(f"{what} has changed")
        if _descriptors() > self._descriptors + _MAX_NEW_DESCRIPTORS:
            spoiled.append("files were left open")
        spoiled += [f"a thread runs on in {place}" for place in _busy_threads()]
        spoiled += [f"{name} was replaced" for name in self._replaced()]
        self._tidy()
        return spoiled

    def _replaced(self) -> Iterator[str]:
        for namespace in self._namespaces:
            yield from namespace.replaced()
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                yield f"the module {name}"

    def _tidy(self) -> None:
        """What is the same for every file that is loaded, whatever ran before."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        random.seed(0)
        np.random.seed(0)
        if "mlx.core" in sys.modules:
            sys.modules["mlx.core"].random.seed(0)
        for name in sys.modules.keys() - self._modules.keys():
            made_up = getattr(sys.modules[name], "__spec__", None) is None
            if made_up and not name.startswith((PREFIX, *_FRAMEWORKS)):
                del sys.modules[name]
        sys.meta_path[:] = [
            finder
            for finder in sys.meta_path
            if finder in self._finders or not type(finder).__module__.startswith(PREFIX)
        ]
        self._directory.mkdir(parents=True, exist_ok=True)
        os.chdir(self._directory)
        for path in self._directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@dataclass
class _Namespace:
    """What a module or a class defined at the start, under `names`."""

    place: str
    held: Mapping[str, Any]
    names: tuple[str, ...]
    read: Callable[[Any], Any]
    values: Any
    size: int
    inherited: frozenset[str]
    """What a class did not define itself, so that it would be replaced by being defined."""

    @classmethod
    def of(
        cls, place: str, held: Mapping[str, Any], inherited: Iterable[str] = ()
    ) -> _Namespace | None:
        names = tuple(name for name, value in held.items() if _is_code(value))
        if not names:
            return None
        read = itemgetter(*names)
        return cls(place, held, names, read, read(held), len(held), frozenset(inherited))

    def replaced(self) -> Iterator[str]:
        """The names that stand for something else now."""
        if len(self.held) != self.size:
            for name in self.inherited & self.held.keys():
                yield f"{self.place}.{name}"
        try:
            # Tuples are compared by identity first, so that nothing is called where all is well.
            if self.read(self.held) == self.values:
                return
        except Exception:  # one was deleted, or is now something that cannot be compared
            pass
        values = self.values if len(self.names) > 1 else (self.values,)
        kept = list(values)
        for number, (name, value) in enumerate(zip(self.names, values, strict=True)):
            now = self.held.get(name)
            if now is value:
                continue
            if _is_compilers(now) or _is_hooked(now, value):
                kept[number] = now
            else:
                yield f"{self.place}.{name}"
        self.values = tuple(kept) if len(self.names) > 1 else kept[0]


def _is_code(value: Any) -> bool:
    # By its type: some lazy objects answer `isinstance` with a warning.
    kind = type(value)
    return callable(value) or issubclass(kind, types.ModuleType) or hasattr(kind, "__get__")


def _namespaces() -> Iterator[_Namespace]:
    classes: dict[int, type] = {}
    for name, module in list(sys.modules.items()):
        if not issubclass(type(module), types.ModuleType):
            continue
        if (namespace := _Namespace.of(name, vars(module))) is not None:
            yield namespace
        if name in _MAIN:
            classes |= {id(v): v for v in vars(module).values() if isinstance(type(v), type)
                        and issubclass(type(v), type)}  # fmt: skip
    for found in classes.values():
        if found.__module__.startswith((*_FRAMEWORKS, "numpy")):
            place = f"{found.__module__}.{found.__qualname__}"
            inherited = set(dir(found)) - vars(found).keys()
            if (namespace := _Namespace.of(place, vars(found), inherited)) is not None:
                yield namespace


@functools.cache
def _libraries() -> tuple[str, ...]:
    """The folders of the standard library, of this package and of the frameworks."""
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {str(Path(np.__file__).parent.parent), str(Path(__file__).parent)}
    for name in _FRAMEWORKS:
        if file := getattr(sys.modules.get(name), "__file__", None):
            folders.add(str(Path(file).parent.parent))
    return ("<frozen ", *(f"{folder}{os.sep}" for folder in folders))


def _is_compilers(value: Any) -> bool:
    code = getattr(value, "__code__", None)
    if code is None or not code.co_filename.startswith(_libraries()):
        return False
    return any(part in code.co_filename for part in _COMPILER)


def _is_hooked(now: Any, value: Any) -> bool:
    """Whether torch itself has put its hooks around an optimizer's `step`, which it does once."""
    return getattr(now, "hooked", False) is True and getattr(now, "__wrapped__", None) is value


def _busy_threads() -> Iterator[str]:
    """Where in the user's code threads other than this one are."""
    own = sys._getframe()
    for frame in sys._current_frames().values():
        while frame is not None and frame is not own:
            if not frame.f_code.co_filename.startswith(_libraries()):
                yield f"{frame.f_code.co_filename}:{frame.f_lineno}"
                break
            frame = frame.f_back


def _descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


# Settings: how each is read, and how it is put back.


def _settings() -> Iterator[_Setting]:
    yield from _python()
    if torch := sys.modules.get("torch"):
        yield from _torch(torch)
    if jax := sys.modules.get("jax"):
        yield lambda: dict(jax.config.values), functools.partial(_configure, jax.config)
    if flax := sys.modules.get("flax"):
        yield lambda: dict(flax.config._values), functools.partial(_configure, flax.config)
    if mlx := sys.modules.get("mlx.core"):
        yield mlx.default_device, mlx.set_default_device


def _configure(config: Any, kept: dict[str, Any]) -> None:
    values = config.values if hasattr(config, "values") else config._values
    for name in [name for name, value in kept.items() if values[name] != value]:
        config.update(name, kept[name])


def _python() -> Iterator[_Setting]:
    yield lambda: dict(os.environ), _put_environment
    yield lambda: list(sys.path), functools.partial(_put_list, sys.path)
    yield lambda: list(sys.argv), functools.partial(_put_list, sys.argv)
    yield lambda: list(warnings.filters), _put_filters
    yield sys.getrecursionlimit, sys.setrecursionlimit
    yield sys.getswitchinterval, sys.setswitchinterval
    yield sys.gettrace, sys.settrace
    yield sys.getprofile, sys.setprofile
    yield gc.isenabled, lambda on: gc.enable() if on else gc.disable()
    yield gc.get_threshold, lambda kept: gc.set_threshold(*kept)
    yield lambda: list(gc.callbacks), functools.partial(_put_list, gc.callbacks)
    yield (
        functools.partial(locale.setlocale, locale.LC_ALL),
        functools.partial(locale.setlocale, locale.LC_ALL),
    )
    yield (
        functools.partial(multiprocessing.get_start_method, allow_none=True),
        functools.partial(multiprocessing.set_start_method, force=True),
    )
    for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook"):
        yield functools.partial(getattr, sys, name), functools.partial(setattr, sys, name)
    yield lambda: warnings.showwarning, functools.partial(setattr, warnings, "showwarning")
    yield _handlers, _put_handlers
    yield (
        functools.partial(signal.pthread_sigmask, signal.SIG_BLOCK, ()),
        functools.partial(signal.pthread_sigmask, signal.SIG_SETMASK),
    )
    if hasattr(os, "sched_getaffinity"):
        yield (
            functools.partial(os.sched_getaffinity, 0),
            functools.partial(os.sched_setaffinity, 0),
        )
    yield np.geterr, lambda kept: np.seterr(**kept)


def _put_list(target: list[Any], kept: list[Any]) -> None:
    target[:] = kept


def _put_environment(kept: dict[str, str]) -> None:
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]
    os.environ.update(kept)


def _put_filters(kept: list[Any]) -> None:
    warnings.resetwarnings()  # which makes forget, too, what was warned of under the old ones
    _put_list(warnings.filters, kept)


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _put_handlers(kept: dict[int, Any]) -> None:
    for number, handler in kept.items():
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _torch(torch: Any) -> Iterator[_Setting]:
    yield torch.get_default_dtype, torch.set_default_dtype
    yield torch.is_grad_enabled, torch.set_grad_enabled
    yield torch.get_num_threads, torch.set_num_threads
    yield (
        lambda: getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None),
        lambda _: torch.set_default_device(None),
    )
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda kept: torch.use_deterministic_algorithms(kept[0], warn_only=kept[1]),
    )
    yield torch.is_anomaly_enabled, torch.set_anomaly_enabled
    for device in ("cpu", "cuda"):
        yield (
            functools.partial(torch.is_autocast_enabled, device),
            functools.partial(torch.set_autocast_enabled, device),
        )
    tiny = torch.tensor(1e-39, dtype=torch.float32)
    yield (
        lambda: bool(tiny * 1),
        lambda kept: torch.set_flush_denormal(not kept),
    )
    backends = torch.backends
    for place, names in (
        (backends.cudnn, ("enabled", "benchmark", "deterministic", "allow_tf32")),
        (backends.cuda.matmul, ("allow_tf32", "allow_fp16_reduced_precision_reduction")),
        (backends.mkldnn, ("enabled",)),
    ):
        for name in names:
            yield functools.partial(getattr, place, name), functools.partial(setattr, place, name)
    yield backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled
    hooks = torch.nn.modules.module
    for registry in [v for n, v in vars(hooks).items() if n.startswith("_global_")]:
        if isinstance(registry, dict):
            yield functools.partial(dict, registry), functools.partial(_put_dict, registry)


def _put_dict(target: dict[Any, Any], kept: dict[Any, Any]) -> None:
    target.clear()
    target.update(kept)


def _fixed() -> Iterator[tuple[str, Callable[[], Any]]]:
    """What cannot be put back, or not by us."""
    yield "a resource limit", lambda: [resource.getrlimit(limit) for limit in _LIMITS]
    yield "the priority", lambda: os.getpriority(os.PRIO_PROCESS, 0)
    yield "the user", lambda: (os.getuid(), os.geteuid(), os.getgid(), os.getegid())
    if torch := sys.modules.get("torch"):
        yield "inference mode", torch.is_inference_mode_enabled
        yield "torch's function modes", torch._C._len_torch_function_stack
        yield "torch's dispatch modes", torch._C._len_torch_dispatch_stack
        yield "torch's kernels", functools.partial(_kernels, torch.library._impls)
    if "jax" in sys.modules:
        yield "a setting of JAX for the thread", sys.modules["jax._src.config"].trace_context


def _kernels(registered: set[str]) -> set[str]:
    """The kernels of torch's own operations from Python, without those that torch adds in time."""
    later = ("/Meta", "/FuncTorchBatched")
    return {name for name in registered if name.startswith("aten/") and not name.endswith(later)}
