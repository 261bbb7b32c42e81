"""Runs over a corpus: the numbers of single analyses, the same bytes however they come about, nothing lost by a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import normlens
from normlens import corpus
from normlens.corpus import job_kinds
from normlens.corpus.commits import CommitFolder
from normlens.corpus.corpus_row import Columns
from normlens.corpus.fault_points import VARIABLE
from normlens.corpus.planned_frequency import read_frequency
from normlens.corpus.run_plan import read_plan
from normlens.corpus.shard_run import run_shard
from normlens.corpus.text_rows import RowFile
from normlens.corpus.workers import DIED, FAILED, READY, Event, InlineBackend, PoolBackend
from normlens.errors import ConservationError, InvalidInput, NormLensError, OutOfMemory
from normlens.statistics import text_numbers

POINTS = (
    "computed", "results written", "statistics written", "folder synced", "record written", "linked", "committed", "event",
)  # fmt: skip


@pytest.fixture(scope="module")
def lens(tiny_bert: Path) -> normlens.Lens:
    return normlens.load(tiny_bert)


@pytest.fixture
def planned(tiny_bert: Path, lens: normlens.Lens, lines: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes plans of the small corpus, in folders of their own."""

    def make(name: str = "run", **options: Any) -> Path:
        corpus.plan(tiny_bert, [lines], tmp_path / name, lens=lens, **{"shard_rows": 5, "batch_tokens": 24, **options})
        return tmp_path / name

    return make


@pytest.fixture
def pages() -> None:
    """Asks for pages."""


@pytest.fixture(autouse=True)
def without_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with figures take seconds; one test looks at one."""
    if "pages" not in request.fixturenames:
        monkeypatch.setattr("normlens.corpus.finalized._page", lambda *arguments: None)


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((corpus.finalize(folder) / "manifest.json").read_text(encoding="utf-8")))


def results(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "final" / "part-00000.parquet")


@pytest.mark.usefixtures("pages")
def test_rows_are_the_numbers_of_each_text_by_itself(
    planned: Callable[..., Path], lens: normlens.Lens, lines: Path
) -> None:
    folder = planned()
    report = corpus.run(folder)
    assert (report.committed, report.shards, report.set_aside) == (3, 3, {})
    made = manifest(folder)
    assert (made["texts"], made["blank"], made["skipped"], made["truncated"]) == (9, 1, 2, 0)
    skipped = pd.read_parquet(folder / "final" / "skipped.parquet")
    assert skipped["row"].tolist() == [5, 8]
    assert "isn't UTF-8" in skipped["reason"][0] and "202" in skipped["reason"][1]
    table = results(folder)
    assert table["row"].is_monotonic_increasing
    shares = []
    for row, text in enumerate(lines.read_bytes().splitlines()):
        own = table[table["row"] == row]
        if row in (3, 5, 8):
            assert own.empty
            continue
        analysis = lens.analyze(text.decode())
        expected = text_numbers(analysis["encoder"].data)
        share = expected["weight_share", "special"]
        shares.append(share)
        assert own["weight_share_special"].to_numpy() == pytest.approx(share.mean(1), rel=1e-5)
        assert own["mixing_ratio_attention"].to_numpy() == pytest.approx(
            expected["mixing_ratio", "attention"], rel=1e-5
        )
        assert own["tokens"].unique() == [analysis["encoder"].data.sizes["target"]]
    statistics = pd.read_parquet(folder / "final" / "statistics.parquet")
    own = statistics[(statistics["quantity"] == "weight_share") & (statistics["category"] == "special")]
    assert own["n_texts"].unique() == [9]
    assert own[own["head"].notna()]["value"].to_numpy() == pytest.approx(np.mean(shares, axis=0).ravel(), rel=1e-5)
    page = (folder / "final" / "report" / "report.md").read_text(encoding="utf-8")
    assert "figures/encoder_tokens.svg" in page


def test_parts_resumed_runs_and_a_pool_give_the_same_bytes(planned: Callable[..., Path]) -> None:
    corpus.run(planned("one"))
    expected = manifest(planned("one"))
    parts = planned("parts")
    for index in (2, 0, 1):
        assert corpus.run(parts, part=(index, 3)).shards == 1
    assert corpus.run(parts).committed == 3
    assert manifest(parts) == expected
    pool = planned("pool")
    assert corpus.run(pool, workers=2).committed == 3
    assert manifest(pool) == expected


def killed_at(point: str, folder: Path) -> int:
    """Run in a child that dies at this point; its exit status, or the signal that ended it, negative."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.environ[VARIABLE] = point
        try:
            corpus.run(folder)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_at_any_point_change_nothing(planned: Callable[..., Path]) -> None:
    expected_of = planned("whole")
    corpus.run(expected_of)
    expected = manifest(expected_of)
    kills = 0
    for time in range(4):
        folder = planned(f"killed-{time}")
        for point in POINTS:
            ended = killed_at(f"{point}:{1 + (time + kills) % 2}", folder)
            assert ended in (0, -signal.SIGKILL)
            kills += ended == -signal.SIGKILL
        corpus.run(folder)
        assert manifest(folder) == expected, time
        assert len(list((folder / "shards").iterdir())) == 6  # nothing else is left
        shutil.rmtree(folder)
    assert kills >= 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_every_point_is_survived(point: str, planned: Callable[..., Path]) -> None:
    folder = planned()
    assert killed_at(point, folder) == -signal.SIGKILL
    before = CommitFolder(folder).committed()
    assert len(before) == (1 if point in ("linked", "committed") else 0) or point == "event"
    corpus.run(folder)
    after = CommitFolder(folder).committed()
    assert {number: after[number] for number in before} == before  # what was committed never changes
    assert manifest(folder)["texts"] == 9


