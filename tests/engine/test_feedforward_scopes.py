"""Through the whole block: ``feedforward``, ``feedforward_residual`` and ``block`` against the formulas, end to end."""

from __future__ import annotations

from collections.abc import Callable

import block_formula
import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor, nn
from transformers import PreTrainedModel

import normlens
from normlens.engine.contributions.choice import MEASURES
from normlens.engine.contributions.vectors import Contributions
from normlens.engine.feedforward import push as pushing
from normlens.engine.tracing.scopes import OWN_VARIABLES
from normlens.errors import ConservationError, InvalidInput

MakeLens = Callable[..., normlens.Lens]
Ids = Callable[..., list[int]]
SCOPES = list(block_formula.SCOPES)
FAMILIES = ["bert", "gpt2", "llama", "gemma2", "mixtral", "marian"]


def inputs_of(model: PreTrainedModel, ids: list[int], target: list[int] | None) -> dict[str, Tensor]:
    inputs = {"input_ids": torch.tensor([ids])}
    if target is not None:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, *target[:-1]]])
    return inputs


def gap(measured: np.ndarray, expected: Tensor, name: str) -> float:
    """Largest difference: norms relative to the row's largest contribution, ratios as they are."""
    exact = expected.numpy()
    assert measured.shape == exact.shape, name
    scale = exact.max(-1, keepdims=True) if name.startswith("norm") else exact if name in OWN_VARIABLES else 1.0
    return float((np.abs(measured - exact) / scale).max())


def gaps(lens: normlens.Lens, ids: Ids, product: str = "half") -> tuple[float, float]:
    """The largest gap of any variable behind the attention blocks, and the conservation error."""
    oracle = tiny.build(lens.model.config.model_type, dtype=torch.float64)
    source, target = ids(8), ids(5, seed=1) if oracle.config.is_encoder_decoder else None
    expected = block_formula.measures(oracle, inputs_of(oracle, source, target), product)
    analysis = lens.analyze(source, target, through="block", product=product, measures=MEASURES)
    largest = [0.0]
    for name, layers in expected.items():
        for layer, variables in enumerate(layers):
            for variable, exact in variables.items():
                plain, _, scope = variable.partition("/")
                values = analysis[name].data[plain].isel(layer=layer)
                largest.append(gap((values.sel(scope=scope) if scope else values).values, exact, plain))
    assert len(largest) > 6
    return max(largest), analysis.conservation_error


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_variable_equals_the_direct_formula(model_type: str, lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of(model_type, torch.float64)
    largest, conservation = gaps(lens, tokens)
    assert largest <= 1e-6
    assert conservation <= 1e-6


@pytest.mark.parametrize("model_type", FAMILIES)
def test_contributions_add_up_in_float32(model_type: str, lens_of: MakeLens, tokens: Ids) -> None:
    largest, conservation = gaps(lens_of(model_type), tokens)
    assert largest <= 1e-4
    assert conservation <= 1e-5


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "mixtral"])
def test_gated_products_by_integrated_gradients(model_type: str, lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of(model_type, torch.float64)
    short: Ids = lambda length, seed=0: tokens(4, seed)  # noqa: E731
    largest, conservation = gaps(lens, short, "integrated")
    assert largest <= 1e-6
    assert conservation <= 1e-6
    halves = lens.analyze(tokens(4), through="block")["decoder"].norm_feedforward
    integrated = lens.analyze(tokens(4), through="block", product="integrated")["decoder"].norm_feedforward
    assert float(abs(halves - integrated).max()) > 1e-4 * float(halves.max())


def test_without_being_asked_nothing_is_followed_further(lens_of: MakeLens, tokens: Ids) -> None:
    data = lens_of("bert").analyze(tokens(6))["encoder"].data
    assert data["scope"].values.tolist() == ["attention", "residual", "layernorm"]
    assert not [v for v in data.data_vars if "feedforward" in str(v) or "block" in str(v)]


def test_the_attention_scopes_are_the_same_numbers_either_way(lens_of: MakeLens, tokens: Ids) -> None:
    plain, through = (lens_of("bert").analyze(tokens(6), through=t)["encoder"].data for t in ("attention", "block"))
    assert through["scope"].values.tolist() == ["attention", "residual", "layernorm", *SCOPES]
    for name in plain.data_vars:
        values = through[name].sel(scope=plain["scope"]) if "scope" in plain[name].dims else through[name]
        np.testing.assert_array_equal(plain[name].values, values.values)


@pytest.mark.parametrize(("model_type", "chunk_size"), [("bert", 3), ("llama", 1), ("mixtral", 4), ("marian", 3)])
def test_chunks_give_the_same_numbers(model_type: str, chunk_size: int, lens_of: MakeLens, tokens: Ids) -> None:
    lens = lens_of(model_type, torch.float64)
    target = tokens(5, seed=1) if model_type == "marian" else None
    whole, chunked = (lens.analyze(tokens(7), target, through="block", chunk_size=c) for c in (None, chunk_size))
    for name in whole.groups:
        for variable in whole[name].data.data_vars:
            if variable != "conservation_error":
                one, other = whole[name].data[variable].values, chunked[name].data[variable].values
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.nanmax(one), err_msg=str(variable))


