"""`torchport/trust`, of this server's own: the user has granted the workspace trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature("torchport/trust")
    async def trust(params: Any) -> None:
        server.trusted = bool(getattr(params, "trusted", False))
        for document in server.documents.all():
            server.spawn(server.show_stored(document))
