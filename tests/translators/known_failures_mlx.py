"""What the catalogue for MLX does not meet of torch's own samples, each with its reason.

The form is that of `known_failures.py`: a key is an id of `test_opinfo.py` and what differs; one table
a rule module, which lists only what its module declares.
"""

from __future__ import annotations

REDUCTIONS: dict[str, str] = {
    "logsumexp bool value": "MLX 0.32 is wrong for bools: it counts each as a part of itself",
    "max/binary float32 gradient": "where two elements are equal torch halves the gradient; MLX does not",
    "sum bool value": "of one 0-d bool: a bool",
}

KNOWN_FAILURES: dict[str, str] = {
    key: reason
    for table in [
        value
        for name, value in list(globals().items())
        if isinstance(value, dict) and name.isupper()
    ]
    for key, reason in table.items()
}

# What module rules do not meet of the samples of `test_moduleinfo.py`; the key is a module's name.
MODULE_FAILURES: dict[str, str] = {
    "Linear value": "called with input=, which is x= in MLX: the port raises",
}
