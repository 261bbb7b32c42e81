"""The recipe of a training: everything beside its text that determines the result, with sizes by the amount of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

from normlens.errors import InvalidInput, did_you_mean

GuideName = Literal["none", "eflomal"]
Precision = Literal["float32", "bfloat16"]
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Recipe:
    """How a translation model is trained.

    Attributes
    ----------
    epochs
        Passes over the pairs.
    pieces
        Size of the joint vocabulary; halved as long as the text doesn't have that many pieces.
    width, layers, heads
        Size of the model; encoder and decoder have this many layers each.
    dropout
        Share of activations dropped in training.
    positions
        Most padded positions in a batch.
    learning_rate, warmup
        Peak learning rate and most warmup steps (a tenth of all steps at most); then a cosine decay to zero.
    guide
        "eflomal" to have the cross-attention of the decoder's first layer follow that aligner's links, or "none".
    masking, plain
        Share of the decoder's input pieces that are masked, and the share of the epochs before masking begins.
    longest
        Maximum sentence length in pieces; longer ones are left out.
    precision
        "float32", or "bfloat16" for mixed precision.
    seed
        Random seed of weights, order, dropout and masks.
    """

    epochs: float
    pieces: int
    width: int
    layers: int = 3
    heads: int = 4
    dropout: float = 0.0
    positions: int = 1280
    learning_rate: float = 1e-3
    warmup: int = 400
    guide: GuideName = "none"
    masking: float = 0.0
    plain: float = 0.5
    longest: int = 100
    precision: Precision = "float32"
    seed: int = 1

    def __post_init__(self) -> None:
        for name, choices in (("guide", get_args(GuideName)), ("precision", get_args(Precision))):
            if getattr(self, name) not in choices:
                raise InvalidInput(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}.")
        if not (0 <= self.masking <= 1 and 0 <= self.plain <= 1 and 0 <= self.dropout < 1) or self.epochs <= 0:
            raise InvalidInput(
                f"masking {self.masking}, plain {self.plain}, dropout {self.dropout}, epochs {self.epochs}; expected shares "
                "from 0 to 1 (dropout below 1), and more than 0 epochs."
            )
        if min(self.layers, self.heads, self.pieces, self.positions, self.longest) < 1 or self.width % (2 * self.heads):
            raise InvalidInput(
                f"layers {self.layers}, heads {self.heads}, width {self.width}, pieces {self.pieces}, positions "
                f"{self.positions}, longest {self.longest}; expected at least 1 each, and a width that is a multiple of "
                "twice the heads."
            )


SIZES: tuple[tuple[int, Mapping[str, Any]], ...] = (
    (3_000, {"epochs": 40, "pieces": 2000, "width": 128, "layers": 2, "dropout": 0.1, "positions": 640}),
    (12_000, {"epochs": 20, "pieces": 3000, "width": 128, "layers": 2, "dropout": 0.1, "positions": 640}),
    (60_000, {"epochs": 10, "pieces": 5000, "width": 192, "dropout": 0.1}),
    (300_000, {"epochs": 5, "pieces": 6000, "width": 192}),
    (1_000_000, {"epochs": 4, "pieces": 10000, "width": 256, "heads": 4, "positions": 2560}),
)
"""Sizes for texts of fewer pairs than these."""

LARGEST: Mapping[str, Any] = {
    "epochs": 4, "pieces": 16000, "width": 512, "layers": 6, "heads": 8, "positions": 5120, "learning_rate": 5e-4,
    "warmup": 4000, "dropout": 0.1,
}  # fmt: skip
"""Sizes for still more text."""


def recipe_for(pairs: int, **chosen: Any) -> Recipe:
    """The recipe for an amount of text.

    Parameters
    ----------
    pairs
        Number of pairs to train on.
    **chosen
        Attributes of :class:`Recipe` that are set; None leaves the default.

    Raises
    ------
    InvalidInput
        If there is no such attribute, or its value is out of range.

    Examples
    --------
    >>> recipe_for(200_000).width, recipe_for(200_000, epochs=2.5).epochs
    (192, 2.5)
    """
    sizes = next((sizes for below, sizes in SIZES if pairs < below), LARGEST)
    return with_settings(Recipe(**sizes), chosen)


def with_settings(recipe: Settings, chosen: Mapping[str, Any]) -> Settings:
    """A recipe with some of its attributes set; None leaves what is there.

    Raises
    ------
    InvalidInput
        If there is no such attribute, or its value is out of range.
    """
    names = [field.name for field in fields(recipe)]  # type: ignore[arg-type]
    for name in chosen:
        if name not in names:
            raise InvalidInput(
                f"A recipe has no {name!r}; expected one of {', '.join(names)}.{did_you_mean(name, names)}"
            )
    values = {name: value for name, value in chosen.items() if value is not None}
    changed: Settings = replace(recipe, **values)  # type: ignore[type-var]
    return changed
