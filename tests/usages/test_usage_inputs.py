"""What people hand in: tokenizer output, padded or not, one row or many, against the model fed each text alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import (
    BatchEncoding,
    BertForSequenceClassification,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5ForConditionalGeneration,
)

import normlens
from normlens.errors import InvalidInput

MakeLens = Callable[..., normlens.Lens]
Ids = Callable[..., list[int]]
TEXTS = ["the cat sat", "a dog ran here, the cat is here.", "Paris is here"]
MODELS = ["bert", "roberta", "gpt2", "llama", "opt"]


def weights_alone(model: PreTrainedModel, **inputs: Any) -> list[Tensor]:
    """Attention weights per layer of one row, by the model itself: ``(head, target, source)``."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            return [x[0] for x in model(**inputs, output_attentions=True).attentions]
    finally:
        model.set_attn_implementation(before)


def assert_weights(analysis: normlens.Analysis, expected: list[Tensor], group: str | None = None) -> None:
    measured = analysis[group or analysis.groups[0]].weight
    assert measured.sizes["layer"] == len(expected)
    for layer, weights in enumerate(expected):
        np.testing.assert_allclose(measured[layer].values, weights.numpy(), atol=1e-6)


def same(one: normlens.Analysis, other: normlens.Analysis) -> bool:
    """Whether two analyses are the same, labels and numbers."""
    for name in one.groups:
        a, b = one[name].data, other[name].data
        if set(a.variables) != set(b.variables) or not all(np.array_equal(a[c], b[c]) for c in a.coords):
            return False
        gaps = [float(np.nanmax(np.abs(a[v] - b[v]))) for v in a.data_vars if v != "conservation_error"]
        if max(gaps) > 1e-5:
            return False
    return one.groups == other.groups


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("model_type", MODELS)
def test_a_padded_batch_of_a_tokenizer_is_read_by_its_mask(
    model_type: str, side: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = tiny.build(model_type)
    lens = normlens.load((model, tokenizer))
    encoded = tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
    analyses = list(lens.analyze(encoded, progress=False))
    assert len(analyses) == 3
    for text, analysis in zip(TEXTS, analyses, strict=True):
        ids = tokenizer(text)["input_ids"]
        assert same(analysis, lens.analyze(ids))
        assert_weights(analysis, weights_alone(model, input_ids=torch.tensor([ids])))


@pytest.mark.parametrize("form", ["pt", "np", None])
def test_one_row_gives_one_analysis_in_every_form(form: str | None, tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("bert"), tokenizer))
    expected = lens.analyze(tokenizer(TEXTS[0])["input_ids"])
    encoded = tokenizer(TEXTS[0], return_tensors=form)
    forms: list[Any] = [encoded, dict(encoded), tokenizer([TEXTS[0]], return_tensors=form), encoded["input_ids"]]
    forms += [tokenizer(TEXTS, padding=True, return_tensors=form).encodings[0], {"input_ids": encoded["input_ids"]}]
    for row in forms:
        assert same(lens.analyze(row), expected), row


def test_lists_of_rows_and_loaders_of_batches_are_opened(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("bert"), tokenizer))
    expected = [lens.analyze(tokenizer(text)["input_ids"]) for text in TEXTS]
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    rows = [tokenizer(text) for text in TEXTS]
    for form in (tokenizer(TEXTS), rows, (batch for _ in range(1)), batch["input_ids"], batch["input_ids"].tolist()):
        analyses = list(lens.analyze(form, progress=False))
        assert all(map(same, analyses, expected)) and len(analyses) == 3
    assert len(list(lens.stream(batch, progress=False))) == 3


def test_a_mask_with_holes_is_honored(tokens: Ids) -> None:
    for model_type in MODELS:
        model = tiny.build(model_type)
        ids, mask = torch.tensor([tokens(7)]), torch.tensor([[1, 1, 1, 0, 1, 1, 1]])
        encoded = {"input_ids": ids, "attention_mask": mask}
        analysis = normlens.load((model, None)).analyze(encoded)
        assert_weights(analysis, weights_alone(model, **encoded))
        assert not analysis[analysis.groups[0]].weight[..., 3].any()


