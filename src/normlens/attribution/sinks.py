"""What is to be said of shares whose largest is the first token's: it is an attention sink, whatever is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

from normlens.attribution.targets.heads import head_of
from normlens.attribution.targets.scalars import LogProbability, VectorNorm


def sink_note(model: PreTrainedModel, target: Any, result: xr.DataArray) -> str:
    """Say that the first token of a text that is read from left to right takes the largest share; empty elsewhere.

    Parameters
    ----------
    model, target
        What was explained in which model, as the caller gave it; pairs of targets, log-probabilities, norms and functions
        are something else than one class's or token's logit.
    result
        Signed shares with the dimension `source`; of an encoder–decoder, the decoder's first token is meant.
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
        "large whatever is asked. A pair of targets (in the shell, --against) asks the better question: what both have in "
        "common cancels."
    )


def _reads_forward(model: PreTrainedModel) -> bool:
    """Whether positions see only what stands before them: a decoder, with any head, or an encoder–decoder's."""
    if model.config.is_encoder_decoder or head_of(model) == "next":
        return True
    kind = model.config.model_type
    tables = (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    return [kind in table for table in tables] == [True, False]
