"""What the common sizes get wrong for models of images and video."""

from __future__ import annotations

from typing import Any

SWIN = {"embed_dim": 32, "num_heads": [2, 4], "depths": [2, 2], "window_size": 2, "patch_size": 2}

RESNET = {
    "use_timm_backbone": False,
    "backbone": None,
    "backbone_config": {
        "model_type": "resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_features": ["stage4"],
    },
    "num_queries": 6,
}
"""A convolutional trunk that needs no package beside transformers."""

SAM = {
    "vision_config": {"output_channels": 32, "num_pos_feats": 16, "window_size": 2, "global_attn_indexes": [1]},
    "prompt_encoder_config": {"image_embedding_size": 4, "image_size": 16, "patch_size": 4},
    "mask_decoder_config": {"num_hidden_layers": 2},
}

SIZES: dict[str, dict[str, Any]] = {
    "swin": SWIN,
    "swinv2": SWIN,
    "donut-swin": SWIN,
    "maskformer-swin": SWIN,
    "swin2sr": {"embed_dim": 32, "num_heads": [4, 4], "depths": [2, 2], "window_size": 4, "patch_size": 1},
    "timesformer": {"num_frames": 2},
    "vivit": {"num_frames": 4, "tubelet_size": [2, 4, 4]},
    "videomae": {"num_frames": 4, "tubelet_size": 2, "decoder_num_hidden_layers": 1},
    "hiera": {
        "image_size": [32, 32],
        "embed_dim": 16,
        "depths": [1, 1, 1],
        "num_heads": [1, 2, 4],
        "num_query_pool": 2,
        "masked_unit_size": [4, 4],
        "patch_stride": [4, 4],
    },
    "detr": RESNET,
    "conditional_detr": RESNET,
    "table-transformer": RESNET,
    "dab-detr": RESNET,
    "sam": SAM,
    "sam_hq": SAM | {"mask_decoder_config": {"num_hidden_layers": 2, "vit_dim": 32}},
    "mllama_vision_model": {"intermediate_layers_indices": [0, 1], "num_global_layers": 1, "vision_output_dim": 96},
    "sam3_vit_model": {"window_size": 2, "global_attn_indexes": [1]},
    "sam3_vision_model": {"backbone_config": {"window_size": 2, "global_attn_indexes": [1]}},
    "eomt": {"num_blocks": 1, "num_queries": 6},
    "eomt_dinov3": {"num_blocks": 1, "num_queries": 6},
}

SHAPES: dict[str, dict[str, Any]] = {
    "timesformer": {"pixel_values": (2, 3, 16, 16)},
    "vivit": {"pixel_values": (4, 3, 16, 16)},
    "videomae": {"pixel_values": (4, 3, 16, 16)},
    "detr": {"pixel_values": (3, 64, 64)},
    "conditional_detr": {"pixel_values": (3, 64, 64)},
    "table-transformer": {"pixel_values": (3, 64, 64)},
    "dab-detr": {"pixel_values": (3, 64, 64)},
    "vit_mae": {"pixel_values": (3, 16, 16), "noise": (16,)},
    "idefics": {"input_ids": "words", "pixel_values": (1, 3, 16, 16), "image_attention_mask": "words"},
    "siglip2_vision_model": {"pixel_values": (16, 48), "pixel_attention_mask": (16,), "spatial_shapes": (2,)},
    "siglip2": {
        "input_ids": "words",
        "pixel_values": (16, 48),
        "pixel_attention_mask": (16,),
        "spatial_shapes": (2,),
    },
    "mllama_vision_model": {
        "pixel_values": (1, 4, 3, 16, 16),
        "aspect_ratio_ids": (1,),
        "aspect_ratio_mask": (1, 4),
    },
    "hiera": {"pixel_values": (3, 32, 32)},
}
