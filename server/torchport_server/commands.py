"""`torchport lsp`."""

from __future__ import annotations

import logging
import os
import sys

import click


@click.command(short_help="Serve editors over the Language Server Protocol.")
@click.option("--tcp", metavar="HOST:PORT", help="Listen on a socket instead, for debugging.")
@click.option("--stdio", is_flag=True, help="Speak on standard input and output: the default.")
@click.option("--log", type=click.Path(dir_okay=False), help="Write a log to this file.")
def lsp(tcp: str | None, stdio: bool, log: str | None) -> None:
    """Serve editors over the Language Server Protocol.

    It speaks on standard input and output. Editors start it themselves;
    docs/language-server.md says how to set one up.

    \b
    Examples:
      torchport lsp
      torchport lsp --tcp 127.0.0.1:2087 --log torchport.log
    """
    if stdio and tcp is not None:
        raise click.UsageError("--stdio and --tcp exclude each other.")
    if log is not None:
        logging.basicConfig(filename=log, level=logging.DEBUG)
    else:
        logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    host, port = _address(tcp) if tcp is not None else ("", 0)
    # What anything prints must not come between the messages: they go over descriptors of their own.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    from torchport_server.server import Server

    server = Server()
    try:
        if tcp is not None:
            server.start_tcp(host, port)
        else:
            server.start_io(requests, answers)
    finally:
        server.close()
    # As the protocol has it: an end that nobody had announced is an error.
    sys.exit(0 if server.was_shut_down else 1)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter(f"{text!r} is not HOST:PORT, as in 127.0.0.1:2087.")
    return host, int(port)
