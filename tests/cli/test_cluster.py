"""``normlens cluster``: tables and models in, clusters with a certificate out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from invocation import Run

import normlens
from normlens.clustering import HeadDistances, goodness
from normlens.clustering.model_heads import head_distances

FOUR = np.array([[0.0], [1.0], [10.0], [11.0]])
LINE = np.arange(5.0)[:, None]


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Two pairs, ten times as far from each other as wide; α* is 9.5 / 0.5 = 19, at point 1."""
    np.save(tmp_path / "four.npy", FOUR)
    return tmp_path / "four.npy"


def test_points_come_with_their_certificate(four: Path, run: Run) -> None:
    result = run("cluster", "points", four, "--alpha", 5, "--gamma", 0.25)
    assert result.exit_code == 0
    assert "1 good clustering found, and no others exist" in result.stdout
    assert "2 clusters: α* 19, γ* 0.5; 100 % of the points have a ratio of 5 or more" in result.stdout
    assert (
        "point 1 of cluster 1 has a mean distance of 0.5 within its own cluster and of 9.5 to cluster 2"
        in result.stdout
    )
    assert "  2 (2): 2  3" in result.stdout.splitlines()


def test_all_files_at_once(four: Path, run: Run, tmp_path: Path) -> None:
    result = run("cluster", "points", four, "--alpha", 5, "-o", "who.csv", "--figure", "map.png", "--json")
    answer = json.loads(result.stdout)
    assert (answer["status"], answer["clustering"]["labels"], answer["clustering"]["alpha_star"]) == (
        "complete", [1, 1, 2, 2], 19.0
    )  # fmt: skip
    with (tmp_path / "who.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cluster"] for row in rows] == ["1", "1", "2", "2"]
    assert [float(row["nearest_ratio"]) for row in rows] == [21.0, 19.0, 19.0, 21.0]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("names", [True, False])
def test_points_are_read_from_csv_with_and_without_names(four: Path, run: Run, tmp_path: Path, names: bool) -> None:
    pd.DataFrame(np.load(four)).add_prefix("x").to_csv(tmp_path / "four.csv", index=False, header=names)
    answers = [json.loads(run("cluster", "points", file, "--alpha", 5, "--json").stdout) for file in (four, "four.csv")]
    assert answers[0]["clustering"] == answers[1]["clustering"]


def test_no_good_clustering_is_an_answer_with_the_nearest_one(run: Run, tmp_path: Path) -> None:
    pd.DataFrame(LINE).rename(columns=str).to_parquet(tmp_path / "line.parquet")
    result = run("cluster", "points", "line.parquet", "--alpha", 5, "-o", "who.json")
    assert result.exit_code == 0
    assert "No good clustering exists" in result.stdout
    answer = json.loads((tmp_path / "who.json").read_text())
    assert answer["none_exists"] and answer["clustering"] is None
    nearest = answer["nearest"]
    assert nearest["alpha_star"] == pytest.approx(goodness(LINE, nearest["labels"]).alpha)


