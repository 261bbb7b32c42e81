"""The scripts around the attribution table: texts as a model reads them, targets, saliency, and a page of kept numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import normlens
from normlens.engine.frozen import operations, pull_back
from normlens.errors import InvalidInput
from normlens.faithfulness import MEASURES, LensClassifier
from reproduce.attribution import table as attribution_table
from reproduce.attribution.alternatives import ALTERNATIVES, EVERYTHING, at_one_point, summarized, with_bias_spread
from reproduce.attribution.biases import handed_out, logits_by_source
from reproduce.attribution.candidates import LAYER, Candidate, candidates, scores, targets
from reproduce.attribution.saliency import saliency
from reproduce.data.classified_texts import DataSplit, news_text, read_classified, sentence_of_tree


@pytest.fixture(scope="module")
def classifier(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=2,
        max_position_embeddings=40, initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    return normlens.load((BertForSequenceClassification(config), tokenizer))


def test_trees_become_sentences_without_neutral_ones(tmp_path: Path) -> None:
    assert sentence_of_tree("(3 (2 -LRB-) (3 (2 It) (4 (2 's) (2 9\\/11))))") == "( It 's 9/11"
    (tmp_path / "sst").mkdir()
    for name in ("train", "dev", "test"):
        (tmp_path / "sst" / f"{name}.txt").write_text("(4 (2 A) (4 joy))\n(2 (2 So) (2 so))\n(1 (2 A) (1 bore))\n")
    texts = read_classified("sst", tmp_path)
    assert (texts.test.texts, texts.test.labels) == (["A joy", "A bore"], [1, 0])
    assert texts.dev.limited(1).texts == ["A joy"]
    with pytest.raises(InvalidInput, match=r"nlp\.stanford\.edu"):
        read_classified("sst", tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match="sst, ag_news"):
        read_classified("imdb", tmp_path)


def test_news_loses_its_markup() -> None:
    assert news_text("AT T\\ #36;10 million &lt;b&gt;now&lt;/b&gt; #39;s") == "AT T $10 million now 's"
    assert news_text("a second\\team") == "a second team"


def test_limited_parts_are_spread_evenly() -> None:
    split = DataSplit(list("abcdefghij"), list(range(10)))
    assert split.limited(5).labels == [0, 2, 4, 6, 8]
    assert split.limited(None) is split


def test_targets_are_the_predicted_class_and_its_runner_up() -> None:
    predictions = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    assert targets(predictions, "logit") == [1, 0]
    assert targets(predictions, "difference") == [(1, 2), (0, 2)]


@pytest.mark.parametrize("options", [{}, LAYER])
def test_shares_of_a_difference_are_the_difference_of_shares(
    classifier: normlens.Lens, options: dict[str, str]
) -> None:
    texts, predictions = ["the cat sat here."], np.array([[0.2, 0.8]])
    one, other = (
        scores(classifier, texts, ranked, Candidate("DecompX", "decompx", target="logit", options=options))[0]
        for ranked in (predictions, 1 - predictions)
    )
    both = scores(
        classifier, texts, predictions, Candidate("DecompX", "decompx", target="difference", options=options)
    )[0]
    assert np.abs(one).max() > 1e-3
    np.testing.assert_allclose(both, one - other, atol=1e-6)


def test_saliency_is_the_change_along_the_embedding(classifier: normlens.Lens) -> None:
    """‖g ⊙ x‖ with the gradient by central differences in float64."""
    ids = np.array([2, 4, 6, 3])
    shares = saliency(classifier, ids, 1)
    model = classifier.model.double()
    x = model.get_input_embeddings()(torch.tensor(ids)[None]).detach()
    slow = np.zeros((4, 16))
    with torch.no_grad():
        for j, k in np.ndindex(4, 16):
            step = torch.zeros_like(x)
            step[0, j, k] = 1e-5
            rise = model(inputs_embeds=x + step).logits[0, 1] - model(inputs_embeds=x - step).logits[0, 1]
            slow[j, k] = float(rise) / 2e-5 * float(x[0, j, k])
    model.float()
    np.testing.assert_allclose(shares, np.linalg.norm(slow, axis=1), rtol=1e-4)


def test_with_everything_freed_the_frozen_gradient_is_the_gradient(classifier: normlens.Lens) -> None:
    texts, predictions, rules = ["the cat sat here."], np.array([[0.2, 0.8]]), dict(operations.RULES)
    plain = classifier.attribute(texts[0], method="gradient_input", target=(1, 0)).values
    [freed] = at_one_point(EVERYTHING, reference=False)(classifier, texts, predictions)
    np.testing.assert_allclose(freed, plain, rtol=1e-4)
    [frozen] = at_one_point(reference=False)(classifier, texts, predictions)
    np.testing.assert_allclose(frozen, classifier.attribute(texts[0], target=(1, 0)).values, rtol=1e-4)
    assert np.abs(frozen - plain).max() > 1e-3
    assert dict(operations.RULES) == rules


def test_what_is_changed_one_thing_at_a_time(classifier: normlens.Lens) -> None:
    texts, predictions = ["the cat sat here."], np.array([[0.2, 0.8]])
    plain = classifier.attribute(texts[0], target=(1, 0))
    [spread] = with_bias_spread()(classifier, texts, predictions)
    assert spread.sum() == pytest.approx(plain.attrs["value"], rel=1e-4)
    ratio = (spread - plain.values) / np.abs(plain.values)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    [products] = ALTERNATIVES["products all to their first factor"](classifier, texts, predictions)
    np.testing.assert_array_equal(products, plain.values)  # a frozen BERT multiplies no two live factors
    [tanh] = at_one_point(("tanh",), reference=False)(classifier, texts, predictions)
    assert np.abs(tanh - plain.values).max() > 1e-4


def test_biases_are_handed_out_where_they_are_added(classifier: normlens.Lens) -> None:
    model, ids = classifier.model, torch.as_tensor(LensClassifier(classifier).encode("the cat sat here.").ids)[None]
    apart, spread = (logits_by_source(model, ids, spread=spread) for spread in (False, True))
    for k in (0, 1):
        shares = pull_back(
            model, {"input_ids": ids}, lambda output, k=k: output.logits[:, k], sources="bert.embeddings"
        ).shares
        np.testing.assert_allclose(apart[:, k], shares[0], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(spread.sum(0), model(ids).logits[0], rtol=1e-4)


def test_a_bias_is_handed_out_by_hand() -> None:
    vectors = torch.tensor([[[[1.0, 0.0], [0.0, -3.0]]]])  # one target, two sources
    shares = handed_out(torch.tensor([[[2.0, 2.0]]]), vectors)
    torch.testing.assert_close(shares, torch.tensor([[[[0.5, 0.5], [1.5, 1.5]]]]))


def test_models_are_averaged_text_by_text() -> None:
    def evaluated(plain: float) -> xr.Dataset:
        values = np.array([[[plain, 0.2]], [[0.5, 0.5]]])
        return xr.Dataset(
            {measure: (("attribution", "erasure", "text"), values) for measure in MEASURES},
            coords={"attribution": ["DecompX", "random"], "erasure": ["mask"]},
        )

    kept = summarized([evaluated(0.4), evaluated(0.8)], seed=0, resamples=100)
    value = {row["method"]: row["value"] for row in kept["table"] + kept["against"]}
    assert value == {"DecompX": 0.4, "random": 0.5, "random − DecompX": pytest.approx(0.1)}
    assert [model["mask"]["DecompX"] for model in kept["models"]] == [0.3, 0.5]


def test_candidates_have_names_of_their_own() -> None:
    names = [candidate.name for candidate in candidates()]
    assert len(names) == len(set(names))
    assert len({candidate.question for candidate in candidates()}) < len(names)  # rankings share the model's answer


def test_page_and_figures_come_from_kept_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"method": name, "erasure": how, "measure": measure, "value": value, "low": value - 0.1, "high": value + 0.1,
         "n_texts": 2}
        for name, value in (("DecompX", 0.5), ("random", 0.2))
        for how in ("mask", "delete")
        for measure in ("aopc", "accuracy", "comprehensiveness", "sufficiency", "leave_one_out")
    ]  # fmt: skip
    entry = {
        "data": "two texts", "training": {}, "by": "word", "part": "test", "seed": 0, "resamples": 10, "threads": 1,
        "test": 2, "right": 1.0, "replacement": "[MASK]", "steps": [0.5, 1.0], "chosen": {"DecompX": "DecompX (logit)"},
        "table": rows, "against": [{**row, "method": "DecompX − random"} for row in rows if row["method"] == "random"],
        "curves": {name: {"mask": [0.1, 0.2], "delete": [0.1, 0.2]} for name in ("DecompX", "random")},
    }  # fmt: skip
    (tmp_path / "attribution").mkdir()
    (tmp_path / "attribution" / "result.json").write_text(json.dumps({"sst": entry}))
    assert attribution_table.main(["--redraw", "--output", str(tmp_path)]) == 0
    page = (tmp_path / "attribution" / "page.md").read_text()
    assert "| DecompX | 0.500 (0.400 to 0.600) | 50.0 (40.0 to 60.0) |" in page
    assert "| random order | 0.200 (0.100 to 0.300) | better |" in page
    assert page in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("attribution/*.svg")) == ["sst.svg", "sst_curves.svg"]


def test_nothing_kept_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attribution_table.main(["--redraw", "--output", str(tmp_path)]) == 2
    assert "choose" in capsys.readouterr().err
