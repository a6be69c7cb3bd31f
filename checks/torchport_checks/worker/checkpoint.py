"""A checkpoint of torch, read without running what it may hold, and given to a module."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch

from .loading import StageError

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
"""What torch says of a class or function that only loading with code would make."""

_MOST = 12
"""Lines of torch's list of what does not fit."""

_WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before the names of a module that they wrap."""


def read(path: Path) -> Any:
    """What `torch.save` wrote: tensors, and plain Python around them.

    Raises:
        StageError: it holds objects whose loading would run code, or torch cannot read it.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = _GLOBAL.search(str(error))
        if unsafe is None:
            raise StageError("WEIGHTS", f"{path.name} is no checkpoint of torch.save.") from None
        raise StageError(
            "WEIGHTS",
            f"{path.name} holds more than tensors ({unsafe[1]}), and loading that would run code. Save "
            "the tensors alone, torch.save(model.state_dict(), path), and convert that.",
        ) from None
    except Exception as error:  # what torch raises depends on where the bytes stop making sense
        first = str(error).splitlines()[0] if str(error) else ""
        raise StageError(
            "WEIGHTS", f"torch cannot read {path.name}: {type(error).__name__}: {first}"
        ) from None


def state_in(found: Any, key: str | None, name: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The state dict in a checkpoint, and what was passed over to find it.

    Args:
        found: the checkpoint.
        key: where in it the state is, e.g. "model" or "ema.model"; by default it is looked for.
        name: the file, for messages.

    Raises:
        StageError: there is none, or there are several.
    """
    notes: list[str] = []
    if key is not None:
        for part in key.split("."):
            if not isinstance(found, dict) or part not in found:
                has = ", ".join(map(str, found)) if isinstance(found, dict) else "no names at all"
                raise StageError("WEIGHTS", f"{name} has no {key!r}: there is {has}.")
            found = found[part]
    if not _is_state(found):
        inner = {k: v for k, v in found.items() if _is_state(v)} if isinstance(found, dict) else {}
        if len(inner) != 1:
            what = f"has several states: {', '.join(map(str, inner))}; say which with --key"
            if not inner:
                what = f"holds no state dict, but {_described(found)}"
            raise StageError("WEIGHTS", f"{name} {what}.")
        ((key, found),) = inner.items()
        notes.append(f"The weights are those under {key!r}.")
    state = dict(found)
    for wrapper in (*_WRAPPERS, *_WRAPPERS):
        if all(n.startswith(wrapper) for n in state):
            state = {n.removeprefix(wrapper): tensor for n, tensor in state.items()}
            notes.append(f"{wrapper!r} before all names was left out.")
    return state, notes


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())
    )


def _described(value: Any) -> str:
    if isinstance(value, dict):
        parts = [f"{k} ({type(v).__name__})" for k, v in list(value.items())[:8]]
        return f"a dict of {', '.join(parts) or 'nothing'}"
    return f"a {type(value).__name__}"


def restore(module: torch.nn.Module, state: dict[str, torch.Tensor], name: str) -> None:
    """Give a module a checkpoint's tensors, every one of them.

    Raises:
        StageError: names or shapes differ; the message is torch's.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        told = str(error).splitlines()
        if len(told) > _MOST:
            told[_MOST:] = [f"... and {len(told) - _MOST} lines more"]
        message = "\n".join(
            [f"{name} does not fit the original (--init says how it is made):", *told]
        )
        raise StageError("WEIGHTS", message) from None
