"""Links of a statistical aligner as a guide for training, computed from the same text without annotation.

Following Chen et al. 2016 ("Guided alignment training for topic-aware neural machine translation") and Garg et al. 2019
("Jointly learning to align and translate with Transformer models"), but in the row where the target word is the decoder's
input (AWI), where the word to link is an input.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import MarianTokenizer

from normlens.alignment import read_links
from normlens.errors import InvalidInput
from reproduce.training.translation.batches import UNKNOWN, EncodedPairs

ALIGNER = "eflomal-align"


class Guide:
    """The source pieces that each target piece should attend to.

    Parameters
    ----------
    pairs
        Encoded sentences.
    links
        For each of them the word links (source, target); a target word without one should attend to the end of the sentence.
    tokenizer
        The tokenizer of the pieces.
    """

    def __init__(
        self, pairs: EncodedPairs, links: Sequence[frozenset[tuple[int, int]]], tokenizer: MarianTokenizer
    ) -> None:
        if len(pairs) != len(links):
            raise InvalidInput(f"{len(pairs)} pairs and {len(links)} lines of links; expected one line for each pair.")
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._begins = np.array([piece.startswith("▁") for piece in pieces])
        self._pairs, self._links = pairs, links

    def wanted(self, chosen: NDArray[np.intp], rows: int, columns: int) -> Tensor:
        """1 where the input piece of a decoder row should attend, ``(pair, row, column)``; other rows are empty."""
        attended = torch.zeros(len(chosen), rows, columns)
        for place, number in enumerate(chosen):
            source, target = (self._words(side[number]) for side in (self._pairs.source, self._pairs.target))
            ends = source.max(initial=-1) + 1
            table = np.zeros((target.max(initial=-1) + 1, ends + 1), dtype=np.float32)
            for i, j in self._links[number]:
                if i < ends and j < len(table):
                    table[j, i] = 1
            table[:, ends] = table.sum(axis=1) == 0
            cut = table[target][:, np.append(source, ends)]
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
    return -right[guided].clamp_min(1e-6).log().mean()


def statistical_links(folder: Path, source: str, target: str) -> list[frozenset[tuple[int, int]]]:
    """Link the training text in a folder by eflomal, both directions together; done once and kept.

    Parameters
    ----------
    folder
        Holds ``train.de`` and ``train.en``.
    source, target
        Languages.

    Raises
    ------
    InvalidInput
        If the program isn't installed, or fails.
    """
    ahead, back = (folder / f"links.{one}-{other}" for one, other in ((source, target), (target, source)))
    if not back.exists():
        run_aligner(folder / f"train.{source}", folder / f"train.{target}", ahead, back)
    both = zip(*(read_links(path, base=0) for path in (ahead, back)), strict=True)
    return [frozenset(one.possible | other.possible) for one, other in both]


def run_aligner(source: Path, target: Path, ahead: Path, back: Path) -> None:
    """Have eflomal link two parallel files; the links of both directions appear only when complete.

    Raises
    ------
    InvalidInput
        If the program isn't installed, or fails.
    """
    program = shutil.which(ALIGNER)
    if program is None:
        raise InvalidInput(
            f"The program {ALIGNER} isn't installed. Install it (pip install eflomal; it is under the GPL), or do without "
            "its links."
        )
    unfinished = [path.with_suffix(path.suffix + ".unfinished") for path in (ahead, back)]
    command = [program, "--overwrite", "-s", source, "-t", target, "-f", unfinished[0], "-r", unfinished[1]]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    if done.returncode:
        raise InvalidInput(f"{ALIGNER} failed: {done.stderr.strip()[-300:]}")
    for path, final in zip(unfinished, (ahead, back), strict=True):
        path.rename(final)
