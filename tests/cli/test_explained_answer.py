"""``normlens attribute`` for whole answers, spans and documents: the library's numbers, on the terminal and in files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import tiny
from invocation import Run
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

import normlens
from normlens.attribution import Attribution
from normlens.cli.commands.answer_options import spread

PROMPT, ANSWER = "the cat sat. the dog ran. the", " cat unhappiness here"


@pytest.fixture(scope="module")
def decoder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny GPT-2."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("writer")
    GPT2LMHeadModel._from_config(tiny.configuration("gpt2")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_json_holds_the_librarys_numbers(decoder: Path, run: Run) -> None:
    answer = json.loads(run("attribute", decoder, PROMPT, "--answer", ANSWER, "--json").stdout)
    expected = normlens.load(decoder).attribute(PROMPT, answer=ANSWER).words()
    assert [step["token"] for step in answer["steps"]] == ["cat", "unhappiness", "here"]
    assert np.allclose([step["shares"] for step in answer["steps"]], expected.values, atol=1e-6)
    assert np.allclose([step["probability"] for step in answer["steps"]], expected["target_probability"], atol=1e-6)
    assert np.allclose([source["share"] for source in answer["sources"]], expected.sum("target"), atol=1e-5)
    sums = sum(source["share"] for source in answer["sources"]) + answer["bias_share"] + answer["remainder"]
    assert sums == pytest.approx(answer["value"], abs=1e-4)


def test_the_terminal_shows_every_word_with_its_probability(decoder: Path, run: Run) -> None:
    shown = run("attribute", decoder, PROMPT, "--answer", ANSWER)
    assert shown.exit_code == 0
    for word in ("cat", "unhappiness", "here", "probability", "entropy", "The shares add up"):
        assert word in shown.stdout
    generated = run("attribute", decoder, PROMPT, "--generate", "2", "--step-score", "logit")
    assert generated.exit_code == 0 and "logit of" in generated.stdout


def test_documents_are_the_sources_of_an_answer(decoder: Path, run: Run, tmp_path: Path) -> None:
    for name, text in (("a.txt", "the cat sat."), ("b.txt", "the dog ran. a dog is here.")):
        (tmp_path / name).write_text(text)
    options = ("--question", "is the cat here", "--answer", "here", "--json")
    answer = json.loads(run("attribute", decoder, "--context", "a.txt", "b.txt", *options).stdout)
    assert [source["token"] for source in answer["sources"]][:2] == ["the cat sat.", "the dog ran. a dog is here."]
    assert answer["steps"] is None
    by_sentence = json.loads(run("attribute", decoder, "--context", "b.txt", *options).stdout)
    assert by_sentence["sources"][0]["token"] == "the dog ran. a dog is here."  # no capital letter begins a sentence


@pytest.mark.parametrize("ending", ["png", "svg", "html", "csv", "json"])
@pytest.mark.parametrize("options", [(), ("--whole",), ("--whole", "--spans", "[^.]+[.]")])
def test_files_of_every_kind(decoder: Path, run: Run, options: tuple[str, ...], ending: str) -> None:
    result = run("attribute", decoder, PROMPT, "--answer", ANSWER, *options, "-o", f"out.{ending}")
    assert result.exit_code == 0, result.stderr
    written = Path(f"out.{ending}").read_bytes()
    assert len(written) > 200
    if ending == "csv":
        rows = list(csv.DictReader(io.StringIO(written.decode())))
        words = normlens.load(decoder).attribute(PROMPT, answer=ANSWER, whole="--whole" in options).words()
        assert len(rows) == words.size or "--spans" in options
        assert sum(float(row["share"]) for row in rows) == pytest.approx(float(words.sum()), abs=1e-4)
    if ending == "json":
        again = Attribution.from_json(f"out.{ending}")
        spans = {"spans": options[-1]} if "--spans" in options else {}
        expected = normlens.load(decoder).attribute(PROMPT, answer=ANSWER, whole="--whole" in options, **spans)
        assert again.words().dims == expected.words().dims
        np.testing.assert_allclose(again.values, expected.values, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("text", "--context", "a.txt", "--question", "who"), "Got a text"),
        ((PROMPT, "--answer", " "), "The answer is empty"),
        ((PROMPT, "--answer", " here", "--spans", "("), "is no regular expression"),
        (("--context", "missing.txt", "--question", "who"), "missing.txt"),
        ((PROMPT, "--answer", " cat " * 600), "takes at most"),
    ],
)
def test_what_cant_be_explained_is_refused(decoder: Path, run: Run, arguments: tuple[str, ...], message: str) -> None:
    Path("a.txt").write_text("the cat sat.")
    result = run("attribute", decoder, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_an_encoder_writes_no_answers(bert: Path, run: Run) -> None:
    result = run("attribute", bert, PROMPT, "--generate", "3")
    assert (result.exit_code, result.stdout) == (2, "") and "writes no answers" in result.stderr


def test_several_files_follow_one_option() -> None:
    assert spread(["m", "--context", "a", "b", "-o", "x", "c"]) == [
        "m",
        "--context",
        "a",
        "--context",
        "b",
        "-o",
        "x",
        "c",
    ]


def test_methods_are_listed_with_their_options(run: Run) -> None:
    shown = run("methods")
    assert shown.exit_code == 0
    for method in normlens.methods()["name"]:
        assert f"\n{method}  " in f"\n{shown.stdout}"
    assert "ablations=32" in shown.stdout
    listed = json.loads(run("methods", "--json").stdout)
    assert [one["name"] for one in listed] == normlens.methods()["name"].tolist()
