"""Following attention's output through models: projection, multipliers, norms, residual; and where the trace ends."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from architectures import tiny
from torch import Tensor, nn

from normlens.engine.capture.interface import AttentionCall, attention_implementation, capturing, has_interface
from normlens.engine.capture.softmax import observing
from normlens.engine.tracing import Tracer, uncaptured
from normlens.engine.tracing.anatomy import describe, require_attention_scope
from normlens.engine.tracing.block import AppliedNorm, Block
from normlens.engine.tracing.scopes import ATTENTION_SCOPES
from normlens.engine.tracing.trace import BlockTrace
from normlens.errors import UnsupportedArchitecture

Ids = Callable[..., list[int]]


def trace(model_type: str, dtype: torch.dtype = torch.float64) -> list[BlockTrace]:
    model = tiny.build(model_type, dtype=dtype)
    tracer = Tracer(model)
    capture = capturing(model, tracer.capture) if has_interface(model) else observing(model, tracer.capture)
    with torch.no_grad(), attention_implementation(model, "eager"), capture, tracer.watching():
        model(**tiny.inputs(model_type, model))
    return tracer.open_traces


@pytest.mark.parametrize(
    ("model_type", "groups", "family", "scopes"),
    [
        ("bert", ["encoder"], "post-norm", 3),
        ("roberta", ["encoder"], "post-norm", 3),
        ("distilbert", ["encoder"], "post-norm", 3),
        ("deberta", ["encoder"], "post-norm", 3),
        ("marian", ["encoder", "decoder", "cross"], "post-norm", 3),
        ("bart", ["encoder", "decoder", "cross"], "post-norm", 3),
        ("gpt2", ["decoder"], "pre-norm", 2),
        ("llama", ["decoder"], "pre-norm", 2),
        ("t5", ["encoder", "decoder", "cross"], "pre-norm", 2),
        ("pegasus", ["encoder", "decoder", "cross"], "pre-norm", 2),
        ("vit", ["encoder"], "pre-norm", 2),
        ("bloom", ["decoder"], "pre-norm", 2),
        ("gemma2", ["decoder"], "sandwich", 2),
        ("gemma3_text", ["decoder"], "sandwich", 2),
        ("olmo2", ["decoder"], "sandwich", 2),
        ("gpt_neox", ["decoder"], "parallel", 2),
        ("phi", ["decoder"], "parallel", 2),
        ("gptj", ["decoder"], "parallel", 2),
    ],
)
def test_families_are_recognized(model_type: str, groups: list[str], family: str, scopes: int) -> None:
    blocks = [describe(block) for block in trace(model_type, torch.float32)]
    assert list(dict.fromkeys(block.group for block in blocks)) == groups
    assert {block.family for block in blocks} == {family}
    assert {len(block.scopes) for block in blocks} == {scopes}


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "gemma2", "gpt_neox", "granite", "cohere", "bloom"])
def test_what_was_followed_reproduces_the_residual_sum(model_type: str) -> None:
    for block in (traced.finished() for traced in trace(model_type)):
        projection, residual = block.projection, block.residual
        x = block.call.output.flatten(2).double() @ projection.weight
        x = x if projection.bias is None else x + projection.bias
        assert torch.allclose(x, projection.output, atol=1e-6)
        assert residual is not None
        for step in residual.steps:
            x = step.form.apply(x, step.scale) if isinstance(step, AppliedNorm) else x * step
        x = x + residual.own + (0 if residual.other_addend is None else residual.other_addend)
        assert torch.allclose(x, residual.output, atol=1e-6)


def test_the_modules_of_bert_are_found() -> None:
    model = tiny.build("bert", dtype=torch.float64)
    for layer, traced in zip(model.encoder.layer, trace("bert"), strict=True):
        block = traced.finished()
        dense, norm = layer.attention.output.dense, layer.attention.output.LayerNorm
        assert torch.equal(block.projection.weight, dense.weight.T)
        assert block.projection.bias is not None and torch.equal(block.projection.bias, dense.bias)
        assert block.outer_norm is not None and torch.equal(block.outer_norm.form.gain, norm.weight)
        assert torch.equal(block.outer_norm.form.shift, norm.bias) and block.outer_norm.form.centered


def test_a_residual_multiplier_is_a_step() -> None:
    model = tiny.build("granite", dtype=torch.float64)
    for layer in model.layers:
        layer.residual_multiplier = 0.37
    tracer = Tracer(model)
    with torch.no_grad(), capturing(model, tracer.capture), tracer.watching():
        model(**tiny.inputs("granite", model))
    for block in tracer.open_traces:
        (step,) = block.steps
        assert isinstance(step, Tensor) and float(step) == pytest.approx(0.37)


def test_shared_layers_are_told_apart_by_occurrence() -> None:
    blocks = trace("albert")
    assert len({block.path for block in blocks}) == 1
    assert [block.occurrence for block in blocks] == [0, 1, 2]


def test_blocks_are_reported_as_soon_as_they_are_complete(tokens: Ids) -> None:
    model, reported = tiny.build("bert"), []

    def report(block: Block) -> None:
        reported.append((block.path, len(tracer.open_traces)))

    tracer = Tracer(model, report, lambda path, occurrence: ATTENTION_SCOPES)
    with torch.no_grad(), capturing(model, tracer.capture), tracer.watching():
        model(input_ids=torch.tensor([tokens(5)]))
    assert reported == [(f"encoder.layer.{k}.attention.self", 0) for k in range(3)]
    assert not tracer.open_traces


class Toy(nn.Module):
    """One attention block with something between its modules."""

    def __init__(self, before: Callable[[Tensor], Tensor], after: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.attention, self.projection = nn.Linear(6, 6), nn.Linear(6, 6)
        self.before, self.after = before, after

    def forward(self, hidden_states: Tensor) -> Tensor:
        query = hidden_states.unsqueeze(1)
        mixed = (query @ query.transpose(-1, -2)).softmax(-1) @ self.attention(hidden_states).unsqueeze(1)
        return self.after(self.projection(self.before(mixed.squeeze(1))), hidden_states)


def trace_toy(before: Callable[[Tensor], Tensor], after: Callable[[Tensor, Tensor], Tensor]) -> BlockTrace:
    model = Toy(before, after)
    wrapper = nn.Sequential(model)
    tracer = Tracer(wrapper)
    with torch.no_grad(), observing(wrapper, tracer.capture), tracer.watching():
        wrapper(torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0)))
    (block,) = tracer.open_traces
    return block


def test_a_plain_block_is_followed_to_the_residual_sum() -> None:
    block = trace_toy(lambda x: x, lambda y, x: y + x)
    assert block.reached() == ("attention", "residual")


@pytest.mark.parametrize("scaled", [lambda y, x: 3 * y + x, lambda y, x: x + y / 4, lambda y, x: y.mul(0.5).add(x)])
def test_numbers_before_the_sum_are_multipliers(scaled: Callable[[Tensor, Tensor], Tensor]) -> None:
    block = trace_toy(lambda x: x, scaled)
    assert block.reached() == ("attention", "residual")
    (step,) = block.steps
    assert float(step) in (3, 0.25, 0.5)


@pytest.mark.parametrize(
    "between",
    [torch.relu, lambda x: x - 1, lambda x: x.flip(-1), lambda x: torch.cat([x[..., 3:], x[..., :3]], -1), torch.tanh],
    ids=["relu", "minus", "flip", "cat", "tanh"],
)
def test_what_comes_between_attention_and_its_projection_ends_the_trace(between: Callable[[Tensor], Tensor]) -> None:
    block = trace_toy(between, lambda y, x: y + x)
    assert block.reached() == ()
    with pytest.raises(UnsupportedArchitecture, match=r"^0 .*comes between attention and its output projection"):
        require_attention_scope([describe(block)], nn.Identity())


@pytest.mark.parametrize(
    "behind",
    [lambda y, x: torch.tanh(y) + x, lambda y, x: y * x, lambda y, x: y.clamp(-1, 1) + x, lambda y, x: y - x],
    ids=["tanh", "product", "clamp", "minus"],
)
def test_what_comes_before_the_residual_sum_leaves_the_scope_out(behind: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert trace_toy(lambda x: x, behind).reached() == ("attention",)


def test_a_sum_with_something_that_is_no_residual_stream_is_none() -> None:
    block = trace_toy(lambda x: x, lambda y, x: y + torch.ones_like(x))
    assert block.reached() == ("attention",)


def test_no_attention_at_all_is_refused() -> None:
    with pytest.raises(UnsupportedArchitecture, match="No attention was captured"):
        require_attention_scope([], nn.Linear(1, 1))


def test_attention_that_ran_uncaptured_is_listed() -> None:
    ran = ["layers.0.attention", "layers.0.attention.self", "layers.1.attention", "layers.10.attention"]
    assert uncaptured(ran, ["layers.0.attention.self"]) == ["layers.1.attention", "layers.10.attention"]
    assert uncaptured(ran, [*ran[2:], "layers.0"]) == []


def test_hooks_are_gone_after_watching() -> None:
    model = tiny.build("bert")
    tracer = Tracer(model)
    with pytest.raises(ZeroDivisionError), tracer.watching():
        raise ZeroDivisionError
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_call_knows_its_module() -> None:
    calls: list[AttentionCall] = []
    model = tiny.build("bert")
    with torch.no_grad(), capturing(model, calls.append):
        model(**tiny.inputs("bert", model))
    assert [call.module for call in calls] == [layer.attention.self for layer in model.encoder.layer]


def test_a_tracer_lets_go_of_the_run() -> None:
    """The stream before and after every norm is freed when the run ends, not when garbage is collected."""
    model = tiny.build("llama")
    tracer = Tracer(model)
    seen: list[weakref.ref[Tensor]] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, args, output: seen.append(weakref.ref(output)))
    gc.disable()
    try:
        with torch.no_grad(), capturing(model, tracer.capture), tracer.watching():
            model(**tiny.inputs("llama", model))
        tracer.open_traces.clear()
        assert seen
        assert [ref() for ref in seen] == [None] * len(seen)
    finally:
        gc.enable()
