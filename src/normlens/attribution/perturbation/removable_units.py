"""The words or spans of a text that perturbation methods take out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from normlens.attribution.arrays import Attribution
from normlens.attribution.grouped_sources import unit_labels
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.example import Example
from normlens.words.merging import groups, merge_spans
from normlens.words.text_spans import REST, Spans, spans_of_tokens

WORDS = "words"


@dataclass(frozen=True)
class RemovableUnits:
    """Words or spans of what a model reads.

    Attributes
    ----------
    numbers
        The unit of each source token, ``(token,)``; ``REST`` for tokens that always stay.
    places
        First character of each unit and character after the last, ``(unit, 2)``.
    text
        The text that they refer to.
    kind
        "words" or "spans".
    """

    numbers: Int[np.ndarray, " token"]
    places: Int[np.ndarray, "unit 2"]
    text: str
    kind: str

    def __len__(self) -> int:
        return len(self.places)

    def shares(self, values: Any, attrs: Mapping[str, Any]) -> Attribution:
        """Numbers of the units as an attribution, ``(source,)``."""
        coords = unit_labels(self.text, self.places, range(len(self)))
        return Attribution(
            np.asarray(values, dtype=np.float64), dims=("source",), coords=coords,
            attrs={**attrs, "units": self.kind}, name="share",
        )  # fmt: skip


def units_of(example: Example, grouping: Any, start: int | None, default: Spans | str = WORDS) -> RemovableUnits:
    """The units of a prompt: its spans, or by default its words.

    Parameters
    ----------
    example
        What the model reads.
    grouping
        A :class:`~normlens.attribution.whole_answers.context_prompt.Grouping`; None for the default.
    start
        Position of the first token of an answer, whose tokens always stay; None if there is none.
    default
        The method's own choice: "words", or spans by name.

    Raises
    ------
    UnsupportedArchitecture
        If the model reads images or sounds, whose parts have no words.
    InvalidInput
        If spans can't be told apart, or there are none.
    """
    tokens = example.source
    if tokens is None or example.medium != "text" or example.whole:
        what = "no text" if example.medium == "text" else f"an {example.medium}"
        raise UnsupportedArchitecture(
            f"The input holds {what}; expected a text, whose words can be taken out. Use method='decompx'."
        )
    end = len(tokens) if start is None else start
    prompt = np.arange(len(tokens)) < end
    text = tokens.text[: int(tokens.offsets[prompt].max())] if start is not None else tokens.text
    numbers = np.full(len(tokens), REST, dtype=np.int64)
    if grouping is None and default == WORDS:
        ordinary = prompt & ~tokens.special & (tokens.words >= 0)
        if not ordinary.any():
            raise InvalidInput(f"The text has no words to take out: {text[:60]!r}. Pass a longer one.")
        numbers[ordinary] = groups(tokens.words[ordinary])
        return RemovableUnits(numbers, merge_spans(tokens.offsets[ordinary], tokens.words[ordinary]), text, WORDS)
    from normlens.attribution.whole_answers.context_prompt import Grouping

    places = (Grouping(default) if grouping is None else grouping).places(text)
    numbers[:end] = spans_of_tokens(text, tokens.offsets[:end], places, tokens.special[:end])
    return RemovableUnits(numbers, places, text, "spans")
