"""The installed command as a process: streams, pipes, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from invocation import Run

from normlens.corpus.corpus_row import Columns
from normlens.corpus.run_plan import CorpusPlan

COMMAND = [sys.executable, "-c", "from normlens.cli import main; main()"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def test_standard_output_is_pure_json_and_standard_error_has_no_loading_bars(bert: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "analyze", str(bert), "the cat", "--json"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["attrs"]["text"] == "the cat"
    assert done.stderr.splitlines() == [f"Loading {bert}", "Analyzing"]


def test_ctrl_c_ends_quietly_with_130(bert: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "analyze", str(bert)],
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    assert process.stdin is not None
    with process:
        wait_until_it_reads(process.pid)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (130, "")
    assert "Traceback" not in errors


def hear_interrupts() -> None:
    """Undo what a shell does to the jobs it starts in the background: they, and their children, are deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until_it_reads(pid: int) -> None:
    """Wait until a process sleeps in a read of its standard input, which is after all its imports."""
    where, seen = Path(f"/proc/{pid}/wchan"), 0
    for _ in range(1200):  # a busy machine takes its time to import torch
        seen = seen + 1 if where.exists() and "pipe_read" in where.read_text() else 0
        if seen == 3 or not where.exists():
            return
        time.sleep(0.1)


def test_a_closed_pipe_ends_quietly() -> None:
    process = subprocess.Popen(
        [*COMMAND, "models", "--json"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(timeout=30)
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("options", [["models"], ["models", "--json"]])
def test_a_full_device_ends_with_one_message(options: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *options], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_characters_that_a_terminal_lacks_are_replaced() -> None:
    done = subprocess.run(
        [*COMMAND, "models"], env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze", "minilm-l6", " "], "TEXT holds no text"),
        (["attribute", "minilm-l6", ""], "TEXT holds no text"),
        (["compare", "minilm-l6", "a text", "-o", "out.docx"], "expected one of .html"),
        (["align", "pairs.tsv", "nofile"], "nofile can't be read"),
        (["align", "pairs.tsv", "-o", "pairs.tsv"], "which this command reads"),
        (["align", "pairs.tsv", "-o", "begun.txt", "--threshold", "0.5"], "started with other settings"),
    ],
)
def test_what_needs_no_model_is_refused_before_torch_is_imported(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "pairs.tsv").write_text("das haus\tthe house\n")
    (tmp_path / "begun.txt.run").mkdir()
    plan = CorpusPlan((), Columns(), 1, "", {}, {}, {"threshold": 0.1}, 0, 0, 1)
    (tmp_path / "begun.txt.run" / "plan.json").write_text(plan.as_json())
    script = f"from normlens.cli import app; app({arguments!r}, standalone_mode=False)"
    watch = "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules)); "
    done = subprocess.run(
        [sys.executable, "-c", watch + script],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert message in done.stderr
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_removes_what_is_temporary(number: signal.Signals, bert: Path, tmp_path: Path) -> None:
    slow = (
        "import os, signal, time; from normlens.cli import main\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)  # whatever the tests themselves ignore, under nohup say\n"
        "os.fsync = lambda _: (print('writing', flush=True), time.sleep(60))\n"
        "main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow, "analyze", str(bert), "the cat", "-o", "out.nc"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits")
@pytest.mark.parametrize("ending", ["nc", "pdf", "png", "svg", "html", "parquet", "json"])
def test_a_full_disk_ends_with_one_message_for_every_format(ending: str, bert: Path, tmp_path: Path, run: Run) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        result = run("analyze", bert, "the cat sat.", "-o", f"out.{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 2
    assert f"out.{ending} could not be written: File too large" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits")
def test_a_full_disk_is_left_in_peace(bert: Path, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    limited = limit + "from normlens.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", limited, "analyze", str(bert), "the cat sat.", "-o", "out.nc"],
        env=ENVIRONMENT, capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "out.nc could not be written" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("normlens a", {"analyze", "attribute", "align", "aer"}),
        ("normlens attribute --step-score l", {"logprob", "logit"}),
    ],
)
def test_the_shell_completes_commands_and_choices(typed: str, expected: set[str]) -> None:
    asked = {"_NORMLENS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    code = "import sys; sys.argv = ['normlens']; from normlens.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT | asked, capture_output=True, text=True)
    assert set(done.stdout.split()) == expected
