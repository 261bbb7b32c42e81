"""The picture of the README: one layer of a real model, its weights beside the vectors that attention moves."""

from collections.abc import Sequence
from pathlib import Path

import normlens
from normlens import figures

TEXT = "The bank raised its interest rates, although nobody had expected it."
LAYER = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyze one sentence with the bundled MiniLM and write the picture to docs/images."""
    analysis = normlens.load("minilm-l6").analyze(TEXT)
    folder = Path(__file__).parents[2] / "docs" / "images"
    for suffix in ("png", "svg"):
        print(figures.save(analysis.plot(layer=LAYER), folder / f"first_picture.{suffix}"))
    maps = analysis["encoder"].data.isel(layer=LAYER)
    special = maps["source_category"] == "special"
    weight = float(maps["weight"].where(special, 0).sum("source").mean())
    norm = float(maps["norm"].where(special, 0).sum() / maps["norm"].sum())
    print(f"layer {LAYER}: special tokens get {weight:.0%} of the weight and {norm:.0%} of the norm")
    return 0
