"""Align a parallel text as a stream: one or two models, one result per line, in order, also for unreadable lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from normlens.alignment.extractor import Extractor, Pair
from normlens.alignment.layer_rules import LayerChoice, choose_layer
from normlens.alignment.readings import Reading
from normlens.alignment.soft import SoftAlignment, joint_links, two_way
from normlens.alignment.symmetrization import SYMMETRIZATIONS
from normlens.bitext.corpora import Line
from normlens.bitext.formats import json_line, pharaoh_line, talp_line
from normlens.bitext.links import Link
from normlens.errors import InvalidInput
from normlens.words.three_lines import Summarized, counted, first_few

WINDOW = 16
"""Batches that are sorted by length together; their results come in the order of the text."""

_SAMPLE = 200  # pairs from which a layer is chosen

COMBINATIONS = (*SYMMETRIZATIONS, "agreement")
"""Methods to combine two directions."""


@dataclass(frozen=True, repr=False)
class Alignment(Summarized):
    """One line of a parallel text, aligned.

    Attributes
    ----------
    line
        Its number, from 1.
    source, target
        The words of both sentences.
    links
        The links; none for a line that was skipped.
    soft
        The share that each target word takes from each source word; None for a line that was skipped.
    skipped
        Why the line was skipped, or None.
    """

    line: int
    source: Sequence[str]
    target: Sequence[str]
    links: Sequence[Link]
    soft: SoftAlignment | None
    skipped: str | None = None

    @property
    def word_pairs(self) -> list[tuple[str, str]]:
        """The words that the links connect, in their order."""
        return [(self.source[link.source], self.target[link.target]) for link in self.links]

    def _summary(self) -> tuple[str, str, str]:
        words = f"{counted(len(self.source), 'source word')}, {counted(len(self.target), 'target word')}"
        if self.skipped is not None:
            return (
                f"<Alignment of line {self.line}: {words}, skipped>",
                f"Reason: {self.skipped}",
                "Next: mend or leave out the line; .skipped is the reason",
            )
        links = [f"{self.source[j]!r}–{self.target[i]!r} {score:.2f}" for j, i, score, _ in self.links]
        sure = sum(link.sure for link in self.links)
        return (
            f"<Alignment of line {self.line}: {words}, {counted(len(links), 'link')} ({sure} sure)>",
            f"Links: {first_few(links) or 'none'}",
            "Next: .word_pairs, .links, .soft.data, alignment.pharaoh_line(….links), alignment.write_links_page([…], path)",
        )

    def _picture(self) -> str:
        from normlens.figures import LinkedPair, links_page
        from normlens.figures.framed import framed

        if self.skipped is not None:
            return ""
        links = [(link.source, link.target, link.score, link.sure) for link in self.links]
        return framed(links_page([LinkedPair(self.source, self.target, links)], f"line {self.line}"), height=260)


class Aligner:
    """Aligns the words of sentence pairs.

    Parameters
    ----------
    extractor
        For the model from source to target.
    reading
        What to read from it.
    reverse, reverse_reading
        The same for the model from target to source, if there is one.
    symmetrize
        How the two directions are combined: "intersection", "union", "grow-diag", "grow-diag-final",
        "grow-diag-final-and" or "agreement". With one model, its map is read by row and by column. None reads one
        direction.
    threshold
        Smallest score of a link, 0 to 1.
    balance
        Down-weight source words that every target word attends to: each column is divided by this power of its total
        (0: off, 1: fully).

    Raises
    ------
    InvalidInput
        If options contradict each other or are out of range.
    """

    def __init__(
        self,
        extractor: Extractor,
        reading: Reading,
        reverse: Extractor | None = None,
        reverse_reading: Reading | None = None,
        *,
        symmetrize: str | None = None,
        threshold: float = 0.0,
        balance: float = 0.0,
    ) -> None:
        if symmetrize is not None and symmetrize not in COMBINATIONS:
            raise InvalidInput(f"There is no symmetrization {symmetrize!r}; choose one of {', '.join(COMBINATIONS)}.")
        if reverse is not None and symmetrize is None:
            raise InvalidInput(
                "Two models need a method to combine their alignments. Pass symmetrize=, such as symmetrize='grow-diag'."
            )
        for name, value in (("threshold", threshold), ("balance", balance)):
            if not 0 <= value <= 1:
                raise InvalidInput(f"{name} must be a number from 0 to 1, got {value}.")
        extractor.check([reading])
        if reverse is not None:
            reverse.check([reverse_reading or reading])
        self._extractor, self._reading = extractor, reading
        self._reverse, self._reverse_reading = reverse, reverse_reading or reading
        self._how, self._threshold, self._balance = symmetrize, threshold, balance

    def align(self, lines: Iterable[Line]) -> Iterator[Alignment]:
        """Align lines one by one; memory doesn't grow with their number.

        A line with an empty side, or one that is too long for the model, yields an alignment without links, with the reason.

        Parameters
        ----------
        lines
            As :mod:`~normlens.bitext.corpora` reads them.

        Yields
        ------
        Alignment
            One for each line, in order.
        """
        iterator = iter(lines)
        while window := list(islice(iterator, WINDOW * self._extractor.batch_size)):
            prepared = [self._prepared(line) for line in window]
            linked = self._linked([pairs for pairs in prepared if not isinstance(pairs, Alignment)])
            for line, pairs in zip(window, prepared, strict=True):
                if isinstance(pairs, Alignment):
                    yield pairs
                else:
                    soft, links = next(linked)
                    yield Alignment(line.number, soft.source, soft.target, links, soft)

    def _prepared(self, line: Line) -> tuple[Pair, Pair | None] | Alignment:
        """The sentence pair for one or both models; an alignment without links if the line can't be aligned."""
        try:
            if line.problem is not None:
                raise InvalidInput(line.problem)
            pair = self._extractor.pair(line.source, line.target)
            back = None if self._reverse is None else _swapped(self._reverse, pair)
        except InvalidInput as error:
            return Alignment(line.number, line.source.split(), line.target.split(), [], None, str(error))
        return pair, back

    def _linked(self, pairs: Sequence[tuple[Pair, Pair | None]]) -> Iterator[tuple[SoftAlignment, list[Link]]]:
        forward = self._extractor.soft([pair for pair, _ in pairs], self._reading)
        back: Iterator[SoftAlignment | None] = iter([None] * len(pairs))
        if self._reverse is not None:
            back = self._reverse.soft([pair for _, pair in pairs if pair is not None], self._reverse_reading)
        for soft, other in zip(forward, back, strict=True):
            yield soft, self._links(soft, other)

    def _links(self, soft: SoftAlignment, other: SoftAlignment | None) -> list[Link]:
        if self._how is None:
            return soft.links(self._threshold, self._balance)
        return joint_links(soft, other or two_way(soft), self._how, self._threshold, self._balance)


