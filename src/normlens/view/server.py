"""The explorer over HTTP, for this machine alone: who may ask, what may be asked, and what a page may load."""

from __future__ import annotations

import hmac
import json

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from normlens.errors import InvalidInput, NormLensError
from normlens.figures.explorer_page.binary_message import Message
from normlens.figures.explorer_page.embedded_page import static_folder
from normlens.view.page_requests import Operations, status_of
from normlens.view.service import ViewService

HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names under which this machine may be asked; any other was pointed here from outside (DNS rebinding)."""
TOKEN_HEADER = "X-Normlens-Token"
MOST_BYTES = 1_000_000
"""Largest body of a request."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def application(service: ViewService, token: str) -> Starlette:
    """The explorer as an ASGI application.

    Parameters
    ----------
    service
        Answers the requests.
    token
        What a page must send with every request, as the header `TOKEN_HEADER`.
    """
    operations = Operations(service)
    api = [Route(f"/api/{name}", _Endpoint(name, operations, token), methods=["POST"]) for name in operations.names]
    pages = Mount("/", StaticFiles(directory=static_folder(), html=True))
    return Starlette(
        routes=[*api, pages],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
    )


class _Headers:
    """Adds the headers that keep a page to what this server sends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                names = {name for name, _ in added}
                message["headers"] = [pair for pair in message.get("headers", []) if pair[0] not in names] + added
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _Endpoint:
    """An endpoint: checks who asks, reads the arguments, and answers with a message of arrays, or JSON."""

    def __init__(self, name: str, operations: Operations, token: str) -> None:
        self._name, self._operations, self._token = name, operations, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), self._token):
            return _refusal(
                403,
                "This address belongs to an explorer that was stopped. Open the one that `normlens view` printed last.",
            )
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _refusal(403, "This request comes from another site. Open the explorer's own page.")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _refusal(415, "The request isn't JSON; expected Content-Type: application/json.")
        body = await _limited_body(request)
        if body is None:
            return _refusal(413, f"The request is larger than {MOST_BYTES:,} bytes. Shorten the text.")
        try:
            answer = await run_in_threadpool(lambda: self._operations.answer(self._name, _arguments(body)))
        except NormLensError as error:
            return _refusal(status_of(error), str(error))
        if isinstance(answer, Message):
            return Response(answer.encoded(), media_type="application/octet-stream")
        return JSONResponse(answer)


async def _limited_body(request: Request) -> bytes | None:
    """The body of a request; None if it is too large, whatever length it announces."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > MOST_BYTES:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _arguments(body: bytes) -> object:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The request isn't JSON: {error}.") from error


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
