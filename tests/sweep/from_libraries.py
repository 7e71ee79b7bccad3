"""torchaudio, segmentation-models-pytorch, ultralytics and diffusers. None is in the lock: README.md says how each is installed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from sweep_table import Built, Model, Tensors

_Make = Callable[[], Built]


def _torchaudio(name: str, options: dict[str, Any], *extents: tuple[int, ...]) -> Built:
    import torchaudio

    return Tensors(getattr(torchaudio.models, name)(**options)), tuple(torch.randn(extent) for extent in extents)


_SMALL_WAV2VEC = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(32, 10, 5), (32, 3, 2), (32, 2, 2)],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 64,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_features": 128,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.0,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.0,
    "aux_num_out": 29,
}
_TORCHAUDIO: dict[str, _Make] = {
    "ConvTasNet": functools.partial(
        _torchaudio,
        "ConvTasNet",
        {"enc_num_feats": 32, "msk_num_feats": 16, "msk_num_hidden_feats": 32, "msk_num_layers": 2, "msk_num_stacks": 1},
        (1, 1, 800),
    ),
    "DeepSpeech": functools.partial(_torchaudio, "DeepSpeech", {"n_feature": 32, "n_hidden": 64}, (1, 1, 20, 32)),
    "HDemucs": functools.partial(
        _torchaudio, "HDemucs", {"sources": ["a", "b"], "channels": 8, "nfft": 1024, "depth": 4}, (1, 2, 8192)
    ),
    "Wav2Letter": functools.partial(
        _torchaudio, "Wav2Letter", {"num_classes": 20, "input_type": "mfcc", "num_features": 20}, (1, 20, 200)
    ),
    "wav2vec2_model": functools.partial(_torchaudio, "wav2vec2_model", _SMALL_WAV2VEC, (1, 2000)),
    "WaveRNN": functools.partial(
        _torchaudio,
        "WaveRNN",
        {
            "upsample_scales": [2, 2],
            "n_classes": 16,
            "hop_length": 4,
            "n_res_block": 2,
            "n_rnn": 32,
            "n_fc": 32,
            "n_freq": 16,
            "n_hidden": 16,
            "n_output": 16,
        },
        (1, 1, 24),
        (1, 1, 16, 10),
    ),
}


def _smp(name: str) -> Built:
    import segmentation_models_pytorch as smp

    encoder = {"PAN": "resnet34", "DPT": "tu-vit_tiny_patch16_224"}.get(name, "resnet18")
    extent = 224 if name == "DPT" else 128
    return getattr(smp, name)(encoder, encoder_weights=None, classes=2), (torch.randn(1, 3, extent, extent),)


_SMP = (
    "Unet",
    "UnetPlusPlus",
    "MAnet",
    "Linknet",
    "FPN",
    "PSPNet",
    "PAN",
    "DeepLabV3",
    "DeepLabV3Plus",
    "UPerNet",
    "Segformer",
    "DPT",
)


def _ultralytics(name: str) -> Built:
    from ultralytics.nn import tasks

    kinds = {"seg": "SegmentationModel", "pose": "PoseModel", "obb": "OBBModel", "cls": "ClassificationModel"}
    task = name.rpartition("-")[2]
    kind = "RTDETRDetectionModel" if name.startswith("rtdetr") else kinds.get(task, "DetectionModel")
    module = getattr(tasks, kind)(f"{name}.yaml", verbose=False)
    for part in module.modules():
        if hasattr(part, "export"):  # What its own exporter sets.
            part.export, part.format = True, "coreml"
    return Tensors(module), (torch.rand(1, 3, 160, 160),)


_ULTRALYTICS = (
    *(
        "yolov8n",
        "yolov8n-seg",
        "yolov8n-pose",
        "yolov8n-obb",
        "yolov8n-cls",
        "yolov9t",
        "yolov10n",
        "yolo11n",
        "yolo11n-seg",
        "yolo11n-pose",
    ),
    *("yolo11n-obb", "yolo11n-cls", "yolo12n", "yolo26n", "yolo26n-seg", "rtdetr-l"),
)


def _diffusers(name: str, options: dict[str, Any], inputs: tuple[Any, ...]) -> Built:
    import diffusers

    made = tuple(torch.tensor(given) if isinstance(given, list) else torch.randn(given) for given in inputs)
    return Tensors(getattr(diffusers, name)(**options), fixed={"return_dict": False}), made


_BLOCKS = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8}
_DIFFUSERS: dict[str, _Make] = {
    "UNet2DModel": functools.partial(
        _diffusers,
        "UNet2DModel",
        {
            **_BLOCKS,
            "sample_size": 16,
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        },
        ((1, 3, 16, 16), [10]),
    ),
    "UNet2DConditionModel": functools.partial(
        _diffusers,
        "UNet2DConditionModel",
        {
            **_BLOCKS,
            "sample_size": 16,
            "cross_attention_dim": 32,
            "attention_head_dim": 8,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        },
        ((1, 4, 16, 16), [10], (1, 7, 32)),
    ),
    "AutoencoderKL": functools.partial(
        _diffusers,
        "AutoencoderKL",
        {
            **_BLOCKS,
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "latent_channels": 4,
        },
        ((1, 3, 32, 32),),
    ),
    "AutoencoderTiny": functools.partial(
        _diffusers,
        "AutoencoderTiny",
        {
            "encoder_block_out_channels": (16, 16),
            "decoder_block_out_channels": (16, 16),
            "num_encoder_blocks": (1, 1),
            "num_decoder_blocks": (1, 1),
        },
        ((1, 3, 32, 32),),
    ),
    "VQModel": functools.partial(
        _diffusers,
        "VQModel",
        {
            **_BLOCKS,
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "num_vq_embeddings": 32,
        },
        ((1, 3, 32, 32),),
    ),
    "SD3Transformer2DModel": functools.partial(
        _diffusers,
        "SD3Transformer2DModel",
        {
            "sample_size": 16,
            "patch_size": 2,
            "in_channels": 4,
            "num_layers": 1,
            "attention_head_dim": 8,
            "num_attention_heads": 4,
            "caption_projection_dim": 32,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 16,
            "out_channels": 4,
            "pos_embed_max_size": 8,
        },
        ((1, 4, 16, 16), (1, 7, 32), (1, 16), [10]),
    ),
}


def models() -> Iterator[Model]:
    for name, make in _TORCHAUDIO.items():
        yield Model("torchaudio", name, make)
    for name in _SMP:
        yield Model("segmentation_models_pytorch", name, functools.partial(_smp, name))
    for name in _ULTRALYTICS:
        yield Model("ultralytics", name, functools.partial(_ultralytics, name))
    for name, make in _DIFFUSERS.items():
        yield Model("diffusers", name, make)