def test_a_mask_with_holes_and_another_text_beside_it(tokens: Ids) -> None:
    for model_type in ("opt", "gpt2", "bert"):
        lens = normlens.load((tiny.build(model_type), None))
        whole, holes = {"input_ids": tokens(7)}, {"input_ids": tokens(5), "attention_mask": [1, 0, 1, 1, 1]}
        for side in ("left", "right"):
            list(lens.analyze([tokens(7), tokens(5)], padding=side, progress=False))  # padding was tried, and holds
            analyses = list(lens.analyze([whole, holes, whole], padding=side, progress=False))
            assert all(map(same, analyses, map(lens.analyze, (whole, holes, whole))))


def paired(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The shared tokenizer, for two texts that are told apart."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    specials = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=names, **specials)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_of_pairs_keeps_its_token_types(side: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model, pairs = tiny.build("bert"), paired(tokenizer)
    lens = normlens.load((model, pairs))
    encoded = pairs(["the cat", "a dog ran"], ["a dog ran here", "Paris"], padding=True, padding_side=side)
    for k, analysis in enumerate(lens.analyze(encoded, progress=False)):
        alone = pairs(["the cat", "a dog ran"][k], ["a dog ran here", "Paris"][k], return_tensors="pt")
        assert alone["token_type_ids"].any()
        assert_weights(analysis, weights_alone(model, **alone))


def test_positions_are_honored_and_packed_texts_are_refused(tokens: Ids) -> None:
    for model_type in ("bert", "roberta", "gpt2", "llama"):
        model, ids = tiny.build(model_type), torch.tensor([tokens(6)])
        lens = normlens.load((model, None))
        jumping = {"input_ids": ids, "position_ids": torch.tensor([[3, 4, 5, 7, 8, 20]])}
        with pytest.raises(InvalidInput, match=r"position_ids jump at token 3, as if .* pass its attention_mask"):
            lens.analyze(jumping)
        jumping["attention_mask"] = torch.ones_like(ids)
        assert_weights(lens.analyze(jumping), weights_alone(model, **jumping))
        batch = {"input_ids": ids.repeat(2, 1), "position_ids": torch.arange(6)[None] + 2}
        for analysis in lens.analyze(batch, progress=False):
            assert_weights(analysis, weights_alone(model, input_ids=ids, position_ids=torch.arange(6)[None] + 2))
        with pytest.raises(InvalidInput, match="position_ids start again at token 3, as if several texts were packed"):
            lens.analyze({"input_ids": ids, "position_ids": torch.tensor([[0, 1, 2, 0, 1, 2]])})
        with pytest.raises(InvalidInput, match="cu_seq_lens_q says that several texts are packed"):
            lens.analyze({"input_ids": ids, "cu_seq_lens_q": torch.tensor([0, 3, 6])})


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({"attention_mask": torch.zeros(1, 1, 4, 4)}, "attention_mask has 4 dimensions; expected two"),
        ({"attention_mask": torch.ones(1, 4, 4)}, "attention_mask has 3 dimensions; expected two"),
        (
            {"attention_mask": {"full_attention": torch.zeros(1, 1, 4, 4)}},
            "attention_mask is a dict with full_attention",
        ),
        ({"attention_mask": torch.tensor([[0.0, -1e9, 0.0, 0.0]])}, "expected 0 and 1 only"),
        ({"attention_mask": torch.zeros(1, 4)}, "masks all 4 tokens of a row"),
        ({"attention_mask": torch.ones(1, 3)}, "has 3 entries for 4 tokens"),
        ({"past_key_values": torch.ones(1, 3)}, "has past_key_values; expected the whole text"),
        ({"pixel_values": torch.ones(1, 3, 4, 4)}, "has pixel_values, which this model doesn't take"),
        ({"token_type_ids": torch.zeros(3, 4)}, "token_type_ids has length 3, input_ids has length 1"),
        ({"input_ids": torch.ones(1, 2, 4)}, "input_ids has 3 dimensions"),
        ({"input_ids": [["a", "b"]]}, "input_ids is a list that can't be converted to a tensor"),
        ({"input_ids": torch.empty(0, 4)}, "input_ids has no rows"),
    ],
)
def test_what_cannot_be_honored_is_refused_by_name(further: dict[str, Any], message: str, lens_of: MakeLens) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens_of("bert").analyze({"input_ids": torch.tensor([[11, 12, 13, 14]]), **further})


