"""Whatever a configuration of the four tests says, the command begins to train or ends with one message."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from normlens.cli import app
from normlens.errors import InvalidInput

GOOD: dict[str, dict[str, str]] = {
    "data": {"train": '"train.csv"', "dev": '"train.csv"', "test": '"train.csv"', "classes": '["a", "b"]', "limit": "8",
             "min_tokens": "1", "max_tokens": "9", "dev_share": "0.5", "text": '"text"', "label": '"label"'},
    "classifier": {"kind": '"recurrent"', "hidden": "2", "vector_size": "2", "vectors": '"train.csv"', "min_count": "1",
                   "model": '"nowhere"', "layers": "[-1]", "heads": "[0]", "longest": "8", "trained": "false",
                   "start": '"nowhere"'},
    "training": {"epochs": "1", "batch_size": "2", "learning_rate": "0.1", "weight_decay": "0.0", "warmup": "0.1"},
    "adversary": {"epochs": "1"},
    "diagnostic": {"epochs": "1"},
    "tests": {"seeds": "2", "strengths": "[0.1]", "adversary_seeds": "1", "divergence": '"jsd"', "guides": "1",
              "explanations": '["weight", "norm"]', "shuffled": "1", "permutations": "1", "distributions": "1",
              "instances": "1"},
}  # fmt: skip
ODD = [
    "0", "-1", "1", "2", "9" * 30, "0.5", "nan", "inf", "-inf", "1e400", '""', '"x"', '"transformer"', '"kl"', "[]", "[[]]",
    '["weight"]', '["a", "a"]', "true", "false", "{}", "{a = 1}", "1979-05-27", '"/dev/null"', '"."', '"a\\u0000b"',
    "[0, 0]", "[1e400]", '"\\u001b[31m"', "[-99]", "x", "",
]  # fmt: skip
TEXTS = "text,label\nthe good film,a\nthe bad film,b\na fine cast,a\na poor cast,b\n"


@st.composite
def configs(draw: st.DrawFn) -> str:
    """A good file with a few keys that are odd, unknown or missing."""
    tables = {name: dict(list(keys.items())[: 3 if name == "data" else 4]) for name, keys in GOOD.items()}
    tables["classifier"].pop("vectors")
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(GOOD)))
        key = draw(st.sampled_from([*GOOD[name], "seed", "trianed", "\u00fc"]))
        value = draw(st.one_of(st.sampled_from(ODD), st.sampled_from([GOOD[name].get(key, "1"), "-"])))
        tables[name] = {k: v for k, v in tables[name].items() if k != key} | ({} if value == "-" else {key: value})
    if draw(st.booleans()):
        tables.pop(draw(st.sampled_from(sorted(tables))))
    lines = [
        f"[{name}]\n" + "".join(f'"{key}" = {value}\n' for key, value in keys.items()) for name, keys in tables.items()
    ]
    text = "".join(lines)
    at = draw(st.integers(0, len(text)))
    return text if draw(st.integers(0, 4)) else text[:at] + draw(st.sampled_from("[]=\"'\n\0x\ufeff")) + text[at + 1 :]


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch, without_figures: None) -> None:
    """The command ends where the first model would be trained."""

    def refused(*_: Any, **__: Any) -> None:
        raise InvalidInput("Here training begins.")

    monkeypatch.setattr("normlens.faithfulness.four_tests.schedule._complete", refused)


@given(
    config=configs(), texts=st.sampled_from([TEXTS, TEXTS, TEXTS, "", "text,label\n", "text,label\nx,a\n", "\0\udcff"])
)
@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_a_config_begins_a_run_or_ends_with_one_message(config: str, texts: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.csv").write_bytes(texts.encode("utf-8", "surrogateescape"))
        (folder / "four.toml").write_bytes(config.encode("utf-8"))
        result = CliRunner().invoke(app, ["four-tests", str(folder / "four.toml"), "-o", str(folder / "out")])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 2 and result.stderr.strip() and "\x1b" not in result.output
