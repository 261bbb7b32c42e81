"""``normlens four-tests``: a run from a file, what is refused before it begins, and what is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invocation import Run

GOOD, BAD, OTHERS = ("good", "fine"), ("bad", "poor"), ("the film was", "a plot and", "here is the cast,")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A quick run of the recurrent classifier."""
    for split in ("train", "dev", "test"):
        rows = [
            f'"{rest} {word}",{label}'
            for rest in OTHERS
            for label, words in (("pos", GOOD), ("neg", BAD))
            for word in words
        ]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    path = tmp_path / "quick.toml"
    path.write_text(
        '[data]\ntrain = "train.csv"\ndev = "dev.csv"\ntest = "test.csv"\n'
        "[classifier]\nhidden = 4\nvector_size = 4\n[training]\nepochs = 1\n[diagnostic]\nepochs = 1\n"
        "[tests]\nseeds = 2\nstrengths = [0.01]\nguides = 1\nshuffled = 1\n"
        "permutations = 2\ndistributions = 1\ninstances = 2\n",
        encoding="utf-8",
    )
    return path


def test_a_run_prints_the_answer_and_writes_its_files(run: Run, config: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = run("four-tests", str(config), "-o", str(output), "--workers", "1")
    assert first.exit_code == 0, first.output
    assert "learned attention" in first.stdout and "adversary, λ = 0.01" in first.stdout
    assert "results.md" in first.stdout.replace("\n", "")
    again = run("four-tests", str(config), "-o", str(output), "--workers", "1", "--json")
    numbers = json.loads(again.stdout)
    assert set(numbers["classifiers"]) == {"learned", "uniform", "shuffled"}
    assert numbers["data"]["test"] == {"texts": 12, "left_out": 0}
    config.write_text(config.read_text(encoding="utf-8").replace("[0.01]", "[0.01, 0.1]"), encoding="utf-8")
    other = run("four-tests", str(config), "-o", str(output), "--workers", "1")
    assert other.exit_code == 2 and "run with other settings" in " ".join(other.stderr.split())
    replaced = run("four-tests", str(config), "-o", str(output), "--workers", "1", "--overwrite")
    assert replaced.exit_code == 0 and "adversary, λ = 0.1" in replaced.stdout


REFUSED = {
    "an unknown key": ("seeds = 2", "seed = 2", "Did you mean 'seeds'"),
    "a file that isn't there": ("test.csv", "tset.csv", "tset.csv can't be read"),
    "an unknown model": ("hidden = 4", 'kind = "transformer"\nmodel = "no/such folder"', "no/such folder"),
    "a model that doesn't classify": ("hidden = 4", 'kind = "transformer"\nmodel = "marian-de-en"', "marian-de-en"),
    "no TOML": ("[tests]", "[tests", "can't be read as TOML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_ends_with_one_message(run: Run, config: Path, tmp_path: Path, case: str) -> None:
    old, new, message = REFUSED[case]
    config.write_text(config.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    result = run("four-tests", str(config), "-o", str(tmp_path / "out"), "--workers", "1")
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split()) and "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_refused_before_any_training(run: Run, config: Path, tmp_path: Path) -> None:
    result = run("four-tests", str(config), "-o", str(tmp_path / "out"), "--device", "the cat")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Device the cat can't be used" in result.stderr and not (tmp_path / "out").exists()


def test_folders_of_something_else_are_left_alone(run: Run, config: Path, tmp_path: Path) -> None:
    output = tmp_path / "photos"
    output.mkdir()
    (output / "cat.jpg").write_bytes(b"a cat")
    result = run("four-tests", str(config), "-o", str(output))
    assert result.exit_code == 2 and "cat.jpg" in result.stderr
    result = run("four-tests", str(config), "-o", str(config))
    assert result.exit_code == 2 and "expected a folder" in " ".join(result.stderr.split())
