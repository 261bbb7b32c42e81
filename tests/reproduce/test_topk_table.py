"""The top-k script run for real on tiny models, and ListOps trained for a moment."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import tiny
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from reproduce.data import listops as listops
from reproduce.topk import compared as topk_compared
from reproduce.topk import page as topk_page
from reproduce.topk import quality as topk_quality
from reproduce.topk import table as topk_table
from reproduce.topk.quality import Setting
from reproduce.training import listops as train_listops

TEXT = "the cat sat here. a dog ran here, the dog is here. the cat is a cat, a dog is a dog. the cat ran."


@pytest.fixture(scope="module")
def models(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a tiny decoder with a head, and of a tiny encoder, named as seen from where they lie."""
    above = tmp_path_factory.mktemp("models")
    folders = {name: above / name for name in ("decoder", "encoder")}
    torch.manual_seed(0)
    LlamaForCausalLM(tiny.configuration("llama")).save_pretrained(folders["decoder"])
    tiny.build("bert").save_pretrained(folders["encoder"])
    for folder in folders.values():
        tokenizer.save_pretrained(folder)
    return above


@pytest.fixture
def options(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(models)
    monkeypatch.setattr(topk_table, "DECODER", "decoder")
    monkeypatch.setattr(topk_table, "ENCODER", "encoder")
    (tmp_path / "text.txt").write_text(TEXT)
    sizes = ["--tokens", "12", "--passages", "2", "--encoder-tokens", "9", "--encoder-passages", "3", "--layer-k", "2"]
    return [*sizes, "--text", str(tmp_path / "text.txt"), "--output", str(tmp_path / "results")]


def _kept(tmp_path: Path) -> dict[str, Any]:
    return dict(json.loads((tmp_path / "results" / "topk" / "result.json").read_text(encoding="utf-8")))


def test_predictions_are_those_of_the_switched_model(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert topk_table.main([*options, "--parts", "predictions"]) == 0
    predictions = _kept(tmp_path)["predictions"]
    assert (predictions["passages"], predictions["tokens"], predictions["ks"]) == (2, 12, [1, 2, 4, 8, 12])
    lens = normlens.load("decoder")
    ids = topk_quality.passages_of(lens, tmp_path / "text.txt", 12, 2).ids[1:]
    with normlens.topk.use(lens, k=2, measure="norm", renormalize=False), torch.no_grad():
        loss = float(lens.model(input_ids=ids, labels=ids).loss)
    assert predictions["rows"][1]["cells"]["norm full 2"]["nll"] == pytest.approx(loss, abs=2e-6)
    for row in predictions["rows"]:
        assert row["cells"]["weight renormalized 12"]["nll"] == pytest.approx(row["dense"]["nll"], abs=1e-5)
    page = (tmp_path / "results" / "topk" / "page.md").read_text(encoding="utf-8")
    mean = sum(row["cells"]["weight renormalized 4"]["nll"] for row in predictions["rows"]) / 2
    assert f"| 4 | {math.exp(mean):.2f} |" in page
    assert "<!-- --8<-- [start:predictions] -->" in page

    monkeypatch.setattr(topk_quality, "quality_of", lambda *arguments: pytest.fail("measured again"))
    assert topk_table.main([*options, "--parts", "predictions"]) == 0
    assert _kept(tmp_path)["predictions"]["rows"] == predictions["rows"]
    assert topk_table.main([*options, "--parts", "predictions", "--passages", "1"]) == 0
    assert _kept(tmp_path)["predictions"]["rows"] == predictions["rows"][:1]


def test_long_passages_have_their_own_part(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topk_table, "LONG_KS", (2, 4, 100))
    monkeypatch.setattr(topk_table, "LONG_OTHERS", (4, 50))
    sizes = ["--long-tokens", "16", "--long-passages", "2"]
    assert topk_table.main([*options, *sizes, "--parts", "long predictions"]) == 0
    predictions = _kept(tmp_path)["long predictions"]
    assert (predictions["passages"], predictions["tokens"], predictions["ks"]) == (2, 16, [2, 4])
    cells = [row["cells"] for row in predictions["rows"]]
    assert {name for name in cells[0] if "random" in name} == {"random renormalized 4", "random full 4"}
    first, second = (cell["norm full 2"]["nll"] - cell["weight full 2"]["nll"] for cell in cells)
    page = (tmp_path / "results" / "topk" / "page.md").read_text(encoding="utf-8")
    assert f"| both with full denominator | {first:+.3f} and {second:+.3f} |" in page
    assert (tmp_path / "results" / "topk" / "long_predictions.svg").exists()


def test_encoders_layers_and_counts_are_kept_and_drawn(options: list[str], tmp_path: Path) -> None:
    name = "encoder"
    assert topk_table.main([*options, "--parts", "embeddings", f"layers of {name}", f"needed {name}"]) == 0
    kept = _kept(tmp_path)
    embeddings, layers, needed = (kept[key] for key in ("embeddings", f"layers of {name}", f"needed {name}"))
    assert all(row["cells"]["norm full 9"]["cosine"] == pytest.approx(1) for row in embeddings["rows"])
    cell = layers["rows"][0]["cells"]["weight renormalized 2 layer 0"]["cosine"]
    assert embeddings["rows"][0]["cells"]["weight renormalized 2"]["cosine"] < cell < 1
    medians = torch.tensor(needed["counts"]["weight"]["median"])
    config = tiny.configuration("bert")
    assert medians.shape == (config.num_hidden_layers, config.num_attention_heads)
    assert medians.min() >= 1 and medians.max() <= 9


def test_a_part_that_is_unknown_or_lacks_its_data_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert topk_table.main([*options, "--parts", "classifier"]) == 2
    assert "no part 'classifier'" in capsys.readouterr().err
    assert topk_table.main([*options, "--parts", "predictions", "--text", str(tmp_path / "none.txt")]) == 2
    assert "can't be read" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def _predictions(weight: list[float], norm: list[float]) -> dict[str, Any]:
    rows = [
        {"cells": {"weight full 1": {"nll": w}, "norm full 1": {"nll": n}}} for w, n in zip(weight, norm, strict=True)
    ]
    return {"ks": [1, 2], "seed": 0, "rows": rows}


def test_norm_is_better_where_every_passage_says_so() -> None:
    [one] = topk_compared.of_passages(_predictions([3, 4, 5], [2, 2, 2]), "nll", ("full", "full"))
    assert (one.k, one.value) == (1, -2)
    assert -3 <= one.low < one.high <= -1
    assert (one.verdict(higher_is_better=False), one.verdict(higher_is_better=True)) == ("better", "worse")
    [lone] = topk_compared.of_passages(_predictions([3], [2]), "nll", ("full", "full"))
    assert (lone.verdict(higher_is_better=False), lone.written("+.1f")) == ("unknown", "-1.0")
    [alike] = topk_compared.of_passages(_predictions([3, 4], [4, 3]), "nll", ("full", "full"))
    assert alike.verdict(higher_is_better=False) == "alike"
    told = topk_compared.sentence("Nats", [one, alike], higher_is_better=False)
    assert told == "Nats: norm is **better** at k = 1; the interval includes zero at k = 1."


def test_one_percent_must_hold_for_every_greater_k() -> None:
    perplexity = {
        ("weight renormalized", k): p for k, p in ((1, 30.0), (2, 10.05), (4, 10.2), (64, 10.05), (128, 10.0))
    }
    reached = topk_page._one_percent("weight renormalized", [1, 2, 4, 64, 128], perplexity, 10.0)
    assert reached == {"selection": "weight, renormalized", "enough": 64, "at_64": "+0.50 %"}


def test_settings_are_measured_once_by_name() -> None:
    settings = topk_quality.grid([1, 2, 4]) + topk_quality.layer_grid(2, 3)
    assert len({setting.name for setting in settings}) == len(settings) == 2 * 2 * (3 + 2) + 3 * 4
    assert topk_quality.powers_of_two(12) == [1, 2, 4, 8, 12]
    assert Setting("norm", "full", 4, 2).name == "norm full 4 layer 2"


def _listops(folder: Path) -> Path:
    """Expressions that anybody can answer: the largest of two numbers."""
    (folder / "listops").mkdir(exist_ok=True)
    lines = [f"( ( ( [MAX {a} ) {b} ) ] )\t{max(a, b)}" for a in range(10) for b in range(10)]
    for split in ("train", "val"):
        (folder / "listops" / f"listops_short_{split}.tsv").write_text("\n".join(["Source\tTarget", *lines]) + "\n")
    return folder


def test_expressions_are_read_without_parentheses(tmp_path: Path) -> None:
    example = listops.read_listops(_listops(tmp_path), "short", "val")[37]
    assert [listops.WORDS[number] for number in example.ids] == ["[CLS]", "[MAX", "3", "7", "]"]
    assert example.label == 7


def test_the_outermost_operator_alone_is_right_where_its_usual_value_is(tmp_path: Path) -> None:
    minimum, maximum = (listops.encoded(f"( ( ( [{word} 1 ) 2 ) ] )", "0").ids for word in ("MIN", "MAX"))
    training = [listops.Example(minimum, label) for label in (0, 0, 1)] + [listops.Example(maximum, 9)]
    validation = [listops.Example(minimum, label) for label in (0, 1)] + [listops.Example(maximum, 9)] * 2
    assert listops.by_first_word(training, validation) == 0.75


def test_trainings_are_shown_beside_what_needs_no_solving(options: list[str], tmp_path: Path) -> None:
    data = _listops(tmp_path)
    settings = listops.Settings(epochs=1, batch_tokens=200, width=8, layers=1, heads=2)
    for k in (None, 2):
        train_listops.train(replace(settings, k=k), data, tmp_path / "trainings" / str(k))
    choices = ["--listops", str(tmp_path / "trainings"), "--data", str(data), "--parts", "listops"]
    assert topk_table.main([*options, *choices]) == 0
    assert _kept(tmp_path)["listops"]["by_first_word"] == {"short": 0.19}
    page = (tmp_path / "results" / "topk" / "page.md").read_text(encoding="utf-8")
    assert "Short: 19.0 % by always answering the most frequent value, 19.0 % by reading the outermost" in page
    for how in ("dense", "k = 2 by weight"):
        assert f"| short, 100 texts, epochs: 1, layers: 1, {how} |" in page
    assert (tmp_path / "results" / "topk" / "listops.svg").exists()


def test_every_expression_inside_another_is_an_example_of_its_own() -> None:
    whole = listops.encoded("( [SM 9 ( [MED 1 2 ( [MAX 3 8 ] ) 4 ] ) ( [MAX 3 8 ] ) 6 ] )", "6")
    labels = {
        " ".join(listops.WORDS[number] for number in example.ids): example.label
        for example in listops.with_subexpressions([whole])
    }
    assert labels == {
        "[CLS] [MAX 3 8 ]": 8,
        "[CLS] [MED 1 2 [MAX 3 8 ] 4 ]": 3,
        "[CLS] [SM 9 [MED 1 2 [MAX 3 8 ] 4 ] [MAX 3 8 ] 6 ]": 6,
    }
    with pytest.raises(InvalidInput, match="value 5 in the data; its operators give 6"):
        listops.with_subexpressions([replace(whole, label=5)])


def test_batches_hold_every_example_once_within_their_size() -> None:
    examples = [listops.Example(tuple(range(1, 2 + n % 7)), n % 10) for n in range(30)]
    for shuffle in (False, True):
        drawn = list(listops.batches(examples, 20, shuffle=shuffle))
        assert sorted(label for batch in drawn for label in batch.labels.tolist()) == sorted(n % 10 for n in range(30))
        assert all(batch.ids.numel() <= 20 and torch.equal(batch.mask, batch.ids != 0) for batch in drawn)


@pytest.mark.parametrize("k", [None, 2])
def test_a_training_goes_on_where_it_stopped(k: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _listops(tmp_path)
    settings = listops.Settings(
        k=k, by="norm", epochs=6, batch_tokens=100, width=16, layers=1, heads=2, learning_rate=0.02
    )
    whole = train_listops.train(settings, data, tmp_path / "whole")
    assert whole["loss"][-1] < whole["loss"][0] - 0.1
    assert whole["most_frequent"] == 0.19  # 19 of the 100 pairs hold a nine
    epoch = train_listops._epoch

    def interrupted(*arguments: Any) -> float:
        if arguments[-1] == 2:
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr(train_listops, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_listops.train(settings, data, tmp_path / "halves")
    monkeypatch.setattr(train_listops, "_epoch", epoch)
    halves = train_listops.train(settings, data, tmp_path / "halves")
    assert (halves["curve"], halves["loss"]) == (whole["curve"], pytest.approx(whole["loss"]))
    if k is None:
        assert whole["switched"]["weight renormalized"]["16"] == whole["accuracy"]
    else:
        dense = train_listops.train(replace(settings, k=None), data, tmp_path / "dense")
        assert dense["loss"][0] != whole["loss"][0]
    with pytest.raises(InvalidInput, match="other settings"):
        (tmp_path / "halves" / "report.json").unlink()
        train_listops.train(listops.Settings(seed=2), data, tmp_path / "halves")


def test_a_line_that_is_no_expression_is_refused(tmp_path: Path) -> None:
    (_listops(tmp_path) / "listops" / "listops_short_val.tsv").write_text("Source\tTarget\n[ADD 1 2 ]\t3\n")
    with pytest.raises(InvalidInput, match="no expression of ListOps"):
        listops.read_listops(tmp_path, "short", "val")
