"""`python -m torchport`, and the `torchport` script."""

from __future__ import annotations

import io
import sys

from torchport.cli import cli


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without "→" or "✓" shows another character there, and no traceback.
            stream.reconfigure(errors="replace")
    cli(prog_name="torchport")


if __name__ == "__main__":
    main()
