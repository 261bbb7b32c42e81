"""The numbers of the explorer are those of an analysis: maps to float16, rows exactly, however a layer is measured again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from architectures import tiny
from exploring import TEXT, explored, opened, service_of
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.engine.contributions.choice import MEASURES
from normlens.figures.explorer_page.head_shares import source_sets
from normlens.statistics.measures import mean_over_targets, share
from normlens.view import ViewService
from normlens.view.measured_run import MeasuredRun

HALF = 2.0**-11
"""The largest relative rounding error of float16."""

Opened = Callable[[str], normlens.Lens]


@pytest.fixture(scope="session")
def lens_of(tokenizer: PreTrainedTokenizerFast) -> Opened:
    """A lens on a tiny model of any type that reads text."""
    return lambda model_type: normlens.load((tiny.build(model_type), tokenizer))


def check_heads(service: ViewService, run: str, analysis: normlens.Analysis) -> None:
    """Every map of every head, and a row of it, beside the analysis."""
    for name in analysis.groups:
        group = analysis[name]
        for layer in group["layer"].values.tolist():
            for head in range(2):
                there = {"layer": layer, "head": head}
                weight, moved = (group[key].sel(there).values for key in ("weight", "weighted_norm"))
                _, arrays = opened(service.map(run, name, layer, head))
                assert arrays["weight"] == pytest.approx(weight, rel=1.01 * HALF, abs=1e-9)
                drawn = arrays["weight"] * arrays["vector_norm"]
                assert drawn == pytest.approx(moved, rel=1.01 * HALF, abs=1e-9)
                target = len(weight) - 1
                _, row = opened(service.row(run, name, layer, head, target))
                assert np.array_equal(row["weight"], weight[target])
                assert np.array_equal(row["weighted_norm"], moved[target])


def check_sums(service: ViewService, run: str, analysis: normlens.Analysis) -> None:
    """The maps of all heads together, at every scope, beside the analysis."""
    for name in analysis.groups:
        group = analysis[name]
        scopes = [str(scope) for scope in group["scope"].values]
        for layer in group["layer"].values.tolist():
            _, arrays = opened(service.map(run, name, layer, None))
            _, row = opened(service.row(run, name, layer, None, 1))
            mean = group["weight"].sel(layer=layer).mean("head").values
            assert arrays["weight"] == pytest.approx(mean, rel=2 * HALF, abs=1e-9)
            for scope in scopes:
                variable = "norm" if scope == "attention" else f"norm_{scope}"
                if variable not in group:
                    assert f"norm/{scope}" not in arrays
                    continue
                norm = group[variable].sel(layer=layer).values
                assert arrays[f"norm/{scope}"] == pytest.approx(norm, rel=1.01 * HALF, abs=1e-9)
                assert np.array_equal(row[f"norm/{scope}"], norm[1])


def check_measures(service: ViewService, run: str, analysis: normlens.Analysis) -> None:
    """Displacement and contribution weights, of every head and of all heads together, beside the analysis."""
    for name in analysis.groups:
        group = analysis[name]
        for layer in group["layer"].values.tolist():
            for head, measure in ((0, "displacement"), (1, "displacement"), (1, "contribution_weight")):
                expected = group[measure].sel(layer=layer, head=head).values
                _, arrays = opened(service.map(run, name, layer, head, measure))
                assert arrays[measure] == pytest.approx(expected, rel=1.01 * HALF, abs=1e-7)
                _, row = opened(service.row(run, name, layer, head, 1, measure))
                assert np.array_equal(row[measure], expected[1])
                weight = group["weight"].sel(layer=layer, head=head).values
                assert arrays["weight"] == pytest.approx(weight, rel=1.01 * HALF, abs=1e-9)
            _, arrays = opened(service.map(run, name, layer, None, "contribution_weight"))
            _, row = opened(service.row(run, name, layer, None, 2, "contribution_weight"))
            variables = [key for key in group.data if str(key).startswith("contribution_weight_")]
            assert variables
            for variable in variables:
                scope = str(variable).removeprefix("contribution_weight_")
                expected = group[str(variable)].sel(layer=layer).values
                assert arrays[f"contribution_weight/{scope}"] == pytest.approx(expected, rel=1.01 * HALF, abs=1e-7)
                assert np.array_equal(row[f"contribution_weight/{scope}"], expected[2])


@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_every_measure_of_an_analysis_can_be_looked_at(lens_of: Opened, model_type: str) -> None:
    lens = lens_of(model_type)
    service = service_of(lens)
    check_measures(service, explored(service), lens.analyze(TEXT, measures=MEASURES))


def test_measures_are_the_same_without_memory(reader: normlens.Lens) -> None:
    service = service_of(reader, memory=0)
    run = MeasuredRun(reader._inspector, reader._maker.make(TEXT), capacity=0)
    run.run(lambda group, layer, measures: None)
    seen: list[Any] = []
    run.measure_layer("encoder", 1, seen.append, frozenset({"displacement"}))
    expected = reader.analyze(TEXT, measures=["displacement"])["encoder"]["displacement"].sel(layer=1).values
    assert np.array_equal(seen[0].heads.displacement[0].numpy(), expected)
    service.close()


@pytest.mark.parametrize("model_type", ["bert", "llama", "deberta"])
def test_maps_and_rows_are_those_of_an_analysis(lens_of: Opened, model_type: str) -> None:
    """Post-norm, grouped queries, and attention that is computed in the model's own modules."""
    lens = lens_of(model_type)
    service = service_of(lens)
    run, analysis = explored(service), lens.analyze(TEXT)
    check_heads(service, run, analysis)
    check_sums(service, run, analysis)


