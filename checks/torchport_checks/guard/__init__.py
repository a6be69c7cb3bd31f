"""What can be told of ports without running them: that they have drifted, or hold what is not ported,
or have not been checked as they are now.

Light on purpose: it is run on every commit. Nothing here imports a framework, NumPy, pydantic or the
translator, and a file is parsed only where a hash or a line of text does not settle the matter.
"""
