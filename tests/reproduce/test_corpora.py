"""Sentences and their punctuation out of a treebank written by hand."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from normlens.errors import InvalidInput
from reproduce.data.corpora import TREEBANK, read_corpus

CONLLU = """# sent_id = 1
# text = “I'm,” he said.
1\t“\t"\tPUNCT\t_
2-3\tI'm\t_\t_\t_
2\tI\tI\tPRON\t_
3\t'm\tbe\tAUX\t_
4\t,\t,\tPUNCT\t_
5\t”\t"\tPUNCT\t_
6\the\the\tPRON\t_
7\tsaid\tsay\tVERB\t_
7.1\tso\tso\tADV\t_
8\t.\t.\tPUNCT\t_

# sent_id = 2
# text = Up 5 $ .
1\tUp\tup\tADV\t_
2\t5\t5\tNUM\t_
3\t$\t$\tSYM\t_
4\t.\t.\tPUNCT\t_

"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / TREEBANK).parent.mkdir()
    (tmp_path / TREEBANK).write_text(CONLLU, encoding="utf-8")
    return tmp_path


def test_treebank_gives_sentences_and_spans_of_punctuation(folder: Path) -> None:
    corpus = read_corpus(folder=folder)
    assert corpus.texts == ["“I'm,” he said.", "Up 5 $ ."]
    assert corpus.punctuation is not None
    marks = [[text[a:b] for a, b in spans] for text, spans in zip(corpus.texts, corpus.punctuation, strict=True)]
    assert marks == [["“", ",", "”", "."], ["."]]


def test_tokens_inside_tagged_words_are_punctuation_and_empty_ones_are_not(folder: Path) -> None:
    start, end = np.array([0, 0, 2, 5, 7, 8, 0]), np.array([0, 2, 4, 6, 8, 8, 0])
    data = xr.Dataset(coords={"source_start": ("source", start), "source_end": ("source", end)})
    tagged = read_corpus(folder=folder).tagged_punctuation(1, data)
    assert tagged is not None
    assert tagged.tolist() == [False, False, False, False, True, False, False]


def test_limit_is_spread_over_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "ten.txt"
    path.write_text("\n\n".join(str(k) for k in range(10)))
    corpus = read_corpus(path, limit=3)
    assert corpus.texts == ["0", "3", "6"]
    assert corpus.tagged_punctuation(0, xr.Dataset()) is None


@pytest.mark.parametrize("content", [None, "\n \n"])
def test_a_missing_or_empty_corpus_says_so(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidInput, match=r"corpus\.txt"):
        read_corpus(path)
