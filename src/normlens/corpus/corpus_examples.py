"""The texts of a run that a report shows in pictures: analyzed again, since a run keeps no maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr

from normlens.analysis.result import Analysis
from normlens.corpus.commits import CommitFolder
from normlens.corpus.run_plan import CorpusPlan
from normlens.corpus.shard_results import Commit
from normlens.lens import Lens
from normlens.statistics.report.measured_corpus import EXAMPLE_TOKENS, EXAMPLES, attributes_of, show_example

_TRIED = 100  # texts of which one side may be too long for a picture


def examples_of_run(
    plan: CorpusPlan, run: CommitFolder, commits: Sequence[Commit], lens: Lens
) -> tuple[dict[str, list[xr.Dataset]], dict[str, object]]:
    """A few short texts of each kind of attention, the first of the corpus, and the attributes of the model.

    Parameters
    ----------
    plan, run, commits
        The run and its finished shards, in order; of analyses.
    lens
        The model of the plan.
    """
    examples: dict[str, list[xr.Dataset]] = {}
    attributes: dict[str, object] = {}
    for file, row in islice(_short(run, commits), _TRIED):
        analysis = _analyzed(plan, lens, file, row)
        attributes = attributes or attributes_of(analysis)
        group = plan.job.get("group")
        for kind in analysis.groups if group is None else [group]:
            show_example(examples.setdefault(kind, []), analysis[kind].data)
        if all(len(shown) == EXAMPLES for shown in examples.values()):
            break
    if not attributes:
        attributes = attributes_of(_analyzed(plan, lens, *_shortest(run, commits)))
    return examples, attributes


def _short(run: CommitFolder, commits: Sequence[Commit]) -> Iterator[tuple[int, int]]:
    """File and row of the texts that may fit into a picture, in the order of the corpus."""
    for commit in commits:
        file, row, tokens = _lengths(run, commit)
        fitting = np.isin(tokens, EXAMPLE_TOKENS)
        yield from dict.fromkeys(zip(file[fitting].tolist(), row[fitting].tolist(), strict=True))


def _shortest(run: CommitFolder, commits: Sequence[Commit]) -> tuple[int, int]:
    """File and row of the shortest text."""
    shortest: list[tuple[int, int, int]] = []
    for commit in commits:
        file, row, tokens = _lengths(run, commit)
        if len(tokens):
            place = int(tokens.argmin())
            shortest.append((int(tokens[place]), int(file[place]), int(row[place])))
    return min(shortest)[1:]


def _lengths(run: CommitFolder, commit: Commit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """File, row and tokens of each row of results; none for a shard without texts."""
    table = run.table(commit)
    if "tokens" not in table.column_names:
        return np.array([], int), np.array([], int), np.array([], int)
    file, row, tokens = (table[name].to_numpy() for name in ("file", "row", "tokens"))
    return file, row, tokens


def _analyzed(plan: CorpusPlan, lens: Lens, file: int, row: int) -> Analysis:
    text = next(plan.files[file].opened(plan.columns).rows(row, row + 1))
    options: dict[str, Any] = {name: plan.job[name] for name in ("through", "product", "truncate") if name in plan.job}
    target = [text.target_text or ""] if lens.model.config.is_encoder_decoder else None
    return next(lens.stream([text.input], target, progress=False, **options))
