"""The server: who may ask, what may be asked, and the headers of every answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import numpy as np
import pytest
from exploring import TEXT, finished, service_of

import normlens
from normlens.attribution import VectorNorm
from normlens.figures.explorer_page.binary_message import decoded
from normlens.figures.explorer_page.embedded_page import static_folder
from normlens.view import ViewService
from normlens.view.server import MOST_BYTES, TOKEN_HEADER, application

TOKEN = "t0ken"
Answer = tuple[int, dict[str, str], bytes]
Send = Callable[..., Answer]


@pytest.fixture(scope="module")
def service(reader: normlens.Lens) -> Iterator[ViewService]:
    """A service on a tiny model."""
    one = service_of(reader, text="a text")
    yield one
    one.close()


@pytest.fixture(scope="module")
def send(service: ViewService) -> Send:
    """Send a request to the application, as a page of its own would unless told otherwise."""
    app = application(service, TOKEN)

    def request(path: str, body: Any = None, method: str = "POST", raw: bytes | None = None, **changed: Any) -> Answer:
        headers = {"host": "127.0.0.1:8000", "content-type": "application/json", TOKEN_HEADER: TOKEN}
        headers = {name.lower(): value for name, value in headers.items()}
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        headers.setdefault("content-length", str(len(data)))
        sent: list[Any] = []
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value is not None],
            "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1),
        }  # fmt: skip

        waiting = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def collect(message: Any) -> None:
            sent.append(message)

        anyio.run(app, scope, receive, collect)
        body_bytes = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
        return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, body_bytes

    return request


def refusal(answer: Answer) -> tuple[int, str]:
    """The status and the message of a refusal."""
    return answer[0], json.loads(answer[2])["error"]


def test_a_page_gets_maps_and_rows_over_http(send: Send, service: ViewService, reader: normlens.Lens) -> None:
    assert json.loads(send("/api/models", {})[2]) == {
        "models": ["tiny"],
        "text": "a text",
        "targetText": "",
        "gold": "",
        "clusters": None,
    }
    run = json.loads(send("/api/run", {"model": "tiny", "text": TEXT})[2])["run"]
    assert finished(service, run)["state"] == "done"
    assert json.loads(send("/api/progress", {"run": run})[2])["state"] == "done"
    status, headers, body = send("/api/overview", {"run": run})
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert decoded(body)[0]["text"] == TEXT
    where = {"run": run, "group": "encoder", "layer": 1, "head": 0}
    weight = reader.analyze(TEXT)["encoder"].weight.sel(layer=1, head=0).values
    assert decoded(send("/api/map", where)[2])[1]["weight"] == pytest.approx(weight, rel=2.0**-10, abs=1e-9)
    assert np.array_equal(decoded(send("/api/row", {**where, "target": 2})[2])[1]["weight"], weight[2])


def test_a_split_is_sent_exactly(send: Send, service: ViewService, reader: normlens.Lens) -> None:
    run = service.run("tiny", TEXT)["run"]
    assert finished(service, run)["state"] == "done"
    status, headers, body = send("/api/attribute", {"run": run, "place": 3})
    assert status == 200 and headers["content-type"] == "application/octet-stream"
    facts, arrays = decoded(body)
    assert np.array_equal(arrays["shares"], reader.attribute(TEXT, target=VectorNorm(), position=3).values)
    assert facts["biasShare"] + arrays["shares"].sum() == pytest.approx(facts["value"], abs=1e-5)
    status, error = refusal(send("/api/attribute", {"run": run, "token": "cat"}))
    assert status == 400 and error.endswith("Leave the tokens empty.")
    assert refusal(send("/api/attribute", {"run": "gone"}))[0] == 404


def test_a_flow_is_sent_and_its_refusals_are_sentences(send: Send, service: ViewService) -> None:
    run = service.run("tiny", TEXT)["run"]
    assert finished(service, run)["state"] == "done"
    asked = {"run": run, "group": "encoder", "target": 3, "by": "norm", "threshold": 0.05}
    status, _, body = send("/api/flow", asked)
    facts, arrays = decoded(body)
    assert status == 200 and facts["threshold"] == 0.05
    assert arrays["edges"].shape[1] == 4 and arrays["whole"].sum() == pytest.approx(1, abs=1e-5)
    status, error = refusal(send("/api/flow", {**asked, "threshold": 1e-400}))
    assert status == 400 and "isn't a share between 0 and 1" in error


@pytest.mark.parametrize("path", ["/", "/assets/explorer.js", "/api/models", "/no/such/page"])
def test_every_answer_keeps_the_page_to_what_this_server_sends(send: Send, path: str) -> None:
    _, headers, _ = send(path, {}, "POST" if path.startswith("/api") else "GET")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not any(name.startswith("access-control-") for name in headers)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "www.localhost", "", "[::2]", "0.0.0.0:8000"]
)
@pytest.mark.parametrize("path", ["/", "/api/models"])
def test_another_name_for_this_machine_is_refused(send: Send, host: str, path: str) -> None:
    status, headers, body = send(path, {}, "POST" if path.startswith("/api") else "GET", host=host)
    assert status == 400
    assert "location" not in headers
    assert b"<html" not in body.lower() and b"tiny" not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "[::1]"])
def test_the_names_of_this_machine_are_taken(send: Send, host: str) -> None:
    assert send("/api/models", {}, host=host)[0] == 200


@pytest.mark.parametrize("token", ["", "t0ke", "t0ken2", "t\u00f6ken"])
def test_nothing_is_answered_without_the_token(send: Send, token: str) -> None:
    for operation in ("models", "run", "progress", "cancel", "overview", "map", "row"):
        status, message = refusal(send(f"/api/{operation}", {}, x_normlens_token=token))
        assert status == 403 and "Open the one that `normlens view` printed last" in message


def test_other_sites_other_methods_and_other_types_are_refused(send: Send) -> None:
    assert send("/api/models", {}, sec_fetch_site="cross-site")[0] == 403
    assert send("/api/models", {}, sec_fetch_site="same-site")[0] == 403
    assert send("/api/models", {}, "GET")[0] in (404, 405)
    assert send("/api/models", {}, "OPTIONS", origin="http://evil.example")[0] in (404, 405)
    assert send("/api/models", {}, content_type="text/plain")[0] == 415
    assert send("/", {}, "POST")[0] == 405


def test_a_large_body_is_refused_whatever_length_it_announces(send: Send) -> None:
    large = b" " * (MOST_BYTES + 1)
    assert refusal(send("/api/models", raw=large))[0] == 413
    assert refusal(send("/api/models", raw=large, content_length="2"))[0] == 413
    assert refusal(send("/api/models", raw=b"{}", content_length="x"))[0] == 413


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The request isn't JSON"),
        (b"[" * 100_000, "The request isn't JSON"),
        (b"\xff", "The request isn't JSON"),
        (b"[]", "The request isn't a JSON object."),
        (b'{"run": 3}', "The argument 'run' can't be int."),
        (b'{"path": "/etc"}', "The argument 'path' can't be str."),
        (b'{"layer": true}', "The argument 'layer' can't be bool."),
        (b'{"place": "2"}', "The argument 'place' can't be str."),
        (b'{"threshold": true}', "The argument 'threshold' can't be bool."),
        (b'{"token": 7}', "The argument 'token' can't be int."),
        (b"{}", "The request's arguments don't fit"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_a_sentence(send: Send, body: bytes, message: str) -> None:
    status, error = refusal(send("/api/progress", raw=body))
    assert status == 400
    assert error.startswith(message)


def test_a_refusal_of_the_service_has_its_status_and_message(send: Send) -> None:
    assert refusal(send("/api/overview", {"run": "gone"})) == (
        404,
        "This result is no longer in memory. Run the text again.",
    )
    status, error = refusal(send("/api/run", {"model": "../secret", "text": "t"}))
    assert status == 400 and "isn't one of those" in error


@pytest.mark.parametrize("path", ["/../server.py", "/assets/../../server.py", "/%2e%2e/server.py", "/..%2fserver.py"])
def test_no_file_outside_of_the_page_is_sent(send: Send, path: str) -> None:
    assert send(path, method="GET")[0] == 404


def test_the_page_is_built_small_and_asks_no_other_host() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in static_folder().rglob("*") if path.is_file()}
    assert {"index.html", "explorer.js", "index.css"} <= files.keys()
    assert len(files.pop("widget.js")) < 300_000  # the same for notebooks
    assert sum(map(len, files.values())) < 300_000
    assert "svelte" in files.pop("licenses.txt")
    for name, text in files.items():
        addresses = {part.split('"')[0].split("'")[0].split("`")[0] for part in text.split("http://")[1:]}
        assert all(one.startswith("www.w3.org/") for one in addresses), name
        assert "https://" not in text.replace("https://svelte.dev/e/", ""), name
    assert "<style" not in files["index.html"] and "onclick" not in files["index.html"]
