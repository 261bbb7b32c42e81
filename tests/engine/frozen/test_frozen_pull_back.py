"""Pull back: shares of a scalar over the sources of whole models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from architectures import tiny
from torch import Tensor

import normlens
from normlens.engine.frozen import Site, pull_back
from normlens.errors import ConservationError, InvalidInput, UnknownOperation, UnsupportedArchitecture


def setting(model_type: str, dtype: torch.dtype = torch.float64, batch: int = 2) -> tuple[Any, dict[str, Tensor]]:
    model = tiny.build(model_type, dtype=dtype)
    return model, tiny.inputs(model_type, model, batch=batch, length=6)


def weighted(output: Any) -> Tensor:
    """A fixed linear function of the last position's state."""
    state = output.last_hidden_state[:, -1]
    return state @ torch.linspace(-1, 1, state.shape[-1], dtype=state.dtype)


def fingerprint(model: Any) -> list[Any]:
    """Everything that a frozen run touches and must put back."""
    modules = list(model.modules())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for m in modules]
    return [hooks, [p.requires_grad for p in model.parameters()], model.config.to_dict(), model.config.use_cache]


@pytest.mark.parametrize("model_type", ["bert", "llama", "t5", "mixtral", "vit", "gpt2", "gemma2", "gpt_oss"])
def test_value_is_the_models_own_and_shares_add_up(model_type: str) -> None:
    model, inputs = setting(model_type, torch.float32)
    result = pull_back(model, inputs, weighted)
    with torch.no_grad():
        plain = weighted(model(**inputs)).double()
    assert torch.allclose(result.value, plain, rtol=1e-5)
    assert torch.allclose(result.shares.sum(1) + result.bias_share, result.value)
    assert result.largest_conservation_error < 1e-5
    assert (result.shares.abs() > 0).any()


@pytest.mark.parametrize("model_type", ["bert", "bloom", "llama", "qwen2_moe"])
def test_without_constants_there_is_no_bias_share(model_type: str) -> None:
    model, inputs = setting(model_type)
    constants = ("bias", "position_embeddings.weight", "token_type_embeddings.weight")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(constants):
                parameter.zero_()
    result = pull_back(model, inputs, weighted)
    assert float((result.bias_share.abs() / result.scale).max()) < 1e-6


def test_bias_share_is_what_the_biases_contribute() -> None:
    # one position, so its attention weight is 1 whatever the queries; ReLU gains and sigma are read off by hand
    model, inputs = setting("opt", batch=1)
    model.decoder.layers = model.decoder.layers[:1]
    inputs = {"input_ids": inputs["input_ids"][:, :1]}
    layer, seen = model.decoder.layers[0], {}
    layer.fc1.register_forward_hook(lambda m, a, out: seen.update(relu=(out > 0).double()))
    norms = {
        "first": layer.self_attn_layer_norm,
        "second": layer.final_layer_norm,
        "last": model.decoder.final_layer_norm,
    }
    for name, norm in norms.items():
        norm.register_forward_hook(lambda m, a, out, name=name: seen.update({name: a[0].var(-1, unbiased=False)}))
    result = pull_back(model, inputs, weighted)
    positive = seen["relu"].flatten()

    def normed(name: str, x: Tensor) -> Tensor:
        sigma = (seen[name].detach().flatten()[0] + norms[name].eps).sqrt()
        return (x - x.mean()) / sigma * norms[name].weight + norms[name].bias

    x = model.decoder.embed_positions.weight[2].detach()
    attention = layer.self_attn
    x = x + attention.out_proj(attention.v_proj(normed("first", x)))
    x = x + layer.fc2(layer.fc1(normed("second", x)) * positive)
    x = normed("last", x)
    expected = x @ torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype)
    assert float(result.bias_share) == pytest.approx(expected.item(), rel=1e-9)


def test_an_encoder_decoder_has_two_groups_of_sources() -> None:
    model, inputs = setting("t5")
    result = pull_back(model, inputs, weighted)
    lengths = {"encoder": inputs["input_ids"].shape[1], "decoder": inputs["decoder_input_ids"].shape[1]}
    assert {name: shares.shape[1] for name, shares in result.by_group().items()} == lengths
    assert all((shares.abs() > 0).any() for shares in result.by_group().values())


