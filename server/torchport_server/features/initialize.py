"""`initialize`: what the client is, and whether its workspace is trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.INITIALIZE)
    async def initialize(params: lsp.InitializeParams) -> None:
        given: object = params.initialization_options
        if isinstance(given, dict):
            options = cast("dict[str, Any]", given)
            server.trusted = options.get("trusted") is True
            server.client = str(options.get("client", ""))
        encoding = server.workspace.position_encoding
        server.documents.encoding = encoding or lsp.PositionEncodingKind.Utf16
