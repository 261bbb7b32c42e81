"""Heads that are switched off: what the model then computes, what is measured, and that everything comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.ablation.head_names import parsed_heads
from normlens.errors import InvalidInput, UnsupportedArchitecture

TEXT = "the cat sat here. a dog ran."
KINDS = {
    "bert": lambda layer: layer.attention.output.dense,
    "llama": lambda layer: layer.self_attn.o_proj,
    "gpt2": lambda layer: layer.attn.c_proj,
    "gemma2": lambda layer: layer.self_attn.o_proj,
    "afmoe": lambda layer: layer.self_attn.o_proj,
}
GATED = {"afmoe"}


@pytest.fixture(params=KINDS)
def lens(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> Iterator[normlens.Lens]:
    """A lens on a model, all of whose parameters are afterwards what they were: names, identity and every bit."""
    lens = normlens.load((tiny.build(request.param).eval(), tokenizer))
    before = [(name, parameter, parameter.detach().clone()) for name, parameter in lens.model.named_parameters()]
    yield lens
    after = dict(lens.model.named_parameters())
    assert list(after) == [name for name, _, _ in before]
    assert all(after[name] is parameter and torch.equal(parameter, saved) for name, parameter, saved in before)


def layers_of(model: nn.Module) -> nn.ModuleList:
    for name in ("encoder.layer", "layers", "h"):
        try:
            return model.get_submodule(name)  # type: ignore[return-value]
        except AttributeError:
            continue
    raise AssertionError


def output(lens: normlens.Lens) -> Tensor:
    assert lens.tokenizer is not None
    with torch.no_grad():
        return lens.model(torch.tensor([lens.tokenizer(TEXT)["input_ids"]])).last_hidden_state


def hooked(lens: normlens.Lens, layer: int, replaced: Callable[[Tensor], Tensor]) -> Tensor:
    """The model's output when the input of a layer's output projection is replaced, by a hook of torch's."""
    projection = KINDS[lens.model.config.model_type](layers_of(lens.model)[layer])
    heads = lens.model.config.num_attention_heads
    hook = projection.register_forward_pre_hook(
        lambda _, args: (replaced(args[0].unflatten(-1, (heads, -1)).clone()).flatten(-2),)
    )
    try:
        return output(lens)
    finally:
        hook.remove()


def test_a_head_without_output_is_one_that_a_hook_zeroes(lens: normlens.Lens) -> None:
    def zero(x: Tensor) -> Tensor:
        x[..., 1, :] = 0
        return x

    whole, expected = output(lens), hooked(lens, 1, zero)
    with normlens.ablate(lens, "1.1"):
        assert torch.allclose(output(lens), expected, atol=1e-6)
    assert not torch.allclose(whole, expected, atol=1e-4)
    assert torch.equal(output(lens), whole)


def test_the_mean_output_is_the_mean_over_all_positions(lens: normlens.Lens) -> None:
    assert lens.tokenizer is not None
    texts = [TEXT, "the dog sat."]
    seen: list[Tensor] = []
    projection = KINDS[lens.model.config.model_type](layers_of(lens.model)[0])
    hook = projection.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    with torch.no_grad():
        for text in texts:
            lens.model(torch.tensor([lens.tokenizer(text)["input_ids"]]))
    hook.remove()
    heads = lens.model.config.num_attention_heads
    mean = torch.cat(seen).unflatten(-1, (heads, -1)).mean(0)

    def to_mean(x: Tensor) -> Tensor:
        x[..., [0, 1], :] = mean[[0, 1]]
        return x

    expected = hooked(lens, 0, to_mean)
    with normlens.ablate(lens, [(0, 0), "0.1"], texts, value="mean"):
        assert torch.allclose(output(lens), expected, atol=1e-5)


def test_what_is_measured_is_the_model_without_these_heads(lens: normlens.Lens) -> None:
    measures = ("weight", "vector_norm", "norm", "output_norm")
    group = lens.analyze(TEXT).groups[0]
    before = lens.analyze(TEXT, measures=measures)[group].data
    with normlens.ablate(lens, "0.0, 1.1"):
        data = lens.analyze(TEXT, measures=measures)[group].data
        shares = lens.attribute(TEXT, method="norm_rollout")
    assert (data["output_norm"].values[0, 0] == 0).all() and (data["output_norm"].values[1, 1] == 0).all()
    assert (data["output_norm"].values[0, 1] > 0).all()
    if lens.model.config.model_type not in GATED:  # where a source has no norm of its own
        assert (data["vector_norm"].values[0, 0] == 0).all()
    np.testing.assert_allclose(data["weight"][0], before["weight"][0], atol=1e-6)
    assert np.isfinite(shares.values).all()
    np.testing.assert_array_equal(lens.analyze(TEXT, measures=measures)[group].data["norm"], before["norm"])


def test_an_error_in_the_block_restores_the_model_and_undo_works_twice(lens: normlens.Lens) -> None:
    with pytest.raises(ZeroDivisionError), normlens.ablate(lens, "0.0"):
        raise ZeroDivisionError
    ablation = normlens.ablate(lens, [(0, 0)])
    assert "0.0" in repr(ablation) and "in effect" in repr(ablation)
    ablation.undo()
    ablation.undo()
    assert "undone" in repr(ablation)


def test_nested_ablations_come_back_in_order(lens: normlens.Lens) -> None:
    whole = output(lens)
    with normlens.ablate(lens, "0.0", [TEXT], value="mean"), normlens.ablate(lens, "0.1", [TEXT], value="mean"):
        assert not torch.allclose(output(lens), whole, atol=1e-4)
    assert torch.equal(output(lens), whole)


def test_what_is_no_head_is_refused(lens: normlens.Lens) -> None:
    for heads, message in (
        ("0.99", "Layer 0 has no head 99; expected a number from 0 to"),
        ("99.0", "There is no layer 99; expected one of 0, 1"),
        ([], "heads is empty"),
        ("three", r"heads has 'three'; expected layer and head"),
        ([(0, True)], r"heads has \(0, True\)"),
    ):
        with pytest.raises(InvalidInput, match=message):
            normlens.ablate(lens, heads)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="value is 'one'; expected one of zero, mean"):
        normlens.ablate(lens, "0.0", value="one")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="texts is missing, and the mean output of a head is taken over texts"):
        normlens.ablate(lens, "0.0", value="mean")
    with pytest.raises(InvalidInput, match="has no group cross"):
        normlens.ablate(lens, "0.0", group="cross")
    with (
        normlens.ablate(lens, "0.0"),
        pytest.raises(InvalidInput, match="Heads 0 of layer 0 have no weights but zeros"),
    ):
        normlens.ablate(lens, "0.0")


def test_a_projection_that_layers_share_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("albert").eval(), tokenizer))
    with pytest.raises(UnsupportedArchitecture, match="is the output projection of several layers"):
        normlens.ablate(lens, "0.0")


def test_of_two_texts_one_kind_of_attention_is_named(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("marian").eval(), tokenizer))
    with pytest.raises(InvalidInput, match="several kinds of attention; name one as group: cross, decoder, encoder"):
        normlens.ablate(lens, "0.0")
    with normlens.ablate(lens, "0.0", group="cross"):
        analysis = lens.analyze("the cat", "a dog")
    assert (analysis["cross"].data["vector_norm"].values[0, 0] == 0).all()
    assert (analysis["decoder"].data["vector_norm"].values[0, 0] > 0).all()


def test_names() -> None:
    assert parsed_heads(["3.5", (3, 5), [0, 1]]) == [(3, 5), (0, 1)]  # type: ignore[list-item]
