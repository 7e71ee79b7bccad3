"""timm: a model of each of its families, the smallest that it names, at the size it asks for. Not in the lock: README.md."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from sweep_table import Built, Model

# One of each module of timm.models.
_NAMES = """
bat_resnext26ts beit_base_patch16_224 halonet26t mobileone_s0 cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 convnext_atto crossvit_tiny_240
cs3darknet_focus_s cspresnet50 davit_tiny deit_tiny_patch16_224 densenet121 dla46_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0
efficientnet_b0 mnasnet_small tinynet_e fbnetc_100 efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf
gcvit_xxtiny ghostnet_050 ghostnetv2_100 hardcorenas_a hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny hrnet_w18_small inception_next_atto
inception_resnet_v2 inception_v3 inception_v4 levit_128s lowformer_b0 mambaout_femto coatnet_nano_rw_224 maxvit_tiny_tf_224 poolformer_s12
convformer_s18 mixer_s32_224 gmlp_ti16_224 resmlp_12_224 lcnet_050 mobilenetv3_small_050 mobilenetv4_conv_small mobilevit_xxs mobilevitv2_050 mvitv2_tiny
naflexvit_base_patch16_gap nest_tiny nextvit_small dm_nfnet_f0 eca_nfnet_l0 pit_ti_224 pvt_v2_b0 rdnet_tiny regnetx_002 regnety_002 repghostnet_050
repvgg_a0 repvit_m0_9 res2net50_14w_8s resnest14d resnet10t seresnet18 resnetv2_18 rexnet_100 selecsls42b legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18
starnet_s1 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m
twins_svt_small vgg11 visformer_tiny vit_tiny_patch16_224 vit_tiny_r_s16_p8_224 vit_relpos_small_patch16_224 samvit_base_patch16_224 vitamin_small_224
volo_d1_224 ese_vovnet19b_dw legacy_xception xception41 xcit_nano_12_p16_224
"""


def _build(name: str) -> Built:
    import timm

    module = timm.create_model(name, pretrained=False)
    return module, (torch.randn(1, *module.default_cfg["input_size"]),)


def models() -> Iterator[Model]:
    for name in _NAMES.split():
        yield Model("timm", name, functools.partial(_build, name))
