"""What the engine's threads tell the screens, and the application that it goes through."""

from __future__ import annotations

from typing import Any, cast

from textual.app import App
from textual.dom import DOMNode
from textual.message import Message


class FileChanged(Message, bubble=False):
    """Something has happened to a file of the session; to the run as a whole where it is empty."""

    def __init__(self, path: str, text: str = "") -> None:
        self.path = path
        self.text = text
        super().__init__()


def app_of(node: DOMNode) -> App[None]:
    """The application that a widget or a screen belongs to, typed."""
    return cast("Any", node).app
