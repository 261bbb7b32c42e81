"""The texts of a corpus as a model reads them: alone, or each with its target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from normlens.cli.files import Lines

if TYPE_CHECKING:
    from normlens import Lens
    from normlens.outline import Outline


def check_corpus(outline: Outline, file: Path, group: str | None) -> None:
    """Refuse a corpus without targets for an encoder–decoder, or a kind of attention that the model can't have.

    Parameters
    ----------
    outline
        The model before its weights are read.
    file
        One text per line.
    group
        A kind of attention.

    Raises
    ------
    InvalidInput
        With what is expected.
    """
    outline.check_view(group)
    if outline.is_encoder_decoder:
        next(iter(Lines(file, column=0)), None)


def texts_of(lens: Lens, file: Path, limit: int | None) -> tuple[Lines, Lines | None]:
    """The texts of a file, and their targets if the model is an encoder–decoder."""
    if lens.model.config.is_encoder_decoder:
        return Lines(file, limit, column=0), Lines(file, limit, column=1)
    return Lines(file, limit), None
