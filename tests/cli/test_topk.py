"""``normlens topk``: numbers beside those of the library, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from invocation import Run

import normlens
from normlens.topk.needs import count_sources


def test_a_decoder_is_judged_by_its_perplexity(decoder: Path, page: Path, run: Run) -> None:
    chosen = ["-k", "2,16", "--by", "norm", "--full-denominator", "--tokens", 16, "--passages", 1, "--json"]
    result = run("topk", decoder, page, *chosen)
    assert result.exit_code == 0
    assert "Reading 1 text\n" in result.stderr
    answer = json.loads(result.stdout)
    assert (answer["passages"], answer["passages_in_text"], answer["tokens"]) == (1, 2, 16)
    lens = normlens.load(decoder)
    inside = lens.tokenizer(page.read_text(), add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[lens.tokenizer.cls_token_id, *inside[:14], lens.tokenizer.sep_token_id]])
    with torch.no_grad():
        dense = float(lens.model(input_ids=ids, labels=ids).loss)
        with normlens.topk.use(lens, k=2, measure="norm", renormalize=False):
            kept = float(lens.model(input_ids=ids, labels=ids).loss)
    assert answer["dense"]["perplexity"] == pytest.approx(math.exp(dense), rel=1e-5)
    two, all_of_them = answer["kept"]
    assert (two["k"], two["perplexity"]) == (2, pytest.approx(math.exp(kept), rel=1e-5))
    assert all_of_them["perplexity"] == pytest.approx(math.exp(dense), rel=1e-5)
    assert all_of_them["agreement"] == 1
    counts = count_sources(lens, {"input_ids": ids}, targets=range(8, 16))
    for row, (path, needed) in zip(answer["needed"], counts.items(), strict=True):
        assert row["module"] == path
        assert row["weight"]["median"] == float(np.median(needed["weight"]))
        heads = np.median(needed["norm"][0], axis=1)
        assert (row["norm"]["neediest"], row["norm"]["head"]) == (heads.max(), heads.argmax())


def test_an_encoder_is_judged_by_its_embeddings(bert: Path, page: Path, run: Run) -> None:
    result = run("topk", bert, page, "-k", "1,9", "--tokens", 9, "--json")
    answer = json.loads(result.stdout)
    assert answer["dense"] == {}
    one, whole = answer["kept"]
    assert one["lowest_cosine"] <= one["cosine"] < 0.9999
    assert whole["cosine"] == pytest.approx(1)
    assert all(1 <= row[name]["median"] <= 9 for row in answer["needed"] for name in ("weight", "norm"))


def test_sources_are_chosen_jointly(decoder: Path, page: Path, run: Run) -> None:
    options = ["-k", "3", "--tokens", 16, "--passages", 1]
    result = run("topk", decoder, page, *options, "--by", "joint")
    assert "sources chosen jointly, weights renormalized." in result.stdout
    lens = normlens.load(str(decoder))
    inside = lens.tokenizer(page.read_text(), add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[lens.tokenizer.cls_token_id, *inside[:14], lens.tokenizer.sep_token_id]])
    with torch.no_grad(), normlens.topk.use(lens, k=3, measure="joint"):
        loss = float(lens.model(input_ids=ids, labels=ids).loss)
    answer = json.loads(run("topk", decoder, page, *options, "--by", "joint", "--json").stdout)
    assert answer["kept"][0]["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)


def test_a_person_sees_two_tables(decoder: Path, page: Path, run: Run) -> None:
    result = run("topk", decoder, page, "-k", "16", "--tokens", 16)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "page.txt: 2 of 2 passages of 16 tokens; sources kept by weight, weights renormalized." in lines[0]
    dense, kept = (line.split() for line in lines[3:5])
    assert (dense[0], kept[0], kept[1]) == ("dense", "16", dense[1])
    assert kept[2:] in (["+0.0", "%", "100", "%"], ["-0.0", "%", "100", "%"])
    assert "relative error of a head's output below 10 %" in result.stdout
    assert "layers.0.self_attn" in result.stdout


def test_a_hyphen_is_standard_input(decoder: Path, page: Path, run: Run) -> None:
    options = ("-k", "2", "--tokens", 16)
    piped = run("topk", decoder, "-", *options, stdin=page.read_text())
    assert piped.stdout == run("topk", decoder, page, *options).stdout.replace("page.txt", "standard input")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-k", "0"], "expected positive integers"),
        (["-k", "4,x"], "k is '4,x'"),
        (["-k", "2.5"], "k is '2.5'"),
        (["--by", "chance"], "chance"),
        (["--tokens", "1"], "at least 2 tokens"),
        (["--within", "0"], "--within is 0.0"),
        (["--within", "nan"], "--within is nan"),
    ],
)
def test_bad_options_are_refused_before_the_model_is_loaded(
    arguments: list[str], message: str, page: Path, run: Run
) -> None:
    result = run("topk", "nobody/such-model", page, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert "Loading" not in result.stderr


def test_what_a_model_cannot_read_is_refused(bert: Path, marian: Path, run: Run, page: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    for model, arguments, message in (
        (bert, ["missing.txt"], "missing.txt can't be read"),
        (bert, ["empty.txt"], "empty.txt holds no text"),
        (bert, [page, "--tokens", 100], "at most 64, the number of positions"),
        (marian, [page], "neither a text encoder nor a text decoder"),
    ):
        result = run("topk", model, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in " ".join(result.stderr.split())
