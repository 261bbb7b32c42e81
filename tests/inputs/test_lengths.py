"""How many tokens a model takes: by its own positions, not by what a tokenizer says."""

from __future__ import annotations

import pytest
import torch
from architectures import tiny
from transformers import (
    EncoderDecoderConfig,
    EncoderDecoderModel,
    LEDConfig,
    LEDModel,
    MptConfig,
    MptModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

import normlens
from normlens.errors import InvalidInput
from normlens.inputs.grid_labels import number_positions
from normlens.inputs.lengths import check_length
from normlens.loading.load import LoadedModel
from normlens.loading.positions import UNLIMITED, position_limit


@pytest.fixture
def short(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The shared tokenizer, whose figure is shorter than any model's."""
    own = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, cls_token="[CLS]", sep_token="[SEP]")
    own.model_max_length = 8
    return own


@pytest.mark.parametrize("model_type", ["t5", "bloom", "bert"])
def test_a_tokenizers_figure_is_no_limit_of_a_model(model_type: str, short: PreTrainedTokenizerFast) -> None:
    lens, text = normlens.load((tiny.build(model_type), short)), "the cat " * 10
    target = "the dog" if model_type == "t5" else None
    analysis = lens.analyze(text, target)
    assert analysis[analysis.groups[0]].data.sizes["target"] == 22


def test_a_model_of_ones_own_with_no_figure_is_held_to_the_tokenizers(short: PreTrainedTokenizerFast) -> None:
    class Foreign(PreTrainedModel):
        def __init__(self) -> None:
            super().__init__(tiny.configuration("t5"))

    loaded = LoadedModel(Foreign(), short, None, "foreign", None)
    check_length(number_positions(8), loaded, "input")
    with pytest.raises(InvalidInput, match="9 tokens; this model takes at most 8"):
        check_length(number_positions(9), loaded, "input")


def test_each_side_of_an_encoder_decoder_has_its_own_positions() -> None:
    small = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 32, "encoder_ffn_dim": 16}
    led = LEDModel(
        LEDConfig(
            **small,
            decoder_ffn_dim=16,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            attention_window=8,
            max_encoder_position_embeddings=40,
            max_decoder_position_embeddings=24,
        )
    )
    assert (position_limit(led), position_limit(led, decoder=True)) == (40, 24)
    encoder, decoder = tiny.configuration("bert"), tiny.configuration("bert")
    encoder.max_position_embeddings, decoder.max_position_embeddings = 30, 20
    both = EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder))
    assert (position_limit(both), position_limit(both, decoder=True)) == (30, 20)


@pytest.mark.parametrize(("model_type", "limit"), [("t5", UNLIMITED), ("bart", 64), ("roberta", 62), ("whisper", 64)])
def test_the_positions_are_what_the_config_says(model_type: str, limit: int) -> None:
    assert position_limit(tiny.build(model_type), decoder=model_type == "whisper") == limit


def test_a_slope_table_is_as_long_as_its_config_says() -> None:
    model = MptModel(MptConfig(d_model=16, n_heads=2, n_layers=1, vocab_size=32, max_seq_len=8)).eval()
    assert position_limit(model) == 8
    with torch.no_grad(), pytest.raises(RuntimeError):
        model(torch.full((1, 9), 5))
