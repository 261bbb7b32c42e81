"""Output of ``normlens report``: progress, the report, and its main findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from normlens.cli.opening import quiet
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import counting, results, waiting
from normlens.cli.text_files import Lines
from normlens.errors import InvalidInput
from normlens.statistics import TokenFrequency
from normlens.statistics.report import (
    Estimates,
    Measured,
    Text,
    findings,
    measure,
    read_estimates,
    token_frequency,
    write_report,
)

if TYPE_CHECKING:
    from normlens import Analysis, Lens

_MOST_FINDINGS = 3  # of each kind of attention on the terminal


def measured(
    lens: Lens,
    texts: Iterable[Text],
    targets: Iterable[Text] | None = None,
    *,
    frequency: Path | None = None,
    group: str | None = None,
    batch_size: int = 8,
    reading: Mapping[str, Any] = MappingProxyType({}),
) -> Measured:
    """Measure a corpus, with a progress bar.

    Parameters
    ----------
    lens, texts, targets, group, batch_size
        As in :func:`normlens.statistics.report.measure`; errors about a text of :class:`Lines` name its line.
    frequency
        File with token frequencies. Default: counted in the corpus.
    reading
        Further options of :func:`normlens.statistics.report.measure`.

    Raises
    ------
    NormLensError
        As :func:`normlens.statistics.report.measure`.
    """
    with waiting("Counting tokens"), quiet():
        ranks = TokenFrequency.read(frequency) if frequency else token_frequency(lens, texts, targets)

    def progressing(analyses: Iterable[Analysis], total: int) -> Iterator[Analysis]:
        with counting("Analyzing", total) as progress:
            for analysis in _located(analyses, texts):
                yield analysis
                progress.advance(progress.task_ids[0])

    with quiet():
        return measure(
            lens, texts, targets, frequency=ranks, group=group, batch_size=batch_size, progress=progressing, **reading
        )


def written(corpus: Measured, folder: Path, title: str, name: str) -> dict[str, Estimates]:
    """Write the report on a corpus, and read its numbers back.

    Parameters
    ----------
    corpus
        The measured corpus.
    folder, title
        As in :func:`normlens.statistics.report.write_report`.
    name
        Name of the corpus, which the report shows with the attributes of the model.

    Returns
    -------
    dict of str to Estimates
        By attention kind.

    Raises
    ------
    NormLensError
        As :func:`normlens.statistics.report.write_report`.
    """
    attributes = {"corpus": name, **corpus.attributes}
    with waiting("Writing the report"), quiet():
        write_report(corpus.statistics, folder, title=title, attributes=attributes, examples=corpus.examples)
    return read_estimates(folder)


def give(
    numbers: Mapping[str, Estimates], corpus: Measured, name: str, folder: Path, as_json: bool, *, skipped: object
) -> None:
    """Print the main findings, and where the report is.

    Parameters
    ----------
    numbers
        From `written`.
    corpus
        The measured corpus.
    name
        Name of the model.
    folder
        The folder of the report.
    as_json
        Whether to print all findings as JSON and nothing else.
    skipped
        The lines that were skipped, ready for JSON.
    """
    sentences = {kind: findings(estimates) for kind, estimates in numbers.items()}
    page, count = folder / "report.html", len(corpus)
    if as_json:
        answer = {"folder": str(folder), "report": str(page), "texts": count, "findings": sentences}
        typer.echo(json_text({**answer, "skipped": skipped, "truncated": corpus.truncated}))
        return
    console = results()
    for kind, of_kind in sentences.items():
        console.print(f"[bold]{escape(name)}[/] · [bold]{kind}[/] · {count} texts")
        for sentence in of_kind[:_MOST_FINDINGS]:
            console.print(f"  {escape(sentence)}")
    console.print(str(page), markup=False, soft_wrap=True)


def _located(analyses: Iterable[Analysis], texts: Iterable[Text]) -> Iterator[Analysis]:
    """The same analyses; errors about a text of a file name its line."""
    try:
        yield from analyses
    except InvalidInput as error:
        raise (texts.located(error) if isinstance(texts, Lines) else error) from error
