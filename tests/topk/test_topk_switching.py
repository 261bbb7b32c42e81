"""Switching a model to top-k attention and back: settings, layers, names, and models that are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from architectures import tiny
from switched_models import Ids, gap, run
from torch import nn

import normlens
from normlens.engine.capture.interface import attention_implementation
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.topk import IMPLEMENTATION, undo, use


def test_every_config_is_restored_also_after_an_exception() -> None:
    model = tiny.build("clip")
    model.config.text_config._attn_implementation = "sdpa"
    configs = (model.config, model.config.text_config, model.config.vision_config)
    before = [copy.deepcopy(config.__dict__) for config in configs]
    with pytest.raises(ZeroDivisionError), use(model, k=2, measure="norm"):
        inside = (model.config, model.config.text_config, model.config.vision_config)
        assert [config._attn_implementation for config in inside] == ["normlens_topk_in_use"] * 3
        assert [config._attn_implementation for config in configs] == ["eager", "sdpa", "eager"]
        raise ZeroDivisionError
    assert [str(config.__dict__) for config in configs] == [str(x) for x in before]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_one_line_switches_and_one_line_switches_back(tokens: Ids) -> None:
    model, ids = tiny.build("gpt2"), torch.tensor([tokens(9)])
    before, keys = run(model, ids), list(model.state_dict())
    use(model, k=2)
    assert gap(run(model, ids), before) > 1e-3
    assert list(model.state_dict()) == keys
    with pytest.raises(InvalidInput, match="uses top-k attention already"):
        use(model, k=3)
    undo(model)
    assert torch.equal(run(model, ids), before)
    with pytest.raises(InvalidInput, match="nothing to undo"):
        undo(model)
    lens = normlens.load((model, None))
    switched = use(lens, k=9)
    assert gap(run(lens.model, ids), before) < 1e-6
    switched.undo()
    switched.undo()


def test_an_analysis_meanwhile_shows_dense_attention(tokens: Ids) -> None:
    lens = normlens.load((tiny.build("llama"), None))
    before = lens.analyze(tokens(9))["decoder"].weight
    with use(lens, k=2, measure="norm"):
        assert before.equals(lens.analyze(tokens(9))["decoder"].weight)
        run(lens.model, torch.tensor([tokens(9)]))
        assert before.equals(lens.analyze(tokens(9))["decoder"].weight)


def test_transformers_own_switch_knows_it_by_name(tokens: Ids) -> None:
    for model_type in ("bert", "llama", "gemma2"):
        model, ids = tiny.build(model_type), torch.tensor([tokens(12)])
        before = run(model, ids)
        model.set_attn_implementation(IMPLEMENTATION)
        assert model.config._attn_implementation == IMPLEMENTATION
        assert gap(run(model, ids), before) < 1e-6
        if model_type == "llama":
            long = torch.tensor([tokens(100)])
            switched = run(model, long)
            with attention_implementation(model, "eager"):
                assert gap(switched, run(model, long)) > 1e-3  # 64 of 100 sources


def test_a_switch_by_name_is_refused_where_masks_would_be_lost(tokens: Ids) -> None:
    model = tiny.build("deepseek_v32")
    model.set_attn_implementation(IMPLEMENTATION)
    with pytest.raises(UnsupportedArchitecture, match="loses them silently"):
        run(model, torch.tensor([tokens(12)]))


def test_layers_are_chosen_by_number_or_pattern(tokens: Ids) -> None:
    model, ids = tiny.build("marian"), torch.tensor([tokens(9)])
    with use(model, k=2, layers=[1]) as switched:
        assert switched.paths == [
            f"{x}.layers.1.{y}" for x, y in (("encoder", "self_attn"), ("decoder", "self_attn"))
        ] + ["decoder.layers.1.encoder_attn"]
    with use(model, k=2, layers=["*.encoder_attn"]) as switched:
        assert len(switched.paths) == 3
        changed = run(model, ids)
    before = run(model, ids)
    assert gap(changed, before) > 1e-3
    with torch.no_grad(), use(model, k=1, layers=["decoder.*"]):
        assert gap(model(input_ids=ids, decoder_input_ids=ids).encoder_last_hidden_state, model.encoder(ids)[0]) < 1e-6
    for layer in (7, True, "*.attention"):
        with pytest.raises(InvalidInput, match="The layers are 0, 1, 2"):
            use(model, k=2, layers=[layer])


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("bloom", "computes attention inside its own modules"),
        ("deepseek_v32", "only under the names of certain"),
        ("sam_vision_model", "no attention with an eager function"),
    ],
)
def test_models_that_cannot_be_switched_are_refused(model_type: str, message: str) -> None:
    with pytest.raises(UnsupportedArchitecture, match=message):
        use(tiny.build(model_type), k=2)


def test_attention_that_is_not_ours_is_refused(tokens: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    right = modeling_llama.eager_attention_forward

    def doubled(*arguments: Any, **options: Any) -> Any:
        output, weights = right(*arguments, **options)
        return 2 * output, weights

    monkeypatch.setattr(modeling_llama, "eager_attention_forward", doubled)
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=2), pytest.raises(UnsupportedArchitecture, match="computes attention differently"):
        run(model, ids)
    assert model.config._attn_implementation == "eager"


def test_gates_have_no_norm_of_a_source(tokens: Ids) -> None:
    model = tiny.build("afmoe")
    with (
        use(model, k=2, measure="norm"),
        pytest.raises(UnsupportedArchitecture, match="a gate or a norm comes between"),
    ):
        run(model, torch.tensor([tokens(9)]))


def test_bad_input_is_named(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    for k in (0, -1, 1.5, "3", True):
        with pytest.raises(InvalidInput, match="must be a positive integer"):
            use(model, k=k)
    with pytest.raises(InvalidInput, match="measure must be one of weight, norm"):
        use(model, k=2, measure="length")
    with pytest.raises(InvalidInput, match="expected a transformers model"):
        use(nn.Linear(2, 2), k=2)
    with use(model, k=2):
        run(model, ids)
        with pytest.raises(InvalidInput, match=r"mask has shape \(1, 1, 9, 5\)"):
            run(model, ids, attention_mask=torch.zeros(1, 1, 9, 5))
        for shape in ((1, 5), (2, 9)):
            with pytest.raises(InvalidInput, match=rf"attention_mask has shape \({shape[0]}, {shape[1]}\)"):
                run(model, ids, attention_mask=torch.ones(shape, dtype=torch.long))
        with pytest.raises(InvalidInput, match="is a copy"):
            run(copy.deepcopy(model), ids)
    with use(model, k=2), pytest.raises(InvalidInput, match="is a copy"):
        run(copy.deepcopy(model), ids)  # before the model itself has run
    assert model.config._attn_implementation == "eager"
