"""The evidence table on a tiny model, end to end; ranks, chance and means over frames against numbers worked out by hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

import normlens
from normlens.attribution.registry import registered
from normlens.faithfulness import words_of
from normlens.inputs.tokenization import encode_text
from reproduce.evidence import page as evidence_page
from reproduce.evidence import table as evidence_table
from reproduce.evidence.candidates import CANDIDATES
from reproduce.evidence.page import cells, chance, over_frames, prompt_values
from reproduce.evidence.prompts import KINDS, Prompt, prompts
from reproduce.evidence.table import difference, rank, read, without_each_word, word_scores

ANSWERS = ("is", "ran")
CARRIERS = ("the {} sat here", "a {} sat", "the {} here is here", "a {} is unhappiness.", "here the {} sat")


@pytest.fixture(scope="module")
def decoder(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A tiny Llama with its head."""
    torch.manual_seed(0)
    return normlens.load((LlamaForCausalLM(tiny.configuration("llama")), tokenizer))


def logits_behind(lens: normlens.Lens, text: str) -> np.ndarray:
    """Logits of the two answers, from the model itself."""
    tokenizer: Any = lens.tokenizer
    with torch.no_grad():
        logits = lens.model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits[0, -1]
    return logits[tokenizer.convert_tokens_to_ids(list(ANSWERS))].double().numpy()


@pytest.fixture(scope="module")
def asked(decoder: normlens.Lens) -> list[Prompt]:
    """Frames whose answers are what the model says, and in every kind one in which both prompts are to have the same."""
    questions = []
    for kind in KINDS:
        for frame, carrier in enumerate(CARRIERS):
            for noun in ("cat", "dog"):
                text = carrier.format(noun)
                right, foil = (ANSWERS[k] for k in np.argsort(-logits_behind(decoder, text)))
                wrong = frame == 2 and noun == "dog"
                questions.append(Prompt(kind, frame, text, *((foil, right) if wrong else (right, foil)), noun))
    return questions


def test_the_rank_of_the_evidence_counts_the_words_above_it_and_shares_ties() -> None:
    scores = np.array([9.0, -1.0, 3.0, 3.0])
    assert rank(scores, 2, first=True) == 2.5
    assert rank(scores, 2, first=False) == 1.5
    assert rank(scores, 1, first=True) == 4
    assert rank(scores, 1, first=False) == 3


def test_chance_is_the_mean_over_all_places() -> None:
    assert chance(3) == pytest.approx(((1 + 1 / 2 + 1 / 3) / 3, 1 / 3))


def test_words_get_the_last_row_of_a_map_and_the_sum_of_components(tokenizer: PreTrainedTokenizerFast) -> None:
    units = words_of(encode_text(tokenizer, "the unhappiness."))  # [CLS] the un ##happi ##ness . [SEP]
    row = np.array([100, 1, 2, 3, 4, 5, 1000.0])
    assert word_scores(xr.DataArray(row, dims="source"), units).tolist() == [1, 9, 5]
    assert word_scores(xr.DataArray([row * 0, row], dims=("target", "source")), units).tolist() == [1, 9, 5]
    assert word_scores(xr.DataArray([row, row], dims=("component", "source")), units).tolist() == [2, 18, 10]


def test_means_are_taken_over_frames() -> None:
    places = [("capital", 1), ("capital", 1), ("capital", 3), ("agreement", 1)]
    test = {
        "prompts": [{"kind": kind, "frame": frame, "words": 2, "place": 1} for kind, frame in places],
        "ranks": {"x": {"all": [1.0, 2.0, 4.0, 1.0], "rest": [1.0, 1.0, 2.0, 1.0]}},
    }
    values = prompt_values(test, "x", "all")
    assert values.tolist() == [[1, 1], [0.5, 0], [0.25, 0], [1, 1]]
    assert over_frames(test, values, "capital").tolist() == [[0.75, 0.5], [0.25, 0]]
    (mrr, low, high), (top, *_) = cells(test, "x", "all")
    assert (mrr, top) == pytest.approx((2 / 3, 0.5))
    assert 0.25 <= low < mrr < high <= 1
    assert prompt_values(test, evidence_page.CHANCE, "rest").tolist() == [[1, 1]] * 4


