"""Input of a translation model in training: pairs as ids, and batches of similar length in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import MarianTokenizer

from normlens.translation.preparation import Pair
from normlens.translation.vocabulary import END, PADDING, UNKNOWN

IGNORED = -100
"""Label of a position without a label."""


def shifted(labels: Tensor) -> Tensor:
    """The input of a decoder that begins with padding: labels moved by one piece."""
    moved = torch.nn.functional.pad(labels[:, :-1], (1, 0), value=PADDING)
    return moved.masked_fill(moved == IGNORED, PADDING)


@dataclass(frozen=True)
class EncodedPairs:
    """Ids of source and target sentences, each with its end-of-sentence, and how a model reads them.

    Attributes
    ----------
    source, target
        Ids, sentence by sentence.
    padding
        Id that fills a batch of sources.
    decoder_inputs
        The decoder's input ids for labels ``(pair, piece)``, in which :data:`IGNORED` fills the batch.
    """

    source: list[list[int]]
    target: list[list[int]]
    padding: int = PADDING
    decoder_inputs: Callable[[Tensor], Tensor] = shifted

    def __len__(self) -> int:
        return len(self.source)

    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of every source and of every target."""
        return np.array([len(ids) for ids in self.source]), np.array([len(ids) for ids in self.target])

    def within(self, longest: int) -> list[int]:
        """Numbers of the pairs whose sides have at most this many pieces, the end of the sentence included."""
        return np.flatnonzero(np.maximum(*self.lengths()) <= longest).tolist()

    def turned(self) -> EncodedPairs:
        """The opposite direction."""
        return replace(self, source=self.target, target=self.source)

    def select(self, numbers: Sequence[int]) -> EncodedPairs:
        """Some of the pairs."""
        return replace(self, source=[self.source[k] for k in numbers], target=[self.target[k] for k in numbers])


def encode(pairs: Sequence[Pair], tokenizer: MarianTokenizer) -> EncodedPairs:
    """Turn pairs into ids.

    Parameters
    ----------
    pairs
        Sentences in the tokenizer's source language, and in its target language.
    tokenizer
        Made by :func:`~normlens.translation.vocabulary.tokenizer_for`.
    """
    encoder = tokenizer.spm_source
    source, target = ([[*ids, END] for ids in encoder.encode([pair[side] for pair in pairs])] for side in (0, 1))
    return EncodedPairs(source, target)


def batches_of_like_length(pairs: EncodedPairs, positions: int, seed: int) -> list[np.ndarray]:
    """Batch pairs of similar length, in random order.

    Parameters
    ----------
    pairs
        Encoded sentences.
    positions
        Most padded positions in a batch, on the longer side; a single pair may exceed it.
    seed
        Of the order among pairs of one length, and of the batches.

    Returns
    -------
    list of arrays
        Numbers of the pairs in each batch; each pair is in exactly one.
    """
    generator = np.random.default_rng(seed)
    source, target = pairs.lengths()
    order = generator.permutation(len(pairs))
    order = order[np.lexsort((source[order], target[order]))]
    batches, first, longest = [], 0, 0
    for place, pair in enumerate(order):
        longest = max(longest, source[pair], target[pair])
        if place > first and longest * (place + 1 - first) > positions:
            batches.append(order[first:place])
            first, longest = place, max(source[pair], target[pair])
    batches.append(order[first:])
    return [batches[k] for k in generator.permutation(len(batches))]


class Course(Dataset[dict[str, Tensor]]):
    """Every batch of a whole training, in order; an item is one batch.

    An item depends only on its number and the seed, so that a resumed training sees the same batches and the same masks.

    Parameters
    ----------
    pairs
        Encoded sentences.
    epochs
        Passes over the pairs; a fraction of an epoch is its first batches.
    positions
        Most padded positions in a batch.
    masking
        Share of the decoder's input pieces that are hidden.
    plain
        Share of the epochs before masking begins.
    seed
        Of order and masks.

    Attributes
    ----------
    guide
        Function from a batch's pairs, rows and columns to the links that guide its attention; None without a guide.
    """

    def __init__(
        self, pairs: EncodedPairs, epochs: float, positions: int, masking: float, plain: float, seed: int
    ) -> None:
        self.pairs, self.masking, self.seed = pairs, masking, seed
        self.guide: Callable[[np.ndarray, int, int], Tensor] | None = None
        self.batches: list[np.ndarray] = []
        for epoch in range(math.ceil(epochs)):
            batches = batches_of_like_length(pairs, positions, hash((seed, epoch)) % 2**32)
            share = min(1.0, epochs - epoch)
            self.batches += batches[: math.ceil(share * len(batches))]
        self._masked_from = plain * len(self.batches)
        self.pairs_seen = np.cumsum([0, *map(len, self.batches)])

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        batch = padded(self.pairs, self.batches[number])
        generator = torch.Generator().manual_seed(hash((self.seed, number)) % 2**63)
        share = self.masking if number >= self._masked_from else 0.0
        batch["decoder_input_ids"] = mask(batch["decoder_input_ids"], share, generator)
        if self.guide is not None:
            rows, columns = batch["decoder_input_ids"].shape[1], batch["input_ids"].shape[1]
            batch["guide"] = self.guide(self.batches[number], rows, columns)
        return batch


def padded(pairs: EncodedPairs, chosen: np.ndarray) -> dict[str, Tensor]:
    """Some pairs as the arguments of a translation model, with labels; nothing is masked."""
    source, target = ([torch.tensor(side[k]) for k in chosen] for side in (pairs.source, pairs.target))
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    labels = pad_sequence(target, batch_first=True, padding_value=IGNORED)
    return {
        "input_ids": pad_sequence(source, batch_first=True, padding_value=pairs.padding),
        "attention_mask": pad_sequence([torch.ones_like(ids) for ids in source], batch_first=True),
        "decoder_input_ids": pairs.decoder_inputs(labels),
        "labels": labels,
    }


def mask(decoder_input_ids: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace a random share of the decoder's input pieces by the unknown piece; start and padding stay."""
    drawn = torch.rand(decoder_input_ids.shape, generator=generator) < share
    return decoder_input_ids.masked_fill(drawn & (decoder_input_ids != PADDING), UNKNOWN)
