"""A head that is measured without the others of its layer has the numbers of the run, or isn't used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import tiny
from exploring import TEXT, explored, opened, service_of
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.engine.contributions.displacement import HeadMeasure
from normlens.view.measured_run import MeasuredRun
from normlens.view.weight_checksums import WeightChecksums


def run_of(lens: normlens.Lens) -> MeasuredRun:
    """A run that holds all its blocks."""
    run = MeasuredRun(lens._inspector, lens._maker.make(TEXT), capacity=10**9)
    run.run(lambda group, layer, measures: None)
    return run


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize(
    ("model_type", "group", "is_alone"),
    [
        ("bert", "encoder", True),
        ("llama", "decoder", True),  # grouped queries
        ("gemma2", "decoder", True),  # soft caps and sliding windows
        ("gpt_oss", "decoder", False),  # its function reads a sink of each head from the module
    ],
)
def test_a_head_alone_has_the_weights_of_the_run(
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
    model_type: str,
    group: str,
    is_alone: bool,
    chunk: int | None,
) -> None:
    monkeypatch.setattr("normlens.view.measured_run.targets_at_once", lambda length, heads: chunk)
    lens = normlens.load((tiny.build(model_type), tokenizer))
    weight = lens.analyze(TEXT, chunk_size=chunk)[group].weight
    run = run_of(lens)
    for layer in weight.layer.values.tolist():
        for head in range(weight.sizes["head"]):
            alone = run.head_weights(group, layer, head)
            assert (alone is not None) == is_alone
            if alone is not None:
                assert np.array_equal(alone[0, 0].numpy(), weight.sel(layer=layer, head=head).values)


def test_attention_in_the_models_own_modules_is_not_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    assert run_of(normlens.load((tiny.build("deberta"), tokenizer))).head_weights("encoder", 0, 0) is None


def test_position_biases_are_cut_to_the_head(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("t5"), tokenizer))
    weight = lens.analyze(TEXT, "the dog is here")["encoder"].weight
    run = MeasuredRun(lens._inspector, lens._maker.make(TEXT, "the dog is here"), capacity=10**9)
    run.run(lambda group, layer, measures: None)
    for head in range(weight.sizes["head"]):
        alone = run.head_weights("encoder", 0, head)
        assert alone is not None
        assert np.array_equal(alone[0, 0].numpy(), weight.sel(layer=0, head=head).values)


def test_a_head_that_differs_from_the_run_is_not_used(reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_of(reader)
    name = explored(service)
    run = service._kept.get(name)._run
    block = run._held.get(("encoder", 1))
    assert block.call.recompute_sharing is not None
    off = lambda kv_head, start, stop: block.call.rows(start, stop)[:, [1 - kv_head]]  # noqa: E731
    monkeypatch.setattr(run._held, "get", lambda key: replace(block, call=replace(block.call, recompute_sharing=off)))
    assert run.head_weights("encoder", 1, 0) is None
    _, row = opened(service.row(name, "encoder", 1, 0, 2))
    assert np.array_equal(row["weight"], reader.analyze(TEXT)["encoder"].weight.sel(layer=1, head=0).values[2])
    service.close()


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize(
    ("model_type", "group"), [("bert", "encoder"), ("llama", "decoder"), ("afmoe", "decoder"), ("bitnet", "decoder")]
)
def test_a_head_alone_has_the_measures_of_an_analysis(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch, model_type: str, group: str, chunk: int | None
) -> None:
    """Heads side by side, heads that share values, a gate after them, and a norm after them."""
    monkeypatch.setattr("normlens.view.measured_run.targets_at_once", lambda length, heads: chunk)
    lens = normlens.load((tiny.build(model_type), tokenizer))
    run = run_of(lens)
    assert run.head_measure(group, 0, 0, "displacement") is None  # so small that heads are measured together
    monkeypatch.setattr("normlens.engine.contributions.displacement._TOGETHER", 1)
    names: tuple[HeadMeasure, ...] = ("displacement", "contribution_weight")
    analysis = lens.analyze(TEXT, measures=names, chunk_size=chunk)[group]
    for name in names:
        for head in range(analysis.sizes["head"]):
            alone = run.head_measure(group, 1, head, name)
            assert alone is not None
            expected = analysis[name].sel(layer=1, head=head).values
            assert np.array_equal(alone[0, 0].numpy(), expected, equal_nan=True)


def test_looking_at_a_head_keeps_its_map_alone(reader: normlens.Lens) -> None:
    service = service_of(reader)
    name = explored(service)
    before = service._kept._maps.size
    _, arrays = opened(service.map(name, "encoder", 0, 1))
    assert service._kept._maps.size - before == 4 * arrays["weight"].size
    service.close()


def test_checksums_add_up_over_slices_and_tell_heads_apart() -> None:
    weights = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    sums = WeightChecksums()
    for start in (0, 4):
        sums.add("layer", weights[:, :, start : start + 4])
    assert sums.agree("layer", 1, weights[:, 1:2])
    assert not sums.agree("layer", 2, weights[:, 1:2])
    assert not sums.agree("layer", 1, torch.nextafter(weights[:, 1:2], torch.tensor(2.0)))
    assert not sums.agree("another", 1, weights[:, 1:2])