def test_a_matrix_of_distances_gives_the_same(four: Path, run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", abs(FOUR - FOUR.T))
    points, matrix = (
        json.loads(run("cluster", "points", file, "--metric", metric, "--json").stdout)
        for file, metric in ((four, "euclidean"), ("matrix.npy", "precomputed"))
    )
    assert points == matrix


def test_identical_points_have_an_infinite_ratio(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.array([[0.0], [0.0], [1.0], [1.0]]))
    answer = json.loads(run("cluster", "points", "two.npy", "--json").stdout)
    assert answer["clustering"]["alpha_star"] == "infinite"


def test_heads_are_compared_over_a_corpus(bert: Path, run: Run, tmp_path: Path) -> None:
    texts = ["the cat sat here.", "a dog ran."]
    (tmp_path / "corpus.txt").write_text("\n\n".join(texts))
    result = run("cluster", "heads", bert, "corpus.txt", "--measure", "weight", "--alpha", 1.01, "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    lens = normlens.load(bert)
    maps = [lens.analyze(text)["encoder"].weight.values for text in texts]
    layers, heads = maps[0].shape[:2]
    assert answer["heads"] == [f"{layer}.{head}" for layer in range(layers) for head in range(heads)]
    expected = HeadDistances.over([x.reshape(layers * heads, *x.shape[2:]) for x in maps]).matrix()
    compared = head_distances(lens, texts, measure="weight")
    np.testing.assert_allclose(compared.matrix, expected, atol=1e-6)
    nearest = answer["nearest"]
    measured = goodness(compared.matrix, nearest["labels"], metric="precomputed").alpha
    assert measured == pytest.approx(nearest["alpha_star"], abs=1e-5)


def test_norms_are_weights_times_lengths(bert: Path) -> None:
    lens = normlens.load(bert)
    group = lens.analyze("the cat sat here.")["encoder"]
    maps = (group.weight * group.vector_norm).transpose("layer", "head", "target", "source").values
    by_hand = HeadDistances.over([maps.reshape(-1, *maps.shape[2:])]).matrix()
    np.testing.assert_allclose(head_distances(lens, ["the cat sat here."]).matrix, by_hand, atol=1e-6)
    assert not np.allclose(by_hand, head_distances(lens, ["the cat sat here."], measure="weight").matrix, atol=1e-3)


def test_an_encoder_decoder_reads_pairs(marian: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("the cat sat.\ta dog\nthe dog ran here.\tthe cat is here\n")
    result = run("cluster", "heads", marian, "pairs.tsv", "--group", "cross", "--limit", 1)
    assert result.exit_code == 0
    assert "heads by norm, 1 text" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.npy"], "missing.npy can't be read"),
        (["four.txt"], "expected .npy, .parquet or .csv"),
        (["broken.npy"], "broken.npy isn't a table of numbers"),
        (["words.parquet"], "columns that aren't numeric: b"),
        (["words.csv"], "columns that aren't numeric: b"),
        (["index.csv"], "The first column of index.csv has no name"),
        (["ragged.csv"], "ragged.csv isn't a table of numbers"),
        (["nothing.csv"], "nothing.csv isn't a table of numbers"),
        (["four.npy", "--alpha", "1"], "expected a number above 1"),
        (["four.npy", "--gamma", "0.6"], "at most 1/2"),
        (["four.npy", "--metric", "cosine"], "cosine"),
        (["four.npy", "--metric", "precomputed"], "shape"),
        (["nan.npy"], "aren't finite"),
        (["four.npy", "-o", "labels.txt"], "expected one of .csv, .json"),
        (["four.npy", "--figure", "nowhere/map.png"], "no folder nowhere"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    arguments: list[str], message: str, four: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "four.txt").write_text("0 1")
    (tmp_path / "broken.npy").write_text("no array")
    np.save(tmp_path / "nan.npy", np.array([[0.0], [np.nan]]))
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(tmp_path / "words.parquet")
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_csv(tmp_path / "words.csv", index=False)
    pd.DataFrame({"a": [1, 2], "b": [3, 4]}).to_csv(tmp_path / "index.csv")
    (tmp_path / "ragged.csv").write_text("1,2\n3,4,5\n")
    (tmp_path / "nothing.csv").touch()
    before = set(tmp_path.iterdir())
    result = run("cluster", "points", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert set(tmp_path.iterdir()) == before


def test_heads_are_asked_for_sensibly_before_the_model_is_loaded(run: Run, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("the cat")
    for arguments, message in (
        (["missing.txt"], "missing.txt can't be read"),
        (["corpus.txt", "--alpha", "0.5"], "above 1"),
    ):
        result = run("cluster", "heads", "nobody/such-model", *arguments)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
        assert "Loading" not in result.stderr


def test_a_group_that_is_not_there(bert: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("the cat")
    result = run("cluster", "heads", bert, "corpus.txt", "--group", "cross")
    assert result.exit_code == 2
    assert "expected encoder or decoder" in result.stderr
