"""The texts of a corpus as a model reads them: alone, or each with its target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlens.cli.skipped_lines import SkippedLines
from normlens.cli.text_files import Lines

if TYPE_CHECKING:
    from normlens import Lens
    from normlens.loading.outline import Outline


def check_corpus(outline: Outline, file: Path, group: str | None, reading: CorpusReading) -> None:
    """Refuse a corpus without targets for an encoder–decoder, or a kind of attention that the model can't have.

    Parameters
    ----------
    outline
        The model before its weights are read.
    file
        One text per line.
    group
        A kind of attention.
    reading
        How it is to be read.

    Raises
    ------
    InvalidInput
        With what is expected.
    """
    outline.check_view(group)
    if outline.is_encoder_decoder and reading.skips is None:
        next(iter(Lines(file, column=0)), None)


@dataclass(frozen=True)
class CorpusReading:
    """How a corpus is read.

    Attributes
    ----------
    limit
        How many texts at most.
    truncate
        Whether texts that are longer than the model takes are cut.
    skips
        Takes the lines that can't be read; None: the first of them is refused.
    """

    limit: int | None = None
    truncate: bool = False
    skips: SkippedLines | None = None

    def texts_of(self, lens: Lens, file: Path) -> tuple[Lines, Lines | None]:
        """The texts of a file, and their targets if the model is an encoder–decoder."""
        skip = None if self.skips is None else self.skips.add
        if lens.model.config.is_encoder_decoder:
            return Lines(file, self.limit, 0, skip), Lines(file, self.limit, 1, skip)
        return Lines(file, self.limit, skip=skip), None

    def options(self, texts: Lines) -> dict[str, Any]:
        """What :meth:`normlens.Lens.stream` takes of this for these texts."""
        skip = None if self.skips is None else self.skips.at(lambda: texts.number)
        return {"truncate": self.truncate, "skip": skip}
