"""Sizes that make a configuration of transformers tiny, by the name of the configuration field."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import PretrainedConfig

VOCABULARY = 99
HIDDEN = 32
HEADS = 4
KEY_VALUE_HEADS = 2
LAYERS = 3
INTERMEDIATE = 48
IMAGE = 16
PATCH = 4
MELS = 16

COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "d_model": HIDDEN,
    "n_embd": HIDDEN,
    "embed_dim": HIDDEN,
    "embedding_size": HIDDEN,
    "dim": HIDDEN,
    "emb_dim": HIDDEN,
    "projection_dim": HIDDEN,
    "out_hidden_size": HIDDEN,
    "encoder_hidden_size": HIDDEN,
    "decoder_hidden_size": HIDDEN,
    "word_embed_proj_dim": HIDDEN,
    "text_hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "decoder_num_attention_heads": HEADS,
    "num_heads": HEADS,
    "n_head": HEADS,
    "n_heads": HEADS,
    "attention_heads": HEADS,
    "num_key_value_heads": KEY_VALUE_HEADS,
    "head_dim": 8,
    "d_kv": 8,
    "kv_channels": 8,
    "attention_head_size": 8,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "qk_head_dim": 16,
    "num_hidden_layers": LAYERS,
    "num_layers": LAYERS,
    "n_layer": LAYERS,
    "n_layers": LAYERS,
    "layers": LAYERS,
    "depth": LAYERS,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "num_decoder_layers": LAYERS,
    "num_encoder_layers": LAYERS,
    "decoder_num_hidden_layers": LAYERS,
    "intermediate_size": INTERMEDIATE,
    "ffn_dim": INTERMEDIATE,
    "d_ff": INTERMEDIATE,
    "n_inner": INTERMEDIATE,
    "hidden_dim": INTERMEDIATE,
    "mlp_dim": INTERMEDIATE,
    "dim_ff": INTERMEDIATE,
    "encoder_ffn_dim": INTERMEDIATE,
    "decoder_ffn_dim": INTERMEDIATE,
    "decoder_intermediate_size": INTERMEDIATE,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "shared_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_topk": 2,
    "n_group": 2,
    "topk_group": 2,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "n_ctx": 64,
    "max_source_positions": 16,
    "max_target_positions": 64,
    "type_vocab_size": 2,
    "query_pre_attn_scalar": 8,
    "attention_multiplier": 0.35,
    "sliding_window": 4,
    "sliding_window_size": 4,
    "sliding_window_pattern": 2,
    "image_size": IMAGE,
    "patch_size": PATCH,
    "num_channels": 3,
    "num_mel_bins": MELS,
    "index_head_dim": 16,
    "index_n_heads": 2,
    "index_topk": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_head_dim": 8,
    "linear_num_heads": 4,
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "drop_path_rate": 0.0,
    "use_cache": False,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 2,
    "sep_token_id": 4,
    "mask_token_id": 5,
}


ALWAYS = ("head_dim", "num_key_value_heads")
"""Sizes that are set even where the default leaves them to be derived from others."""


def tiny_fields(default: PretrainedConfig) -> dict[str, Any]:
    """Return constructor arguments that make a configuration of the class of `default` tiny.

    Every number field named in `COMMON` takes its tiny size; every list with one entry per layer is cut to `LAYERS`
    entries that still show each kind of layer; sub-configurations are made tiny in turn.

    Parameters
    ----------
    default
        The configuration with all of its default values.
    """
    fields = {
        field.name: COMMON[field.name]
        for field in dataclasses.fields(default)
        if field.name in COMMON and _takes_a_size(default, field)
    }
    if "kv_lora_rank" in fields and "num_key_value_heads" in fields:
        fields["num_key_value_heads"] = HEADS
    for name, value in vars(default).items():
        if isinstance(value, PretrainedConfig):
            fields[name] = {"model_type": value.model_type, **tiny_fields(value)}
        elif isinstance(value, list) and len(value) > 0 and len(value) == _layers(default) and name not in COMMON:
            fields[name] = _each_kind(value)
        elif name == "rope_parameters" and isinstance(value, dict):
            fields[name] = _tiny_rope(value)
    return fields


def _takes_a_size(default: PretrainedConfig, field: dataclasses.Field[Any]) -> bool:
    """Tell whether a field holds one number (or a token that may be unset), not a list and not an unset size."""
    if field.name in ALWAYS or field.name.endswith("token_id"):
        return True
    value = vars(default).get(field.name, field.default)
    if field.name == "drop_path_rate":
        return isinstance(value, float)
    return isinstance(value, int | float)


def _layers(default: PretrainedConfig) -> int:
    """Return the number of layers of a configuration, zero where it names none."""
    layers = getattr(default, "num_hidden_layers", 0)
    return layers if isinstance(layers, int) else 0


def _each_kind(per_layer: list[Any]) -> list[Any]:
    """Return `LAYERS` entries that show the kinds of the list in order of appearance, then begin again."""
    kinds = [kind for position, kind in enumerate(per_layer) if kind not in per_layer[:position]]
    return [kinds[layer % len(kinds)] for layer in range(LAYERS)]


def _tiny_rope(rope: dict[str, Any]) -> dict[str, Any]:
    """Return rotary parameters whose multimodal sections, where there are any, add up to half a tiny head."""
    inner = {key: _tiny_rope(value) if isinstance(value, dict) else value for key, value in rope.items()}
    return inner | {"mrope_section": [2, 1, 1]} if "mrope_section" in rope else inner
