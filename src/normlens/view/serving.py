"""Serving the explorer on this machine until it is stopped."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

from normlens.errors import InvalidInput, install_command

if TYPE_CHECKING:
    from normlens.view.service import ViewService

HOST = "127.0.0.1"
_MOST_CONNECTIONS = 64


def serve(service: ViewService, port: int | None, announce: Callable[[str], None], *, opens_browser: bool) -> None:
    """Serve an explorer until the process is interrupted.

    Parameters
    ----------
    service
        Answers the requests.
    port
        The port; None for a free one.
    announce
        Takes the address to open, with the token that only its page has.
    opens_browser
        Whether to open it.

    Raises
    ------
    InvalidInput
        If the port can't be used, or the libraries of the extra "view" are missing.
    """
    try:
        import uvicorn

        from normlens.view.server import application
    except ImportError as error:
        raise InvalidInput(
            f"The explorer needs starlette and uvicorn, which are not installed ({error}). Run `{install_command('view')}`."
        ) from error

    with listening(port) as listener:
        token = secrets.token_urlsafe(32)
        config = uvicorn.Config(
            application(service, token), log_config=None, access_log=False, server_header=False, lifespan="off",
            limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=1, ws="none",
        )  # fmt: skip
        address = f"http://{HOST}:{listener.getsockname()[1]}/#token={token}"
        announce(address)
        if opens_browser:
            webbrowser.open(address)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            service.close()


def listening(port: int | None) -> socket.socket:
    """A socket that only this machine reaches."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port or 0))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(
            f"Port {port} can't be used: {reason}. Pass another --port, or leave it out for a free one."
        ) from None
    return listener
