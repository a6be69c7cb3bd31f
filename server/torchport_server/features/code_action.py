"""`textDocument/codeAction`: what can be done at a selection."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from torchport_server import protocol
from torchport_server.actions import Asked, Refused, offered, resolved

if TYPE_CHECKING:
    from torchport_server.server import Server

_KINDS = [
    f"{protocol.PORT_KIND}.jax",
    protocol.CHECK_KIND,
    lsp.CodeActionKind.QuickFix,
    lsp.CodeActionKind.Refactor,
]


def register(server: Server) -> None:
    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions(code_action_kinds=_KINDS, resolve_provider=True),
    )
    async def code_action(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            return []
        asked = Asked(
            document,
            await server.survey(document),
            server.pair(document),
            params.range,
            params.context.diagnostics,
            server.folder(document.path).settings.target,
        )
        actions = [a for a in offered(server, asked) if _wanted(a, params.context.only)]
        if server.resolves:
            return actions
        ready: list[lsp.CodeAction] = []
        for action in actions:
            with contextlib.suppress(Refused):
                ready.append(await resolved(server, action))
        return ready


def _wanted(action: lsp.CodeAction, only: object) -> bool:
    """Whether a client that asks for kinds asks for this one; kinds nest at their dots."""
    if not isinstance(only, list | tuple) or not only:
        return True
    kind = str(getattr(action.kind, "value", action.kind))
    wanted = [str(getattr(item, "value", item)) for item in only]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return any(kind == item or kind.startswith(f"{item}.") for item in wanted)
