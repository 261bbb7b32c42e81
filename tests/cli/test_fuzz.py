"""Whatever is typed: every command with every kind of file ends with 0 or 2, in time, without a traceback or anything left.

The commands and their options are read off the application, so that a new one is tried too.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from normlens.cli import app
from normlens.errors import InvalidInput

if sys.platform == "win32":
    pytest.skip("needs POSIX files", allow_module_level=True)

EXAMPLES, SECONDS, BYTES = 100, 60, 2 << 30


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


FILES = {
    "text.txt": b"the cat sat here.\n\na dog ran.\n", "pairs.tsv": b"the cat\ta dog\nthe dog ran\tthe cat\n",
    "bars.txt": b"the cat ||| a dog\n", "empty.txt": b"", "blank.txt": b" \n\t\n", "bytes.txt": b"\xff\xfe\x00cat\n",
    "zeros.txt": bytes(3000), "long.txt": b"the " * 3000, "bom.txt": b"\xef\xbb\xbfthe cat\n",
    "steer.txt": b"\x1b[31mcat\x07\n",     "links": b"1-1 2-2\n1p2\n", "links.wa": b"1 1 1 S\n1 2 2 P\n", 
    "links.json": b'{"links": [[1, 1, 0.5]], "sure": [true]}\n',
    "odd.json": b'{"links": [[Infinity, 1e400]]}\n', "deep.json": b'{"links": ' + b"[" * 100_000, "word.json": b"{}",
    "ranks.txt": b"1 10 3\n2 5 4\n", "digits": b"9" * 5000 + b"-1\n",
    "points.npy": saved(np.array([[0.0], [1.0], [10.0], [11.0]])), "scalar.npy": saved(np.array(1.0)),
    "nan.npy": saved(np.full((3, 2), np.nan)), "objects.npy": saved(np.array([{}, 1])), "text.npy": b"the cat",
    "huge.npy": saved(np.zeros((4, 1))).replace(b"(4, 1), }" + b" " * 9, b"(90000000, 1), }  "),
    "table.parquet": pd.DataFrame({"a": [1.0, 2, 9], "b": [1, 2, 9]}).to_parquet(), "broken.parquet": b"PAR1PAR1",
    "reviews.csv": b"text,label\n" + b"the good film,a\nthe bad film,b\na fine cast,a\na poor cast,b\n" * 3,
    "four.toml": b"""[data]\ntrain = "reviews.csv"\ndev = "reviews.csv"\ntest = "reviews.csv"\n[classifier]\nhidden = 2
