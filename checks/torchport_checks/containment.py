"""What keeps the code under check from the rest of the machine.

Three forms, the strongest that works here first; each is tried once in a process, with the mounts
and namespaces that a lane would get, for containers and policies often forbid some of them:

- **bubblewrap**: processes of its own, no network but loopback, the file system read-only except for
  the lane's own directory, and well-known homes of secrets and of other programs' sockets empty.
- **namespaces**: processes of its own and no network, through util-linux's `unshare`. Files are as
  the user sees them.
- **process group**: none of that. The lane's processes are found and ended, and that is all.

Limits hold in every form (see `worker/__main__.py` for those that the system keeps, `lanes.py` for
those that are watched): time, memory, processes, disk, size of a file, output, no core dumps.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Setting = Literal["auto", "off"]
"""The strongest containment that works here, or none beyond the process group."""

_PROBE_SECONDS = 10.0
_ENTRY_BYTES = 16 * 1024
_STALE_SECONDS = 60.0

# Below the home directory: keys, tokens, passwords, histories, browsers.
_SECRETS = (
    ".ssh", ".gnupg", ".netrc", ".git-credentials", ".config/git/credentials", ".config/gh",
    ".config/hub", ".config/glab-cli", ".aws", ".azure", ".config/gcloud", ".oci", ".boto", ".kube",
    ".docker", ".config/containers", ".terraform.d", ".vault-token", ".config/op", ".config/rclone",
    ".config/sops", ".pypirc", ".config/pypoetry", ".npmrc", ".cargo/credentials.toml", ".kaggle",
    ".huggingface", ".cache/huggingface/token", ".cache/huggingface/stored_tokens", ".pgpass",
    ".password-store", ".local/share/keyrings", ".Xauthority", ".bash_history", ".zsh_history",
    ".python_history", ".mozilla", ".config/google-chrome", ".config/chromium",
)  # fmt: skip

# Sockets through which another program would act for whoever asks.
_SOCKETS = (
    "run/user", "run/dbus", "run/docker.sock", "run/docker", "run/containerd", "run/podman",
    "run/crio", "run/snapd.socket", "run/systemd/private", "tmp/ssh-*", "tmp/tmux-*",
    "tmp/vscode-*.sock", "tmp/.X11-unix",
)  # fmt: skip


@dataclass(frozen=True)
class Containment:
    """One form. `wrap(directory)` is what goes in front of the command of a lane that owns it."""

    name: Literal["bubblewrap", "namespaces", "process group"]
    wrap: Callable[[Path], list[str]]

    def works(self) -> bool:
        """Whether a command runs in it here, and can write into the lane's directory."""
        with contextlib.closing(Scratch("probe")) as scratch:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [*self.wrap(scratch.path), "sh", "-c", ": > probe"],
                    cwd=scratch.work,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=_PROBE_SECONDS,
                    check=False,
                )
            return (scratch.work / "probe").exists()


PROCESS_GROUP = Containment("process group", lambda _: [])


@functools.cache
def available() -> tuple[Containment, ...]:
    """The forms to try, the strongest that works here first, `PROCESS_GROUP` last.

    Found out by running each, some milliseconds, once in a process.
    """
    for containment in forms():
        if containment.works():
            return (containment, PROCESS_GROUP)
    return (PROCESS_GROUP,)


def forms() -> Iterator[Containment]:
    """The forms for which this machine has the program, the strongest first, working or not."""
    if shutil.which("bwrap"):
        # Inside a container the old /proc may have to do: parts of it are covered, and the system
        # then refuses a new one.
        yield Containment("bubblewrap", functools.partial(_bubblewrap, ["--proc", "/proc"]))
        yield Containment("bubblewrap", functools.partial(_bubblewrap, []))
    if shutil.which("unshare"):
        command = ["unshare", "--user", "--map-current-user", "--net", "--ipc", "--pid", "--fork"]
        command += ["--kill-child"]
        yield Containment("namespaces", lambda _: [*command, "--mount-proc", "--"])
        yield Containment("namespaces", lambda _: [*command, "--"])


