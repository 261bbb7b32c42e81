"""Attention rollout: the algebra by hand, whole models by the sum over all paths."""

from __future__ import annotations

import numpy as np
import pytest
from slow_formulas import TARGET_TEXT, TEXT, blocks_of, chained, chained_pair, float64_lens, texts_of

import normlens
from normlens.attribution.maps.rollout_algebra import rolled_out, rolled_out_pair, rows_to_one, with_own, with_residual
from normlens.errors import InvalidInput, UnsupportedArchitecture


def test_two_layers_by_hand() -> None:
    """½W + ½I of the first layer is [[.75, .25], [0, 1]], of the second [[.5, .5], [.25, .75]]."""
    weights = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.5, 0.5]]])
    expected = [[[0.75, 0.25], [0, 1]], [[0.375, 0.625], [0.1875, 0.8125]]]
    np.testing.assert_allclose(rolled_out(with_residual(weights)), expected, atol=1e-15)


def test_a_row_of_zeros_goes_to_itself() -> None:
    np.testing.assert_array_equal(rows_to_one(np.array([[0, 0], [1, 3]])), [[1, 0], [0.25, 0.75]])
    cross, own = with_own(np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(cross, [[0, 0], [0.25, 0.5]])
    np.testing.assert_array_equal(own, [1, 0.25])


def test_what_a_sink_takes_is_shared_with_the_residual() -> None:
    """Half of the row's weight went to a sink: ½ · (.5, 0) + ½ (1, 0), over its sum .75."""
    np.testing.assert_allclose(with_residual(np.array([[0.25, 0.25], [0, 1]]))[0], [5 / 6, 1 / 6])


def test_an_encoder_decoder_by_hand() -> None:
    """The decoder keeps 0.4 of its own vector, and reads 0.6 off the encoder, which swaps its two tokens."""
    swap, joint = np.array([[[0.0, 1.0], [1.0, 0.0]]]), np.array([[[0.6, 0.0, 0.4]], [[0.0, 0.5, 0.5]]])
    rolled = rolled_out_pair(swap, joint)
    np.testing.assert_allclose(rolled[0], [[0.0, 0.6, 0.4]])
    np.testing.assert_allclose(rolled[1], [[0.5, 0.3, 0.2]])


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama"])
def test_rollout_sums_over_all_paths(model_type: str) -> None:
    lens = float64_lens(model_type)
    (blocks,) = blocks_of(lens.model).values()
    maps = [0.5 * block.weight.mean(0).numpy() + 0.5 * np.eye(len(TEXT)) for block in blocks]
    shares = lens.attribute(TEXT, method="rollout")
    assert shares.dims == ("target", "source")
    np.testing.assert_allclose(shares.values, chained(maps), atol=1e-10)


def test_marian_divides_between_both_texts() -> None:
    lens = float64_lens("marian")
    blocks = blocks_of(lens.model)
    mean = {name: [block.weight.mean(0).numpy() for block in group] for name, group in blocks.items()}
    encoder, decoder = ([0.7 * w + 0.3 * np.eye(len(w)) for w in mean[name]] for name in ("encoder", "decoder"))
    own = [np.full(len(TARGET_TEXT), 0.3)] * len(decoder)
    expected = chained_pair(encoder, decoder, [0.7 * w for w in mean["cross"]], own)
    shares = lens.attribute(TEXT, method="rollout", residual=0.3, **texts_of(lens.model))
    np.testing.assert_allclose(shares.values, expected, atol=1e-10)
    assert list(shares["side"].values) == ["source"] * len(TEXT) + ["target"] * len(TARGET_TEXT)


def test_layers_each_rolled_and_whole(lens_of) -> None:
    lens = lens_of("bert")
    each = lens.attribute(TEXT, method="rollout", layers="each")
    rolled = lens.attribute(TEXT, method="rollout", layers="rolled")
    whole = lens.attribute(TEXT, method="rollout")
    assert each.dims == rolled.dims == ("layer", "target", "source")
    np.testing.assert_allclose(rolled[1].values, each[1].values @ each[0].values, atol=1e-12)
    np.testing.assert_array_equal(rolled[-1].values, whole.values)
    assert whole.attrs["method"] == "rollout"


def test_texts_in_a_batch_give_what_each_gives_alone(lens_of, tokens) -> None:
    texts = [tokens(9, 1), tokens(4, 2), tokens(6, 3)]
    together = list(lens_of("bert").attribute(texts, method="rollout"))
    for text, shares in zip(texts, together, strict=True):
        np.testing.assert_allclose(shares, lens_of("bert").attribute(text, method="rollout"), atol=1e-6)


@pytest.mark.parametrize("options", [{"residual": 1.5}, {"residual": True}, {"layers": "all"}, {"group": "cross"}])
def test_bad_options_are_refused(lens_of, options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        lens_of("bert").attribute(TEXT, method="rollout", **options)


def test_towers_have_no_rollout_together(lens_of) -> None:
    lens = float64_lens("marian")
    alone = lens.attribute(TEXT, method="rollout", group="encoder", **texts_of(lens.model))
    maps = [0.5 * b.weight.mean(0).numpy() + 0.5 * np.eye(len(TEXT)) for b in blocks_of(lens.model)["encoder"]]
    np.testing.assert_allclose(alone.values, chained(maps), atol=1e-10)
    with pytest.raises(InvalidInput, match="'encoder', 'decoder'"):
        lens.attribute(TEXT, method="rollout", group="towers", **texts_of(lens.model))


def test_layers_between_that_are_not_measured_stop_a_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    lens = normlens.load((float64_lens("bert").model, None))
    monkeypatch.setattr(
        "normlens.analysis.inspector.uncaptured", lambda ran, captured: ["encoder.layer.1.linear_attention"]
    )
    with pytest.raises(UnsupportedArchitecture, match=r"layer\.1\.linear_attention"):
        lens.attribute(TEXT, method="rollout")


def test_layers_of_another_kind_between_stop_a_rollout(lens_of) -> None:
    """Jamba's state-space layers mix positions too: a rollout of its attention alone would leave them out."""
    lens = lens_of("jamba")
    with pytest.raises(UnsupportedArchitecture, match=r"layers\.0.*layers='each'"):
        lens.attribute(TEXT, method="rollout")
    assert lens.attribute(TEXT, method="rollout", layers="each").dims[0] == "layer"
