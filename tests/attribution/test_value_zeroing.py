"""Value Zeroing against whole runs of the model with the output of one value projection changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from architectures import tiny
from slow_formulas import TEXT, chained, divided, float64_lens, inputs_of, texts_of
from torch import Tensor
from transformers import PreTrainedModel

import normlens
from normlens.attribution.methods.value_zeroing import cosine_distance
from normlens.engine.capture.fingerprint import state_of
from normlens.errors import InvalidInput, UnsupportedArchitecture

PLACES = {
    "bert": ("encoder.layer.{}", "encoder.layer.{}.attention.self.value"),
    "gpt2": ("h.{}", "h.{}.attn.c_attn"),
    "llama": ("layers.{}", "layers.{}.self_attn.v_proj"),
    "marian": ("encoder.layers.{}", "encoder.layers.{}.self_attn.v_proj"),
}
"""Per model type: a layer, and the module that gives its value vectors (in GPT-2, the last third of its output)."""


def layer_output(model: PreTrainedModel, layer: str, value: str, source: int | None) -> Tensor:
    """The layer's output in a run of the whole model in which one source's value vectors are zero."""
    seen: list[Tensor] = []

    def zero(module: object, args: object, output: Tensor) -> Tensor:
        if source is None:
            return output
        changed = output.clone()
        width = output.shape[-1] // 3 if value.endswith("c_attn") else output.shape[-1]
        changed[:, source, -width:] = 0
        return changed

    def keep(module: object, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.append((output if isinstance(output, Tensor) else output[0])[0])

    handles = [model.get_submodule(value).register_forward_hook(zero)]
    handles.append(model.get_submodule(layer).register_forward_hook(keep))
    with torch.no_grad():
        model(**inputs_of(model), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen[0]


def distances(model: PreTrainedModel, layer: str, value: str) -> np.ndarray:
    plain = layer_output(model, layer, value, None)
    columns = []
    for source in range(len(TEXT)):
        zeroed = layer_output(model, layer, value, source)
        columns.append(1 - torch.nn.functional.cosine_similarity(zeroed, plain, dim=-1))
    return torch.stack(columns, dim=1).clamp_min(0).numpy()


@pytest.mark.parametrize("chunk_size", [1, 4, 32])
@pytest.mark.parametrize("model_type", list(PLACES))
def test_value_zeroing_by_its_definition(model_type: str, chunk_size: int) -> None:
    lens = float64_lens(model_type)
    layer, value = PLACES[model_type]
    maps = [divided(distances(lens.model, layer.format(n), value.format(n))) for n in range(3)]
    options = {"group": "encoder", **texts_of(lens.model)} if model_type == "marian" else {}
    shares = lens.attribute(TEXT, method="value_zeroing", chunk_size=chunk_size, **options)
    np.testing.assert_allclose(shares.values, chained(maps), atol=1e-10)
    each = lens.attribute(TEXT, method="value_zeroing", chunk_size=chunk_size, layers="each", **options)
    np.testing.assert_allclose(each.values, maps, atol=1e-10)


def test_cosine_distance_by_hand() -> None:
    one = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    other = torch.tensor([[0.0, 2.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(cosine_distance(one, other), torch.tensor([1.0, 2.0, 1.0, 0.0]))


def test_cosine_distance_is_exact_near_zero() -> None:
    """A turn by 1e-9 is 5e-19 away; 1 − cos would be lost in rounding."""
    one, other = torch.tensor([1.0, 0.0]).double(), torch.tensor([1.0, 1e-9]).double()
    torch.testing.assert_close(cosine_distance(one, other).item(), 5e-19, rtol=1e-6, atol=0)


def test_a_model_that_runs_another_attention_gives_the_same_numbers() -> None:
    """The implementation that a model was loaded with doesn't matter: no silent zeros under sdpa."""
    model = tiny.build("gpt2", dtype=torch.float64)
    expected = normlens.load((model, None)).attribute(TEXT, method="value_zeroing")
    model.set_attn_implementation("sdpa")
    shares = normlens.load((model, None)).attribute(TEXT, method="value_zeroing")
    assert model.config._attn_implementation == "sdpa"
    np.testing.assert_allclose(shares.values, expected.values, atol=1e-12)
    assert np.tril(shares.values).any(axis=1).all()


def test_attention_that_can_not_be_reached_is_refused() -> None:
    lens = float64_lens("mpnet")
    with pytest.raises(UnsupportedArchitecture, match="'alti', 'norm_rollout' or 'decompx'"):
        lens.attribute(TEXT, method="value_zeroing")


def test_a_layer_that_hides_its_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are set to zero in a function that the layer doesn't call must not look like distances of zero."""
    lens = float64_lens("bert")
    lens.attribute(TEXT, method="rollout")
    layer = lens.model.encoder.layer[1]
    plain = layer.forward
    outputs: list[Tensor] = []

    def remembering(*args: Tensor, **kwargs: Tensor) -> Tensor:
        if not outputs:
            outputs.append(plain(*args, **kwargs))
        copies = len(args[0]) // len(outputs[0])
        return outputs[0].repeat(copies, 1, 1)

    monkeypatch.setattr(layer, "forward", remembering)
    monkeypatch.setattr(lens._inspector, "_state", state_of(lens._inspector.body))  # as if it had always been so
    with pytest.raises(UnsupportedArchitecture, match="0 times"):
        lens.attribute(TEXT, method="value_zeroing")


def test_only_layers_run_again_and_many_sources_at_a_time(lens_of) -> None:
    """Ten tokens, four at a time: the run itself, one check, three runs of copies for each layer."""
    lens, calls = lens_of("bert"), []
    layers = list(lens.model.encoder.layer)
    handles = [layer.register_forward_hook(lambda *call: calls.append(len(call[2]))) for layer in layers]
    handles.append(lens.model.embeddings.register_forward_hook(lambda *call: calls.append(0)))
    lens.attribute(TEXT, method="value_zeroing")  # the hooks are new, so the model is looked at anew
    calls.clear()
    lens.attribute([*TEXT, 12, 13, 14, 15], method="value_zeroing", chunk_size=4)
    for handle in handles:
        handle.remove()
    assert calls.count(0) == 1
    assert sorted(calls[1:]) == sorted([1, 2, 4, 4, 2] * len(layers))


def test_layers_with_shared_weights_are_told_apart() -> None:
    lens = float64_lens("albert")
    each = lens.attribute(TEXT, method="value_zeroing", layers="each").values
    assert len(each) == lens.model.config.num_hidden_layers > 1
    assert np.abs(each[0] - each[1]).max() > 1e-3


def test_texts_in_a_batch_give_what_each_gives_alone(lens_of, tokens) -> None:
    texts = [tokens(8, 1), tokens(5, 2), tokens(6, 3)]
    for text, shares in zip(texts, lens_of("bert").attribute(texts, method="value_zeroing"), strict=True):
        np.testing.assert_allclose(shares, lens_of("bert").attribute(text, method="value_zeroing"), atol=1e-5)


def test_groups_of_an_encoder_decoder_are_asked_for(lens_of: Callable[..., normlens.Lens]) -> None:
    lens = lens_of("marian")
    with pytest.raises(InvalidInput, match="group='encoder' or group='decoder'"):
        lens.attribute(TEXT, method="value_zeroing", **texts_of(lens.model))
    with pytest.raises(InvalidInput, match="'encoder', 'decoder'"):
        lens.attribute(TEXT, method="value_zeroing", group="tower", **texts_of(lens.model))
    assert lens.attribute(TEXT, method="value_zeroing", group="decoder", **texts_of(lens.model)).shape == (4, 4)
