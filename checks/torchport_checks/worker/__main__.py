"""The worker process: `python __main__.py torch|jax|mlx DEVICE`, driven over stdin and stdout.

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
import signal
import struct
import sys
import threading
import time
from pathlib import Path

_PACKAGE = "_torchport_worker"


def _die_with_parent() -> None:
    """End this process group when the checker is gone, however it went."""
    parent = os.getppid()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        with contextlib.suppress(OSError):
            # When memory runs out it is the code under check that goes, not the user's editor.
            Path("/proc/self/oom_score_adj").write_text("1000")

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


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
    framework, device = sys.argv[1:3]
    # The two pipes move to descriptors of our own; what the code prints goes where errors go.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _die_with_parent()
    _load_package()
    answers.write(sys.modules[_PACKAGE].MARK)
    try:
        protocol = importlib.import_module(f"{_PACKAGE}.protocol")
        loading = importlib.import_module(f"{_PACKAGE}.loading")
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
    loading.remember_modules()
    gc.freeze()  # the framework's own objects need not be traversed again and again
    send(side.hello())
    read = protocol.reader(requests)
    while True:
        try:
            request = protocol.load(read)
        except EOFError:
            os._exit(0)
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
