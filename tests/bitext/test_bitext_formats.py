"""Links in files: what is written is read again, and what is not a link is named."""

import json
from pathlib import Path

import pytest

from normlens.alignment import Link, LinkSets, parse_links, pharaoh_line, read_links, talp_line
from normlens.bitext.formats import check_ranges, json_line
from normlens.errors import InvalidInput

LINKS = [Link(10, 2, 0.5, sure=False), Link(2, 0, 0.98765), Link(2, 10, 0.25)]


def test_pharaoh_lines_are_sorted_by_number() -> None:
    assert pharaoh_line(LINKS) == "2-0 2-10 10-2"


def test_talp_lines_tell_sure_from_possible() -> None:
    assert talp_line(LINKS, base=1) == "3-1 3-11 11p3"


@pytest.mark.parametrize("base", [0, 1])
def test_what_is_written_is_read_again(base: int) -> None:
    expected = LinkSets.from_links({(2, 0), (2, 10)}, {(10, 2)})

    assert parse_links(talp_line(LINKS, base), base) == expected
    assert parse_links(json_line(LINKS, base, line=1), base) == expected
    assert parse_links(pharaoh_line(LINKS, base), base).sure == expected.possible


def test_json_lines_carry_words_and_scores() -> None:
    record = json.loads(json_line(LINKS, source=["ä"]))

    assert record["source"] == ["ä"]
    assert record["links"] == [[2, 0, 0.9877], [2, 10, 0.25], [10, 2, 0.5]]
    assert record["sure"] == [True, True, False]


def test_a_link_that_is_sure_and_possible_is_sure() -> None:
    assert parse_links("0-0 0p0") == LinkSets(frozenset({(0, 0)}), frozenset({(0, 0)}))


@pytest.mark.parametrize(
    "token", ["3", "3-", "-4", "a-b", "3:4", "3-4-5", "1.5-2", "³-4", "3--4", "3:P4", "3-4:x", "9999999999-1"]
)
def test_a_token_that_is_no_link_is_named_with_file_and_line(tmp_path: Path, token: str) -> None:
    path = tmp_path / "gold.talp"
    path.write_text(f"1-1\n1-2 {token} 2-2\n", encoding="utf-8")

    with pytest.raises(InvalidInput) as caught:
        list(read_links(path))

    assert f"{path}, line 2: {token!r} is not a link" in str(caught.value)


def test_number_zero_is_refused_where_counting_starts_at_one() -> None:
    with pytest.raises(InvalidInput, match=r"'0-3' has a word number below 1.*counts from 0"):
        parse_links("1-1 0-3", base=1)


@pytest.mark.parametrize("line", ["{", '{"link": []}', '{"links": [[1]]}', '{"links": [["a", 1]]}'])
def test_json_without_links_is_refused(line: str) -> None:
    with pytest.raises(InvalidInput, match=r"line 7: the .*JSON object"):
        parse_links(line, where="line 7")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"0-0\n\xff\xfe\n")

    with pytest.raises(InvalidInput, match="not text in UTF-8"):
        list(read_links(tmp_path / "binary"))
    with pytest.raises(InvalidInput, match=r"nowhere can't be read"):
        list(read_links(tmp_path / "nowhere"))


def test_links_to_words_that_are_not_there_are_named() -> None:
    links = LinkSets.from_links({(0, 0), (2, 1)})

    check_ranges([(links, 3, 2)], "links")
    with pytest.raises(InvalidInput, match="links, line 2: the link 2-1"):
        check_ranges([(links, 3, 2), (links, 2, 2)], "links")


@pytest.mark.parametrize(
    "line",
    [
        '{"links": [[Infinity, 0]]}', '{"links": [[1e400, 0]]}', '{"links": [[0, 0, 1e400]]}', '{"links": [[0, 0, NaN]]}',
        '{"links": [[1.7, 1.2]]}', '{"links": [[true, false]]}', '{"links": [["0", "0"]]}', '{"links": [[0, -1]]}',
        '{"links": [[0, 0, 1, 2]]}', '{"links": [[0]]}', '{"links": ["00"]}', '{"links": "0-0"}', '{"links": {"0": 0}}',
        '{"links": [[0, 0]], "sure": ["no"]}', '{"links": [[0, 0]], "sure": [1]}', '{"links": [[0, 0]], "sure": true}',
        '{"links": [[0, 0]], "sure": []}', '{"links": [[0, 0]], "links": [[1, 1]]}', '{"links": ' + "[" * 100_000,
        '{"links": [[' + "9" * 5000 + ", 0]]}", '{"links": [[10000000000, 0]]}', '{"links": [[0, 0, "0.9"]]}', "{", "{}",
        "9" * 5000 + "-1", "0-99999999999",
    ],
)  # fmt: skip
def test_what_is_no_number_is_not_taken_for_one(line: str) -> None:
    with pytest.raises(InvalidInput, match="gold, line 1"):
        parse_links(line, 0, "gold, line 1")


def test_json_links_with_scores_and_without() -> None:
    assert parse_links('{"words": 3, "links": [[1, 0], [0, 2, 1]]}').sure == {(1, 0), (0, 2)}
    assert parse_links('{"links": [[1, 0, 0.5]], "sure": [false]}') == LinkSets.from_links((), [(1, 0)])
    assert parse_links('{"links": [], "sure": null}') == LinkSets.from_links(())
