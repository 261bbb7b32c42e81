"""A hundred kills of workers, drivers and machines at random fault points, and what is left of the run afterwards.

Run it with ``python -m benchmarks.corpus_kills``.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import normlens
from normlens import corpus
from normlens.corpus.commits import CommitFolder
from normlens.corpus.fault_points import VARIABLE
from normlens.corpus.workers import COMMITTED, DIED, Event

from .machine import Page, machine

_POINTS = (
    "computed", "results written", "statistics written", "folder synced", "record written", "linked", "committed",
)  # fmt: skip
_NOTES = (
    "{model}, {texts} short texts in shards of {rows}. *Driver*: a run in one process, killed (SIGKILL) when it passes a "
    "random fault point for the nth time. *Worker*: the same in each process of a pool of two, which the driver replaces. "
    "*Machine*: a node of a Ray cluster of two, removed after a commit; another joins in its place. After its kills, each "
    "run is finished without faults, and the SHA-256 of the rows and of the statistics of every shard are compared with "
    "those of an unbroken run."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm-l6")
    parser.add_argument("--drivers", type=int, default=100, help="kills of a driver")
    parser.add_argument("--workers", type=int, default=100, help="kills of a worker, at least")
    parser.add_argument("--machines", type=int, default=20, help="kills of a machine, at least")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    described, chance = machine(), random.Random(options.seed)
    kills: Counter[str] = Counter()
    points: Counter[str] = Counter()
    runs = 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        bench = _Bench(options.model, Path(name))
        while kills["driver"] < options.drivers:
            folder = bench.planned()
            while kills["driver"] < options.drivers:
                point = chance.choice([*_POINTS, "event"])
                if not bench.killed(folder, f"{point}:{chance.randint(1, 3)}"):
                    break
                kills["driver"] += 1
                points[point] += 1
            bench.finish(folder)
            runs += 1
        while kills["worker"] < options.workers:
            point = chance.choice(_POINTS)
            died = bench.in_a_pool(f"{point}:{chance.randint(1, 2)}")
            kills["worker"] += died
            points[point] += died
            runs += 1
            print(f"{dict(kills)}, {bench.differing} shards differ", file=sys.stderr)
        while kills["machine"] < options.machines:
            kills["machine"] += bench.on_a_cluster()
            runs += 1
            print(f"{dict(kills)}, {bench.differing} shards differ", file=sys.stderr)
        rows = [["measured", "value"], *([f"kills of a {kind}", str(count)] for kind, count in sorted(kills.items()))]
        rows += [
            ["runs, each compared with the unbroken one", str(runs)],
            ["shards compared", str(runs * len(bench.whole))],
            ["shards that differ", str(bench.differing)],
        ]
        notes = [_NOTES.format(model=options.model, texts=bench.texts, rows=bench.rows)]
    cells = [{"kills": dict(kills), "points": dict(points), "runs": runs, "seconds": time.perf_counter() - start}]
    page = Page("A hundred kills", notes, rows, cells, described)
    print(page.markdown())
    page.write("corpus_kills")


class _Bench:
    """Runs of one small corpus."""

    rows = 2

    def __init__(self, model: str, place: Path) -> None:
        self._model, self._place, self._number = model, place, 0
        texts = [" ".join(text.split()[:4]) for text in normlens.loading.sentences()[:24]]
        self.texts, self._file = len(texts), place / "texts.txt"
        self._file.write_text("\n".join(texts), encoding="utf-8")
        self._lens = normlens.load(model)
        self.differing = 0
        whole = self.planned()
        corpus.run(whole)
        self.whole = self._hashes(whole)

    def planned(self) -> Path:
        """A new run."""
        self._number += 1
        folder = self._place / f"run-{self._number}"
        corpus.plan(self._model, [self._file], folder, shard_rows=self.rows, lens=self._lens)
        return folder

    def killed(self, folder: Path, point: str) -> bool:
        """Run in a child that dies at this point; whether it died."""
        child = os.fork()
        if child == 0:
            os.environ[VARIABLE] = point
            try:
                corpus.run(folder)
            finally:
                os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0

    def in_a_pool(self, point: str) -> int:
        """Run in a pool whose workers die at this point; how many died."""
        folder, died = self.planned(), Counter[str]()
        os.environ[VARIABLE] = point
        try:
            corpus.run(folder, workers=2, progress=lambda event, _: died.update([event.kind]))
        finally:
            del os.environ[VARIABLE]
        self.finish(folder)
        return died[DIED]

    def on_a_cluster(self) -> int:
        """Run on a cluster of two machines, of which one is lost after each commit, and replaced; how many were lost."""
        import ray
        from ray.cluster_utils import Cluster

        folder = self.planned()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        nodes, lost = [cluster.add_node(num_cpus=1) for _ in range(2)], 0

        def watch(event: Event, report: corpus.RunReport) -> None:
            nonlocal lost
            if event.kind == COMMITTED and report.committed < report.shards:
                cluster.remove_node(nodes.pop(0), allow_graceful=False)
                nodes.append(cluster.add_node(num_cpus=1))
                lost += 1

        try:
            corpus.run(folder, workers=2, ray=cluster.address, progress=watch)
        finally:
            ray.shutdown()
            cluster.shutdown()
        self.finish(folder)
        return lost

    def finish(self, folder: Path) -> None:
        """Finish a run, and compare it."""
        corpus.run(folder, retry=True)
        hashes = self._hashes(folder)
        self.differing += sum(one != other for one, other in zip(hashes, self.whole, strict=True))

    def _hashes(self, folder: Path) -> list[tuple[object, ...]]:
        return [
            (commit.shard, commit.rows, commit.texts, commit.results_sha256, commit.statistics_sha256)
            for commit in CommitFolder(folder).committed().values()
        ]


if __name__ == "__main__":
    main()
