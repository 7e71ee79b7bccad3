"""transformers: an architecture a row, small, with random weights."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import small_configurations
import torch
import zoo_torchvision
from small_configurations import VOCABULARY
from sweep_table import Built, Model, Tensors

# Name of an input -> its extents.
_Inputs = Mapping[str, tuple[int, ...]]

_TEXT: _Inputs = {"input_ids": (1, 12)}
_MASKED: _Inputs = {**_TEXT, "attention_mask": (1, 12)}
_PAIR: _Inputs = {**_MASKED, "decoder_input_ids": (1, 6)}
_IMAGE: _Inputs = {"pixel_values": (1, 3, 64, 64)}
_TEXT_AND_IMAGE: _Inputs = {**_MASKED, **_IMAGE}
_SOUND: _Inputs = {"input_values": (1, 4000)}
_MELS: _Inputs = {"input_features": (1, 80, 100)}

_DECODERS = """
Afmoe Apertus Arcee AriaText BailingHybrid Bamba Beam BioGpt BitNet Bloom Cohere Cohere2 Cohere2Moe CpmAnt Cwm DeepseekV4 DiffLlama Doge
Ernie4_5 Ernie4_5_Moe Exaone4 ExaoneMoe Falcon FalconH1 FalconMamba FlexOlmo Flint Gemma Gemma2 Gemma3 Gemma4 Gemma4Unified Glm Glm4 Glm4Moe
GPTBigCode GPTNeoX GPTNeoXJapanese GptOss Granite GraniteSWA GraniteMoe GraniteMoeSWA GraniteMoeShared Helium HrmText HYV3 HYV4
HyperCLOVAX Inkling Inkling2 Jais2 Jamba JetMoe KimiLinear Kolibri1 Laguna Lfm2 Lfm2Moe Lfm3 Llama Llama4 Mamba Mellum MiMoV2Flash MiniMax MiniMaxM2
MiniMaxM3VL Ministral Ministral3 Mistral Mixtral Mllama ModernBertDecoder Moshi Mpt NanoChat Nemotron NemotronH Olmo Olmo2 Olmo3 OlmoHybrid Olmoe OPT
Persimmon Phi Phi3 Phi4Multimodal Phimoe Qwen2 Qwen2Moe Qwen3 Qwen3Moe Qwen3Next Qwen3_5 Qwen3_5Moe Qwen4Exp RecurrentGemma Rwkv SeedOss SmolLM3 SolarOpen
StableLm Starcoder2 VaultGemma XGLM xLSTM Youtu Zaya
"""
_OTHER_DECODERS = "CTRLLMHeadModel GPT2LMHeadModel OpenAIGPTLMHeadModel ImageGPTModel BertLMHeadModel Molmo2TextModel HiggsAudioV2ForConditionalGeneration"
# Multi-head latent attention has as many keys as heads.
_LATENT = "AXK1 AXK2 DeepseekV3 DeepseekV32 Glm4MoeLite GlmMoeDsa MiniCPM3"
_ENCODERS = """
Albert BertGenerationEncoder Bert BigBird Camembert Canine CLIPText ConvBert Data2VecText Deberta DebertaV2 DistilBert DPRQuestionEncoder Electra EmbeddingGemma2Text
Ernie Esm Esmc EuroBert Flaubert Funnel Gte IBert JinaEmbeddingsV3 LayoutLM Longformer MarkupLM MegatronBert MobileBert ModernBert MPNet Mra
NomicBert Nystromformer RemBert Roberta RobertaPreLayerNorm RoCBert RoFormer SiglipText Splinter SqueezeBert T5Encoder UMT5Encoder XLM XLMRoberta XLMRobertaXL
XLNet Xmod Yoso
"""
_PAIRS = """
Bart BigBirdPegasus Blenderbot BlenderbotSmall FSMT LED LongT5 M2M100 Marian MBart MT5 Mvp NllbMoe Pegasus PegasusX PLBart ProphetNet SwitchTransformers T5 T5Gemma
UMT5
"""
_IMAGES = """
Aimv2VisionModel BeitModel BitModel CLIPVisionModel ConvNextModel ConvNextV2Model CvtModel Data2VecVisionModel DeiTModel Dinov2Model Dinov2WithRegistersModel
DINOv3ConvNextModel DINOv3ViTModel DonutSwinModel DPTModel EfficientNetModel FocalNetModel GLPNModel HGNetV2Backbone IJepaModel MLCDVisionModel
MobileNetV1Model MobileNetV2Model MobileViTModel MobileViTV2Model PixioModel PixtralVisionModel PoolFormerModel PvtModel PvtV2Model RegNetModel ResNetModel
SegformerModel SiglipVisionModel SwiftFormerModel SwinModel Swin2SRModel Swinv2Model TextNetModel VitDetModel ViTModel ViTMSNModel YolosModel
PPOCRV5ServerRecModel PPOCRV6SmallRecModel
"""
_TEXTS_AND_IMAGES = "Aimv2Model AlignModel AltCLIPModel BlipModel BridgeTowerModel ChineseCLIPModel CLIPModel CLIPSegModel FlavaModel GroupViTModel MetaClip2Model Owlv2Model OwlViTModel SiglipModel ViltModel"
_SOUNDS = "Data2VecAudioModel HubertModel SEWModel SEWDModel UniSpeechModel UniSpeechSatModel Wav2Vec2Model Wav2Vec2ConformerModel WavLMModel"

_RESNET_BACKBONE = {
    "use_timm_backbone": False,
    "backbone": None,
    "backbone_config": {
        "model_type": "resnet",
        "embedding_size": 16,
        "hidden_sizes": [16, 24, 32, 48],
        "depths": [1, 1, 1, 1],
        "out_features": ["stage2", "stage3", "stage4"],
    },
}
_OF_ONE_SCALE = {
    **_RESNET_BACKBONE,
    "backbone_config": {**_RESNET_BACKBONE["backbone_config"], "out_features": ["stage4"]},
    "num_queries": 8,
}  # type: ignore[dict-item]
_QUERIES: Mapping[str, Any] = {"num_queries": 8, "num_denoising": 0}

# Class -> fields of its configuration, and inputs.
_ROWS: Mapping[str, tuple[Mapping[str, Any], _Inputs]] = {
    # What a generic small configuration does not fit.
    "CodeGenForCausalLM": ({"rotary_dim": 8}, _TEXT),
    "GPTJForCausalLM": ({"rotary_dim": 8}, _TEXT),
    "GPTNeoForCausalLM": ({"attention_types": [[["global", "local"], 1]], "num_layers": 2, "window_size": 8}, _TEXT),
    "DeepseekV2ForCausalLM": ({"num_key_value_heads": 4, "num_experts_per_tok": 2, "topk_method": "greedy"}, _TEXT),
    "GraniteMoeHybridForCausalLM": ({"layer_types": ["mamba", "attention"], "mamba_n_heads": 8}, _TEXT),
    "LongcatFlashForCausalLM": (
        {"num_key_value_heads": 4, "num_layers": 2, "zero_expert_num": 2, "qk_head_dim": 24, "head_dim": 8},
        _TEXT,
    ),
    "Mamba2ForCausalLM": (
        {"num_heads": 8, "head_dim": 16, "hidden_size": 64, "state_size": 16, "n_groups": 2, "chunk_size": 8},
        _TEXT,
    ),
    "Zamba2ForCausalLM": (
        {
            "num_hidden_layers": 3,
            "layers_block_type": ["mamba", "hybrid", "mamba"],
            "mamba_d_state": 16,
            "mamba_headdim": 16,
            "n_mamba_heads": 8,
            "num_mem_blocks": 1,
        },
        _TEXT,
    ),
    "ZambaForCausalLM": (
        {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "mamba"], "mamba_dt_rank": 8, "n_mamba_heads": 2},
        _TEXT,
    ),
    "DbrxForCausalLM": (
        {"ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2}, "attn_config": {"kv_n_heads": 2}},
        _TEXT,
    ),
    "ReformerModelWithLMHead": (
        {
            "is_decoder": True,
            "axial_pos_shape": [4, 4],
            "axial_pos_embds_dim": [32, 32],
            "attn_layers": ["local", "local"],
            "local_attn_chunk_length": 4,
        },
        {"input_ids": (1, 16)},
    ),
    "FNetModel": ({}, _TEXT),
    "BrosModel": ({}, {**_MASKED, "bbox": (1, 12, 8)}),
    "LiltModel": ({}, {**_MASKED, "bbox": (1, 12, 4)}),
    "LayoutLMv3Model": ({"coordinate_size": 11, "shape_size": 10, "input_size": 64}, {**_MASKED, "bbox": (1, 12, 4), **_IMAGE}),
    "LxmertModel": ({}, {**_MASKED, "visual_feats": (1, 5, 2048), "visual_pos": (1, 5, 4)}),
    "VisualBertModel": ({"visual_embedding_dim": 32}, {**_MASKED, "visual_embeds": (1, 5, 32)}),
    "TapasModel": ({}, {**_MASKED, "token_type_ids": (1, 12, 7)}),
    "PerceiverModel": (
        {"d_latents": 64, "d_model": 64, "num_latents": 8, "num_blocks": 1, "num_self_attends_per_block": 2},
        {"inputs": (1, 12, 64)},
    ),
    "DecisionTransformerModel": (
        {},
        {
            "states": (1, 5, 17),
            "actions": (1, 5, 4),
            "rewards": (1, 5, 1),
            "returns_to_go": (1, 5, 1),
            "timesteps": (1, 5),
            "attention_mask": (1, 5),
        },
    ),
    "PatchTSTModel": ({"context_length": 32, "patch_length": 4, "num_input_channels": 3}, {"past_values": (1, 32, 3)}),
    "PatchTSMixerModel": ({"context_length": 32, "patch_length": 4, "num_input_channels": 3}, {"past_values": (1, 32, 3)}),
    "TimesFmModelForPrediction": ({}, {"past_values": (1, 64)}),
    # Vision.
    "HieraModel": ({"depths": [1, 1, 1, 1], "embed_dim": 32, "num_heads": [1, 2, 4, 8]}, {"pixel_values": (1, 3, 224, 224)}),
    "LevitModel": ({"image_size": 224}, {"pixel_values": (1, 3, 224, 224)}),
    "InternVLVisionModel": ({"image_size": [64, 64]}, _IMAGE),
    "MgpstrForSceneTextRecognition": ({"image_size": [32, 128]}, {"pixel_values": (1, 3, 32, 128)}),
    "ViTMAEModel": ({"mask_ratio": 0.0}, _IMAGE),
    "VideoMAEModel": ({"num_frames": 4}, {"pixel_values": (1, 4, 3, 64, 64)}),
    "VivitModel": ({"num_frames": 4, "tubelet_size": [2, 16, 16]}, {"pixel_values": (1, 4, 3, 64, 64)}),
    "TimesformerModel": ({"num_frames": 4}, {"pixel_values": (1, 4, 3, 64, 64)}),
    "VJEPA2Model": (
        {"crop_size": 64, "frames_per_clip": 4, "pred_hidden_size": 48, "pred_num_attention_heads": 4, "pred_num_hidden_layers": 2},
        {"pixel_values_videos": (1, 4, 3, 64, 64)},
    ),
    "SegformerForSemanticSegmentation": ({}, _IMAGE),
    "UperNetForSemanticSegmentation": (_RESNET_BACKBONE | {"hidden_size": 32, "auxiliary_in_channels": 32}, _IMAGE),
    "DPTForDepthEstimation": (
        {
            "num_hidden_layers": 4,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [16, 24, 32, 48],
            "fusion_hidden_size": 32,
        },
        _IMAGE,
    ),
    "DepthAnythingForDepthEstimation": (
        {
            "backbone": None,
            "backbone_config": {
                "model_type": "dinov2",
                "hidden_size": 64,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "image_size": 56,
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
                "reshape_hidden_states": False,
            },
            "neck_hidden_sizes": [16, 24, 32, 48],
            "fusion_hidden_size": 32,
            "reassemble_hidden_size": 64,
        },
        {"pixel_values": (1, 3, 56, 56)},
    ),
    "GLPNForDepthEstimation": ({}, _IMAGE),
    "SegGptModel": (
        {"image_size": [64, 32], "intermediate_hidden_state_indices": [0, 1], "merge_index": 0},
        {"pixel_values": (1, 3, 32, 32), "prompt_pixel_values": (1, 3, 32, 32), "prompt_masks": (1, 3, 32, 32)},
    ),
    "Swin2SRForImageSuperResolution": ({}, _IMAGE),
    # Detection and segmentation with queries.
    "ConditionalDetrForObjectDetection": (_OF_ONE_SCALE, _IMAGE),
    "DabDetrForObjectDetection": (_OF_ONE_SCALE, _IMAGE),
    "DeformableDetrForObjectDetection": (_RESNET_BACKBONE | {"num_queries": 8}, {"pixel_values": (1, 3, 128, 128)}),
    "DetrForObjectDetection": (_OF_ONE_SCALE, _IMAGE),
    "TableTransformerForObjectDetection": (_OF_ONE_SCALE, _IMAGE),
    "DFineForObjectDetection": (_QUERIES, {"pixel_values": (1, 3, 128, 128)}),
    "RTDetrForObjectDetection": (_QUERIES, {"pixel_values": (1, 3, 128, 128)}),
    "RTDetrV2ForObjectDetection": (_QUERIES, {"pixel_values": (1, 3, 128, 128)}),
    "RfDetrForObjectDetection": ({"num_queries": 8, "group_detr": 1}, {"pixel_values": (1, 3, 128, 128)}),
    "LwDetrForObjectDetection": ({"num_queries": 8, "group_detr": 1}, {"pixel_values": (1, 3, 128, 128)}),
    "YolosForObjectDetection": ({"num_detection_tokens": 5}, {"pixel_values": (1, 3, 96, 64)}),
    "OwlViTForObjectDetection": ({}, _TEXT_AND_IMAGE),
    "Mask2FormerForUniversalSegmentation": (
        {"num_queries": 8, "encoder_layers": 1, "decoder_layers": 2, "hidden_dim": 64, "mask_feature_size": 64, "feature_size": 64},
        _IMAGE,
    ),
    "MaskFormerForInstanceSegmentation": ({}, _IMAGE),
    "SamVisionModel": ({"image_size": 64, "output_channels": 32, "global_attn_indexes": [1], "window_size": 3}, _IMAGE),
    "Sam2VisionModel": ({}, _IMAGE),
    # Text and images.
    "GitForCausalLM": ({}, {**_TEXT, **_IMAGE}),
    "Pix2StructVisionModel": ({}, {"flattened_patches": (1, 9, 770)}),
    "VisionEncoderDecoderModel": (
        {
            "encoder": {
                "model_type": "vit",
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 128,
                "image_size": 64,
            },
            "decoder": {
                "model_type": "trocr",
                "d_model": 64,
                "decoder_layers": 2,
                "decoder_attention_heads": 4,
                "decoder_ffn_dim": 128,
                "vocab_size": VOCABULARY,
                "cross_attention_hidden_size": 64,
                "max_position_embeddings": 64,
            },
        },
        {**_IMAGE, "decoder_input_ids": (1, 6)},
    ),
    "LlavaForConditionalGeneration": (
        {
            "text_config": {
                "model_type": "llama",
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "intermediate_size": 128,
                "vocab_size": VOCABULARY,
            },
            "vision_config": {
                "model_type": "clip_vision_model",
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 128,
                "image_size": 32,
                "patch_size": 16,
            },
        },
        _TEXT,
    ),
    # Sound.
    "ASTModel": ({"max_length": 64, "num_mel_bins": 32}, {"input_values": (1, 64, 32)}),
    "ClapAudioModelWithProjection": (
        {
            "spec_size": 64,
            "num_mel_bins": 16,
            "depths": [1, 1],
            "num_attention_heads": [2, 4],
            "hidden_size": 32,
            "patch_embeds_hidden_size": 16,
            "window_size": 4,
        },
        {"input_features": (1, 1, 256, 16)},
    ),
    "DacModel": (
        {"encoder_hidden_size": 16, "decoder_hidden_size": 96, "downsampling_ratios": [2, 4], "n_codebooks": 2},
        {"input_values": (1, 1, 512)},
    ),
    "EncodecModel": (
        {"num_filters": 8, "hidden_size": 32, "codebook_size": 64, "codebook_dim": 32, "num_lstm_layers": 1},
        {"input_values": (1, 1, 1280)},
    ),
    "MimiModel": (
        {
            "num_filters": 8,
            "hidden_size": 32,
            "codebook_size": 64,
            "codebook_dim": 16,
            "vector_quantization_hidden_dimension": 16,
            "num_quantizers": 4,
            "upsample_groups": 32,
        },
        {"input_values": (1, 1, 3840)},
    ),
    "GlmAsrEncoder": ({}, {"input_features": (1, 128, 100)}),
    "LasrEncoder": ({}, {"input_features": (1, 100, 128)}),
    "MoonshineModel": ({}, {"input_values": (1, 4000), "decoder_input_ids": (1, 6)}),
    "ParakeetForCTC": ({}, {"input_features": (1, 100, 80)}),
    "Speech2TextModel": (
        {"max_source_positions": 128, "max_target_positions": 32},
        {"input_features": (1, 100, 80), "decoder_input_ids": (1, 6)},
    ),
    "SpeechT5ForSpeechToText": ({}, {"input_values": (1, 4000), "decoder_input_ids": (1, 6)}),
    "UnivNetModel": ({}, {"input_features": (1, 8, 100), "noise_sequence": (1, 8, 64)}),
    "VitsModel": ({}, _TEXT),
    "Wav2Vec2BertModel": ({"feature_projection_input_dim": 160}, {"input_features": (1, 50, 160)}),
    "WhisperModel": (
        {"max_source_positions": 50, "max_target_positions": 32, "num_mel_bins": 80},
        {**_MELS, "decoder_input_ids": (1, 6)},
    ),
    "Qwen2AudioEncoder": ({"max_source_positions": 50}, {"input_features": (1, 128, 100)}),
}


def _input(name: str, extents: tuple[int, ...]) -> torch.Tensor:
    if name == "attention_mask":
        mask = torch.ones(extents, dtype=torch.int64)
        mask[:, extents[1] - 3 :] = 0
        return mask
    if name == "bbox":
        return torch.rand(extents) if extents[-1] == 8 else torch.randint(0, 60, extents).cummax(dim=-1).values
    if name == "token_type_ids":
        return torch.zeros(extents, dtype=torch.int64)
    if name.endswith("_ids") or name == "timesteps":
        return torch.randint(3, min(VOCABULARY, 60), extents)
    return torch.randn(extents)


def _build(name: str, overrides: Mapping[str, Any], inputs: _Inputs) -> Built:
    zoo_torchvision.prepare()
    import transformers

    transformers.logging.set_verbosity_error()
    kind = getattr(transformers, name)
    configuration = small_configurations.small(kind.config_class, overrides)
    module = kind(configuration)
    known = inspect.signature(module.forward).parameters
    given = {name: _input(name, extents) for name, extents in inputs.items()}
    fixed = {"use_cache": False} if "use_cache" in known else {}
    return Tensors(module, tuple(given), fixed), tuple(given.values())


def _names() -> Iterator[tuple[str, Mapping[str, Any], _Inputs]]:
    for stem in _DECODERS.split():
        yield f"{stem}ForCausalLM", {}, _TEXT
    for name in _OTHER_DECODERS.split():
        yield name, {}, _TEXT
    for stem in _LATENT.split():
        yield f"{stem}ForCausalLM", {"num_key_value_heads": 4}, _TEXT
    for stem in _ENCODERS.split():
        yield stem if stem.endswith("Encoder") and stem.startswith(("BertG", "DPR")) else f"{stem}Model", {}, _MASKED
    for stem in _PAIRS.split():
        yield f"{stem}Model", {}, _PAIR
    for names, inputs in ((_IMAGES, _IMAGE), (_TEXTS_AND_IMAGES, _TEXT_AND_IMAGE), (_SOUNDS, _SOUND)):
        for name in names.split():
            yield name, {}, inputs
    for name, (overrides, inputs) in _ROWS.items():
        yield name, overrides, inputs


def models() -> Iterator[Model]:
    for name, overrides, inputs in _names():
        yield Model("transformers", name, functools.partial(_build, name, overrides, inputs))
