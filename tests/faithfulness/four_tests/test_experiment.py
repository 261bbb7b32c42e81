"""The file of an experiment: defaults by kind, paths relative to it, and keys and values that are refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.cells import base_cell, diagnostic_cells, trained_cells
from normlens.faithfulness.four_tests.experiment import Experiment, experiment_of, read_experiment

PATHS = ('train = "train.csv"\n', 'test = "test.csv"\n')
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


ODD = ["0", "-1", "1", "9" * 30, "9" * 400, "9" * 5000, "0.5", "nan", "inf", "-inf", "1e400", '""', '"x"', "[]", "[[]]",
       "[0]", '["a", "a"]', "[1e400]", "true", "{}", "{a = 1}", "1979-05-27"]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=lambda value: value[:12])
def test_every_key_with_an_odd_value_is_an_experiment_or_refused(tmp_path: Path, value: str) -> None:
    """What is accepted has no number that would take all memory before a model is trained."""
    kinds = {f.name: f.type for f in fields(Experiment)}
    for table in kinds:
        for key in [
            f.name for f in fields(getattr(experiment_of({"data": {"train": "a.csv", "test": "b.csv"}}), table))
        ]:
            lines = DATA if table != "data" else f"[data]\n{''.join(x for x in PATHS if not x.startswith(key))}"
            text = f"{lines}{key} = {value}\n" if table == "data" else f"{lines}[{table}]\n{key} = {value}\n"
            try:
                made = read_experiment(written(tmp_path, text))
            except InvalidInput as error:
                assert len(str(error)) < 1000
                continue
            numbers = [x for x in vars(getattr(made, table)).values() if isinstance(x, int)]
            assert table == "data" or all(abs(x) <= 1e5 for x in numbers)


def test_guides_are_chosen_by_name() -> None:
    tables = {"data": {"train": "a.csv", "test": "b.csv"}, "tests": {"guides": 2, "guided": ["uniform", "base/norm"]}}
    made = experiment_of(tables)
    assert [cell.name for cell in diagnostic_cells(made, None)] == [
        f"diagnostic {guide} seed {seed}" for guide in ("uniform", "base/norm") for seed in (0, 1)
    ]
    for guided, message in ((["uniform", "base/nrom"], "Did you mean 'base/norm'"), (["base/norm"], '"uniform" among')):
        with pytest.raises(InvalidInput, match=message):
            experiment_of({**tables, "tests": {"guided": guided}})


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
