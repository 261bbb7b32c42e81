"""Feed-forward layers that keep k units: the definition, exactness for ReLU, and the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import tiny
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, silu

import normlens
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.topk import topk_feedforward, use, use_feedforward

Ids = Callable[..., list[int]]
LAYERS = [
    ("bert", "encoder.layer.1.output.dense"),
    ("gpt2", "h.1.mlp.c_proj"),
    ("llama", "layers.1.mlp.down_proj"),
    ("opt", "decoder.layers.1.fc2"),
    ("t5", "encoder.block.1.layer.1.DenseReluDense.wo"),
    ("marian", "encoder.layers.1.fc2"),
    ("modernbert", "layers.1.mlp.Wo"),
]


def run(model: nn.Module, ids: list[int]) -> Tensor:
    tower = model.encoder if getattr(model.config, "is_encoder_decoder", False) else model
    with torch.no_grad():
        return tower(input_ids=torch.tensor([ids]))[0]


@pytest.mark.parametrize("measure", ["weight", "norm"])
@pytest.mark.parametrize(("model_type", "path"), LAYERS)
def test_the_k_largest_units_reach_the_projection(model_type: str, path: str, measure: str, tokens: Ids) -> None:
    model, ids = tiny.build(model_type), tokens(9)
    projection = model.get_submodule(path)
    seen: list[Tensor] = []

    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen.append(arguments[0].clone())

    before = projection.register_forward_pre_hook(note)
    with use_feedforward(model, k=5, measure=measure, layers=[path]) as switched:
        assert switched.paths == [path]
        behind = projection.register_forward_pre_hook(note)
        run(model, ids)
    before.remove(), behind.remove()
    dense, kept = (x.flatten(0, -2) for x in seen)
    lengths = (
        projection.weight.norm(dim=1 if model_type == "gpt2" else 0)
        if measure == "norm"
        else torch.ones(dense.shape[-1])
    )
    for row, ours in zip(dense, kept, strict=True):
        largest = (row.abs() * lengths).argsort(descending=True)[:5]
        assert torch.equal(ours, torch.zeros_like(row).scatter(0, largest, row[largest]))


def test_relu_is_exact_where_at_most_k_units_are_positive(tokens: Ids) -> None:
    model, ids = tiny.build("opt"), tokens(9)
    positive: list[int] = []
    hooks = [
        layer.fc2.register_forward_pre_hook(
            lambda module, arguments: positive.append(int((arguments[0] > 0).sum(-1).max()))
        )
        for layer in model.decoder.layers
    ]
    before = run(model, ids)
    for hook in hooks:
        hook.remove()
    most = max(positive)
    assert 1 < most < model.config.ffn_dim
    with use_feedforward(model, k=most):
        assert torch.equal(run(model, ids), before)
    with use_feedforward(model, k=most // 2):
        assert not torch.allclose(run(model, ids), before, atol=1e-4)


def test_a_checkpoint_saved_meanwhile_is_the_models_own(tokens: Ids, tmp_path: Path) -> None:
    model, ids = tiny.build("llama"), tokens(9)
    before, keys = run(model, ids), list(model.state_dict())
    with use_feedforward(model, k=2):
        assert list(model.state_dict()) == keys
        model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert torch.equal(run(again, ids), before)


def test_an_analysis_is_of_the_model_as_it_is_used(tokens: Ids) -> None:
    lens, ids = normlens.load((tiny.build("llama"), None)), tokens(9)
    dense = lens.analyze(ids)["decoder"].norm
    with use_feedforward(lens, k=2):
        kept = lens.analyze(ids)["decoder"].norm
    assert torch.allclose(torch.tensor(kept.values[0]), torch.tensor(dense.values[0]))  # nothing before the first one
    assert not torch.allclose(torch.tensor(kept.values[1]), torch.tensor(dense.values[1]), rtol=1e-3)


@pytest.mark.parametrize("model_type", ["bert", "llama", "t5"])
def test_undoing_puts_the_same_layers_back(model_type: str, tokens: Ids) -> None:
    model, ids = tiny.build(model_type), tokens(9)
    before, modules, keys = run(model, ids), list(model.modules()), list(model.state_dict())
    with pytest.raises(ZeroDivisionError), use_feedforward(model, k=2):
        assert not torch.allclose(run(model, ids), before, atol=1e-4)
        raise ZeroDivisionError
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert list(model.state_dict()) == keys and torch.equal(run(model, ids), before)
    with use_feedforward(model, k=10**6), use(model, k=100):
        assert torch.allclose(run(model, ids), before, atol=1e-5)
    assert torch.equal(run(model, ids), before)


def test_layers_keep_learning(tokens: Ids) -> None:
    model = tiny.build("llama").train()
    with use_feedforward(model, k=4):
        model(input_ids=torch.tensor([tokens(9)]))[0].square().sum().backward()
    gradient = model.layers[0].mlp.down_proj.weight.grad
    assert gradient is not None and float(gradient.norm()) > 0


def weights(gated: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (2, 5, 3), "w_in": (7, 3), "w_out": (4, 7), "b_in": (7,), "b_out": (4,)}
    shapes |= {"w_up": (7, 3)} if gated else {}
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}


@pytest.mark.parametrize("measure", ["weight", "norm"])
@pytest.mark.parametrize(("activation", "gated"), [(relu, False), (gelu, False), (silu, True)])
def test_the_layer_itself_has_the_definition_s_values_and_gradients(
    activation: Callable[[Tensor], Tensor], gated: bool, measure: str
) -> None:
    tensors = weights(gated)
    units = activation(tensors["x"] @ tensors["w_in"].T + tensors["b_in"]) * (
        tensors["x"] @ tensors["w_up"].T if gated else 1
    )
    sizes = units.abs() * (tensors["w_out"].norm(dim=0) if measure == "norm" else 1)
    for k in (2, 7, None):
        bar = sizes.sort(-1, descending=True).values[..., (k or 7) - 1, None]
        expected = (units * (sizes >= bar)) @ tensors["w_out"].T + tensors["b_out"]
        ours = topk_feedforward(**tensors, k=k, measure=measure, activation=activation, chunk_size=4)
        assert torch.allclose(ours, expected, atol=1e-12)
    names = list(tensors)
    assert torch.autograd.gradcheck(
        lambda *x: topk_feedforward(
            **dict(zip(names, x, strict=True)), k=3, measure=measure, activation=activation, chunk_size=4
        ),
        tuple(x.requires_grad_() for x in tensors.values()),
        fast_mode=True,
    )


def test_no_units_outlive_their_chunk() -> None:
    tensors = weights(gated=False)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
        topk_feedforward(**{n: x.requires_grad_() for n, x in tensors.items()}, k=3, activation=relu, chunk_size=4)
    assert 10 * 7 not in sizes and sum(sizes) <= sum(x.numel() for x in tensors.values()) * 3


@pytest.mark.parametrize("model_type", ["mixtral", "gpt_oss", "qwen3_moe"])
def test_experts_are_refused(model_type: str) -> None:
    model = tiny.build(model_type)
    before = list(model.modules())
    with pytest.raises(UnsupportedArchitecture, match=r"experts|feed-forward"):
        use_feedforward(model, k=2)
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))


def test_bad_input_is_named() -> None:
    model = tiny.build("bert")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"k": 0}, "positive integer"),
        ({"k": 2.5}, "positive integer"),
        ({"k": None}, "positive integer, got None"),
        ({"k": 2, "measure": "recent"}, "measure must be one of weight, norm"),
        ({"k": 2, "layers": [9]}, "The layers are 0, 1, 2"),
    ]
    for options, message in bad:
        with pytest.raises(InvalidInput, match=message):
            use_feedforward(model, **options)
    with pytest.raises(InvalidInput, match="expected a transformers model"):
        use_feedforward(nn.Linear(2, 2), k=2)  # type: ignore[arg-type]
    with use_feedforward(model, k=2), pytest.raises(InvalidInput, match="keeps k units already"):
        use_feedforward(model, k=3)
