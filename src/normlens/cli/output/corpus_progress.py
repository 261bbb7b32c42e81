"""Output of ``normlens corpus``: the plan, progress by commits, and how far a run is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from normlens.cli.output.borderless import borderless
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import counted, counting, messages, percent, results

if TYPE_CHECKING:
    from normlens.corpus import CorpusPlan, RunReport, RunStatus

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def show_plan(plan: CorpusPlan, folder: Path, as_json: bool) -> None:
    """Print what was planned, and the next command."""
    if as_json:
        answer = {"folder": str(folder), "fingerprint": plan.fingerprint, "shards": len(plan.shards), "rows": plan.rows}
        typer.echo(json_text({**answer, "rows_per_shard": plan.rows_per_shard, "model": plan.source}))
        return
    say(
        f"{plan.source}: {plan.rows:,} rows of {counted(len(plan.files), 'file')} in "
        f"{counted(len(plan.shards), 'shard')} of at most {plan.rows_per_shard:,} rows.\n"
        f"Plan {plan.fingerprint[:12]} is in {folder}. Run it: normlens corpus run {folder}"
    )


@contextmanager
def showing(before: RunStatus) -> Iterator[Any]:
    """A progress bar that counts finished shards; yields the function that a run calls after each event."""
    with counting("Finished shards", before.shards) as bar:
        bar.update(bar.task_ids[0], completed=before.committed)

        def progress(event: Any, report: RunReport) -> None:
            bar.update(bar.task_ids[0], completed=report.committed, total=report.shards)
            if event.kind in ("failed", "died"):
                shard = "" if event.shard is None else f"shard {event.shard}: "
                messages().print(f"{shard}{_first_line(event.message)}", markup=False, soft_wrap=True)

        yield progress


def show_report(report: RunReport, folder: Path, as_json: bool) -> None:
    """Print what a run has done; exit with status 1 if shards were set aside."""
    if as_json:
        typer.echo(json_text({**asdict(report), "set_aside": _by_name(report.set_aside)}))
    else:
        say(f"{report.committed} of {counted(report.shards, 'shard')} finished.")
        _say_set_aside(report.set_aside, folder)
        if report.committed == report.shards:
            say(f"Gather the results: normlens corpus finalize {folder}")
    if report.set_aside:
        raise typer.Exit(1)


def show_status(status: RunStatus, folder: Path, as_json: bool) -> None:
    """Print how far a run is."""
    if as_json:
        typer.echo(json_text({**asdict(status), "set_aside": _by_name(status.set_aside)}))
        return
    table = borderless(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    share = status.rows_done / status.rows if status.rows else 0.0
    table.add_row("shards", f"{status.committed:,}", f"of {status.shards:,}")
    table.add_row("rows", f"{status.rows_done:,}", f"of {status.rows:,} ({percent(share)})")
    for name, value in (("texts", status.texts), ("tokens", status.tokens)):
        speed = status.texts_per_second if name == "texts" else status.tokens_per_second
        table.add_row(name, f"{value:,}", "" if speed is None else f"{speed:,.1f} per second")
    for name, value in (("blank rows", status.blank), ("skipped", status.skipped), ("truncated", status.truncated)):
        if value:
            table.add_row(name, f"{value:,}", "")
    results().print(table)
    _say_set_aside(status.set_aside, folder)
    unfinished = status.committed + len(status.set_aside) < status.shards
    if unfinished and status.seconds_left is not None:
        say(f"About {duration(status.seconds_left)} left.")
    elif unfinished:
        since = "Nothing is finished yet" if status.last_commit is None else (
            f"The last shard was finished {duration(status.last_commit)} ago"
        )  # fmt: skip
        say(f"{since}. If no run is under way: normlens corpus run {folder}")
    elif not status.finalized:
        say(f"Gather the results: normlens corpus finalize {folder}")
    else:
        say(f"The results are in {folder / 'final'}.")


def duration(seconds: float) -> str:
    """A time in its two largest units.

    Examples
    --------
    >>> duration(3.2), duration(192), duration(7260), duration(200000)
    ('3 s', '3 min 12 s', '2 h 1 min', '2 d 7 h')
    """
    left = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2])


def say(text: str) -> None:
    """Print a sentence."""
    results().print(text, markup=False, soft_wrap=True)


def _say_set_aside(reasons: Mapping[int, str], folder: Path) -> None:
    if not reasons:
        return
    number, why = next(iter(reasons.items()))
    say(
        f"{counted(len(reasons), 'shard')} set aside; shard {number}: {_first_line(why)}\n"
        f"Try again: normlens corpus run {folder} --retry"
    )


def _first_line(text: str) -> str:
    """The last line of a traceback, or the whole of a sentence."""
    return text.strip().splitlines()[-1] if text.strip() else ""


def _by_name(reasons: Mapping[int, str]) -> dict[str, str]:
    return {str(number): why for number, why in reasons.items()}