def test_of_many_rows_the_bad_one_is_named(lens_of: MakeLens) -> None:
    mask = torch.tensor([[1, 1, 1], [0, 0, 0]])
    with pytest.raises(InvalidInput, match="Row 1, counted from 0: attention_mask masks all"):
        lens_of("bert").analyze({"input_ids": torch.full((2, 3), 11), "attention_mask": mask})


def test_positions_that_a_model_does_not_take_are_refused_unless_they_are_the_usual_ones(
    lens_of: MakeLens, tokens: Ids
) -> None:
    lens, ids = lens_of("t5"), tokens(4)
    usual = lens.analyze(
        {"input_ids": ids, "position_ids": [0, 1, 2, 3], "token_type_ids": [0, 0, 1, 1]}, target_text=ids
    )
    assert same(usual, lens.analyze(ids, target_text=ids))
    with pytest.raises(InvalidInput, match="has position_ids, which this model doesn't take"):
        lens.analyze({"input_ids": ids, "position_ids": [2, 3, 4, 5]}, target_text=ids)


def test_a_row_of_a_dataset_is_an_input(lens_of: MakeLens, tokens: Ids) -> None:
    row = {"idx": 7, "label": 1, "sentence": "The cat sat.", "input_ids": tokens(5), "attention_mask": [1] * 5}
    others = {"ner_tags": [0] * 5, "special_tokens_mask": [1, 0, 0, 0, 1], "offset_mapping": [[0, 1]] * 5}
    assert same(lens_of("bert").analyze({**row, **others}), lens_of("bert").analyze(tokens(5)))


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "opt"])
def test_embeddings_are_read_instead_of_ids(model_type: str, tokens: Ids) -> None:
    model, ids = tiny.build(model_type), torch.tensor([tokens(6)])
    lens = normlens.load((model, None))
    vectors = model.get_input_embeddings()(ids)
    padded = torch.cat([torch.zeros(1, 2, vectors.shape[-1]), vectors], 1)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1]])
    for encoded in ({"inputs_embeds": vectors}, {"inputs_embeds": padded, "attention_mask": mask}):
        analysis = lens.analyze(encoded)
        assert_weights(analysis, weights_alone(model, input_ids=ids))
        assert analysis[analysis.groups[0]].source_token.values.tolist() == list("012345")


def test_a_batch_of_pixel_values_is_one_image_after_the_other(lens_of: MakeLens) -> None:
    lens, images = lens_of("vit"), torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    alone = [lens.analyze(image) for image in images]
    for form in ({"pixel_values": images}, images, [{"pixel_values": image} for image in images]):
        assert all(map(same, lens.analyze(form, progress=False), alone))
    assert same(lens.analyze({"pixel_values": images[:1]}), alone[0])
    assert same(lens.analyze(images[1:]), alone[1])


# Ids without a mask