def test_a_second_attempt_commits_nothing(planned: Callable[..., Path], lens: normlens.Lens) -> None:
    folder, plan = planned(), read_plan(planned())
    run = CommitFolder(folder)
    result = run_shard(plan, plan.shards[0], lens, read_frequency(folder, plan.frequency))
    assert run.commit(plan.shards[0], result)
    before = sorted(path.name for path in (folder / "shards").iterdir())
    assert not run.commit(plan.shards[0], result)
    assert sorted(path.name for path in (folder / "shards").iterdir()) == before
    assert list((folder / "commits").iterdir()) == [folder / "commits" / "000000.json"]


class Unreliable(InlineBackend):
    """An inline worker whose attempts at a shard fail, or end with its death."""

    def __init__(self, folder: Path, kinds: dict[int, list[str]]) -> None:
        super().__init__(folder)
        self._kinds = kinds
        self.started = 0

    def start(self, worker: int) -> None:
        self.started += 1
        super().start(worker)

    def submit(self, worker: int, shard: corpus.Shard) -> None:
        kinds = self._kinds.get(shard.number)
        if kinds:
            kind = kinds.pop(0)
            self._waiting.append(lambda: Event(kind, worker, shard.number, "no reason"))
        else:
            super().submit(worker, shard)


def test_dead_workers_are_replaced_and_a_poisoned_shard_is_set_aside(planned: Callable[..., Path]) -> None:
    folder = planned()
    backend = Unreliable(folder, {0: [DIED, FAILED], 2: [DIED, DIED, FAILED]})
    events: list[Event] = []
    report = corpus.run(folder, backend=backend, progress=lambda event, _: events.append(event))
    assert (report.committed, list(report.set_aside)) == (2, [2])
    assert "3 attempts failed; the last: no reason" in report.set_aside[2]
    assert backend.started == 4 and sum(event.kind == READY for event in events) == 4
    assert manifest(folder)["set_aside"] == {"2": report.set_aside[2]}
    assert corpus.run(folder).committed == 2
    assert corpus.run(folder, retry=True).committed == 3
    assert manifest(folder)["set_aside"] == {}


def test_workers_that_die_before_they_are_ready_end_the_run(planned: Callable[..., Path]) -> None:
    class Dead(Unreliable):
        def start(self, worker: int) -> None:
            self.started += 1
            self._waiting.append(lambda: Event(DIED, worker, None, "the worker died (signal 9)"))

    folder = planned()
    backend = Dead(folder, {})
    with pytest.raises(NormLensError, match=r"before they have loaded the model: the worker died \(signal 9\)"):
        corpus.run(folder, backend=backend)
    assert backend.started == 3


