"""The pictures of the attribution pages: which words made SmolLM2 say " Berlin", by one method and by several."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import normlens
from normlens import figures

TEXT = "The capital of France is Paris, and the capital of Germany is"
TARGET = (" Berlin", " Paris")
METHODS = ("decompx", "gradient_input", "norm_rollout", "alti", "rollout")


def main(arguments: Sequence[str] | None = None) -> int:
    """Explain one difference of logits by each method and write the pictures to docs/images."""
    lens = normlens.load("smollm2-135m")
    knows_targets = normlens.methods().set_index("name")["target"] != "none"
    results = [
        lens.attribute(TEXT, method=method, target=TARGET if knows_targets[method] else None) for method in METHODS
    ]
    folder = Path(__file__).parents[2] / "docs" / "images"
    for suffix in ("png", "svg"):
        print(figures.save(figures.highlights(results[0]), folder / f"attribution.{suffix}"))
        print(figures.save(figures.highlights(results), folder / f"attribution_compared.{suffix}"))
    shares = results[0]
    strongest = shares.isel(source=int(np.argmax(shares.values)))
    held = f"{strongest['source_token'].item()!r} holds {strongest.item():.2f}"
    error = f"conservation error {shares.attrs['conservation_error']:.0e}"
    print(f"{shares.attrs['target']}: {shares.attrs['value']:.4f}, of which {held}; {error}")
    return 0
