"""The four tests on SST and AG News: which texts each experiment takes, and where its word vectors are from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import normlens
from normlens.errors import NormLensError
from normlens.faithfulness.four_tests.encoded_texts import Vocabulary
from normlens.faithfulness.four_tests.labeled_texts import read_data
from normlens.faithfulness.four_tests.word_vectors import read_vectors
from reproduce.four_tests.input_vectors import write_input_vectors
from reproduce.four_tests.parts import PARTS, experiment


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Data sets of a few texts, in the format of the real ones."""
    (tmp_path / "sst").mkdir()
    rows = [f"a film that is {word},{label},{split}" for split in ("train", "dev", "test") for word, label in
            (("good", 1), ("bad", 0), ("fine", 1))]  # fmt: skip
    (tmp_path / "sst" / "sst_dataset.csv").write_text(
        "text,label,exp_split\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    return tmp_path


def test_sst_keeps_its_splits_and_classes(data: Path, tmp_path: Path) -> None:
    made = experiment("sst-random", data, tmp_path / "run")
    read = read_data(made.data)
    assert read.classes == ("negative", "positive") and made.data.min_tokens == 6
    assert [read.splits[split].labels.tolist() for split in ("train", "dev", "test")] == [[1, 0, 1]] * 3
    assert made.tests.explanations[0] == "weight" and made.tests.seeds == 5


def test_every_part_is_an_experiment(data: Path, tmp_path: Path) -> None:
    for name in ("sst-random", "sst-minilm"):
        made = experiment(name, data, tmp_path / name)
        assert made.classifier.kind == PARTS[name].classifier.get("kind", "recurrent")


def test_missing_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(NormLensError, match=r"sst_dataset\.csv can't be read"):
        experiment("sst-random", tmp_path, tmp_path / "run")


@pytest.mark.real_model
def test_word_vectors_are_means_of_input_embeddings(tmp_path: Path) -> None:
    minilm = normlens.load("minilm-l6")
    path = tmp_path / "vectors.txt"
    write_input_vectors(path, ["unhappinesses film"])
    vocabulary = Vocabulary(["unhappinesses film"])
    vectors, coverage = read_vectors(path, vocabulary.words, seed=0)
    ids = minilm.tokenizer("unhappinesses", add_special_tokens=False)["input_ids"]
    expected = minilm.model.get_input_embeddings().weight.detach()[ids].mean(0)
    assert len(ids) > 1 and coverage == 1
    np.testing.assert_allclose(vectors[vocabulary.words.index("unhappinesses")], expected, atol=1e-5)
