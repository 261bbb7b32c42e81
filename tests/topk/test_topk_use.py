"""Switched models: dense with every source, the definition with few, caches, training, and back to what they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architectures import tiny
from formula import topk_output
from switched_models import MODELS, Ids, gap, run
from torch import Tensor, nn

import normlens
from normlens.engine.capture.interface import capturing
from normlens.topk import use


@pytest.mark.parametrize("measure", ["weight", "norm"])
@pytest.mark.parametrize("model_type", MODELS)
def test_with_every_source_a_model_gives_what_it_gave(model_type: str, measure: str, tokens: Ids) -> None:
    model, ids = tiny.build(model_type), torch.tensor([tokens(12), tokens(12, 1)])
    before = run(model, ids)
    with use(model, k=12, measure=measure, chunk_size=5):
        assert gap(run(model, ids), before) < 1e-6
    assert torch.equal(run(model, ids), before)


@pytest.mark.parametrize("model_type", ["splinter", "phi4_multimodal_vision", "paligemma", "vit"])
def test_models_that_are_not_as_causal_as_they_say(model_type: str) -> None:
    model = tiny.build(model_type)
    inputs = tiny.inputs(model_type, model)
    with torch.no_grad():
        before = model(**inputs)[0]
        with use(model, k=10**4):
            assert gap(model(**inputs)[0], before) < 1e-6


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "gemma2", "marian"])
def test_padding_is_seen_by_nobody(model_type: str, side: str, tokens: Ids) -> None:
    model = tiny.build(model_type)
    long, short = tokens(10), tokens(7, 1)
    padded = short + [0] * 3 if side == "right" else [0] * 3 + short
    mask = torch.tensor([[1] * 10, [1] * 7 + [0] * 3 if side == "right" else [0] * 3 + [1] * 7])
    position = {} if model_type in ("bert", "marian") else {"position_ids": (mask.cumsum(-1) - 1).clamp_min(0)}
    real = slice(None) if model_type == "marian" else slice(0, 7) if side == "right" else slice(3, 10)
    for k in (3, 100):
        with use(model, k=k, chunk_size=4):
            together = run(model, torch.tensor([long, padded]), attention_mask=mask, **position)
            alone = run(model, torch.tensor([short])) if model_type != "bert" or side == "right" else None
        if k == 100:
            dense = run(model, torch.tensor([long, padded]), attention_mask=mask, **position)
            assert gap(together[1, real], dense[1, real]) < 1e-6
        if alone is not None and not (model_type == "marian" and side == "left"):
            assert gap(together[1, real], alone[0]) < 1e-5


CASES = [
    ("bert", "encoder", "encoder.layer.1.attention.output.dense"),
    ("gpt2", "decoder", "h.1.attn.c_proj"),
    ("llama", "decoder", "layers.1.self_attn.o_proj"),
    ("gemma2", "decoder", "layers.1.self_attn.o_proj"),
    ("marian", "cross", "decoder.layers.1.encoder_attn.out_proj"),
]


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("measure", ["weight", "norm"])
@pytest.mark.parametrize(("model_type", "group", "projection"), CASES)
def test_what_is_kept_is_what_the_analysis_finds_largest(
    model_type: str, group: str, projection: str, measure: str, renormalize: bool, tokens: Ids
) -> None:
    model, ids = tiny.build(model_type), tokens(9)
    target = tokens(6) if group == "cross" else None
    analyzed = normlens.load((model, None)).analyze(ids, target_text=target)[group]
    weights = torch.from_numpy(analyzed.weight.sel(layer=1).values).double()[None]
    norms = torch.from_numpy(analyzed.vector_norm.sel(layer=1).values).double()[None]
    inputs = {"input_ids": torch.tensor([ids])} | (
        {"decoder_input_ids": torch.tensor(analyzed.data["target_id"].values)[None]} if target else {}
    )
    values: dict[nn.Module, Tensor] = {}
    with torch.no_grad(), capturing(model, lambda call: values.update({call.module: call.value})):
        model(**inputs)
    seen: list[Tensor] = []
    hook = model.get_submodule(projection).register_forward_pre_hook(
        lambda module, arguments: seen.append(arguments[0])
    )
    layers = ["decoder.layers.1.encoder_attn"] if group == "cross" else [1]
    with use(model, k=3, measure=measure, renormalize=renormalize, layers=layers) as switched, torch.no_grad():
        model(**inputs)
    hook.remove()
    attention = model.get_submodule(switched.paths[0])
    ranking = weights * norms[:, :, None] if measure == "norm" else None
    expected, _ = topk_output(weights.log(), values[attention].double(), 3, ranking, renormalize)
    assert gap(seen[-1].double().flatten(2).flatten(), expected.transpose(1, 2).flatten()) < 1e-5


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("selection", [{"measure": "weight"}, {"measure": "norm"}, {"keep": "recent"}])
def test_a_cache_changes_nothing(model_type: str, selection: dict[str, str], tokens: Ids) -> None:
    model, ids = tiny.build(model_type), torch.tensor([tokens(11), tokens(11, 1)])
    with use(model, k=3, chunk_size=4, **selection), torch.no_grad():
        whole = model(input_ids=ids)[0]
        cache, steps = None, []
        for piece in ids.split([6, 1, 3, 1], dim=1):
            output = model(input_ids=piece, past_key_values=cache, use_cache=True)
            cache, steps = output.past_key_values, [*steps, output[0]]
    assert gap(torch.cat(steps, 1), whole) < 1e-5


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}])
@pytest.mark.parametrize(("name", "model_type"), [("LlamaForCausalLM", "llama"), ("MarianMTModel", "marian")])
def test_generation_is_that_of_dense_attention(
    name: str, model_type: str, options: dict[str, Any], tokens: Ids
) -> None:
    import transformers

    if model_type == "marian" and options.get("cache_implementation"):
        pytest.skip("static caches are for decoders")
    torch.manual_seed(0)
    model = getattr(transformers, name)(tiny.configuration(model_type)).eval()
    mask = torch.tensor([[1] * 8, [0] * 3 + [1] * 5])
    inputs = {"input_ids": torch.tensor([tokens(8), tokens(8, 1)]), "attention_mask": mask}
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "disable_compile": True, **options}
    dense = model.generate(**inputs, **settings)
    for measure in ("weight", "norm"):
        with use(model, k=100, measure=measure):
            assert torch.equal(model.generate(**inputs, **settings), dense)
    with use(model, k=2, measure="norm"):
        assert model.generate(**inputs, **settings).shape == dense.shape


def test_training_has_the_gradients_of_dense_attention_and_reproducible_dropout(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(input_ids=ids)[0].square().sum().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    dense = gradients()
    with use(model, k=9, chunk_size=4):
        ours = gradients()
        assert all(gap(a, b) < 1e-5 for a, b in zip(ours, dense, strict=True))
        for module in model.modules():
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.5
        assert all(torch.allclose(a, b) for a, b in zip(gradients(), ours, strict=True))  # evaluation mode: none
        model.train()
        draws = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            draws.append(gradients())
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not torch.equal(draws[0][0], draws[2][0])


def test_norms_follow_an_update_of_the_projection(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, measure="norm"):
        run(model, ids)
        with torch.no_grad():
            for layer in model.layers:
                layer.self_attn.o_proj.weight[:, :8] *= 5
        after = run(model, ids)
    with use(model, k=3, measure="norm"):
        assert torch.equal(run(model, ids), after)
