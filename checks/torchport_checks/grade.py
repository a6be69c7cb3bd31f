"""How far a port of one definition comes, as a grade that running it gives: the twin of T2J's CodeTrans
score, which a judge model gives by a rubric."""

from __future__ import annotations

from torchport_checks.verdicts import Category, DefinitionVerdict

EQUAL = 4
"""The best grade: equal on all inputs."""

_GRADES = {
    Category.LOAD: 0,
    Category.MISSING: 0,
    Category.CONSTRUCTION: 1,
    Category.WEIGHTS: 1,
    Category.PORT_ERROR: 1,
    Category.CRASH: 1,
    Category.TIMEOUT: 1,
    Category.MEMORY: 1,
    Category.MISSING_ERROR: 2,
    Category.STRUCTURE: 2,
    Category.SHAPE: 2,
    Category.DTYPE: 2,
    Category.NAN: 3,
    Category.MISMATCH: 3,
    Category.PRECISION: 3,
    Category.ILL_CONDITIONED: 3,
}
_UNJUDGED = frozenset(
    (
        Category.FRAMEWORK,
        Category.INPUTS,
        Category.NOTHING,
        Category.SOURCE_ERROR,
        Category.RANDOM,
    )
)


def grade(verdict: DefinitionVerdict) -> int | None:
    """0 does not parse or import, 1 imports, 2 runs, 3 shapes and dtypes are right, 4 equal on all inputs.

    None where the check could not judge the port: the original does not run, or has no inputs.
    """
    if verdict.ok:
        return EQUAL
    if verdict.category is None:
        return None if verdict.status == "not_run" else _GRADES[Category.MISMATCH]
    if verdict.category in _UNJUDGED:
        return None
    return _GRADES[verdict.category]