def test_few_sources_at_a_time_for_all_targets_give_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, lens_of: MakeLens, tokens: Ids
) -> None:
    lens = lens_of("bert", torch.float64)
    whole = lens.analyze(tokens(7), through="block")["encoder"].data
    monkeypatch.setattr(pushing, "_POSITIONS", 2 * 7)
    chunked = lens.analyze(tokens(7), through="block")["encoder"].data
    for variable in ("norm_feedforward", "norm_block", "mixing_ratio"):
        np.testing.assert_allclose(whole[variable].values, chunked[variable].values, rtol=1e-9, err_msg=variable)


@pytest.mark.parametrize(("model_type", "padding"), [("bert", "right"), ("llama", "left"), ("t5", "right")])
def test_a_padded_batch_gives_the_numbers_of_one_text_at_a_time(
    model_type: str, padding: str, lens_of: MakeLens, tokens: Ids
) -> None:
    lens = lens_of(model_type, torch.float64)
    texts = [tokens(4), tokens(9, seed=1)]
    targets = [tokens(3), tokens(5, seed=2)] if model_type == "t5" else None
    together = list(lens.stream(texts, targets, through="block", padding=padding, progress=False))
    for k, analysis in enumerate(together):
        alone = lens.analyze(texts[k], None if targets is None else targets[k], through="block")
        for name in analysis.groups:
            for variable in [v for v in analysis[name].data.data_vars if str(v).endswith(tuple(SCOPES))]:
                one, other = analysis[name].data[variable].values, alone[name].data[variable].values
                np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7 * np.nanmax(one), err_msg=str(variable))


def test_a_second_attention_in_the_layer_takes_the_scopes_of_the_first(lens_of: MakeLens, tokens: Ids) -> None:
    for model_type in ("marian", "t5"):
        analysis = lens_of(model_type).analyze(tokens(6), tokens(4, seed=1), through="block")
        assert "norm_block" not in analysis["decoder"].data
        assert "another attention follows" in analysis["decoder"].data.attrs["absent"]
        assert analysis["decoder"].mixing_ratio.sel(scope=SCOPES).isnull().all()
        assert {"norm_block", "own_block"} <= set(analysis["cross"].data.data_vars)
        assert "absent" not in analysis["cross"].data.attrs


def test_a_parallel_block_has_no_feed_forward_behind_its_attention(lens_of: MakeLens, tokens: Ids) -> None:
    data = lens_of("gpt_neox").analyze(tokens(6), through="block")["decoder"].data
    assert not [v for v in data.data_vars if str(v).endswith(tuple(SCOPES))]
    assert "parallel" in data.attrs["absent"]


@pytest.mark.parametrize("model_type", ["bart", "t5", "opt", "albert", "olmo2", "qwen3_moe", "deberta-v2", "granite"])
def test_other_families_have_all_three_scopes(model_type: str, lens_of: MakeLens, tokens: Ids) -> None:
    target = tokens(4, seed=1) if lens_of(model_type).model.config.is_encoder_decoder else None
    analysis = lens_of(model_type).analyze(tokens(6), target, through="block")
    last = analysis[analysis.groups[-1]]
    assert not last.mixing_ratio.sel(scope=SCOPES).isnull().any()
    assert analysis.conservation_error <= 1e-5


