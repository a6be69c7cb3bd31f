"""The worker process, driven over stdin and stdout: `python __main__.py FRAMEWORK DEVICE BYTES`.

BYTES is the largest file that it may write.

Started by path, under an interpreter that may have no torchport; so the package around this file is
loaded under a name of its own, which cannot collide with a module of the user's.
"""

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import resource
import select
import signal
import struct
import sys
import threading
import time
from pathlib import Path

_PACKAGE = "_torchport_worker"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_MAX_TASKS = 4096
"""Threads and processes in a namespace: a thread per core and pool, on the largest machines."""


def _limit(file_bytes: int) -> None:
    """What the system itself holds this process and its children to."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limits = {resource.RLIMIT_FSIZE: file_bytes}
    if os.getpid() == 1:  # in a namespace, where only the lane's own processes count
        limits[resource.RLIMIT_NPROC] = _MAX_TASKS
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def _die_with(parent: int) -> None:
    """End this process when `parent` is gone, however it went."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _supervised() -> None:
    """Go on in a child, with this process as its keeper: it ends whatever the child leaves behind.

    It is the first process of the lane's namespace, where there is one, or else inherits what has
    cut itself loose from the child. Forked before anything is loaded and any thread is started.
    """
    if os.getpid() == 1:
        _die_with(os.getppid())
    # Else it must live on for a moment when the checker is gone, to end what is below it: it sees that
    # its standard input hangs up.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with contextlib.suppress(OSError):
        # When memory runs out it is the code under check that goes, not the user's editor.
        Path("/proc/self/oom_score_adj").write_text("1000")
    keeper = os.getpid()
    worker = os.fork()
    if worker == 0:
        os.setsid()  # what the code sends to its process group stays below the keeper
        _die_with(keeper)
        return
    with contextlib.suppress(BaseException):
        os._exit(_keep(worker))
    os._exit(1)


def _keep(worker: int) -> int:
    """Wait for the worker, or for the checker to be gone; the exit code, 128 + N after signal N."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # that the checker sees their end when the worker has ended
    os.dup2(null, 2)
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(0, 0)  # nothing but the hang-up: its content is the worker's
    poll.register(awake, select.POLLIN)
    while True:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                _end_children()
                code = os.waitstatus_to_exitcode(ended[1])
                return 128 - code if code < 0 else code
        for descriptor, _ in poll.poll():
            if descriptor == 0:
                _end_children()
                return 0
            os.read(awake, 4096)


def _end_children() -> None:
    """SIGKILL the children, then theirs, who become ours. In a namespace that comes by itself."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while os.getpid() != 1 and children.exists():
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _load_package() -> None:
    directory = Path(__file__).resolve().parent
    if sys.path and Path(sys.path[0]).resolve() == directory:
        del sys.path[0]
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)


def _missing_frame(module: str, detail: str) -> bytes:
    """What `protocol.dump` makes of this answer; without numpy there is no protocol."""
    items = [["missing", module], ["detail", detail]]
    header = json.dumps([[], {"$": "dict", "items": items}]).encode()
    return struct.pack("<I", len(header)) + header


def main() -> None:
    framework, device, file_bytes = sys.argv[1:4]
    _limit(int(file_bytes))
    if sys.platform == "linux":
        _supervised()
    else:
        _die_with(os.getppid())
    # The two pipes move to descriptors of our own; what the code prints goes where errors go.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _load_package()
    answers.write(sys.modules[_PACKAGE].MARK)
    try:
        protocol = importlib.import_module(f"{_PACKAGE}.protocol")
        loading = importlib.import_module(f"{_PACKAGE}.loading")
        pristine = importlib.import_module(f"{_PACKAGE}.pristine")
        module = importlib.import_module(f"{_PACKAGE}.{framework}_side")
        side = module.Side(device)
    except ImportError as error:
        answers.write(_missing_frame(error.name or framework, str(error)))
        answers.flush()
        return

    def send(message: object) -> None:
        answers.writelines(protocol.dump(message))
        answers.flush()

    # Modules beside the user's file are imported afresh at every load: no stale bytecode, and none
    # left in the user's folders.
    sys.dont_write_bytecode = True
    hello = side.hello()
    loading.remember_modules()
    state = pristine.State()
    gc.freeze()  # the framework's own objects need not be traversed again and again
    send(hello)
    read = protocol.reader(requests)
    while True:
        try:
            request = protocol.load(read)
        except EOFError:
            os._exit(0)
        # A load begins a pair, which must find everything as the first one did.
        if request["op"] == "load" and (spoiled := state.restore()):
            send({"spoiled": spoiled})
            continue
        try:
            answer = {"result": getattr(side, request["op"])(**request["args"])}
        except BaseException as error:  # SystemExit and KeyboardInterrupt are the code's own doing
            answer = {"error": loading.describe(error)}
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        send(answer)


if __name__ == "__main__":
    main()
