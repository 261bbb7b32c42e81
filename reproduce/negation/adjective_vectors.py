"""Vectors of words in sentences, layer by layer, and those of the adjectives in their frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from normlens import Lens
from reproduce.negation.adjectives import FRAMES, Domain

Vectors = Float[np.ndarray, "domain pair pole frame layer size"]


def word_vectors(
    lens: Lens, texts: Sequence[str], spans: Sequence[tuple[int, int]], batch_size: int = 64
) -> Float[np.ndarray, "text layer size"]:
    """The vector of a word in each text: the mean over its tokens of the embedding and of every layer's output.

    Parameters
    ----------
    lens
        The model.
    texts, spans
        Texts, and the first character of a word and the one after its last.
    batch_size
        Texts per run.
    """
    tokenizer: Any = lens.tokenizer
    rows: list[Float[np.ndarray, "layer size"]] = [np.empty(0)] * len(texts)
    by_length = sorted(range(len(texts)), key=lambda k: len(texts[k]))
    for start in range(0, len(texts), batch_size):
        batch = by_length[start : start + batch_size]
        encoded = [tokenizer(texts[k], return_offsets_mapping=True) for k in batch]
        ids = [torch.tensor(one["input_ids"]) for one in encoded]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
        with torch.no_grad():
            states = lens.model(input_ids=padded, attention_mask=mask, output_hidden_states=True).hidden_states
        hidden = torch.stack(states, dim=2).float().numpy()
        for row, (k, one) in enumerate(zip(batch, encoded, strict=True)):
            first, last = spans[k]
            tokens = [t for t, (a, b) in enumerate(one["offset_mapping"]) if a < last and b > first]
            rows[k] = hidden[row, tokens].mean(axis=0)
    return np.stack(rows).astype(np.float64)


def adjective_vectors(lens: Lens, modifier: str, domains: Sequence[Domain], batch_size: int = 64) -> Vectors:
    """Vectors of all adjectives after a modifier ("" for none) in all frames."""
    texts, spans = [], []
    for domain in domains:
        for pair in domain.pairs:
            for word in pair:
                for frame in FRAMES:
                    text = frame.format(f"{modifier} {word}".strip())
                    end = text.index(word, text.index(modifier) + len(modifier)) + len(word)
                    texts.append(text)
                    spans.append((end - len(word), end))
    vectors = word_vectors(lens, texts, spans, batch_size)
    return vectors.reshape(len(domains), 2, 2, len(FRAMES), *vectors.shape[1:])
