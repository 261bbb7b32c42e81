"""Measure a corpus as a stream: text after text goes through a lens, and a few numbers of each are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

from normlens.errors import InvalidInput
from normlens.statistics import CorpusStatistics, TokenFrequency
from normlens.words import joined_words

if TYPE_CHECKING:
    import xarray as xr

    from normlens.analysis.result import Analysis

Text = str | list[str]
"""A text, or its words."""

Progress = Callable[[Iterable["Analysis"], int], Iterable["Analysis"]]
"""Passes analyses on and shows the progress; takes the analyses and their number."""

EXAMPLES = 2
"""Texts of each kind of attention that a report shows."""

EXAMPLE_TOKENS = range(6, 33)
"""Numbers of tokens that a picture has room for."""

_NOT_OF_THE_MODEL = ("text", "target_text", "truncated")


class Stream(Protocol):
    """The model that a corpus is measured with: a :class:`normlens.Lens`."""

    name: str
    model: Any
    tokenizer: Any

    @property
    def stream(self) -> Callable[..., Iterator[Analysis]]:
        """Yields one analysis for each text, in order."""


@dataclass
class Measured:
    """The measurements of a corpus, as :func:`normlens.statistics.report.write_report` takes them.

    Attributes
    ----------
    statistics
        By kind of attention.
    examples
        A few analyzed texts of each kind, short enough for a picture.
    attributes
        Model, revision, dtype, versions.
    truncated
        Number of texts that were cut to the maximum length of the model.
    """

    statistics: dict[str, CorpusStatistics] = field(default_factory=dict)
    examples: dict[str, list[xr.Dataset]] = field(default_factory=dict)
    attributes: dict[str, object] = field(default_factory=dict)
    truncated: int = 0

    def __len__(self) -> int:
        """Count the texts."""
        return max(map(len, self.statistics.values()), default=0)

    def add(self, analysis: Analysis, frequency: TokenFrequency, group: str | None = None) -> None:
        """Add one text, or only one kind of its attention.

        Parameters
        ----------
        analysis
            The analysis of the text.
        frequency
            Ranks of token frequency, the same for every text.
        group
            The kind of attention. Default: all of the model's kinds.

        Raises
        ------
        InvalidInput
            If the analysis doesn't have that kind.
        """
        if group is not None and group not in analysis.groups:
            raise InvalidInput(
                f"This model has no group {group}; it has {', '.join(analysis.groups)}. Choose one of these."
            )
        for name in analysis.groups if group is None else [group]:
            data = analysis[name].data
            self.statistics.setdefault(name, CorpusStatistics(frequency)).add(data)
            show_example(self.examples.setdefault(name, []), data)
        self.truncated += "truncated" in analysis.attrs
        if not self.attributes:
            self.attributes.update(attributes_of(analysis))


def show_example(examples: list[xr.Dataset], data: xr.Dataset) -> None:
    """Add an analyzed text to the examples of its kind of attention, if it is short enough and there are too few."""
    if len(examples) < EXAMPLES and {data.sizes["target"], data.sizes["source"]} <= set(EXAMPLE_TOKENS):
        examples.append(data)


def attributes_of(analysis: Analysis) -> dict[str, object]:
    """Model, revision, dtype and versions of an analysis, without what belongs to its text."""
    return {name: value for name, value in analysis.attrs.items() if value and name not in _NOT_OF_THE_MODEL}


def measure(
    lens: Stream,
    texts: Iterable[Text],
    targets: Iterable[Text] | None = None,
    *,
    frequency: TokenFrequency | None = None,
    group: str | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
    truncate: bool = False,
    skip: Callable[[Any], object] | None = None,
) -> Measured:
    """Analyze a corpus; memory doesn't grow with its texts, except by a few numbers for each.

    Parameters
    ----------
    lens
        The model.
    texts, targets
        Read several times, so not a generator; a text may be a list of its words. Targets are for encoder–decoders, one
        for each text.
    frequency
        Ranks of token frequency. Default: :func:`token_frequency` of this corpus.
    group
        One kind of attention only. Default: all.
    batch_size
        Texts per forward pass.
    progress
        Wraps the stream of analyses, such as ``lambda analyses, total: tqdm(analyses, total=total)``.
    truncate, skip
        As in :meth:`normlens.Lens.stream`; frequencies are counted in the whole corpus all the same.

    Raises
    ------
    NormLensError
        If there is no text, one of them can't be analyzed, or all of them are left out.
    """
    total = _count(texts, targets)
    ranks = token_frequency(lens, texts, targets) if frequency is None else frequency
    measured = Measured()
    analyses: Iterable[Analysis] = lens.stream(
        iter(texts), targets, batch_size=batch_size, progress=False, truncate=truncate, skip=skip
    )
    for analysis in analyses if progress is None else progress(analyses, total):
        measured.add(analysis, ranks, group)
    if not len(measured):
        raise InvalidInput(f"None of the {total} texts can be analyzed; all of them were left out.")
    return measured


def token_frequency(lens: Stream, texts: Iterable[Text], targets: Iterable[Text] | None = None) -> TokenFrequency:
    """Count how often each token occurs in a corpus.

    Parameters
    ----------
    lens, texts, targets
        As in :func:`measure`.

    Raises
    ------
    InvalidInput
        If there is no text, or the model reads none.
    """
    _count(texts, targets)
    return TokenFrequency.counted(_ids(lens, texts, targets))


def _count(texts: Iterable[Text], targets: Iterable[Text] | None) -> int:
    """Number of texts; refuses a different number of targets."""
    if any(corpus is not None and iter(corpus) is corpus for corpus in (texts, targets)):
        raise InvalidInput(
            "The corpus can be read only once (it is an iterator); expected a list, or something else that can be read "
            "again: first the tokens are counted, then the texts are analyzed."
        )
    total = sum(1 for _ in texts)
    if not total:
        raise InvalidInput("The corpus has no text: it is empty or has only blank lines. Expected at least one text.")
    if targets is not None and (paired := sum(1 for _ in targets)) != total:
        raise InvalidInput(f"There are {total} texts, but {paired} targets; expected one target for each text.")
    return total


def _ids(lens: Stream, texts: Iterable[Text], targets: Iterable[Text] | None) -> Iterator[list[int]]:
    """Token ids of every text, and of its target."""
    if lens.tokenizer is None:
        raise InvalidInput(f"{lens.name} has no tokenizer, and a corpus is text. Choose a model that reads text.")
    for text, target in zip(texts, repeat(None) if targets is None else targets, strict=targets is not None):
        yield lens.tokenizer(_joined(text), verbose=False)["input_ids"]
        if target is not None:
            yield lens.tokenizer(text_target=_joined(target), verbose=False)["input_ids"]


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else joined_words(text)