def test_a_worker_whose_driver_has_ended_leaves_without_an_error(
    planned: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = planned()
    backend = PoolBackend(folder)
    backend.start(0)
    assert backend.next_event().kind == READY
    process, connection = backend._workers[0]
    connection.send(read_plan(folder).shards[0])
    connection.close()
    process.join()
    assert (process.exitcode, "Traceback" in capfd.readouterr().err) == (0, False)
    assert len(CommitFolder(folder).committed()) <= 1  # finished, and nobody was there to hear of it


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Any], Exception | None]], None]]:
    """Let batches fail: a function of the rows returns the error, or None."""
    original = job_kinds.AnalyzeJob.results

    def let(error_of: Callable[[Any], Exception | None]) -> None:
        def results(job: Any, lens: Any, texts: Any, skip: Any) -> Any:
            if error := error_of(texts):
                raise error
            return original(job, lens, texts, skip)

        monkeypatch.setattr(job_kinds.AnalyzeJob, "results", results)

    yield let


def test_memory_that_runs_out_halves_the_batches(planned: Callable[..., Path], failing: Any) -> None:
    folder = planned(shard_rows=20, batch_tokens=1000)
    failing(lambda texts: OutOfMemory("none left") if len(texts) > 2 or texts[0].number == 4 else None)
    corpus.run(folder)
    [commit] = CommitFolder(folder).committed().values()
    assert commit.halved >= 2 and commit.texts == 8
    assert [(row.row, row.reason) for row in commit.skipped if row.row == 4] == [(4, "none left")]


def test_a_text_whose_contributions_do_not_add_up_is_left_out_alone(planned: Callable[..., Path], failing: Any) -> None:
    folder = planned(shard_rows=20, batch_tokens=1000)
    failing(lambda texts: ConservationError("too far off") if any(row.number == 6 for row in texts) else None)
    corpus.run(folder)
    [commit] = CommitFolder(folder).committed().values()
    assert commit.texts == 8 and (6, "too far off") in [(row.row, row.reason) for row in commit.skipped]


def test_reductions_and_attributions(planned: Callable[..., Path], lens: normlens.Lens, lines: Path) -> None:
    folder = planned("sinks", job={"kind": "analyze", "reduce": "sinks"})
    corpus.run(folder)
    manifest(folder)
    first = lines.read_text(errors="replace").splitlines()[0]
    expected = lens.analyze(first, reduce="sinks")["encoder"].data
    own = results(folder).query("row == 0")
    layers, heads = own[own["head"].isna()], own[own["head"].notna()]
    assert layers["norm_first"].to_numpy() == pytest.approx(expected["norm_first"].values.ravel(), rel=1e-5)
    assert heads["weight_first"].to_numpy() == pytest.approx(expected["weight_first"].values.ravel(), rel=1e-5)
    ratios = expected["mixing_ratio"].sel(scope="residual").values.ravel()
    assert layers["mixing_ratio_residual"].to_numpy() == pytest.approx(ratios, rel=1e-5)
    assert layers["target_token"].tolist()[: len(expected["target"])] == expected["target_token"].values.tolist()
    with pytest.raises(InvalidInput, match="gives a map"):
        planned("map", job={"kind": "attribute", "method": "rollout"})
    with pytest.raises(InvalidInput, match="expected one of analyze, attribute, align"):
        planned("none", job={"kind": "count"})


def test_alignments_are_those_of_one_call(tmp_path: Path) -> None:
    pairs = [("Das Haus ist gut .", "The house is good ."), ("Er kommt .", "He comes ."), ("Ja .", "Yes .")]
    (tmp_path / "pairs.tsv").write_text(
        "".join(f"{one}\t{other}\n" for one, other in pairs) + "allein\n", encoding="utf-8"
    )
    job = {"kind": "align", "reverse_model": "en-de"}
    corpus.plan("de-en", [tmp_path / "pairs.tsv"], tmp_path / "run", job=job, shard_rows=2)
    corpus.run(tmp_path / "run")
    made = manifest(tmp_path / "run")
    assert (made["texts"], made["skipped"]) == (3, 1)
    expected = normlens.align([one for one, _ in pairs], [other for _, other in pairs])
    table = results(tmp_path / "run")
    assert table["links"].tolist() == [
        " ".join(f"{link.source}-{link.target}" for link in alignment.links) for alignment in expected
    ]
    assert list(table["target_word"][1]) == ["He", "comes", "."]
    statistics = pd.read_parquet(tmp_path / "run" / "final" / "statistics.parquet")
    links = statistics[statistics["quantity"] == "links"]["value"].item()
    assert links == pytest.approx(np.mean([len(alignment.links) for alignment in expected]))


