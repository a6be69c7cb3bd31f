"""The header of a port: where it comes from, and the hashes by which drift is seen.

```
# Ported from PyTorch (mlp.py) to JAX by torchport 0.1.0.
# torchport: source=mlp.py target=jax text=1f0c2d9a83b4
# torchport: MLP=0a7c11b2d9e0 loss_fn=77ab0c3d1e2f
```

`text` is the hash of the port below its header, so that an edit by hand is seen; the others are the
hashes of the definitions in the source, so that a change of the source is seen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from torchport_translators._version import __version__
from torchport_translators.emit.edits import newline_of

if TYPE_CHECKING:
    from torchport_translators.source.syntax import Source

_TITLES = {"jax": "JAX", "mlx": "MLX"}
_HEADER = re.compile(
    r"(?:^|(?<=\ufeff))# Ported from PyTorch .*? by torchport (?P<version>\S+?)\.\r?\n"
    r"# torchport: source=(?P<source>\S+) target=(?P<target>\w+) text=(?P<text>\w+)\r?\n"
    r"(?P<definitions>(?:# torchport:(?: [^\s=]+=[0-9a-f]{12})+\r?\n)*)(?:\r?\n)?",
    re.MULTILINE,
)
_FIRST_LINES = re.compile(r"\A\ufeff?(?:#!.*\r?\n)?(?:#.*coding[:=].*\r?\n)?")


@dataclass(frozen=True, slots=True)
class Header:
    """What a port says of itself.

    Attributes:
        source: the source's file name, relative to the port.
        target: "jax" or "mlx".
        version: the torchport that wrote it.
        text: hash of the port's text as it was written.
        definitions: hash of each top-level definition of the source as it was then.
    """

    source: str
    target: str
    version: str
    text: str
    definitions: Mapping[str, str]


def digest(text: str) -> str:
    """Twelve hexadecimal digits for a text.

    Line endings, white space at line ends and a byte order mark do not count.
    """
    lines = "\n".join(line.rstrip() for line in text.removeprefix("\ufeff").strip().splitlines())
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def definition_digests(source: Source) -> dict[str, str]:
    """The hash of each top-level definition of a source."""
    from torchport_translators.source.syntax import top_level  # not needed to read a header

    return {name: digest(source[node]) for name, node in top_level(source)}


def with_header(
    port: str, name: str, target: str, source: Source, only: Collection[str] | None = None
) -> str:
    """The port's text under a header; a shebang and an encoding line stay first.

    Args:
        port: the text without a header.
        name: the source's file name.
        target: "jax" or "mlx".
        source: whose definitions the header names.
        only: those of them that the port holds; None: all.
    """
    newline = "\r\n" if "\r\n" in port else "\n"
    first = _FIRST_LINES.match(port)
    at = first.end() if first else 0
    digests = {
        definition: value
        for definition, value in definition_digests(source).items()
        if only is None or definition in only
    }
    lines = [
        f"# Ported from PyTorch ({name}) to {_TITLES[target]} by torchport {__version__}.",
        f"# torchport: source={quote(name)} target={target} text={digest(port)}",
        *_rows(digests),
    ]
    return port[:at] + newline.join(lines) + newline * 2 + port[at:]


def renewed(port: str, definitions: Mapping[str, str], *, written: bool) -> str:
    """A port whose header, if it has one, holds these hashes of definitions, in this order.

    The hash of its text becomes that of the text as it is, if that is as torchport has `written` it;
    otherwise it stays, and so goes on saying that the port was edited by hand.
    """
    match, header = _HEADER.search(port), read_header(port)
    if match is None or header is None:
        return port
    text = digest(_below(port, match)) if written else match["text"]
    rows = match["definitions"]
    if dict(definitions) != dict(header.definitions):
        newline = newline_of(match[0])
        rows = "".join(row + newline for row in _rows(definitions))
    between = port[match.end("text") : match.start("definitions")]
    return port[: match.start("text")] + text + between + rows + port[match.end("definitions") :]


def _rows(digests: Mapping[str, str]) -> list[str]:
    """The lines that hold the hashes of definitions."""
    rows: list[str] = []
    row = ""
    for definition, value in digests.items():
        item = f" {quote(definition)}={value}"
        if len(row) + len(item) > 84:
            rows.append(f"# torchport:{row}")
            row = ""
        row += item
    return [*rows, f"# torchport:{row}"] if row else rows


def head_lines(port: str) -> list[tuple[int, int]]:
    """The stretches of a text that its header takes, and a shebang and an encoding line."""
    found = [pattern.search(port) for pattern in (_FIRST_LINES, _HEADER)]
    return [match.span() for match in found if match is not None]


def without_header(port: str) -> str:
    """A port's text as it stands around its header; any other text as it is."""
    match = _HEADER.search(port)
    return port if match is None else _below(port, match)


def _below(port: str, header: re.Match[str]) -> str:
    return port[: header.start()] + port[header.end() :]


def read_header(port: str) -> Header | None:
    """A port's header; None for any other text."""
    match = _HEADER.search(port)
    if match is None:
        return None
    pairs = [
        item.split("=")
        for line in match["definitions"].splitlines()
        for item in line.removeprefix("# torchport:").split()
    ]
    return Header(
        source=unquote(match["source"]),
        target=match["target"],
        version=match["version"],
        text=match["text"],
        definitions={unquote(name): value for name, value in pairs},
    )


def edited_by_hand(port: str) -> bool:
    """Whether a port differs from what torchport wrote; a text without a header does."""
    match = _HEADER.search(port)
    if match is None:
        return True
    return digest(_below(port, match)) != match["text"]
