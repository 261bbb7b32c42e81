"""After Ctrl-C, a command whose work is kept says that it can go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from normlens.cli.output.four_tests_run import run
from normlens.cli.output.training_progress import training_progress


def stopped(*args: Any, **options: Any) -> None:
    raise KeyboardInterrupt


def test_a_stopped_training_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), training_progress():
        stopped()
    assert "Stopped. The last checkpoint is kept; the same command goes on from there." in capsys.readouterr().err


def test_stopped_tests_of_a_classifier_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("normlens.faithfulness.four_tests.schedule.run_cells", stopped)
    experiment: Any = None
    with pytest.raises(KeyboardInterrupt):
        run(experiment, tmp_path, "tests", None, "cpu")
    assert "Stopped. Trained models are kept; the same command goes on." in capsys.readouterr().err