def test_every_prompt_holds_its_evidence_once_inside_and_every_pair_swaps_its_answers() -> None:
    all_prompts = prompts()
    assert Counter(prompt.kind for prompt in all_prompts) == dict.fromkeys(KINDS, 40)
    for prompt in all_prompts:
        words = re.findall(r"\w+", prompt.text)
        assert words.count(prompt.evidence) == 1
        assert prompt.evidence not in (words[0], words[-1]) or prompt.text.endswith(",")
        assert prompt.right.strip() not in words and prompt.right.startswith(" ")
    for one, other in zip(all_prompts[::2], all_prompts[1::2], strict=True):
        assert (one.kind, one.frame) == (other.kind, other.frame)
        assert (one.right, one.foil) == (other.foil, other.right)
        assert one.evidence != other.evidence
    pairs = Counter(prompt.evidence for prompt in all_prompts if prompt.kind != "agreement")
    assert max(pairs.values()) == 1


def test_every_registered_method_is_asked() -> None:
    run_again = {
        "occlusion",
        "shapley",
        "contextcite",
    }  # leave-one-out itself, and two that approximate what it measures
    assert {candidate.method for candidate in CANDIDATES} == set(registered()) - run_again


def test_leave_one_out_is_what_the_shorter_text_says(decoder: normlens.Lens) -> None:
    one = read(decoder, Prompt("capital", 0, "the cat sat", *ANSWERS, "cat"))
    ids = {
        word: decoder.tokenizer.convert_tokens_to_ids(word)
        for word in ("[CLS]", "the", "cat", "sat", "[SEP]", *ANSWERS)
    }

    def of(*words: str) -> float:
        with torch.no_grad():
            logits = decoder.model(input_ids=torch.tensor([[ids[word] for word in words]])).logits[0, -1]
        return float(logits[ids["is"]] - logits[ids["ran"]])

    whole = of("[CLS]", "the", "cat", "sat", "[SEP]")
    expected = [whole - of("[CLS]", *pair, "[SEP]") for pair in (("cat", "sat"), ("the", "sat"), ("the", "cat"))]
    assert difference(decoder, one) == pytest.approx(whole, abs=1e-5)
    np.testing.assert_allclose(without_each_word(decoder, one), expected, atol=1e-5)
    assert (one.place, len(one.units)) == (1, 3)


def test_choices_and_ranks_of_a_tiny_model_make_a_page(
    decoder: normlens.Lens, asked: list[Prompt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_table, "prompts", lambda: asked)
    monkeypatch.setattr(evidence_table.normlens, "load", lambda name: decoder)
    options = ["--output", str(tmp_path)]
    assert evidence_table.main([*options, "--parts", "test"]) == 2
    assert evidence_table.main(options) == 0
    kept = json.loads((tmp_path / "evidence" / "result.json").read_text(encoding="utf-8"))
    choose, test = kept["choose"], kept["test"]
    best = max((c for c in choose["candidates"] if c["row"] == "integrated gradients"), key=lambda c: c["mrr"])
    assert choose["chosen"]["integrated gradients"] == f"integrated gradients ({best['choice']})"
    assert test["counts"]["asked"] == dict.fromkeys(KINDS, 10)
    assert test["counts"]["right"] == dict.fromkeys(KINDS, 9)
    assert test["counts"]["pairs"] == dict.fromkeys(KINDS, 8)
    tested = [prompt for prompt in asked if prompt.frame in (1, 3)]  # 0 and 4 are dev, 2 has a wrong answer
    assert [prompt["text"] for prompt in test["prompts"]] == [prompt.text for prompt in tested]
    assert "ALTI+" in test["refused"] and "DecompX" in test["ranks"]

    shares = decoder.attribute(tested[2].text, target=(tested[2].right, tested[2].foil))
    words = shares.groupby("source_word").sum().sel(source_word=range(5)).values
    assert test["ranks"]["DecompX"]["all"][2] == 1 + sum(words > words[1])
    assert test["by_magnitude"]["DecompX"]["all"][2] == 1 + sum(abs(words) > abs(words[1]))
    assert test["ranks"]["nearest word"]["all"][:3] == [2, 2, 4]  # "a cat sat", "a cat is unhappiness."
    assert test["ranks"]["longest word"]["all"][:3] == [1.5, 1.5, 2]  # "cat" and "sat" tie
    assert test["ranks"]["first word"] == {"all": [2.0] * 12, "rest": [1.0] * 12}

    page = (tmp_path / "evidence" / "page.md").read_text(encoding="utf-8")
    assert "| capitals | 10 | 9 | 8 | 4 |" in page
    assert "| *first word* | 0.50 (0.50 to 0.50) | 0.00 (0.00 to 0.00) | 1.00 (1.00 to 1.00) |" in page
    assert "* ALTI+: " in page
    assert (tmp_path / "evidence" / "ranks.svg").exists()
