"""The rows of a corpus: text files, JSON lines, CSV, Parquet and Arrow folders, compressed or not, by ranges of rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from normlens.corpus.corpus_row import Columns, TextRow
from normlens.corpus.opened_files import arrow_files, opened, parquet_file
from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.inputs import SUFFIX as TREEBANK
from normlens.inputs import numbered_sentences

_JSON_LINES, _COMPRESSED = (".jsonl", ".ndjson"), (".gz", ".zst")


class RowFile:
    """A file of texts.

    Plain text has one text a line, or two separated by a tab, and a treebank (``.conllu``) has sentences. ``.jsonl`` and
    ``.csv`` (with a header), ``.parquet`` and folders of `datasets` have columns. All but the last two may be compressed,
    ``.gz`` or ``.zst``.

    Parameters
    ----------
    path
        The file, or the folder.
    columns
        Where the texts stand.
    target_path
        A file of second texts with as many lines, for plain text; None: there is none.
    offsets, every
        Where every so many lines begin in both files, in bytes, as `line_offsets` found.
    """

    def __init__(
        self,
        path: Path,
        columns: Columns,
        target_path: Path | None = None,
        offsets: tuple[Sequence[int], Sequence[int]] = ((), ()),
        every: int = 0,
    ) -> None:
        self.path, self.columns, self.target_path = path, columns, target_path
        self._offsets, self._every = offsets, every
        compressed = path.suffix.lower() in _COMPRESSED
        self.kind = Path(path.stem).suffix.lower() if compressed else path.suffix.lower()
        if path.is_dir():
            self.kind = "folder"
        elif columns.lines and self.kind != TREEBANK:
            self.kind = ""
        if self.kind == TREEBANK and (columns.pairs or target_path is not None):
            raise InvalidInput(
                f"{path} is a treebank; this model is an encoder–decoder and expects two texts on each line, separated by a "
                "tab: the text and the target text."
            )
        if target_path is not None and self.kind in ("folder", ".parquet", ".csv", *_JSON_LINES):
            raise InvalidInput(
                f"{path} has columns, so its second texts stand in a column, not in {target_path}. Name the column, or pass "
                "plain text."
            )

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[TextRow]:
        """The rows of a range.

        Raises
        ------
        InvalidInput
            If the file can't be read at all, or lacks a column.
        """
        try:
            if self.kind in (".parquet", "folder"):
                yield from self._columnar(start, stop)
            elif self.kind == ".csv":
                yield from self._comma_separated(start, stop)
            elif self.kind == TREEBANK:
                yield from self._sentences(start, stop)
            else:
                yield from self._lines(start, stop)
        except (OSError, EOFError) as error:
            raise InvalidInput(
                f"{self.path} can't be read: {_said(error)}. Check that the file is complete."
            ) from error

    def count(self) -> int:
        """The number of rows.

        Raises
        ------
        InvalidInput
            If the file can't be read, or its second texts are more or fewer.
        """
        try:
            if self.kind == ".parquet":
                return int(parquet_file(self.path).metadata.num_rows)
            if self.kind in ("folder", ".csv", TREEBANK):
                return sum(1 for _ in self.rows())
            with opened(self.path) as lines:
                rows = sum(1 for _ in lines)
            if self.target_path is not None:
                with opened(self.target_path) as lines:
                    targets = sum(1 for _ in lines)
                if rows != targets:
                    raise InvalidInput(
                        f"{self.path} has {rows} lines and {self.target_path} has {targets}; expected as many lines in both."
                    )
        except (OSError, EOFError) as error:
            raise InvalidInput(
                f"{self.path} can't be read: {_said(error)}. Check that the file is complete."
            ) from error
        return rows

    def place(self, row: TextRow) -> str:
        """Where a row stands, for a message: a line, counted from 1, or a row, counted from 0."""
        if self.kind in ("folder", ".parquet", ".csv"):
            return f"row {row.number}"
        return f"line {row.number + 1 if row.line is None else row.line}"

    def _sentences(self, start: int, stop: int | None) -> Iterator[TextRow]:
        with opened(self.path) as lines, io.TextIOWrapper(lines, "utf-8-sig") as text:
            try:
                sentences = islice(numbered_sentences(text, self.path), start, stop)
                for number, (line, words) in enumerate(sentences, start):
                    yield TextRow(number, " ".join(words), words=tuple(words), line=line)
            except UnicodeDecodeError as error:
                raise InvalidInput(f"{self.path} isn't UTF-8; expected a treebank. Convert it.") from error

    def _lines(self, start: int, stop: int | None) -> Iterator[TextRow]:
        with opened(self.path) as lines:
            chosen = enumerate(self._between(lines, self._offsets[0], start, stop), start)
            if self.target_path is None:
                for number, line in chosen:
                    yield self._of_line(number, line)
                return
            with opened(self.target_path) as target_lines:
                targets = self._between(target_lines, self._offsets[1], start, stop)
                for (number, line), target in zip(chosen, targets, strict=False):
                    yield _row(number, *_decoded(line), second=_decoded(target))

    def _between(self, lines: IO[bytes], offsets: Sequence[int], start: int, stop: int | None) -> Iterator[bytes]:
        """Lines of a range, from the last offset before it on."""
        place = start // self._every if offsets else 0
        if place >= len(offsets):
            return islice(lines, start, stop)
        lines.seek(offsets[place])
        before = place * self._every
        return islice(lines, start - before, None if stop is None else stop - before)

    def line_offsets(self, every: int, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where every so many of the first lines begin, in this file and in that of the second texts; none without lines."""
        if self.kind in ("folder", ".parquet", ".csv", TREEBANK):
            return (), ()
        paths = [self.path, self.target_path]
        first, second = (() if path is None else _line_offsets(path, every, rows) for path in paths)
        return first, second

    def _of_line(self, number: int, line: bytes) -> TextRow:
        text, error = _decoded(line)
        if error is not None or not text.strip():
            return TextRow(number, text.strip(), error=error)
        if self.kind in _JSON_LINES:
            try:
                values = json.loads(text)
            except (ValueError, RecursionError) as malformed:
                return TextRow(number, "", error=f"the line isn't JSON: {malformed}")
            if not isinstance(values, dict):
                return TextRow(
                    number, "", error=f"the line is a {type(values).__name__}; expected an object with columns"
                )
            return self._of_values(number, values)
        if not self.columns.pairs:
            return TextRow(number, text.strip())
        columns = [column.strip() for column in text.split("\t")]
        if len(columns) != 2 or not all(columns):
            seen = f"{len(columns)} column{'s' * (len(columns) > 1)}" if all(columns) else "an empty column"
            return TextRow(number, "", error=f"the line has {seen}; expected two texts with a tab between them")
        return TextRow(number, columns[0], columns[1])

    def _of_values(self, number: int, values: dict[str, Any]) -> TextRow:
        """A row from its columns."""
        chosen: dict[str, str | None] = {"text": None, "target_text": None, "document": None}
        for role in chosen:
            name = getattr(self.columns, role)
            if name is None:
                continue
            value = values.get(name)
            if role == "document" and isinstance(value, int):
                value = str(value)
            if not isinstance(value, str):
                seen = "missing" if value is None else f"of type {type(value).__name__}"
                return TextRow(number, "", error=f"column {name!r} is {seen}; expected text")
            chosen[role] = value
        return TextRow(number, (chosen["text"] or "").strip(), chosen["target_text"], chosen["document"])

    def _comma_separated(self, start: int, stop: int | None) -> Iterator[TextRow]:
        with (
            opened(self.path) as lines,
            io.TextIOWrapper(lines, "utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            reader = csv.DictReader(text)
            self._require(reader.fieldnames or [])
            try:
                for number, values in enumerate(islice(reader, start, stop), start):
                    broken = any(isinstance(x, str) and _is_broken(x) for x in values.values())
                    yield (
                        TextRow(number, "", error="the row isn't UTF-8") if broken else self._of_values(number, values)
                    )
            except csv.Error as error:
                raise InvalidInput(f"{self.path} isn't CSV: {error}.") from error

    def _columnar(self, start: int, stop: int | None) -> Iterator[TextRow]:
        number = 0
        for table in self._tables():
            self._require(table.schema.names)
            end = number + table.num_rows
            if end > start and (stop is None or number < stop):
                first = max(start - number, 0)
                length = (end if stop is None else min(stop, end)) - number - first
                for place, values in enumerate(table.select(self.columns.names).slice(first, length).to_pylist()):
                    yield self._of_values(number + first + place, values)
            number = end

    def _tables(self) -> Iterator[Any]:
        """The record batches of a Parquet file or a folder of Arrow files."""
        import pyarrow as pa

        if self.kind == ".parquet":
            yield from parquet_file(self.path).iter_batches()
            return
        for file in arrow_files(self.path):
            try:
                with pa.memory_map(str(file)) as mapped:
                    yield from pa.ipc.open_stream(mapped)
            except pa.ArrowInvalid as error:
                raise InvalidInput(f"{file} isn't an Arrow file: {error}.") from error

    def _require(self, present: Any) -> None:
        for name in self.columns.names:
            if name not in present:
                has = ", ".join(map(str, present)) or "none"
                raise InvalidInput(f"{self.path} has no column {name!r}; it has {has}. Name one of these.")


def _line_offsets(path: Path, every: int, rows: int) -> tuple[int, ...]:
    if path.suffix.lower() in _COMPRESSED:
        return ()
    offsets, position = [], 0
    with path.open("rb") as lines:
        for number, line in enumerate(islice(lines, rows)):
            if number % every == 0:
                offsets.append(position)
            position += len(line)
    return tuple(offsets)


def _decoded(line: bytes) -> tuple[str, str | None]:
    """The text of a line, and why it can't be decoded."""
    try:
        return line.decode("utf-8-sig" if line.startswith(b"\xef\xbb\xbf") else "utf-8").rstrip("\r\n"), None
    except UnicodeDecodeError as error:
        return "", f"the line isn't UTF-8 (byte {error.start + 1})"


def _row(number: int, text: str, error: str | None, second: tuple[str, str | None]) -> TextRow:
    return TextRow(number, text.strip(), second[0].strip(), error=error or second[1])


def _is_broken(text: str) -> bool:
    """Whether bytes that aren't UTF-8 were carried along as surrogates."""
    return any("\udc80" <= letter <= "\udcff" for letter in text)


def _said(error: BaseException) -> str:
    return reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
