"""One row of a corpus, and where its texts stand in a file with columns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """Where the texts stand in rows that have columns.

    Attributes
    ----------
    text, target_text, document
        Names of columns. `target_text` is the second text, for encoder–decoders; rows with the same `document` are drawn
        together by the bootstrap. None: there is none.
    pairs
        Whether lines of plain text hold two texts, separated by a tab.
    lines
        Whether a file is plain text whatever its ending; a treebank stays one.
    """

    text: str = "text"
    target_text: str | None = None
    document: str | None = None
    pairs: bool = False
    lines: bool = False

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return [name for name in (self.text, self.target_text, self.document) if name is not None]


@dataclass(frozen=True)
class TextRow:
    """One row of a file.

    Attributes
    ----------
    number
        Its number in the file, from 0; blank lines count.
    text, target_text
        The texts; empty for a blank line.
    document
        The name of its document; None: the row is a document of its own.
    error
        Why it can't be read; None if it can.
    words
        The words of a sentence in a treebank; None for other texts.
    line
        The line where a sentence of a treebank begins, counted from 1.
    """

    number: int
    text: str
    target_text: str | None = None
    document: str | None = None
    error: str | None = None
    words: tuple[str, ...] | None = None
    line: int | None = None

    @property
    def input(self) -> str | list[str]:
        """What a model reads: the text, or its words."""
        return self.text if self.words is None else list(self.words)
