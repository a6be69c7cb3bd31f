"""`initialized`: the first settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.INITIALIZED)
    async def initialized(params: lsp.InitializedParams) -> None:
        await server.load_settings()
        server.configured.set()
        server.send_status()
