"""Images, sounds and texts together: each position is labeled by what it is, and nothing of an image is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny, weights
from torch import Tensor
from transformers import PreTrainedModel

import normlens
from normlens.attribution import VectorNorm
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.media import medium_of

IMAGE_TOKEN = 50
ROWS, COLUMNS = 4, 6
PATCHES = ["0,0", "0,1", "1,0", "1,1", "0,2", "0,3", "1,2", "1,3", "0,4", "0,5", "1,4", "1,5"]
"""The first two rows of Qwen2-VL's patches: the four that become one token stand together."""


def image_and_text(model_type: str) -> PreTrainedModel:
    """A tiny model whose image token lies in its small vocabulary."""
    config = tiny.configuration(model_type)
    names = ("image_token_id", "image_token_index", "vision_start_token_id", "vision_end_token_id", "video_token_id")
    for number, name in enumerate(names):
        setattr(config, name, IMAGE_TOKEN + max(0, number - 1))
    torch.manual_seed(0)
    model = tiny.model_class(config)._from_config(config, attn_implementation="eager", dtype=torch.float32)
    weights.randomize(model, 0)
    return model.eval()


def qwen_inputs(model: PreTrainedModel, images: int = 1, seed: int = 0) -> dict[str, Tensor]:
    """As the processor returns it: patches in a row, their grid, and an image token for each four patches."""
    vision = model.config.vision_config
    size = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    ids = torch.tensor([[11, *([51, *[IMAGE_TOKEN] * (ROWS * COLUMNS // 4), 52] * images), 12, 13, 14]])
    pixels = torch.randn(images * ROWS * COLUMNS, size, generator=torch.Generator().manual_seed(seed))
    grid = torch.tensor([[1, ROWS, COLUMNS]] * images)
    return {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels, "image_grid_thw": grid,
        "mm_token_type_ids": (ids == IMAGE_TOKEN).long(),
    }  # fmt: skip


def llava_inputs(model: PreTrainedModel) -> dict[str, Tensor]:
    vision = model.config.vision_config
    ids = torch.tensor([[11, *[IMAGE_TOKEN] * (vision.image_size // vision.patch_size) ** 2, 12, 13]])
    pixels = torch.randn(1, 3, vision.image_size, vision.image_size, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_patches_and_image_tokens_are_labeled_by_row_and_column(model_type: str) -> None:
    model = image_and_text(model_type)
    analysis = normlens.load((model, None)).analyze(qwen_inputs(model))
    assert list(analysis["encoder"].data.source_token.values[:12]) == PATCHES
    labels = list(analysis["decoder"].data.source_token.values)
    assert labels[2:8] == [f"image {r},{c}" for r in range(2) for c in range(3)]
    assert labels[:2] + labels[8:] == ["11", "51", "52", "12", "13", "14"]
    assert list(analysis["decoder"].data.source_word.values) == list(range(12))
    assert analysis.conservation_error < 1e-5


def test_the_labels_are_where_the_pixels_are() -> None:
    """Change the pixels of one patch alone: the vector of that position changes, as the first layer sees it."""
    model = image_and_text("qwen2_vl")
    lens = normlens.load((model, None))
    inputs = qwen_inputs(model)
    before = lens.analyze(inputs)["encoder"].data.isel(layer=0)
    inputs["pixel_values"] = inputs["pixel_values"].clone()
    inputs["pixel_values"][5] += 1  # row 0, column 3, in the order in which the processor lays patches out
    after = lens.analyze(inputs)["encoder"].data.isel(layer=0)
    moved = np.flatnonzero(abs(after.vector_norm - before.vector_norm).max("head") > 1e-4)
    assert [before.source_token.values[k] for k in moved] == ["0,3"]


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava"])
def test_shares_of_an_image_are_told_apart_from_biases(model_type: str) -> None:
    model = image_and_text(model_type)
    inputs = llava_inputs(model) if model_type == "llava" else qwen_inputs(model)
    shares = normlens.load((model, None)).attribute(inputs, target=VectorNorm(), position=-1)
    of_image = shares[shares.side == "image"]
    of_text = shares[shares.side == "source"]
    assert len(of_image) == (16 if model_type == "llava" else ROWS * COLUMNS)
    assert list(of_text.source_id) == inputs["input_ids"][0].tolist()
    assert float(abs(of_image).min()) > 0
    np.testing.assert_array_equal(of_text[of_text.source_id == IMAGE_TOKEN], 0)  # the patches took their place
    assert float(shares.sum()) + shares.attrs["bias_share"] == pytest.approx(shares.attrs["value"], abs=1e-5)


def test_a_second_image_leaves_the_vision_tower_out_and_says_so() -> None:
    model = image_and_text("qwen2_vl")
    lens = normlens.load((model, None))
    analysis = lens.analyze(qwen_inputs(model, images=2))
    assert analysis.groups == ["decoder"]
    assert "visual.blocks.0.attn" in analysis.attrs["not_measured"]
    assert "image 2: 1,2" in analysis["decoder"].data.source_token.values
    alone = lens.analyze(qwen_inputs(model))
    assert alone.groups == ["encoder", "decoder"]
    assert alone.attrs["not_measured"] == ""


@pytest.mark.parametrize("model_type", ["clip", "siglip", "blip", "altclip", "vision-text-dual-encoder"])
@pytest.mark.parametrize("extra", [-3, 0, 1])
def test_a_text_as_long_as_the_image_has_patches_keeps_its_labels(model_type: str, extra: int) -> None:
    model = tiny.build(model_type)
    lens, patches = normlens.load((model, None)), 16 if model_type == "siglip" else 17
    ids = torch.arange(11, 11 + patches + extra)[None]
    analysis = lens.analyze({"input_ids": ids, "pixel_values": torch.randn(1, 3, 16, 16)})
    first = {name: str(analysis[name].data.source_token.values[-1]) for name in analysis.groups}
    assert sorted(first.values()) == sorted(["3,3", str(int(ids[0, -1]))])
    vision = next(analysis[name] for name, label in first.items() if label == "3,3")
    assert vision.data.sizes["source"] == patches


def test_images_with_texts_of_different_lengths_give_what_each_gives_alone() -> None:
    lens, generator = normlens.load((tiny.build("clip"), None)), torch.Generator().manual_seed(0)
    inputs = [
        {"input_ids": torch.arange(11, 11 + n)[None], "pixel_values": torch.randn(1, 3, 16, 16, generator=generator)}
        for n in (17, 5, 16)
    ]
    lens.analyze(inputs[0])  # the first look is at a text as long as the image
    for together, one in zip(lens.analyze(inputs, progress=False), inputs, strict=True):
        alone = lens.analyze(one)
        for group in alone.groups:
            np.testing.assert_allclose(together[group].norm, alone[group].norm, rtol=1e-4, atol=1e-6)
            assert list(together[group].data.source_token.values) == list(alone[group].data.source_token.values)


@pytest.mark.parametrize(
    ("inputs", "medium"),
    [
        ([["hidden_states"], ["input_ids", "attention_mask"]], "text"),
        ([["hidden_states"], ["inputs_embeds"], ["pixel_values"], ["input_ids", "pixel_values"]], "image"),
        ([["hidden_states"], ["inputs_embeds"], ["input_ids", "pixel_values"]], "text"),
        ([["hidden_states"], ["hidden_states", "grid_thw"], ["input_ids", "pixel_values"]], "image"),
        ([["hidden_states"], ["input_features"], ["input_features", "decoder_input_ids"]], "sound"),
        ([["hidden_states"], ["input_ids", "pixel_values"]], "mixed"),
        ([["hidden_states"]], "text"),
    ],
)
def test_the_innermost_module_that_was_given_something_decides(inputs: list[list[str]], medium: str) -> None:
    assert medium_of(inputs) == medium


def test_what_stands_beside_a_text_in_a_part_of_no_known_name_is_refused() -> None:
    """FLAVA's towers are called by what they read; a tower that isn't gets no share that may be another's."""
    model = image_and_text("llava")
    lens = normlens.load((model, None))
    lens.model.eyes = lens.model.vision_tower
    del lens.model.vision_tower
    type(lens.model).vision_tower = property(lambda self: self.eyes)
    try:
        with pytest.raises(UnsupportedArchitecture, match="can't tell which of them enters in 'eyes'"):
            lens.attribute(llava_inputs(model), target=VectorNorm(), position=-1)
    finally:
        del type(lens.model).vision_tower


def analyzed(model_type: str, **tensors: Any) -> normlens.Analysis:
    return normlens.load((tiny.build(model_type), None)).analyze(tensors)


def test_sounds_are_measured_as_a_processor_gives_them() -> None:
    whisper = analyzed("whisper", input_features=torch.randn(1, 16, 32), decoder_input_ids=torch.tensor([[11, 12, 13]]))
    assert {name: whisper[name].data.sizes["source"] for name in whisper.groups} == {
        "encoder": 16, "decoder": 3, "cross": 16,
    }  # fmt: skip
    waveform = analyzed("wav2vec2", input_values=torch.randn(1, 2000))
    assert waveform["encoder"].data.sizes["source"] == 6
    assert max(whisper.conservation_error, waveform.conservation_error) < 1e-5


@pytest.mark.parametrize("model_type", ["siglip2_vision_model", "canary_decoder", "pop2piano", "fastspeech2_conformer"])
def test_a_part_of_a_larger_model_is_an_input_s_reader_too(model_type: str) -> None:
    """Patches in rows beside their grid; decoders whose config speaks of an encoder that isn't there."""
    model = tiny.build(model_type)
    inputs = {name: x for name, x in tiny.inputs(model_type, model, batch=1).items() if isinstance(x, Tensor)}
    assert normlens.load((model, None)).analyze(inputs).conservation_error < 1e-5


def test_one_image_beside_three_texts_is_refused_with_both_lengths() -> None:
    lens = normlens.load((tiny.build("clip"), None))
    inputs = {"input_ids": torch.arange(11, 16).repeat(3, 1), "pixel_values": torch.zeros(1, 3, 16, 16)}
    with pytest.raises(InvalidInput, match=r"pixel_values has length 1, input_ids has length 3; .* Repeat the shorter"):
        lens.analyze(inputs)


def test_two_images_in_the_place_of_one_are_refused_as_such() -> None:
    model = image_and_text("llava")
    inputs = llava_inputs(model)
    inputs["pixel_values"] = inputs["pixel_values"].repeat(2, 1, 1, 1)
    with pytest.raises(
        InvalidInput, match=r"rejects .*pixel_values \(2, .*Image features and image tokens do not match"
    ):
        normlens.load((model, None)).analyze(inputs)
