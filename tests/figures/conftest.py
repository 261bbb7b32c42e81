"""Small analyses made by hand or from a fixed seed, in the layout that lens.analyze returns."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr

SCOPES = ["attention", "residual", "layernorm"]


def group(
    weight: np.ndarray,
    vector_norm: np.ndarray,
    norm: np.ndarray,
    targets: Sequence[str],
    sources: Sequence[str],
    special: Sequence[str] = ("[CLS]", "[SEP]"),
    **further: tuple[tuple[str, ...], np.ndarray],
) -> xr.Dataset:
    layers, heads = weight.shape[:2]
    coordinates: dict[str, object] = {
        "layer": np.arange(layers),
        "head": np.arange(heads),
        "target": np.arange(len(targets)),
        "source": np.arange(len(sources)),
        "scope": SCOPES,
    }
    for side, tokens in (("target", targets), ("source", sources)):
        categories = [
            "special" if token in special else "other" if any(map(str.isalnum, token)) else "punctuation"
            for token in tokens
        ]
        start = np.cumsum([0, *(len(token) + 1 for token in tokens[:-1])])
        coordinates[f"{side}_token"] = (side, np.array(tokens, dtype=object))
        coordinates[f"{side}_category"] = (side, categories)
        coordinates[f"{side}_start"] = (side, start)
        coordinates[f"{side}_end"] = (side, start + [len(token) for token in tokens])
    row = ("layer", "target", "source")
    return xr.Dataset(
        {
            "weight": (("layer", "head", "target", "source"), weight),
            "vector_norm": (("layer", "head", "source"), vector_norm),
            "norm": (row, norm),
            **further,
        },
        coords=coordinates,
        attrs={"kind": "self"},
    )


@pytest.fixture
def by_hand() -> xr.Dataset:
    """One layer, two heads, three tokens; every share can be worked out with a pencil."""
    weight = np.array([[[[0.5, 0.3, 0.2]] * 3, [[0.9, 0.1, 0.0]] * 3]])
    vector_norm = np.array([[[1.0, 2.0, 2.0], [0.5, 1.0, 4.0]]])
    norm = np.array([[[1.0, 2.0, 1.0]] * 3])
    tokens = ["[CLS]", "word", "."]
    ratio = (("scope", "layer", "target"), np.array([[[0.5, 0.7, 0.9]], [[0.1, 0.2, 0.3]], [[np.nan] * 3]]))
    return group(weight, vector_norm, norm, tokens, tokens, mixing_ratio=ratio)


@pytest.fixture
def random_analysis() -> Callable[..., xr.Dataset]:
    """Make an analysis of these numbers of layers and heads, and these tokens."""
    return make_random


@pytest.fixture
def random_group() -> xr.Dataset:
    """Three layers, four heads, eight tokens, with all scopes."""
    return make_random(3, 4, ["[CLS]", "when", "the", "lamp", ",", "turn", "##ed", "[SEP]"])


@pytest.fixture
def encoder_decoder(random_group: xr.Dataset) -> xr.DataTree:
    """An encoder and cross-attention to it, with the targets' own vectors and a sink."""
    sources = [str(token) for token in random_group["source_token"].values]
    cross = make_random(
        2, 3, ["<s>", "als", "die", "Lampe", "</s>"], sources, special=("<s>", "</s>", "[CLS]", "[SEP]")
    )
    generator = np.random.default_rng(1)
    cross["own_residual"] = (("layer", "target"), generator.uniform(2, 9, (2, 5)))
    cross["sink_weight"] = (("layer", "head", "target"), np.full((2, 3, 5), 0.25))
    cross["weight"] = cross["weight"] * 0.75
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"model": "tiny"}),
            "/encoder": random_group,
            "/cross": cross.drop_vars("norm_layernorm"),
        }
    )


def make_random(
    layers: int,
    heads: int,
    targets: Sequence[str],
    sources: Sequence[str] | None = None,
    special: Sequence[str] = ("[CLS]", "[SEP]"),
) -> xr.Dataset:
    """Random numbers of the right shapes and signs."""
    sources = targets if sources is None else sources
    generator = np.random.default_rng(0)
    logits = 2 * generator.normal(size=(layers, heads, len(targets), len(sources)))
    weight = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    shape = (layers, len(targets), len(sources))
    row, ratio = ("layer", "target", "source"), ("scope", "layer", "target")
    further = {
        "norm_residual": (row, generator.lognormal(1, 1, shape)),
        "norm_layernorm": (row, generator.lognormal(-1, 1, shape)),
        "mixing_ratio": (ratio, generator.uniform(0, 1, (3, layers, len(targets)))),
        "mixing_ratio_weight": (ratio, generator.uniform(0, 1, (3, layers, len(targets)))),
    }
    further["mixing_ratio_weight"][1][2] = np.nan
    vector_norm = generator.lognormal(0, 1, (layers, heads, len(sources)))
    return group(weight, vector_norm, generator.lognormal(0, 1, shape), targets, sources, special, **further)
