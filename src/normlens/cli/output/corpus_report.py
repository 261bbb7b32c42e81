"""A corpus through the library, with what a person sees meanwhile: progress, and the line of a text that can't be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from normlens.cli.opening import quiet
from normlens.cli.terminal import counting, waiting
from normlens.cli.text_files import Lines
from normlens.errors import InvalidInput
from normlens.statistics import TokenFrequency
from normlens.statistics.report import Estimates, Measured, Text, measure, read_estimates, token_frequency, write_report

if TYPE_CHECKING:
    from normlens import Analysis, Lens


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
    """Measure a corpus, showing how far it is.

    Parameters
    ----------
    lens, texts, targets, group, batch_size
        As in :func:`normlens.statistics.report.measure`; an error about a text of :class:`Lines` names its line.
    frequency
        A table of token frequencies. Default: counted in the corpus.
    reading
        Further options of :func:`normlens.statistics.report.measure`.

    Raises
    ------
    NormLensError
        As :func:`normlens.statistics.report.measure`.
    """
    with waiting("Counting tokens"), quiet():
        ranks = TokenFrequency.read(frequency) if frequency else token_frequency(lens, texts, targets)

    def shown(analyses: Iterable[Analysis], total: int) -> Iterator[Analysis]:
        with counting("Analyzing", total) as progress:
            for analysis in _located(analyses, texts):
                yield analysis
                progress.advance(progress.task_ids[0])

    with quiet():
        return measure(
            lens, texts, targets, frequency=ranks, group=group, batch_size=batch_size, progress=shown, **reading
        )


def written(found: Measured, folder: Path, title: str, corpus: str) -> dict[str, Estimates]:
    """Write the report of what was measured, and read its numbers back.

    Parameters
    ----------
    found
        What was measured.
    folder, title
        As in :func:`normlens.statistics.report.write_report`.
    corpus
        What to call the corpus beside what is known about the model.

    Returns
    -------
    dict of str to Estimates
        By attention kind.

    Raises
    ------
    NormLensError
        As :func:`normlens.statistics.report.write_report`.
    """
    about = {"corpus": corpus, **found.attributes}
    with waiting("Writing the report"), quiet():
        write_report(found.statistics, folder, title=title, attributes=about, examples=found.examples)
    return read_estimates(folder)


def _located(analyses: Iterable[Analysis], texts: Iterable[Text]) -> Iterator[Analysis]:
    """The same analyses; an error about a text of a file names its line."""
    try:
        yield from analyses
    except InvalidInput as error:
        raise (texts.located(error) if isinstance(texts, Lines) else error) from error
