"""Torch may be told to compute float32 with fewer digits: what we measure is the same, bit by bit, and its settings stay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny
from fewer_digits import FewerDigits, fast_products
from transformers import LlamaForCausalLM, PreTrainedModel

import normlens
from normlens import topk
from normlens.attribution import VectorNorm
from normlens.engine import frozen
from normlens.engine.precision import full_precision
from normlens.topk.needs import count_sources, quality_of

MakeLens = Callable[..., normlens.Lens]
Tokens = Callable[[int, int], list[int]]
METHODS = ("decompx", "integrated_gradients", "gradient_input", "alti", "value_zeroing", "norm_rollout")


def settings() -> list[str]:
    backends: Any = torch.backends
    configurable = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    configurable += (backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn)
    return [backend.fp32_precision for backend in configurable]


def fresh(model_type: str) -> normlens.Lens:
    """A model that has not been inspected yet: its first look is taken with fewer digits, too."""
    return normlens.load((tiny.build(model_type), None))


def with_head(model: PreTrainedModel) -> PreTrainedModel:
    """A tiny Llama as a language model."""
    whole = LlamaForCausalLM(model.config).eval()
    whole.model.load_state_dict(model.state_dict())
    whole.lm_head.weight = whole.get_input_embeddings().weight
    return whole


def test_an_analysis_has_all_digits(fewer_digits: FewerDigits, tokens: Tokens) -> None:
    plain = fresh("llama").analyze(tokens(12, 0), through="block")
    with fewer_digits():
        analysis = fresh("llama").analyze(tokens(12, 0), through="block")
    xr.testing.assert_identical(analysis.data["decoder"].to_dataset(), plain.data["decoder"].to_dataset())


def test_an_image_is_read_with_all_digits(fewer_digits: FewerDigits) -> None:
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    plain = fresh("vit").analyze(image)
    with fewer_digits():
        analysis = fresh("vit").analyze(image)
    xr.testing.assert_identical(analysis.data["encoder"].to_dataset(), plain.data["encoder"].to_dataset())


@pytest.mark.parametrize("method", METHODS)
def test_an_attribution_has_all_digits(
    method: str, fewer_digits: FewerDigits, lens_of: MakeLens, tokens: Tokens
) -> None:
    lens, options = lens_of("bert"), {"target": VectorNorm(), "position": 0} if METHODS.index(method) < 3 else {}
    plain = lens.attribute(tokens(9, 0), method=method, **options)
    with fewer_digits():
        other = lens.attribute(tokens(9, 0), method=method, **options)
    np.testing.assert_array_equal(other.values, plain.values)


def test_both_directions_have_all_digits(fewer_digits: FewerDigits, tokens: Tokens) -> None:
    def numbers() -> list[torch.Tensor]:
        model = tiny.build("gpt2")
        inputs = {"input_ids": torch.tensor([tokens(7, 0)])}
        pushed = frozen.push_forward(model, inputs, "h.0", chunk_size=3)
        passed = frozen.push_through(model, model.h[1].mlp, pushed.output, pushed.vectors)
        pulled = frozen.pull_back(model, inputs, lambda output: output.last_hidden_state[:, -1, 0])
        assert frozen.check(model, inputs, lambda output: output.last_hidden_state[:, -1, 0]).failures() == []
        return [pushed.vectors, pushed.bias, passed.vectors, passed.output, pulled.shares, pulled.value]

    plain = numbers()
    with fewer_digits():
        other = numbers()
    assert all(map(torch.equal, other, plain))


def test_what_is_left_out_is_counted_with_all_digits(fewer_digits: FewerDigits, tokens: Tokens) -> None:
    ids = torch.tensor([tokens(9, 0), tokens(9, 1)])

    def numbers(model_type: str) -> list[np.ndarray]:
        model = tiny.build(model_type)
        if model_type == "llama":
            model = with_head(model)
        quality = quality_of(model, ids)
        with topk.use(model, k=2, measure="norm"):
            kept = quality.now()
        counts = count_sources(model, {"input_ids": ids}, targets=[8])
        return [
            *kept.values(),
            *quality.dense.values(),
            *(x.numpy() for kinds in counts.values() for x in kinds.values()),
        ]

    for model_type in ("llama", "bert"):
        plain = numbers(model_type)
        with fewer_digits():
            inside = numbers(model_type)
        for one, other in zip(inside, plain, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_a_decoder_adds_is_generated_with_all_digits(tokens: Tokens) -> None:
    lens = normlens.load((with_head(tiny.build("llama")), None))
    inside: list[list[str]] = []
    generate = lens.model.generate

    def watched(*arguments: Any, **options: Any) -> Any:
        inside.append(settings())
        return generate(*arguments, **options)

    lens.model.generate = watched
    with fast_products():
        lens.analyze(tokens(5, 0), generate=2)
    assert [set(precisions) for precisions in inside] == [{"ieee"}]


def test_settings_are_exact_inside_and_put_back(lens_of: MakeLens, tokens: Tokens) -> None:
    inside: list[list[str]] = []

    def look(output: Any) -> torch.Tensor:
        inside.append(settings())
        return output.last_hidden_state[:, 0, 0]

    with fast_products():
        before, asked = settings(), torch.get_float32_matmul_precision()
        lens_of("bert").attribute(tokens(9, 0), target=look)
        assert (settings(), torch.get_float32_matmul_precision()) == (before, asked)
    assert inside
    assert all(value == "ieee" for precisions in inside for value in precisions)


def test_settings_are_put_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(ZeroDivisionError), full_precision():
        raise ZeroDivisionError
    assert settings() == before


def test_the_last_of_two_threads_puts_settings_back() -> None:
    entered, left = threading.Event(), threading.Event()

    @full_precision()
    def outlasts() -> None:
        entered.set()
        left.wait(10)

    before = settings()
    other = threading.Thread(target=outlasts)
    with full_precision():
        other.start()
        entered.wait(10)
    assert set(settings()) == {"ieee"}
    left.set()
    other.join()
    assert settings() == before


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("allow_tf32", [True, False])
def test_every_switch_of_torch_can_be_read_inside_and_is_put_back(precision: str, allow_tf32: bool) -> None:
    backends: Any = torch.backends

    def switches() -> tuple[Any, ...]:
        older = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()
        return settings(), backends.fp32_precision, backends.cudnn.fp32_precision, older

    before = switches()
    try:
        torch.set_float32_matmul_precision(precision)
        backends.cudnn.allow_tf32 = allow_tf32
        asked = switches()
        with full_precision():
            assert switches()[-1] == (False, False, "highest")
            with backends.cudnn.flags(enabled=False, allow_tf32=False):
                assert switches()[-1] == (False, False, "highest")
        assert switches() == asked
    finally:
        torch.set_float32_matmul_precision(before[-1][-1])
        backends.cudnn.allow_tf32 = before[-1][0]


def test_switches_that_contradict_each_other_and_those_that_are_inherited_are_put_back() -> None:
    backends: Any = torch.backends
    with fast_products():
        backends.cuda.matmul.fp32_precision = "ieee"  # torch's own reader of the older switch raises from here on
        backends.fp32_precision, backends.mkldnn.rnn.fp32_precision = "tf32", "none"
        try:
            asked = settings()
            with full_precision():
                assert (set(settings()), backends.fp32_precision) == ({"ieee"}, "ieee")
            assert settings() == asked
            backends.fp32_precision = "ieee"
            assert backends.mkldnn.rnn.fp32_precision == "ieee"  # it still inherits
        finally:
            backends.fp32_precision = "none"
