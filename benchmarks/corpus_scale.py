"""What a run over a corpus costs for each text and shard, and what that makes for a thousand million sentences.

Run it with ``python -m benchmarks.corpus_scale``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from pathlib import Path

import torch

import normlens
from normlens import corpus
from normlens.corpus.commits import CommitFolder
from normlens.corpus.planned_frequency import read_frequency
from normlens.corpus.run_plan import CorpusPlan, Shard, read_plan, rows_per_shard
from normlens.corpus.shard_run import run_shard

from .machine import Page, machine

_NOTES = (
    "{model}, {texts} bundled sentences on one thread; the estimate is for {total:.0e} sentences and {workers} workers of "
    "this speed. *Planning* reads the corpus twice, and counts its tokens. *Driver*: memory for the plan's shards and the "
    "records of finished ones, by `tracemalloc`. *Restart*: reading all records again."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm-l6")
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--total", type=float, default=1e9)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--unkept", action="store_true", help="print only, as on a machine with other work")
    options = parser.parse_args()
    described = machine()
    torch.set_num_threads(1)
    bundled = normlens.loading.sentences()
    lens = normlens.load(options.model)
    with tempfile.TemporaryDirectory() as name:
        file, folder = Path(name) / "texts.txt", Path(name) / "run"
        file.write_text("\n".join(bundled[k % len(bundled)] for k in range(options.texts)), encoding="utf-8")
        seconds = []
        for place, limit in ((folder.with_name("warm"), 1), (folder.with_name("first"), 1), (folder, None)):
            start = time.perf_counter()
            corpus.plan(options.model, [file], place, lens=lens, shard_rows=options.texts, limit=limit)
            seconds.append(time.perf_counter() - start)
        planning = (seconds[2] - seconds[1]) / (options.texts - 1)  # without the model's identity and the first text
        measured = _measured(folder, lens)
    shards = options.total / rows_per_shard(_parameters(lens))
    days = options.total * measured["seconds"] / options.workers / 86400
    total, size = options.total, rows_per_shard(_parameters(lens))
    rows = [["measured", "for a text or shard", f"for {total:.0e} sentences"]]
    rows += [
        ["planning", f"{1e3 * planning:.2f} ms a text", f"{total * planning / 3600:.0f} h, on one machine"],
        ["computing", f"{1e3 * measured['seconds']:.1f} ms a text", f"{days:.1f} days with {options.workers} workers"],
        ["results", f"{measured['results']:.0f} bytes a text", f"{total * measured['results'] / 1e12:.1f} TB"],
        [
            "statistics",
            f"{measured['statistics'] / 1e6:.1f} MB a shard",
            f"{shards * measured['statistics'] / 1e9:.0f} GB",
        ],
        [
            "a commit",
            f"{1e3 * measured['commit']:.0f} ms a shard",
            f"{shards * measured['commit'] / 3600:.1f} h in all",
        ],
        ["files", "3 a shard", f"{3 * shards:,.0f}"],
        ["driver", f"{measured['memory'] / 1e3:.1f} kB a shard", f"{shards * measured['memory'] / 1e6:.0f} MB"],
        ["a restart", f"{1e6 * measured['record']:.0f} µs a record", f"{shards * measured['record']:.0f} s"],
        ["lost by a kill", f"a shard of {size:,} rows", f"{size * measured['seconds']:.0f} s of each worker"],
    ]
    notes = [_NOTES.format(model=options.model, texts=options.texts, total=options.total, workers=options.workers)]
    page = Page("A thousand million sentences", notes, rows, [{**measured, "planning": planning}], described)
    print(page.markdown())
    if not options.unkept:
        page.write("corpus_scale")


def _parameters(lens: normlens.Lens) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in lens.model.parameters())


def _measured(folder: Path, lens: normlens.Lens) -> dict[str, float]:
    """Seconds and bytes of a text, a commit and a record."""
    plan = read_plan(folder)
    frequency, run = read_frequency(folder, plan.frequency), CommitFolder(folder)
    result = run_shard(plan, plan.shards[0], lens, frequency)
    start = time.perf_counter()
    for number in range(20):  # the same results, as twenty shards
        run.commit(Shard(number, 0, 0, plan.rows), result)
    commit = (time.perf_counter() - start) / 20
    tracemalloc.start()
    start = time.perf_counter()
    commits = run.committed()
    record = (time.perf_counter() - start) / 20
    many = CorpusPlan.of_json(plan.as_json()).shards * 20
    memory = tracemalloc.get_traced_memory()[0] / len(many)
    tracemalloc.stop()
    sizes = [(folder / "shards" / name).stat().st_size for name in (commits[0].results, commits[0].statistics)]
    return {
        "seconds": result.seconds / result.texts, "results": sizes[0] / result.texts, "statistics": sizes[1],
        "commit": commit, "record": record, "memory": memory,
    }  # fmt: skip


if __name__ == "__main__":
    main()
