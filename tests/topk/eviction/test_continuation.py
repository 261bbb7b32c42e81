"""Running a model after an eviction: its loss equals that under a mask written by hand, cached or not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, BloomForCausalLM, MarianMTModel

import normlens
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.topk.eviction import Continuation, TextReading, evict, measure_eviction

IDS = torch.randint(10, 89, (20,), generator=torch.Generator().manual_seed(0))
TEXT, FOLLOWING = IDS[:12], IDS[12:]


def decoder(model_type: str) -> normlens.Lens:
    torch.manual_seed(0)
    config = tiny.configuration(model_type)
    if hasattr(config, "layer_types"):  # the mask by hand knows no windows
        config.layer_types = ["full_attention"] * config.num_hidden_layers
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return normlens.load((model.eval(), None))


def loss_under_mask(model: torch.nn.Module, kept: list[bool]) -> float:
    """The loss of the tokens that follow, if these see the same sources of the text in every head and layer."""
    visible = torch.ones(20, 20).tril().bool()
    visible[12:, :12] &= torch.tensor(kept)
    mask = torch.zeros(1, 1, 20, 20).masked_fill(~visible, torch.finfo(torch.float32).min)
    with torch.no_grad():
        logits: Tensor = model(input_ids=IDS[None], attention_mask=mask, use_cache=False).logits
    return float(torch.nn.functional.cross_entropy(logits[0, 12:-1], FOLLOWING[1:]))


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gpt_oss"])
def test_the_loss_is_that_under_a_mask(model_type: str, cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not cached:
        monkeypatch.setattr("normlens.topk.eviction.continuation.reads_in_two_steps", lambda *_: False)
    lens = decoder(model_type)
    kept = [True, False] * 6
    reading = TextReading(lens, TEXT)
    continuation = Continuation(reading, FOLLOWING)
    assert (continuation._cache is not None) is cached
    heads = {"llama": 2, "gpt_oss": 2, "gpt2": 4}[model_type]
    eviction = measure_eviction(lens, TEXT, torch.tensor(kept).expand(len(reading.blocks["decoder"]), heads, 12))
    numbers = continuation.now(eviction)
    assert continuation.dense["nll"] == pytest.approx(loss_under_mask(lens.model, [True] * 12), abs=1e-5)
    assert numbers["nll"] == pytest.approx(loss_under_mask(lens.model, kept), abs=1e-5)
    assert numbers["rise"] == pytest.approx(numbers["nll"] - continuation.dense["nll"], abs=1e-9)
    assert abs(numbers["rise"]) > 1e-4


def test_keeping_everything_changes_nothing_and_several_run_as_one_by_one() -> None:
    lens = decoder("llama")
    reading = TextReading(lens, TEXT)
    continuation = Continuation(reading, FOLLOWING)
    evictions = [evict(lens, TEXT, keep=keep, score="random", seed=3) for keep in (1, 0.5, 0.25)]
    together = continuation.each(evictions)
    assert (together[0]["rise"], together[0]["agreement"]) == (pytest.approx(0, abs=1e-6), 1)
    for eviction, numbers in zip(evictions, together, strict=True):
        assert continuation.now(eviction) == pytest.approx(numbers, abs=1e-5)
    losses = continuation.token_losses(evictions)
    assert losses.shape == (4, 7)
    assert losses.mean(1)[1:] == pytest.approx([row["nll"] for row in together], abs=1e-5)


def test_heads_lose_their_own_pairs() -> None:
    """Of two key and value heads the first keeps all: only the second may change the prediction."""
    lens = decoder("llama")
    continuation = Continuation(TextReading(lens, TEXT), FOLLOWING)
    kept = torch.ones(3, 2, 12, dtype=torch.bool)
    kept[:, 0, 1:] = False
    one = continuation.now(measure_eviction(lens, TEXT, kept))
    two = continuation.now(measure_eviction(lens, TEXT, kept.flip(1)))
    assert abs(one["nll"] - two["nll"]) > 1e-5


def test_what_is_refused() -> None:
    lens = decoder("llama")
    reading = TextReading(lens, TEXT)
    with pytest.raises(InvalidInput, match="has 1 tokens"):
        Continuation(reading, FOLLOWING[:1])
    with pytest.raises(InvalidInput, match="a text of 11 tokens"):
        Continuation(reading, FOLLOWING).now(evict(lens, TEXT[:11]))
    torch.manual_seed(0)
    bloom = normlens.load((BloomForCausalLM(tiny.configuration("bloom")).eval(), None))
    with pytest.raises(UnsupportedArchitecture, match="inside its own modules"):
        Continuation(TextReading(bloom, TEXT), FOLLOWING)
    marian = normlens.load((MarianMTModel(tiny.configuration("marian")).eval(), None))
    with pytest.raises(UnsupportedArchitecture, match="doesn't continue a text"):
        Continuation(TextReading(marian, TEXT.tolist(), TEXT.tolist()), FOLLOWING)
    lens.model.model.layers[1] = lens.model.model.layers[0]
    shared = TextReading(normlens.load((lens.model, None)), TEXT)
    continuation = Continuation(shared, FOLLOWING)
    with pytest.raises(UnsupportedArchitecture, match="share an attention module"):
        continuation.now({("model.layers.0.self_attn", n): torch.ones(2, 12, dtype=torch.bool) for n in range(2)})
    with pytest.raises(InvalidInput, match="queries is 0"):
        TextReading(lens, TEXT, last=0)


def test_a_model_in_training_mode_drops_nothing() -> None:
    lens = decoder("gpt2")
    dropping = [module for module in lens.model.modules() if isinstance(module, torch.nn.Dropout) and module.p]
    assert dropping
    expected = Continuation(TextReading(lens, TEXT), FOLLOWING).now(evict(lens, TEXT))
    lens.model.train()
    assert Continuation(TextReading(lens, TEXT), FOLLOWING).now(evict(lens, TEXT)) == expected
    assert lens.model.training


def test_a_head_that_is_missing_from_the_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = tiny.configuration("llama")
    config.tie_word_embeddings = False
    AutoModel.from_config(config).save_pretrained(tmp_path)
    lens = normlens.load(tmp_path, task="causal-lm")
    with pytest.raises(InvalidInput, match=r"lm_head\.weight"):
        Continuation(TextReading(lens, TEXT), FOLLOWING)
