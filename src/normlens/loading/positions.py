"""The number of positions of a model, and whether they are counted from the padding id."""

from __future__ import annotations

from transformers import PretrainedConfig, PreTrainedModel

UNLIMITED = 10**9
"""Stands for "no limit"; tokenizers without one report a similarly huge number."""


def position_limit(model: PreTrainedModel, *, decoder: bool = False) -> int:
    """The number of positions in a model's config; :data:`UNLIMITED` if there is no limit, as with relative positions.

    Parameters
    ----------
    model
        The model.
    decoder
        Whether to look at the decoder of an encoder–decoder.
    """
    config, one_text = _config_of_side(model, decoder), not model.config.is_encoder_decoder
    of_decoder = ("max_decoder_position_embeddings", "max_target_positions") if decoder or one_text else ()
    of_encoder = () if decoder else ("max_encoder_position_embeddings",)
    names = (*of_decoder, *of_encoder, "max_position_embeddings", "n_positions", "max_seq_len")
    limits = (getattr(config, name, None) for name in names)
    limit = next((x for x in limits if x), UNLIMITED)
    if not isinstance(limit, int) or limit <= 0:
        return UNLIMITED
    return limit - ((getattr(config, "pad_token_id", None) or 0) + 1 if counts_from_padding(model) else 0)


def _config_of_side(model: PreTrainedModel, decoder: bool) -> PretrainedConfig:
    """The config of the encoder or the decoder; the whole config if that is ambiguous."""
    side = getattr(model.config, "decoder" if decoder else "encoder", None)
    config: PretrainedConfig = side if isinstance(side, PretrainedConfig) else model.config
    if hasattr(config, "max_position_embeddings"):
        return config
    try:
        return config.get_text_config()
    except ValueError:
        return config


def counts_from_padding(model: PreTrainedModel) -> bool:
    """Whether positions start after the padding id, as in RoBERTa; such models skip padding by themselves."""
    name = "create_position_ids_from_input_ids"
    return any(
        hasattr(m, name) or name in getattr(getattr(type(m), "forward", None), "__globals__", {})
        for m in model.modules()
    )