def _bubblewrap(proc: list[str], directory: Path) -> list[str]:
    command = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    command += ["--die-with-parent", "--as-pid-1", "--cap-drop", "ALL"]
    # The devices of the machine stay, for the accelerators among them.
    command += ["--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", *proc]
    for path in hidden():
        command += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", os.devnull, str(path)]
    command += ["--bind", str(directory), str(directory)]
    shared = Path("/dev/shm").resolve()
    if shared.is_dir():
        command += ["--bind", str(directory / "shm"), str(shared)]
    return [*command, "--chdir", str(directory / "work"), "--"]


def hidden() -> list[Path]:
    """The paths of this machine that are empty inside bubblewrap."""
    found = [Path.home() / name for name in _SECRETS]
    for pattern in _SOCKETS:
        found += Path("/").glob(pattern)
    if agent := os.environ.get("SSH_AUTH_SOCK"):
        found.append(Path(agent))
    exist: set[Path] = set()
    for path in found:
        with contextlib.suppress(OSError, RuntimeError):  # unreadable, or a loop of links
            exist.add(path.resolve(strict=True))
    return sorted(exist)


class Scratch:
    """A lane's own directory, all that it can write to in bubblewrap; removed by `close`.

    In it: `work`, the working directory; `tmp`; `cache`, for the frameworks' compilers; `shm`, which
    bubblewrap shows as /dev/shm. A lock marks it as in use, so that one whose owner was killed is
    removed by the next process that makes one.
    """

    def __init__(self, name: str) -> None:
        _sweep()
        self._directory = tempfile.TemporaryDirectory(
            prefix=f"torchport-lane-{name}-", ignore_cleanup_errors=True
        )
        # Resolved, for TMPDIR may hold a link, which a mount would not go through.
        self.path = Path(self._directory.name).resolve()
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.work = self.path / "work"
        for part in ("work", "tmp", "cache", "shm"):
            (self.path / part).mkdir()

    def environment(self) -> dict[str, str]:
        """Where temporary files and the caches of compilers go."""
        caches = {
            "TORCHINDUCTOR_CACHE_DIR": "inductor",
            "TRITON_CACHE_DIR": "triton",
            "CUDA_CACHE_PATH": "cuda",
            "MPLCONFIGDIR": "matplotlib",
        }
        if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # to set it is to turn it on
            caches["JAX_COMPILATION_CACHE_DIR"] = "jax"
        found = {name: str(self.path / "cache" / folder) for name, folder in caches.items()}
        return {**found, "TMPDIR": str(self.path / "tmp")}

    def used(self, limit: int) -> int:
        """Bytes on disk, 16 KiB for an entry at least; counted no further than just past `limit`."""
        total, pending = 0, [str(self.path)]
        while pending and total <= limit:
            with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    total += max(found.st_blocks * 512, _ENTRY_BYTES)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    if total > limit:
                        break
        return total

    def close(self) -> None:
        """Remove it with all that is in it. Idempotent."""
        self._directory.cleanup()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@functools.cache
def _sweep() -> None:
    """Remove what lanes of processes that were killed have left behind, once in a process."""
    for path in Path(tempfile.gettempdir()).glob("torchport-lane-*"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < _STALE_SECONDS:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


_LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()


def descendants(root: int) -> list[int]:
    """The process ids of all processes below `root`, nearest first."""
    if not _LISTS_CHILDREN:
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(root).children(recursive=True)]
        return []
    # psutil would read every process of the machine for this, several times a second.
    family = [root]
    for parent in family:
        family += _children(parent)
    return family[1:]


def _children(parent: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{parent}/task").iterdir():
            with contextlib.suppress(OSError):  # it may end while this reads
                found += [int(pid) for pid in (thread / "children").read_text().split()]
    return found


def end_namespace(root: int) -> None:
    """SIGKILL the first process of the namespace that `root` made.

    The system then ends all others in it and forks no more, however fast they fork.
    """
    for pid in _children(root):
        _send(pid, signal.SIGKILL)


def end_descendants(root: int) -> None:
    """SIGKILL all processes below `root`.

    They are stopped before any of them is killed, until no new one is found: what forks faster than
    it is killed would go on for ever, and the children of the killed would be nobody's.
    """
    stopped: set[int] = set()
    while new := set(descendants(root)) - stopped:
        for pid in new:
            _send(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
