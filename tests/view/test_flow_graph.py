"""The flow of a token: edges by hand, and totals that are those of the library's rollouts."""

from __future__ import annotations

import numpy as np
import pytest
from architectures import tiny
from exploring import TEXT, explored, opened, service_of
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from normlens.view.flow_graph import pruned


def test_edges_of_two_layers_by_hand() -> None:
    first = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    last = np.array([[1.0, 0.0, 0.0], [0.1, 0.9, 0.0], [0.05, 0.35, 0.6]])
    graph = pruned([first, last].__getitem__, 2, 3, root=2, threshold=0.1)
    assert graph.edges == pytest.approx(
        np.array(
            [
                [1, 2, 1, 0.35],
                [1, 2, 2, 0.6],
                [0, 1, 0, 0.175],
                [0, 1, 1, 0.175],
                [0, 2, 0, 0.12],
                [0, 2, 1, 0.18],
                [0, 2, 2, 0.3],
            ]
        )
    )  # 0.05 from token 0 is below the threshold, and so is all that follows it
    assert graph.reached == pytest.approx([0.295, 0.355, 0.3])
    assert graph.whole == pytest.approx([0.345, 0.355, 0.3])
    few = pruned([first, last].__getitem__, 2, 3, root=2, threshold=0.1, most=4)
    assert len(few.edges) <= 4 and few.threshold > 0.1
    assert few.edges[:, 3].min() >= few.threshold


@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_what_reaches_the_text_is_the_rollout(tokenizer: PreTrainedTokenizerFast, model_type: str) -> None:
    lens = normlens.load((tiny.build(model_type), tokenizer))
    service = service_of(lens)
    run = explored(service)
    scope = "layernorm" if model_type == "bert" else "residual"
    group = opened(service.overview(run))[0]["groups"][0]["name"]
    for by, options in (("norm", {"method": "norm_rollout", "scope": scope}), ("weight", {"method": "rollout"})):
        facts, arrays = opened(service.flow(run, group, 5, by, 1e-9))
        expected = lens.attribute(TEXT, **options).values[5]
        assert arrays["whole"] == pytest.approx(expected, abs=1e-6)
        assert arrays["whole"].sum() == pytest.approx(1, abs=1e-5)
        facts, arrays = opened(service.flow(run, group, 5, by, 0.05))
        assert facts["threshold"] == 0.05 and arrays["edges"][:, 3].min() >= 0.05
        assert facts["hidden"] == pytest.approx(1 - arrays["reached"].sum(), abs=1e-5)
        last = arrays["edges"][arrays["edges"][:, 0] == len(facts["layers"]) - 1]
        assert set(last[:, 1]) == {5}


def test_what_has_no_flow_is_refused_in_a_sentence(tokenizer: PreTrainedTokenizerFast) -> None:
    service = service_of(normlens.load((tiny.build("marian"), tokenizer)))
    run = explored(service, TEXT, "the dog is here")
    for group in ("cross", "decoder"):
        with pytest.raises(InvalidInput, match=rf"In '{group}', vectors come from two texts\. The flow is drawn for"):
            service.flow(run, group, 0)
    with pytest.raises(InvalidInput, match=r"no kind of attention called 'none'"):
        service.flow(run, "none", 0)
    with pytest.raises(InvalidInput, match=r"no token 99; this text has 16"):
        service.flow(run, "encoder", 99)
    with pytest.raises(InvalidInput, match=r"no flow by 'rollout'; expected one of norm, weight"):
        service.flow(run, "encoder", 0, "rollout")
    for threshold in (0.0, 1.0, float("nan")):
        with pytest.raises(InvalidInput, match=r"isn't a share between 0 and 1"):
            service.flow(run, "encoder", 0, threshold=threshold)
