"""Alignments as pictures: a pair's matrices by weight and by norm, and pages with links drawn between the words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.alignment.aligner import Alignment
from normlens.alignment.extractor import Extractor, Pair
from normlens.alignment.readings import Reading
from normlens.bitext.links import LinkSets
from normlens.files.atomic import write_atomically

if TYPE_CHECKING:
    from normlens.figures.panels import AxesLike, FigureSize, PanelAxes
    from normlens.figures.style import ColorMap


def draw_matrices(
    extractor: Extractor,
    pair: Pair,
    reading: Reading,
    gold: LinkSets | None = None,
    *,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> PanelAxes:
    """Draw the shares that target words take from source words, by weight and by norm side by side.

    Parameters
    ----------
    extractor
        For the model.
    pair
        From :meth:`Extractor.pair`.
    reading
        Layer, scope, setting and head; both measures are drawn.
    gold
        Annotated links, drawn as frames.
    ax, figsize, cmap
        As for `normlens.figures.alignment_matrices`, whose two axes are returned.
    """
    from normlens.figures.alignment_panels import alignment_matrices

    ((weight, norm),) = extractor.maps([pair], [reading.by("weight"), reading.by("norm")])
    annotated = gold or LinkSets.from_links(())
    title = " and ".join(
        f"layer {one.layer}{'' if one.head is None else f', head {one.head}'}, {one.setting.upper()}"
        for one in reading.components
    )
    return alignment_matrices(
        weight.values,
        norm.values,
        pair.source,
        pair.target,
        sure=annotated.sure,
        possible=annotated.possible,
        title=title,
        ax=ax,
        figsize=figsize,
        cmap=cmap,
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
        As :meth:`Aligner.align` yields them; skipped lines are left out.
    path
        The file to write; it appears only when it is complete.
    title
        The page's heading.
    gold
        Annotated links, one entry per line: links that aren't among them are gray, missing ones green.

    Raises
    ------
    NormLensError
        If it can't be written.
    """
    from normlens.figures.link_lines import LinkedPair, links_page

    pairs = [
        LinkedPair(
            alignment.source,
            alignment.target,
            [(link.source, link.target, link.score, link.sure) for link in alignment.links],
            f"line {alignment.line}",
            None if gold is None else gold[alignment.line - 1].possible,
        )
        for alignment in alignments
        if alignment.skipped is None
    ]
    return write_atomically(path, links_page(pairs, title))
