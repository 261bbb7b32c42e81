"""Model types of transformers that the matrix leaves out, each with the reason."""

from __future__ import annotations

import itertools

NO_ATTENTION = "has no attention with a softmax over positions: convolutions, state spaces or Fourier transforms"
_NO_ATTENTION = """
align_vision_model bit convnext convnextv2 dac dinov3_convnext efficientnet encodec falcon_mamba
fastspeech2_conformer_hifigan flava_image_codebook fnet focalnet hgnet_v2 mamba mamba2 mobilenet_v1 mobilenet_v2
poolformer pp_lcnet pp_lcnet_v3 pp_lcnet_v4 pp_ocrv5_mobile_det pp_ocrv5_server_det pp_ocrv6_medium_det
pp_ocrv6_small_det qwen2_5_omni_bigvgan regnet resnet rt_detr_resnet rwkv speecht5_hifigan superpoint textnet univnet
uvdoc uvdoc_backbone vibevoice_acoustic_tokenizer vibevoice_acoustic_tokenizer_decoder
vibevoice_acoustic_tokenizer_encoder vibevoice_diffusion xlstm
"""

MISSING_PACKAGE = "needs a package that the tests don't install: timm, natten, torchaudio or detectron2"
_MISSING_PACKAGE = """
deformable_detr dinat edgetam edgetam_vision_model fast_vlm gemma3n gemma3n_vision higgs_audio_v2_tokenizer layoutlmv2
omdet-turbo pe_audio_video pe_audio_video_encoder pe_video pe_video_encoder perception_lm timm_backbone timm_wrapper
"""

NO_CLASS = "is a component of a larger model: no model class of transformers takes this configuration alone"
_NO_CLASS = """
edgetam_mask_decoder edgetam_prompt_encoder edgetam_video_mask_decoder edgetam_video_prompt_encoder
gemma4_unified_audio gemma4_unified_vision idefics_perciever idefics_vision layoutxlm pp_chart2table_vision
sam2_mask_decoder sam2_prompt_encoder sam2_video_mask_decoder sam2_video_prompt_encoder sam3_geometry_encoder
sam3_lite_text_geometry_encoder sam3_tracker_mask_decoder sam3_tracker_prompt_encoder sam3_tracker_video_mask_decoder
sam3_tracker_video_prompt_encoder sam_hq_mask_decoder sam_hq_prompt_encoder sam_mask_decoder sam_prompt_encoder
sapiens2_head t5_gemma_module voxtral_realtime_text
"""

NO_FORWARD = "has a class, but one without a forward pass"
_NO_FORWARD = "bark chameleon_vqgan emu3_vqgan glm_image_vqmodel qwen2_5_omni"

BROKEN_CONFIGURATION = "doesn't build from its own configuration class in transformers 5.23"
_BROKEN_CONFIGURATION = """
gemma4_assistant nougat pix2struct_text_model qwen3_omni_moe
"""

RANDOM_FORWARD = "draws random numbers in each forward pass, so two passes don't compare"
_RANDOM_FORWARD = "vilt vits"

NOT_FINITE = "answers a short sound with NaN: its eager mask leaves some positions nothing to look at"
_NOT_FINITE = "nemotron_asr_streaming_encoder"

TIME_SERIES = "reads time series: its inputs are not texts, images or sounds"
_TIME_SERIES = """
autoformer decision_transformer informer patchtsmixer patchtst time_series_transformer timesfm timesfm2_5
"""