def with_layers(
    lines: Iterable[Line],
    extractor: Extractor,
    reading: Reading,
    reverse: Extractor | None = None,
    rule: str | None = None,
) -> tuple[list[LayerChoice], Iterator[Line]]:
    """Choose the layer of one or both models from the first lines of a text.

    Parameters
    ----------
    lines
        The text; only as much as needed is read.
    extractor, reverse
        For one or both models.
    reading
        What to read; its layer is ignored.
    rule
        One of :data:`~normlens.alignment.layer_rules.RULES`; None: the default for this reading.

    Returns
    -------
    list of LayerChoice, iterator of Line
        One choice per model, and an iterator over the whole text.
    """
    iterator = iter(lines)
    first = list(islice(iterator, _SAMPLE))
    pairs, swapped = [], []
    for line in first:
        try:
            pair = extractor.pair(line.source, line.target)
            back = None if reverse is None else _swapped(reverse, pair)
        except InvalidInput:
            continue
        pairs.append(pair)
        swapped.append(back)
    if reverse is None:
        return [choose_layer(extractor, pairs, reading, rule)], chain(first, iterator)
    other = [pair for pair in swapped if pair is not None]
    choices = [
        choose_layer(extractor, pairs, reading, rule, (reverse, other)),
        choose_layer(reverse, other, reading, rule, (extractor, pairs)),
    ]
    return choices, chain(first, iterator)


def _swapped(reverse: Extractor, pair: Pair) -> Pair:
    """The pair with source and target exchanged, for the reverse model."""
    try:
        return reverse.pair(pair.target, pair.source)
    except InvalidInput as error:
        raise InvalidInput(f"for the reverse model, {error}") from error


def _as_json(alignment: Alignment, base: int = 0, *, matrix: bool = False) -> str:
    fields: dict[str, Any] = {"line": alignment.line, "source": alignment.source, "target": alignment.target}
    if alignment.skipped is not None:
        fields["skipped"] = alignment.skipped
    if matrix and alignment.soft is not None:
        fields["matrix"] = [[round(float(x), 4) for x in row] for row in alignment.soft.shares()]
    return json_line(alignment.links, base, **fields)


FORMATS: dict[str, Callable[[Alignment, int], str]] = {
    "pharaoh": lambda alignment, base: pharaoh_line(alignment.links, base),
    "talp": lambda alignment, base: talp_line(alignment.links, base),
    "json": _as_json,
    "matrix": lambda alignment, base: _as_json(alignment, base, matrix=True),
}
"""Output formats, one line per alignment; "matrix" is JSON with every share: a row per target word, the end of the sentence
in the last column."""


GUIDED_LAYER = 0
"""The layer whose cross-attention was trained to align, in both default models."""
