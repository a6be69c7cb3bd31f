"""`shutdown`: every process that was started is ended before the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.SHUTDOWN)
    async def shutdown(params: None = None) -> None:
        server.was_shut_down = True
        await asyncio.to_thread(server.checks.close)
        server.analyst.close()
