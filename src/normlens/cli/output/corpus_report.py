"""Output of ``normlens report``: its main findings, and where the page is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import counted, results
from normlens.statistics.report import findings

if TYPE_CHECKING:
    from normlens.cli.report_runs import WrittenReport

_MOST_FINDINGS = 3  # of each kind of attention on the terminal


def give(report: WrittenReport, name: str, as_json: bool) -> None:
    """Print the main findings, and where the report is.

    Parameters
    ----------
    report
        What was written.
    name
        Name of the model.
    as_json
        Whether to print all findings as JSON and nothing else.
    """
    sentences = {kind: findings(estimates) for kind, estimates in report.numbers.items()}
    page = report.folder / "report.html"
    if as_json:
        answer = {"folder": str(report.folder), "report": str(page), "texts": report.texts, "findings": sentences}
        typer.echo(json_text({**answer, "skipped": report.skipped, "truncated": report.truncated}))
        return
    console = results()
    for kind, of_kind in sentences.items():
        console.print(f"[bold]{escape(name)}[/] · [bold]{kind}[/] · {counted(report.texts, 'text')}")
        for sentence in of_kind[:_MOST_FINDINGS]:
            console.print(f"  {escape(sentence)}")
    console.print(str(page), markup=False, soft_wrap=True)
