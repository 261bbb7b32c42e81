"""Everything that decides what a training of a translation model gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from normlens.errors import InvalidInput


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a training gives; kept beside it, so that it goes on only with the same.

    Attributes
    ----------
    direction
        ``"de-en"`` or ``"en-de"``.
    texts
        ``"free"`` for what may be given away, ``"all"`` for everything.
    seed
        Of weights, order, dropout and masks.
    epochs
        How often each pair is seen.
    masking
        Share of the decoder's input pieces that are hidden, once masking has begun.
    plain
        Epochs before masking begins: a model that has to translate from half of its input at once learns to align late.
    guide
        ``"eflomal"`` to have the cross-attention of the decoder's first layer follow that aligner's links, or None.
    positions
        Most padded positions in a batch.
    pieces
        Size of the joint vocabulary.
    width, layers, heads
        Size of the model; encoder and decoder have that many layers each.
    dropout
        None by default: so small a model on so much text doesn't overfit.
    learning_rate, warmup
        Peak, and steps up to it; a cosine leads down to zero at the end.
    longest
        Longer sentences, in pieces, aren't trained on.
    held_out
        Pairs to measure on.
    precision
        ``"bfloat16"`` for mixed precision, or ``"float32"``.
    limit
        Pairs of each corpus to read at most; None for all.
    start
        Folder of a finished training whose vocabulary and weights this one begins with, under a new learning rate; None
        for random weights.
    """

    direction: str
    texts: str = "free"
    seed: int = 1
    epochs: float = 5.0
    masking: float = 0.5
    plain: float = 2.0
    guide: str | None = None
    positions: int = 1280
    pieces: int = 6000
    width: int = 192
    layers: int = 3
    heads: int = 4
    dropout: float = 0.0
    learning_rate: float = 1e-3
    warmup: int = 400
    longest: int = 100
    held_out: int = 1000
    precision: str = "bfloat16"
    limit: int | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.masking <= 1 or self.epochs <= 0 or self.width % (2 * self.heads):
            raise InvalidInput(
                f"Masking {self.masking}, epochs {self.epochs}, width {self.width} with {self.heads} heads; expected "
                "masking from 0 to 1, more than 0 epochs, and a width that is a multiple of twice the heads."
            )
        if self.start is not None:
            self._fits(Path(self.start))

    def _fits(self, start: Path) -> None:
        """Refuse a start that isn't finished, or is another kind of model."""
        path = start / "model" / "training.json"
        if not path.is_file():
            raise InvalidInput(f"{start} holds no finished training. Finish it first, or leave out --start.")
        given = json.loads(path.read_text(encoding="utf-8"))["settings"]
        for name in ("direction", "pieces", "width", "layers", "heads"):
            if given[name] != getattr(self, name):
                raise InvalidInput(
                    f"The training in {start} has {name} {given[name]!r}, not {getattr(self, name)!r}. Expected the same; "
                    "name it, or leave out --start."
                )
