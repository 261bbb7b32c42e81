"""What people hand in: tokenizer output, padded or not, one row or many, against the model fed each text alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from read_alone import MODELS, TEXTS, Ids, MakeLens, assert_weights, same, weights_alone
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    PreTrainedTokenizerFast,
)

import normlens
from normlens.errors import InvalidInput


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
