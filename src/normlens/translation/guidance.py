"""Links of a statistical aligner as a guide for training, computed from the same text without annotation.

Following Chen et al. 2016 ("Guided alignment training for topic-aware neural machine translation") and Garg et al. 2019
("Jointly learning to align and translate with Transformer models"), but in the row where the target word is the decoder's
input (AWI), where the word to link is an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import MarianTokenizer

from normlens.bitext.eflomal import link_files
from normlens.bitext.link_files import LinkFile
from normlens.bitext.links import Cell
from normlens.errors import InvalidInput
from normlens.files.atomic import write_atomically
from normlens.translation.batches import EncodedPairs
from normlens.translation.preparation import Pair
from normlens.translation.vocabulary import UNKNOWN


class Guide:
    """The source pieces that each target piece should attend to.

    Parameters
    ----------
    pairs
        Encoded sentences.
    words
        For each of them the numbers of source and target words.
    links
        For each of them the word links (source, target); a target word without one should attend to the end of the sentence.
    tokenizer
        The tokenizer of the pieces.
    """

    def __init__(
        self,
        pairs: EncodedPairs,
        words: Sequence[tuple[int, int]],
        links: Sequence[frozenset[Cell]],
        tokenizer: MarianTokenizer,
    ) -> None:
        if not len(pairs) == len(links) == len(words):
            raise InvalidInput(f"{len(pairs)} pairs and {len(links)} lines of links; expected one line for each pair.")
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._begins = np.array([piece.startswith("▁") for piece in pieces])
        self._pairs, self._number, self._links = pairs, words, links

    def wanted(self, chosen: NDArray[np.intp], rows: int, columns: int) -> Tensor:
        """1 where the input piece of a decoder row should attend, ``(pair, row, column)``; other rows are empty.

        A pair whose words the tokenizer's normalization cuts otherwise is not guided.
        """
        attended = torch.zeros(len(chosen), rows, columns)
        for place, number in enumerate(chosen):
            source, target = (self._words(side[number]) for side in (self._pairs.source, self._pairs.target))
            if (source.max(initial=-1) + 1, target.max(initial=-1) + 1) != self._number[number]:
                continue
            table = np.zeros((self._number[number][1], self._number[number][0] + 1), dtype=np.float32)
            for i, j in self._links[number]:
                table[j, i] = 1
            table[:, -1] = table.sum(axis=1) == 0
            cut = table[target][:, np.append(source, table.shape[1] - 1)]
            attended[place, 1 : 1 + cut.shape[0], : cut.shape[1]] = torch.from_numpy(cut)
        return attended

    def _words(self, ids: Sequence[int]) -> NDArray[np.intp]:
        """The word of each piece, without the end of the sentence."""
        words: NDArray[np.intp] = np.maximum(np.cumsum(self._begins[np.asarray(ids[:-1], dtype=np.intp)]) - 1, 0)
        return words


def guided_loss(weights: Tensor, wanted: Tensor, decoder_input_ids: Tensor) -> Tensor:
    """Mean of −log of the attention to the linked pieces, over rows whose input isn't masked.

    Parameters
    ----------
    weights
        One layer's cross-attention, ``(pair, head, row, column)``; the heads' mean is guided.
    wanted
        From `Guide.wanted`.
    decoder_input_ids
        ``(pair, row)``.
    """
    right = (weights.float().mean(1) * wanted).sum(-1)
    guided = (wanted.sum(-1) > 0) & (decoder_input_ids != UNKNOWN)
    return -right[guided].clamp_min(1e-6).log().sum() / guided.sum().clamp_min(1)


def eflomal_links(pairs: Sequence[Pair], folder: Path) -> list[frozenset[Cell]]:
    """Link pairs by eflomal, both directions together; done once and kept.

    Parameters
    ----------
    pairs
        The sentences.
    folder
        Where the links are kept.

    Raises
    ------
    NormLensError
        If the program isn't installed, or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ahead, back = folder / "links.forward", folder / "links.reverse"
    if not (ahead.exists() and back.exists()):
        sides = folder / "text.source", folder / "text.target"
        for side, path in enumerate(sides):
            write_atomically(path, "".join(f"{pair[side].lower()}\n" for pair in pairs))
        link_files(*sides, ahead, back)
    both = zip(*(LinkFile(path, base=0).read() for path in (ahead, back)), strict=True)
    return [one.possible | other.possible for one, other in both]
