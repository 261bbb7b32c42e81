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
from typing import Any

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
        (["--gold", "gold.talp", "--text", "t"], "gold.talp links the words of two texts. Give these too"),
        (["--gold", "gone.talp", "--text", "t", "--target-text", "u"], "gone.talp"),
        (["--clusters", "gone.json"], "gone.json can't be read: No such file or directory. Expected what"),
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


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the services offer that the command would serve."""
    offers: list[dict[str, Any]] = []
    monkeypatch.setattr("normlens.view.serving.serve", lambda service, *_, **__: offers.append(service.models()))
    return offers


@pytest.mark.parametrize(
    ("name", "content", "base"),
    [
        ("gold.talp", "2-1 1p2\n1-1\n", []),
        ("gold.txt", "1-0 0p1\n", ["--gold-base", "0"]),
        ("gold.wa", "1 2 1 S\n1 1 2 P\n2 1 1 S\n", []),
    ],
)
def test_gold_links_are_those_of_the_first_pair_of_a_file(
    tmp_path: Path, started: list[dict[str, Any]], name: str, content: str, base: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    texts = ["--text", "Das ist", "--target-text", "That is"]
    result = CliRunner().invoke(app, ["view", "de-en", *texts, "--gold", str(path), *base])
    assert (result.exit_code, result.stderr) == (0, "")
    assert started[0]["gold"] == "0p1 1-0"
    path.write_text("\n1-1\n")
    result = CliRunner().invoke(app, ["view", "de-en", *texts, "--gold", str(path)])
    assert result.exit_code == 2 and "has no links of a first sentence pair" in result.stderr
