"""What each category means, and what to do about it: the rules of SARIF, the help of the page."""

from __future__ import annotations

from typing import NamedTuple

from torchport_checks.verdicts import Category


class Rule(NamedTuple):
    """A category for its reader."""

    name: str
    """In Pascal case, as SARIF names rules."""
    meaning: str
    advice: str


RULES: dict[Category, Rule] = {
    Category.FRAMEWORK: Rule(
        "FrameworkMissing",
        "An interpreter has no torch or no target framework, or does not start.",
        "`torchport doctor` says what to install and where.",
    ),
    Category.TIMEOUT: Rule(
        "Timeout",
        "The code did not end within its time.",
        "Give smaller inputs in a check comment, or more time with --timeout.",
    ),
    Category.MEMORY: Rule(
        "OutOfMemory",
        "The code took more memory than its process may have.",
        "Give smaller inputs in a check comment, or more memory with --memory.",
    ),
    Category.CRASH: Rule(
        "Crash",
        "The process that ran the code ended: it left by itself, by a signal or by a fault in native "
        "code.",
        "The end of its output usually says where; run the definition by itself to see all of it.",
    ),
    Category.LOAD: Rule(
        "LoadFailed",
        "One of the files cannot be imported.",
        "Import it in the interpreter of its framework, and mend what that shows.",
    ),
    Category.MISSING: Rule(
        "DefinitionMissing",
        "The port has no such definition.",
        "Port it, or check only what is there with --only.",
    ),
    Category.INPUTS: Rule(
        "NoInputs",
        "No inputs are known with which the original runs.",
        "State them in a comment above the definition: # torchport: check(x=f32[8, 16]).",
    ),
    Category.NOTHING: Rule(
        "NothingToCompare",
        "It gives nothing that could be compared by itself.",
        "It is checked through what uses it.",
    ),
    Category.SOURCE_ERROR: Rule(
        "OriginalRaises",
        "The original itself raises, and the port was not asked.",
        "Give inputs that it takes in a check comment.",
    ),
    Category.CONSTRUCTION: Rule(
        "ConstructionFailed",
        "The port's class cannot be constructed with the original's arguments.",
        "Keep the constructor's parameters as they are in the original.",
    ),
    Category.WEIGHTS: Rule(
        "WeightsDoNotFit",
        "The original's weights do not fit the port.",
        "Keep the names and shapes of parameters and buffers as they are in the original.",
    ),
    Category.PORT_ERROR: Rule(
        "PortRaises",
        "The port raises where the original does not.",
        "The message names the line of the port that raised.",
    ),
    Category.MISSING_ERROR: Rule(
        "ErrorMissing",
        "The original raises, the port does not.",
        "Raise in the port what the original raises.",
    ),
    Category.STRUCTURE: Rule(
        "StructureDiffers",
        "Original and port return values of different structure.",
        "Return the same nesting of tuples, lists and dicts, with the same keys.",
    ),
    Category.SHAPE: Rule(
        "ShapeDiffers",
        "Original and port return arrays of different shape.",
        "Look for an axis that was dropped, kept, moved or broadcast.",
    ),
    Category.DTYPE: Rule(
        "DtypeDiffers",
        "Original and port return arrays of different kind or precision.",
        "Compute and return in the original's dtype.",
    ),
    Category.NAN: Rule(
        "NotFinite",
        "NaN or infinity in one and not in the other.",
        "Look at divisions by zero, logarithms, square roots, masks and overflow.",
    ),
    Category.MISMATCH: Rule(
        "ValuesDiffer",
        "Values differ by more than rounding explains.",
        "The port computes something else: compare axes, defaults, epsilons and the order of operations.",
    ),
    Category.PRECISION: Rule(
        "PrecisionLost",
        "Values differ by less than 1e-4, and by more than rounding explains.",
        "Look for a cast to a narrower type, an epsilon, or a sum in another order or precision.",
    ),
    Category.ILL_CONDITIONED: Rule(
        "IllConditioned",
        "Rounding the inputs alone moves the result as far: no bug, and no proof either.",
        "Give inputs at which the function is better conditioned to have proof.",
    ),
    Category.RANDOM: Rule(
        "Random",
        "The result is random, so that values cannot be compared.",
        "Structure, shapes and dtypes were compared; values can be in eval mode.",
    ),
}


def rule_of(category: Category) -> Rule:
    """The rule of a category."""
    return RULES[category]
