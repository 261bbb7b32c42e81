"""What a cue contributes to a word is what an analysis says, summed over the cue's tokens and averaged over the word's."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import normlens
from normlens import Lens
from normlens.errors import InvalidInput
from normlens.loading.load import LoadedModel
from normlens.negation import cue_reach, reach_of, reached_words

TEXT = "He is un kind"
WORDS = np.array([-1, 0, 1, 2, 2, 3, -1])  # [CLS] He is u ##n kind [SEP]
SPANS = [(0, 0), (0, 2), (3, 5), (6, 7), (7, 8), (9, 13), (0, 0)]


def analysis(kind: str, seed: int = 0) -> xr.Dataset:
    """A made-up analysis of two layers and three heads."""
    random, n = np.random.default_rng(seed), len(WORDS)
    weight = random.random((2, 3, n, n))
    if kind == "decoder":
        weight *= np.tri(n)
    weight /= weight.sum(axis=-1, keepdims=True)
    start, end = np.array(SPANS).T
    return xr.Dataset(
        {
            "weight": (("layer", "head", "target", "source"), weight),
            "vector_norm": (("layer", "head", "source"), random.random((2, 3, n))),
            "norm": (("layer", "target", "source"), random.random((2, n, n))),
        },
        coords={
            "layer": [0, 1],
            "head": [0, 1, 2],
            "source_word": ("source", WORDS),
            "source_start": ("source", start),
            "source_end": ("source", end),
        },
        attrs={"kind": kind},
    )


def test_sources_are_added_and_targets_averaged() -> None:
    data = analysis("encoder")
    reach = reach_of(data, [(6, 8)], TEXT)
    weight, vectors = data["weight"].values, data["vector_norm"].values
    from_cue = reach["weight"].sel(direction="from_cue").values
    np.testing.assert_allclose(from_cue[..., 0], weight[..., 1, 3] + weight[..., 1, 4])
    np.testing.assert_allclose(
        reach["weight"].sel(direction="to_cue").values[..., 3], (weight[..., 3, 5] + weight[..., 4, 5]) / 2
    )
    norm = weight * vectors[:, :, None]
    np.testing.assert_allclose(
        reach["norm"].sel(direction="from_cue").values[..., 1], norm[..., 2, 3] + norm[..., 2, 4]
    )
    np.testing.assert_allclose(
        reach["norm_share"].sel(direction="from_cue").values[..., 1],
        norm[..., 2, [3, 4]].sum(-1) / norm[..., 2, :].sum(-1),
    )
    summed = data["norm"].values
    np.testing.assert_allclose(
        reach["summed_norm_share"].sel(direction="from_cue").values[:, 3],
        summed[:, 5, [3, 4]].sum(-1) / summed[:, 5].sum(-1),
    )
    assert np.isnan(from_cue[..., 2]).all()
    assert reach["word_text"].values.tolist() == ["He", "is", "un", "kind"]
    assert reach["in_cue"].values.tolist() == [False, False, True, False]


def test_an_affix_with_tokens_of_its_own_leaves_the_rest_of_its_word() -> None:
    data = analysis("encoder")
    reach = reach_of(data, [(6, 7)], TEXT)
    weight = data["weight"].values
    np.testing.assert_allclose(reach["weight"].sel(direction="from_cue").values[..., 2], weight[..., 4, 3])
    assert reach["word_text"].values[2] == "n" and bool(reach["in_cue"].values[2])


def test_in_a_decoder_nothing_reaches_the_words_before() -> None:
    reach = reach_of(analysis("decoder"), [(6, 8)], TEXT)
    assert np.isnan(reach["weight"].sel(direction="from_cue").values).all(axis=(0, 1)).tolist() == [
        True,
        True,
        True,
        False,
    ]
    assert np.isnan(reach["weight"].sel(direction="to_cue").values).all(axis=(0, 1)).tolist() == [
        False,
        False,
        True,
        True,
    ]
    rows = reached_words(reach)
    assert [(row["word"], row["weight"] is None) for row in rows] == [("He", True), ("is", True), ("kind", False)]


def test_the_largest_share_and_its_layer() -> None:
    data = analysis("encoder")
    rows = {row["word"]: row for row in reached_words(reach_of(data, [(6, 8)], TEXT))}
    means = data["weight"].values.mean(axis=1)[:, 5, [3, 4]].sum(-1)
    assert rows["kind"]["weight"] == {"share": pytest.approx(means.max()), "layer": int(means.argmax())}


def test_what_has_no_token_and_no_map_is_refused() -> None:
    with pytest.raises(InvalidInput, match="reads no token of the cue"):
        reach_of(analysis("encoder"), [(13, 13)], TEXT)
    with pytest.raises(InvalidInput, match="no maps of self-attention"):
        reach_of(analysis("encoder").drop_vars("weight"), [(6, 8)], TEXT)


@pytest.mark.real_model
def test_a_sentence_in_a_real_encoder() -> None:
    lens = normlens.load("minilm-l6")
    text = "It isn't bad."
    [reach] = cue_reach(lens, text)
    data = lens.analyze(text)["encoder"].data
    tokens = data["source_token"].values.tolist()
    cue = [tokens.index("'"), tokens.index("t")]  # "n't" has its n in the token "isn"
    target = tokens.index("bad")
    expected = data["weight"].values[:, :, target][..., cue].sum(-1)
    word = reach["word_text"].values.tolist().index("bad")
    np.testing.assert_allclose(reach["weight"].sel(direction="from_cue").values[..., word], expected, rtol=1e-6)
    assert reach.attrs["cue"] == "n't" and reach.attrs["model"] == "minilm-l6"


@pytest.mark.real_model
def test_words_of_the_caller_in_a_real_decoder(smollm2: LoadedModel) -> None:
    lens = Lens(smollm2)
    words = ["I", "do", "n't", "know", "him"]
    [reach] = cue_reach(lens, {"words": words})
    assert reach["word_text"].values.tolist() == words
    before = np.isnan(reach["summed_norm"].sel(direction="from_cue").values).all(axis=0)
    assert before.tolist() == [True, True, True, False, False]
    with pytest.raises(InvalidInput, match="'never' is not in"):
        cue_reach(lens, {"words": words}, "never")
