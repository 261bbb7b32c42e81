"""Measures of faithfulness against numbers worked out by hand, and against one slow loop per variant."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from bag_of_words import END, MASK, START
from scipy.stats import spearmanr
from transformers import ConvBertConfig, ConvBertForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

import normlens
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.faithfulness import BASELINES, Design, LensClassifier, difference, evaluate, summary

TEXT = "good fine the bad"  # p = .5 + .2 + .1 + 0 − .1 = .7
QUARTERS = Design(shares=(0.25, 0.5, 0.75, 1.0), bins=(0.25, 0.5), erasures=("mask",))


def test_measures_of_added_weights_by_hand(adding):
    scores = {"right": [[0, 4.0, 3, 2, 1, 0]], "wrong": [[0, 1.0, 2, 3, 4, 0]]}
    results = evaluate(adding, [TEXT], scores, labels=[1], design=QUARTERS, progress=False).isel(text=0, erasure=0)
    right, wrong = results.sel(attribution="right"), results.sel(attribution="wrong")
    assert right["drop"].values.tolist() == pytest.approx([0.2, 0.3, 0.3, 0.2])
    assert float(right["aopc"]) == pytest.approx(0.25)
    assert wrong["drop"].values.tolist() == pytest.approx([-0.1, -0.1, 0.0, 0.2])
    assert float(right["comprehensiveness"]) == pytest.approx((0.2 + 0.3) / 2)
    assert float(right["sufficiency"]) == pytest.approx((0.0 - 0.1) / 2)  # "good" alone: .7; "good fine": .8
    assert float(wrong["sufficiency"]) == pytest.approx((0.7 - 0.4 + 0.7 - 0.4) / 2)  # "bad" alone, then with "the"
    assert float(right["leave_one_out"]) == pytest.approx(1.0)
    assert float(wrong["leave_one_out"]) == pytest.approx(-1.0)


def test_accuracy_is_of_the_label_and_without_labels_of_the_prediction(adding):
    scores = {"right": [[0, 3.0, 2, 0, 1, 0]], "wrong": [[0, -3.0, -2, 0, -1, 0]]}
    # right: "fine the bad" .5 (a tie goes to class 0), "the bad" .4, "the" .5, nothing .5.
    options = {"design": QUARTERS, "progress": False}
    predicted = evaluate(adding, [TEXT], scores, **options).isel(text=0, erasure=0)
    assert predicted["right"].sel(attribution="right").values.tolist() == [0, 0, 0, 0]
    labeled = evaluate(adding, [TEXT], scores, labels=[0], **options).isel(text=0, erasure=0)
    assert labeled["accuracy"].sel(attribution="right") == 1.0
    assert labeled["aopc"].sel(attribution="right") == predicted["aopc"].sel(attribution="right")
    assert predicted["right"].sel(attribution="wrong").values.tolist() == [1, 1, 1, 0]


def test_position_and_length_baselines_by_hand(adding):
    design = Design(counts=(1,), erasures=("delete",), baselines=("first", "last", "length", "leave_one_out"))
    results = evaluate(adding, ["the fine bad two", "two bad good"], {}, design=design, progress=False)
    drops = {
        str(m): results["drop"].sel(attribution=m).values.squeeze().tolist() for m in results["attribution"].values
    }
    assert drops["first"] == pytest.approx([0.0, 0.1])
    assert drops["last"] == pytest.approx([0.1, 0.2])
    assert drops["length"] == pytest.approx([0.1, 0.2])  # "fine", "good"
    assert drops["leave_one_out"] == pytest.approx([0.1, 0.2])


def test_random_baseline_is_the_mean_of_its_draws(adding):
    design = Design(counts=(1,), erasures=("mask",), baselines=("random",), draws=4000)
    results = evaluate(adding, [TEXT], {}, design=design, progress=False)
    # Each word is first as often: mean of .2, .1, 0, −.1; standard error .11 / √4000.
    assert float(results["aopc"].squeeze()) == pytest.approx(0.05, abs=0.008)
    again = evaluate(adding, [TEXT], {}, design=design, progress=False)
    assert float(again["aopc"].squeeze()) == float(results["aopc"].squeeze())


def test_magnitude_ranks_strong_negative_scores_first(adding):
    scores = {"signed": [[0.1, 0.0, 0.0, -5.0]], "size": [[0.1, 0.0, 0.0, -5.0]]}
    design = Design(counts=(1,), erasures=("mask",), by_magnitude=("size",), baselines=())
    drop = evaluate(adding, [TEXT], scores, design=design, progress=False)["drop"].squeeze()
    assert drop.values.tolist() == pytest.approx([0.2, -0.1])


def test_special_tokens_are_never_erased(adding):
    scores = {"special first": [[9.0, 1, 2, 3, 4, 9.0]]}
    evaluate(adding, [TEXT], scores, progress=False)
    assert len(adding.read) > 50
    assert all((ids[0], ids[-1]) == (START, END) for ids in adding.read)
    assert [START, MASK, MASK, MASK, MASK, END] in adding.read and [START, END] in adding.read


@pytest.mark.parametrize("by", ["word", "token"])
def test_equals_one_forward_pass_for_each_variant(classifier, by):
    texts = ["the unhappiness is here.", "a cat, a dog.", "dogs sat"]
    generator = np.random.default_rng(1)
    reader = LensClassifier(classifier)
    scores = [generator.normal(size=len(reader.encode(text))) for text in texts]
    design = Design(by=by, baselines=("leave_one_out",))
    results = evaluate(classifier, texts, {"drawn": scores}, labels=[0, 1, 2], design=design, progress=False)
    for k, (text, values) in enumerate(zip(texts, scores, strict=True)):
        for how in ("mask", "delete"):
            slow = one_by_one(classifier, reader.encode(text), values, by, how, label=k)
            here = results.sel(attribution="drawn", erasure=how).isel(text=k)
            for name, number in slow.items():
                assert float(here[name]) == pytest.approx(number, abs=1e-6, nan_ok=True), (text, how, name)


def one_by_one(lens, tokens, values, by, how, label):
    """The same measures as the papers say them: a model run for each variant, no batch, no padding."""
    words = tokens.words if by == "word" else np.where(tokens.special, -1, np.arange(len(tokens)))
    units = [u for u in dict.fromkeys(words.tolist()) if u != -1]
    scores = [sum(values[i] for i in range(len(words)) if words[i] == u) for u in units]
    ranked = [u for _, u in sorted(zip(scores, units, strict=True), reverse=True)]
    unknown = lens.tokenizer.unk_token_id

    def p(erased):
        kept = [(unknown if w in erased else int(i)) for i, w in zip(tokens.ids, words, strict=True)]
        short = [int(i) for i, w in zip(tokens.ids, words, strict=True) if w not in erased]
        with torch.no_grad():
            logits = lens.model(input_ids=torch.tensor([kept if how == "mask" else short])).logits
        return logits.double().softmax(-1)[0].numpy()

    whole = p([])
    y, n = int(whole.argmax()), len(units)
    top = [ranked[: max(1, math.ceil(s * n / 10))] for s in range(1, 11)]
    bins = [ranked[: max(1, math.ceil(share * n))] for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
    falls = [whole[y] - p([u])[y] for u in units]
    return {
        "aopc": np.mean([whole[y] - p(erased)[y] for erased in top]),
        "accuracy": np.mean([p(erased).argmax() == label for erased in top]),
        "comprehensiveness": np.mean([whole[y] - p(erased)[y] for erased in bins]),
        "sufficiency": np.mean([whole[y] - p([u for u in units if u not in kept])[y] for kept in bins]),
        "leave_one_out": spearmanr(scores, falls).statistic if n > 2 else np.nan,
    }


def test_batches_change_no_number_and_equal_variants_run_once(classifier):
    ids = [np.array([2, 4, 6, 3]), np.array([2, 3]), np.array([2, 4, 6, 3]), np.array([2, 5, 7, 8, 9, 3])]
    together, alone = LensClassifier(classifier), LensClassifier(classifier, batch_size=1)
    assert together.probabilities(ids) == pytest.approx(alone.probabilities(ids), abs=1e-6)
    assert together.forwards == alone.forwards == 3


def test_batch_size_bounds_what_runs_together(classifier):
    sizes = []
    hook = classifier.model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(kwargs["input_ids"].shape[0]), with_kwargs=True
    )
    evaluate(classifier, ["the cat sat here."] * 2, {"a": [[1.0, 3, 2, 0, 5]] * 2}, batch_size=7, progress=False)
    hook.remove()
    assert max(sizes) == 7


def test_summary_averages_and_leaves_out_what_has_no_value(adding):
    texts = [TEXT, "good bad"]  # two units have no rank correlation
    results = evaluate(adding, texts, {"a": [[4.0, 3, 2, 1], [2.0, 1]]}, design=QUARTERS, progress=False)
    rows = summary(results).set_index(["method", "measure"])
    # "good bad": p = .6; without good .4, without both .5: quarters are 1, 1, 2, 2 words.
    second = (0.2 + 0.2 + 0.1 + 0.1) / 4
    assert rows.loc[("a", "aopc"), "value"] == pytest.approx((0.25 + second) / 2)
    assert rows.loc[("a", "aopc"), ["low", "high"]].tolist() == pytest.approx([second, 0.25])
    assert rows.loc[("a", "leave_one_out"), "n_texts"] == 1
    assert set(rows.index.get_level_values("method")) == {"a", *BASELINES}
    paired = difference(results, "a", "leave_one_out").set_index("measure")
    assert paired.loc["aopc", "value"] == pytest.approx(0.0)
    with pytest.raises(InvalidInput, match="expected one of a, random"):
        difference(results, "a", "b")


@pytest.mark.parametrize(
    "options", [{"by": "sentence"}, {"erasures": ("blur",)}, {"erasures": ()}, {"shares": (0.0,)}, {"shares": (10.0,)},
                {"bins": ()}, {"counts": (0,)}, {"draws": 0}, {"baselines": ("middle",)}],
)  # fmt: skip
def test_impossible_designs_are_refused(options):
    with pytest.raises(InvalidInput, match="expected"):
        Design(**options)


def test_bad_input_says_what_was_expected(adding, classifier, reader):
    with pytest.raises(InvalidInput, match="'a' has 1 entries for 2 texts"):
        evaluate(adding, [TEXT, TEXT], {"a": [[1.0] * 4]})
    with pytest.raises(InvalidInput, match="'labels'"):
        evaluate(adding, [TEXT], {}, labels=[1, 0])
    for label in (2, -1, "good", True):
        with pytest.raises(
            InvalidInput, match=f"label of text 0 is {label!r}; expected the number of a class, from 0 to 1"
        ):
            evaluate(adding, [TEXT], {}, labels=[label])
    with pytest.raises(InvalidInput, match="at least one text"):
        evaluate(adding, TEXT, {})
    with pytest.raises(InvalidInput, match="the name of a baseline"):
        evaluate(adding, [TEXT], {"random": [[1.0] * 4]})
    with pytest.raises(InvalidInput, match="batch_size is 0"):
        LensClassifier(classifier, batch_size=0)
    with pytest.raises(UnsupportedArchitecture, match="BertModel"):
        LensClassifier(reader)
    with pytest.raises(InvalidInput, match="no tokenizer"):
        LensClassifier(normlens.load((classifier.model, None)))
    training = normlens.load((copy.deepcopy(classifier.model), classifier.tokenizer))
    training.model.train()
    with pytest.raises(InvalidInput, match="training mode"):
        LensClassifier(training)


def test_probabilities_have_all_digits(classifier, fewer_digits):
    ids = [LensClassifier(classifier).encode("the cat sat here .").ids]
    with fewer_digits():
        probabilities = LensClassifier(classifier).probabilities(ids)
    np.testing.assert_array_equal(probabilities, LensClassifier(classifier).probabilities(ids))


def test_two_texts_that_are_read_together_are_refused(classifier):
    with pytest.raises(InvalidInput, match="Got a pair of texts"):
        evaluate(classifier, [{"text": "the cat", "text_pair": "sat"}], {"a": [[1.0]]}, progress=False)


def test_a_replacement_that_is_the_padding_a_classifier_reads_up_to_is_refused(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    config = LlamaConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2,
        pad_token_id=tokenizer.unk_token_id,
    )  # fmt: skip
    lens = normlens.load((LlamaForSequenceClassification(config).eval(), tokenizer))
    with pytest.raises(InvalidInput, match="before its padding"):
        LensClassifier(lens).replacement("unk")
    lens.model.config.pad_token_id = None
    ids = [LensClassifier(lens).encode(text).ids for text in ("the cat", "the dog")]
    assert LensClassifier(lens).probabilities(ids).shape == (2, 2)


@pytest.mark.parametrize("options", [{"draws": 1.5}, {"seed": -1}, {"shares": ("a",)}, {"counts": (1.5,)}])
def test_a_design_is_checked(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        Design(**options)


def test_a_method_that_is_not_there_has_no_magnitude(adding):
    with pytest.raises(InvalidInput, match="zz"):
        evaluate(adding, [TEXT], {"right": [[0, 4.0, 3, 2, 1, 0]]}, design=Design(by_magnitude=("zz",)), progress=False)


def test_texts_run_together_only_where_padding_changes_nothing(tokenizer):
    torch.manual_seed(0)
    config = ConvBertConfig(
        vocab_size=99, hidden_size=16, embedding_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
        num_labels=2, pad_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    lens = normlens.load((ConvBertForSequenceClassification(config), tokenizer))
    sequences = [np.asarray(ids) for ids in ([5, 7, 9], [5, 7, 9, 11, 13, 6, 8], [4, 6])]
    together = LensClassifier(lens, batch_size=64).probabilities(sequences)
    np.testing.assert_allclose(together, LensClassifier(lens, batch_size=1).probabilities(sequences), atol=1e-6)
