"""The recipe of a child's training: everything beside parent, setting and text that determines the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from normlens.errors import InvalidInput
from normlens.translation.recipe import Precision, recipe_for, with_settings


@dataclass(frozen=True)
class TransferRecipe:
    """How a child is trained.

    Attributes
    ----------
    epochs
        Passes over the pairs.
    pieces
        Size of the new language's vocabulary; halved as long as the text doesn't have that many pieces.
    positions
        Most padded positions in a batch.
    learning_rate, warmup
        Peak learning rate and most warmup steps (a tenth of all steps at most); then a cosine decay to zero.
    longest
        Maximum sentence length in pieces; longer ones are left out.
    precision
        "float32", or "bfloat16" for mixed precision.
    seed
        Random seed of new weights, order and dropout.
    """

    epochs: float
    pieces: int
    positions: int = 1280
    learning_rate: float = 1e-3
    warmup: int = 400
    longest: int = 100
    precision: Precision = "float32"
    seed: int = 1

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.learning_rate <= 0:
            raise InvalidInput(
                f"epochs {self.epochs}, learning_rate {self.learning_rate}; expected more than 0 of each."
            )
        if min(self.pieces, self.positions, self.longest) < 1:
            raise InvalidInput(
                f"pieces {self.pieces}, positions {self.positions}, longest {self.longest}; expected at least 1 of each."
            )
        if self.precision not in ("float32", "bfloat16"):
            raise InvalidInput(f"precision is {self.precision!r}; expected one of float32, bfloat16.")


def transfer_recipe(pairs: int, **chosen: Any) -> TransferRecipe:
    """The recipe for an amount of text: epochs, pieces and batches as for a new model of that text.

    Parameters
    ----------
    pairs
        Number of pairs to train on.
    **chosen
        Attributes of :class:`TransferRecipe` that are set; None leaves the default.

    Raises
    ------
    InvalidInput
        If there is no such attribute, or its value is out of range.

    Examples
    --------
    >>> transfer_recipe(29_000).epochs, transfer_recipe(29_000, epochs=3).epochs
    (10, 3)
    """
    new = recipe_for(pairs)
    return with_settings(TransferRecipe(new.epochs, new.pieces, new.positions), chosen)
