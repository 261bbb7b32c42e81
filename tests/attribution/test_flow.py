"""Attention flow: by hand, against networkx, and on models."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from slow_formulas import TEXT, blocks_of, divided, float64_lens, texts_of

from normlens.attribution.methods.flow import UNITS, maximum_flows, scaling_error
from normlens.errors import InvalidInput, UnsupportedArchitecture


def flows_by_networkx(maps: np.ndarray) -> np.ndarray:
    layers, tokens, _ = maps.shape
    graph = networkx.DiGraph()
    for (layer, target, source), capacity in np.ndenumerate(maps):
        graph.add_edge((layer + 1, target), (layer, source), capacity=capacity)
    pairs = np.ndindex(tokens, tokens)
    return np.array([networkx.maximum_flow_value(graph, (layers, i), (0, j)) for i, j in pairs]).reshape(tokens, tokens)


def test_the_narrowest_place_decides() -> None:
    """From token 0 of the top to input 0: .9 is asked for at the top, but the pipe below takes .3 and the detour .1."""
    maps = np.array([[[0.3, 0.7], [0.2, 0.8]], [[0.9, 0.1], [0.5, 0.5]]])
    flows = maximum_flows(maps)
    np.testing.assert_allclose(flows[0], [0.3 + 0.1, 0.7 + 0.1], atol=1e-8)
    np.testing.assert_allclose(flows[1], [0.3 + 0.2, 0.5 + 0.5], atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_flows_are_those_of_networkx(seed: int) -> None:
    maps = np.random.default_rng(seed).dirichlet(np.full(5, 0.3), (3, 5))
    flows, expected = maximum_flows(maps), flows_by_networkx(maps)
    assert (flows <= expected + 1e-15).all()
    assert (expected - flows).max() <= scaling_error(maps) == np.count_nonzero(maps) / UNITS
    assert scaling_error(maps) < 1e-7


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama"])
def test_flow_through_a_model(model_type: str) -> None:
    lens = float64_lens(model_type)
    (blocks,) = blocks_of(lens.model).values()
    maps = np.stack([0.5 * block.weight.mean(0).numpy() + 0.5 * np.eye(len(TEXT)) for block in blocks])
    expected = flows_by_networkx(maps)
    raw = lens.attribute(TEXT, method="flow", normalized=False)
    np.testing.assert_allclose(raw.values, expected, atol=1e-6)
    shares = lens.attribute(TEXT, method="flow")
    np.testing.assert_allclose(shares.values, divided(expected), atol=1e-6)
    assert 0 < shares.attrs["scaling_error"] < 1e-6
    through = lens.attribute(TEXT, method="flow", layers="rolled")
    np.testing.assert_allclose(through[1].values, divided(flows_by_networkx(maps[:2])), atol=1e-6)


def test_nothing_flows_from_later_tokens(lens_of) -> None:
    assert not np.triu(lens_of("llama").attribute(TEXT, method="flow").values, 1).any()


def test_an_encoder_decoder_has_flow_on_one_side_only() -> None:
    lens = float64_lens("marian")
    with pytest.raises(UnsupportedArchitecture, match="group='encoder'"):
        lens.attribute(TEXT, method="flow", **texts_of(lens.model))
    assert lens.attribute(TEXT, method="flow", group="decoder", **texts_of(lens.model)).shape == (4, 4)


def test_normalized_is_true_or_false(lens_of) -> None:
    with pytest.raises(InvalidInput, match="normalized"):
        lens_of("bert").attribute(TEXT, method="flow", normalized="rows")
