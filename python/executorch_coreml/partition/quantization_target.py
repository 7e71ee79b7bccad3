"""The deployment target that a quantized program needs, demanded before anything is partitioned.

Below it the quantized values would stay outside Core ML, unpacked to floats: slower and larger than without quantization, and nobody told.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

import coremltools as ct
import torch
from torch.export.exported_program import ExportedProgram

from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.node_facts import op_name
from executorch_coreml.partition.node_view import NodeView

# Below this many values a weight is packed into less than a byte each, which Core ML does from iOS 18 on.
_VALUES_OF_A_BYTE = 256

Need = tuple[ct.target, str]


def _is_quantized_here(value: object) -> bool:
    """Whether a value is a quantized activation, which has 8 bits whatever its bounds are."""
    return isinstance(value, torch.fx.Node) and op_name(value.target).startswith("quantized_decomposed.quantize")


def _pt2e(view: NodeView) -> Need:
    lowest, highest = view.argument("quant_min"), view.argument("quant_max")
    is_weight = view.op.startswith("quantized_decomposed.dequantize") and not _is_quantized_here(view.argument("input"))
    if is_weight and isinstance(lowest, int) and isinstance(highest, int) and highest - lowest + 1 < _VALUES_OF_A_BYTE:
        return ct.target.iOS18, "weights of fewer than 8 bits"
    return ct.target.iOS17, "8-bit weights or activations of CoreMLQuantizer"


def _affine(view: NodeView) -> Need:
    lowest, highest, block = (view.argument(name) for name in ("quant_min", "quant_max", "block_size"))
    weight = view.tensor("input")
    if isinstance(lowest, int) and isinstance(highest, int) and highest - lowest + 1 < _VALUES_OF_A_BYTE:
        return ct.target.iOS18, "weights of fewer than 8 bits"
    if weight is not None and block is not None and list(block)[1:] != list(weight.shape)[1:]:
        return ct.target.iOS18, "weights quantized per group"
    return ct.target.iOS16, "8-bit weights"


def _codebook(view: NodeView) -> Need:
    tables, bits = view.tensor("codebook"), view.argument("nbits")
    if tables is not None and tuple(tables.shape[:2]) == (1, 1) and bits in (1, 2, 4, 6, 8):
        return ct.target.iOS16, "palettized weights"
    return ct.target.iOS18, "palettized weights of several tables"


_NEEDS = {
    "quantized_decomposed.quantize_per_tensor": _pt2e,
    "quantized_decomposed.quantize_per_channel": _pt2e,
    "quantized_decomposed.dequantize_per_tensor": _pt2e,
    "quantized_decomposed.dequantize_per_channel": _pt2e,
    "torchao.dequantize_affine": _affine,
    "quant.dequantize_codebook": _codebook,
}


def needs(program: ExportedProgram, options: Options) -> Iterator[tuple[str, Need]]:
    """The quantization ops of a program, ATen or edge, each with the lowest target that can express it, and what needs it."""
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        view = NodeView(node, options, frozenset())
        need = _NEEDS.get(view.op.rpartition(".")[0])
        if need is not None:
            yield view.op, need(view)


def check_quantization_target(program: ExportedProgram, options: Options, skipped: Container[str]) -> None:
    """Refuses a program whose quantization is above its deployment target; `skipped` ops are not Core ML's to express.

    Raises ValueError, which names the target to pass.
    """
    asked = [need for op, need in needs(program, options) if op not in skipped]
    if not asked:
        return
    target, what = max(asked, key=lambda need: need[0])
    if not options.targets(target):
        given = (
            f"minimum_deployment_target is {options.deployment_target.name}"
            if options.deployment_target
            else "none is set, so iOS15 is used"
        )
        raise ValueError(
            f"This program has {what}, which Core ML can express from minimum_deployment_target {target.name} on, and {given}: pass "
            f"compile_specs=CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.{target.name}) to CoreMLPartitioner."
        )
