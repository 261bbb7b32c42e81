"""Measure a corpus as a stream and write its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.cli.files import Lines
from normlens.cli.opening import quiet
from normlens.cli.terminal import counting, waiting
from normlens.errors import InvalidInput
from normlens.report import write_report
from normlens.report.estimates import Estimates
from normlens.report.findings import findings
from normlens.statistics import CorpusStatistics, TokenFrequency

if TYPE_CHECKING:
    import xarray as xr

    from normlens import Analysis, Lens

_EXAMPLES = 2
_EXAMPLE_TOKENS = range(6, 33)
_NOT_OF_THE_MODEL = ("text", "target_text")


@dataclass
class Measured:
    """What a corpus gave.

    Attributes
    ----------
    statistics
        By kind of attention.
    examples
        A few analysed texts of each kind, short enough for a picture.
    attributes
        Model, revision, dtype, versions.
    """

    statistics: dict[str, CorpusStatistics] = field(default_factory=dict)
    examples: dict[str, list[xr.Dataset]] = field(default_factory=dict)
    attributes: dict[str, object] = field(default_factory=dict)

    def add(self, analysis: Analysis, frequency: TokenFrequency, group: str | None) -> None:
        """Take in one text, or only one kind of attention of it.

        Raises
        ------
        InvalidInput
            If it doesn't have that kind.
        """
        if group is not None and group not in analysis.groups:
            raise InvalidInput(
                f"This model has no group {group}; it has {', '.join(analysis.groups)}. Choose one of these."
            )
        for name in analysis.groups if group is None else [group]:
            data = analysis[name].data
            self.statistics.setdefault(name, CorpusStatistics(frequency)).add(data)
            shown = self.examples.setdefault(name, [])
            if len(shown) < _EXAMPLES and {data.sizes["target"], data.sizes["source"]} <= set(_EXAMPLE_TOKENS):
                shown.append(data)
        if not self.attributes:
            known = {name: value for name, value in analysis.attrs.items() if value and name not in _NOT_OF_THE_MODEL}
            self.attributes.update(known)


def measure(
    lens: Lens,
    texts: Iterable[str],
    targets: Iterable[str] | None = None,
    *,
    frequency: Path | None = None,
    group: str | None = None,
    batch_size: int = 8,
) -> Measured:
    """Analyse text after text, keeping a few numbers of each.

    Parameters
    ----------
    lens
        The model.
    texts, targets
        Read twice, so not a generator: once to count, once to analyse. Targets are for encoder–decoders.
    frequency
        A table of token frequencies. Default: counted in the corpus.
    group
        One kind of attention only.
    batch_size
        Texts that run together.

    Raises
    ------
    NormLensError
        If there is no text, or one of them can't be analysed.
    """
    with waiting("Counting tokens"), quiet():
        total = sum(1 for _ in texts)
        if not total:
            raise InvalidInput("The corpus holds no text, only blank lines or nothing. Expected one text per line.")
        ranks = TokenFrequency.read(frequency) if frequency else TokenFrequency.counted(_ids(lens, texts, targets))
    measured = Measured()
    with counting("Analysing", total) as progress, quiet():
        analyses = lens.analyze(iter(texts), targets, batch_size=batch_size, progress=False)
        for analysis in _located(analyses, texts):
            measured.add(analysis, ranks, group)
            progress.advance(progress.task_ids[0])
    return measured


def write(measured: Measured, folder: Path, title: str, **attributes: object) -> dict[str, Estimates]:
    """Write the report of what was measured.

    Parameters
    ----------
    measured
        Statistics and examples.
    folder
        Where it goes.
    title
        Its first line.
    **attributes
        What to say about the corpus beside what is known about the model.

    Returns
    -------
    dict of str to Estimates
        The numbers of the report, by kind of attention.

    Raises
    ------
    NormLensError
        If it can't be written.
    """
    import pandas as pd

    with waiting("Writing the report"), quiet():
        write_report(
            measured.statistics,
            folder,
            title=title,
            attributes={**attributes, **measured.attributes},
            examples=measured.examples,
        )
    table = pd.read_parquet(folder / "numbers.parquet")
    return {kind: Estimates(table[table["attention"] == kind]) for kind in measured.statistics}


def answers(numbers: dict[str, Estimates]) -> dict[str, list[str]]:
    """The report's findings in words, by kind of attention."""
    return {kind: findings(of_kind) for kind, of_kind in numbers.items()}


def _located(analyses: Iterable[Analysis], texts: Iterable[str]) -> Iterator[Analysis]:
    """The same analyses; an error about a text of a file names its line."""
    try:
        yield from analyses
    except InvalidInput as error:
        raise (texts.located(error) if isinstance(texts, Lines) else error) from error


def _ids(lens: Lens, texts: Iterable[str], targets: Iterable[str] | None) -> Iterator[list[int]]:
    """Token ids of every text, and of its target."""
    if lens.tokenizer is None:
        raise InvalidInput(f"{lens.name} has no tokenizer, and a corpus is text. Choose a model that reads text.")
    for text, target in zip(texts, repeat(None) if targets is None else targets, strict=targets is not None):
        yield lens.tokenizer(text, verbose=False)["input_ids"]
        if target is not None:
            yield lens.tokenizer(text_target=target, verbose=False)["input_ids"]
