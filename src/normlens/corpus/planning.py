"""Make the plan of a run: read the files to their end, load the model, try it on the first text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normlens.corpus.corpus_census import CorpusCensus
from normlens.corpus.corpus_row import Columns, TextRow
from normlens.corpus.job_kinds import Job, job_of
from normlens.corpus.merged_numbers import STATISTICS_SETTINGS
from normlens.corpus.model_identity import installed_versions, model_identity
from normlens.corpus.planned_files import CorpusFile
from normlens.corpus.planned_frequency import frequency_identity
from normlens.corpus.run_plan import CorpusPlan, rows_per_shard, write_plan
from normlens.errors import InvalidInput
from normlens.front_door import load
from normlens.lens import Lens
from normlens.statistics import TokenFrequency

BATCH_TOKENS = 2048
"""Default budget of a batch, in tokens."""

_MAPS_IN_BATCH = 16_000_000  # numbers of maps: layers × heads × pairs of tokens
_TRIED = 100  # first texts, of which one must be readable


def plan(
    model: str | Path,
    files: Sequence[str | Path],
    folder: str | Path,
    *,
    job: Mapping[str, Any] | None = None,
    target_files: Sequence[str | Path] | None = None,
    text_column: str = "text",
    target_column: str | None = None,
    document_column: str | None = None,
    lines: bool = False,
    limit: int | None = None,
    strict: bool = False,
    frequency: TokenFrequency | None = None,
    count_tokens: bool = True,
    shard_rows: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    batch_texts: int | None = None,
    threads: int = 1,
    replace: bool = False,
    lens: Lens | None = None,
    **loading: Any,
) -> CorpusPlan:
    """Plan a run over a corpus, and write the plan into a new folder; the same plan again changes nothing.

    Parameters
    ----------
    model
        What :func:`normlens.load` accepts as a name or path.
    files
        Texts: plain text (a line each; two with a tab for encoder–decoders), ``.conllu``, ``.jsonl``, ``.csv``,
        ``.parquet``, a folder of `datasets`; ``.gz`` and ``.zst`` are decompressed.
    folder
        The folder of the run.
    job
        What is computed: ``{"kind": "analyze"}`` (default), ``{"kind": "attribute"}`` or ``{"kind": "align"}``, with options
        of `normlens.corpus.AnalyzeJob`, `normlens.corpus.AttributeJob` or `normlens.corpus.AlignJob`.
    target_files
        Second texts, one file for each of ``files``, line by line; for encoder–decoders.
    text_column, target_column, document_column
        Names of columns with the text, the second text, and the document that rows belong to.
    lines
        Whether files are plain text whatever their ending; a treebank stays one.
    limit
        Largest number of texts, of all files together. Default: all.
    strict
        Whether a row that the model can't read is an error. Default: it is left out, and listed with the reason.
    frequency
        Ranks of token frequency for the correlations of analyses. Default: counted in the corpus, if ``count_tokens``.
    count_tokens
        Whether tokens are counted, which takes a pass over the corpus; without ranks there are no such correlations.
    shard_rows
        Largest number of rows of a shard. Default: minutes of work, by the size of the model.
    batch_tokens, batch_texts
        Tokens of a batch, padding included, and texts (None: as many as fit).
    threads
        Threads of each worker.
    replace
        Whether another run in the folder is removed first; otherwise it is refused.
    lens
        The model, if it is loaded already.
    **loading
        Options of :func:`normlens.load`.

    Returns
    -------
    CorpusPlan

    Raises
    ------
    InvalidInput
        If a file can't be read, the first texts can't be computed, or the folder holds another run.
    NormLensError
        If the model can't be loaded or measured.
    """
    settings = {"kind": "analyze", **(job or {})}
    numbers = {"shard_rows": shard_rows, "batch_tokens": batch_tokens, "batch_texts": batch_texts, "threads": threads}
    paths, targets = _checked(files, target_files, {**numbers, "limit": limit})
    wanted = job_of(settings)
    lens = load(str(model), **loading) if lens is None else lens
    pairs = lens.model.config.is_encoder_decoder and target_files is None
    columns = Columns(text_column, target_column, document_column, pairs, lines)
    correlated, identity = settings["kind"] == "analyze", model_identity(lens)
    shard_rows = shard_rows or rows_per_shard(identity["parameters"])
    census = CorpusCensus(
        lens, columns, shard_rows, limit=limit, counted=correlated and count_tokens and frequency is None, strict=strict,
        truncate=bool(settings.get("truncate")),
    )  # fmt: skip
    planned = [census.file(*one) for one in zip(paths, targets, strict=True) if not census.full]
    wanted.check(lens)
    _try(lens, planned, columns, wanted)
    ranks = (frequency or census.frequency()) if correlated else None
    made = CorpusPlan(
        tuple(planned), columns, shard_rows, _source(model), identity,
        {name: str(value) if name in ("device", "dtype") else value for name, value in loading.items() if value},
        settings, batch_tokens, max(_MAPS_IN_BATCH // _maps(lens), 1), threads, installed_versions(), batch_texts,
        frequency_identity(ranks), STATISTICS_SETTINGS,
    )  # fmt: skip
    write_plan(Path(folder), made, ranks, replace=replace)
    return made


def _checked(
    files: Sequence[str | Path], target_files: Sequence[str | Path] | None, numbers: Mapping[str, int | None]
) -> tuple[list[Path], list[Path | None]]:
    """The paths of the files and of their second texts; refuses what can't be planned."""
    if not files:
        raise InvalidInput("There are no files; expected at least one.")
    if target_files is not None and len(target_files) != len(files):
        raise InvalidInput(
            f"Got {len(files)} files and {len(target_files)} files of second texts; expected as many of both, in order."
        )
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise InvalidInput(f"{name} is {value}; expected a positive number.")
    targets: list[Path | None] = [None] * len(files)
    if target_files is not None:
        targets = [Path(file) for file in target_files]
    return [Path(file) for file in files], targets


def _try(lens: Lens, files: Sequence[CorpusFile], columns: Columns, wanted: Job) -> None:
    """Compute the first text that can be read, so that a run doesn't fail on each."""
    reasons: list[str] = []
    rows: list[TextRow] = []
    for row in files[0].opened(columns).rows(0, _TRIED):
        if row.error is not None:
            reasons.append(f"row {row.number}: {row.error}")
        elif row.text:
            rows.append(row)
    for row in rows:
        skipped: list[str] = []
        if any(True for _ in wanted.results(lens, [row], lambda _, why, to=skipped: to.append(why))):  # type: ignore[misc]
            return
        reasons += [f"row {row.number}: {why}" for why in skipped]
    if reasons:
        raise InvalidInput(f"None of the first {_TRIED} rows of {files[0].path} can be computed; {reasons[0]}")


def _source(model: str | Path) -> str:
    path = Path(model)
    return str(path.resolve()) if path.exists() else str(model)


def _maps(lens: Lens) -> int:
    """Maps of one text: layers × heads."""
    config = lens.model.config.get_text_config()
    return int(getattr(config, "num_hidden_layers", 12) or 12) * int(getattr(config, "num_attention_heads", 12) or 12)
