"""The lanes that this machine has."""

from __future__ import annotations

import contextlib
import functools

from torchport_checks.lanes import Lane, LaneFailure
from torchport_checks.options import CheckOptions
from torchport_checks.verdicts import LaneInfo, Model


class LanesFound(Model):
    """The lanes of this machine, and why others are missing."""

    lanes: tuple[LaneInfo, ...]
    missing: tuple[str, ...]
    """One message per framework that its interpreter does not have."""


@functools.cache
def find_lanes(options: CheckOptions | None = None) -> LanesFound:
    """Ask each framework, in its configured interpreter, for its devices. Cached for the process.

    Takes seconds: a process per framework is started and ended.
    """
    options = options or CheckOptions()
    found: list[LaneInfo] = []
    missing: list[str] = []
    lanes = [Lane("torch", options.torch_python, "any"), Lane("jax", options.jax_python, "any")]
    for lane in lanes:
        lane.submit("ping", timeout=options.timeout)
    for lane in lanes:
        with contextlib.closing(lane):
            try:
                hello = lane.hello()
            except LaneFailure as failure:
                missing.append(str(failure))
                continue
            found += [
                LaneInfo(
                    framework=lane.framework,
                    version=hello["version"],
                    device=device,
                    interpreter=lane.interpreter,
                )
                for device in hello["devices"]
            ]
    return LanesFound(lanes=tuple(found), missing=tuple(missing))
