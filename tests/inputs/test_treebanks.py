"""CoNLL-U: the words that stand in the text, in Python and in the shell, or the line that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from architectures import tiny
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

import normlens
from normlens.bitext.corpora import ParallelFiles
from normlens.cli.app import app
from normlens.errors import InvalidInput
from normlens.inputs.treebanks import read_conllu


def row(number: str, form: str) -> str:
    return "\t".join([number, form, *"_" * 8])


def sentence(*forms: str) -> str:
    return "\n".join(row(str(k), form) for k, form in enumerate(forms, start=1)) + "\n\n"


SPANISH = "\n".join(
    [
        "# sent_id = 1", "# text = vámonos al mar", row("1-2", "vámonos"), row("1", "vamos"), row("2", "nos"), 
        row("3-4", "al"),
        row("3", "a"), row("4", "el"), row("5", "mar"), row("5.1", "elided"), "", "",
    ]
)  # fmt: skip


def file_of(folder: Path, text: str, name: str = "x.conllu") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_multiword_tokens_stand_for_their_words_and_empty_nodes_for_nothing(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, "\ufeff" + SPANISH + row("0.1", "elided") + "\n" + sentence("10 000", "_", "cats").rstrip()
    )
    assert list(read_conllu(path)) == [["vámonos", "al", "mar"], ["10 000", "_", "cats"]]
    assert list(read_conllu(file_of(tmp_path, "# nothing\n\n\n"))) == []
    crlf = tmp_path / "crlf.conllu"
    crlf.write_bytes(SPANISH.replace("\n", "\r\n").encode())
    assert list(read_conllu(crlf)) == [["vámonos", "al", "mar"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the cat sat\n", "line 1 is not CoNLL-U: it has 1 columns; expected 10"),
        ("# a\n1\tthe\n", "line 2 is not CoNLL-U: it has 2 columns"),
        (row("x", "the"), "its ID is 'x'"), (row("0", "the"), "its ID is '0'"), (row("1", " "), "FORM"),
        (row("²", "the"), "its ID is"), (row("9" * 5000, "the"), "its ID is"),
        (sentence("the", "cat").strip() + "\n" + sentence("here"), "line 3.*ID 1 follows word 2.*blank line"),
        (row("2", "cat"), "ID 2 follows word 0"), (row("1-0", "cat"), "its ID is '1-0'"),
        (row("2-3", "cat"), "follows word 0"),
        ("\n".join([row("1-2", "a"), row("1", "b"), row("2-3", "c")]), "line 3"),
    ],
)  # fmt: skip
def test_what_is_no_treebank_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        list(read_conllu(file_of(tmp_path, text)))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.conllu").write_bytes(b"1\t\xff\n")
    for path in (tmp_path / "bytes.conllu", tmp_path / "none.conllu", tmp_path):
        with pytest.raises(InvalidInput, match="can't be read"):
            list(read_conllu(path))


def test_sentences_are_inputs(reader: normlens.Lens, tmp_path: Path) -> None:
    path = file_of(tmp_path, sentence("un", "happiness") + sentence("the", "cat,", "here"))
    sentences = [
        one.words()["encoder"].source_token.values.tolist() for one in reader.analyze(read_conllu(path), progress=False)
    ]
    assert [words[1:-1] for words in sentences] == [["un", "happiness [UNK]"], ["the", "cat,", "here"]]


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny.build("bert").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_commands_read_a_sentence_as_its_words(model: Path, tmp_path: Path) -> None:
    one = file_of(tmp_path, sentence("the", "cat,", "here"))
    for command, *further in (["analyze", "--words"], ["attribute"], ["attribute", "--position", 1], ["compare"]):
        result = run(command, model, "--file", one, *further, "--json")
        assert result.exit_code == 0, result.stderr
        whole = json.dumps(json.loads(result.stdout), ensure_ascii=False)
        assert '"cat,"' in whole and '","' not in whole.replace('"cat,"', ""), command
    many = file_of(tmp_path, sentence("the", "cat") * 2, "many.conllu")
    pair = ("attribute", model, "--file", one, "--text-pair", "the dog")
    for arguments, message in (
        (("analyze", model, "--file", many), "holds several sentences; expected exactly one"),
        (("analyze", model, "--file", file_of(tmp_path, "", "empty.conllu")), "holds no sentence"),
        (("attribute", model, "--file", file_of(tmp_path, "the cat", "no.conllu")), "line 1 is not CoNLL-U"),
        (pair, "--text-pair takes a text"),
        (("align", many, many), "is a treebank"),
    ):
        refused = run(*arguments)
        assert refused.exit_code == 2 and message in " ".join(refused.stderr.split()), refused.stderr


def test_a_report_reads_a_treebank(model: Path, tmp_path: Path) -> None:
    bank = file_of(tmp_path, sentence("the", "cat,", "here") + sentence("un", "dog") * 3)
    result = run("report", model, bank, "-o", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["texts"] == 4
    broken = file_of(tmp_path, sentence("the", "cat") + sentence(*["the"] * 1000), "broken.conllu")
    refused = run("report", model, broken, "-o", tmp_path / "other")
    assert refused.exit_code == 2 and "line 4: The input has 1002 tokens" in " ".join(refused.stderr.split())


def test_parallel_files_are_no_treebanks(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a treebank; expected one sentence per line"):
        ParallelFiles(file_of(tmp_path, SPANISH), file_of(tmp_path, "x", "y.txt"))
