"""Links of eflomal, a statistical aligner, on the text of a training: for comparison, and to choose recipes by."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normlens.alignment import SYMMETRIZATIONS, LinkSets, read_links, symmetrize
from normlens.bitext.eflomal import link_files
from reproduce.alignment.models import Cells, Gold
from reproduce.alignment.trained import text_file


@dataclass(frozen=True)
class Statistical:
    """The links of eflomal from German to English, both directions, for the held-out and the annotated sentences.

    Attributes
    ----------
    pairs
        Number of lines it read: training text, held-out text and annotated sentences, as is usual for such aligners.
    cpu_seconds
        Processor time of the run; None if the links existed already.
    held_out, annotated
        A pair of directions for each sentence.
    """

    pairs: int
    cpu_seconds: float | None
    held_out: list[tuple[Cells, Cells]]
    annotated: list[tuple[Cells, Cells]]


def statistical(run: Path, gold: Gold) -> Statistical:
    """Run eflomal on the text of a training; the links are kept in the training's folder and read from there later.

    Parameters
    ----------
    run
        Folder of ``python -m reproduce train-translation``.
    gold
        The annotated sentences.
    """
    folder = run / "eflomal"
    folder.mkdir(exist_ok=True)
    held_out = lines(text_file(run, "held_out", "de"))
    taken = None
    for side, annotated in (("de", gold.german), ("en", gold.english)):
        own = (line for which in ("train", "held_out") for line in lines(text_file(run, which, side)))
        text = [*own, *map(" ".join, annotated)]
        if not (folder / f"text.{side}").exists():
            (folder / f"text.{side}").write_text("\n".join(text) + "\n", encoding="utf-8")
    ahead, back = folder / "links.de-en", folder / "links.en-de"
    if not back.exists():
        before = _children_seconds()
        link_files(folder / "text.de", folder / "text.en", ahead, back)
        taken = round(_children_seconds() - before, 1)
    last = len(held_out) + len(gold.links)
    directions = [[set(links.possible) for links in read_links(path)][-last:] for path in (ahead, back)]
    both = list(zip(*directions, strict=True))
    return Statistical(len(text), taken, both[: len(held_out)], both[len(held_out) :])


def rows_of(aligned: Statistical, gold: Gold, resamples: int) -> list[dict[str, Any]]:
    """AER of each direction and of every symmetrization."""
    rows = [
        {"how": how, **gold.aer([both[place] for both in aligned.annotated], resamples)}
        for place, how in enumerate(("forward", "reverse"))
    ]
    return rows + [{"how": how, **gold.aer(joined(aligned.annotated, how), resamples)} for how in SYMMETRIZATIONS]


def joined(links: Sequence[tuple[Cells, Cells]], how: str) -> list[Cells]:
    """Both directions symmetrized, for each sentence."""
    return [symmetrize(one, other, how) for one, other in links]


def as_gold(links: Sequence[Cells]) -> list[LinkSets]:
    """Links as annotated links, all of them sure."""
    return [LinkSets.from_links(cells) for cells in links]


def lines(path: Path) -> list[str]:
    """The lines of a text."""
    return path.read_text(encoding="utf-8").splitlines()


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
