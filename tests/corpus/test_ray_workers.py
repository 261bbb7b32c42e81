"""Runs on Ray: the bytes of an inline run, though actors and whole machines die."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import normlens
from normlens import corpus
from normlens.corpus.fault_points import VARIABLE
from normlens.corpus.ray_workers import RayBackend
from normlens.corpus.workers import COMMITTED, DIED, Event
from normlens.errors import NormLensError

ray = pytest.importorskip("ray")


@pytest.fixture(autouse=True)
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.corpus.finalized._page", lambda *arguments: None)


@pytest.fixture(autouse=True)
def ray_ends() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.fixture
def planned(tiny_bert: Path, lines: Path, tmp_path: Path) -> Callable[[str], Path]:
    lens = normlens.load(tiny_bert)

    def make(name: str) -> Path:
        corpus.plan(tiny_bert, [lines], tmp_path / name, lens=lens, shard_rows=2)
        return tmp_path / name

    return make


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((corpus.finalize(folder) / "manifest.json").read_text(encoding="utf-8")))


def test_actors_that_die_are_replaced_and_the_bytes_are_the_same(
    planned: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    inline = planned("inline")
    assert corpus.run(inline).committed == 6
    monkeypatch.setenv(VARIABLE, "results written:3")  # every actor dies in its third shard
    events: list[Event] = []
    folder = planned("ray")
    report = corpus.run(folder, ray="local", progress=lambda event, _: events.append(event))
    assert (report.committed, report.set_aside) == (6, {})
    assert sum(event.kind == DIED for event in events) == 2
    monkeypatch.delenv(VARIABLE)
    assert manifest(folder) == manifest(inline)


def test_a_machine_that_is_lost_costs_no_row(planned: Callable[[str], Path]) -> None:
    from ray.cluster_utils import Cluster

    inline = planned("inline")
    corpus.run(inline)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    events: list[Event] = []

    def watch(event: Event, report: corpus.RunReport) -> None:
        events.append(event)
        if event.kind == COMMITTED and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            if nodes:
                nodes.clear()  # one machine stays

    try:
        folder = planned("cluster")
        report = corpus.run(folder, workers=2, ray=cluster.address, progress=watch)
        assert (report.committed, report.set_aside) == (6, {})
        assert manifest(folder) == manifest(inline)
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_cluster_that_cannot_be_reached_is_named(planned: Callable[[str], Path]) -> None:
    with pytest.raises(NormLensError, match=r"The Ray cluster at 'nonsense://nowhere' can't be reached"):
        RayBackend(planned("run"), "nonsense://nowhere")
