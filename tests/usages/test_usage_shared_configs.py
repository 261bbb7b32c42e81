"""Usages: models that share one config object. What is done to one of them doesn't change the others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

import normlens
from normlens import topk
from normlens.errors import InvalidInput

IDS = [5, 6, 7, 8, 9, 10]


def pair(model_type: str = "llama") -> tuple[PreTrainedModel, PreTrainedModel]:
    """A model, and a control with random weights made as usual, from its config."""
    config = tiny.configuration(model_type)
    config.update({"initializer_range": 0.3})
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    control = AutoModelForCausalLM.from_config(model.config).eval()
    assert control.config is model.config
    return model, control


def run(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(torch.tensor([IDS])).logits
    return logits


@pytest.mark.parametrize("order", list(permutations(range(2))))
@pytest.mark.parametrize("measure", ["weight", "norm"])
def test_top_k_attention_on_one_leaves_the_other_and_is_undone_in_any_order(
    measure: str, order: tuple[int, int]
) -> None:
    models = pair()
    config, dense = models[0].config, [run(model) for model in models]
    alone = []
    for model in models:
        with topk.use(model, k=2, measure=measure):
            alone.append(run(model))
    topk.use(models[0], k=2, measure=measure)
    assert torch.equal(run(models[1]), dense[1])
    topk.use(models[1], k=2, measure=measure)
    assert all(torch.equal(run(model), kept) for model, kept in zip(models, alone, strict=True))
    assert not torch.allclose(alone[0], dense[0])
    topk.undo(models[order[0]])
    assert torch.equal(run(models[order[0]]), dense[order[0]])
    assert torch.equal(run(models[order[1]]), alone[order[1]])
    topk.undo(models[order[1]])
    assert all(torch.equal(run(model), before) for model, before in zip(models, dense, strict=True))
    assert all(model.config is config for model in models) and config._attn_implementation == "sdpa"


def test_a_model_from_the_config_of_one_in_use_says_so_and_runs_after_undo() -> None:
    model, _ = pair()
    use = topk.use(model, k=2)
    late = AutoModelForCausalLM.from_config(model.config).eval()
    with pytest.raises(InvalidInput, match=r"built from the config of a model with top-k attention.*undo\(\)"):
        run(late)
    with topk.use(late, k=2):
        assert torch.isfinite(run(late)).all()
    use.undo()
    assert late.config._attn_implementation == model.config._attn_implementation == "sdpa"
    assert torch.isfinite(run(late)).all()


def test_what_is_changed_in_a_config_while_in_use_stays() -> None:
    model, control = pair()
    with topk.use(model, k=2):
        model.config.pad_token_id, model.config.id2label = 7, {0: "no", 1: "yes"}
        model.config.a_setting_of_mine = [1]
    assert model.config is control.config
    assert (
        model.config.pad_token_id == 7 and model.config.id2label[1] == "yes" and model.config.a_setting_of_mine == [1]
    )


@pytest.mark.parametrize("method", ["decompx", "rollout"])
def test_analyses_of_both_are_those_of_models_with_configs_of_their_own(method: str) -> None:
    models = pair()
    ask: list[Callable[[normlens.Lens], np.ndarray]] = [
        lambda lens: lens.attribute(IDS, method=method, target=1 if method == "decompx" else None).values,
        lambda lens: lens.analyze(IDS)["decoder"].norm.values,
    ]
    for model in models:
        apart = copy.deepcopy(model)
        assert apart.config is not model.config
        with topk.use(models[0], k=2):
            results = [one(normlens.load((model, None))) for one in ask]
        assert all(np.array_equal(x, one(normlens.load((apart, None)))) for x, one in zip(results, ask, strict=True))
