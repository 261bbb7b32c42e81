"""Word alignment beside a plain forward pass of the same model, and beside eflomal if it is installed.

Run it with ``python -m benchmarks.alignment TEXT.de TEXT.en``: the model aligns their first sentences, eflomal all of them.
Everything is timed in processor seconds.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import normlens
from normlens.alignment import Aligner, Extractor, Line, Pair, ParallelFiles, Reading

from .machine import Page, machine

EFLOMAL = "eflomal-align"


def batches_of(pairs: list[Pair], batch_size: int) -> list[dict[str, torch.Tensor]]:
    """Pairs of similar length as padded model inputs, ready for a plain forward pass."""
    ordered = sorted(pairs, key=lambda pair: (len(pair.target_subwords.ids), len(pair.source_subwords.ids)))
    batches = []
    for first in range(0, len(ordered), batch_size):
        tensors = [pair.example.tensors for pair in ordered[first : first + batch_size]]
        batches.append(
            {
                name: torch.nn.utils.rnn.pad_sequence([inputs[name] for inputs in tensors], batch_first=True)
                for name in tensors[0]
            }
        )
    return batches


def seconds_of(run: Callable[[], object]) -> float:
    """Processor seconds of this process and its children."""
    before = _used()
    run()
    return _used() - before


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def variants(model: str, lines: list[Line], batch_size: int) -> dict[str, Callable[[], object]]:
    """The timed variants by name: the plain forward pass, alignment by weight and by norm, and reading the maps alone."""
    extractor = Extractor(normlens.load(model), batch_size=batch_size)
    pairs = [extractor.pair(line.source, line.target) for line in lines]
    inputs = batches_of(pairs, batch_size)

    def forward() -> None:
        with torch.no_grad():
            for batch in inputs:
                extractor.lens.model(**batch, use_cache=False)

    def reading(layer: int, measure: Any = "norm") -> Callable[[], object]:
        return lambda: [None for _ in extractor.soft(pairs, Reading(layer, measure))]

    aligner = Aligner(extractor, Reading(0))
    return {
        "forward": forward,
        "maps by weight, first layer": reading(0, "weight"),
        "maps by norm, first layer": reading(0),
        "maps by norm, last layer": reading(extractor.layers[-1]),
        "align": lambda: [None for _ in aligner.align(lines)],
    }


def eflomal(source: Path, target: Path) -> float | None:
    """Processor seconds per sentence when eflomal links both files in both directions; None if it isn't installed."""
    if shutil.which(EFLOMAL) is None:
        print(f"{EFLOMAL} isn't installed and is left out", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("forward", "reverse")]
        command = [EFLOMAL, "--overwrite", "-s", source, "-t", target, "-f", outputs[0], "-r", outputs[1]]
        seconds = seconds_of(lambda: subprocess.run(list(map(str, command)), check=True, capture_output=True))
        return seconds / len(outputs[0].read_text(encoding="utf-8").splitlines())


def _page(
    sentences: int, rounds: list[dict[str, float]], other: float | None, described: dict[str, str], model: str
) -> Page:
    table = [["", "processor ms for a sentence", "sentences per second", "times the forward pass (range)"]]
    for name in rounds[0]:
        each = statistics.median(seconds[name] for seconds in rounds) / sentences
        ratios = [seconds[name] / seconds["forward"] for seconds in rounds]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        table.append([name, f"{1000 * each:.2f}", f"{1 / each:,.0f}", spread])
    if other is not None:
        forward = statistics.median(seconds["forward"] for seconds in rounds) / sentences
        table.append(["eflomal", f"{1000 * other:.2f}", f"{1 / other:,.0f}", f"{other / forward:.2f}"])
    notes = [
        f"{sentences:,} sentence pairs, model `{model}`, medians of {len(rounds)} alternating rounds. *forward*: the "
        "model's plain teacher-forced pass over prepared batches. *maps*: reading one layer as word maps, which stops after "
        "that layer. *align*: everything that `normlens align` does for one direction: tokenization, maps by norm of the "
        "first layer, links. *eflomal*: training on the whole text and linking it in both directions, once; the training of "
        "the model isn't counted.",
    ]
    numbers = [{"sentences": sentences, "rounds": rounds, "eflomal": other}]
    return Page("Word alignment", notes, table, numbers, described)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", default="de-en")
    parser.add_argument("--sentences", type=int, default=1000, help="number of sentences to align (default: 1000)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    described = machine()
    read = ParallelFiles(options.source, options.target)
    lines = [line for line in itertools.islice(read, options.sentences) if line.problem is None]
    timed = variants(options.model, lines, options.batch_size)
    for run in timed.values():
        run()
    rounds = [{name: seconds_of(run) for name, run in timed.items()} for _ in range(options.rounds)]
    page = _page(len(lines), rounds, eflomal(options.source, options.target), described, options.model)
    print(page.markdown())
    page.write("alignment")


if __name__ == "__main__":
    main()
