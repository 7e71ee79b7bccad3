"""`CoreMLQuantizer`: says how an exported program is to be quantized for Core ML."""

from __future__ import annotations

import logging
from typing import Any

import torch
from coremltools.optimize.torch.quantization.quantization_config import LinearQuantizerConfig
from torchao.quantization.pt2e.quantizer.quantizer import Quantizer

from executorch_coreml.logging import get_coreml_log_level
from executorch_coreml.quantizer.annotation import Annotator
from executorch_coreml.quantizer.entries import Resolver, module_paths
from executorch_coreml.quantizer.observers import unite_ranges
from executorch_coreml.quantizer.report import Report

logger = logging.getLogger("executorch.backends.apple.coreml.quantizer.coreml_quantizer")
logger.setLevel(get_coreml_log_level(default_level=logging.WARNING))

_ACTIVATION_DTYPES = (torch.int8, torch.uint8)


class CoreMLQuantizer(Quantizer):
    """Annotates an exported program for torchao's `prepare_pt2e` and `prepare_qat_pt2e`.

        config = LinearQuantizerConfig.from_dict({"global_config": {"quantization_scheme": "symmetric"}})
        quantizer = CoreMLQuantizer(config)
        prepared = prepare_pt2e(torch.export.export(model, inputs).module(), quantizer)
        prepared(*calibration_inputs)
        quantized = convert_pt2e(prepared)
        print(quantizer.report)

    The result is lowered like any other program, with minimum_deployment_target iOS17 or later. What is recognised is in patterns.py; what of it
    is quantized, and how, the configuration says (entries.py has the precedence). One pass over the graph, nothing is traced.

    `milestones` of the configuration are not used: pt2e's observers are switched with torchao's enable_observer and disable_observer.
    """

    def __init__(self, config: LinearQuantizerConfig | None, *, activation_dtype: torch.dtype | None = None) -> None:
        """
        Args:
            config: coremltools' configuration; None for its defaults (symmetric, int8 weights per channel, uint8 activations).
            activation_dtype: torch.int8 or torch.uint8 for all quantized activations; None for the configuration's own, which coremltools
                restricts to quint8.

        Raises:
            ValueError: the configuration asks for what this flow or Core ML cannot do; the message names the entry and what to write.
        """
        super().__init__()
        if config is not None and not isinstance(config, LinearQuantizerConfig):
            raise ValueError(
                f"config is a {type(config).__name__}; pass a coremltools.optimize.torch.quantization.LinearQuantizerConfig, such as "
                "LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(...))"
            )
        if activation_dtype is not None and activation_dtype not in _ACTIVATION_DTYPES:
            raise ValueError(
                f"activation_dtype is {activation_dtype}; Core ML quantizes activations to torch.int8 or torch.uint8, and "
                "ModuleLinearQuantizerConfig(activation_dtype=torch.float32) keeps them float"
            )
        self._resolver = Resolver(LinearQuantizerConfig() if config is None else config, activation_dtype)
        self._known_modules: set[str] = set()
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        """What became of the program annotated last.

        Raises RuntimeError when there is none.
        """
        if self._report is None:
            raise RuntimeError("nothing is annotated yet: call prepare_pt2e or prepare_qat_pt2e with this quantizer first")
        return self._report

    def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """Annotates the graph in place and returns the module; nodes that have an annotation keep it.

        Raises:
            ValueError: a name in module_name_configs is none of the program's.
        """
        # The bodies of loops are annotated after the program they are in, and have none of the other modules.
        self._known_modules |= module_paths(model)
        self._resolver.check_names(self._known_modules)
        model.graph.eliminate_dead_code()
        model.recompile()
        self._report = Annotator(model, self._resolver).run()
        for label in self._report.unused:
            logger.warning("%s quantized nothing; CoreMLQuantizer.report says why each op stayed float.", label)
        return model

    def prepare_obs_or_fq_callback(self, model: torch.fx.GraphModule, edge_or_node_to_obs_or_fq: dict[Any, Any]) -> None:
        """Gives tensors with shared parameters one range that holds them all; see observers.py."""
        unite_ranges(edge_or_node_to_obs_or_fq)

    def validate(self, model: torch.fx.GraphModule) -> None:
        """Nothing to check: every annotation is one that Core ML can express."""
