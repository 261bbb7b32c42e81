"""Alignments as pictures: a pair's matrix by weight beside by norm, and pages with links drawn between the words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.alignment.aligner import Alignment
from normlens.alignment.extractor import Extractor, Pair
from normlens.alignment.links import LinkSets
from normlens.alignment.readings import Reading
from normlens.files.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_matrices(extractor: Extractor, pair: Pair, reading: Reading, gold: LinkSets | None = None) -> Figure:
    """Draw what each target word takes from each source word: by weight beside by norm.

    Parameters
    ----------
    extractor
        Of the model.
    pair
        From :meth:`Extractor.pair`.
    reading
        Layer, scope, setting and head; both measures are drawn.
    gold
        Annotated links, framed.
    """
    from normlens.figures.alignment import alignment_matrices

    ((weight, norm),) = extractor.maps([pair], [reading.by("weight"), reading.by("norm")])
    known = gold or LinkSets.of(())
    title = " and ".join(
        f"layer {part.layer}{'' if part.head is None else f', head {part.head}'}, {part.setting.upper()}"
        for part in reading.parts
    )
    return alignment_matrices(
        weight.values, norm.values, pair.source, pair.target, sure=known.sure, possible=known.possible, title=title
    )


def write_links_page(
    alignments: Iterable[Alignment],
    path: str | Path,
    title: str = "Word alignment",
    gold: Sequence[LinkSets] | None = None,
) -> Path:
    """Write a self-contained HTML page with the links of some pairs, drawn between their words.

    Parameters
    ----------
    alignments
        As :meth:`Aligner.align` gives them; skipped lines are left out.
    path
        Where it goes; the file appears whole or not at all.
    title
        Its heading.
    gold
        Annotated links, by line number less one: links that aren't among them are grey, those not found green.

    Raises
    ------
    NormLensError
        If it can't be written.
    """
    from normlens.figures.links import LinkedPair, links_page

    pairs = [
        LinkedPair(
            found.source,
            found.target,
            [(link.source, link.target, link.score, link.sure) for link in found.links],
            f"line {found.line}",
            None if gold is None else gold[found.line - 1].possible,
        )
        for found in alignments
        if found.skipped is None
    ]
    return write_atomically(path, links_page(pairs, title))
