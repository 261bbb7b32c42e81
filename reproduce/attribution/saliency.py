"""GlobEnc's table: how maps of each kind, rolled out to the last layer, agree with the classifier's gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from normlens import Lens
from normlens.attribution.registry import registered
from normlens.faithfulness import LensClassifier
from normlens.statistics import bootstrap_interval, mean_of_present, rank_correlation
from reproduce.attribution.candidates import Predictions

KINDS: dict[str, dict[str, Any]] = {
    "W": {"method": "rollout", "residual": 0.0},
    "W-Res": {"method": "rollout"},
    "N": {"method": "norm_rollout", "scope": "attention"},
    "N-Res": {"method": "norm_rollout", "scope": "residual"},
    "N-ResLN": {"method": "norm_rollout", "scope": "layernorm"},
    "N-Enc": {"method": "norm_rollout", "scope": "encoder"},
}
"""The six kinds of maps by GlobEnc's names, with the options of `Lens.attribute`."""

SUBSETS = ("all tokens", "words")
"""With [CLS] and [SEP], and without."""


def saliency(lens: Lens, ids: np.ndarray, label: int) -> Float[np.ndarray, " token"]:
    """Length of gradient × input embedding of every token, for the logit of a class.

    Parameters
    ----------
    lens
        A lens on a sequence classifier.
    ids
        Token ids of one text.
    label
        The class.
    """
    embedding = lens.model.get_input_embeddings()
    inputs = embedding(torch.tensor(ids, device=lens.model.device)[None]).detach().requires_grad_()
    with torch.enable_grad():
        logit = lens.model(inputs_embeds=inputs).logits[0, label]
    [gradient] = torch.autograd.grad(logit, inputs)
    return np.asarray((gradient * inputs).norm(dim=-1)[0].detach().double().cpu().numpy())


def correlations(
    lens: Lens, texts: Sequence[str], predictions: Predictions, *, seed: int, resamples: int
) -> list[dict[str, Any]]:
    """Spearman between the [CLS] row of each kind of map and the saliency of the predicted class, mean over texts.

    Parameters
    ----------
    lens
        A lens on a sequence classifier that reads its first position.
    texts
        The texts to explain.
    predictions
        Probabilities of the classes.
    seed, resamples
        Options of the bootstrap over texts.

    Returns
    -------
    list of dict
        Keys "kind", "tokens" (see `SUBSETS`), "value", "low", "high" and "n_texts".
    """
    kinds = {name: asked for name, asked in KINDS.items() if asked["method"] in registered()}
    values = np.array(list(_of_texts(lens, texts, predictions, kinds))).reshape(len(texts), -1)
    low, high = bootstrap_interval(values, seed=seed, resamples=resamples)
    means, present = mean_of_present(values, axis=0), np.isfinite(values).sum(axis=0)
    names = [(kind, tokens) for kind in kinds for tokens in SUBSETS]
    return [
        {
            "kind": kind,
            "tokens": tokens,
            "value": means[k],
            "low": low[k],
            "high": high[k],
            "n_texts": int(present[k]),
        }
        for k, (kind, tokens) in enumerate(names)
    ]


def _of_texts(
    lens: Lens, texts: Sequence[str], predictions: Predictions, kinds: dict[str, dict[str, Any]]
) -> Iterator[list[list[float]]]:
    """For each text the correlations of every kind with and without special tokens."""
    classifier = LensClassifier(lens)
    maps = [lens.attribute(texts, **asked) for asked in kinds.values()]
    for text, label, arrays in zip(texts, predictions.argmax(axis=1), zip(*maps, strict=True), strict=True):
        tokens = classifier.encode(text)
        gradient = saliency(lens, tokens.ids, int(label))
        rows = [one.isel(target=0).values for one in arrays]
        yield [
            [
                float(rank_correlation(row, gradient)),
                float(rank_correlation(row[~tokens.special], gradient[~tokens.special])),
            ]
            for row in rows
        ]
