"""Input of a translation model: a joint sentencepiece vocabulary, and batches of similar length in a fixed order."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import MarianTokenizer

from normlens.errors import InvalidInput
from reproduce.data.parallel_text import Pair

END, UNKNOWN, PADDING = 0, 1, 2
"""The first ids of every vocabulary; the unknown piece also replaces masked ones."""

IGNORED = -100
"""Label of a position without a label."""

LONGEST_INPUT = 256
"""Pieces that the finished model can read."""


def make_tokenizer(pairs: Sequence[Pair], folder: Path, source: str, target: str, pieces: int) -> MarianTokenizer:
    """Learn one vocabulary for both languages and save it as a Marian tokenizer.

    Case is folded by the vocabulary's own normalization, so that the tokenizer accepts cased text, too.

    Parameters
    ----------
    pairs
        Sentences for the vocabulary.
    folder
        Folder of the tokenizer's files.
    source, target
        Languages, such as ``"de"`` and ``"en"``.
    pieces
        Size of the vocabulary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(sentence for pair in pairs for sentence in pair),
            model_prefix=str(folder / "source"),
            model_type="bpe",
            vocab_size=pieces,
            character_coverage=0.9999,
            normalization_rule_name="nmt_nfkc_cf",
            eos_id=END,
            unk_id=UNKNOWN,
            pad_id=PADDING,
            bos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise InvalidInput(f"No vocabulary of {pieces} pieces can be learned from this text: {error}") from error
    (folder / "source.vocab").unlink()
    (folder / "source.model").rename(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    vocabulary = {model.id_to_piece(k): k for k in range(len(model))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(folder / "vocab.json"),
        source_lang=source,
        target_lang=target,
        model_max_length=LONGEST_INPUT,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


@dataclass(frozen=True)
class EncodedPairs:
    """Ids of source and target sentences, each with its end-of-sentence."""

    source: list[list[int]]
    target: list[list[int]]

    def __len__(self) -> int:
        return len(self.source)

    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of every source and of every target."""
        return np.array([len(ids) for ids in self.source]), np.array([len(ids) for ids in self.target])


def encode(pairs: Sequence[Pair], tokenizer: MarianTokenizer, longest: int | None = None) -> EncodedPairs:
    """Turn pairs into ids, from the tokenizer's source language into its target language.

    Parameters
    ----------
    pairs
        German and English.
    tokenizer
        Made by :func:`make_tokenizer`.
    longest
        Leave out pairs with a side of more pieces than this, the end-of-sentence included.
    """
    sides = _both_sides(pairs, tokenizer)
    kept = _kept(sides, longest)
    return EncodedPairs([sides[0][k] for k in kept], [sides[1][k] for k in kept])


def within_length(pairs: Sequence[Pair], tokenizer: MarianTokenizer, longest: int | None) -> list[int]:
    """Numbers of the pairs that `encode` keeps."""
    return _kept(_both_sides(pairs, tokenizer), longest)


def _both_sides(pairs: Sequence[Pair], tokenizer: MarianTokenizer) -> list[list[list[int]]]:
    places = (0, 1) if tokenizer.source_lang == "de" else (1, 0)
    encoder = tokenizer.spm_source
    return [[[*ids, END] for ids in encoder.encode([pair[place] for pair in pairs])] for place in places]


def _kept(sides: Sequence[Sequence[Sequence[int]]], longest: int | None) -> list[int]:
    both = enumerate(zip(*sides, strict=True))
    return [k for k, pair in both if longest is None or max(map(len, pair)) <= longest]


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

    An item depends only on its number and the seed, so that a resumed training, or one that
    is spread over several devices, sees the same batches and the same masks.

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
        Epochs before masking begins.
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
        self._masked_from = plain * len(self.batches) / epochs
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
    """Some pairs as the arguments of a Marian model, with labels; nothing is masked."""
    source, target = ([torch.tensor(side[k]) for k in chosen] for side in (pairs.source, pairs.target))
    input_ids = torch.nn.utils.rnn.pad_sequence(source, batch_first=True, padding_value=PADDING)
    labels = torch.nn.utils.rnn.pad_sequence(target, batch_first=True, padding_value=IGNORED)
    decoder_input_ids = torch.nn.functional.pad(labels[:, :-1], (1, 0), value=PADDING)
    return {
        "input_ids": input_ids,
        "attention_mask": (input_ids != PADDING).long(),
        "decoder_input_ids": decoder_input_ids.masked_fill(decoder_input_ids == IGNORED, PADDING),
        "labels": labels,
    }


def mask(decoder_input_ids: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace a random share of the decoder's input pieces by the unknown piece; start and padding stay."""
    drawn = torch.rand(decoder_input_ids.shape, generator=generator) < share
    return decoder_input_ids.masked_fill(drawn & (decoder_input_ids != PADDING), UNKNOWN)
