"""What the common sizes get wrong for models of sound."""

from __future__ import annotations

from typing import Any

MIMI = {"upsample_groups": 32, "num_filters": 4, "codebook_size": 16, "num_quantizers": 4}

DIA = {
    "num_channels": 2,
    "cross_num_attention_heads": 4,
    "cross_num_key_value_heads": 4,
    "cross_head_dim": 8,
    "cross_hidden_size": 32,
}

SIZES: dict[str, dict[str, Any]] = {
    "audio-spectrogram-transformer": {"max_length": 16, "frequency_stride": 4, "time_stride": 4},
    "granite_speech_encoder": {"input_dim": 16, "context_size": 4, "max_pos_emb": 8, "dim_head": 8, "num_layers": 4},
    "granite_speech_plus_encoder": {
        "input_dim": 16,
        "context_size": 4,
        "max_pos_emb": 8,
        "dim_head": 8,
        "num_layers": 4,
    },
    "granite_speech5_encoder": {"context_size": 8, "num_key_value_heads": 4},
    "granite_speech5_ctc": {"encoder_config": {"context_size": 8, "num_key_value_heads": 4}},
    "nemotron3_5_transcribe_asr_audio": {"num_key_value_heads": 4},
    "nemotron3_diarization_audio": {"num_key_value_heads": 4},
    "kyutai_speech_to_text": {"audio_pad_token_id": 6, "codebook_vocab_size": 20, "num_codebooks": 2},
    "speech_to_text": {"input_feat_per_channel": 16, "conv_channels": 16},
    "wav2vec2-bert": {"feature_projection_input_dim": 16},
    "mimi": MIMI,
    "csm": {
        "codec_config": MIMI,
        "num_codebooks": 2,
        "text_vocab_size": 99,
        "depth_decoder_config": {"num_codebooks": 2},
    },
    "musicgen_decoder": {"num_codebooks": 1},
    "musicgen_melody_decoder": {"num_codebooks": 1},
    "musicgen": {"decoder": {"num_codebooks": 1}},
    "musicgen_melody": {"decoder": {"num_codebooks": 1}},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "dia": {"delay_pattern": [0, 1], "decoder_config": DIA},
    "dia_decoder": DIA,
}

FRAMES_FIRST: tuple[str, ...] = (
    "speech_to_text",
    "wav2vec2-bert",
    "parakeet_ctc",
    "parakeet_encoder",
    "canary",
    "cohere_asr",
    "lasr_ctc",
    "lasr_encoder",
    "nemotron3_diarization_audio",
    "nemotron3_5_transcribe_asr_audio",
    "gemma4_audio",
    "granite_speech5_encoder",
    "granite_speech5_ctc",
)
"""Types whose spectrograms come as frames by bands."""

SHAPES: dict[str, dict[str, Any]] = {
    **{name: {"input_features": (32, 16)} for name in FRAMES_FIRST},
    "canary": {"input_features": (32, 16), "decoder_input_ids": 5},
    "cohere_asr": {"input_features": (32, 16), "decoder_input_ids": 5},
    "speech_to_text": {"input_features": (32, 16), "decoder_input_ids": 5},
    "gemma4_audio": {"input_features": (32, 128)},
    "granite_speech5_encoder": {"input_features": (16, 64)},
    "granite_speech5_ctc": {"input_features": (16, 64)},
    "kyutai_speech_to_text": {"input_ids": (7, 3)},
    "mimi": {"input_values": (1, 2000)},
    "mimi_encoder": {"input_values": (1, 2000)},
    "xcodec": {"input_values": (1, 2000)},
    "pe_audio_encoder": {"input_values": (1, 2000)},
    "dia": {"input_ids": "words", "decoder_input_ids": (5, 2)},
    "dia_decoder": {"input_ids": (5, 2), "encoder_hidden_states": (7, 32)},
    "musicgen": {"input_ids": "words", "decoder_input_ids": 5},
    "moonshine_streaming": {"input_values": (2000,), "decoder_input_ids": 5},
    "speech-encoder-decoder": {"input_values": (2000,), "decoder_input_ids": 5},
    "audio-spectrogram-transformer": {"input_values": (16, 16)},
    "granite_speech_encoder": {"hidden_states": (8, 16)},
    "granite_speech_plus_encoder": {"hidden_states": (8, 16)},
}
