"""The picture of the alignment page: which German word each English word takes from, in the bundled model."""

from collections.abc import Sequence
from pathlib import Path

import normlens
from normlens import figures
from normlens.alignment import Extractor, LinkSets, Reading, draw_matrices

SOURCE = "ich habe gestern zwei bücher über die geschichte der stadt gekauft ."
TARGET = "yesterday i bought two books about the city 's history ."
SURE = {(2, 0), (0, 1), (10, 2), (3, 3), (4, 4), (5, 5), (8, 6), (9, 7), (7, 9), (11, 10)}
POSSIBLE = {(1, 2), (6, 9), (8, 8), (9, 8)}
IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the first layer and write the picture."""
    extractor = Extractor(normlens.load("de-en"))
    pair = extractor.pair(SOURCE, TARGET)
    axes = draw_matrices(extractor, pair, Reading(0), LinkSets.from_links(SURE, POSSIBLE))
    for suffix in ("png", "svg"):
        print(figures.save(axes, IMAGES / f"alignment.{suffix}"))
    return 0
