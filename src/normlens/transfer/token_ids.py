"""Ids of the pieces that aren't text, for a new vocabulary, and how a decoder begins."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.translation.batches import IGNORED
from normlens.translation.vocabulary import SpecialIds

_FEWEST = 30  # pieces of the smallest vocabulary: special ids must be among them


def special_ids(model: PreTrainedModel) -> SpecialIds:
    """Ids of the special pieces of a new vocabulary: the model's own if they are small, else those of new models."""
    config, generation = model.config, model.generation_config
    own = [getattr(config, f"{name}_token_id", None) for name in ("eos", "pad", "bos")]
    end, padding, begin = (number if isinstance(number, int) and 0 <= number < _FEWEST else None for number in own)
    if end is None or padding is None or end == padding:
        return SpecialIds()
    if getattr(generation, "forced_bos_token_id", None) != begin or begin in (end, padding):
        begin = None
    unknown = next(number for number in range(4) if number not in (end, padding, begin))
    return SpecialIds(end, unknown, padding, begin)


def fit_ids(model: PreTrainedModel, rows: int, *, of_target: bool) -> None:
    """Let the settings of a model name special ids that a new table of this many rows has.

    The settings of models whose padding is the last of many thousand ids, such as OPUS-MT's, name ids that a smaller table
    doesn't have.
    """
    special, config = special_ids(model), model.config
    if config.pad_token_id is not None and config.pad_token_id >= rows:
        config.pad_token_id = special.padding
    if not of_target:
        return
    config.eos_token_id = special.end
    if config.decoder_start_token_id is None or config.decoder_start_token_id not in (special.end, special.padding):
        config.decoder_start_token_id = special.padding
    generation = model.generation_config
    if generation is None:
        return
    generation.eos_token_id, generation.pad_token_id = special.end, special.padding
    generation.decoder_start_token_id = config.decoder_start_token_id
    generation.forced_bos_token_id = special.begin
    generation.bad_words_ids, generation.suppress_tokens = None, [special.unknown]
    if generation.forced_eos_token_id is not None:
        generation.forced_eos_token_id = special.end


def decoder_inputs(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """How a model makes the decoder's input ids from labels ``(pair, piece)``: its own method if it has one."""
    own = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    config = model.config

    def shifted_right(labels: Tensor) -> Tensor:
        start = torch.full_like(labels[:, :1], config.decoder_start_token_id)
        moved = torch.cat([start, labels[:, :-1]], dim=1)
        return moved.masked_fill(moved == IGNORED, config.pad_token_id)

    return shifted_right if own is None else lambda labels: own(labels=labels)