def test_an_opposite_feed_forward_takes_the_whole_contribution_away(lens_of: MakeLens, tokens: Ids) -> None:
    """With −identity as the feed-forward, nothing is left at its residual sum: neither of the context nor of the own."""
    model = tiny.build("bert", dtype=torch.float64)
    layer = model.encoder.layer[0]
    layer.intermediate.intermediate_act_fn = nn.Identity()
    size = layer.intermediate.dense.in_features
    with torch.no_grad():
        layer.intermediate.dense.weight.zero_()
        layer.intermediate.dense.weight[:size] = torch.eye(size)
        layer.output.dense.weight.zero_()
        layer.output.dense.weight[:, :size] = -torch.eye(size)
    data = normlens.load((model, None)).analyze(tokens(6), through="block")["encoder"].data.isel(layer=0)
    np.testing.assert_allclose(data["norm_feedforward"], data["norm_layernorm"], rtol=1e-9)
    assert float(data["norm_feedforward_residual"].max()) <= 1e-12
    np.testing.assert_allclose(
        data["mixing_ratio"].sel(scope="feedforward"), data["mixing_ratio"].sel(scope="layernorm"), rtol=1e-9
    )


def test_contributions_that_miss_the_output_are_withheld(monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    lens = normlens.load((tiny.build("llama"), None))
    lens.analyze(tokens(5), through="block")
    right = Contributions.vectors
    monkeypatch.setattr(Contributions, "vectors", lambda *arguments, **named: right(*arguments, **named) * 1.01)
    with pytest.raises(ConservationError, match="'feedforward'"):
        lens.analyze(tokens(5), through="block")


def test_two_sources_exchanged_are_noticed_at_first_use(monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    """Their sum is right, so conservation can't see it."""
    right = Contributions.vectors
    monkeypatch.setattr(Contributions, "vectors", lambda *arguments, **named: right(*arguments, **named).flip(2))
    with pytest.raises(ConservationError, match="from the measured ones"):
        normlens.load((tiny.build("bert"), None)).analyze(tokens(5), through="block")


def test_unknown_options_are_refused(lens_of: MakeLens, tokens: Ids) -> None:
    with pytest.raises(InvalidInput, match="through is 'model'; expected 'attention'"):
        lens_of("bert").analyze(tokens(5), through="model")
    with pytest.raises(InvalidInput, match="product is 'all'; expected one of 'half'"):
        lens_of("bert").analyze(tokens(5), through="block", product="all")


def test_the_model_is_left_as_it_was(lens_of: MakeLens, tokens: Ids) -> None:
    model = lens_of("t5").model
    before = {name: (dict(vars(module)), len(module._forward_hooks)) for name, module in model.named_modules()}
    lens_of("t5").analyze(tokens(5), tokens(4), through="block")
    for name, module in model.named_modules():
        assert before[name][0].keys() == vars(module).keys()
        assert before[name][1] == len(module._forward_hooks)


def test_hidden_states_that_a_model_records_are_those_of_its_own_run(tokens: Ids) -> None:
    """Models inside models are read by them: LLaVA takes the last but one state of its vision tower."""
    model = tiny.build("bert")
    model.config.output_hidden_states = True
    seen: list[int] = []
    model.register_forward_hook(lambda module, args, output: seen.append(len(output.hidden_states)))
    normlens.load((model, None)).analyze(tokens(5), through="block")
    assert seen
    assert set(seen) == {model.config.num_hidden_layers + 1}


def test_words_tables_and_reductions_know_the_scopes(lens_of: MakeLens, tokens: Ids) -> None:
    analysis = lens_of("bert").analyze(tokens(6), through="block")
    assert {"norm_feedforward", "norm_block"} <= set(analysis.to_dataframe().columns)
    assert analysis.words()["encoder"].norm_block.shape == analysis["encoder"].norm_block.shape
    sinks = lens_of("bert").analyze(tokens(6), through="block", reduce="sinks")["encoder"].data
    first = analysis["encoder"].norm_block.isel(source=0)
    np.testing.assert_allclose(sinks["norm_block_first"].values, first.values, rtol=1e-6)
