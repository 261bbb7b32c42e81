"""The file of an experiment: defaults by kind, paths relative to it, and keys and values that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.cells import base_cell, diagnostic_cells, trained_cells
from normlens.faithfulness.four_tests.experiment import experiment_of, read_experiment

DATA = '[data]\ntrain = "train.csv"\ntest = "test.csv"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file_and_defaults_depend_on_the_kind(tmp_path: Path) -> None:
    recurrent = read_experiment(written(tmp_path, DATA))
    assert recurrent.data.train == tmp_path / "train.csv" and recurrent.training.learning_rate == 1e-3
    other = read_experiment(written(tmp_path, DATA + '[classifier]\nkind = "transformer"\n[training]\nepochs = 2\n'))
    assert (other.training.epochs, other.training.learning_rate, other.adversary.epochs) == (2, 5e-5, 2)
    assert other.diagnostic.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[date]\n", "no key 'date'.*Did you mean 'data'"),
        ("[tests]\n", r"no table \[data\]"),
        ('[data]\ntrain = "a.csv"\n', r"\[data\] has no test"),
        (DATA + "[tests]\nsseeds = 3\n", r"\[tests\] has no key 'sseeds'.*Did you mean 'seeds'"),
        (DATA + '[classifier]\nkind = "transformers"\n', "kind in .* is 'transformers'.*Did you mean 'transformer'"),
        (DATA + "[training]\nepochs = 2.5\n", "epochs in .* is 2.5; expected an integer"),
        (DATA + "[training]\nepochs = 0\n", "epochs is 0"),
        (DATA + "[training]\nlearning_rate = -1\n", "learning_rate is -1"),
        (DATA + "[tests]\nseeds = 1\n", "seeds is 1; expected at least 2"),
        (DATA + "[tests]\nstrengths = [0.1, -1]\n", "expected finite numbers from 0"),
        (DATA + '[tests]\nexplanations = ["norm"]\n', 'expected "weight" among them'),
        (DATA + "[tests]\nseeds = true\n", "seeds in .* is True; expected an integer"),
        ("data = 3\n", "expected a table"),
        ("[data\n", "can't be read as TOML"),
    ],
)
def test_what_cant_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_experiment(written(tmp_path, text))


def test_cells_are_named_by_what_their_numbers_depend_on() -> None:
    data = {"train": "a.csv", "test": "b.csv"}
    one = experiment_of({"data": data})
    more = experiment_of({"data": data, "tests": {"seeds": 9, "strengths": [0.5], "guides": 2}})
    longer = experiment_of({"data": data, "training": {"epochs": 9}})
    learned = trained_cells(one)[1]
    assert learned.key(one, "texts") == learned.key(more, "texts")  # more seeds train nothing again
    assert learned.key(one, "texts") != learned.key(longer, "texts")
    assert learned.key(one, "texts") != learned.key(one, "other texts")
    guided = [cell for cell in diagnostic_cells(one, None) if cell.needs]
    assert {cell.needs for cell in guided} == {(base_cell(),)}
    assert guided[0].key(one, "texts") != guided[0].key(longer, "texts")  # the base model is another one
    keys = [cell.key(one, "texts") for cell in [*trained_cells(one), *diagnostic_cells(one, None)]]
    assert len(set(keys)) == len(keys)
