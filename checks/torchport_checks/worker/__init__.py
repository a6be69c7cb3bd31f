"""What runs inside a lane: one framework in a process of its own, driven over two pipes.

Nothing here is imported by the rest of torchport except `MARK` and `protocol`; the interpreter that
runs it may hold no torchport at all, so these modules use the standard library, numpy and one
framework.
"""

MARK = b"\0torchport:"
"""Written before the first answer: what the interpreter's own start has printed comes before it."""
