"""The clustering script run for real on very little, and what it keeps of each part."""

import json
from pathlib import Path

import pytest

from reproduce.clustering import planted as clustering_planted
from reproduce.clustering import table as clustering_tables


def test_parts_are_kept_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--instances", "2", "--slow", "1", "--small", "3", "--output", str(tmp_path)]
    assert clustering_tables.main(["--parts", "soundness", *few]) == 0
    assert clustering_tables.main(["--parts", "planted", *few]) == 0
    kept = json.loads((tmp_path / "clustering" / "result.json").read_text(encoding="utf-8"))
    assert set(kept) == {"soundness", "planted"}  # the second run kept what the first one measured
    assert kept["soundness"]["instances"] == kept["soundness"]["agreed"] == 3
    table = (tmp_path / "clustering" / "page.md").read_text(encoding="utf-8")
    assert "2 instances for each α" in table and "On 3 of 3 instances" in table
    assert table.strip() in capsys.readouterr().out
    assert (tmp_path / "clustering" / "recovery.svg").exists()


def test_a_part_that_does_not_exist_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clustering_tables.main(["--parts", "magic", "--output", str(tmp_path)]) == 2
    assert "no part 'magic'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_well_separated_clusters_are_found_by_all_who_know_k() -> None:
    settings = clustering_planted.planted(instances=3, slow=1, seed=0)["settings"]
    best = max(settings, key=lambda one: one["alpha"])
    assert best["exact"]["search"] == 1
    assert all(best["exact"][name] == 1 for name in clustering_planted.NEED_K)