INPUTS = (
    "not covered yet: inputs that the common recipe doesn't lay out (patch positions, placeholders, prompts, marks)"
)
_INPUTS = """
blip-2 blt_global_transformer blt_local_decoder blt_local_encoder blt_patcher clvp clvp_encoder deepseek_ocr2_encoder
deepseek_ocr2_vision dots3_note dots3_note_audio_encoder dots3_note_vision_encoder florence_vision gemma4_vision
granite4_vision idefics2_perceiver inkling2_vision inkling_vision instructblip instructblipvideo janus_vqgan jev
kimi_k25_vision kosmos-2 kosmos_2_5_vision_model llama4_vision_model mgp-str minicpm_ocr_vision minicpmv4_6_vision
minicpmv4_7_vision molmo2 molmo2_adapter molmo2_vision muse_glimmer_assistant muse_glimmer_vision muse_spark_vision
nemotron_h_omni paddleocr_vl_vision perceiver pi0 pix2struct pix2struct_vision_model qwen3_omni_moe_talker_text rag
sapiens2 seggpt tvp unlimited_ocr_vision unlimited_ocr_vision_encoder video_llama_3_vision videoprism
videoprism_vision_model vitpose vitpose_backbone xclip xclip_vision_model
"""

SIZES = "not covered yet: sizes that the common recipe doesn't fit together (feature pyramids, several trunks)"
_SIZES = """
align bridgetower bridgetower_vision_model chmv2 d_fine deimv2 depth_anything depth_pro edgetam_video efficientloftr
esmfold2 gemma4_unified_assistant glpn grounding-dino levit lightglue lw_detr lw_detr_vit mask2former maskformer
mm-grounding-dino mobilevitv2 oneformer pp_doclayout_v2 pp_doclayout_v3 pp_doclayout_v4 pp_formulanet
pp_ocrv5_mobile_rec pp_ocrv5_server_rec pp_ocrv6_small_rec pp_ocrv6_tiny_rec prompt_depth_anything pvt pvt_v2 rf_detr
rt_detr rt_detr_v2 sam2 sam2_hiera_det_model sam2_video sam2_vision_model sam3 sam3_detr_decoder sam3_detr_encoder
sam3_lite_text sam3_lite_text_detr_decoder sam3_lite_text_detr_encoder sam3_lite_text_mask_decoder sam3_mask_decoder
sam3_tracker sam3_tracker_video sam3_video segformer slanet slanext superglue tipsv2_dpt upernet vitmatte zoedepth
"""

SOUND = "not covered yet: sound that the common recipe doesn't frame, or codes of an audio codec"
_SOUND = """
audioflamingo3_encoder clap clap_audio_model fastspeech2_conformer_with_hifigan fun_asr_nano fun_asr_nano_encoder
gemma3n_audio gradium_phonon_tts inkling_audio mimi_decoder moshi_depth muse_spark muse_spark_audio nemo_speechlm
nemotron3_5_asr nemotron3_5_transcribe_audio nemotron3_5_transcribe_word_timestamp nemotron3_diarization
nemotron_asr_streaming neucodec parakeet_rnnt parakeet_tdt pe_audio phi4_multimodal_audio pocket_tts
pocket_tts_audio_tokenizer pocket_tts_audio_tokenizer_decoder pocket_tts_audio_tokenizer_encoder
qwen2_5_omni_audio_encoder qwen2_5_omni_dit qwen2_5_omni_token2wav qwen3_asr_encoder qwen3_omni_moe_audio_encoder
qwen3_omni_moe_talker_code_predictor speecht5 vibevoice vibevoice_asr voxtral_realtime xcodec2
"""

_GROUPS = {
    NO_ATTENTION: _NO_ATTENTION,
    MISSING_PACKAGE: _MISSING_PACKAGE,
    NO_CLASS: _NO_CLASS,
    NO_FORWARD: _NO_FORWARD,
    BROKEN_CONFIGURATION: _BROKEN_CONFIGURATION,
    RANDOM_FORWARD: _RANDOM_FORWARD,
    NOT_FINITE: _NOT_FINITE,
    TIME_SERIES: _TIME_SERIES,
    INPUTS: _INPUTS,
    SIZES: _SIZES,
    SOUND: _SOUND,
}

LEFT_OUT: dict[str, str] = dict(
    itertools.chain.from_iterable(((name, reason) for name in names.split()) for reason, names in _GROUPS.items())
)
"""Reason by model type; every type of transformers is here or in the matrix."""
