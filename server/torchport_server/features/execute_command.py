"""`workspace/executeCommand`: each command answers at once; what takes long is a job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp
from pygls.uris import to_fs_path

from torchport_server import protocol
from torchport_server.checks import summary
from torchport_server.documents import Snapshot
from torchport_server.pairs import Pair, text_of

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    def pair_at(uri: str) -> Pair | None:
        path = Path(to_fs_path(uri) or "")
        text = text_of(server.documents, path)
        if text is None:
            return None
        return server.pair(Snapshot(uri, 0, text, server.documents.encoding))

    @server.command("torchport.check")
    async def check(*arguments: Any) -> dict[str, Any]:
        uri, *names = [str(argument) for argument in arguments if argument is not None]
        pair = pair_at(uri)
        if pair is None or server.texts(pair) is None:
            server.window_show_message(
                lsp.ShowMessageParams(
                    lsp.MessageType.Warning,
                    "There is no port to check yet. Port the file first.",
                )
            )
            return {"job": None}
        job = server.request_check(pair, tuple(names) or None)
        return {"job": job.id if job is not None else None}

    @server.command("torchport.cancel")
    async def cancel(job: str) -> bool:
        return server.checks.cancel(job)

    @server.command("torchport.report")
    async def report(*arguments: Any) -> dict[str, Any] | None:
        uri, *names = [str(argument) for argument in arguments if argument is not None]
        pair = pair_at(uri)
        result = server.checks.result(pair) if pair is not None else None
        if pair is None or result is None:
            return None
        if server.client != "vscode":
            verdict = result.of(names[0]) if names else None
            text = verdict.message if verdict is not None else ""
            server.window_show_message(
                lsp.ShowMessageParams(lsp.MessageType.Info, text or summary(result.verdict))
            )
        return protocol.report(result.verdict, stale=server.texts(pair) != result.texts)

    @server.command("torchport.prompt")
    async def prompt(*arguments: Any) -> dict[str, str]:
        """What to paste into a chat, or why there is nothing; nothing is run and no model asked."""
        from torchport_server.survey import prompt_text

        uri, *names = [str(argument) for argument in arguments if argument is not None]
        path = Path(to_fs_path(uri) or "")
        text = text_of(server.documents, path)
        if text is None:
            return {"prompt": "", "problem": f"{path} cannot be read."}
        folder = server.folder(path)
        pair = server.pair(Snapshot(uri, 0, text, server.documents.encoding))
        result = server.checks.result(pair) if pair is not None else None
        verdicts = [d for d in (result.of(n) for n in names) if d is not None] if result else []
        text, problem = await server.analyst.ask(
            prompt_text,
            text,
            path.name,
            folder.settings.target,
            names,
            folder.configuration.llm,
            [v for v in verdicts if v.status in ("diverged", "error")],
        )
        return {"prompt": text, "problem": problem}

    @server.command("torchport.doctor")
    async def doctor() -> str:
        from torchport_checks.commands import doctor_text

        folders = [to_fs_path(uri) for uri in server.folders()]
        where = Path(folders[0]) if folders and folders[0] else Path.cwd()
        folder = server.folder(where / "x.py")
        return await asyncio.to_thread(doctor_text, folder.configuration, folder.options, where)

    @server.command("torchport.restart")
    async def restart() -> None:
        await asyncio.to_thread(server.checks.restart)
        server.send_status()
