"""Captured attention is what the model computes, and the model is restored afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from architectures import tiny
from torch import Tensor, nn

from normlens.engine.capture.interface import (
    AttentionCall,
    attention_implementation,
    capturing,
    eager_function,
    has_interface,
)
from normlens.engine.capture.softmax import observing
from normlens.errors import UnsupportedArchitecture

Ids = Callable[..., list[int]]
INTERFACE = ["bert", "gpt2", "llama", "gemma2", "gpt_oss", "opt", "mistral"]
OWN = ["bloom", "falcon", "mpnet", "deberta-v2", "gpt_neo"]


def captured_from(model_type: str, ids: list[int], chunk_size: int | None = None) -> tuple[list[AttentionCall], Tensor]:
    model, calls = tiny.build(model_type), []
    with torch.no_grad():
        if has_interface(model):
            with capturing(model, calls.append, chunk_size):
                output = model(input_ids=torch.tensor([ids]))
        else:
            with attention_implementation(model, "eager"), observing(model, calls.append):
                output = model(input_ids=torch.tensor([ids]))
    return calls, output[0]


@pytest.mark.parametrize("model_type", INTERFACE)
def test_weights_and_output_are_those_of_the_untouched_model(model_type: str, tokens: Ids) -> None:
    calls, output = captured_from(model_type, tokens(8))
    model = tiny.build(model_type)
    with torch.no_grad():
        untouched = model(input_ids=torch.tensor([tokens(8)]), output_attentions=True)
    assert torch.equal(output, untouched[0])
    assert len(calls) == len(untouched.attentions) == 3
    for call, weights in zip(calls, untouched.attentions, strict=True):
        assert call.weights is not None and torch.equal(call.weights, weights)


@pytest.mark.parametrize("model_type", [*INTERFACE, *OWN])
def test_the_output_is_the_weighted_sum_of_the_values(model_type: str, tokens: Ids) -> None:
    calls, _ = captured_from(model_type, tokens(8))
    assert len(calls) == 3
    for call in calls:
        weights = call.rows(0, 8)
        value = call.value.repeat_interleave(weights.shape[1] // call.value.shape[1], dim=1)
        assert torch.allclose(call.output, (weights @ value).transpose(1, 2), atol=1e-5)
        assert torch.equal(call.arranged(call.produced), call.output.flatten(2))


@pytest.mark.parametrize("model_type", OWN)
def test_observing_changes_nothing(model_type: str, tokens: Ids) -> None:
    _, output = captured_from(model_type, tokens(8))
    with torch.no_grad():
        assert torch.equal(output, tiny.build(model_type)(input_ids=torch.tensor([tokens(8)]))[0])


@pytest.mark.parametrize("model_type", INTERFACE)
def test_chunks_keep_no_weights_and_give_every_row_again(model_type: str, tokens: Ids) -> None:
    whole, output = captured_from(model_type, tokens(8))
    calls, in_chunks = captured_from(model_type, tokens(8), chunk_size=3)
    assert torch.allclose(output, in_chunks, atol=1e-5)
    for call, other in zip(calls, whole, strict=True):
        assert call.weights is None
        assert call.rows(2, 5).shape[2] == 3
        assert torch.allclose(call.rows(2, 5), other.rows(2, 5), atol=1e-6)


def test_chunks_never_hold_more_rows_than_asked_for(tokens: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    right, rows = modeling_llama.eager_attention_forward, []

    def counted(module: nn.Module, query: Tensor, *arguments: object, **options: object) -> tuple[Tensor, Tensor]:
        rows.append(query.shape[2])
        return right(module, query, *arguments, **options)

    monkeypatch.setattr(modeling_llama, "eager_attention_forward", counted)
    captured_from("llama", tokens(8), chunk_size=3)
    assert rows == [3, 3, 3, 2] * 3  # the first slice with and without what its mask hides


def test_every_config_is_restored_also_after_an_exception() -> None:
    model = tiny.build("clip")
    model.config.text_config._attn_implementation = "sdpa"
    model.config.vision_config._attn_implementation = "eager"

    def names() -> list[str]:
        configs = (model.config, model.config.text_config, model.config.vision_config)
        return [config._attn_implementation for config in configs]

    before = names()
    with pytest.raises(ZeroDivisionError), capturing(model, lambda call: None):
        assert set(names()) == {"normlens"}
        raise ZeroDivisionError
    assert names() == before


def test_a_capture_sees_its_own_context_only(tokens: Ids) -> None:
    inner, outer = [], []
    model = tiny.build("gpt2")
    ids = torch.tensor([tokens(4)])
    with torch.no_grad(), capturing(model, outer.append):
        model(input_ids=ids)
        with capturing(model, inner.append):
            model(input_ids=ids)
        model(input_ids=ids)
    assert (len(outer), len(inner)) == (6, 3)


def test_one_thread_at_a_time_switches_a_model(tokens: Ids) -> None:
    model = tiny.build("gpt2")
    entered, leave = threading.Event(), threading.Event()
    order = []

    def second() -> None:
        entered.wait(5)
        with attention_implementation(model, "sdpa"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with attention_implementation(model, "normlens"):
        entered.set()
        leave.wait(0.2)
        order.append("first")
        assert model.config._attn_implementation == "normlens"
    thread.join(5)
    assert order == ["first", "second"]
    assert model.config._attn_implementation == "eager"


def test_the_eager_function_is_the_one_that_the_module_s_forward_names() -> None:
    from transformers.models.bert import modeling_bert

    attention = tiny.build("bert").encoder.layer[0].attention.self
    assert eager_function(attention) is modeling_bert.eager_attention_forward
    with pytest.raises(UnsupportedArchitecture, match="refers to no eager attention function"):
        eager_function(nn.Linear(2, 2))


def test_models_that_compute_attention_themselves_are_known() -> None:
    assert has_interface(tiny.build("bert"))
    assert not has_interface(tiny.build("bloom"))
