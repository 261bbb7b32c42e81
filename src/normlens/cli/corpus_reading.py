"""How a corpus is read and analyzed: its texts, for encoder–decoders with their target texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlens.cli.opening import open_lens
from normlens.cli.skipped_lines import SkippedLines
from normlens.cli.terminal import counting
from normlens.cli.text_files import Lines
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens import Analysis, Lens
    from normlens.loading.outline import Outline


def check_corpus(outline: Outline, file: Path, group: str | None, reading: CorpusReading) -> None:
    """Refuse a corpus without target texts for an encoder–decoder, or a group that the model can't have.

    Parameters
    ----------
    outline
        The model before its weights are read.
    file
        The corpus, one text per line.
    group
        Kind of attention.
    reading
        How the corpus is read.

    Raises
    ------
    InvalidInput
        Naming what is expected.
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
        Largest number of texts.
    truncate
        Whether to truncate texts that are too long for the model.
    skips
        Collects lines that can't be read; None: the first such line is an error.
    """

    limit: int | None = None
    truncate: bool = False
    skips: SkippedLines | None = None

    @classmethod
    def opened(
        cls,
        model: str,
        file: Path,
        *,
        group: str | None,
        limit: int | None,
        truncate: bool,
        skip_bad: bool,
        **loading: Any,
    ) -> tuple[Lens, CorpusReading]:
        """Open a model for a corpus, once the corpus has a text that it can read.

        Parameters
        ----------
        model, file, group, limit, truncate
            As on the command line.
        skip_bad
            Whether lines that can't be read are skipped.
        **loading
            Options of :func:`normlens.cli.opening.open_lens`.

        Raises
        ------
        NormLensError
            If the corpus can't be read, or doesn't fit the model, or the model can't be opened.
        """
        reading = cls(limit, truncate, SkippedLines() if skip_bad else None)
        if not skip_bad:
            next(iter(Lines(file)), None)
        return open_lens(model, check=lambda outline: check_corpus(outline, file, group, reading), **loading), reading

    @property
    def skipped(self) -> SkippedLines:
        """The lines that were skipped; none where bad lines are errors."""
        return self.skips or SkippedLines()

    def texts_of(self, lens: Lens, file: Path) -> tuple[Lines, Lines | None]:
        """The texts of a file, and the target texts if the model is an encoder–decoder."""
        skip = None if self.skips is None else self.skips.add
        if lens.model.config.is_encoder_decoder:
            return Lines(file, self.limit, 0, skip), Lines(file, self.limit, 1, skip)
        return Lines(file, self.limit, skip=skip), None

    def options(self, texts: Lines) -> dict[str, Any]:
        """The options of :meth:`normlens.Lens.stream` for these texts."""
        skip = None if self.skips is None else self.skips.at(lambda: texts.number)
        return {"truncate": self.truncate, "skip": skip}

    def analyses(self, lens: Lens, file: Path, batch_size: int, **options: Any) -> Iterator[Analysis]:
        """The analyses of a file's texts, with a progress bar; errors about a text name its line.

        Parameters
        ----------
        lens, file
            The model and the corpus.
        batch_size
            Texts per forward pass.
        **options
            Further options of :meth:`normlens.Lens.stream`.

        Yields
        ------
        Analysis
            One for each text.

        Raises
        ------
        NormLensError
            As :meth:`normlens.Lens.stream`.
        """
        texts, targets = self.texts_of(lens, file)
        options = self.options(texts) | options
        with counting("Analyzing", None) as progress:
            try:
                for analysis in lens.stream(texts, targets, batch_size=batch_size, progress=False, **options):
                    yield analysis
                    progress.advance(progress.task_ids[0])
            except InvalidInput as error:
                raise texts.located(error) from error
