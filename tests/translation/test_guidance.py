"""Word links as a guide for attention."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MarianTokenizer

from normlens.errors import InvalidInput
from normlens.translation import guidance
from normlens.translation.batches import encode
from normlens.translation.guidance import Guide, eflomal_links, guided_loss
from normlens.translation.vocabulary import PADDING, UNKNOWN


def test_the_row_of_a_piece_looks_at_its_links_and_unlinked_ones_at_the_end(from_english: MarianTokenizer) -> None:
    pairs = encode([("two one", "zwei eins"), ("three big", "drei")], from_english)
    guide = Guide(pairs, [(2, 2), (2, 1)], [frozenset({(0, 0), (1, 1)}), frozenset({(0, 0)})], from_english)
    source, target = (max(map(len, side)) for side in (pairs.source, pairs.target))
    wanted = guide.wanted(np.array([0, 1]), target, source)
    pieces = [from_english.convert_ids_to_tokens(ids[:-1]) for ids in pairs.source]
    word = [np.cumsum([piece.startswith("▁") for piece in one]) - 1 for one in pieces]
    assert not wanted[:, 0].any()  # the start token's row
    first = wanted[0, 1].numpy()  # the first piece of the first target word: all pieces of the first source word
    assert first[: len(word[0])].tolist() == (word[0] == 0).astype(float).tolist()
    assert first[len(word[0]) :].sum() == 0
    assert wanted[1, 1, : len(word[1])].tolist() == (word[1] == 0).astype(float).tolist()
    free = Guide(pairs, [(2, 2), (2, 1)], [frozenset(), frozenset()], from_english).wanted(
        np.array([1]), target, source
    )
    assert free[0, 1].nonzero().flatten().tolist() == [len(pairs.source[1]) - 1]


def test_a_pair_whose_words_the_normalization_cuts_is_not_guided(from_english: MarianTokenizer) -> None:
    pairs = encode([("two\u00a0one", "zwei eins")], from_english)  # one word, but a piece begins after the space
    guide = Guide(pairs, [(1, 2)], [frozenset({(0, 0), (0, 1)})], from_english)
    assert not guide.wanted(np.array([0]), len(pairs.target[0]), len(pairs.source[0])).any()


def test_guided_loss_by_hand_and_hidden_inputs_are_left_out() -> None:
    weights = torch.tensor([[[[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]], [[0.5, 0.5], [0.4, 0.6], [0.1, 0.9]]]])
    wanted = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    assert guided_loss(weights, wanted, torch.tensor([[PADDING, 7, 8]])).item() == pytest.approx(
        -(np.log(0.6) + np.log(0.9)) / 2
    )
    assert guided_loss(weights, wanted, torch.tensor([[PADDING, 7, UNKNOWN]])).item() == pytest.approx(-np.log(0.6))
    assert guided_loss(weights, 0 * wanted, torch.tensor([[PADDING, 7, 8]])).item() == 0


def test_eflomal_reads_lowercased_words_once_and_both_directions_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def links(source: Path, target: Path, ahead: Path, back: Path) -> None:
        assert (source.read_text(), target.read_text()) == ("ja gut\n", "yes\n")
        ahead.write_text("0-0\n")
        back.write_text("1-0\n")

    monkeypatch.setattr(guidance, "link_files", links)
    expected = [frozenset({(0, 0), (1, 0)})]
    assert eflomal_links([("Ja gut", "Yes")], tmp_path) == expected
    monkeypatch.setattr(guidance, "link_files", None)
    assert eflomal_links([("Ja gut", "Yes")], tmp_path) == expected


def test_as_many_links_as_pairs_are_needed(from_english: MarianTokenizer) -> None:
    with pytest.raises(InvalidInput, match="1 pairs and 0 lines of links"):
        Guide(encode([("one", "eins")], from_english), [], [], from_english)
