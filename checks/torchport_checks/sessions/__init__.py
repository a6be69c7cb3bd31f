"""Sessions: many sources, one target, and how far each definition has come.

`Session` is what is kept, `Engine` what runs it. Neither knows of a terminal.
"""

from torchport_checks.sessions.engine import Engine
from torchport_checks.sessions.records import SessionProblem
from torchport_checks.sessions.session import Session, SessionBusy
from torchport_checks.sessions.state import Evidence, File, Item, Key, State

__all__ = [
    "Engine",
    "Evidence",
    "File",
    "Item",
    "Key",
    "Session",
    "SessionBusy",
    "SessionProblem",
    "State",
]
