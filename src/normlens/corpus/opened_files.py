"""Corpus files as bytes: compressed ones, folders of Arrow files, and fingerprints of their contents."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from normlens.errors import InvalidInput
from normlens.files.atomic import reason

_BLOCK = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file, decompressed by its ending, ``.gz`` or ``.zst``."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.open(path) as file:
            yield file  # type: ignore[misc]
    elif suffix == ".zst":
        import pyarrow as pa

        with pa.input_stream(str(path), compression="zstd") as stream, io.BufferedReader(_Readable(stream)) as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


class _Readable(io.RawIOBase):
    """A stream of pyarrow, as Python's buffered reader takes it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def fingerprint_of(path: Path) -> tuple[int, str]:
    """The size in bytes of a file, or of a folder's Arrow files, and the SHA-256 of its contents.

    Raises
    ------
    InvalidInput
        If it can't be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        for file in arrow_files(path) if path.is_dir() else [path]:
            with file.open("rb") as content:
                while block := content.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {reason(error)}.") from error
    return size, digest.hexdigest()


def arrow_files(folder: Path) -> list[Path]:
    """The files of a dataset that `datasets` saved, in their order."""
    names: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [entry["filename"] for entry in state["_data_files"]]
    files = [folder / name for name in names] or sorted(folder.glob("*.arrow"))
    if not files:
        raise InvalidInput(
            f"{folder} is a folder without Arrow files; expected one that `Dataset.save_to_disk` wrote (of a DatasetDict, "
            "the folder of one split), or a file."
        )
    return files


def parquet_file(path: Path) -> Any:
    """A Parquet file, as pyarrow opens it.

    Raises
    ------
    InvalidInput
        If it isn't one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{path} isn't a Parquet file: {error}.") from error
