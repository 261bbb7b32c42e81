"""Norms are those of the projection that runs: read afresh, held to what ran, and refused where that is something else."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from architectures import tiny
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from normlens.errors import UnsupportedArchitecture
from normlens.topk import use
from normlens.topk.projections import fingerprint

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
    with use(model, k=3, measure="norm", renormalize=False):
        before = run(model, ids)
        change(model, tiny.build(model_type, seed=4))
        after = run(model, ids)
    with use(model, k=3, measure="norm", renormalize=False):
        assert torch.equal(run(model, ids), after)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("factor", [1, 0])
def test_layers_with_equal_weights_keep_their_own_projections(factor: int, tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    for layer in model.layers:
        layer.load_state_dict(model.layers[0].state_dict())
        layer.self_attn.o_proj.weight.data *= factor
    with use(model, k=3, measure="norm", renormalize=False):
        run(model, ids)
        _loaded(model, tiny.build("llama", seed=4))
        after = run(model, ids)
    with use(model, k=3, measure="norm", renormalize=False):
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
    with use(model, k=3, measure="norm"), pytest.raises(UnsupportedArchitecture, match=r"unmerged adapters\?"):
        run(model, ids)


def test_adapters_that_come_later_are_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, measure="norm"):
        run(model, ids)
        _adapt(model)
        with pytest.raises(UnsupportedArchitecture, match="no longer the output projection"):
            run(model, ids)


def test_adapters_that_are_switched_on_later_are_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    _adapt(model, on=False)
    with use(model, k=3, measure="norm"):
        run(model, ids)
        for layer in model.layers:
            layer.self_attn.o_proj.on = True
        with pytest.raises(UnsupportedArchitecture, match="no longer the output projection"):
            run(model, ids)
        for layer in model.layers:
            layer.self_attn.o_proj.on = False
        run(model, ids)


def test_a_projection_that_runs_another_function_is_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, measure="norm"):
        run(model, ids)
        own = model.layers[1].self_attn.o_proj
        own.forward = lambda x: linear(2 * x, own.weight)
        with pytest.raises(UnsupportedArchitecture, match="no longer the output projection"):
            run(model, ids)


def test_computed_projections_are_refused(tokens: Ids) -> None:
    model = tiny.build("llama")
    nn.utils.parametrizations.weight_norm(model.layers[1].self_attn.o_proj)
    with use(model, k=3, measure="norm"), pytest.raises(UnsupportedArchitecture, match="computed at each run"):
        run(model, torch.tensor([tokens(9)]))


def test_whoever_looks_on_sees_plain_tensors(tokens: Ids) -> None:
    model, seen = tiny.build("llama"), []
    own = model.layers[1].self_attn.o_proj
    with use(model, k=3, measure="norm"):
        own.register_forward_pre_hook(lambda module, arguments: seen.append((arguments[0], arguments[0].abs().mean())))
        for _ in range(2):
            run(model, torch.tensor([tokens(9)]))
    assert type(seen[-1][0]) is Tensor


def test_threads_may_share_a_model_in_use(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, measure="norm"):
        expected = run(model, ids)
        with ThreadPoolExecutor(4) as pool:
            outputs = list(pool.map(lambda _: run(model, ids), range(60)))
    assert all(torch.equal(x, expected) for x in outputs)


def test_a_model_in_use_can_be_pickled(tokens: Ids) -> None:
    model, ids = tiny.build("bert"), torch.tensor([tokens(9)])
    with use(model, k=3, measure="norm"):
        run(model, ids)
        assert pickle.dumps(model)


def test_attention_that_runs_by_itself_leaves_nothing_behind(tokens: Ids) -> None:
    model, ids = tiny.build("bert"), torch.tensor([tokens(9)])
    with use(model, k=3, measure="norm"), torch.no_grad():
        expected = run(model, ids)
        model.encoder.layer[0].attention.self(torch.randn(1, 5, model.config.hidden_size))
        assert torch.equal(run(model, ids), expected)


def test_compiled_code_is_refused(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    with use(model, k=3, measure="norm"):
        run(model, ids)
        with pytest.raises(UnsupportedArchitecture, match="LlamaAttention is compiled"):
            run(torch.compile(model, backend="eager"), ids)
    torch._dynamo.reset()


def test_hooks_are_gone_afterwards(tokens: Ids) -> None:
    model = tiny.build("bert")
    with use(model, k=3, measure="norm"):
        run(model, torch.tensor([tokens(9)]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "change",
    [
        lambda w: w[:, 1].neg_(),
        lambda w: w[3].neg_(),
        lambda w: w[:, 3].mul_(4),
        lambda w: w.mul_(2),
        lambda w: w.copy_(w.roll(1, 0)),
        lambda w: w.copy_(w.flip(1)),
        lambda w: w[2, 1].mul_(1.1),
    ],
)
def test_a_fingerprint_shows_what_matters(dtype: torch.dtype, change: Callable[[Tensor], object]) -> None:
    weight = torch.randn(64, 48, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = fingerprint(weight)
    change(weight)
    assert not torch.equal(fingerprint(weight), before)


def test_of_modules_that_share_a_weight_the_one_that_ran_is_looked_at(tokens: Ids) -> None:
    model, ids = tiny.build("llama"), torch.tensor([tokens(9)])
    model.layers[1].self_attn.o_proj.weight = model.layers[0].self_attn.o_proj.weight
    with use(model, k=3, measure="norm"):
        run(model, ids)
        model.layers[1].self_attn.o_proj = Adapted(model.layers[1].self_attn.o_proj)
        with pytest.raises(UnsupportedArchitecture, match=r"layers\.1\.self_attn\.o_proj is no longer"):
            run(model, ids)
