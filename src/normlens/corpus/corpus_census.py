"""Files read to their end before a run: their rows and texts, how frequent each token is, and what can't be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from normlens.corpus.corpus_row import Columns, TextRow
from normlens.corpus.planned_files import CorpusFile, planned_file
from normlens.corpus.text_rows import RowFile
from normlens.errors import InvalidInput
from normlens.inputs.example_maker import ReadingOptions
from normlens.lens import Lens
from normlens.statistics import TokenFrequency

_TOKENIZED = 512  # texts at a time


class CorpusCensus:
    """What is known of a corpus once its files were read.

    Parameters
    ----------
    lens
        The model, whose tokens are counted.
    columns
        Where the texts stand.
    shard_rows
        Rows of a shard, at whose beginnings files are opened later.
    limit
        Largest number of texts, of all files together. Default: all.
    counted
        Whether tokens are counted.
    strict
        Whether a row that the model can't read is an error; with ``truncate``, a text that is too long can be read.

    Attributes
    ----------
    texts
        Number of texts so far; blank rows and rows that can't be read are none.
    """

    def __init__(
        self,
        lens: Lens,
        columns: Columns,
        shard_rows: int,
        *,
        limit: int | None = None,
        counted: bool = False,
        strict: bool = False,
        truncate: bool = False,
    ) -> None:
        self._lens, self._columns, self._every, self._limit = lens, columns, shard_rows, limit
        self._counted, self._strict, self._reading = counted, strict, ReadingOptions(truncate=truncate)
        self._counts: Counter[int] = Counter()
        self.texts = 0

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self._limit is not None and self.texts >= self._limit

    def file(self, path: Path, target_path: Path | None = None) -> CorpusFile:
        """Read a file to its end, or until the limit is reached.

        Raises
        ------
        InvalidInput
            If it can't be read, lacks a column, or has no text; in a strict census, if one of its rows can't be read.
        """
        found = planned_file(path, target_path, 0)
        file, texts = RowFile(path, self._columns, target_path), self.texts
        if self._counted or self._strict or self._limit is not None:
            rows = self._read(file)
            some = self.texts > texts or any(row.text or row.error for row in file.rows(0, rows))
        else:
            rows, some = file.count(), any(row.text or row.error for row in file.rows())
        if not some:
            raise InvalidInput(f"{path} has no text: it is empty or has only blank rows. Expected at least one text.")
        offsets, target_offsets = file.line_offsets(self._every, rows)
        return replace(
            found, rows=rows, offsets=offsets, target_offsets=target_offsets, offset_rows=self._every if offsets else 0
        )

    def frequency(self) -> TokenFrequency | None:
        """Ranks of the tokens that were counted; None if there are none."""
        return TokenFrequency.from_counts(self._counts) if self._counts else None

    def _read(self, file: RowFile) -> int:
        """Read rows, count and check them; the number of rows."""
        rows, waiting = 0, []
        if file.target_path is not None:
            file.count()  # refuses files of different lengths
        for row in file.rows():
            rows = row.number + 1
            if self._strict and (row.error is not None or row.text):
                self._check(file, row)
            if row.error is not None or not row.text:
                continue
            self.texts += 1
            waiting.append(row)
            if len(waiting) == _TOKENIZED:
                self._count(waiting)
                waiting = []
            if self.full:
                break
        self._count(waiting)
        return rows

    def _check(self, file: RowFile, row: TextRow) -> None:
        place = f"{file.path}, {file.place(row)}"
        if row.error is not None:
            raise InvalidInput(f"{place}: {row.error}. Correct it, or skip bad lines.")
        target = row.target_text if self._lens.model.config.is_encoder_decoder else None
        try:
            self._lens._maker.make(row.input, target, self._reading)
        except InvalidInput as error:
            raise InvalidInput(f"{place}: {error}") from error

    def _count(self, rows: list[TextRow]) -> None:
        if self._counted and rows and self._lens.tokenizer is not None:
            sides = [("text", [row.text for row in rows])]
            if self._lens.model.config.is_encoder_decoder:
                sides.append(("text_target", [row.target_text or "" for row in rows]))
            for side, texts in sides:
                self._counts.update(chain.from_iterable(_token_ids(self._lens.tokenizer, side, texts)))


def _token_ids(tokenizer: Any, side: str, texts: list[str]) -> Iterator[list[int]]:
    """Token ids of each text; a text that the tokenizer can't read has none, and the run says why."""
    try:
        yield from tokenizer(**{side: texts}, verbose=False)["input_ids"]
    except Exception:  # any error of a tokenizer
        for text in texts:
            with suppress(Exception):
                yield tokenizer(**{side: text}, verbose=False)["input_ids"]