def test_the_first_target_of_a_causal_model_hears_only_itself() -> None:
    model, inputs = setting("llama")
    shares = pull_back(model, inputs, lambda output: output.last_hidden_state[:, 0].sum(-1)).shares
    assert (shares[:, 0] != 0).all()
    assert (shares[:, 1:] == 0).all()


def test_a_padded_batch_gives_the_numbers_of_one_text_at_a_time() -> None:
    model, inputs = setting("bert", batch=1)
    ids = inputs["input_ids"]
    alone = pull_back(model, {"input_ids": ids[:, :4]}, lambda output: output.last_hidden_state[:, 0].sum(-1))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    padded = pull_back(
        model, {"input_ids": ids, "attention_mask": mask}, lambda output: output.last_hidden_state[:, 0].sum(-1)
    )
    assert torch.allclose(padded.shares[:, :4], alone.shares)
    assert (padded.shares[:, 4:] == 0).all()


def test_every_split_of_products_conserves() -> None:
    model, inputs = setting("llama")
    results = [pull_back(model, inputs, weighted, product=product) for product in ("half", "first", "second")]
    assert all(result.largest_conservation_error < 1e-6 for result in results)
    half, first, second = (result.shares for result in results)
    assert not torch.allclose(first, second)
    assert not torch.allclose(half, first)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_within_its_tolerance(dtype: torch.dtype) -> None:
    model, inputs = setting("llama", dtype, batch=9)
    errors = pull_back(model, inputs, weighted).conservation_error  # raises if one is ten times above
    assert errors.median() < {torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]


def test_sources_may_be_a_blocks_input() -> None:
    model, inputs = setting("gpt2")
    result = pull_back(model, inputs, weighted, sources=Site("h.1", "input"))
    before = pull_back(model, inputs, weighted, sources=Site("h.0", "output"))
    assert torch.allclose(result.shares, before.shares)  # what leaves block 0 is what enters block 1
    assert result.groups == (("", 6),)


def test_it_works_without_gradients_and_leaves_none() -> None:
    model, inputs = setting("bert")
    with torch.no_grad():
        inside = pull_back(model, inputs, weighted)
    assert torch.equal(inside.shares, pull_back(model, inputs, weighted).shares)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not inside.shares.requires_grad


@pytest.mark.parametrize("model_type", ["bert", "qwen2_moe", "bloom"])
def test_the_model_is_put_back_as_it_was(model_type: str) -> None:
    model, inputs = setting(model_type)
    next(model.parameters()).requires_grad_(False)
    before = fingerprint(model)
    pull_back(model, inputs, weighted)
    assert fingerprint(model) == before
    with pytest.raises(ZeroDivisionError):
        pull_back(model, inputs, lambda output: 1 / 0)
    assert fingerprint(model) == before


@pytest.mark.parametrize(
    ("scalar", "message"),
    [
        (lambda output: output.last_hidden_state.sum(), r"shape \(\); one number per row"),
        (lambda output: output.last_hidden_state[:, 0], r"shape \(2, 32\); one number per row"),
        (lambda output: 0.5, "is a float; one number per row"),
        (lambda output: None, "is a NoneType; one number per row"),
        (lambda output: torch.ones(2), "depends on none of the sources"),
        ("last_hidden_state", "The scalar is a str"),
        (lambda output: output.last_hidden_state[:, 0].softmax(-1)[:, 0], "depends on none of the sources"),
    ],
)
def test_a_scalar_must_be_one_linear_number_per_row(scalar: Callable[[Any], Tensor], message: str) -> None:
    model, inputs = setting("bert")
    with pytest.raises(InvalidInput, match=message):
        pull_back(model, inputs, scalar)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"product": "x"}, "product is 'x'; expected one of 'half', 'first', 'second'"),
        ({"sources": "encoder.layer.7"}, r"no module 'encoder\.layer\.7'.*Did you mean 'encoder\.layer\."),
        ({"sources": Site("nowhere", "input")}, "no module 'nowhere'"),
        ({"sources": 3}, "int is not a site in the model"),
        ({"sources": "encoder.layer"}, r"none of the sources; those that entered are \(\)"),
    ],
)
def test_an_unknown_option_is_refused(options: dict[str, Any], message: str) -> None:
    model, inputs = setting("bert")
    with pytest.raises(InvalidInput, match=message):
        pull_back(model, inputs, weighted, **options)


