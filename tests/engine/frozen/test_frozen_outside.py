"""What a model meets that isn't its own: inputs that require a gradient, hooks, shared modules, patched calls, modes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor, nn
from torch.autograd import forward_ad

from normlens.engine.frozen import PullBack, Site, check, pull_back, push_forward
from normlens.engine.frozen.pullback import SMALL, _bias_share, _inner
from normlens.errors import InvalidInput, UnknownOperation

IDS = torch.tensor([[5, 7, 9, 11, 13]])
ALBERT_LAYER = "encoder.albert_layer_groups.0.albert_layers.0"


def first_number(output: Any) -> Tensor:
    state: Tensor = output.last_hidden_state
    return state[:, -1, 0]


def split(model: Any, **options: Any) -> PullBack:
    return pull_back(model, {"input_ids": IDS}, first_number, **options)


@pytest.mark.parametrize("model_type", ["gpt2", "bert"])
def test_a_model_that_was_fine_tuned_with_gradient_checkpointing_is_split(model_type: str) -> None:
    model = tiny.build(model_type)
    expected = split(model)
    model.activation_checkpointing_enable()
    assert torch.equal(split(model).shares, expected.shares)
    model.activation_checkpointing_disable()
    assert torch.equal(split(model).shares, expected.shares)


def test_inputs_may_require_a_gradient() -> None:
    model, pixels = tiny.build("vit"), torch.rand(1, 3, 16, 16)
    expected = pull_back(model, {"pixel_values": pixels}, first_number)
    result = pull_back(model, {"pixel_values": pixels.requires_grad_()}, first_number)
    assert torch.equal(result.shares, expected.shares)


def test_a_tensor_from_outside_that_requires_a_gradient_is_named_as_such() -> None:
    model = tiny.build("bert")
    prompt = torch.zeros(1, 1, model.config.hidden_size, requires_grad=True)
    model.encoder.layer[0].register_forward_hook(lambda module, args, output: output + prompt)
    with pytest.raises(UnknownOperation, match=r"requires a gradient; detach it"):
        split(model)


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_shared_module_lets_sources_in_where_it_is_called_first(side: Any) -> None:
    model = tiny.build("albert")
    result = split(model, sources=Site(ALBERT_LAYER, side))
    assert result.groups == (("", IDS.shape[1]),)
    assert float(result.shares.abs().sum()) > 0
    if side == "input":
        before = split(model, sources=Site("encoder.embedding_hidden_mapping_in"))
        assert torch.allclose(result.shares, before.shares)
    pushed = push_forward(model, {"input_ids": IDS}, "encoder", sources=Site(ALBERT_LAYER, side))
    assert float(pushed.vectors.norm()) > 0
    assert check(model, {"input_ids": IDS}, first_number, sources=Site(ALBERT_LAYER, side)).direction_gap < 1e-5


@pytest.mark.parametrize("one", [np.float32(1), torch.tensor(1), 1])
def test_every_kind_of_number_that_is_added_is_a_literal(one: Any) -> None:
    model = tiny.build("bert")
    model.encoder.layer[0].intermediate.register_forward_hook(lambda module, args, output: output + one)
    assert split(model).largest_conservation_error < 1e-5


def test_a_class_with_a_call_of_its_own_still_names_its_sources() -> None:
    model = tiny.build("t5")
    inputs = {"input_ids": IDS, "decoder_input_ids": IDS[:, :3]}

    def direct(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return self._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]

    own = type("Own", (type(model.encoder),), {"__call__": direct})
    model.encoder.__class__ = own
    assert pull_back(model, inputs, first_number).groups == (("encoder", 5), ("decoder", 3))


def test_a_model_made_in_inference_mode_is_refused_and_left_as_it_was() -> None:
    with torch.inference_mode():
        model = tiny.build("bert")
    before = [x.requires_grad for x in model.parameters()]
    with pytest.raises(InvalidInput, match="inference_mode"):
        split(model)
    assert [x.requires_grad for x in model.parameters()] == before


def test_a_model_and_a_part_of_it_wait_for_each_other() -> None:
    model = tiny.build("t5")
    inputs = {"input_ids": IDS, "decoder_input_ids": IDS[:, :3]}
    whole, encoder = pull_back(model, inputs, first_number), pull_back(model.encoder, {"input_ids": IDS}, first_number)
    states = [x.requires_grad for x in model.parameters()]
    results: dict[str, list[PullBack]] = {"whole": [], "encoder": []}

    def many(name: str, work: Any) -> None:
        results[name] += [work() for _ in range(20)]

    threads = [
        threading.Thread(target=many, args=("whole", lambda: pull_back(model, inputs, first_number))),
        threading.Thread(
            target=many, args=("encoder", lambda: pull_back(model.encoder, {"input_ids": IDS}, first_number))
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(x) for x in results.values()] == [20, 20]
    assert all(torch.equal(x.shares, whole.shares) for x in results["whole"])
    assert all(torch.equal(x.shares, encoder.shares) for x in results["encoder"])
    assert [x.requires_grad for x in model.parameters()] == states


def test_constants_are_accounted_for_row_by_row() -> None:
    large = torch.rand(2, SMALL)
    gradients = [torch.rand(2, 3), None, torch.zeros(3), torch.rand(2, SMALL), torch.zeros(2, 0)]
    constants = [torch.rand(3), torch.rand(3), torch.rand(3), large, torch.zeros(2, 0)]
    expected = (gradients[0] * constants[0]).sum(1).double() + (gradients[3].double() * large.double()).sum(1)
    assert torch.allclose(_bias_share(gradients, constants, 2), expected)
    assert _bias_share([torch.ones(3)], [torch.rand(3)], 2).isnan().all()  # whose row is it?
    assert not _bias_share([torch.ones(())], [torch.ones(())], 1).isnan().any()
    assert _bias_share([None], [torch.ones(3)], 2).tolist() == [0, 0]


def test_what_has_no_gradient_takes_no_part_even_if_it_is_infinite() -> None:
    assert _inner(torch.tensor([0.0, 2.0]), torch.tensor([-torch.inf, 3.0])).tolist() == [0, 6]


def test_complex_numbers_meet_their_conjugates() -> None:
    assert _inner(torch.tensor([1 + 2j]), torch.tensor([3 + 4j])).tolist() == [11]


def test_a_model_that_asks_for_gradients_inside_is_refused_by_name() -> None:
    model = tiny.build("bert")
    model.encoder.layer[0].register_forward_hook(lambda module, args, output: output.requires_grad_())
    with pytest.raises(UnknownOperation, match=r"requires_grad_ received a tensor"):
        split(model)


def test_inside_a_dual_level_nothing_is_pushed() -> None:
    model = tiny.build("bert")
    with forward_ad.dual_level(), pytest.raises(InvalidInput, match="dual_level"):
        push_forward(model, {"input_ids": IDS}, "encoder")
    assert push_forward(model, {"input_ids": IDS}, "encoder").vectors.isfinite().all()
