"""What each choice of measures costs, relative to the model's SDPA forward pass, in one run.

Run it with ``python -m benchmarks.measures``.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable

from normlens.engine.contributions.choice import DEFAULT_MEASURES, MEASURES

from .machine import Page, machine
from .shapes import SHAPES, lens_on, token_ids
from .variants import forward

CHOICES: dict[str, tuple[str, ...]] = {
    "weight": ("weight",),
    "vector_norm": ("vector_norm",),
    "weighted_norm": ("weighted_norm",),
    "the default": DEFAULT_MEASURES,
    "the default and output_norm": (*DEFAULT_MEASURES, "output_norm"),
    "the default and displacement": (*DEFAULT_MEASURES, "displacement"),
    "the default and contribution_weight": (*DEFAULT_MEASURES, "contribution_weight"),
    "the default and both": (*DEFAULT_MEASURES, "displacement", "contribution_weight"),
    "all": MEASURES,
}
_NOTES = (
    "Medians (smallest–largest) of the ratios of {rounds} rounds, in each of which every choice and the forward pass ran "
    "once: `lens.analyze(…, measures=…)` on token ids, all layers, as labeled arrays, with the conservation check, over a "
    "forward pass with SDPA. Float32, batch {batch} × {length} tokens."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["bert"], choices=list(SHAPES))
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    described = machine()
    seconds = {name: _times(name, options) for name in options.shapes}
    rows = [["measures", *options.shapes]]
    for choice in CHOICES:
        ratios = [
            [one / other for one, other in zip(times[choice], times["sdpa"], strict=True)] for times in seconds.values()
        ]
        rows.append([choice, *(f"{statistics.median(each):.2f} ({min(each):.2f}–{max(each):.2f})" for each in ratios)])
    notes = [_NOTES.format(rounds=options.rounds, batch=options.batch, length=options.length)]
    page = Page(
        "Measures", notes, rows, [{"shape": name, "seconds": times} for name, times in seconds.items()], described
    )
    print(page.markdown())
    page.write("measures")


def _times(shape: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each choice and of the forward pass, round by round, after a warm-up."""
    lens = lens_on(SHAPES[shape].model(options.layers))
    ids = token_ids(options.batch, options.length)

    def analyses(measures: tuple[str, ...]) -> object:
        return list(lens.stream(ids.tolist(), batch_size=len(ids), measures=measures, progress=False))

    runs: dict[str, Callable[[], object]] = {"sdpa": lambda: forward(lens.model, ids, "sdpa")}
    runs |= {name: lambda chosen=chosen: analyses(chosen) for name, chosen in CHOICES.items()}  # type: ignore[misc]
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            gc.collect()
            start = time.perf_counter()
            kept = run()
            seconds[name].append(time.perf_counter() - start)
            del kept
    return seconds


if __name__ == "__main__":
    main()
