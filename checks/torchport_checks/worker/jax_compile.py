"""Compiling in the JAX lane: how much of XLA's optimising, and what need not be compiled again.

Compiling is most of what a check costs. The function of the first case, with which most draws run, is
compiled just as `jax.jit` does it, on a thread of its own while others are traced. The others ask what
other sizes, dtypes and modes do to the same code: XLA rewrites them in the same way, and then generates
machine code that is not optimised, in a tenth of the time. That may round otherwise (a product and a sum
in one step): what then differs is run again, optimised, before it is held against the port.

Executables are kept in memory by the program that they were compiled from, so that a definition that
is checked again is only traced. JAX's own cache would be on disk: there the code of one pair could put
machine code for the next; this one ends with the process, and is no more than what JAX keeps itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

_KEPT = 256
"""Executables, the ones used last."""
_SMALL = 2_000_000
"""Numbers that go in; with more of them the time of a run counts as well."""
_ARGUMENT = re.compile(r"%arg\d+:")
_OPTIONS: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}
"""That this version of XLA may not know each of is found out by trying."""


class Compiler:
    """Compiles functions of JAX, some of them quickly."""

    def __init__(self, device: Any) -> None:
        self._options = _accepted() if device.platform == "cpu" else {}
        self._kept: OrderedDict[str, Future[jax.stages.Compiled]] = OrderedDict()
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 4))

    def start(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], *, quickly: bool = False
    ) -> Program:
        """Trace `function` with `arguments`, and begin to compile it.

        What that raises, the call of the program does. With `quickly` the code is not optimised.
        """
        leaves, given = jax.tree.flatten(arguments)
        made: list[Any] = [None]

        def flat(*values: Any) -> list[Any]:
            results, made[0] = jax.tree.flatten(function(*jax.tree.unflatten(given, values)))
            return results

        try:
            # Arguments that are not used stay: how it is called must not depend on that.
            lowered = jax.jit(flat, keep_unused=True).lower(*leaves)
            quickly = quickly and sum(np.size(leaf) for leaf in leaves) <= _SMALL
            return Program(self._executable(lowered, len(leaves), quickly), made[0])
        except BaseException as error:  # sys.exit included
            failed: Future[jax.stages.Compiled] = Future()
            failed.set_exception(error)
            return Program(failed, None)

    def _executable(
        self, lowered: jax.stages.Lowered, arguments: int, quickly: bool
    ) -> Future[jax.stages.Compiled]:
        text = lowered.as_text()
        quickly = quickly and bool(self._options)
        # The text says all, but which Python function is called back, and constants that are passed.
        given = _ARGUMENT.findall(text.partition("@main(")[2].partition("->")[0])
        if "callback" in text or len(given) != arguments:
            return self._pool.submit(self._compile, lowered, quickly)
        digest = hashlib.sha256(text.encode()).hexdigest()
        for key in (digest, f"{digest} quickly")[: 1 + quickly]:
            if (found := self._kept.get(key)) and not (found.done() and found.exception()):
                self._kept.move_to_end(key)
                return found
        self._kept[key] = self._pool.submit(self._compile, lowered, quickly)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _compile(self, lowered: jax.stages.Lowered, quickly: bool) -> jax.stages.Compiled:
        if quickly:
            # What XLA cannot compile in this way is no fault of the code.
            with contextlib.suppress(Exception):
                return lowered.compile(self._options)
        return lowered.compile()


class Program:
    """A function that is compiled, or about to be; called with arguments of the same structure."""

    def __init__(self, executable: Future[jax.stages.Compiled], tree: Any) -> None:
        self._executable = executable
        self._tree = tree

    def __call__(self, *arguments: Any) -> Any:
        run = self._executable.result()
        return jax.tree.unflatten(self._tree, run(*jax.tree.leaves(arguments)))


def _accepted() -> dict[str, Any]:
    """The options that this version of XLA takes."""
    lowered = jax.jit(lambda x: x).lower(np.float32(0))
    accepted = {}
    for name, value in _OPTIONS.items():
        try:
            lowered.compile(compiler_options={name: value})
            accepted[name] = value
        except Exception:  # the error's type has changed with versions, too
            continue
    return accepted
