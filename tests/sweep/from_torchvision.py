"""torchvision: every family of classification, segmentation, detection, video and optical flow, with random weights and small images."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import zoo_torchvision
from sweep_table import Built, Model, Tensors

# Name in torchvision.models -> extents of the input behind the batch.
_CLASSIFICATION = {
    **dict.fromkeys(
        (
            *("convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "mnasnet0_5", "mobilenet_v2"),
            *("mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50"),
            *(
                "resnext50_32x4d",
                "wide_resnet50_2",
                "shufflenet_v2_x0_5",
                "squeezenet1_0",
                "squeezenet1_1",
                "swin_t",
                "swin_v2_t",
                "vgg11",
            ),
            "vgg11_bn",
        ),
        (3, 64, 64),
    ),
    "alexnet": (3, 96, 96),
    "inception_v3": (3, 96, 96),
    "maxvit_t": (3, 224, 224),
    "vit_b_32": (3, 224, 224),
}
_SEGMENTATION = ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50", "lraspp_mobilenet_v3_large")
_VIDEO = {
    **dict.fromkeys(("mc3_18", "r2plus1d_18", "r3d_18", "s3d"), (3, 16, 64, 64)),
    **dict.fromkeys(("mvit_v1_b", "mvit_v2_s"), (3, 16, 224, 224)),
    "swin3d_t": (3, 8, 64, 64),
}
_FLOW = ("raft_small", "raft_large")
_DETECTION = (
    *("fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn_v2", "fcos_resnet50_fpn", "keypointrcnn_resnet50_fpn"),
    *("maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"),
)


def _make(kind: Callable[[], Any], name: str, **options: Any) -> torch.nn.Module:
    module: torch.nn.Module = getattr(kind(), name)(weights=None, **options)
    return module


def _classifier(name: str, extents: tuple[int, ...]) -> Built:
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return Tensors(_make(zoo_torchvision.models, name, **options)), (torch.randn(1, *extents),)


def _segmenter(name: str) -> Built:
    module = _make(lambda: zoo_torchvision.models().segmentation, name, weights_backbone=None)
    return Tensors(module), (torch.randn(1, 3, 64, 64),)


def _video(name: str, extents: tuple[int, ...]) -> Built:
    return Tensors(_make(lambda: zoo_torchvision.models().video, name)), (torch.randn(1, *extents),)


def _flow(name: str) -> Built:
    module = _make(lambda: zoo_torchvision.models().optical_flow, name)
    return Tensors(module, fixed={"num_flow_updates": 2}), (torch.rand(1, 3, 128, 128) * 2 - 1, torch.rand(1, 3, 128, 128) * 2 - 1)


class _Heads(torch.nn.Module):
    """Backbone and head of a detector of one stage: what comes before its boxes are decoded and suppressed."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, images: torch.Tensor) -> Any:
        return self.head(list(self.backbone(images).values()))


class _Regions(torch.nn.Module):
    """Backbone, scores of anchors, and the box head of a detector of two stages over boxes that are given: (boxes, 5), the image first."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.rpn, self.roi_heads = detector.backbone, detector.rpn.head, detector.roi_heads

    def forward(self, images: torch.Tensor, boxes: torch.Tensor) -> Any:
        from torchvision.ops import roi_align

        features = list(self.backbone(images).values())
        scores = self.rpn(features)
        pooled = roi_align(features[0], boxes, (7, 7), spatial_scale=0.25, sampling_ratio=2)
        return scores, self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))


def _detector(name: str) -> torch.nn.Module:
    return _make(lambda: zoo_torchvision.models().detection, name, weights_backbone=None).eval()


def _whole_detector(name: str) -> Built:
    class OfImage(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = _detector(name)

        def forward(self, image: torch.Tensor) -> Any:
            return self.detector([image])[0]

    return Tensors(OfImage()), (torch.rand(3, 96, 96),)


def _heads(name: str) -> Built:
    return Tensors(_Heads(_detector(name))), (
        torch.randn(1, 3, 320 if "300" not in name else 300, 320 if "300" not in name else 300),
    )


def _regions(name: str) -> Built:
    corner = torch.rand(6, 2) * 60
    boxes = torch.cat([torch.zeros(6, 1), corner, corner + 8 + torch.rand(6, 2) * 50], dim=1)
    return Tensors(_Regions(_detector(name))), (torch.randn(1, 3, 128, 128), boxes)


def models() -> Iterator[Model]:
    for name, extents in _CLASSIFICATION.items():
        yield Model("torchvision", name, functools.partial(_classifier, name, extents))
    for name in _SEGMENTATION:
        yield Model("torchvision", f"segmentation.{name}", functools.partial(_segmenter, name))
    for name, extents in _VIDEO.items():
        yield Model("torchvision", f"video.{name}", functools.partial(_video, name, extents))
    for name in _FLOW:
        yield Model("torchvision", f"optical_flow.{name}", functools.partial(_flow, name))
    for name in _DETECTION:
        yield Model("torchvision", f"detection.{name}", functools.partial(_whole_detector, name))
        make = _regions if "rcnn" in name else _heads
        yield Model("torchvision", f"detection.{name}, heads", functools.partial(make, name))
