"""Final results in other formats: CSV, JSON lines, a folder of `datasets`."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from normlens.corpus.run_plan import FINAL, read_plan
from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason, temporary_folder

_ROWS = 8192


def export(folder: str | Path, output: str | Path) -> Path:
    """Write the final results of a run as one CSV or JSON lines file, or as a folder that `datasets` loads from disk.

    Parameters
    ----------
    folder
        The folder of the run, finalized.
    output
        A new file, ``.csv`` or ``.jsonl``, or a new folder. Lists are written as JSON in CSV.

    Returns
    -------
    pathlib.Path
        ``output``.

    Raises
    ------
    InvalidInput
        If the run isn't finalized, the output exists, or the ending is another one.
    NormLensError
        If the output can't be written.
    """
    folder, output = Path(folder), Path(output)
    read_plan(folder)
    parts = sorted((folder / FINAL).glob("part-*.parquet"))
    if not parts:
        raise InvalidInput(f"{folder} has no final results. Write them first: normlens corpus finalize {folder}.")
    if output.exists():
        raise InvalidInput(f"{output} exists already. Choose another name.")
    suffix = output.suffix.lower()
    if suffix not in (".csv", ".jsonl", ""):
        raise InvalidInput(
            f"{output} ends in {suffix!r}; expected .csv, .jsonl, or the name of a folder for `datasets`."
        )
    if not suffix:
        _as_dataset(parts, output)
        return output
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            for text in _comma_separated(parts) if suffix == ".csv" else _json_lines(parts):
                file.write(text)
        partial.rename(output)
    except OSError as error:
        raise NormLensError(f"{output} can't be written: {reason(error)}. Choose another path.") from error
    finally:
        partial.unlink(missing_ok=True)
    return output


def _batches(parts: list[Path]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        yield from pq.ParquetFile(part).iter_batches(_ROWS)


def _json_lines(parts: list[Path]) -> Iterator[str]:
    for batch in _batches(parts):
        for row in batch.to_pylist():
            plain = {name: _plain(value) for name, value in row.items()}
            yield json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"


def _comma_separated(parts: list[Path]) -> Iterator[str]:
    names = pq.read_schema(parts[0]).names
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for batch in _batches(parts):
        for row in batch.to_pylist():
            values = (_plain(row[name]) for name in names)
            writer.writerow(json.dumps(x, ensure_ascii=False) if isinstance(x, list) else x for x in values)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _plain(value: Any) -> Any:
    """NaN as None, in lists too."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_dataset(parts: list[Path], output: Path) -> None:
    """The folder that `datasets.load_from_disk` reads: Arrow files, and two notes."""
    digest = hashlib.sha256()
    try:
        with temporary_folder(output.parent) as partial:
            names = []
            for number, part in enumerate(parts):
                names.append(f"data-{number:05d}-of-{len(parts):05d}.arrow")
                digest.update(part.read_bytes())
                file = pq.ParquetFile(part)
                with (
                    pa.OSFile(str(partial / names[-1]), "wb") as sink,
                    pa.ipc.new_stream(sink, file.schema_arrow) as out,
                ):
                    for batch in file.iter_batches(_ROWS):
                        out.write_batch(batch)
            state: dict[str, Any] = {
                "_data_files": [{"filename": name} for name in names], "_fingerprint": digest.hexdigest()[:16],
                "_format_columns": None, "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False,
                "_split": None,
            }  # fmt: skip
            (partial / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
            (partial / "dataset_info.json").write_text("{}", encoding="utf-8")
            partial.rename(output)
    except OSError as error:
        raise NormLensError(f"{output} can't be written: {reason(error)}. Choose another path.") from error
