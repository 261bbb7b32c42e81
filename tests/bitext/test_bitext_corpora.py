"""Parallel text, read line by line."""

import io
from pathlib import Path

import pytest

from normlens.alignment import Line, ParallelFiles, skip
from normlens.bitext.corpora import joined_stream
from normlens.errors import InvalidInput


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_two_files_with_all_that_files_may_have(tmp_path: Path) -> None:
    one = _file(tmp_path, "one", "\ufeffä b\r\n\r\nc\u2028d".encode())
    other = _file(tmp_path, "other", b"x\ny\nz\n")

    files = ParallelFiles(one, other)

    expected = [Line(1, "ä b", "x"), Line(2, "", "y"), Line(3, "c\u2028d", "z")]
    assert list(files) == expected == list(files)
    assert len(files) == 3
    assert list(skip(files, 2)) == expected[2:]


def test_tabs_in_one_file_and_on_standard_input(tmp_path: Path) -> None:
    content = b"a b\tx\nno tab\n\ty\na\tb\tc\n"

    lines = list(ParallelFiles(_file(tmp_path, "both.tsv", content)))

    assert lines == list(joined_stream(io.BytesIO(content)))
    assert [line.problem is None for line in lines] == [True, False, True, False]
    assert "0 tabs" in str(lines[1].problem)
    assert "2 tabs" in str(lines[3].problem)


def test_a_line_that_is_no_text_stops_nothing(tmp_path: Path) -> None:
    lines = list(joined_stream(io.BytesIO(b"a\tb\n\xff\tb\na\tb\n")))

    assert [line.problem is None for line in lines] == [True, False, True]
    assert "UTF-8" in str(lines[1].problem)


def test_files_of_different_length_are_refused(tmp_path: Path) -> None:
    one, other = _file(tmp_path, "one", b"a\nb\nc"), _file(tmp_path, "other", b"x\ny\n")

    with pytest.raises(InvalidInput, match=r"one has 3 lines and .*other has 2"):
        ParallelFiles(one, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"no tab\n", "line 1: it has 0 tabs"), ("a\tb".encode("utf-16"), "line 1: it is not text")],
)
def test_what_is_no_parallel_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ParallelFiles(_file(tmp_path, "text", content))
    with pytest.raises(InvalidInput, match=message):
        list(joined_stream(io.BytesIO(content)))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere can't be read"):
        ParallelFiles(tmp_path / "nowhere")


def test_other_texts_have_other_fingerprints(tmp_path: Path) -> None:
    first = ParallelFiles(_file(tmp_path, "text", b"a\tb\n")).fingerprint()

    assert ParallelFiles(_file(tmp_path, "text", b"a\tc\n")).fingerprint() != first
    assert ParallelFiles(_file(tmp_path, "text", b"a\tb\n")).fingerprint() == first


@pytest.mark.parametrize("tabbed", [0, 1])
def test_a_file_of_pairs_is_none_of_two_files(tmp_path: Path, tabbed: int) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for k, path in enumerate(paths):
        path.write_text("das Haus\tthe house\n" if k == tabbed else "das Haus\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=rf"{paths[tabbed].name}, line 1 contains a tab.*alone"):
        ParallelFiles(*paths)
    assert next(iter(ParallelFiles(paths[tabbed]))).target == "the house"


def test_both_sides_may_have_bars_between_them(tmp_path: Path) -> None:
    both = tmp_path / "both.txt"
    both.write_text("das haus ||| the house\nein ||| zwei ||| drei\nnur eines\ndie | katze ||| the\tcat\n")
    lines = list(ParallelFiles(both))
    assert [(line.source.split(), line.target.split()) for line in (lines[0], lines[3])] == [
        (["das", "haus"], ["the", "house"]),
        (["die", "|", "katze"], ["the", "cat"]),
    ]
    assert [line.problem for line in lines[1:3]] == [
        "it has 2 marks |||, not one between sentence and translation",
        "it has 0 marks |||, not one between sentence and translation",
    ]
    assert list(joined_stream(io.BytesIO(both.read_bytes()))) == lines
    with pytest.raises(InvalidInput, match=r"line 1 contains \|\|\|"):
        ParallelFiles(both, both)


def test_bars_in_a_text_with_tabs_are_words(tmp_path: Path) -> None:
    (tmp_path / "both.tsv").write_text("a ||| b\tc\n")
    assert [(line.source, line.target) for line in ParallelFiles(tmp_path / "both.tsv")] == [("a ||| b", "c")]
