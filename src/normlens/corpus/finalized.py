"""Finish a run: results in few large files, statistics as a table and a page, and a manifest of them all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from normlens.corpus.commits import COMPRESSION, CommitFolder
from normlens.corpus.merged_numbers import STATISTICS_SETTINGS, MergedNumbers
from normlens.corpus.model_identity import mismatch
from normlens.corpus.planned_frequency import read_frequency
from normlens.corpus.run_plan import FINAL, CorpusPlan, read_plan
from normlens.corpus.shard_results import Commit
from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason, temporary_folder

MANIFEST, STATISTICS, TOKENS, FILES, SKIPPED, VIEW = (
    "manifest.json", "statistics.parquet", "tokens.parquet", "files.parquet", "skipped.parquet", "view.sql",
)  # fmt: skip
ROW_GROUP = 122_880
"""Rows of a row group: those that DuckDB reads at a time."""

PART_BYTES = 256 * 2**20
"""Size from which on results continue in another file."""


def finalize(folder: str | Path) -> Path:
    """Gather the results of a run, once all shards are finished; repeating it writes the same bytes.

    Parameters
    ----------
    folder
        The folder of the run.

    Returns
    -------
    pathlib.Path
        The folder ``final``, with ``part-*.parquet`` (the results, in the order of the corpus), ``statistics.parquet``,
        ``tokens.parquet`` (a random sample of tokens), ``files.parquet`` and ``skipped.parquet`` (names of files, and rows
        without results), ``view.sql`` for DuckDB, ``report/`` (a page; of analyses), and ``manifest.json`` with the SHA-256
        of each.

    Raises
    ------
    InvalidInput
        If shards aren't finished, or a result has changed since it was committed.
    NormLensError
        If the results can't be written; an older ``final`` stays.
    """
    folder = Path(folder)
    plan, run = read_plan(folder), CommitFolder(folder)
    commits, aside = run.committed(), run.set_aside_shards()
    missing = [shard.number for shard in plan.shards if shard.number not in commits and shard.number not in aside]
    if missing:
        raise InvalidInput(
            f"{len(missing)} of {len(plan.shards)} shards aren't finished (the first is {missing[0]}). Run them: normlens "
            f"corpus run {folder}."
        )
    if not commits:
        raise InvalidInput(f"All shards were set aside; the first: {next(iter(aside.values()))}")
    ordered = [commits[shard.number] for shard in plan.shards if shard.number in commits]
    run.remove_leftovers()
    final = folder / FINAL
    try:
        with temporary_folder(folder) as partial:
            _fill(partial, plan, run, ordered, aside)
            if final.exists():
                shutil.rmtree(final)
            partial.rename(final)
    except OSError as error:
        raise NormLensError(
            f"{final} can't be written: {reason(error)}. The shards are unchanged; make space, and repeat the command."
        ) from error
    return final


def merged_numbers(run: CommitFolder, plan: CorpusPlan, commits: Sequence[Commit]) -> dict[str, MergedNumbers]:
    """The statistics of all shards, merged in their order, by kind of attention.

    Raises
    ------
    InvalidInput
        If they were made with other edges or sizes than those of this version, or one has changed since.
    """
    if different := mismatch(plan.statistics, STATISTICS_SETTINGS):
        raise InvalidInput(
            f"These statistics can't be merged here: {different}. Finalize the run with the version of normlens that made "
            "it."
        )
    frequency = read_frequency(run.path, plan.frequency)
    merged: dict[str, MergedNumbers] = {}
    for commit in commits:
        for kind, numbers in run.numbers(commit).items():
            merged.setdefault(kind, MergedNumbers(numbers.layers, numbers.heads, frequency)).include(numbers)
    return merged


def _fill(folder: Path, plan: CorpusPlan, run: CommitFolder, commits: list[Commit], aside: Mapping[int, str]) -> None:
    parts = list(_parts(folder, run, commits))
    numbers = merged_numbers(run, plan, commits)
    tables = []
    for kind, collected in numbers.items():
        table = collected.table()
        table.insert(0, "attention", kind)
        tables.append(table)
    _write(folder / STATISTICS, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame())
    samples = token_samples(numbers)
    sampled = pd.concat(samples, names=["attention"]).reset_index(0) if samples else pd.DataFrame({"attention": []})
    _write(folder / TOKENS, sampled)
    _write(
        folder / FILES, pd.DataFrame([{"file": number, "path": file.path} for number, file in enumerate(plan.files)])
    )
    shards = {shard.number: shard for shard in plan.shards}
    skipped = [
        {"file": shards[commit.shard].file, "row": row.row, "reason": row.reason}
        for commit in commits
        for row in commit.skipped
    ]
    _write(folder / SKIPPED, pd.DataFrame(skipped, columns=["file", "row", "reason"]).astype({"file": int, "row": int}))
    (folder / VIEW).write_text(
        "-- duckdb -init view.sql, from this folder\n"
        "CREATE OR REPLACE VIEW results AS SELECT * FROM read_parquet('part-*.parquet');\n"
        f"CREATE OR REPLACE VIEW statistics AS SELECT * FROM read_parquet('{STATISTICS}');\n"
        f"CREATE OR REPLACE VIEW tokens AS SELECT * FROM read_parquet('{TOKENS}');\n"
        f"CREATE OR REPLACE VIEW files AS SELECT * FROM read_parquet('{FILES}');\n"
        f"CREATE OR REPLACE VIEW skipped AS SELECT * FROM read_parquet('{SKIPPED}');\n",
        encoding="utf-8",
    )
    totals = {name: sum(getattr(commit, name) for commit in commits) for name in ("rows", "texts", "tokens", "blank")}
    totals |= {"truncated": sum(commit.truncated for commit in commits), "skipped": len(skipped)}
    manifest = {
        "plan": plan.fingerprint,
        "files": {name: _sha256(folder / name) for name in (*parts, STATISTICS, TOKENS, FILES, SKIPPED)},
        **totals,
        "set_aside": {str(number): why for number, why in aside.items()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if plan.job["kind"] == "analyze" and numbers:
        _page(folder, plan, numbers, totals)


def token_samples(numbers: Mapping[str, MergedNumbers]) -> dict[str, pd.DataFrame]:
    """The random sample of tokens of each kind of attention that has one."""
    samples = {kind: collected.tokens.sample() for kind, collected in numbers.items()}
    return {kind: pd.DataFrame(one.columns()) for kind, one in samples.items() if one is not None}


def _parts(folder: Path, run: CommitFolder, commits: list[Commit]) -> Iterator[str]:
    """Write the results into files of about `PART_BYTES`; their names."""
    schema = pa.unify_schemas([_schema(run, commit) for commit in commits], promote_options="permissive")
    number, writer, buffered = 0, None, []
    path = folder / "part-00000.parquet"
    for commit in commits:
        buffered.append(_as(run.table(commit), schema))
        rows = sum(table.num_rows for table in buffered)
        last = commit is commits[-1]
        if rows < ROW_GROUP and not last:
            continue
        table = pa.concat_tables(buffered)
        whole = table.num_rows if last else table.num_rows - table.num_rows % ROW_GROUP
        writer = writer or pq.ParquetWriter(path, schema, compression=COMPRESSION)
        writer.write_table(table.slice(0, whole), row_group_size=ROW_GROUP)
        buffered = [table.slice(whole)]
        if last or path.stat().st_size >= PART_BYTES:
            writer.close()
            yield path.name
            number, writer = number + 1, None
            path = folder / f"part-{number:05d}.parquet"


def _schema(run: CommitFolder, commit: Commit) -> pa.Schema:
    return run.table(commit).schema


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with all columns of a schema; those that it lacks are null."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _page(folder: Path, plan: CorpusPlan, numbers: Mapping[str, MergedNumbers], totals: Mapping[str, int]) -> None:
    from normlens.statistics.report import write_report

    attributes: dict[str, Any] = {name: plan.model[name] for name in ("revision", "dtype") if plan.model[name]}
    attributes = {"model": plan.source, **attributes, **plan.versions, **totals, "plan": plan.fingerprint[:12]}
    names = ", ".join(Path(file.path).name for file in plan.files[:3]) + (" …" if len(plan.files) > 3 else "")
    write_report(
        numbers, folder / "report", title=f"{Path(plan.source).name} on {names}", attributes=attributes,
        tokens=token_samples(numbers),
    )  # fmt: skip


def _write(path: Path, frame: pd.DataFrame) -> None:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, compression=COMPRESSION)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
