"""Clusters of heads in the explorer: the files that hold them, and the colors of the points."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from served_page import TEXT, check_accessibility, opened, served

import normlens
from normlens.errors import InvalidInput
from normlens.view import OfferedModel, ViewService
from normlens.view.head_clusters import read_clusters

GOOD = {"heads": ["0.0", "0.1", "1.0"], "clustering": {"labels": [1, 1, 2]}, "nearest": {"labels": [2, 1, 1]}}
HEADS = [f"{layer}.{head}" for layer in range(6) for head in range(12)]
LABELS = [1 + (layer > 3) + (head == 5) for layer in range(6) for head in range(12)]


def written(folder: Path, name: str, content: str) -> Path:
    """A file."""
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_labels_are_read_from_either_format(tmp_path: Path) -> None:
    expected = {"heads": ["0.0", "0.1", "1.0"], "labels": [1, 1, 2], "isGood": True}
    assert read_clusters(written(tmp_path, "a.json", json.dumps(GOOD))) == expected
    table = "head,cluster,nearest_cluster,nearest_ratio\n0.0,1,2,1.1\n0.1,1,1,1.2\n1.0,2,1,infinite\n"
    assert read_clusters(written(tmp_path, "a.csv", table)) == expected


def test_without_a_good_clustering_it_is_the_nearest(tmp_path: Path) -> None:
    expected = {"heads": ["0.0", "0.1", "1.0"], "labels": [2, 1, 1], "isGood": False}
    assert read_clusters(written(tmp_path, "a.json", json.dumps({**GOOD, "clustering": None}))) == expected
    table = "head,cluster,nearest_cluster,nearest_ratio\n0.0,,2,1.1\n0.1,,1,1.2\n1.0,,1,1.3\n"
    assert read_clusters(written(tmp_path, "a.csv", table)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps({**GOOD, "clustering": None, "nearest": None}), "has no clustering"),
        (json.dumps({"points": ["0"], "clustering": {"labels": [1]}}), "isn't a file of clusters of heads"),
        (json.dumps({**GOOD, "heads": ["0.0"]}), "isn't a file of clusters of heads"),
        (json.dumps({**GOOD, "clustering": {"labels": [1, 1, True]}}), "isn't a file of clusters of heads"),
        (json.dumps({**GOOD, "clustering": {"labels": [1, 1, 0]}}), "isn't a file of clusters of heads"),
        ("{", "isn't JSON"),
        ("point,cluster,nearest_cluster,nearest_ratio\n0,1,,\n", "isn't a file of clusters of heads"),
        ("head,cluster,nearest_cluster,nearest_ratio\nx,1,,\n", "isn't a file of clusters of heads"),
        ("head,cluster,nearest_cluster,nearest_ratio\n0.0,one,,\n", "isn't a file of clusters of heads"),
        ("head,cluster,nearest_cluster,nearest_ratio\n0.0\n", "has no clustering"),
        ("", "isn't a file of clusters of heads"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_clusters(written(tmp_path, "a", content))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    for path in (tmp_path, tmp_path / "gone.json", tmp_path / "a.json"):
        with pytest.raises(InvalidInput):
            read_clusters(path)


@pytest.fixture(scope="module")
def clustered() -> Iterator[str]:
    """The address of an explorer that was given clusters of the first model's heads, and gold links."""
    models = [OfferedModel(name, partial(normlens.load, name)) for name in ("minilm-l6", "smollm2-135m")]
    clusters = {"heads": HEADS, "labels": LABELS, "isGood": False}
    with served(ViewService(models, text=TEXT, clusters=clusters)) as address:
        yield address


@pytest.mark.real_model
def test_points_have_the_colors_of_their_clusters(page: Page, clustered: str, console: list[str]) -> None:
    opened(page, clustered)
    expect(page.locator(".clusters")).to_contain_text(re.compile(r"1 \(44\)\s*2 \(26\)\s*3 \(2\)"))
    expect(page.get_by_text("nearest to a good clustering, but not one")).to_be_visible()
    colors = {}
    for name, label in zip(HEADS, LABELS, strict=True):
        layer, head = name.split(".")
        point = page.get_by_role("button", name=re.compile(rf"^Layer {layer}, head {head}, cluster {label}: "))
        colors.setdefault(label, set()).add(point.get_attribute("fill"))
    assert all(len(of_cluster) == 1 for of_cluster in colors.values()) and len(set.union(*colors.values())) == 3
    page.get_by_role("button", name="3 (2)").click()
    expect(page.locator(".scatter circle.faded")).to_have_count(70)
    check_accessibility(page)
    page.get_by_label("color").select_option("layer")
    expect(page.locator(".clusters")).to_have_count(0)
    assert "color=layer" in page.url
    assert page.get_by_role("button", name=re.compile("cluster")).count() == 0
    assert console == []


@pytest.mark.real_model
def test_gold_links_that_were_given_are_compared_at_once(page: Page, console: list[str]) -> None:
    models = [OfferedModel("de-en", partial(normlens.load, "de-en"))]
    text, target, gold = "Das ist gut .", "That is good .", "0-0 1p1 2-2"
    with served(ViewService(models, text=text, target_text=target, gold=gold)) as address:
        opened(page, address, page="alignment")
        expect(page.get_by_label("gold links")).to_have_value(gold)
        expect(page.locator(".link-picture figcaption p").first).to_contain_text("error rate")
        assert "gold=0-0" in page.url
    assert console == []
