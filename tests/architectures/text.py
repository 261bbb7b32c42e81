"""What the common sizes get wrong for language models and for the models that embed one."""

from __future__ import annotations

from typing import Any

MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
"""Multimodal rotary positions: time, height and width share the four frequencies of a tiny head."""

MROPE_HALF = MROPE | {"mrope_section": [1, 1, 0], "partial_rotary_factor": 0.5}

MROPE_TYPES = (
    "qwen2_vl_text",
    "qwen2_5_vl_text",
    "qwen2_5_omni_text",
    "qwen2_5_omni_talker",
    "paddleocr_vl_text",
    "glm4v_text",
    "glm_image_text",
    "glm_ocr_text",
)

MROPE_IN_TEXT = (
    "qwen2_vl",
    "qwen2_5_vl",
    "paddleocr_vl",
    "glm4v",
    "glm46v",
    "glmga",
    "glm_image",
    "glm_ocr",
)

OMNI_MARKS = {"vision_start_token_id": 7, "audio_start_token_id": 8}
"""Checkpoints have them, the classes of their configurations don't."""

ERNIE_VL = {
    "moe_k": 2,
    "moe_intermediate_size": [16, 8],
    "rope_parameters": MROPE | {"mrope_section": [1, 1, 2]},
}

INDEXED = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 4,
    "indexer_compress_ratio": 2,
    "hc_lowrank": 8,
}

CODEBOOK = {"base_channels": 32, "latent_channels": 32, "num_embeddings": 16, "channel_multiplier": [1, 1]}

SIZES: dict[str, dict[str, Any]] = {
    **{name: {"rope_parameters": MROPE} for name in MROPE_TYPES},
    **{name: {"text_config": {"rope_parameters": MROPE}} for name in MROPE_IN_TEXT},
    "qwen2_5_omni_thinker": {"text_config": {"rope_parameters": MROPE}} | OMNI_MARKS,
    "qwen3_omni_moe_thinker": OMNI_MARKS,
    "glm4v_moe": {"text_config": {"rope_parameters": MROPE_HALF}},
    "glm4v_moe_text": {"rope_parameters": MROPE_HALF},
    "colqwen2": {"vlm_config": {"text_config": {"rope_parameters": MROPE}}},
    "big_bird": {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "codegen": {"rotary_dim": 8},
    "gptj": {"rotary_dim": 8},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "cohere_compass": {
        "text_config": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}}
    },
    "dbrx": {
        "num_key_value_heads": 2,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {"num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "deepseek_ocr2_text": {"num_experts_per_tok": 2, "mlp_layer_types": ["dense", "sparse", "sparse"]},
    "deepseek_ocr2": {"text_config": {"num_experts_per_tok": 2, "mlp_layer_types": ["dense", "sparse", "sparse"]}},
    "unlimited_ocr_text": {"num_key_value_heads": 4},
    "unlimited_ocr": {"text_config": {"num_key_value_heads": 4}},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16},
    "diffusion_gemma": {"text_config": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16}},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "ernie4_5_moe": {"moe_k": 2, "moe_layer_end_index": 2},
    "ernie4_5_vl_moe_text": ERNIE_VL,
    "ernie4_5_vl_moe": {"text_config": ERNIE_VL},
    "esm": {"vocab_size": 99},
    "esmc": {"num_key_value_heads": 4},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {
        "num_kv_shared_layers": 1,
        "intermediate_size": [48, 48, 48],
        "activation_sparsity_pattern": [0.5, 0.0, 0.0],
    },
    "glm5_next_text": {"index_kpool": 2, "qk_rope_head_dim": 0},
    "glm5_next": {"text_config": {"index_kpool": 2, "qk_rope_head_dim": 0}},
    "hunyuan_vl_text": {"rope_parameters": MROPE | {"mrope_section": [1, 1, 1, 1]}},
    "hunyuan_vl": {"text_config": {"rope_parameters": MROPE | {"mrope_section": [1, 1, 1, 1]}}},
    "bamba": {"attn_layer_indices": [1]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    "gpt_neo": {"attention_types": [[["global", "local", "global"], 1]], "window_size": 4},
    "chameleon": {"vocabulary_map": {"<image>": 8}, "vq_config": CODEBOOK},
    "emu3": {"vocabulary_map": {"<image>": 8}, "vq_config": CODEBOOK},
    "blt": {
        "patch_in_forward": False,
        "encoder_hash_byte_group_vocab": 50,
        "max_patch_length": 4,
        "patching_mode": "space",
        "encoder_config": {"hidden_size_global": 32},
        "decoder_config": {"hidden_size_global": 32},
    },
    "bros": {"hidden_size": 64},
    "zamba": {"layers_block_type": ["mamba", "hybrid", "hybrid"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "full_attention"], "num_dense_layers": 1},
    "longcat_flash": {"ffn_hidden_size": 48, "expert_ffn_hidden_size": 16, "zero_expert_num": 2},
    "neomme": {"head_dim": 16, "embedding_rank": 8, "embedding_dim": 16},
    "qwen4_exp_text": INDEXED,
    "qwen4_exp": {"text_config": INDEXED},
    "reformer": {
        "num_hidden_layers": 2,
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16],
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
        "feed_forward_size": 48,
        "num_buckets": 2,
        "hash_seed": 0,
    },
    "step3p5": {"sliding_window": 4},
    "step3p7": {"text_config": {"sliding_window": 4}},
    "t5gemma2_text": {"dropout_rate": 0.0},
    "t5gemma2_decoder": {"dropout_rate": 0.0},
    "t5gemma2_encoder": {"text_config": {"dropout_rate": 0.0}},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "lilt": {"hidden_size": 48},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4, "visual_embed": False},
}

SHAPES: dict[str, dict[str, Any]] = {
    "bros": {"input_ids": "words", "bbox": (8,)},
    "blip_2_qformer": {"query_embeds": (5, 32), "encoder_hidden_states": (7, 32)},
    "lxmert": {"input_ids": "words", "visual_feats": (5, 2048), "visual_pos": (5, 4)},
    "reformer": {"input_ids": 8},
    "t5gemma2_decoder": {"input_ids": "words", "encoder_hidden_states": (9, 32)},
    "udop": {"input_ids": "words", "bbox": (4,), "decoder_input_ids": 5},
}
