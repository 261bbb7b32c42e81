"""Compute one shard: a function of the plan, the shard and the model alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from normlens.corpus.corpus_row import TextRow
from normlens.corpus.job_kinds import Job, job_of
from normlens.corpus.merged_numbers import MergedNumbers
from normlens.corpus.planned_frequency import frequency_identity
from normlens.corpus.run_plan import CorpusPlan, Shard
from normlens.corpus.shard_results import ShardResult, SkippedRow
from normlens.corpus.text_results import TextResult, joined_columns
from normlens.corpus.token_budget import budgeted_batches
from normlens.errors import ConservationError, InvalidInput, OutOfMemory
from normlens.lens import Lens
from normlens.statistics import TokenFrequency

_FIRST = ("file", "row", "group", "layer", "tokens")


def run_shard(
    plan: CorpusPlan,
    shard: Shard,
    lens: Lens,
    frequency: TokenFrequency | None = None,
    progress: Callable[[int], object] | None = None,
) -> ShardResult:
    """Compute the results of a shard.

    Texts are sorted by length and run in batches within the budget of the plan. Rows that can't be read or computed are
    left out, with the reason; so is a text whose contributions don't add up. When memory runs out, the budget is halved; a
    single text that doesn't fit is left out.

    Parameters
    ----------
    plan, shard
        What to compute.
    lens
        The model of the plan.
    frequency
        The token frequencies of the plan, if it has any.
    progress
        Called with the number of texts after each batch.

    Raises
    ------
    NormLensError
        If the frequencies aren't those of the plan, the file can't be read, or the model can't be measured.
    """
    start = time.perf_counter()
    file = plan.files[shard.file].opened(plan.columns)
    rows = list(file.rows(shard.start, shard.stop))
    if frequency_identity(frequency) != dict(plan.frequency):
        raise InvalidInput("These aren't the token frequencies of the plan; expected those in the folder of the run.")
    work = _ShardWork(plan, job_of(plan.job, frequency), lens, frequency)
    readable = [row for row in rows if row.error is None and row.text]
    work.skipped += [SkippedRow(row.number, row.error) for row in rows if row.error is not None]
    lengths = [_length(lens, row) for row in readable]
    for batch in budgeted_batches(lengths, plan.batch_tokens, plan.batch_pairs, plan.batch_texts):
        work.run([readable[number] for number in batch], shard)
        if progress is not None:
            progress(len(batch))
    blank = sum(row.error is None and not row.text for row in rows)
    return work.result(shard, blank, time.perf_counter() - start)


class _ShardWork:
    """The results of a shard so far."""

    def __init__(self, plan: CorpusPlan, job: Job, lens: Lens, frequency: TokenFrequency | None) -> None:
        self._plan, self._job, self._lens, self._frequency = plan, job, lens, frequency
        self._results: dict[int, TextResult] = {}
        self._numbers: dict[str, MergedNumbers] = {}
        self._largest = plan.rows_per_shard
        self.skipped: list[SkippedRow] = []
        self._halved = 0

    def run(self, rows: Sequence[TextRow], shard: Shard) -> None:
        """Compute a batch, in halves if memory runs out."""
        size = self._largest  # it may become smaller on the way
        for at in range(0, len(rows), size):
            self._run(rows[at : at + size], shard)

    def _run(self, rows: Sequence[TextRow], shard: Shard) -> None:
        skipped: list[SkippedRow] = []
        try:
            results = list(
                self._job.results(
                    self._lens, rows, lambda place, why: skipped.append(SkippedRow(rows[place].number, why))
                )
            )
        except OutOfMemory as error:
            if len(rows) == 1:
                self.skipped.append(SkippedRow(rows[0].number, str(error)))
                return
            self._halved += 1
            self._largest = (len(rows) + 1) // 2
            self.run(rows, shard)
            return
        except ConservationError as error:
            if len(rows) == 1:
                self.skipped.append(SkippedRow(rows[0].number, str(error)))
                return
            for row in rows:
                self._run([row], shard)
            return
        self.skipped += skipped
        self._add([(rows[place], result) for place, result in results], shard)

    def _add(self, results: Sequence[tuple[TextRow, TextResult]], shard: Shard) -> None:
        for kind in dict.fromkeys(kind for _, result in results for kind in result.numbers):
            own = [(row, result.numbers[kind]) for row, result in results if kind in result.numbers]
            first = own[0][1]
            collected = self._numbers.setdefault(kind, MergedNumbers(first.layers, first.heads))
            documents = [row.document or f"{shard.file}:{row.number}" for row, _ in own]
            collected.add([numbers.numbers for _, numbers in own], documents)
            for row, numbers in own:
                collected.add_error(numbers.conservation_error)
                if numbers.data is not None:
                    collected.types.add(numbers.data)
                    collected.tokens.add(numbers.data, f"{shard.file}:{row.number}", self._frequency)
        for row, result in results:
            self._results[row.number] = TextResult(result.rows, {}, result.tokens, result.truncated)

    def result(self, shard: Shard, blank: int, seconds: float) -> ShardResult:
        """Everything, in the order of the rows."""
        results = dict(sorted(self._results.items()))
        pieces = [
            {"row": np.full(len(next(iter(result.rows.values()))), number, dtype=np.int64), **result.rows}
            for number, result in results.items()
        ]
        columns = joined_columns(pieces) if pieces else {"row": np.array([], dtype=np.int64)}
        columns = {"file": np.full(len(columns["row"]), shard.file, dtype=np.int32), **columns}
        first = [name for name in _FIRST if name in columns]
        table = pa.table({name: pa.array(columns[name], from_pandas=True) for name in [*first, *columns]})
        return ShardResult(
            table, self._numbers, len(results),
            sum(result.tokens for result in results.values()), blank,
            sum(result.truncated for result in results.values()),
            tuple(sorted(self.skipped, key=lambda skipped: skipped.row)), self._halved, seconds,
        )  # fmt: skip


def _length(lens: Lens, row: TextRow) -> int:
    """Tokens of a text, or of its second text if that is longer; a text that can't be read has none."""
    tokenizer: Any = lens.tokenizer
    texts = [row.text, row.target_text or ""] if lens.model.config.is_encoder_decoder else [row.text]
    try:
        return max(len(tokenizer(text, verbose=False)["input_ids"]) for text in texts)
    except Exception:  # any error of a tokenizer; the job says why the text can't be read
        return 0
