"""The input files of a plan: their rows, sizes and hashes, and whether they are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normlens.corpus.corpus_row import Columns
from normlens.corpus.opened_files import fingerprint_of
from normlens.corpus.text_rows import RowFile
from normlens.errors import InvalidInput


@dataclass(frozen=True)
class CorpusFile:
    """An input file as it was planned.

    Attributes
    ----------
    path, target_path
        The file, and the file of its second texts ("" if there is none).
    rows
        Number of rows, blank ones included.
    size, sha256
        Size in bytes and SHA-256 of the contents, of both files together.
    offsets, target_offsets
        Where every ``offset_rows``-th line begins in either file, in bytes, so that no shard reads what comes before it.
        Empty for files that are compressed or have no lines.
    offset_rows
        Lines between two offsets.
    """

    path: str
    target_path: str
    rows: int
    size: int
    sha256: str
    offsets: tuple[int, ...] = ()
    target_offsets: tuple[int, ...] = ()
    offset_rows: int = 0

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> CorpusFile:
        """The file that a plan in JSON describes."""
        lists = {name: tuple(values.get(name, ())) for name in ("offsets", "target_offsets")}
        return cls(**{**values, **lists})

    def opened(self, columns: Columns) -> RowFile:
        """The file, to be read by ranges of rows."""
        target = Path(self.target_path) if self.target_path else None
        return RowFile(Path(self.path), columns, target, (self.offsets, self.target_offsets), self.offset_rows)


def planned_file(path: Path, target_path: Path | None, rows: int) -> CorpusFile:
    """A file with its first rows, its size and its hash.

    Raises
    ------
    InvalidInput
        If it can't be read.
    """
    path, target_path = path.resolve(), None if target_path is None else target_path.resolve()
    size, sha256 = _fingerprint(path, target_path)
    return CorpusFile(str(path), "" if target_path is None else str(target_path), rows, size, sha256)


def require_unchanged(file: CorpusFile) -> None:
    """Refuse a file that has changed since it was planned.

    Raises
    ------
    InvalidInput
        Naming the file.
    """
    size, sha256 = _fingerprint(Path(file.path), Path(file.target_path) if file.target_path else None)
    if (size, sha256) != (file.size, file.sha256):
        raise InvalidInput(
            f"{file.path} has changed since the run was planned ({file.size} bytes then, {size} now; the contents differ). "
            "Restore the file, or plan a new run in another folder."
        )


def _fingerprint(path: Path, target_path: Path | None) -> tuple[int, str]:
    """Size and SHA-256 of a file, and of that of its second texts."""
    size, sha256 = fingerprint_of(path)
    if target_path is None:
        return size, sha256
    target_size, target_sha256 = fingerprint_of(target_path)
    return size + target_size, hashlib.sha256((sha256 + target_sha256).encode()).hexdigest()
