"""Core ML as a backend of transformers' own exporters (transformers 5.23 and newer).

    import executorch_coreml.huggingface as huggingface
    from transformers.exporters import ExportedModel

    exporter = huggingface.CoreMLExporter()
    exported = exporter.export(model, inputs, huggingface.CoreMLConfig())
    exported.save_pretrained("folder")                       # model.pte, its metadata and the model's configuration
    ExportedModel.from_pretrained("folder")(**inputs)

The import registers the export format "coreml" with `transformers.exporters.auto.register_backend`, so that `AutoHfExporter`, `AutoExportConfig` and
`ExportedModel.from_pretrained` know it, and the backend "coreml" of transformers' ExecuTorch exporter: `ExecutorchConfig(backend="coreml")` has the
defaults of CoreMLConfig.
"""

from __future__ import annotations

import contextvars
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import coremltools as ct
from transformers.exporters import exporter_executorch
from transformers.exporters.auto import EXPORT_BACKENDS, register_backend
from transformers.exporters.configs import ExecutorchConfig
from transformers.exporters.exporter_executorch import ExecutorchExporter
from transformers.exporters.runners.runner_executorch import ExecutorchModelRunner

import executorch_coreml.runtime  # noqa: F401  (registers the delegate, which runs what is exported)
from executorch_coreml.compiler import CoreMLBackend
from executorch_coreml.partition import CoreMLPartitioner

__all__ = ["FORMAT", "CoreMLConfig", "CoreMLExporter"]

# The name of the export format, and of the backend of transformers' ExecuTorch exporter.
FORMAT = "coreml"


@dataclass
class CoreMLConfig(ExecutorchConfig):
    """What ExecutorchConfig has (dynamic, strict, dynamic_shapes, ...), and how the program is lowered.

    Args:
        minimum_deployment_target: The name of a member of coremltools.target, such as "iOS18", the oldest system that runs the program. Caches that are
            part of the model need iOS 18.
        compute_precision: "float16" or "float32": of weights and arithmetic. Inputs and outputs keep the dtypes of the model.
        lower_full_graph: Whether to raise NotImplementedError if anything has to stay outside Core ML.
    """

    export_format: str = FORMAT
    backend: str = FORMAT
    minimum_deployment_target: str = "iOS18"
    compute_precision: str = "float16"
    lower_full_graph: bool = False

    def partitioner(self) -> CoreMLPartitioner:
        """Raises ValueError for a target or a precision that does not exist."""
        targets = {target.name: target for target in ct.target}
        precisions = {precision.name.lower(): precision for precision in ct.precision}
        for name, value, known in (
            ("minimum_deployment_target", self.minimum_deployment_target, targets),
            ("compute_precision", self.compute_precision, precisions),
        ):
            if value not in known:
                raise ValueError(f"{name} of CoreMLConfig is {value!r}; use one of {', '.join(known)}")
        specs = CoreMLBackend.generate_compile_specs(
            minimum_deployment_target=targets[self.minimum_deployment_target],
            compute_precision=precisions[self.compute_precision],
        )
        return CoreMLPartitioner(compile_specs=specs, lower_full_graph=self.lower_full_graph)


# transformers hands a backend the model and the inputs, but not the configuration.
_config: contextvars.ContextVar[CoreMLConfig | None] = contextvars.ContextVar("config", default=None)


def _prepare(model: Any, sample_inputs: MutableMapping[str, Any]) -> tuple[Any, Any, list[CoreMLPartitioner]]:
    """As transformers' own backends do: the model on the CPU, inputs that ExecuTorch takes, and the partitioners."""
    config = _config.get() or CoreMLConfig()
    if getattr(model, "_can_set_experts_implementation", lambda: False)():
        # As transformers' other backends: the grouped product counts tokens by histc, which ExecuTorch refuses.
        model.set_experts_implementation("batched_mm")
    model.requires_grad_(False)
    return model.to(device="cpu"), exporter_executorch._make_contiguous(sample_inputs), [config.partitioner()]


class CoreMLExporter(ExecutorchExporter):
    """Exports a model of transformers to a .pte that runs in Core ML.

    `export(model, inputs, CoreMLConfig())` gives an ExportedModel whose program is an ExecutorchProgramManager; `export_for_generation` one with a
    program for each stage.
    """

    export_format = FORMAT
    config_class = CoreMLConfig

    def export_program(self, model: Any, sample_inputs: MutableMapping[str, Any], config: Any) -> Any:
        token = _config.set(config if isinstance(config, CoreMLConfig) else None)
        try:
            return super().export_program(model, sample_inputs, config)
        finally:
            _config.reset(token)


exporter_executorch._BACKEND_PREPARE[FORMAT] = _prepare
if FORMAT not in EXPORT_BACKENDS:
    register_backend(CoreMLExporter, ExecutorchModelRunner)
