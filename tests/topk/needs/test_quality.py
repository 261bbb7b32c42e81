"""Passages of a text, and what is left of a model: against logits and states computed here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from architectures import tiny
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

import normlens
from normlens import topk
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.topk.needs import EmbeddingQuality, PredictionQuality, cut_into_passages, next_token_numbers, quality_of

MakeLens = Callable[..., normlens.Lens]
TEXT = "the cat sat here . a dog ran here . the dog is here ."  # 15 tokens of its own


def _decoder() -> PreTrainedModel:
    torch.manual_seed(0)
    config = tiny.configuration("llama")
    return LlamaForCausalLM(config).eval()


def test_numbers_of_next_tokens_by_hand() -> None:
    """Two words, three tokens; before, both predictions said (¾, ¼), now the first is turned round."""
    before = torch.tensor([[[0.75, 0.25], [0.75, 0.25], [0.5, 0.5]]]).log()
    now = torch.tensor([[[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]]]).log()
    numbers = next_token_numbers(now, before, torch.tensor([[1, 0, 1]]))
    assert numbers["nll"] == pytest.approx(-(np.log(0.25) + np.log(0.25)) / 2)
    assert numbers["agreement"] == pytest.approx(0.5)
    assert numbers["divergence"] == pytest.approx((0.75 * np.log(3) - 0.25 * np.log(3)) / 2)


def test_long_texts_are_looked_at_in_pieces_to_the_same_end() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, dense = torch.randn(2, 2, 300, 7, generator=generator)
    ids = torch.randint(0, 7, (2, 300), generator=generator)
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    numbers = next_token_numbers(logits, dense, ids)
    np.testing.assert_allclose(numbers["nll"], expected.view(2, -1).mean(1), rtol=1e-5)


def test_a_decoder_is_held_against_its_own_loss() -> None:
    model, ids = _decoder(), torch.arange(10, 30)[None]
    quality = quality_of(model, ids)
    assert isinstance(quality, PredictionQuality)
    with torch.no_grad():
        assert quality.dense["nll"][0] == pytest.approx(float(model(input_ids=ids, labels=ids).loss), rel=1e-5)
    same = quality.now()
    assert (same["agreement"][0], same["divergence"][0]) == (1, 0)
    with topk.use(model, k=20):
        whole = quality.now()
    assert whole["nll"] == pytest.approx(quality.dense["nll"], rel=1e-5)
    with topk.use(model, k=1), torch.no_grad():
        few, loss = quality.now(), float(model(input_ids=ids, labels=ids).loss)
    assert few["nll"][0] == pytest.approx(loss, rel=1e-5)
    assert few["divergence"][0] > 1e-4


def test_an_encoder_is_held_against_the_mean_of_its_states(lens_of: MakeLens) -> None:
    lens, ids = lens_of("bert"), torch.arange(10, 30).view(2, 10)
    quality = quality_of(lens.model, ids)
    assert isinstance(quality, EmbeddingQuality)
    with torch.no_grad():
        before = lens.model(input_ids=ids).last_hidden_state.mean(1)
        with topk.use(lens, k=2):
            after, cosine = lens.model(input_ids=ids).last_hidden_state.mean(1), quality.now()["cosine"]
    np.testing.assert_allclose(cosine, torch.cosine_similarity(before, after, dim=-1), rtol=1e-5)
    assert cosine.max() < 0.9999


def test_encoder_decoders_are_refused(lens_of: MakeLens) -> None:
    with pytest.raises(UnsupportedArchitecture, match="neither a text encoder nor a text decoder"):
        quality_of(lens_of("marian").model, torch.tensor([[10, 11]]))


def test_passages_keep_their_special_tokens_and_their_order(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("bert"), tokenizer))
    inside = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    passages = cut_into_passages(lens, TEXT, 7)
    assert (len(passages), passages.of, passages.tokens) == (3, 3, 7)
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert passages.ids.tolist() == [[first, *inside[k : k + 5], last] for k in (0, 5, 10)]
    assert cut_into_passages(lens, TEXT, 7, limit=2).ids[1].tolist() == [first, *inside[5:10], last]
    assert cut_into_passages(lens, TEXT).ids.tolist() == [[first, *inside, last]]


@pytest.mark.parametrize(("text", "tokens", "message"), [
    (TEXT, 3, "tokens is 3; expected at least 4: two tokens beside 2 special ones"), ("the", 8, "single token, 'the'"),
    (TEXT, 1000, "at most 64, the number"), (" ", 8, "empty"),
])  # fmt: skip
def test_texts_that_make_no_passage(text: str, tokens: int, message: str, reader: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match=message):
        cut_into_passages(reader, text, tokens)
