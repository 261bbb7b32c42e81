"""A note on attention sinks: shares whose largest belongs to a decoder's first token, whatever the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

from normlens.attribution.targets.prediction_heads import head_of
from normlens.attribution.targets.scalars import LogProbability, VectorNorm


def sink_note(model: PreTrainedModel, target: Any, result: xr.DataArray) -> str:
    """A note if the first token of a text that is read from left to right takes the largest share; else empty.

    Parameters
    ----------
    model, target
        The model, and the target as the caller wrote it. Only the logit of one class or token gets a note, not pairs,
        log-probabilities, norms and functions.
    result
        Signed shares with the dimension `source`; for an encoder–decoder, the decoder's first token counts.
    """
    is_logit = (
        target is not None and not isinstance(target, (tuple, LogProbability, VectorNorm)) and not callable(target)
    )
    if not is_logit or result.dims not in (("source",), ("component", "source")) or not _reads_forward(model):
        return ""
    sizes = np.abs(result.values.reshape(-1, result.sizes["source"]).sum(axis=0))
    own = np.flatnonzero(result["side"].values == "target") if "side" in result.coords else np.arange(len(sizes))
    if np.count_nonzero(sizes) < 2 or not len(own) or sizes.argmax() != own[0]:
        return ""
    first = str(result["source_token"].values[own[0]])
    return (
        f"The first token ({first!r}) takes the largest share. In a decoder it is the attention sink, and its share is "
        "large for any target. Explain a difference of two targets instead (in the shell, --against): what both "
        "have in common cancels."
    )


def _reads_forward(model: PreTrainedModel) -> bool:
    """Whether positions see only those before them: in a decoder with any head, or in that of an encoder–decoder."""
    if model.config.is_encoder_decoder or head_of(model) == "next":
        return True
    kind = model.config.model_type
    tables = (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    return [kind in table for table in tables] == [True, False]
