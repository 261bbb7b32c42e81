"""Ids without a mask: padding is left out where it is certain, and refused where it may be text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny
from read_alone import TEXTS, MakeLens, same
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    PreTrainedTokenizerFast,
)

import normlens
from normlens.errors import InvalidInput

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