def test_a_site_has_two_sides() -> None:
    with pytest.raises(InvalidInput, match="'inside'; expected 'input' or 'output'"):
        Site("encoder", "inside")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.tensor([[11, 12]]), "The inputs are a Tensor; expected a mapping"),
        ("the cat", "The inputs are a str"),
        ({"input_ids": [[11, 12]]}, "hold no tensor.*return_tensors='pt'"),
        ({"input_ids": torch.tensor([11, 12])}, r"shape \(2,\); expected \(batch, token\)"),
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, r"shape \(1, 0\); expected \(batch, token\)"),
        ({"attention_mask": torch.ones(1, 2)}, r"BertModel can't read the inputs attention_mask \(1, 2\).*input_ids"),
        ({"ids": torch.tensor([[11, 12]]), "text": "a"}, r"can't read the inputs ids \(1, 2\), text str.*input_ids"),
        ({"input_ids": torch.tensor([[11, 99]])}, "Ids from 11 to 99.*word_embeddings.*99 entries, 0 to 98"),
        ({"input_ids": torch.tensor([[11, -1]])}, "Ids from -1 to 11 were looked up in module 'embeddings"),
        ({"input_ids": torch.full((1, 99), 11)}, r"input_ids \(1, 99\).*64 positions"),
    ],
)
def test_inputs_that_the_model_cannot_read_are_refused(inputs: Any, message: str) -> None:
    model, _ = setting("bert")
    with pytest.raises(InvalidInput, match=message):
        pull_back(model, inputs, weighted)


@pytest.mark.parametrize("model_type", ["gpt2", "opt", "marian", "llama"])
def test_ids_outside_an_embedding_are_refused_whatever_kind_it_is(model_type: str) -> None:
    model, inputs = setting(model_type)
    inputs = {**inputs, "input_ids": inputs["input_ids"].clone()}
    inputs["input_ids"][0, 0] = 10_000
    with pytest.raises(InvalidInput, match=r"to 10000 were looked up in module '.*embed|wte"):
        pull_back(model, inputs, weighted)


def test_an_error_of_the_scalars_own_stays_what_it_is() -> None:
    model, inputs = setting("bert")
    with pytest.raises(AttributeError, match="no_such_output"):
        pull_back(model, inputs, lambda output: output.no_such_output)


def test_a_lens_is_not_its_model() -> None:
    with pytest.raises(InvalidInput, match=r"The model is a Lens;.*lens\.model"):
        pull_back(normlens.load((tiny.build("bert"), None)), {"input_ids": torch.tensor([[11]])}, weighted)  # type: ignore[arg-type]


def test_inference_mode_is_refused() -> None:
    model, inputs = setting("bert")
    with torch.inference_mode(), pytest.raises(InvalidInput, match="inference_mode"):
        pull_back(model, inputs, weighted)


def test_compiled_modules_are_refused() -> None:
    model, inputs = setting("bert")
    model.encoder.layer[0].compile()
    with pytest.raises(UnsupportedArchitecture, match=r"encoder\.layer\.0"):
        pull_back(model, inputs, weighted)


def test_training_mode_is_refused() -> None:
    model, inputs = setting("bert")
    with pytest.raises(InvalidInput, match=r"training mode.*model\.eval"):
        pull_back(model.train(), inputs, weighted)
    model.eval().encoder.layer[0].train()
    with pytest.raises(UnknownOperation, match=r"dropout.*model\.eval"):
        pull_back(model, inputs, weighted)


def test_an_unknown_operation_is_named_with_its_module() -> None:
    model, inputs = setting("detr", torch.float32)
    with pytest.raises(UnknownOperation, match=r"max_pool2d.*module 'backbone\..*' \(MaxPool2d\)"):
        pull_back(model, inputs, weighted)


def test_a_value_that_is_not_the_models_is_an_error() -> None:
    model, inputs = setting("bert", batch=1)
    calls = iter((1.0, 2.0))
    with pytest.raises(ConservationError, match="unfrozen"):
        pull_back(model, inputs, lambda output: weighted(output) * next(calls))
