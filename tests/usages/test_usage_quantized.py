"""Usages: models whose weights are no plain numbers, made by quantizing libraries or in inference mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import normlens
import normlens.topk
from normlens.attribution.registry import registered
from normlens.engine.frozen import pull_back
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.loading.quantized import quantization_of

IDS = [1, 2, 3]
METHODS = {name: {} if method.targets != "required" else {"target": 7} for name, method in registered().items()}


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=64, hidden_size=128, num_hidden_layers=1, intermediate_size=256, **heads)
    return LlamaForCausalLM(config).eval()


def fake(library: str) -> Callable[[LlamaForCausalLM], None]:
    """Projections of a class of ``library``, packed in bytes."""

    class Packed(nn.Module):
        def __init__(self, weight: torch.Tensor) -> None:
            super().__init__()
            self.register_buffer("qweight", (weight.detach() * 127).to(torch.uint8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ (self.qweight.float() / 127).T

    Packed.__module__ = library

    def quantize(model: LlamaForCausalLM) -> None:
        for layer in model.model.layers:
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                setattr(layer.self_attn, name, Packed(getattr(layer.self_attn, name).weight))

    return quantize


def cast(dtype: torch.dtype) -> Callable[[LlamaForCausalLM], None]:
    """Projections whose parameters are of ``dtype``, with no scales."""

    def quantize(model: LlamaForCausalLM) -> None:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight = nn.Parameter(module.weight.detach().to(dtype), requires_grad=False)

    return quantize


def torchao(model: LlamaForCausalLM) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())


def quanto(model: LlamaForCausalLM) -> None:
    library = pytest.importorskip("optimum.quanto")
    library.quantize(model, weights=library.qint8)
    library.freeze(model)


LIBRARIES = (
    "bitsandbytes.nn.modules",
    "hqq.core.quantize",
    "compressed_tensors.linear",
    "gptqmodel.nn_modules.qlinear",
)
KINDS = {
    "torchao": torchao,
    "quanto": quanto,
    "fp8": cast(torch.float8_e4m3fn),
    "int8": cast(torch.int8),
    **{library.partition(".")[0]: fake(library) for library in (*LIBRARIES, "transformers.integrations.bitnet")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_quantized_weights_are_refused_by_name_in_every_door(kind: str) -> None:
    model = llama()
    KINDS[kind](model)
    lens = normlens.load((model, None))
    asked = {m: lambda m=m, target=target: lens.attribute(IDS, method=m, **target) for m, target in METHODS.items()}
    asked |= {"analyze": lambda: lens.analyze(IDS), "generate": lambda: lens.analyze(IDS, generate=1)}
    for name, ask in asked.items():
        with pytest.raises(UnsupportedArchitecture, match=r"quantized weights \(\S+ (is a|holds) \S+\).* unquantized"):
            print(name, ask())


def test_plain_weights_are_not_called_quantized() -> None:
    model = llama()
    assert quantization_of(model) is None
    assert quantization_of(model.to(torch.bfloat16)) is None
    with torch.inference_mode():
        assert quantization_of(llama()) is None


def test_float8_in_a_folder_is_refused(tmp_path: Path) -> None:
    llama().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights = {n: x.to(torch.float8_e4m3fn) if "proj" in n else x for n, x in weights.items()}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    lens = normlens.load(tmp_path)
    if quantization_of(lens.model) is None:  # cast to the model's own type while it was loaded
        expected = weights["model.layers.0.self_attn.v_proj.weight"].float()
        assert torch.equal(lens.model.model.layers[0].self_attn.v_proj.weight.float(), expected)
        return
    with pytest.raises(UnsupportedArchitecture, match="quantized"):
        lens.analyze(IDS)


def test_a_model_made_in_inference_mode_is_measured_as_any_other_and_not_differentiated() -> None:
    with torch.inference_mode():
        model = llama()
    lens, plain = normlens.load((model, None)), normlens.load((llama(), None))
    analysis, expected = lens.analyze(IDS), plain.analyze(IDS)
    assert analysis["decoder"].norm.values == pytest.approx(expected["decoder"].norm.values)
    for method in ("rollout", "value_zeroing"):
        assert lens.attribute(IDS, method=method).values == pytest.approx(plain.attribute(IDS, method=method).values)
    for method in ("decompx", "logit", "alti_logit", "gradient_input", "integrated_gradients"):
        with pytest.raises(InvalidInput, match=r"created in torch\.inference_mode\(\).* outside"):
            lens.attribute(IDS, method=method, target=7)
    with pytest.raises(InvalidInput, match=r"created in torch\.inference_mode"):
        pull_back(model, {"input_ids": torch.tensor([IDS])}, lambda output: output.logits[:, -1, 0])
    with torch.no_grad(), normlens.topk.use(model, 2):
        model(torch.tensor([IDS]))
