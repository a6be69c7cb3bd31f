"""Starts the server that comes with the extension, from `bundled/` beside this file.

A path entry of this process and not PYTHONPATH, which the workers would inherit: they run in other
interpreters, and would import numpy of the wrong Python from here.
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "bundled"))
sys.argv[0] = "torchport"
runpy.run_module("torchport", run_name="__main__", alter_sys=True)
