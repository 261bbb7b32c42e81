"""How far a run is: read from its folder alone, by any process, also after the driver died."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from normlens.corpus.commits import CommitFolder
from normlens.corpus.run_plan import FINAL, read_plan

_RECENT = 600.0  # seconds
"""The time within which a commit counts as recent, for the speed."""


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes
    ----------
    shards, committed
        Number of shards, and of those that are finished.
    rows, rows_done
        Rows of the corpus, and those in finished shards.
    texts, tokens, blank, truncated, skipped
        Of the finished shards: texts with results, their tokens, blank rows, texts that were cut, rows left out.
    set_aside
        Why shards were set aside, by number.
    texts_per_second, tokens_per_second
        From the commits of the last ten minutes before the last one; None without two of them.
    seconds_left
        Estimated time for the remaining rows; None if it can't be told, or if nothing was committed for ten minutes.
    last_commit
        Seconds since the last commit; None if there is none.
    finalized
        Whether there are final results.
    """

    shards: int
    committed: int
    rows: int
    rows_done: int
    texts: int
    tokens: int
    blank: int
    truncated: int
    skipped: int
    set_aside: dict[int, str]
    texts_per_second: float | None
    tokens_per_second: float | None
    seconds_left: float | None
    last_commit: float | None
    finalized: bool


def status(folder: str | Path) -> RunStatus:
    """Look how far a run is.

    Parameters
    ----------
    folder
        The folder of the run.

    Raises
    ------
    InvalidInput
        If it holds no run, or a record can't be read.
    """
    folder = Path(folder)
    plan, run = read_plan(folder), CommitFolder(folder)
    commits, aside = run.committed(), run.set_aside_shards()
    shards = {shard.number: shard for shard in plan.shards}
    sizes = {number: shard.stop - shard.start for number, shard in shards.items()}
    done = sum(sizes[number] for number in commits)
    left = sum(sizes[number] for number in shards if number not in commits and number not in aside)
    ordered = sorted(commits.values(), key=lambda commit: commit.finished)
    speeds: tuple[float, float, float] | None = None
    if len(ordered) > 1:
        recent = [commit for commit in ordered if commit.finished > ordered[-1].finished - _RECENT]
        first = recent[0] if len(recent) > 1 else ordered[-2]
        counted = [commit for commit in recent if commit is not first]
        time_taken = ordered[-1].finished - first.finished
        if time_taken > 0:
            totals = (
                sum(commit.texts for commit in counted),
                sum(commit.tokens for commit in counted),
                sum(sizes[commit.shard] for commit in counted),
            )
            speeds = (totals[0] / time_taken, totals[1] / time_taken, totals[2] / time_taken)
    since = max(time.time() - ordered[-1].finished, 0.0) if ordered else None
    moving = speeds is not None and speeds[2] > 0 and since is not None and since < _RECENT
    return RunStatus(
        shards=len(shards),
        committed=len(commits),
        rows=plan.rows,
        rows_done=done,
        texts=sum(commit.texts for commit in ordered),
        tokens=sum(commit.tokens for commit in ordered),
        blank=sum(commit.blank for commit in ordered),
        truncated=sum(commit.truncated for commit in ordered),
        skipped=sum(len(commit.skipped) for commit in ordered),
        set_aside=aside,
        texts_per_second=speeds[0] if speeds else None,
        tokens_per_second=speeds[1] if speeds else None,
        seconds_left=0.0 if not left else left / speeds[2] if moving and speeds else None,
        last_commit=since,
        finalized=(folder / FINAL).exists(),
    )
