"""The command: what it refuses before it serves, and a server that starts, answers, and stops."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from normlens.cli import app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "t", "--file", "page.txt"], "Got both a text and --file page.txt"),
        (["--text", " "], "holds no text"),
        (["--file", "gone.txt"], "gone.txt can't be read"),
        (["a", "b", "--revision", "main"], "--revision main is of one model, and 2 are named. Name one of them."),
        (["--port", "0"], "--port"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["view", "--no-browser", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["view", "--no-browser", "--port", str(port)])
    assert result.exit_code == 2
    assert re.search(rf"Port {port} can't be used: .*\. Pass another --port", result.stderr)


def test_it_serves_this_machine_alone_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "normlens", "view", "--no-browser", "--text", "a text"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stderr is not None
        printed = re.search(r"http://127\.0\.0\.1:(\d+)/#token=([\w-]{40,})\s", process.stderr.readline())
        assert printed is not None
        with urllib.request.urlopen(printed[0].partition("#")[0], timeout=30) as page:
            assert b'<script type="module"' in page.read()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{printed[1]}/api/models", b"{}",
            {"Content-Type": "application/json", "X-Normlens-Token": printed[2]},
        )  # fmt: skip
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert b'"minilm-l6"' in answer.read()
    finally:
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode in (0, 130, -signal.SIGINT)
    assert "Traceback" not in rest
