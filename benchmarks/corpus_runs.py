"""What a run over a corpus costs beyond its analyses: speed beside the bare engine, a second worker, memory by shard.

Run it with ``python -m benchmarks.corpus_runs``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

import normlens
from normlens import corpus
from normlens.corpus.planned_frequency import read_frequency
from normlens.corpus.pooled_tokens import RankGrid
from normlens.corpus.run_plan import read_plan
from normlens.corpus.shard_run import run_shard
from normlens.corpus.token_budget import budgeted_batches
from normlens.corpus.workers import COMMITTED, READY, Event
from normlens.statistics import mean_of_present, rank_correlation
from normlens.statistics.text import received_weight

from .machine import Page, machine

_NOTES = (
    "{model}, {texts} bundled sentences, one thread for each worker, in one run. *Bare engine*: `lens.stream` on the same "
    "batches, nothing kept. *One shard*: the same with all numbers, statistics and the bootstrap, as a table. *Workers*: "
    "from the first worker's readiness to the last commit, files on the disk included. *Memory*: resident set after each of "
    "{shards} shards of {short} short texts; the slope is a least-squares line from the second shard on. *Rank "
    "grid*: the correlation of α with ‖f(x)‖ over all tokens of the bundled sentences, against Spearman's over the tokens "
    "themselves."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm-l6")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short-texts", type=int, default=4000)
    parser.add_argument("--grid-models", nargs="+", default=["minilm-l6", "smollm2-135m"])
    options = parser.parse_args()
    described = machine()
    torch.set_num_threads(1)
    bundled = list(normlens.loading.sentences())
    texts = [bundled[k % len(bundled)] for k in range(options.texts)]
    short = [" ".join(bundled[k % len(bundled)].split()[:4]) for k in range(options.short_texts)]
    lens = normlens.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ratios = _shard_over_engine(lens, options.model, texts, place, options.rounds)
        one, two = (_seconds(options.model, lens, texts, place / f"workers-{workers}", workers) for workers in (1, 2))
        megabytes, shards = _memory(options.model, lens, short, place / "memory")
    errors = {name: _grid_errors(normlens.load(name), bundled[: options.texts]) for name in options.grid_models}
    slope = float(np.polyfit(range(len(megabytes) - 1), megabytes[1:], 1)[0])
    rows = [
        ["measured", "value"],
        ["texts per second, one worker", f"{options.texts / one:.1f}"],
        [
            "speed of one shard over the bare engine",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        ],
        ["speed of two workers over one", f"{one / two:.2f}"],
        ["memory: first shard, last shard, MB", f"{megabytes[0]:.0f}, {megabytes[-1]:.0f}"],
        ["memory: slope, MB for each shard", f"{slope:+.2f}"],
        *(
            [f"rank grid, {name}: largest error in a layer", f"{max(by_layer):.4f}"]
            for name, by_layer in errors.items()
        ),
    ]
    notes = [
        _NOTES.format(model=options.model, texts=options.texts, shards=shards, short=options.short_texts // shards)
    ]
    cells = [{"ratios": ratios, "seconds": {"1": one, "2": two}, "megabytes": megabytes, "errors": errors}]
    page = Page("Runs over a corpus", notes, rows, cells, described)
    print(page.markdown())
    page.write("corpus_runs")


def _planned(model: str, lens: normlens.Lens, texts: list[str], folder: Path, shard_rows: int) -> Path:
    file = folder.with_suffix(".txt")
    file.write_text("\n".join(texts), encoding="utf-8")
    corpus.plan(model, [file], folder, shard_rows=shard_rows, lens=lens)
    return folder


def _shard_over_engine(lens: normlens.Lens, model: str, texts: list[str], place: Path, rounds: int) -> list[float]:
    """Speed of a whole shard over that of the analyses alone, round by round."""
    folder = _planned(model, lens, texts, place / "ratio", len(texts))
    plan = read_plan(folder)
    frequency = read_frequency(folder, plan.frequency)
    assert lens.tokenizer is not None
    lengths = [len(lens.tokenizer(text)["input_ids"]) for text in texts]
    batches = list(budgeted_batches(lengths, plan.batch_tokens, plan.batch_pairs))
    ratios = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        for batch in batches:
            for _ in lens.stream([texts[k] for k in batch], batch_size=len(batch), progress=False):
                pass
        bare = time.perf_counter() - start
        start = time.perf_counter()
        run_shard(plan, plan.shards[0], lens, frequency)
        if number:  # the first round warms up
            ratios.append(bare / (time.perf_counter() - start))
    return ratios


def _seconds(model: str, lens: normlens.Lens, texts: list[str], folder: Path, workers: int) -> float:
    """From the last worker's readiness to the last commit."""
    _planned(model, lens, texts, folder, max(len(texts) // 16, 1))
    times: dict[str, float] = {}

    def watch(event: Event, _: object) -> None:
        times[event.kind if event.kind == COMMITTED else "ready"] = time.perf_counter()
        if event.kind == READY:
            times.setdefault("first", time.perf_counter())

    from normlens.corpus.workers import PoolBackend

    corpus.run(folder, workers=workers, backend=PoolBackend(folder), progress=watch)
    return times[COMMITTED] - times["first"]


def _memory(model: str, lens: normlens.Lens, texts: list[str], folder: Path) -> tuple[list[float], int]:
    """Resident memory after each shard of one process, in MB."""
    plan = read_plan(_planned(model, lens, texts, folder, max(len(texts) // 20, 1)))
    frequency = read_frequency(folder, plan.frequency)
    process, megabytes = psutil.Process(), []
    for shard in plan.shards:
        run_shard(plan, shard, lens, frequency)
        megabytes.append(process.memory_info().rss / 2**20)
    return megabytes, len(plan.shards)


def _grid_errors(lens: normlens.Lens, texts: list[str]) -> list[float]:
    """How far the grid's correlation of weight and ‖f(x)‖ over all tokens is from the exact one, by layer."""
    weights, norms = [], []
    for analysis in lens.stream(texts, progress=False):
        data = analysis[analysis.groups[0]].data
        weights.append(mean_of_present(received_weight(data), axis=1))
        norms.append(mean_of_present(data["vector_norm"].transpose("layer", "head", "source").values, axis=1))
    weight, norm = np.concatenate(weights, axis=1), np.concatenate(norms, axis=1)
    grid = RankGrid.of(weight, norm)
    return [
        abs(grid.correlation(layer) - float(rank_correlation(weight[layer], norm[layer])))
        for layer in range(len(weight))
    ]


if __name__ == "__main__":
    main()
