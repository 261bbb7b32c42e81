"""The sentences of ``normlens negation``: read and checked for cues before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.cli.opening import quiet
from normlens.cli.skipped_lines import SkippedLines
from normlens.cli.terminal import counting
from normlens.cli.text_files import Lines
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr

    from normlens import Lens
    from normlens.loading.outline import Outline

Sentence = str | dict[str, list[str]]


@dataclass(frozen=True)
class NegatedSentences:
    """Sentences with a cue.

    Attributes
    ----------
    sentences
        Each with where it stands, for messages, and the number of its line.
    cue
        The cue to look for; None for those of the list.
    skip_bad
        Whether sentences that can't be read are skipped.
    skips
        Those that were.
    """

    sentences: list[tuple[str, int, Sentence]]
    cue: str | None
    skip_bad: bool
    skips: SkippedLines = field(default_factory=SkippedLines)

    @classmethod
    def read(
        cls, file: Path | None, text: str | None, cue: str | None, limit: int | None, *, skip_bad: bool
    ) -> NegatedSentences:
        """Read a file, or take one text, and look for the cues.

        Raises
        ------
        InvalidInput
            If both or neither is passed, the file can't be read or holds nothing, or a sentence has no cue.
        """
        read = cls([], cue, skip_bad)
        if (file is None) == (text is None):
            passed = "both FILE and --text" if file is not None else "neither FILE nor --text"
            raise InvalidInput(f"Got {passed}; expected one of them: a file with sentences, or a sentence.")
        if text is not None:
            if not text.strip():
                raise InvalidInput("--text holds no text; expected at least one word.")
            read._add("", 1, text)
            return read
        assert file is not None
        if not file.exists() and " " in file.name:
            raise InvalidInput(f"There is no file {str(file)!r}. To pass a sentence, use --text.")
        lines = Lines(file, limit, skip=read.skips.add if skip_bad else None)
        for sentence in lines:
            read._add(f"{file}, line {lines.number}: ", lines.number, sentence)
        if not read.sentences:
            raise InvalidInput(f"{file} holds no sentence with a cue; expected at least one.")
        return read

    def check_outline(self, outline: Outline) -> None:
        """Refuse models that these sentences can't be read with.

        Raises
        ------
        InvalidInput
            For an encoder–decoder.
        """
        if outline.is_encoder_decoder:
            raise InvalidInput(
                "The model is an encoder–decoder; expected an encoder or a decoder, which reads one text."
            )

    def reached(self, lens: Lens) -> list[xr.Dataset]:
        """What each cue of each sentence reaches.

        Raises
        ------
        NormLensError
            If a sentence can't be read by the model, with its line, unless such sentences are skipped.
        """
        from normlens.negation import cue_reach

        reaches: list[xr.Dataset] = []
        with counting("Reading", len(self.sentences)) as progress, quiet():
            for where, number, sentence in self.sentences:
                try:
                    reaches += cue_reach(lens, sentence, self.cue)
                except InvalidInput as error:
                    self._refuse(where, number, error)
                progress.advance(progress.task_ids[0])
        if not reaches:
            raise InvalidInput("The model could read none of the sentences; see the lines that were skipped.")
        return reaches

    def _add(self, where: str, number: int, sentence: str | list[str]) -> None:
        from normlens.negation import find_cues
        from normlens.words import joined_words

        try:
            find_cues(sentence if isinstance(sentence, str) else joined_words(sentence), self.cue)
        except InvalidInput as error:
            self._refuse(where, number, error)
            return
        self.sentences.append((where, number, sentence if isinstance(sentence, str) else {"words": sentence}))

    def _refuse(self, where: str, number: int, error: InvalidInput) -> None:
        """Skip a sentence, or refuse it where it stands."""
        if not self.skip_bad:
            raise InvalidInput(f"{where}{error}") from error
        self.skips.add(number, str(error))
