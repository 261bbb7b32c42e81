"""Norms of cached sources: computed once each while a cache grows, and anew wherever it holds something else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from architectures import tiny
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from normlens.topk import norm_cache as cached_norms
from normlens.topk import use
from normlens.topk.norm_cache import CachedNorms

Ids = Callable[..., list[int]]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sources' norms each call computes."""
    lengths: list[int] = []
    right = cached_norms.log_vector_norms

    def counted(value: Tensor, factors: Tensor) -> Tensor:
        lengths.append(value.shape[2])
        return right(value, factors)

    monkeypatch.setattr(cached_norms, "log_vector_norms", counted)
    return lengths


def uneven(model: PreTrainedModel) -> PreTrainedModel:
    """The model with value vectors of very different lengths, so that other norms choose other sources."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "v_proj.weight" in name:
                parameter *= 30
    return model


def step(model: PreTrainedModel, ids: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
    with torch.no_grad():
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
    return output[0], output.past_key_values


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}])
@pytest.mark.parametrize(("name", "model_type"), [("LlamaForCausalLM", "llama"), ("MarianMTModel", "marian")])
def test_generation_is_what_it_is_without_remembered_norms(
    name: str, model_type: str, options: dict[str, Any], tokens: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    if model_type == "marian" and options.get("cache_implementation"):
        pytest.skip("static caches are for decoders")
    torch.manual_seed(0)
    model = uneven(getattr(transformers, name)(tiny.configuration(model_type)).eval())
    mask = torch.tensor([[1] * 8, [0] * 3 + [1] * 5])
    inputs = {"input_ids": torch.tensor([tokens(8), tokens(8, 1)]), "attention_mask": mask}
    settings = {
        "max_new_tokens": 12,
        "min_new_tokens": 12,
        "do_sample": False,
        "disable_compile": True,
        "use_cache": True,
        "output_scores": True,
        "return_dict_in_generate": True,
        **options,
    }
    with use(model, k=2, measure="norm"):
        remembered = model.generate(**inputs, **settings)
        monkeypatch.setattr(CachedNorms, "before_call", lambda *arguments: None)
        anew = model.generate(**inputs, **settings)
    assert torch.equal(remembered.sequences, anew.sequences)
    assert all(torch.equal(a, b) for a, b in zip(remembered.scores, anew.scores, strict=True))


def test_each_source_of_a_growing_cache_is_measured_once(tokens: Ids, computed: list[int]) -> None:
    model, ids = uneven(tiny.build("llama")), torch.tensor([tokens(11)])
    layers = model.config.num_hidden_layers
    with use(model, k=2, measure="norm"):
        whole = step(model, ids)[0]
        computed.clear()
        outputs, cache = [], None
        for piece in ids.split([6, 1, 3, 1], dim=1):
            output, cache = step(model, piece, cache)
            outputs.append(output)
    assert computed == [length for length in (6, 1, 3, 1) for _ in range(layers)]
    assert gap(torch.cat(outputs, 1), whole) < 1e-5


def test_the_sources_of_cross_attention_are_measured_once(tokens: Ids, computed: list[int]) -> None:
    torch.manual_seed(0)
    model = transformers.MarianMTModel(tiny.configuration("marian")).eval()
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "num_beams": 1, "use_cache": True}
    with use(model, k=2, measure="norm", layers=["*.encoder_attn"]):
        model.generate(input_ids=torch.tensor([tokens(8)]), **options)
    assert computed == [8] * model.config.decoder_layers


def _cropped(cache: Any) -> None:
    cache.crop(-2)


def _reordered(cache: Any) -> None:
    cache.reorder_cache(torch.tensor([1, 0]))


def _selected(cache: Any) -> None:
    cache.batch_select_indices(torch.tensor([1, 1]))


def _rewritten(cache: Any) -> None:
    for layer in cache.layers:
        layer.values[:, :, ::2] *= 0.01


@pytest.mark.parametrize("change", [_cropped, _reordered, _selected, _rewritten])
def test_a_cache_that_holds_something_else_is_measured_anew(
    change: Callable[[Any], None], tokens: Ids, computed: list[int]
) -> None:
    model, ids = uneven(tiny.build("llama")), torch.tensor([tokens(10), tokens(10, 1)])
    new = torch.tensor([tokens(3, 2), tokens(3, 3)])
    with use(model, k=2, measure="norm"):
        cache = step(model, ids)[1]
        with torch.no_grad():
            change(cache)
        other = copy.deepcopy(cache)  # holds other tensors, whose norms were never computed
        computed.clear()
        output = step(model, new, cache)[0]
        assert min(computed) == cache.layers[0].values.shape[2]
        assert torch.equal(output, step(model, new, other)[0])


def test_two_texts_in_turn_keep_their_norms_apart(tokens: Ids) -> None:
    model = uneven(tiny.build("llama"))
    texts = [torch.tensor([tokens(9)]), torch.tensor([tokens(9, 1)])]
    with use(model, k=2, measure="norm"):
        whole = [step(model, ids)[0] for ids in texts]
        caches = [step(model, ids[:, :7])[1] for ids in texts]
        for place in (7, 8):
            for text, ids in enumerate(texts):
                output, caches[text] = step(model, ids[:, place : place + 1], caches[text])
                assert gap(output[:, 0], whole[text][:, place]) < 1e-5


def test_other_projections_measure_anew(tokens: Ids, computed: list[int]) -> None:
    model, ids = uneven(tiny.build("llama")), torch.tensor([tokens(8)])
    with use(model, k=2, measure="norm"):
        cache = step(model, ids)[1]
        with torch.no_grad():
            for layer in model.layers:
                layer.self_attn.o_proj.weight[:, :8] *= 5
        computed.clear()
        step(model, ids[:, :1], cache)
    assert computed == [9] * model.config.num_hidden_layers


def test_inference_mode_and_training_remember_nothing_wrong(tokens: Ids, computed: list[int]) -> None:
    model, ids = uneven(tiny.build("llama")), torch.tensor([tokens(8)])
    with use(model, k=2, measure="norm"):
        whole = step(model, ids)[0]
        with torch.inference_mode():
            cache = DynamicCache(config=model.config)
            outputs = [model(input_ids=piece, past_key_values=cache)[0] for piece in ids.split([5, 3], dim=1)]
        assert gap(torch.cat(outputs, 1), whole) < 1e-5
        model(input_ids=ids)[0].sum().backward()
    assert not any(module._forward_pre_hooks for module in model.modules())
