"""``normlens negation``: the numbers of the library, in every format, and what is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from architectures import tiny
from invocation import Run
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

import normlens
from normlens.negation import cue_reach

TEXT = "the cat is not here, no dog ran."


@pytest.fixture(scope="module")
def llama(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny decoder."""
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(tiny.configuration("llama")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_words_and_shares_are_those_of_the_library(bert: Path, run: Run) -> None:
    result = run("negation", bert, "--text", TEXT, "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert [(cue["cue"], cue["start"]) for cue in answer["cues"]] == [("not", 11), ("no", 21)]
    reach = cue_reach(normlens.load(bert), TEXT)[0]
    words = {row["word"]: row for row in answer["cues"][0]["words"]}
    assert list(words) == ["the", "cat", "is", "here", ",", "no", "dog", "ran", "."]
    shares = reach["summed_norm_share"].sel(direction="from_cue").values[:, words["dog"]["number"]]
    assert words["dog"]["shares"]["norm"] == pytest.approx(shares.tolist())
    assert words["dog"]["norm"] == {"share": pytest.approx(shares.max()), "layer": int(np.argmax(shares))}


def test_the_terminal_shows_each_word_once(bert: Path, run: Run) -> None:
    result = run("negation", bert, "--text", TEXT, "--cue", "no")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    rows = [
        line.split()[0] for line in lines[lines.index(next(x for x in lines if x.startswith("word "))) + 1 :] if line
    ]
    assert rows[:-1] == ["the", "cat", "is", "not", "here", ",", "dog", "ran", "."]
    assert "Reached most: by weight" in lines[-1]


def test_in_a_decoder_words_before_the_cue_have_a_dash(llama: Path, run: Run) -> None:
    result = run("negation", llama, "--text", TEXT, "--cue", "not")
    assert "nothing reaches the words before the cue" in result.stdout
    answer = json.loads(run("negation", llama, "--text", TEXT, "--cue", "not", "--json").stdout)
    [cue] = answer["cues"]
    assert [row["word"] for row in cue["words"] if row["weight"] is None] == ["the", "cat", "is"]


def test_a_file_is_read_line_by_line_and_drawn(bert: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text(f"{TEXT}\n\nthe cat ran.\nno cat\n")
    result = run("negation", bert, "lines.txt", "--skip-bad", "-o", "scopes.svg")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "line 3 skipped: There is no cue" in result.stderr and "Wrote scopes.svg" in result.stderr
    drawn = (tmp_path / "scopes.svg").read_text()
    assert drawn.count("share of “no”") == 4 and drawn.count("share of “not”") == 2
    assert run("negation", bert, "lines.txt", "--limit", 1, "-o", "scopes.json").exit_code == 0
    assert len(json.loads((tmp_path / "scopes.json").read_text())["cues"]) == 2


def test_words_of_a_treebank_stay_whole(bert: Path, run: Run, tmp_path: Path) -> None:
    rows = [f"{k}\t{word}" + "\t_" * 8 for k, word in enumerate(["the", "unhappiness", "not"], start=1)]
    (tmp_path / "bank.conllu").write_text("\n".join(rows) + "\n\n")
    [cue] = json.loads(run("negation", bert, "bank.conllu", "--json").stdout)["cues"]
    assert [row["word"] for row in cue["words"]] == ["the", "unhappiness"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Got neither FILE nor --text"),
        (["lines.txt", "--text", "not"], "Got both FILE and --text"),
        (["lines.txt"], "lines.txt, line 2: There is no cue of negation in 'the cat ran.'"),
        (["lines.txt", "--cue", "never"], "lines.txt, line 1: The cue 'never' is not in 'not here'"),
        (["--text", "the cat"], "There is no cue of negation in 'the cat'"),
        (["--text", " "], "--text holds no text"),
        (["--text", "not", "--cue", " "], "The cue is empty"),
        (["--text", "not so", "--cue", "nit"], "The cue 'nit' is not in 'not so'"),
        (["the cat is not here"], "To pass a sentence, use --text"),
        (["missing.txt"], "missing.txt"),
        (["--text", "not", "-o", "scopes.csv"], "expected one of .png, .svg, .pdf, .json"),
        (["--text", "not", "-o", "lines.txt"], "the suffix .txt"),
        (["--text", "not", "-o", "there.svg"], "exists already"),
        (["cats.txt", "--skip-bad"], "cats.txt holds no sentence with a cue"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_loaded(
    arguments: list[str], message: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "lines.txt").write_text("not here\nthe cat ran.\n")
    (tmp_path / "cats.txt").write_text("the cat\n")
    (tmp_path / "there.svg").write_text("")
    result = run("negation", "m", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        message in result.stderr.replace("\n", " ")
        and "Loading" not in result.stderr
        and "Traceback" not in result.stderr
    )


def test_what_a_model_cannot_read_is_refused(marian: Path, bert: Path, run: Run, tmp_path: Path) -> None:
    result = run("negation", marian, "--text", "not here")
    assert result.exit_code == 2 and "expected an encoder or a decoder" in result.stderr
    (tmp_path / "long.txt").write_text("no cat\nno " + "cat " * 600 + "\n")
    result = run("negation", bert, "long.txt")
    assert result.exit_code == 2 and "long.txt, line 2: " in result.stderr
    (tmp_path / "many.txt").write_text("no cat\n" * 13)
    result = run("negation", bert, "many.txt", "-o", "many.png")
    assert result.exit_code == 2 and "There are 13 cues to draw" in result.stderr
