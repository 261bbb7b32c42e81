"""The settings of a training of a translation model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from normlens.errors import InvalidInput


@dataclass(frozen=True)
class Settings:
    """Everything that determines the result of a training; kept with it, so that it resumes only with equal settings.

    Attributes
    ----------
    direction
        ``"de-en"`` or ``"en-de"``.
    texts
        ``"free"`` for corpora that allow redistribution, ``"all"`` for everything.
    seed
        Random seed of weights, order, dropout and masks.
    epochs
        Passes over the pairs.
    masking
        Share of the decoder's input pieces that are masked, after masking has begun.
    plain
        Epochs before masking begins: a model that never sees its whole input learns to align late.
    guide
        ``"eflomal"`` to have the cross-attention of the decoder's first layer follow that aligner's links, or None.
    positions
        Most padded positions in a batch.
    pieces
        Size of the joint vocabulary.
    width, layers, heads
        Size of the model; encoder and decoder have this many layers each.
    dropout
        None by default: a model this small doesn't overfit on this much text.
    learning_rate, warmup
        Peak learning rate and warmup steps; then a cosine decay to zero.
    longest
        Maximum sentence length in pieces; longer ones are left out.
    held_out
        Number of held-out pairs.
    precision
        ``"bfloat16"`` for mixed precision, or ``"float32"``.
    limit
        Maximum number of pairs per corpus; None for all.
    start
        Folder of a finished training whose vocabulary and weights this one starts from, with a new learning rate; None
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
        """Refuse a start that isn't finished, or has other settings of the model."""
        path = start / "model" / "training.json"
        if not path.is_file():
            raise InvalidInput(f"{start} holds no finished training. Finish it first, or leave out --start.")
        earlier = json.loads(path.read_text(encoding="utf-8"))["settings"]
        for name in ("direction", "pieces", "width", "layers", "heads"):
            if earlier[name] != getattr(self, name):
                raise InvalidInput(
                    f"The training in {start} has {name} {earlier[name]!r}, not {getattr(self, name)!r}. Expected the same; "
                    "name it, or leave out --start."
                )
