"""Each wrong rule is caught by a check that has a name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from architectures import tiny
from torch import Tensor

from normlens.engine.frozen import Check, Site, check, directions
from normlens.engine.frozen.call import Call
from normlens.engine.frozen.operations import RULES
from normlens.engine.frozen.rules import Rule


def live(call: Call) -> Any:
    """The mutation: the operation with its true derivative."""
    return call.run()


def live_layer_norm(call: Call) -> Tensor:
    """A layer norm whose sigma is live; its shift is followed as a constant, as it should be."""
    x, shape, weight, bias, eps = call.named("input", "normalized_shape", "weight", "bias", "eps")
    return F.layer_norm(x, shape, weight, call.follow(bias), eps)


def checked(model_type: str, batch: int = 2, **options: Any) -> Check:
    model = tiny.build(model_type, dtype=torch.float64)
    return check(model, tiny.inputs(model_type, model, batch=batch, length=6), scalar, **options)


def scalar(output: Any) -> Tensor:
    state = output.last_hidden_state[:, -1]
    return state @ torch.linspace(-1, 1, state.shape[-1], dtype=state.dtype)


@pytest.mark.parametrize("model_type", ["bert", "llama", "gpt2", "t5"])
def test_a_sound_model_passes(model_type: str) -> None:
    assert checked(model_type).failures() == []


@pytest.mark.parametrize(
    ("model_type", "operation", "mutation"),
    [
        ("bert", "gelu", live),  # an activation left as it is
        ("opt", "relu", lambda call: call.args[0] * 0.9 + (F.relu(call.args[0]) - call.args[0] * 0.9).detach()),
        ("bert", "layer_norm", live_layer_norm),  # a norm whose sigma is live
        ("llama", "rsqrt", live),
        ("llama", "mul", live),  # a product that is not halved
        ("bert", "softmax", live),  # attention weights that carry something
    ],
)
def test_an_operation_left_unfrozen_breaks_conservation(
    model_type: str, operation: str, mutation: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, operation, mutation)  # type: ignore[arg-type]
    assert "conservation" in checked(model_type).failures()


def test_a_rule_that_changes_the_value_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "gelu", lambda call: call.args[0] * 0.5)  # type: ignore[arg-type]
    assert checked("bert").failures() == ["value"]


def test_directions_that_differ_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directions._Graft, "jvp", staticmethod(lambda ctx, *tangents: tangents[0] * 1.01))
    assert checked("bert", batch=1).failures() == ["directions"]


def test_sources_that_nothing_comes_from_are_caught() -> None:
    model = tiny.build("bert", dtype=torch.float64)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.zero_()
    inputs = tiny.inputs("bert", model, batch=2, length=6)
    assert check(model, inputs, scalar).failures() == ["sources"]
    assert check(model, inputs, scalar, sources=Site("encoder.layer.0", "input")).failures() == []
