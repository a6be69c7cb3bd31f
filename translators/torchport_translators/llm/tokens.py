"""How many tokens a text takes: counted with tiktoken where it can without a network, else estimated."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

# The vocabulary of OpenAI's models, and a fair measure of other ones: tiktoken keeps it in a file
# whose name is the hash of its address, and fetches it again unless its content has this hash
# (`tiktoken/load.py`, `tiktoken_ext/openai_public.py`).
_ENCODING = "o200k_base"
_ADDRESS = f"https://openaipublic.blob.core.windows.net/encodings/{_ENCODING}.tiktoken"
_CONTENT = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

_PIECE = re.compile(r"[A-Za-z]+|\d+|[^\S\n]+|\n+|[^\x00-\x7f]|.")
_LETTERS = 4
_DIGITS = 3


def count_tokens(text: str) -> int:
    """The tokens of a text; an estimate that is rather too high where they cannot be counted."""
    count = _counter()
    return count(text) if count is not None else estimate(text)


def estimate(text: str) -> int:
    """Tokens of a text, rather too many: by its words, numbers, signs and lines.

    A single space belongs to the word after it. Letters outside ASCII count as two.
    """
    return sum(_weight(match[0]) for match in _PIECE.finditer(text))


def _weight(piece: str) -> int:
    if not piece.isascii():
        return 2
    if piece.isalpha():
        return math.ceil(len(piece) / _LETTERS)
    if piece.isdigit():
        return math.ceil(len(piece) / _DIGITS)
    return 0 if piece == " " else 1


@lru_cache(maxsize=1)
def _counter() -> Callable[[str], int] | None:
    """tiktoken's count, if its vocabulary lies on this machine: it would be fetched otherwise."""
    variables = (os.environ.get(v) for v in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"))
    folder = next((v for v in variables if v is not None), None)
    place = Path(tempfile.gettempdir()) / "data-gym-cache" if folder is None else Path(folder)
    try:
        data = (place / hashlib.sha1(_ADDRESS.encode()).hexdigest()).read_bytes()
        if folder == "" or hashlib.sha256(data).hexdigest() != _CONTENT:
            return None
        import tiktoken

        encoding = tiktoken.get_encoding(_ENCODING)
    except (OSError, ImportError, ValueError):
        return None
    return lambda text: len(encoding.encode(text, disallowed_special=()))
