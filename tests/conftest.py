"""Property tests draw the same examples in every run: what fails in CI fails at a desk.

To search further: `pytest --hypothesis-profile=explore tests/translators/test_never_raises.py`.
"""

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("same")
