"""ALTI+: encoder–decoders, the source text and the target prefix."""

from __future__ import annotations

import numpy as np
import pytest
from slow_formulas import (
    TARGET_TEXT,
    TEXT,
    blocks_of,
    chained_pair,
    divided,
    float64_lens,
    shared_with_own,
    texts_of,
    vectors_of,
)
from test_alti import closenesses

from normlens.errors import InvalidInput


def own_closeness(block) -> np.ndarray:
    _, own, output = vectors_of(block, "layernorm")
    return np.array([max(0.0, float(y.abs().sum() - (y - x).abs().sum())) for y, x in zip(output, own, strict=True)])


@pytest.mark.parametrize("chunk_size", [3, 32])
def test_marian_by_the_definition(chunk_size: int) -> None:
    lens = float64_lens("marian")
    blocks = blocks_of(lens.model)
    pairs = [(closenesses(block, "layernorm"), own_closeness(block)) for block in blocks["cross"]]
    cross, own = zip(*(shared_with_own(*pair) for pair in pairs), strict=True)
    maps = {name: [divided(closenesses(b, "layernorm")) for b in blocks[name]] for name in ("encoder", "decoder")}
    expected = chained_pair(maps["encoder"], maps["decoder"], list(cross), list(own))
    shares = lens.attribute(TEXT, method="alti_plus", chunk_size=chunk_size, **texts_of(lens.model))
    np.testing.assert_allclose(shares.values, expected, atol=1e-10)
    np.testing.assert_allclose(shares.sum("source"), 1)
    assert list(shares["side"].values) == ["source"] * len(TEXT) + ["target"] * len(TARGET_TEXT)


def test_no_target_token_takes_from_later_ones(lens_of) -> None:
    for model_type in ("marian", "t5"):
        lens = lens_of(model_type)
        shares = lens.attribute(TEXT, method="alti_plus", **texts_of(lens.model))
        prefix = shares.values[:, len(TEXT) :]
        assert not np.triu(prefix, 1).any()
        assert (prefix.diagonal() > 0).any()
        np.testing.assert_allclose(shares.sum("source"), 1, atol=1e-9)


def test_each_layer_divides_between_cross_and_self_attention(lens_of) -> None:
    lens = lens_of("marian")
    each = lens.attribute(TEXT, method="alti_plus", layers="each", **texts_of(lens.model))
    assert each.dims == ("layer", "target", "source")
    np.testing.assert_allclose(each.sum("source"), 1, atol=1e-9)
    assert "decoder" in str(each["layer_path"][0].item())


def test_batches(lens_of, tokens) -> None:
    lens = lens_of("marian")
    sources, targets = [tokens(7, 1), tokens(4, 2)], [tokens(3, 3), tokens(6, 4)]
    together = lens.attribute(sources, method="alti_plus", target_text=targets)
    for source, target, shares in zip(sources, targets, together, strict=True):
        alone = lens.attribute(source, method="alti_plus", target_text=target)
        np.testing.assert_allclose(shares, alone, atol=1e-5)


def test_one_text_alone_is_sent_to_alti(lens_of) -> None:
    with pytest.raises(InvalidInput, match="method='alti'"):
        lens_of("bert").attribute(TEXT, method="alti_plus")
