"""Every text of a batch has its own bias share and conservation error, mostly from the one backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architectures import tiny
from torch import Tensor

from normlens.engine.frozen import pull_back, pullback
from normlens.engine.frozen.operations import RULES
from normlens.engine.frozen.pullback import split
from normlens.errors import ConservationError


def setting(model_type: str, dtype: torch.dtype = torch.float64, batch: int = 2) -> tuple[Any, dict[str, Tensor]]:
    model = tiny.build(model_type, dtype=dtype)
    return model, tiny.inputs(model_type, model, batch=batch, length=6)


def weighted(output: Any) -> Tensor:
    """A fixed linear function of the last position's state."""
    state = output.last_hidden_state[:, -1]
    return state @ torch.linspace(-1, 1, state.shape[-1], dtype=state.dtype)


@pytest.mark.parametrize(("model_type", "wrong"), [("bert", "softmax"), ("llama", "mul"), ("t5", "rsqrt")])
def test_every_text_of_a_batch_has_its_own_conservation_error(
    model_type: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, wrong, lambda call: call.run())  # an operation left unfrozen
    model, inputs = setting(model_type, batch=3)
    together = split(model, inputs, weighted, product="half", sources=None)
    rows = ({name: x[i : i + 1] if isinstance(x, Tensor) else x for name, x in inputs.items()} for i in range(3))
    alone = [split(model, row, weighted, product="half", sources=None) for row in rows]
    assert together.conservation_error.shape == (3,)
    assert torch.allclose(together.conservation_error, torch.cat([one.conservation_error for one in alone]), rtol=1e-6)
    assert together.largest_conservation_error == together.conservation_error.max() > 1e-3
    assert len(set(together.conservation_error.tolist())) == 3


def no_second_run(*arguments: Any, **options: Any) -> None:
    raise AssertionError("the biases were pushed forward")


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "opt", "bart", "bloom", "qwen2_moe", "vit", "swin", "wav2vec2"])
def test_one_backward_pass_measures_the_bias_share_of_every_text(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pullback, "Push", no_second_run)
    model, inputs = setting(model_type, torch.float32, batch=3)
    result = split(model, inputs, weighted, product="half", sources=None)
    assert (result.bias_share.abs() > 1e-3 * result.scale).all()
    assert result.largest_conservation_error < 1e-5


@pytest.mark.parametrize(("model_type", "wrong"), [("bert", "softmax"), ("gpt2", "softmax"), ("qwen2_moe", "mul")])
def test_one_backward_pass_finds_the_gap_of_every_text(
    model_type: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, wrong, lambda call: call.run())
    model, inputs = setting(model_type, batch=3)
    pushed = split(model, inputs, weighted, product="half", sources=None).conservation_error
    monkeypatch.setattr(pullback, "Push", no_second_run)
    monkeypatch.setattr(pullback, "tolerance", lambda model: float("inf"))
    assert torch.allclose(split(model, inputs, weighted, product="half", sources=None).conservation_error, pushed)
    assert (pushed > 1e-3).all()


@pytest.mark.parametrize("model_type", ["xlnet", "fsmt", "gpt_oss", "timesformer"])
def test_where_rows_do_not_come_first_the_biases_are_pushed_forward(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # positions first, tokens routed to experts, frames by patches
    model, inputs = setting(model_type, torch.float32, batch=3)
    result = split(model, inputs, weighted, product="half", sources=None)
    assert result.largest_conservation_error < 1e-5
    monkeypatch.setattr(pullback, "Push", no_second_run)
    with pytest.raises(AssertionError, match="pushed forward"):
        split(model, inputs, weighted, product="half", sources=None)


def test_gaps_of_two_texts_do_not_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    # a scalar and its negative: the gaps of the two rows add up to nothing
    monkeypatch.setitem(RULES, "softmax", lambda call: call.run())
    model, inputs = setting("bert", batch=1)
    twice = {name: x.repeat(2, 1) for name, x in inputs.items() if isinstance(x, Tensor)}
    with pytest.raises(ConservationError, match="differ by"):
        pull_back(model, twice, lambda output: weighted(output) * torch.tensor([1.0, -1.0]))
