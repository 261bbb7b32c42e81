"""The inspection of a model is forgotten when the model is no longer what it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny
from transformers import LlamaForCausalLM, PreTrainedModel

import normlens
from normlens.analysis.input_kinds import shortened
from normlens.inputs.example import Example

IDS = [5, 7, 9, 11, 13, 6, 8]


def analyzed(lens: normlens.Lens, **options: Any) -> dict[str, xr.Dataset]:
    analysis = lens.analyze(IDS, **options)
    return {group: analysis[group].data for group in analysis.groups}


def assert_like_a_fresh_lens(lens: normlens.Lens, **options: Any) -> dict[str, xr.Dataset]:
    analyses, expected = (
        analyzed(lens, **options),
        analyzed(normlens.load((copy.deepcopy(lens.model), None)), **options),
    )
    assert list(analyses) == list(expected)
    for group, data in expected.items():
        xr.testing.assert_allclose(analyses[group], data, rtol=1e-4, atol=1e-5)
        assert analyses[group].attrs.get("absent") == data.attrs.get("absent")
        np.testing.assert_array_equal(analyses[group].get("family", []), data.get("family", []))
    return analyses


def test_another_body_in_a_model_is_the_one_that_is_analyzed() -> None:
    model = LlamaForCausalLM(tiny.configuration("llama")).eval()
    lens = normlens.load((model, None))
    before = analyzed(lens)
    model.model = tiny.build("llama", seed=8)
    after = assert_like_a_fresh_lens(lens)
    assert float(abs(after["decoder"].norm - before["decoder"].norm).max()) > 0.01
    np.testing.assert_allclose(
        lens.attribute(IDS, method="rollout"), normlens.load((model, None)).attribute(IDS, method="rollout")
    )


def everywhere(name: str, value: object) -> Callable[[PreTrainedModel], None]:
    """Set an attribute of all modules, and of the config, that have it."""

    def change(model: PreTrainedModel) -> None:
        for x in (model.config, *model.modules()):
            if name in vars(x):
                setattr(x, name, value)

    return change


@pytest.mark.parametrize("through", ["attention", "block"])
@pytest.mark.parametrize(
    ("model_type", "change"),
    [
        ("llama", everywhere("is_causal", False)),
        ("bert", everywhere("is_decoder", True)),
        ("opt", everywhere("do_layer_norm_before", False)),
        ("bloom", everywhere("apply_residual_connection_post_layernorm", True)),
        ("gpt_neox", everywhere("use_parallel_residual", False)),
    ],
)
def test_a_setting_that_is_changed_is_seen(
    model_type: str, change: Callable[[PreTrainedModel], None], through: str
) -> None:
    model = tiny.build(model_type)
    lens = normlens.load((model, None))
    analyzed(lens, through=through)
    change(model)
    assert_like_a_fresh_lens(lens, through=through)


def test_a_sink_that_was_not_there_at_first_is_seen() -> None:
    model = tiny.build("gpt_oss")
    weights = copy.deepcopy(model.state_dict())
    for layer in model.layers:
        layer.self_attn.sinks.data.fill_(-1e4)
    lens = normlens.load((model, None))
    assert "sink_weight" not in analyzed(lens)["decoder"]
    model.load_state_dict(weights)
    assert "sink_weight" in assert_like_a_fresh_lens(lens)["decoder"]


def test_a_hook_that_is_put_on_after_an_analysis_is_seen() -> None:
    model = tiny.build("bert")
    lens = normlens.load((model, None))
    analyzed(lens, through="block")
    model.encoder.layer[0].attention.output.register_forward_hook(lambda module, args, output: output * 2)
    assert_like_a_fresh_lens(lens, through="block")


def test_what_stays_the_same_is_inspected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lens, inspected = normlens.load((tiny.build("bert"), None)), []
    inspect = lens._inspector._inspect
    monkeypatch.setattr(lens._inspector, "_inspect", lambda *arguments: inspected.append(1) or inspect(*arguments))
    for _ in range(3):
        lens.analyze(IDS)
        lens.model.train()
        lens.model.config.use_cache = not lens.model.config.use_cache
    assert len(inspected) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("factor", [0.0, 1e-4, 0.03])
def test_a_layer_whose_attention_adds_little_still_has_a_rest(factor: float, dtype: torch.dtype) -> None:
    model = tiny.build("llama", dtype=dtype)
    model.layers[1].self_attn.o_proj.weight.data.mul_(factor)
    data = analyzed(normlens.load((model, None)), through="block")["decoder"]
    assert not data.norm_block.isnull().any()
    assert "absent" not in data.attrs


def mixing(model: PreTrainedModel) -> None:
    """Let every embedding see the others, padding included."""
    model.embeddings.register_forward_hook(lambda module, args, output: output + output.mean(1, keepdim=True))


def mixing_otherwise(model: PreTrainedModel) -> None:
    own = model.embeddings.forward
    model.embeddings.forward = lambda *args, **kwargs: (y := own(*args, **kwargs)) + y.mean(1, keepdim=True)


@pytest.mark.parametrize("change", [mixing, mixing_otherwise])
def test_padding_is_tried_anew_when_the_model_has_changed(change: Callable[[PreTrainedModel], None]) -> None:
    model = tiny.build("bert")
    lens, texts = normlens.load((model, None)), [IDS[:3], IDS]
    list(lens.analyze(texts, progress=False)), list(lens.attribute(texts))
    change(model)
    for text, analysis, shares in zip(texts, lens.analyze(texts, progress=False), lens.attribute(texts), strict=True):
        np.testing.assert_allclose(analysis["encoder"].norm, lens.analyze(text)["encoder"].norm, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(shares, lens.attribute(text), rtol=1e-4, atol=1e-6)


def test_another_dtype_is_held_against_vectors_anew() -> None:
    model = tiny.build("bert")
    lens = normlens.load((model, None))
    before = lens.analyze(IDS).attrs["vector_error"]
    model.to(torch.bfloat16)
    assert lens.analyze(IDS).attrs["vector_error"] != before


def test_what_was_not_measured_belongs_to_the_kind_of_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at another kind of input in between doesn't change what is told of a text."""
    lens = normlens.load((tiny.build("bailing_hybrid"), None))
    before = lens.analyze(IDS).attrs["not_measured"]
    assert before == "layers.0.self_attn, layers.2.self_attn"
    vectors = Example({"inputs_embeds": torch.randn(7, lens.model.config.hidden_size)}, None, None, "vectors")
    monkeypatch.setattr("normlens.analysis.inspector.uncaptured", lambda ran, captured: ["another"])
    assert lens._inspector.inspection(vectors).not_measured == ("another",)
    assert lens.analyze(IDS).attrs["not_measured"] == before


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 100])
def test_a_text_is_cut_and_a_waveform_is_not(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, waveform = torch.arange(length), torch.randn(2000)
    example = Example({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, None, None, "")
    expected = torch.cat([tokens, tokens])[: min(max(length, 2), 64)]
    assert torch.equal(shortened(example).tensors["input_ids"], expected)
    sound = Example({"input_values": waveform, "decoder_input_ids": tokens}, None, None, "")
    assert torch.equal(shortened(sound).tensors["input_values"], waveform)
    assert torch.equal(shortened(sound).tensors["decoder_input_ids"], expected)
    picture = Example({"input_ids": tokens, "pixel_values": torch.zeros(3, 4, 4)}, None, None, "")
    assert torch.equal(shortened(picture).tensors["input_ids"], tokens)
    packed = Example({"input_ids": tokens, "attention_mask": torch.ones(length, length)}, None, None, "")
    assert torch.equal(shortened(packed).tensors["attention_mask"], torch.ones(length, length))
