"""Fifty sentences, read: which links does only one aligner give, and are they right? Sides are not named.

``python -m reproduce language-pair-reading --data DATA --work FOLDER --sheet sheet.txt`` writes sentences on which the
fitted models and eflomal differ, with the links of either as A and B, in an order drawn for each sentence. The reader notes
for each sentence its number, and how many links of A are right and wrong, and of B; ``--judged FILE`` keeps these counts by
aligner.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from normlens import NormLensError
from reproduce.alignment.eflomal import lines
from reproduce.alignment.language_pair import COMPARED, NAME, MultilingualText, by_eflomal, by_models, pair_parser
from reproduce.alignment.language_pair_page import draw, page
from reproduce.alignment.models import Cells
from reproduce.study.options import run_study

SENTENCES = 50
SEED = 7
SIDES = ("eflomal", "models")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sheet, or keep what was judged.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    parser = pair_parser(__doc__)
    parser.add_argument("--pairs", type=int, default=5000, help="amount of text (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, help="file for the sentences and links to judge")
    parser.add_argument(
        "--judged", type=Path, help="file with a line for each sentence: number, right and wrong of A, of B"
    )
    return run_study(NAME, parser, arguments, _measured, page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    if options.work is None or (options.sheet is None) == (options.judged is None):
        raise NormLensError("Name the folder of the study with --work, and either --sheet or --judged.")
    text = MultilingualText(options.data / "multi30k", options.work)
    files = text.first(options.pairs)
    statistical = by_eflomal(files, text.work / f"eflomal-{options.pairs}")
    folder = text.work / f"models-{options.pairs}"
    _, _, fitted = next(by_models(folder / "fr-de", folder / "de-fr", files))
    chosen = drawn(statistical, fitted)
    if options.sheet is not None:
        words = [[line.split() for line in lines(path)[:COMPARED]] for path in files]
        options.sheet.write_text(sheet(chosen, words, statistical, fitted), encoding="utf-8")
        return
    counts = judged(options.judged.read_text(encoding="utf-8"), chosen)
    differing = sum(set(one) != set(other) for one, other in zip(statistical, fitted, strict=True))
    yield f"reading {options.pairs}", {"read": options.pairs, "differing": differing, "counts": counts}


def drawn(statistical: Sequence[Cells], fitted: Sequence[Cells]) -> dict[int, bool]:
    """The sentences to read, and whether A is the fitted models there."""
    generator = random.Random(SEED)
    differing = [k for k, (one, other) in enumerate(zip(statistical, fitted, strict=True)) if set(one) != set(other)]
    chosen = sorted(generator.sample(differing, min(SENTENCES, len(differing))))
    return {k: generator.random() < 0.5 for k in chosen}


def sheet(
    chosen: dict[int, bool], words: Sequence[Sequence[list[str]]], statistical: Sequence[Cells], fitted: Sequence[Cells]
) -> str:
    """The sentences, and the links that only one side gives."""
    pages = []
    for k, turned in chosen.items():
        source, target = words[0][k], words[1][k]
        only = [set(statistical[k]) - set(fitted[k]), set(fitted[k]) - set(statistical[k])]
        shown = [
            ", ".join(f"{source[i]}~{target[j]}" for i, j in sorted(links)) for links in only[:: -1 if turned else 1]
        ]
        pages.append(f"{k}| {' '.join(source)} || {' '.join(target)}\n  A: {shown[0]}\n  B: {shown[1]}\n")
    return "".join(pages)


def judged(text: str, chosen: dict[int, bool]) -> dict[str, list[list[float]]]:
    """Right and wrong links of each sentence, by aligner.

    Raises
    ------
    NormLensError
        If the sentences aren't those of the sheet.
    """
    rows = [[float(x) for x in line.split()] for line in text.splitlines() if line.strip()]
    if sorted(int(row[0]) for row in rows) != sorted(chosen):
        raise NormLensError(f"{len(rows)} sentences were judged; expected the {len(chosen)} of the sheet.")
    counts: dict[str, list[list[float]]] = {side: [] for side in SIDES}
    for number, *ab in sorted(rows):
        pairs = [ab[:2], ab[2:]]
        for side, pair in zip(SIDES, pairs[:: -1 if chosen[int(number)] else 1], strict=True):
            counts[side].append(pair)
    return counts
