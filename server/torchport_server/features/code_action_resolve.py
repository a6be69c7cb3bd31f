"""`codeAction/resolve`: the edit of the action that was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from torchport_server.actions import Refused, resolved

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.CODE_ACTION_RESOLVE)
    async def code_action_resolve(params: lsp.CodeAction) -> lsp.CodeAction:
        try:
            return await resolved(server, params)
        except Refused as refused:
            message = lsp.ShowMessageParams(lsp.MessageType.Warning, str(refused))
            server.window_show_message(message)
            return params
