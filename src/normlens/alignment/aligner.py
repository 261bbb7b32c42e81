"""A parallel text aligned as a stream: one or two models, one result for each line, in order, whatever the line holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from normlens.alignment.corpora import Line
from normlens.alignment.extractor import Extractor, Pair
from normlens.alignment.formats import json_line, pharaoh_line, talp_line
from normlens.alignment.layer_rules import LayerChoice, choose_layer
from normlens.alignment.links import Link
from normlens.alignment.readings import Reading
from normlens.alignment.soft import SoftAlignment, joint_links, two_way
from normlens.alignment.symmetrisation import SYMMETRISATIONS
from normlens.errors import InvalidInput

_WINDOW = 16  # batches that are read before the first of their results is given
_SAMPLE = 200  # pairs by which a layer is chosen

WAYS = (*SYMMETRISATIONS, "agreement")
"""How two directions are made one."""


@dataclass(frozen=True)
class Alignment:
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
        What each target word takes from where; None for a line that was skipped.
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


class Aligner:
    """Aligns the words of sentence pairs.

    Parameters
    ----------
    extractor
        Of the model from source to target.
    reading
        What is read of it.
    reverse, reverse_reading
        The same for the model from target to source, if there is one.
    symmetrise
        How two directions are made one: "intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and",
        "agreement". With one model, its map is read both ways. None reads one direction.
    threshold
        Smallest score of a link, 0 to 1.
    balance
        Divide each source word's column by this power of its total first: 0 not at all, 1 fully.

    Raises
    ------
    InvalidInput
        If options don't fit each other or are out of range.
    """

    def __init__(
        self,
        extractor: Extractor,
        reading: Reading,
        reverse: Extractor | None = None,
        reverse_reading: Reading | None = None,
        *,
        symmetrise: str | None = None,
        threshold: float = 0.0,
        balance: float = 0.0,
    ) -> None:
        if symmetrise is not None and symmetrise not in WAYS:
            raise InvalidInput(f"There is no symmetrisation {symmetrise!r}; choose one of {', '.join(WAYS)}.")
        if reverse is not None and symmetrise is None:
            raise InvalidInput("Two models were given, and no way to make one of their alignments: give symmetrise=.")
        for name, value in (("threshold", threshold), ("balance", balance)):
            if not 0 <= value <= 1:
                raise InvalidInput(f"{name} is {value}; expected a number from 0 to 1.")
        extractor.check([reading])
        if reverse is not None:
            reverse.check([reverse_reading or reading])
        self._extractor, self._reading = extractor, reading
        self._reverse, self._reverse_reading = reverse, reverse_reading or reading
        self._how, self._threshold, self._balance = symmetrise, threshold, balance

    def align(self, lines: Iterable[Line]) -> Iterator[Alignment]:
        """Align line after line; memory doesn't grow with their number.

        A line with an empty side, or one that the model has no room for, gives an alignment without links that says why.

        Parameters
        ----------
        lines
            As :mod:`~normlens.alignment.corpora` reads them.

        Yields
        ------
        Alignment
            One for each line, in order.
        """
        iterator = iter(lines)
        while window := list(islice(iterator, _WINDOW * self._extractor.batch_size)):
            made = [self._made(line) for line in window]
            ready = [pairs for pairs in made if not isinstance(pairs, Alignment)]
            found = self._linked(ready)
            for line, pairs in zip(window, made, strict=True):
                if isinstance(pairs, Alignment):
                    yield pairs
                else:
                    soft, links = next(found)
                    yield Alignment(line.number, soft.source, soft.target, links, soft)

    def _made(self, line: Line) -> tuple[Pair, Pair | None] | Alignment:
        """The pair of a line for one or both models; an alignment without links where that can't be."""
        try:
            if line.problem is not None:
                raise InvalidInput(line.problem)
            pair = self._extractor.pair(line.source, line.target)
            back = None if self._reverse is None else _exchanged(self._reverse, pair)
        except InvalidInput as error:
            return Alignment(line.number, line.source.split(), line.target.split(), [], None, str(error))
        return pair, back

    def _linked(self, ready: Sequence[tuple[Pair, Pair | None]]) -> Iterator[tuple[SoftAlignment, list[Link]]]:
        forward = self._extractor.soft([pair for pair, _ in ready], self._reading)
        back: Iterator[SoftAlignment | None] = iter([None] * len(ready))
        if self._reverse is not None:
            back = self._reverse.soft([pair for _, pair in ready if pair is not None], self._reverse_reading)
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
    """Choose the layer, or both models' layers, by the first lines of a text.

    Parameters
    ----------
    lines
        The text; read as far as needed.
    extractor, reverse
        Of one or both models.
    reading
        What is read, but for its layer.
    rule
        One of :data:`~normlens.alignment.layer_rules.RULES`; None: the default for what is read.

    Returns
    -------
    list of LayerChoice, iterator of Line
        One choice per model, and the whole text again.
    """
    iterator = iter(lines)
    first = list(islice(iterator, _SAMPLE))
    pairs, exchanged = [], []
    for line in first:
        try:
            pair = extractor.pair(line.source, line.target)
            back = None if reverse is None else _exchanged(reverse, pair)
        except InvalidInput:
            continue
        pairs.append(pair)
        exchanged.append(back)
    if reverse is None:
        return [choose_layer(extractor, pairs, reading, rule)], chain(first, iterator)
    other = [pair for pair in exchanged if pair is not None]
    choices = [
        choose_layer(extractor, pairs, reading, rule, (reverse, other)),
        choose_layer(reverse, other, reading, rule, (extractor, pairs)),
    ]
    return choices, chain(first, iterator)


def _exchanged(reverse: Extractor, pair: Pair) -> Pair:
    """The pair for the model of the other direction."""
    try:
        return reverse.pair(pair.target, pair.source)
    except InvalidInput as error:
        raise InvalidInput(f"for the model of the other direction, {error}") from error


def _as_json(alignment: Alignment, base: int = 0, *, matrix: bool = False) -> str:
    further: dict[str, Any] = {"line": alignment.line, "source": alignment.source, "target": alignment.target}
    if alignment.skipped is not None:
        further["skipped"] = alignment.skipped
    if matrix and alignment.soft is not None:
        further["matrix"] = [[round(float(x), 4) for x in row] for row in alignment.soft.shares()]
    return json_line(alignment.links, base, **further)


FORMATS: dict[str, Callable[[Alignment, int], str]] = {
    "pharaoh": lambda alignment, base: pharaoh_line(alignment.links, base),
    "talp": lambda alignment, base: talp_line(alignment.links, base),
    "json": _as_json,
    "matrix": lambda alignment, base: _as_json(alignment, base, matrix=True),
}
"""How an alignment is written, one line each; "matrix" is JSON with every share: a row per target word, the end last."""


DEFAULT_MODEL: str | None = "de-en"
"""From source to target, by a name that :func:`normlens.load` takes; None for none."""

DEFAULT_REVERSE_MODEL: str | None = "en-de"
"""From target to source."""

GUIDED_LAYER = 0
"""The layer of both whose cross-attention was taught to align."""
