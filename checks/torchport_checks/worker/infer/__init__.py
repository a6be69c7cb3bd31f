"""Inputs where nobody gave any.

Nothing here decides anything: candidates are only tried, torch says which of them run, and what it
says of the others is read.

- `propose` makes candidates, from what is known of each argument: its name and annotation (`names`),
  shapes in annotations, docstrings and comments (`documented`), calls and constants that the file
  holds (`examples`), and the layers of the module (`layers`).
- `search` runs them, each with its repairs, in the order of how far torch came with them.
- `repair` reads a failure (`watch`): the operation that failed, the arguments that had flown into
  it, and the numbers and types in torch's message, or in the comparison that the code itself made.

Sizes differ from one another within a candidate, so that a number in a message says which axis it
is about, and so that a confusion of axes changes the result.
"""

from .propose import calls, calls_with, constructor_calls
from .search import first_that_runs

__all__ = ["calls", "calls_with", "constructor_calls", "first_that_runs"]
