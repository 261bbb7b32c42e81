"""Which words a cue of negation reaches: what it contributes to each, by weight and by norm, in each layer and head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from normlens.engine.tracing.scopes import NORM_VARIABLES
from normlens.errors import InvalidInput
from normlens.negation.cue_tokens import DIRECTIONS, CueTokens, tokens_of_cue
from normlens.negation.cues import find_cues
from normlens.words import joined_words

if TYPE_CHECKING:
    from normlens.lens import Lens


def cue_reach(
    lens: Lens, text: str | Mapping[str, Sequence[str]], cue: str | None = None, **options: Any
) -> list[xr.Dataset]:
    """Measure what each cue of negation in a text contributes to the other words, and they to it.

    Parameters
    ----------
    lens
        A lens on an encoder or a decoder; of an encoder–decoder, the encoder is measured.
    text
        A sentence, or its words: ``{"words": ["I", "do", "n't", "know"]}``.
    cue
        A word, several words or an affix, as in :func:`find_cues`. Default: every cue of a documented list.
    **options
        As in :meth:`normlens.Lens.analyze`; with ``through="block"`` contributions are followed through the whole layer.

    Returns
    -------
    list of xarray.Dataset
        One for each cue, in the order of the text, as from :func:`reach_of`; ``attrs`` hold its `cue`, `start` and `end` in
        the `text`, the `model` and the `group`.

    Raises
    ------
    InvalidInput
        If the text has no cue, or not the one that is named.
    NormLensError
        As :meth:`normlens.Lens.analyze`.
    """
    sentence = text if isinstance(text, str) else joined_words(text["words"])
    cues = find_cues(sentence, cue)
    analysis = lens.analyze(text, **options)
    group = next((name for name in analysis.groups if name in ("encoder", "decoder")), analysis.groups[0])
    about = {"text": sentence, "group": group, "model": str(analysis.attrs.get("model", ""))}
    return [
        reach_of(analysis[group].data, [(one.start, one.end)], sentence).assign_attrs(
            about, cue=one.text, start=one.start, end=one.end
        )
        for one in cues
    ]


def reach_of(data: xr.Dataset, cue: Sequence[tuple[int, int]], text: str) -> xr.Dataset:
    """What a cue contributes to the other words of an analysis, and they to it.

    Contributions of a source's tokens are added, those to a target's tokens averaged, as when sub-words are merged into
    words. The cue's own tokens are no word; of a word with an affix as the cue, the rest is one.

    Parameters
    ----------
    data
        One group of an analysis, with self-attention.
    cue
        First character, and character after the last, of each piece of the cue.
    text
        The text of the analysis.

    Returns
    -------
    xarray.Dataset
        ``weight`` (α), ``norm`` (α‖f(x)‖) and ``norm_share`` (the same over the sum of the target's row),
        ``(direction, layer, head, word)``; and for all heads of a layer together, ``(direction, layer, word)``:
        ``weight_mean``, and ``summed_norm`` with its ``summed_norm_share``: the norm of the sum over heads, also at the
        other scopes that were measured (``summed_norm_residual`` …). The direction is "from_cue" (the word is the target)
        or "to_cue". NaN for the cue itself, and where a decoder lets nothing through because the target comes first.

    Raises
    ------
    InvalidInput
        If no token belongs to the cue, or the group has no maps of self-attention.
    """
    if "weight" not in data or data.attrs.get("kind") == "cross":
        raise InvalidInput("The group holds no maps of self-attention; expected the group of an encoder or a decoder.")
    tokens = tokens_of_cue(data, cue, text, causal=data.attrs.get("kind") == "decoder")
    weight = data["weight"].transpose("layer", "head", "target", "source").values
    norm = weight * data["vector_norm"].transpose("layer", "head", "source").values[:, :, None]
    heads = {"weight": weight, "norm": norm, "norm_share": _shares(norm)}
    layers = {"weight_mean": weight.mean(axis=1)}
    for name in (name for name in NORM_VARIABLES if name in data):
        layers[f"summed_{name}"] = data[name].transpose("layer", "target", "source").values
        layers[f"summed_{name}_share"] = _shares(layers[f"summed_{name}"])
    variables = {name: (("direction", "layer", "head", "word"), tokens.read(values)) for name, values in heads.items()}
    together = {name: (("direction", "layer", "word"), tokens.read(values)) for name, values in layers.items()}
    return xr.Dataset({**variables, **together}, coords=_coordinates(data, tokens))


def reached_words(reach: xr.Dataset) -> list[dict[str, Any]]:
    """For each word, the largest share of the cue in what reaches it, by weight and by norm, and the layer.

    Parameters
    ----------
    reach
        One result of :func:`cue_reach`.

    Returns
    -------
    list of dict
        One for each word but the cue: its number, `word`, and by ``weight`` (mean of α over heads) and by ``norm`` (norm of
        the sum over heads over the sum of the target's row) the largest `share` over layers, from 0 to 1, and its `layer`;
        None where nothing reaches a word because it precedes the cue in a decoder.
    """
    measures = {"weight": "weight_mean", "norm": "summed_norm_share"}
    shares = {name: reach[variable].sel(direction="from_cue") for name, variable in measures.items()}
    rows = []
    for number in np.flatnonzero(~reach["in_cue"].values | np.isfinite(shares["weight"].values).any(axis=0)):
        row: dict[str, Any] = {"number": int(number), "word": str(reach["word_text"].values[number])}
        for name, share in shares.items():
            values = share.values[:, number]
            best = int(np.argmax(values)) if np.isfinite(values).any() else None
            row[name] = None if best is None else {"share": float(values[best]), "layer": int(share["layer"][best])}
        rows.append(row)
    return rows


def _shares(norms: Float[np.ndarray, "*rest target source"]) -> Float[np.ndarray, "*rest target source"]:
    """Rows divided by their sum."""
    total: NDArray[np.floating] = norms.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(norms, total, out=np.zeros_like(norms), where=total > 0))


def _coordinates(data: xr.Dataset, tokens: CueTokens) -> dict[str, Any]:
    words_of_cue = data["source_word"].values[tokens.in_cue]
    return {
        "direction": list(DIRECTIONS),
        "layer": data["layer"].values,
        "head": data["head"].values,
        "word": np.arange(len(tokens.labels)),
        "word_text": ("word", np.array(tokens.labels, dtype=str)),
        "in_cue": ("word", np.isin(np.arange(len(tokens.labels)), words_of_cue)),
    }
