"""Norms are those of the projection that runs: read afresh, held to what ran, and refused where that is something else."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from architectures import tiny
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from normlens.errors import UnsupportedArchitecture
from normlens.topk import use
from normlens.topk.fingerprints import fingerprint

Ids = Callable[..., list[int]]
PROJECTIONS = {"bert": "attention.output.dense", "gpt2": "attn.c_proj", "llama": "self_attn.o_proj"}


def run(model: PreTrainedModel, ids: Tensor) -> Tensor:
    with torch.no_grad():
        output: Tensor = model(input_ids=ids)[0]
    return output


def projections(model: PreTrainedModel) -> dict[str, nn.Module]:
    return {path: m for path, m in model.named_modules() if path.endswith(PROJECTIONS[model.config.model_type])}


def _added(model: PreTrainedModel, other: PreTrainedModel) -> None:
    for path, module in projections(model).items():
        module.weight.data += other.get_submodule(path).weight.data


def _other_data(model: PreTrainedModel, other: PreTrainedModel) -> None:
    for path, module in projections(model).items():
        module.weight.data = other.get_submodule(path).weight.data


def _other_parameter(model: PreTrainedModel, other: PreTrainedModel) -> None:
    for path, module in projections(model).items():
        module.weight = nn.Parameter(other.get_submodule(path).weight.detach().clone())


def _other_module(model: PreTrainedModel, other: PreTrainedModel) -> None:
    for path in projections(model):
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, copy.deepcopy(other.get_submodule(path)))


def _loaded(model: PreTrainedModel, other: PreTrainedModel) -> None:
    model.load_state_dict(other.state_dict())


def _assigned(model: PreTrainedModel, other: PreTrainedModel) -> None:
    model.load_state_dict(other.state_dict(), assign=True)


CHANGES = [_added, _other_data, _other_parameter, _other_module, _loaded, _assigned]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("model_type", list(PROJECTIONS))
def test_norms_follow_every_change_of_the_weights(
    model_type: str, change: Callable[[PreTrainedModel, PreTrainedModel], None], tokens: Ids
) -> None:
    model, ids = tiny.build(model_type), torch.tensor([tokens(9)])
    with use(model, k=3, by="norm", renormalise=False):
        before = run(model, ids)
        change(model, tiny.build(model_type, seed=4))
        after = run(model, ids)
    with use(model, k=3, by="norm", renormalise=False):
        assert torch.equal(run(model, ids), after)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("factor", [1, 0])
def test_layers_with_equal_weights_keep_their_own_projections(factor: int, tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    for layer in model.layers:
        layer.load_state_dict(model.layers[0].state_dict())
        layer.self_attn.o_proj.weight.data *= factor
    with use(model, k=3, by="norm", renormalise=False):
        run(model, ids)
        _loaded(model, tiny.build("llama", seed=4))
        after = run(model, ids)
    with use(model, k=3, by="norm", renormalise=False):
        assert torch.equal(run(model, ids), after)


class Adapted(nn.Module):
    """A linear layer with an unmerged adapter of rank 2 beside it, on or off."""

    def __init__(self, base: nn.Linear, on: bool = True) -> None:
        super().__init__()
        self.base, self.on = base, on
        self.down = nn.Parameter(torch.randn(2, base.in_features))
        self.up = nn.Parameter(torch.randn(base.out_features, 2))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.base(x)
        return output + x @ self.down.T @ self.up.T if self.on else output


def _adapt(model: PreTrainedModel, on: bool = True) -> None:
    for layer in model.layers:
        layer.self_attn.o_proj = Adapted(layer.self_attn.o_proj, on)


def test_unmerged_adapters_are_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    _adapt(model)
    with use(model, k=3, by="norm"), pytest.raises(UnsupportedArchitecture, match=r"unmerged adapters\?"):
        run(model, ids)


def test_adapters_that_come_later_are_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, by="norm"):
        run(model, ids)
        _adapt(model)
        with pytest.raises(UnsupportedArchitecture, match="holds no parameter 'weight'"):
            run(model, ids)


def test_adapters_that_are_switched_on_later_are_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    _adapt(model, on=False)
    with use(model, k=3, by="norm"):
        run(model, ids)
        for layer in model.layers:
            layer.self_attn.o_proj.on = True
        with pytest.raises(UnsupportedArchitecture, match=r"something else besides \(unmerged adapters\?\)"):
            run(model, ids)
        for layer in model.layers:
            layer.self_attn.o_proj.on = False
        run(model, ids)


@pytest.mark.parametrize(
    ("project", "message"),
    [
        (lambda x, weight: linear(2 * x, weight), "went into `mul` instead"),
        (lambda x, weight: linear(x, weight.clone()), "went into `linear` instead"),
        (lambda x, weight: linear(torch.ones_like(x.detach()), weight), "didn't go there"),
    ],
)
def test_what_does_not_go_into_the_projection_alone_is_refused(
    project: Callable[[Tensor, Tensor], Tensor], message: str, tokens: Ids
) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, by="norm"):
        run(model, ids)
        own = model.layers[1].self_attn.o_proj
        own.forward = lambda x: project(x, own.weight)
        with pytest.raises(UnsupportedArchitecture, match=message):
            run(model, ids)


def test_computed_projections_are_refused(tokens: Ids) -> None:
    model = tiny.build("llama")
    nn.utils.parametrizations.weight_norm(model.layers[1].self_attn.o_proj)
    with use(model, k=3, by="norm"), pytest.raises(UnsupportedArchitecture, match="computed when it runs"):
        run(model, torch.tensor([tokens(9)]))


def test_whoever_looks_on_may_detach_what_they_see(tokens: Ids) -> None:
    model, seen = tiny.build("llama"), []
    own = model.layers[1].self_attn.o_proj
    with use(model, k=3, by="norm"):
        own.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().norm()))
        run(model, torch.tensor([tokens(9)]))
    assert float(seen[-1]) > 0


def test_attention_that_runs_by_itself_leaves_nothing_behind(tokens: Ids) -> None:
    model, ids = tiny.build("bert"), torch.tensor([tokens(9)])
    with use(model, k=3, by="norm"), torch.no_grad():
        expected = run(model, ids)
        model.encoder.layer[0].attention.self(torch.randn(1, 5, model.config.hidden_size))
        assert torch.equal(run(model, ids), expected)


def test_compiled_code_is_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, by="norm"):
        run(model, ids)
        with pytest.raises(UnsupportedArchitecture, match="LlamaAttention is compiled"):
            run(torch.compile(model, backend="eager"), ids)
    torch._dynamo.reset()


def test_hooks_are_gone_afterwards(tokens: Ids) -> None:
    model = tiny.build("bert")
    with use(model, k=3, by="norm"):
        run(model, torch.tensor([tokens(9)]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [8, 7])
def test_a_fingerprint_shows_every_single_bit(dtype: torch.dtype, width: int) -> None:
    weight = torch.randn(6, width, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = fingerprint(weight, 0)
    for place in torch.cartesian_prod(torch.arange(6), torch.arange(width)).tolist():
        kept = weight[tuple(place)].clone()
        weight[tuple(place)] = torch.nextafter(kept, kept + 1) if dtype.itemsize > 2 else -kept
        assert not torch.equal(fingerprint(weight, 0), before)
        weight[tuple(place)] = kept
    assert torch.equal(fingerprint(weight, 0), before)


@pytest.mark.parametrize("size", [64, 512, 4096])
def test_a_fingerprint_shows_powers_of_two_and_exchanged_inputs(size: int) -> None:
    """Exponents that all grow by one add up to a multiple of 2^64 in a column of 4096 float64, not in segments."""
    weight = torch.randn(size, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = fingerprint(weight, 0)
    assert not torch.equal(fingerprint(2 * weight, 0), before)
    assert not torch.equal(fingerprint(weight[:, torch.tensor([1, 0, *range(2, 8)])], 0), before)
    assert torch.equal(fingerprint(weight.T.contiguous(), 1).T, before)
    assert torch.equal(fingerprint(weight.T.contiguous().T, 0), before)
