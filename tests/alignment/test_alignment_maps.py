"""Maps of tokens merged into maps of words, with a pencil."""

import numpy as np
import pytest

from normlens.alignment.subwords import Subwords
from normlens.alignment.word_maps import word_map

# Source: word 0 in two pieces, word 1, end. Target: word 0, word 1 in two pieces, end; the decoder reads start + 3 pieces.
SOURCE = Subwords(np.array([5, 6, 7, 0]), np.array([0, 0, 1, -1]), 2)
TARGET = Subwords(np.array([8, 9, 10, 0]), np.array([0, 1, 1, -1]), 2)
VALUES = np.array([[1, 2, 3, 4], [10, 20, 30, 40], [100, 200, 300, 400], [1000, 2000, 3000, 4000]], dtype=float)


def test_awo_reads_the_row_that_predicts_a_word() -> None:
    # Word 0 is predicted in row 0; the pieces of word 1 in rows 1 and 2.
    np.testing.assert_allclose(word_map(VALUES, SOURCE, TARGET, "awo"), [[3, 3, 4], [165, 165, 220]])


def test_awi_reads_the_row_where_a_word_is_the_input() -> None:
    # Word 0 is the input of row 1; the pieces of word 1 of rows 2 and 3.
    np.testing.assert_allclose(word_map(VALUES, SOURCE, TARGET, "awi"), [[30, 30, 40], [1650, 1650, 2200]])


def test_leading_axes_are_kept() -> None:
    both = word_map(np.stack([VALUES, 2 * VALUES]), SOURCE, TARGET, "awo")

    np.testing.assert_allclose(both[1], 2 * both[0])


def test_words_without_a_token() -> None:
    source = Subwords(SOURCE.ids, np.array([0, 0, 2, -1]), 3)
    target = Subwords(TARGET.ids, np.array([1, 1, 1, -1]), 3)

    by_word = word_map(VALUES, source, target, "awo")

    assert np.isnan(by_word[[0, 2]]).all()
    np.testing.assert_allclose(by_word[1], [3 * 37, 0, 3 * 37, 4 * 37])


@pytest.mark.parametrize("setting", ["awi", "awo"])
def test_weights_still_add_up_to_one(setting: str) -> None:
    weights = VALUES / VALUES.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(word_map(weights, SOURCE, TARGET, setting).sum(axis=1), 1)  # type: ignore[arg-type]
