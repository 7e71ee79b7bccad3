"""From a `ModuleLinearQuantizerConfig` to torchao's quantization specs."""

from __future__ import annotations

import dataclasses

import torch
from coremltools.optimize.torch.quantization.quantization_config import (
    ModuleLinearQuantizerConfig,
    ObserverType,
    QuantizationScheme,
)
from torchao.quantization.pt2e import observer as observers
from torchao.quantization.pt2e.fake_quantize import FakeQuantize
from torchao.quantization.pt2e.quantizer.quantizer import QuantizationSpec

# torchao's pt2e flow has plain integer dtypes where coremltools' configs have torch's quantized ones.
_INTEGERS = {torch.qint8: torch.int8, torch.quint8: torch.uint8}

_OBSERVERS = {
    (ObserverType.moving_average_min_max, False): observers.MovingAverageMinMaxObserver,
    (ObserverType.moving_average_min_max, True): observers.MovingAveragePerChannelMinMaxObserver,
    (ObserverType.min_max, False): observers.MinMaxObserver,
    (ObserverType.min_max, True): observers.PerChannelMinMaxObserver,
}


@dataclasses.dataclass(frozen=True)
class Specs:
    """What one configuration entry asks for. activation is None for weight-only quantization."""

    config: ModuleLinearQuantizerConfig
    activation: QuantizationSpec | None
    # The same range of integers starting at the smallest value seen, for tensors that are never negative.
    non_negative: QuantizationSpec | None

    def weight(self, channel_axis: int) -> QuantizationSpec:
        """The spec of a weight whose output channels are along `channel_axis`."""
        config = self.config
        dtype = _INTEGERS.get(config.weight_dtype, config.weight_dtype)
        limits: tuple[int | None, int | None] = (None, None)
        if config.weight_n_bits == 4:
            limits = (-8, 7) if dtype.is_signed else (0, 15)
        scheme = QuantizationScheme.get_qscheme(config.quantization_scheme, is_per_channel=config.weight_per_channel)
        # torchao hands ch_axis only to classes with PerChannel in their name, which FakeQuantize has not.
        axis = {"ch_axis": channel_axis} if config.weight_per_channel else {}
        return QuantizationSpec(
            dtype=dtype,
            observer_or_fake_quant_ctr=FakeQuantize.with_args(
                observer=_OBSERVERS[config.weight_observer, config.weight_per_channel], dtype=dtype, qscheme=scheme, **axis
            ),
            quant_min=limits[0],
            quant_max=limits[1],
            qscheme=scheme,
            ch_axis=channel_axis if config.weight_per_channel else None,
        )

    def describe(self, *, weight: bool) -> str:
        """Such as "weight int4 per channel, activations uint8"."""
        parts = []
        if weight:
            config = self.config
            sign = "" if _INTEGERS.get(config.weight_dtype, config.weight_dtype).is_signed else "u"
            parts.append(f"weight {sign}int{config.weight_n_bits} per {'channel' if config.weight_per_channel else 'tensor'}")
        if self.activation is not None:
            parts.append(f"activations {str(self.activation.dtype).removeprefix('torch.')}")
        return ", ".join(parts)


def _activation(config: ModuleLinearQuantizerConfig, dtype: torch.dtype, scheme: torch.qscheme) -> QuantizationSpec:
    return QuantizationSpec(
        dtype=dtype,
        observer_or_fake_quant_ctr=FakeQuantize.with_args(
            observer=_OBSERVERS[config.activation_observer, False], dtype=dtype, qscheme=scheme
        ),
        qscheme=scheme,
    )


def check(config: ModuleLinearQuantizerConfig, where: str) -> None:
    """Refuses what this quantizer cannot honour. `where` names the entry.

    Raises ValueError, which says what to write instead.
    """
    if config.algorithm != "vanilla":
        raise ValueError(
            f"{where}: algorithm {config.algorithm!r} belongs to coremltools' own LinearQuantizer; with prepare_qat_pt2e set "
            "algorithm='vanilla', which observes ranges while the weights are trained"
        )
    for field in ("weight_observer", "activation_observer"):
        observer = getattr(config, field)
        if (observer, False) not in _OBSERVERS:
            raise ValueError(
                f"{where}: {field} {observer.value!r} has no counterpart in torchao's pt2e flow; use 'moving_average_min_max' or 'min_max'"
            )


def specs_of(config: ModuleLinearQuantizerConfig | None, activation_dtype: torch.dtype | None) -> Specs | None:
    """The specs of an entry, or None where it keeps its modules float.

    `activation_dtype` takes the place of the configuration's integer dtype, which coremltools restricts to quint8.
    """
    if config is None or config.weight_dtype == torch.float32:
        return None
    if config.activation_dtype == torch.float32:
        return Specs(config, None, None)
    dtype = activation_dtype or _INTEGERS[config.activation_dtype]
    scheme = QuantizationScheme.get_qscheme(config.quantization_scheme, is_per_channel=False)
    return Specs(config, _activation(config, dtype, scheme), _activation(config, dtype, torch.per_tensor_affine))