def test_an_encoder_decoder_has_three_kinds_of_attention(lens_of: Opened) -> None:
    lens = lens_of("marian")
    service = service_of(lens)
    run, analysis = explored(service, TEXT, "the dog is here"), lens.analyze(TEXT, "the dog is here")
    assert [group["name"] for group in opened(service.overview(run))[0]["groups"]] == list(analysis.groups)
    check_heads(service, run, analysis)
    check_sums(service, run, analysis)


def test_without_memory_the_model_runs_again_up_to_the_layer(reader: normlens.Lens) -> None:
    service = service_of(reader, memory=0)
    reader_run = MeasuredRun(reader._inspector, reader._maker.make(TEXT), capacity=0)
    weights: list[Any] = []
    reader_run.run(lambda group, layer, measures: None)
    assert reader_run.size == 0
    reader_run.layer_weights("encoder", 1, weights.append)
    assert np.array_equal(weights[0][0].numpy(), reader.analyze(TEXT)["encoder"].weight.sel(layer=1).values)
    service.close()


def test_a_long_text_is_measured_in_slices(reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.view.measured_run.targets_at_once", lambda length, heads: 3)
    service = service_of(reader)
    run, analysis = explored(service), reader.analyze(TEXT, chunk_size=3)
    check_heads(service, run, analysis)
    check_sums(service, run, analysis)


def test_what_a_run_holds_grows_with_the_text_not_with_its_square(lens_of: Opened) -> None:
    lens = lens_of("llama")
    sizes = []
    for words in (12, 48):
        run = MeasuredRun(lens._inspector, lens._maker.make("cat " * words), capacity=10**9)
        run.run(lambda group, layer, measures: None)
        sizes.append(run.size)
    layers, heads = lens.model.config.num_hidden_layers, lens.model.config.num_attention_heads
    one_mask = 4 * (48**2 - 12**2)  # shared by all layers
    assert sizes[0] > 0
    assert sizes[1] <= 4 * sizes[0] + 2 * one_mask
    assert layers * heads >= 4  # so that maps of all heads would exceed that


def test_a_tensor_that_the_model_wrote_into_is_not_measured_again(reader: normlens.Lens) -> None:
    run = MeasuredRun(reader._inspector, reader._maker.make(TEXT), capacity=10**9)
    run.run(lambda group, layer, measures: None)
    block = run._held.get(("encoder", 0))
    assert block is not None
    block.call.value.zero_()
    assert run._held.get(("encoder", 0)) is None


def test_shares_are_those_of_the_statistics(reader: normlens.Lens) -> None:
    service = service_of(reader)
    run, group = explored(service), reader.analyze(TEXT)["encoder"]
    facts, _ = opened(service.overview(run))
    shares = facts["groups"][0]["shares"]
    for name, members in source_sets(group["source_category"].values).items():
        for measure, variable in (("weight", group.weight), ("norm", group.weighted_norm)):
            expected = share(mean_over_targets(variable.values), members).ravel()
            assert shares[name][measure] == pytest.approx(expected.tolist(), rel=1e-4), name
        for measure, variable in (("weight", group.weight.mean("head")), ("norm", group.norm)):
            expected = share(mean_over_targets(variable.values), members)
            assert facts["groups"][0]["layerShares"][name][measure] == pytest.approx(expected.tolist(), rel=1e-4)
    diagonal = np.diagonal(group.weight.values, axis1=2, axis2=3)
    rows = group.weight.sizes["target"]
    assert shares["itself"]["weight"] == pytest.approx((diagonal.sum(-1) / rows).ravel().tolist(), rel=1e-4)
    before = np.diagonal(group.weighted_norm.values, offset=-1, axis1=2, axis2=3).sum(-1)
    total = group.weighted_norm.values.sum((-1, -2))
    assert shares["the one before"]["norm"] == pytest.approx((before / total).ravel().tolist(), rel=1e-4)
    assert facts["groups"][0]["amount"] == pytest.approx((total / rows).ravel().tolist(), rel=1e-4)


def test_thumbnails_of_a_short_text_are_its_maps(reader: normlens.Lens) -> None:
    service = service_of(reader)
    run, group = explored(service), reader.analyze(TEXT)["encoder"]
    facts, arrays = opened(service.overview(run))
    size = len(facts["groups"][0]["targets"])
    weight = group.weight.values.reshape(-1, size, size)
    drawn = arrays["encoder/weight/whole"] / 255 * arrays["encoder/weight/whole/most"][:, None, None]
    assert drawn == pytest.approx(weight, abs=0.5 / 255)
    special = [token["category"] == "special" for token in facts["groups"][0]["sources"]]
    assert special[0] and special[-1]
    without = arrays["encoder/weight/without"]
    assert not without[:, :, special].any()
    assert without[:, :, [not one for one in special]].any()
