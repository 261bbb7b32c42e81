"""The picture of the figures page: two figures in the axes of one, a heat map beside mixing ratios."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

import normlens
from normlens import figures
from normlens.statistics import CorpusStatistics
from reproduce.pictures.first import LAYER, TEXT


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyze the sentence of the first picture with the bundled MiniLM and write the picture to docs/images."""
    encoder = normlens.load("minilm-l6").analyze(TEXT)["encoder"].data
    statistics = CorpusStatistics()
    statistics.add(encoder)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    figures.heat_maps(encoder, LAYER, panel="norm", ax=left)
    figures.mixing_ratios(statistics.table(), ax=right)
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    print(figures.save(figure, Path(__file__).parents[2] / "docs" / "images" / "side_by_side.svg"))
    return 0