def test_models_that_do_not_align_are_refused(planned: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no cross-attention"):
        planned(job={"kind": "align"})
    (tmp_path / "pairs.tsv").write_text("a\tb\n")
    with pytest.raises(InvalidInput, match="No layer was named for en-de"):
        corpus.plan("en-de", [tmp_path / "pairs.tsv"], tmp_path / "run", job={"kind": "align"})


def test_a_changed_file_another_plan_and_a_changed_result_are_refused(
    planned: Callable[..., Path], lines: Path, tmp_path: Path
) -> None:
    folder = planned()
    assert planned() == folder  # the same plan again
    with pytest.raises(InvalidInput, match="holds another run: batch_tokens was 24 and is now 30"):
        planned(batch_tokens=30)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(InvalidInput, match="isn't an empty folder"):
        planned("full")
    with pytest.raises(InvalidInput, match=r"3 of 3 shards aren't finished \(the first is 0\)"):
        corpus.finalize(folder)
    content = lines.read_bytes()
    lines.write_bytes(content + b"more\n")
    with pytest.raises(InvalidInput, match=r"has changed since the run was planned"):
        corpus.run(folder)
    lines.write_bytes(content)
    corpus.run(folder)
    shard = next((folder / "shards").glob("000001-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=r"has changed since it was committed. Remove commits/000001.json"):
        corpus.finalize(folder)
    (folder / "commits" / "000001.json").unlink()
    corpus.run(folder)
    assert manifest(folder)["texts"] == 9


def test_another_model_or_version_is_refused(planned: Callable[..., Path], tmp_path: Path) -> None:
    folder = planned()
    values = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    fields = {"model": "weights_sha256", "versions": "torch", "statistics": "rank_grid_bins_per_decade"}
    for name, key in fields.items():
        changed = json.loads(json.dumps(values))
        changed[name][key] = "other"
        (folder / "plan.json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(InvalidInput, match=f"{key} is .* here and 'other' in the plan"):
            corpus.run(folder)
    (folder / "plan.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"plan.json can't be read"):
        corpus.run(folder)
    with pytest.raises(InvalidInput, match=r"holds no run"):
        corpus.status(tmp_path / "nowhere")


def test_status_and_exports(planned: Callable[..., Path], tmp_path: Path) -> None:
    folder = planned()
    before = corpus.status(folder)
    assert (before.committed, before.shards, before.rows, before.last_commit) == (0, 3, 12, None)
    assert before.seconds_left is None and not before.finalized
    with pytest.raises(InvalidInput, match="no final results"):
        corpus.export(folder, tmp_path / "x.csv")
    corpus.run(folder, part=(0, 2))
    half = corpus.status(folder)
    assert (half.committed, half.rows_done) == (2, 7) and half.texts_per_second is not None
    assert half.seconds_left is not None and half.seconds_left > 0
    corpus.run(folder)
    corpus.finalize(folder)
    after = corpus.status(folder)
    assert (after.texts, after.skipped, after.seconds_left, after.finalized) == (9, 2, 0.0, True)
    table = results(folder)
    csv = pd.read_csv(corpus.export(folder, tmp_path / "x.csv"))
    lines = [json.loads(line) for line in corpus.export(folder, tmp_path / "x.jsonl").read_text().splitlines()]
    assert list(csv.columns) == list(lines[0]) == list(table.columns)
    assert csv["norm_share_other"].to_numpy() == pytest.approx(table["norm_share_other"].to_numpy())
    assert [line["row"] for line in lines] == table["row"].tolist()
    saved = list(RowFile(corpus.export(folder, tmp_path / "saved"), Columns("group")).rows())
    assert [row.text for row in saved] == table["group"].tolist()
    with pytest.raises(InvalidInput, match="exists already"):
        corpus.export(folder, tmp_path / "x.csv")
    with pytest.raises(InvalidInput, match=r"expected \.csv, \.jsonl"):
        corpus.export(folder, tmp_path / "x.txt")


def test_the_questions_of_the_docs_have_answers(planned: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    folder = planned()
    corpus.run(folder)
    monkeypatch.chdir(corpus.finalize(folder))
    page = (Path(__file__).parents[2] / "docs" / "corpus.md").read_text(encoding="utf-8")
    questions = page.split("```sql")[1].split("```")[0]
    with duckdb.connect() as database:
        database.execute(Path("view.sql").read_text(encoding="utf-8"))
        answers = [database.sql(question).fetchall() for question in questions.split(";") if question.strip()]
    assert len(answers) == 5 and all(answers)
    assert {why for why, _ in answers[4]} >= {"the line isn't UTF-N (byte N)"}