vector_size = 2\n[training]\nepochs = 1\n[diagnostic]\nepochs = 1\n[tests]\nseeds = 2\nstrengths = [0.1]\nguides = 1
shuffled = 1\npermutations = 1\ndistributions = 0\ninstances = 1\n""",
    "old.html": b"old", "old.nc": b"old", "old.csv": b"old", "m.gguf": b"GGUF\x03",
    "$x_{.npy": saved(np.array([[0.0], [1.0], [10.0]])), "\x1b[31m.txt": b"the cat\n",
    os.fsdecode(b"\xff.txt"): b"the cat\n",
}  # fmt: skip
PLACES = [
    *FILES, *FILES, "-", "", ".", "..", "/", "/dev/null", "/dev/zero", "nowhere", "nowhere/file", "text.txt/file", "folder",
    "report", "pipe", "link", "loop", "hard", "a" * 300, "a" * 240 + ".nc", "a\udcff", "a\0", "~", "file:///", "*", "--",
    "[/b]",
]  # fmt: skip
ENDINGS = [".nc", ".html", ".png", ".svg", ".pdf", ".parquet", ".json", ".csv", ".txt", ""]
NUMBERS = [
    "0", "1", "2", "3", "-1", "-5", "0.5", "1e400", "nan", "inf", "9" * 24, "9" * 5000, "", " ", "x", "1,2", "0,0", "½", "٣",
]  # fmt: skip
WORDS = [
    "the cat", "the cat sat here.", "", " ", "-", "[CLS]", "[MASK]", "the " * 200, "\x1b[31m", "\udcff", "\0", "日本", "🏳️‍🌈",
    "id:1", "id:" + "9" * 5000, "LABEL_0", "logprob: the", "encoder", "decoder", "cross", "float32", "cpu", "auto", "mean",
    "half", "categories", "edges", "decompx", "norm_rollout", "alti", "gradient_input,rollout", "integrated_gradients",
    "steps=3", "steps=1000000000", "steps=[[[[", "residual=0.5", "baseline=1", "causal-lm", "combined", "1,2,4",
    "[bold]", "{}",
]  # fmt: skip
OWN = {
    "model": "bert",
    "parent": "marian",
    "reverse_model": "bert",
    "file": "text.txt",
    "files": "text.txt",
    "source": "pairs.tsv",
    "gold": "links",
    "hypothesis": "links",
    "config": "four.toml",
}


def commands() -> dict[str, Any]:
    """All commands by name, those of groups as "cluster points"."""
    by_name: dict[str, Any] = {}
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        by_name |= {name: command} if inner is None else {f"{name} {k}": one for k, one in inner.items()}
    return by_name


def kind_of(command: Any, name: str) -> type:
    """What the function behind a command takes for a parameter."""
    hints = get_type_hints(inspect.unwrap(command.callback))
    kinds = [one for one in (get_args(hints[name]) or (hints[name],)) if one is not NoneType]
    return kinds[0] if isinstance(kinds[0], type) else str


def values(name: str, kind: type) -> st.SearchStrategy[str]:
    """What may be typed for a parameter, more of its own kind than of others."""
    if name in OWN:
        return st.one_of(
            st.just(OWN[name]), st.just(OWN[name]), st.sampled_from([*PLACES, "bert", "marian", "nobody/none"])
        )
    if issubclass(kind, Enum):
        return st.sampled_from([*(str(choice.value) for choice in kind), "x"])
    if issubclass(kind, Path):
        return st.one_of(st.sampled_from(PLACES), st.sampled_from(ENDINGS).map("new{}".format))
    if issubclass(kind, int | float):
        return st.sampled_from(NUMBERS)
    return st.one_of(st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.text(max_size=12))


@st.composite
def typed(draw: st.DrawFn) -> list[str]:
    """A command with its arguments and a few of its options."""
    name = draw(st.sampled_from(sorted(commands())))
    command = commands()[name]
    arguments = name.split()
    for parameter in command.params:
        if parameter.param_type_name == "argument" and (parameter.required or draw(st.booleans())):
            arguments.append(draw(values(parameter.name, kind_of(command, parameter.name))))
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    chosen = st.lists(st.sampled_from(options), max_size=3, unique_by=lambda one: one.name) if options else st.just([])
    for parameter in draw(chosen):
        arguments.append(max(parameter.opts, key=len))
        if not parameter.is_flag:
            arguments.append(draw(values(parameter.name, kind_of(command, parameter.name))))
    if name == "align" and "--model" not in arguments:
        arguments += ["--model", "marian"]
    return arguments


@pytest.fixture(scope="module")
def models(bert: Path, marian: Path) -> dict[str, Path]:
    return {"bert": bert, "marian": marian}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, without_figures: None) -> None:
    """No large models, no pool of processes, no server: the demonstration ends where its models would be read."""
    monkeypatch.setattr("normlens.view.serving.serve", lambda *_, **__: None)
    monkeypatch.setattr("normlens.faithfulness.four_tests.schedule.available_cores", lambda: 1)

    def refused(*_: object) -> None:
        raise InvalidInput("no demonstration here")

    monkeypatch.setattr("normlens.cli.commands.demo._measured", refused)


@pytest.fixture
def here() -> Iterator[None]:
    """Come back to the folder where the test began."""
    before = Path.cwd()
    yield
    os.chdir(before)


def fill(folder: Path, models: dict[str, Path], flips: list[tuple[float, int]]) -> None:
    """Put the files into a folder, each with some of its bytes flipped."""
    for name, content in FILES.items():
        changed = bytearray(content)
        for place, byte in flips if content else ():
            changed[int(place * len(content))] = byte
        (folder / name).write_bytes(changed)
    (folder / "folder").mkdir()
    (folder / "folder" / "config.json").write_text('{"model_type": "bert"}')
    (folder / "report").mkdir()
    (folder / "report" / "numbers.parquet").write_text("old")
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("text.txt")
    (folder / "loop").symlink_to("loop")
    os.link(folder / "text.txt", folder / "hard")
    for name, model in models.items():
        (folder / name).symlink_to(model)


def memory(field: str) -> int:
    """A figure of this process in bytes: VmRSS, what it holds now, or VmHWM, the most since its last reset; 0 if unknown."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:")), 0)


def reset_peak() -> bool:
    """Start measuring the peak anew, where Linux lets us; pytest's own process has long held more."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder, by name."""
    paths = [Path(above) / name for above, _, names in os.walk(folder) for name in names]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.usefixtures("here")
@given(
    arguments=typed(),
    stdin=st.sampled_from(["the cat\n", "the cat\ta dog\n", None, "", "\0\udcff"]),
    flips=st.one_of(
        st.just([]), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4)
    ),
)
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_every_command_ends_with_an_answer_or_one_message(
    arguments: list[str], stdin: str | None, flips: list[tuple[float, int]], models: dict[str, Path]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, models, flips)
        os.chdir(folder)
        before, start = contents(folder), time.monotonic()
        peak_measured, held = reset_peak(), memory("VmRSS")
        result = CliRunner().invoke(
            app, arguments, input=None if stdin is None else stdin.encode("utf-8", "surrogateescape")
        )
        after, seconds, peak = contents(folder), time.monotonic() - start, memory("VmHWM")
        os.chdir("/")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 2)
    assert seconds < SECONDS
    if peak_measured:
        assert peak - held < BYTES
    assert "\x1b" not in result.output and "\x07" not in result.output
    assert not [name for name in after if ".normlens-" in name]
    if "--overwrite" not in arguments:
        assert {name: after.get(name) for name in before} == before
    if result.exit_code == 2 and arguments[0] != "align":  # which keeps what it has, to go on from
        assert after.keys() <= before.keys()