def marked(tokenizer: PreTrainedTokenizerFast, **marks: str) -> PreTrainedTokenizerFast:
    """The shared words, with other special tokens and nothing at the ends of a text."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", **marks)


def test_padding_of_bare_ids_is_left_out_where_it_is_certain(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("bert"), tokenizer))
    for side in ("right", "left"):
        padded = tokenizer(TEXTS, padding=True, padding_side=side)["input_ids"]
        expected = [lens.analyze(tokenizer(text)["input_ids"]) for text in TEXTS]
        for form in (padded, torch.tensor(padded), {"input_ids": np.array(padded)}):
            assert all(map(same, lens.analyze(form, progress=False), expected))
        assert same(lens.analyze(padded[0]), expected[0])
    with pytest.raises(
        InvalidInput, match=r"contain 0 \('\[PAD\]'\), the padding token, between other tokens.*attention_mask"
    ):
        lens.analyze([2, 4, 0, 5, 3])
    assert lens.analyze({"input_ids": [2, 4, 0, 5, 3], "attention_mask": [1] * 5})["encoder"].data.sizes["source"] == 5
    with pytest.raises(InvalidInput, match="All 3 token ids are 0, the padding"):
        lens.analyze([0, 0, 0])


@pytest.mark.parametrize("ids", [[4, 5, 6, 3], [3, 3, 4, 5], [4, 5, 3, 3]])
def test_padding_that_may_be_text_is_refused(ids: list[int], tokenizer: PreTrainedTokenizerFast) -> None:
    same_token = marked(tokenizer, eos_token="[SEP]", pad_token="[SEP]")
    lens = normlens.load((tiny.build("gpt2"), same_token))
    with pytest.raises(
        InvalidInput, match=r"with 3 \('\[SEP\]'\), which may be padding or a token of the text.*attention_m"
    ):
        lens.analyze(ids)
    read = lens.analyze({"input_ids": ids, "attention_mask": [1, 1, 1, 1]})
    assert read["decoder"].source_id.values.tolist() == ids
    assert lens.analyze([4, 3, 5, 6])["decoder"].source_id.values.tolist() == [4, 3, 5, 6]
    kept = lens.analyze(same_token(["a cat", "a"], padding=True), progress=False)
    assert [one["decoder"].source_id.size for one in kept] == [2, 1]


def test_a_mark_that_the_tokenizer_writes_itself_is_text(tokenizer: PreTrainedTokenizerFast) -> None:
    starting = marked(tokenizer, bos_token="[CLS]", pad_token="[CLS]")
    starting.backend_tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    lens = normlens.load((tiny.build("gpt2"), starting))
    assert lens.analyze(starting("a cat")["input_ids"])["decoder"].source_id.values.tolist()[0] == 2
    with pytest.raises(InvalidInput, match="begin with 2"):
        lens.analyze([2, *starting("a cat")["input_ids"]])


def test_without_a_tokenizer_no_token_is_certainly_padding(lens_of: MakeLens) -> None:
    lens = lens_of("bert")
    assert lens.model.config.pad_token_id == 1
    with pytest.raises(InvalidInput, match="The ids end with 1, which may be padding"):
        lens.analyze([11, 12, 1])


# Encoder–decoders


def test_a_target_may_be_tokenizer_output(tokens: Ids) -> None:
    for model_type in ("t5", "marian"):
        lens = normlens.load((tiny.build(model_type), None))
        sources, targets = [tokens(4), tokens(6, 1)], [tokens(5, 2), tokens(3, 3)]
        expected = [lens.analyze(*pair) for pair in zip(sources, targets, strict=True)]
        pads = [[1, 1, 1, 1, 0, 0], [1] * 6], [[1] * 5, [1, 1, 1, 0, 0]]
        source = {"input_ids": [[*sources[0], 1, 1], sources[1]], "attention_mask": pads[0]}
        target = {"input_ids": [targets[0], [*targets[1], 1, 1]], "attention_mask": pads[1]}
        labels = [targets[0], [*targets[1], -100, -100]]
        start = [one["decoder"].target_id.values.tolist() for one in expected]
        decoder = {"decoder_input_ids": [start[0], [*start[1], 1, 1]], "decoder_attention_mask": pads[1]}
        forms = [(source, target), ({**source, "labels": labels}, None), ({**source, **decoder}, None)]
        for inputs, target_text in [*forms, (sources, target), (source, targets)] if model_type == "t5" else forms[1:2]:
            analyses = list(lens.analyze(inputs, target_text, progress=False))
            for one, other in zip(analyses, expected, strict=True):
                for group in ("encoder", "decoder", "cross"):
                    np.testing.assert_allclose(one[group].norm, other[group].norm, rtol=1e-3, atol=1e-5)
        assert same(lens.analyze({"input_ids": [sources[0]]}, {"input_ids": [targets[0]]}), expected[0])
        with pytest.raises(InvalidInput, match="already has a target text; expected it there or in target_text="):
            lens.analyze({"input_ids": sources[0], "labels": targets[0]}, targets[0])
        with pytest.raises(InvalidInput, match="expected target_text="):
            lens.analyze({"input_ids": sources[0]})
        with pytest.raises(InvalidInput, match="-100 between other ids"):
            lens.analyze({"input_ids": sources[0], "labels": [5, -100, 6]})


# Attribution


def test_attributions_of_a_padded_batch_are_those_of_each_text(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    for model in (
        BertForSequenceClassification(tiny.configuration("bert")).eval(),
        GPT2LMHeadModel(tiny.configuration("gpt2")).eval(),
    ):
        lens = normlens.load((model, tokenizer))
        alone = [lens.attribute(text, target=1) for text in TEXTS]
        for side in ("right", "left"):
            batch = tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
            for form in (batch, batch["input_ids"]):
                for shares, expected in zip(lens.attribute(form, target=1), alone, strict=True):
                    np.testing.assert_allclose(shares, expected, atol=1e-6)
        one = tokenizer(TEXTS[0], return_tensors="pt")
        np.testing.assert_allclose(lens.attribute(one, target=1), alone[0], atol=1e-6)


@pytest.mark.parametrize("method", ["decompx", "gradient_input", "alti_logit", "value_zeroing"])
def test_attributions_of_embeddings_are_those_of_their_ids(method: str, tokens: Ids) -> None:
    torch.manual_seed(0)
    for model in (
        GPT2LMHeadModel(tiny.configuration("gpt2")).eval(),
        LlamaForCausalLM(tiny.configuration("llama")).eval(),
    ):
        lens, ids = normlens.load((model, None)), tokens(6)
        asked = {"method": method, **({} if method == "value_zeroing" else {"target": 5})}
        vectors = model.get_input_embeddings()(torch.tensor([ids]))
        shares, expected = lens.attribute({"inputs_embeds": vectors}, **asked), lens.attribute(ids, **asked)
        np.testing.assert_allclose(shares, expected, atol=1e-6)
        several = {"inputs_embeds": vectors.repeat(2, 1, 1)}
        for one in lens.attribute(several, **asked):
            np.testing.assert_allclose(one, expected, atol=1e-6)


def test_a_token_that_the_mask_leaves_out_has_no_share_of_what_the_model_says(tokens: Ids) -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(tiny.configuration("gpt2")).eval()
    encoded = {"input_ids": torch.tensor([tokens(6)]), "attention_mask": torch.tensor([[1, 1, 0, 1, 1, 1]])}
    shares = normlens.load((model, None)).attribute(encoded, target=5)
    with torch.no_grad():
        value = float(model(**encoded).logits[0, -1, 5])
    assert abs(float(shares.sum()) + shares.attrs["bias_share"] - value) < 1e-5
    assert shares[2] == 0 and (shares[[0, 1, 3, 4, 5]] != 0).all()


def test_an_attribution_s_second_text_may_be_tokenizer_output(tokens: Ids) -> None:
    torch.manual_seed(0)
    lens = normlens.load((T5ForConditionalGeneration(tiny.configuration("t5")).eval(), None))
    source, target = tokens(4), tokens(3, 1)
    expected = lens.attribute(source, target_text=target, target=7)
    forms = [({"input_ids": [source]}, {"input_ids": [target]}), ({"input_ids": source, "labels": target}, None)]
    for inputs, target_text in [*forms, (BatchEncoding({"input_ids": source, "labels": target}), None)]:
        np.testing.assert_allclose(lens.attribute(inputs, target_text=target_text, target=7), expected, atol=1e-6)
    (shares,) = lens.attribute([{"input_ids": source, "labels": target}], target=7)
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    with pytest.raises(InvalidInput, match="target_text="):
        lens.attribute({"input_ids": source}, target=7)


def test_tokenizer_output_is_continued(tokens: Ids) -> None:
    model = GPT2LMHeadModel(tiny.configuration("gpt2")).eval()
    lens = normlens.load((model, None))
    assert same(lens.analyze({"input_ids": [tokens(4)]}, generate=3), lens.analyze(tokens(4), generate=3))
    with pytest.raises(InvalidInput, match="generate= continues one text"):
        lens.analyze({"input_ids": tokens(4), "attention_mask": [1, 0, 1, 1]}, generate=3)


def test_one_input_may_come_with_the_options_of_several(reader: normlens.Lens) -> None:
    assert same(reader.analyze(TEXTS[0], progress=True, batch_size=2, padding="left"), reader.analyze(TEXTS[0]))
    assert list(reader.analyze([], progress=False)) == []
    with pytest.raises(InvalidInput, match="has no rows"):
        reader.analyze(torch.empty(0, 3, dtype=torch.long), progress=False)
