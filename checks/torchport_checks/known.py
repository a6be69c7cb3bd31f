"""Which bug records a diverging definition may be an example of."""

from __future__ import annotations

from torchport_checks.pair import Pair, target_of
from torchport_checks.verdicts import Category, DefinitionVerdict, Known
from torchport_translators.bugs import Place, mistakes
from torchport_translators.files import FileProblem, decode

_SHOWN = 3


def with_known_mistakes(verdict: DefinitionVerdict, pair: Pair) -> DefinitionVerdict:
    """The verdict, with the known mistakes that its port seems to make if it diverges."""
    diverged = verdict.status == "diverged" and verdict.category is not Category.ILL_CONDITIONED
    if not diverged and verdict.category is not Category.PORT_ERROR:
        return verdict
    try:
        source, port = decode(pair.texts[0], "source").text, decode(pair.texts[1], "port").text
    except FileProblem:
        return verdict  # in an encoding that only Python's own import reads
    place = None
    if verdict.located is not None:
        lines = range(verdict.located.port_first_line, verdict.located.port_line + 1)
        place = Place(verdict.located.source_line, lines)
    found = mistakes(source, port, verdict.name, target_of(pair.texts[1]), place)
    known = [
        Known(
            id=mistake.record.id,
            title=mistake.record.title,
            why=mistake.record.why,
            port_line=mistake.line,
            old=mistake.old,
            new=mistake.new,
        )
        for mistake in found[:_SHOWN]
    ]
    return verdict.model_copy(update={"known": known})
