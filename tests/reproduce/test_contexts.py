"""The study of contexts on a tiny model, end to end; gold sentences and measures against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

import normlens
from reproduce.contexts import page as contexts_page
from reproduce.contexts import table as contexts_table
from reproduce.contexts.page import agreement, fall, found
from reproduce.contexts.sentence_scores import RUN_AGAIN, measured, shared_words
from reproduce.contexts.xquad_questions import questions

CONTEXT = "The cat sat here. A dog ran. The cat is here."


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two paragraphs, one of them with two sentences only; three questions about the other."""

    def asked(name: str, answer: str, text: str = CONTEXT) -> dict[str, Any]:
        start = text.index(answer)
        return {"id": name, "question": "Who ran here", "answers": [{"text": answer, "answer_start": start}]}

    long = {"context": CONTEXT, "qas": [asked("a", "dog"), asked("b", "here. A"), asked("c", "is")]}
    other = {"context": " " + CONTEXT, "qas": [asked("d", "cat", " " + CONTEXT)]}
    short = {"context": "The cat. A dog.", "qas": [asked("e", "dog", "The cat. A dog.")]}
    (tmp_path / "xquad").mkdir()
    file = tmp_path / "xquad" / "xquad.en.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [long, short]}, {"paragraphs": [other]}]}))
    return tmp_path


@pytest.fixture(scope="module")
def decoder(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A tiny Llama with its head."""
    torch.manual_seed(0)
    return normlens.load((LlamaForCausalLM(tiny.configuration("llama")).eval(), tokenizer))


def test_gold_sentences_and_the_order_of_questions(data: Path) -> None:
    several = questions(data, 10)
    assert [(one.name, one.gold, one.sentences) for one in several] == [("a", 1, 3), ("d", 0, 3), ("c", 2, 3)]
    assert [one.name for one in questions(data, 2)] == ["a", "d"]
    assert np.allclose(shared_words(several[0]), [1 / 3, 1 / 3, 1 / 3])


def test_measures_by_hand() -> None:
    one = {"gold": 1, "sentences": 3, "scores": {"occlusion": [0.0, 3.0, 1.0], "m": [2.0, 2.0, 1.0], "same": [1.0] * 3}}
    assert found(one, "m") == 0.5 and found(one, "occlusion") == 1.0
    assert fall(one, "m") == 1.5 and fall(one, "occlusion") == 3.0
    assert agreement(one, "occlusion") == pytest.approx(1.0)
    assert math.isnan(agreement(one, "same"))


def test_every_method_scores_every_sentence(decoder: normlens.Lens, data: Path) -> None:
    one = questions(data, 1)[0]
    result = measured(decoder, one, ablations=4)
    assert all(len(values) == 3 and np.isfinite(values).all() for values in result["scores"].values())
    assert set(contexts_page.METHODS) == set(result["scores"])
    direct = decoder.attribute(one.prompt, answer=one.answer, whole=True, spans="sentences", method="occlusion")
    assert np.allclose(result["scores"]["occlusion"], direct.values[:3], atol=1e-5)
    split = decoder.attribute(one.prompt, answer=one.answer, whole=True, spans="sentences")
    assert np.allclose(result["scores"]["decompx"], split.values[:3], atol=1e-5)
    assert set(RUN_AGAIN) <= set(result["seconds"]) and result["runs"]["occlusion"] == 4
    assert 0 < sum(result["scores"]["mean_weight"]) <= 1


def test_the_study_resumes_and_draws_its_page(
    decoder: normlens.Lens,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(normlens, "load", lambda name: decoder)
    options = ["--data", str(data), "--output", str(tmp_path / "out"), "--ablations", "4"]
    assert contexts_table.main([*options, "--questions", "1"]) == 0
    path = tmp_path / "out" / "contexts" / "result.json"
    first = json.loads(path.read_text())
    assert contexts_table.main([*options, "--questions", "2"]) == 0
    again = json.loads(path.read_text())
    assert len(again) == 2 and all(again[name] == part for name, part in first.items())
    page = (tmp_path / "out" / "contexts" / "page.md").read_text()
    assert "2 questions of XQuAD" in page and "ContextCite" in page and (path.parent / "gold.svg").exists()
    assert contexts_table.main(["--redraw", "--output", str(tmp_path / "out")]) == 0
    assert "ContextCite" in capsys.readouterr().out
