"""The lanes that this machine has."""

from __future__ import annotations

import contextlib
import functools
import platform
import sys
from pathlib import Path
from typing import get_args

from torchport_checks.lanes import Lane, LaneFailure
from torchport_checks.options import CheckOptions, Framework
from torchport_checks.verdicts import LaneInfo, Model

# Where a driver shows its devices: NVIDIA's, AMD's, Google's.
_DEVICE_FILES = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")


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
    frameworks: tuple[Framework, ...] = get_args(Framework)
    lanes = [Lane(framework, options.python(framework), "any") for framework in frameworks]
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


def device_names(framework: Framework, options: CheckOptions) -> tuple[str, ...]:
    """The devices that a framework is to run on, the CPU first where there are several.

    `all` asks the frameworks only where the machine has an accelerator: else it would cost seconds
    to be told of the CPU.
    """
    wanted = options.device(framework)
    if wanted != "all":
        return (wanted,)
    if not _has_accelerator():
        return ("cpu",)
    # By interpreters alone, so that one answer serves all checks.
    asked = CheckOptions(
        torch_python=options.torch_python,
        jax_python=options.jax_python,
        mlx_python=options.mlx_python,
    )
    found = find_lanes(asked)  # pyright: ignore[reportArgumentType]  a frozen model has a hash
    names = [info.device for info in found.lanes if info.framework == framework]
    return tuple(sorted(names, key=lambda name: name != "cpu")) or ("cpu",)


def _has_accelerator() -> bool:
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return any(Path(file).exists() for file in _DEVICE_FILES)
