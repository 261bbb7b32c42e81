"""Files of links in the formats that people have; what each says is worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from normlens.alignment import LinkFile, LinkSets, evaluate, parse_links, read_links
from normlens.errors import InvalidInput

Run = Callable[..., Result]
GOLD = [LinkSets.from_links({(0, 0), (1, 2)}, {(1, 1)}), LinkSets.from_links(()), LinkSets.from_links({(0, 1)})]
SPELLINGS = {
    "talp": "1-1 2-3 2p2\n\n1-2\n",
    "asked": "1-1 2-3 2?2\n\n1-2\n",
    "upper": "1-1 2-3 2P2\n\n1-2\n",
    "scored": "1-1:0.9 2-3:1 2p2:1e-3\n\n1-2:0.5\n",
    "numbered": "1 1-1 2-3 2p2\n2\n3 1-2\n",
    "numbered from 0": "0: 1-1 2-3 2p2\n1:\n2: 1-2\n",
    "naacl": "0001 1 1 S\n0001 2 3 S\n0001 2 2 P\n0003 1 2 S\n",
    "naacl without kinds, with confidence": "1 1 1\n1 2 3 0.9\n1 2 2 P 0.5\n3 1 2\n",
    "json": '{"links": [[1, 1], [2, 3], [2, 2]], "sure": [true, true, false]}\n\n{"links": [[1, 2]]}\n',
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_the_same_links_reads_the_same(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "gold").write_text(SPELLINGS[spelling])
    assert LinkFile(tmp_path / "gold", 1).read() == GOLD


def test_naacl_counts_from_1_unless_told_otherwise_and_the_others_from_0(tmp_path: Path) -> None:
    (tmp_path / "gold.wa").write_text("1 1 2 S\n")
    (tmp_path / "links").write_text("0-1\n")
    assert LinkFile(tmp_path / "gold.wa").base == 1
    assert (
        list(read_links(tmp_path / "gold.wa"))
        == list(read_links(tmp_path / "links"))
        == [LinkSets.from_links({(0, 1)})]
    )
    assert list(read_links(tmp_path / "gold.wa", 0)) == [LinkSets.from_links({(1, 2)})]


def test_a_file_that_names_its_pairs_may_end_early(tmp_path: Path) -> None:
    (tmp_path / "gold.wa").write_text(SPELLINGS["naacl"])
    assert LinkFile(tmp_path / "gold.wa").read(5) == [*GOLD, LinkSets.from_links(()), LinkSets.from_links(())]


@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        ("1 0 1 S\n", None, "has word 0"),
        ("0 1 1 S\n", None, "is not a link of a .wa file"),
        ("1 1 1 S\n1-1\n", None, "line 2: '1-1' is not a link of a .wa file"),
        ("1 1 1 S\n9999999 1 1 S\n", None, "names sentence pair 9999999"),
        ("1 1 1 X\n", None, "is not a link"),
        ("1 0-0\n3 0-0\n", None, "line 2 has the number 3"),
        ("1 0-0\n0-0\n", None, "line 2 has no number"),
        ("1-1\n" * 10, None, "seem to be counted from 1"),
    ],
)
def test_what_is_not_meant_so_is_refused(text: str, base: int | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "links").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        LinkFile(tmp_path / "links", base).read()


def test_words_that_are_counted_from_1_are_so_where_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("1-1\n" * 10)
    assert LinkFile(tmp_path / "links", 1).read() == [LinkSets.from_links({(0, 0)})] * 10
    assert LinkFile(tmp_path / "links", 0).read() == [LinkSets.from_links({(1, 1)})] * 10


def test_a_score_is_read_over() -> None:
    assert parse_links("0-1:0.25 2?0:1") == LinkSets.from_links({(0, 1)}, {(2, 0)})


def test_aer_reads_naacl_beside_pharaoh_and_says_from_what_words_are_counted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gold.wa").write_text(SPELLINGS["naacl"])
    (tmp_path / "links.txt").write_text("0-0 1-1\n0-0\n0-1\n\n")
    expected = evaluate([*GOLD, LinkSets.from_links(())], read_links(tmp_path / "links.txt", 0))
    answer = json.loads(run("aer", "gold.wa", "links.txt", "--json").stdout)
    assert (answer["aer"], answer["sentences"]) == (expected.aer, 4)
    assert expected.aer == pytest.approx(1 - (2 + 3) / (4 + 3))  # by hand: |A∩S| = 2, |A∩P| = 3, |A| = 4, |S| = 3
    assert answer["bases"] == [1, 0]
    shown = run("aer", "gold.wa", "links.txt")
    assert "Words are counted from 1 in gold.wa, 0 in links.txt." in shown.stdout
    assert "gold.wa names 2 of 4 sentence pairs" in shown.stderr
    (tmp_path / "links.wa").write_text("1 1 1\n1 2 2\n2 1 1\n3 1 2\n")
    assert json.loads(run("aer", "gold.wa", "links.wa", "--json").stdout)["aer"] == expected.aer
