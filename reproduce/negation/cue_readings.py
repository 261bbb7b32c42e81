"""What every head, layer and map of attribution says between each annotated cue and the other words; kept per model."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float

import normlens
from normlens import Lens
from normlens.negation import reach_of
from normlens.negation.cue_tokens import tokens_of_cue
from reproduce.negation.annotated_cues import CueTable, cue_spans

HEADS = ("weight", "norm", "norm_share")
"""Measures of single heads: α, α‖f(x)‖, and the latter as a share of the target's row."""

LAYERS = (
    "weight_mean",
    "summed_norm",
    "summed_norm_share",
    "summed_norm_residual",
    "summed_norm_residual_share",
    "summed_norm_layernorm",
    "summed_norm_layernorm_share",
)
"""Measures of all heads of a layer together; a model without a LayerNorm after attention lacks the last two."""

MAPS = ("rollout", "norm_rollout", "alti")
"""Methods of attribution that give one map for the whole model."""


@dataclass(frozen=True)
class CueReadings:
    """What a model says between the cues of a table and the words of its rows.

    Attributes
    ----------
    values
        By measure: from the cue to the word, and from the word to the cue, ``(row, direction, place)``. Places are heads,
        layer by layer, or layers, or the one map of a method. NaN where a decoder lets nothing through.
    layers, heads
        Numbers of the layers, and heads per layer.
    """

    values: dict[str, Float[np.ndarray, "row 2 place"]]
    layers: int
    heads: int


def read_model(
    lens: Lens, table: CueTable, *, maps: Sequence[str] = MAPS, cache: Path | None = None, batch_size: int = 16
) -> CueReadings:
    """Run a model on the sentences of a table, unless its readings are cached.

    Parameters
    ----------
    lens, table
        The model and the cues.
    maps
        Methods of attribution to read too.
    cache
        A folder that keeps the readings of a model and its sentences.
    batch_size
        Sentences per run.
    """
    file = None if cache is None else cache / f"{_key(lens, table, maps)}.npz"
    if file is not None and file.exists():
        with np.load(file) as kept:
            values = {name: kept[name] for name in kept.files if name != "sizes"}
            layers, heads = kept["sizes"].tolist()
            return CueReadings(values, layers, heads)
    readings = _read(lens, table, maps, batch_size)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npz")
        np.savez(partial, sizes=np.array([readings.layers, readings.heads]), **readings.values)  # type: ignore[arg-type]
        partial.replace(file)
    return readings


def _read(lens: Lens, table: CueTable, maps: Sequence[str], batch_size: int) -> CueReadings:
    inputs = [{"words": list(sentence.words)} for sentence in table.sentences]
    parts: dict[str, list[Float[np.ndarray, "row 2 place"]]] = {}
    layers = heads = 0
    kind = ""
    print(f"{lens.name}: heads and layers on {len(inputs)} sentences", file=sys.stderr, flush=True)
    for number, analysis in enumerate(lens.stream(inputs, batch_size=batch_size, progress=False)):
        [name] = analysis.groups
        data, kind = analysis[name].data, name
        layers, heads = data.sizes["layer"], data.sizes["head"]
        for cue in np.flatnonzero(table.sentence == number):
            spans = cue_spans(table.sentences[number], table.cues[cue][1])
            reach = reach_of(data, spans, table.sentences[number].text)
            words = table.word[table.cue == cue]
            for measure in (measure for measure in (*HEADS, *LAYERS) if measure in reach):
                parts.setdefault(measure, []).append(_places(reach[measure].values[..., words]))
    for method in maps:
        print(f"{lens.name}: {method}", file=sys.stderr, flush=True)
        shares = lens.attribute(inputs, method=method, batch_size=batch_size, progress=False)
        for number, share in enumerate(shares):
            for cue in np.flatnonzero(table.sentence == number):
                parts.setdefault(method, []).append(_of_map(share, table, int(cue), causal=kind == "decoder"))
    values = {name: np.concatenate(arrays).astype(np.float32) for name, arrays in parts.items()}
    return CueReadings(values, layers, heads)


def _of_map(share: xr.DataArray, table: CueTable, cue: int, *, causal: bool) -> Float[np.ndarray, "row 2 1"]:
    number, negation = table.cues[cue]
    sentence = table.sentences[number]
    tokens = tokens_of_cue(share, cue_spans(sentence, negation), sentence.text, causal=causal)
    values = tokens.read(share.transpose("target", "source").values)
    return values[:, table.word[table.cue == cue]].T[..., None]


def _places(values: Float[np.ndarray, "2 *places row"]) -> Float[np.ndarray, "row 2 place"]:
    """Layers and heads as one axis."""
    return np.moveaxis(values.reshape(2, math.prod(values.shape[1:-1]), values.shape[-1]), -1, 0)


def _key(lens: Lens, table: CueTable, maps: Sequence[str]) -> str:
    """A name for the readings of a model and its sentences; it changes with the weights."""
    sums = "".join(f"{float(weight.detach().double().sum()):.9g}" for weight in lens.model.parameters())
    texts = "\n".join(sentence.text for sentence in table.sentences)
    about = "|".join([lens.name, normlens.__version__, ",".join(maps), sums, texts])
    return f"{Path(lens.name).name}-{hashlib.sha256(about.encode()).hexdigest()[:16]}"
