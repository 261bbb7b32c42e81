"""End to end: what ``analyze`` returns against the papers' formulas, in float64 and in float32."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import direct_formula
import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import PreTrainedModel

import normlens
from normlens.engine.contributions.choice import MEASURES
from normlens.engine.tracing.scopes import OWN_VARIABLES

MakeLens = Callable[..., normlens.Lens]
Ids = Callable[..., list[int]]
FAMILIES = ["bert", "gpt2", "llama", "marian", "gemma2", "gpt_neox", "granite"]


def model_of(model_type: str, dtype: torch.dtype) -> PreTrainedModel:
    if model_type != "granite":
        return tiny.build(model_type, dtype=dtype)
    model = tiny.build(model_type, dtype=dtype)
    for layer in model.layers:
        layer.residual_multiplier = 0.37
    model.config.residual_multiplier = 0.37
    return model


def inputs_of(model: PreTrainedModel, ids: list[int], target: list[int] | None = None) -> dict[str, Tensor]:
    inputs = {"input_ids": torch.tensor([ids])}
    if target is not None:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, *target[:-1]]])
    return inputs


def gap(measured: np.ndarray, expected: Tensor, name: str) -> float:
    """Largest difference: norms relative to the row's largest contribution, weights and ratios as they are."""
    exact = expected.numpy()
    assert measured.shape == exact.shape, name
    scale = exact.max(-1, keepdims=True) if "norm" in name else exact if name in OWN_VARIABLES else 1.0
    scale = exact.max() if name == "displacement" else scale  # zero where there is one source alone
    return float((np.abs(measured - exact) / scale).max())


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-6), (torch.float32, 1e-4)], ids=["float64", "float32"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_variable_equals_the_direct_formula(
    model_type: str, dtype: torch.dtype, limit: float, tokens: Ids
) -> None:
    model = model_of(model_type, dtype)
    source, target = tokens(9), tokens(6, seed=1) if model.config.is_encoder_decoder else None
    oracle = direct_formula.attentions(model_of(model_type, torch.float64), inputs_of(model, source, target))
    analysis = normlens.load((model, None)).analyze(source, target, measures=MEASURES)
    assert set(analysis.groups) == set(oracle)
    for name, blocks in oracle.items():
        group = analysis[name]
        assert group.data.sizes["layer"] == len(blocks)
        checked = {"conservation_error"}
        for layer, block in enumerate(blocks):
            for variable, expected in direct_formula.measures(block).items():
                plain, _, scope = variable.partition("/")
                measured = getattr(group, plain).isel(layer=layer)
                measured = measured.sel(scope=scope) if scope else measured
                assert gap(measured.values, expected, plain) <= limit, (name, layer, variable)
                checked.add(plain)
        assert checked == {str(v) for v in group.data.data_vars} | {"weighted_norm"}
    assert analysis.conservation_error <= (1e-6 if dtype == torch.float64 else 1e-5)


def largest_gap(one: normlens.Analysis, other: normlens.Analysis) -> float:
    """Largest difference of any variable, but for the rounding errors themselves; everything else must be equal."""
    assert one.groups == other.groups
    gaps = []
    for name in one.groups:
        a, b = one[name].data, other[name].data
        assert set(a.variables) == set(b.variables)
        assert all(np.array_equal(a[c].values, b[c].values) for c in a.coords)
        for variable in set(a.data_vars) - {"conservation_error"}:
            x, y = a[variable].values, b[variable].values
            assert np.array_equal(np.isnan(x), np.isnan(y)), variable
            gaps.append(float(np.nanmax(np.abs(x - y)) / max(1.0, float(np.nanmax(np.abs(x))))))
    return max(gaps)


def texts_for(lens: normlens.Lens, tokens: Ids) -> tuple[list[list[int]], list[Any]]:
    texts = [tokens(n, seed=n) for n in (7, 4, 9)]
    if not lens.model.config.is_encoder_decoder:
        return texts, [None] * 3
    return texts, [tokens(n, seed=n + 10) for n in (5, 8, 3)]


# Batches, chunks, threads


DECODERS = ["gpt2", "llama", "mistral", "gemma2", "gpt_oss", "opt", "bloom"]
ENCODERS = ["bert", "roberta", "modernbert", "mpnet", "esm", "deberta-v2"]


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("model_type", [*DECODERS, *ENCODERS, "mobilebert", "roformer"])
def test_a_padded_batch_equals_one_text_at_a_time(
    model_type: str, padding: str, lens_of: MakeLens, tokens: Ids
) -> None:
    lens = lens_of(model_type)
    texts, _ = texts_for(lens, tokens)
    together = list(lens.analyze(texts, padding=padding, progress=False))
    for text, analysis in zip(texts, together, strict=True):
        assert largest_gap(lens.analyze(text), analysis) <= 2e-5


@pytest.mark.parametrize("model_type", ["marian", "bart", "encoder-decoder"])
def test_a_padded_batch_of_pairs_equals_one_pair_at_a_time(model_type: str, lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of(model_type)
    texts, targets = texts_for(lens, tokens)
    together = list(lens.analyze(texts, targets, progress=False))
    for text, target, analysis in zip(texts, targets, together, strict=True):
        assert largest_gap(lens.analyze(text, target), analysis) <= 2e-5


def test_analyses_come_in_the_order_of_the_inputs(lens_of: MakeLens, tokens: Ids) -> None:
    texts = [tokens(n, seed=n) for n in (9, 2, 7, 2, 5, 3)]
    analyses = list(lens_of("bert").analyze(iter(texts), batch_size=2, progress=False))
    assert [analysis["encoder"].data["source_id"].values.tolist() for analysis in analyses] == texts


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 100])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "gemma2", "gpt_oss", "marian", "gpt_neox"])
def test_chunks_equal_the_whole(model_type: str, chunk_size: int, lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of(model_type)
    (text, *_), (target, *_) = texts_for(lens, tokens)
    assert largest_gap(lens.analyze(text, target), lens.analyze(text, target, chunk_size=chunk_size)) <= 2e-5


def test_chunks_of_a_padded_batch_equal_one_text_at_a_time(lens_of: MakeLens, tokens: Ids) -> None:
    for model_type in ("gpt2", "bert"):
        lens = lens_of(model_type)
        texts, _ = texts_for(lens, tokens)
        for padding in ("right", "left"):
            together = list(lens.analyze(texts, padding=padding, chunk_size=2, progress=False))
            for text, analysis in zip(texts, together, strict=True):
                assert largest_gap(lens.analyze(text), analysis) <= 2e-5


def test_two_threads_may_analyze_the_same_model(lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of("llama")
    texts = [tokens(n, seed=n) for n in range(3, 11)]
    expected = [lens.analyze(text) for text in texts]
    analyses: dict[int, normlens.Analysis] = {}

    def work(numbers: range) -> None:
        for number in numbers:
            analyses[number] = lens.analyze(texts[number])

    threads = [threading.Thread(target=work, args=(range(start, 8, 2),)) for start in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(largest_gap(expected[k], analyses[k]) == 0 for k in range(8))


def test_the_model_is_as_it_was_after_an_analysis_and_after_an_error(
    lens_of: MakeLens, tokens: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.build("gpt2")
    model.config._attn_implementation = "sdpa"
    lens = normlens.load((model, None))
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]

    def assert_untouched() -> None:
        assert model.config._attn_implementation == "sdpa"
        assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]

    lens.analyze(tokens(5))
    assert_untouched()

    def broken(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("normlens.analysis.checked_measures.measure", broken)
    with pytest.raises(ZeroDivisionError):
        lens.analyze(tokens(5))
    assert_untouched()


# What particular models do


def test_sink_weight_is_what_no_source_gets(lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of("gpt_oss")
    group = lens.analyze(tokens(8))["decoder"]
    assert np.allclose(group.sink_weight, 1 - group.weight.sum("source"), atol=1e-6)
    first = lens.model.layers[0].self_attn
    assert first.sinks.abs().min() > 0
    assert float(group.sink_weight.min()) > 0
    assert "sink_weight" not in lens_of("llama").analyze(tokens(8))["decoder"].data


def test_a_sliding_window_is_zero_outside_it(lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of("gemma2")
    group = lens.analyze(tokens(9))["decoder"]
    distance = np.subtract.outer(np.arange(9), np.arange(9))
    for layer, kind in enumerate(lens.model.config.layer_types):
        window = lens.model.config.sliding_window if kind == "sliding_attention" else 9
        seen = (distance >= 0) & (distance < window)
        weight = group.weight.isel(layer=layer).values
        assert (weight[:, seen] > 0).all()
        assert not weight[:, ~seen].any()
        assert not group.norm.isel(layer=layer).values[~seen].any()


def test_a_softcap_is_in_the_weights(tokens: Ids) -> None:
    flat, steep = tiny.build("gemma2"), tiny.build("gemma2")
    for layer in flat.layers:
        layer.self_attn.attn_logit_softcapping = 1e-3
    even = normlens.load((flat, None)).analyze(tokens(4))["decoder"].weight
    assert np.allclose(even[0, :, 3], 0.25, atol=1e-3)
    assert float(normlens.load((steep, None)).analyze(tokens(4))["decoder"].weight[0, :, 3].max()) > 0.5


def test_cross_attention_has_its_own_group_and_the_target_s_vector_beside_the_sources(
    lens_of: MakeLens, tokens: Ids
) -> None:
    analysis = lens_of("marian").analyze(tokens(7), tokens(5, seed=1))
    assert analysis.groups == ["encoder", "decoder", "cross"]
    cross = analysis["cross"]
    assert cross.weight.shape == (3, 4, 5, 7)
    assert cross.norm.shape == cross.norm_layernorm.shape == (3, 5, 7)
    assert cross.own_residual.dims == cross.own_layernorm.dims == ("layer", "target")
    assert "own_residual" not in analysis["decoder"].data
    assert cross.data["source_id"].values.tolist() == tokens(7)
    assert cross.data["target_id"].values.tolist()[1:] == tokens(5, seed=1)[:-1]


def test_cross_attention_is_told_apart_when_both_sides_are_equally_long(lens_of: MakeLens, tokens: Ids) -> None:
    for model_type in ("marian", "t5"):
        analysis = lens_of(model_type).analyze(tokens(6), tokens(6, seed=1))
        assert analysis.groups == ["encoder", "decoder", "cross"]
        assert float(np.triu(analysis["decoder"].weight.values, 1).max()) == 0
        assert float(np.triu(analysis["cross"].weight.values, 1).max()) > 0


def test_a_decoder_that_first_reads_one_token_is_a_decoder(tokens: Ids) -> None:
    for model_type in ("t5", "marian"):
        lens = normlens.load((tiny.build(model_type), None))
        assert lens.analyze(tokens(6), tokens(1, seed=1)).groups == ["encoder", "decoder", "cross"]
    lens = normlens.load((tiny.build("gpt2"), None))
    assert lens.analyze(tokens(1)).groups == lens.analyze(tokens(6)).groups == ["decoder"]


def test_images_are_read_patch_by_patch(lens_of: MakeLens) -> None:
    image = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    group = lens_of("vit").analyze(image)["encoder"]
    assert group.weight.shape == (3, 4, 17, 17)
    assert group.data["source_token"].values[[0, 1, 16]].tolist() == ["[CLS]", "0,0", "3,3"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_are_measured_in_float32(dtype: torch.dtype, lens_of: MakeLens, tokens: Ids) -> None:
    analysis = lens_of("llama", dtype).analyze(tokens(7))
    assert analysis["decoder"].weight.dtype == np.float32
    assert analysis.conservation_error <= (2e-3 if dtype == torch.float16 else 1e-2)
    assert analysis.attrs["dtype"] == str(dtype).removeprefix("torch.")


def test_what_the_model_was_and_what_it_read_is_on_record(reader: normlens.Lens) -> None:
    attrs = reader.analyze("the cat sat").attrs
    assert (attrs["text"], attrs["model_type"], attrs["dtype"]) == ("the cat sat", "bert", "float32")
    assert (attrs["torch"], attrs["normlens"]) == (str(torch.__version__), normlens.__version__)


def test_generated_tokens_are_analyzed_with_the_prompt(tokens: Ids) -> None:
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(tiny.configuration("gpt2")).eval()
    group = normlens.load((model, None)).analyze(tokens(4), generate=3)["decoder"]
    ids = group.data["source_id"].values
    assert len(ids) == 7 and ids[:4].tolist() == tokens(4)
    expected = model(torch.as_tensor(ids)[None, :-1]).logits.argmax(-1)[0, 3:]
    assert ids[4:].tolist() == expected.tolist()
