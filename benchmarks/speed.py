"""Times of the analysis relative to the model's forward passes and the direct formula, in one run.

Run it with ``python -m benchmarks.speed`` (``--quick`` for a minute's worth).
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from normlens.lens import Lens

from .direct_formula import direct_norms, last_layer
from .machine import Page, free_memory, machine
from .shapes import SHAPES, Shape, lens_on, token_ids
from .variants import analyses, forward, measured

_LONGEST_FOR_DIRECT = 512


@dataclass
class Measured:
    """The times of one shape, length and batch.

    Attributes
    ----------
    seconds
        Per variant, one entry per round; ``direct formula`` is one layer of one text.
    skipped
        Reason why nothing was measured, or None.
    difference
        Largest difference between our norms and the direct formula's, relative to the row's largest norm; None if not
        compared.
    floor
        Operations of analysis and forward pass relative to those of the forward pass.
    """

    shape: str
    layers: int
    batch: int
    length: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    skipped: str | None = None
    difference: float | None = None
    floor: float = 1.0

    def ratio(self, variant: str, to: str) -> str:
        """Median of the ratios of paired rounds, with their range."""
        pairs = zip(self.seconds[variant], self.seconds[to], strict=True)
        return _summary([one / other for one, other in pairs])

    def direct_ratio(self, to: str) -> str:
        """Direct formula for all layers and texts, its forward pass included, over a variant."""
        direct = self.seconds.get("direct formula", [])
        if not direct:
            return "–"
        times = zip(direct, self.seconds["eager"], self.seconds[to], strict=False)
        return _summary([(eager + self.layers * self.batch * one) / ours for one, eager, ours in times])


def measure_case(shape: Shape, lens: Lens, batch: int, length: int, options: argparse.Namespace) -> Measured:
    """Time all variants in rounds A B C A B C …, after a warm-up round."""
    result = Measured(shape.name, lens.model.config.num_hidden_layers, batch, length)
    result.floor = shape.floor(lens.model, length)
    needed = _bytes_needed(shape, result.layers, batch, length)
    if needed > options.memory_share * free_memory():
        result.skipped = f"would need about {needed / 2**30:.0f} GiB"
        return result
    ids = token_ids(batch, length)
    variants: dict[str, Callable[[], object]] = {
        "sdpa": lambda: forward(lens.model, ids, "sdpa"),
        "analysis": lambda: analyses(lens, ids),
        "measuring": lambda: measured(lens.model, shape, ids),
        "eager": lambda: forward(lens.model, ids, "eager", output_attentions=True),
    }
    warm = sum(_seconds(variant) for variant in variants.values())
    if warm * options.rounds > options.seconds:
        result.skipped = f"{options.rounds} rounds would take about {warm * options.rounds:.0f} s"
        return result
    for _ in range(options.rounds):
        for name, variant in variants.items():
            result.seconds.setdefault(name, []).append(_seconds(variant))
    if length <= _LONGEST_FOR_DIRECT:
        _add_direct_formula(result, lens, ids, options)
    return result


def _add_direct_formula(result: Measured, lens: Lens, ids: Tensor, options: argparse.Namespace) -> None:
    """Time the direct formula on the last layer of the first text within its time budget; compare its norms with ours."""
    layer = last_layer(lens.model, ids[:1])
    times: list[float] = []
    while not times or (len(times) < options.rounds and sum(times) + times[-1] < options.seconds / 4):
        times.append(_seconds(lambda: direct_norms(layer)))
    result.seconds["direct formula"] = times
    group = next(iter(lens.analyze(ids[0].tolist()).data.children.values()))
    ours = group.isel(layer=-1)
    exact = direct_norms(layer)
    exact.pop("weighted_norm")
    gaps = [(torch.from_numpy(ours[name].values) - x).abs() / x.amax(-1, keepdim=True) for name, x in exact.items()]
    result.difference = max(float(gap.max()) for gap in gaps)


def _bytes_needed(shape: Shape, layers: int, batch: int, length: int) -> int:
    """Weights of all layers, returned; a few maps of one layer; head vectors."""
    map_size = batch * shape.heads * length**2
    return 4 * ((layers + 6) * map_size + 4 * batch * shape.heads * length * shape.width)


def _seconds(run: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    kept = run()
    seconds = time.perf_counter() - start
    gc.enable()
    del kept
    return seconds


def _summary(ratios: list[float]) -> str:
    digits = 2 if max(ratios) < 10 else 0
    median, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _rows(results: list[Measured]) -> list[list[str]]:
    rows = [
        [
            "shape", "batch × n", "SDPA forward", "floor", "analysis / SDPA", "measuring / SDPA", "eager / SDPA",
            "direct / analysis", "direct / SDPA", "largest difference",
        ]
    ]  # fmt: skip
    for r in results:
        case = [r.shape, f"{r.batch}×{r.length}"]
        if r.skipped is not None:
            rows.append([*case, f"skipped: {r.skipped}", *["–"] * 7])
            continue
        to_sdpa = [r.ratio(name, "sdpa") for name in ("analysis", "measuring", "eager")]
        difference = "–" if r.difference is None else f"{r.difference:.1e}"
        seconds = f"{1000 * statistics.median(r.seconds['sdpa']):.0f} ms"
        direct = [r.direct_ratio(to) for to in ("analysis", "sdpa")]
        rows.append([*case, seconds, f"{r.floor:.2f}", *to_sdpa, *direct, difference])
    return rows


def _notes(rounds: int) -> list[str]:
    return [
        f"Medians (smallest–largest) of the ratios of {rounds} rounds, in each of which every variant ran once. Float32.",
        "*Analysis*: `lens.analyze` on token ids, all measures and scopes of all layers as labeled arrays. *Measuring*: "
        "the same without the arrays. *Floor*: *analysis / SDPA* in floating-point operations, as if nothing else took "
        "time. *Eager*: `output_attentions=True`. *Direct*: the vectors α f(x) themselves, computed 1 GiB at a time; the "
        "last layer of one text is timed, multiplied by layers and texts, and the eager forward pass is added; only up to "
        f"n = {_LONGEST_FOR_DIRECT}. *Direct / SDPA* is an upper bound on what any analysis could gain. *Largest "
        "difference*: between the norms of both, relative to the row's largest norm, over all scopes. The models have fewer "
        "layers (BERT 4, Llama 2) than the originals, so costs that don't depend on the number of layers weigh more here.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small cases, three rounds; writes no results")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[128, 512, 2048])
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 1])
    parser.add_argument("--layers", type=int, help="number of layers (default: 4 for BERT, 2 for Llama)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=300, help="skip cases that would take longer")
    parser.add_argument(
        "--memory-share", type=float, default=0.7, help="largest share of free memory that a case may use"
    )
    parser.add_argument("--threads", type=int, help="number of threads (default: one per core)")
    options = parser.parse_args()
    if options.quick:
        options.lengths, options.rounds, options.layers = [64, 128], 3, 1
        options.batches, options.seconds = [1], 60
    if options.threads:
        torch.set_num_threads(options.threads)
    described, results = machine(), []
    for name in options.shapes:
        results.extend(_measure_shape(SHAPES[name], options))
    page = Page("Speed", _notes(options.rounds), _rows(results), [asdict(result) for result in results], described)
    print(page.markdown())
    if not options.quick:
        page.write("speed")


def _measure_shape(shape: Shape, options: argparse.Namespace) -> list[Measured]:
    lens = lens_on(shape.model(options.layers or shape.layers))
    results = []
    for length in options.lengths:
        for batch in options.batches:
            print(f"{shape.name}, {batch}×{length}", file=sys.stderr)
            results.append(measure_case(shape, lens, batch, length, options))
    return results


if __name__ == "__main__":
    main()
