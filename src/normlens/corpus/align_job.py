"""Word alignment over a corpus of sentence pairs, as a job of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from normlens.alignment import Alignment, align
from normlens.alignment.defaults import DEFAULT_MODEL
from normlens.corpus.corpus_row import TextRow
from normlens.corpus.text_results import Skips, TextNumbers, TextResult
from normlens.errors import InvalidInput
from normlens.front_door import load
from normlens.lens import Lens


@dataclass(frozen=True)
class AlignJob:
    """Link the words of sentences with those of their translations, by :func:`normlens.align`.

    Attributes
    ----------
    layer
        The layer of cross-attention; None: the guided layer of the bundled models. Another model needs a layer, because one
        that is chosen from the text would depend on the shard.
    reverse_model
        A model from target to source, a name or a path; None: one direction.
    measure, symmetrize, threshold, balance, tokenize
        As in :func:`normlens.align`.
    """

    layer: int | None = None
    reverse_model: str | None = None
    measure: str = "norm"
    symmetrize: str | None = None
    threshold: float = 0.0
    balance: float = 0.0
    tokenize: str | None = None

    def check(self, lens: Lens) -> None:
        """Refuse a model without cross-attention, or one of which no layer is named."""
        if not lens.model.config.is_encoder_decoder:
            raise InvalidInput(f"{lens.name} has no cross-attention; expected a translation model.")
        if self.layer is None and lens.name != DEFAULT_MODEL:
            raise InvalidInput(
                f"No layer was named for {lens.name}; expected one, the same for all shards. Run normlens align on a few "
                "hundred pairs, which says the layer that it chooses, and name it."
            )

    def results(self, lens: Lens, texts: Sequence[TextRow], skip: Skips) -> Iterator[tuple[int, TextResult]]:
        """One result for each pair that can be aligned."""
        options: dict[str, Any] = {
            "model": lens, "reverse_model": None if self.reverse_model is None else _loaded(self.reverse_model),
            "layer": 0 if self.layer is None else self.layer, "measure": self.measure, "symmetrize": self.symmetrize,
            "threshold": self.threshold, "balance": self.balance, "tokenize": self.tokenize, "skip_bad": True,
            "batch_size": len(texts),
        }  # fmt: skip
        pairs = [row.text for row in texts], [row.target_text or "" for row in texts]
        for place, alignment in enumerate(align(*pairs, **options)):
            if alignment.skipped is not None:
                skip(place, alignment.skipped)
            else:
                yield place, _aligned(alignment)


@cache
def _loaded(model: str) -> Lens:
    return load(model)


def _aligned(alignment: Alignment) -> TextResult:
    links = alignment.links
    rows: dict[str, Any] = {
        "tokens": [len(alignment.source) + len(alignment.target)],
        "source_word": [list(alignment.source)],
        "target_word": [list(alignment.target)],
        "link_source": [[link.source for link in links]],
        "link_target": [[link.target for link in links]],
        "score": [[float(link.score) for link in links]],
        "links": [" ".join(f"{link.source}-{link.target}" for link in links)],
    }
    linked = {
        "source": len({link.source for link in links}) / max(len(alignment.source), 1),
        "target": len({link.target for link in links}) / max(len(alignment.target), 1),
    }
    numbers = {("linked_words", side): np.array(share) for side, share in linked.items()}
    numbers["links", "all"] = np.array(float(len(links)))
    return TextResult(rows, {"alignment": TextNumbers([], [], numbers, float("nan"))}, rows["tokens"][0])
