"""ALTI: closeness by hand, whole models against explicit vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny
from direct_formula import Attention
from slow_formulas import TEXT, blocks_of, chained, divided, float64_lens, texts_of, vectors_of

import normlens
from normlens.attribution.maps.layer_maps import Maps
from normlens.attribution.methods.alti import closeness, normalized
from normlens.engine.contributions.vectors import Contributions
from normlens.errors import ConservationError, InvalidInput


def closenesses(block: Attention, scope: str) -> np.ndarray:
    """max(0, ‖y_i‖₁ − ‖y_i − c_ij‖₁), one by one."""
    vectors, _, output = vectors_of(block, scope)
    pairs = zip(output, vectors, strict=True)
    return np.array([[max(0.0, float(y.abs().sum() - (y - c).abs().sum())) for c in row] for y, row in pairs])


def test_closeness_by_hand() -> None:
    """‖y‖₁ = 5. c = y leaves 0; c = (2, 0) leaves 3; c = −y leaves 10, which is farther than nothing at all."""
    output = torch.tensor([2.0, -3.0])
    vectors = torch.tensor([[2.0, -3.0], [2.0, 0.0], [-2.0, 3.0]])
    assert closeness(vectors, output).tolist() == [5.0, 2.0, 0.0]


def test_a_row_without_contributions_goes_to_itself() -> None:
    maps = normalized(Maps({"encoder": np.array([[[0.0, 0.0], [1.0, 3.0]]])}, {"encoder": ["layer"]}))
    np.testing.assert_array_equal(maps.groups["encoder"][0], [[1, 0], [0.25, 0.75]])


@pytest.mark.parametrize(("model_type", "scope"), [("bert", "layernorm"), ("gpt2", "residual"), ("llama", "residual")])
@pytest.mark.parametrize("chunk_size", [4, 32])
def test_alti_by_its_definition(model_type: str, scope: str, chunk_size: int) -> None:
    lens = float64_lens(model_type)
    (blocks,) = blocks_of(lens.model).values()
    shares = lens.attribute(TEXT, method="alti", chunk_size=chunk_size)
    expected = chained([divided(closenesses(block, scope)) for block in blocks])
    np.testing.assert_allclose(shares.values, expected, atol=1e-10)
    assert shares.attrs["rule"].endswith(scope)


def test_epsilon_counts() -> None:
    """A LayerNorm whose ε is as large as its variance: dropped, the contributions would be far too long."""
    model = tiny.build("bert", dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1.0
    blocks = blocks_of(model)["encoder"]
    expected = chained([divided(closenesses(block, "layernorm")) for block in blocks])
    shares = normlens.load((model, None)).attribute(TEXT, method="alti")
    np.testing.assert_allclose(shares.values, expected, atol=1e-10)


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_texts_in_a_batch_give_what_each_gives_alone(lens_of, tokens, model_type: str) -> None:
    texts = [tokens(9, 1), tokens(1, 2), tokens(6, 3)]
    for text, shares in zip(texts, lens_of(model_type).attribute(texts, method="alti"), strict=True):
        alone = lens_of(model_type).attribute(text, method="alti")
        assert shares.shape == (len(text), len(text))
        np.testing.assert_allclose(shares, alone, atol=1e-5)


def test_an_encoder_decoder_is_sent_to_alti_plus() -> None:
    lens = float64_lens("marian")
    with pytest.raises(InvalidInput, match="alti_plus"):
        lens.attribute(TEXT, method="alti", **texts_of(lens.model))
    blocks = blocks_of(lens.model)["encoder"]
    shares = lens.attribute(TEXT, method="alti", group="encoder", **texts_of(lens.model))
    expected = chained([divided(closenesses(block, "layernorm")) for block in blocks])
    np.testing.assert_allclose(shares.values, expected, atol=1e-10)


def test_contributions_that_do_not_add_up_are_withheld(lens_of, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < lens_of("gpt2").attribute(TEXT, method="alti").attrs["conservation_error"] < 1e-5
    plain = Contributions.vectors
    monkeypatch.setattr(Contributions, "vectors", lambda *arguments, **named: 1.01 * plain(*arguments, **named))
    with pytest.raises(ConservationError, match="'residual'"):
        lens_of("gpt2").attribute(TEXT, method="alti")
