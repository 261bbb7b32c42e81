"""Two analyses of the same words, against shares added up by hand; and their picture."""

from __future__ import annotations

import numpy as np
import pytest
from architectures import tiny
from matplotlib import pyplot
from transformers import PreTrainedTokenizerFast

import normlens
from normlens import figures
from normlens.errors import InvalidInput

TEXT = "the unhappiness sat here."


@pytest.fixture(scope="module")
def other_model(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A tiny GPT-2, which has other layers and no special tokens of its own."""
    return normlens.load((tiny.build("gpt2"), tokenizer))


def shares(lens: normlens.Lens, text: str, group: str, measure: str) -> np.ndarray:
    """Shares of ordinary words by hand."""
    data = lens.analyze(text).words()[group].data
    layers = []
    for layer in data[measure].values:
        heads = layer if layer.ndim == 3 else layer[None]
        layers.append(np.mean([head / head.sum(-1, keepdims=True) for head in heads], axis=0))
    inside = np.flatnonzero(data["source_word"].values >= 0)
    mean: np.ndarray = np.mean(layers, axis=0)[np.ix_(inside, inside)]
    return mean


@pytest.mark.parametrize("measure", ["weight", "norm"])
def test_two_models_are_compared_word_by_word(reader: normlens.Lens, other_model: normlens.Lens, measure: str) -> None:
    compared = reader.analyze(TEXT).compare(other_model.analyze(TEXT))
    mine, theirs = shares(reader, TEXT, "encoder", measure), shares(other_model, TEXT, "decoder", measure)
    assert compared["source_token"].values.tolist() == ["the", "unhappiness", "sat", "here", "."]
    assert np.allclose(compared[measure], mine, atol=1e-6)
    assert np.allclose(compared[f"other_{measure}"], theirs, atol=1e-6)
    assert np.allclose(compared[f"{measure}_change"], theirs - mine, atol=1e-6)


def test_two_texts_are_compared_word_by_word(reader: normlens.Lens) -> None:
    one, two = reader.analyze("the cat sat here"), reader.analyze("the dog ran here")
    compared = one.compare(two, layer=1)
    assert compared.attrs["layer"] == 1 and compared.attrs["other_text"] == "the dog ran here"
    direct = one.words()["encoder"].norm.sel(layer=1)
    rows = direct / direct.sum("source")
    assert np.allclose(compared["norm"], rows[1:-1, 1:-1], atol=1e-6)
    assert not np.any(one.compare(one)["norm_change"])
    axes = figures.comparison_maps(compared)
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["the", "cat → dog", "sat → ran", "here"]
    limits = {axes[k].collections[0].get_clim() for k in range(2)}
    assert len(limits) == 1  # one scale
    largest = float(max(abs(compared["weight_change"]).max(), abs(compared["norm_change"]).max()))
    assert limits == {(-largest, largest)}
    _, own = pyplot.subplots()
    assert figures.comparison_maps(compared, panel="norm", ax=own)[0] is own
    pyplot.close("all")


def test_what_cant_be_compared_is_refused(reader: normlens.Lens, other_model: normlens.Lens) -> None:
    one = reader.analyze(TEXT)
    with pytest.raises(InvalidInput, match="5 words and 2 words"):
        one.compare(reader.analyze("the cat"))
    with pytest.raises(InvalidInput, match="no group 'encoder'"):
        one.compare(other_model.analyze(TEXT), group="encoder")
    with pytest.raises(InvalidInput, match="no layer 9"):
        one.compare(one, layer=9)
    with pytest.raises(InvalidInput, match="no norm"):
        one.compare(reader.analyze(TEXT, measures=["weight"]))
    with pytest.raises(InvalidInput, match="no comparison"):
        figures.comparison_maps(one["encoder"].data)
