"""Annotated negations are read as the shared task writes them, and broken files are refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from normlens.errors import InvalidInput
from normlens.negation import AnnotatedNegation, MarkedWord, read_annotated

TWO_CUES = """\
story\t0\t0\tHe\the\tPRP\t(S(NP*)\t_\tHe\t_\t_\t_\t_
story\t0\t1\tis\tbe\tVBZ\t(VP*\t_\tis\t_\t_\t_\t_
story\t0\t2\tneither\tneither\tCC\t(ADJP*\tneither\t_\t_\t_\t_\t_
story\t0\t3\trestless\trestless\tJJ\t*\t_\trestless\trestless\tless\trest\trest
story\t0\t4\tnor\tnor\tCC\t*\tnor\t_\t_\t_\t_\t_
story\t0\t5\tsad\tsad\tJJ\t*)))\t_\tsad\t_\t_\t_\t_

story\t1\t0\tMr.\tmr.\tNNP\t(NP*)\t***
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_cues_of_several_words_and_affixes(tmp_path: Path) -> None:
    first, second = read_annotated(write(tmp_path, TWO_CUES))
    assert first.text == "He is neither restless nor sad"
    assert first.tags[:2] == ("PRP", "VBZ") and first.parse[0] == "(S(NP*)" and first.place.endswith("line 1")
    neither, less = first.negations
    assert neither.cue == (MarkedWord(2, "neither"), MarkedWord(4, "nor"))
    assert [mark.word for mark in neither.scope] == [0, 1, 3, 5]
    assert less == AnnotatedNegation((MarkedWord(3, "less"),), (MarkedWord(3, "rest"),), (MarkedWord(3, "rest"),))
    assert second.negations == () and second.place.endswith("line 8")


def test_a_scope_without_the_period_of_its_word_is_the_word(tmp_path: Path) -> None:
    rows = "a\t0\t0\tno\tno\tDT\t(NP*\tno\t_\t_\na\t0\t1\tMr.\tmr.\tNNP\t*)\t_\tMr\t_\n"
    [sentence] = read_annotated(write(tmp_path, rows))
    assert sentence.negations[0].scope == (MarkedWord(1, "Mr."),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("sad\tsad\tJJ\t*)))\t_\tsad\t_\t_\t_\t_", "sad\tsad\tJJ\t*)))\t_\tsad\t_"),
            "line 6 has 10 columns, and line 1",
        ),
        (("(NP*)\t***", "(NP*)\t_\t_"), "line 8 has 9 columns; expected 7, then"),
        (("(NP*)\t***", "(NP*)"), "line 8 has 7 columns"),
        (("(NP*)\t***", "(NP*)\t_\t_\t_"), "line 8: negation 1 of the sentence has no cue"),
        (("\tless\trest", "\tun\trest"), "line 4: the cue 'un' is not in the word 'restless'"),
        (("story\t0\t4\tnor", "story\t0\t5\tnor"), "line 5 has the word number '5'; expected 4"),
        (("\n\nstory", "\nstory"), "line 7 has 8 columns"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in TWO_CUES
    path = write(tmp_path, TWO_CUES.replace(*change))
    with pytest.raises(InvalidInput) as refused:
        read_annotated(path)
    assert str(path) in str(refused.value) and message in str(refused.value)


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no sentence"):
        read_annotated(write(tmp_path, "\n\n"))
    with pytest.raises(InvalidInput, match="can't be read"):
        read_annotated(tmp_path / "missing.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_annotated(tmp_path / "bytes.txt")
