"""The same weights compressed in a Core ML package and in an OpenVINO graph, to int8 or 4 bits.

Symmetric, rounded to nearest: int8 with a scale for each output channel; int4 with a scale for each 32 elements of a row. It is what
coremltools.optimize writes, and what nncf.compress_weights' INT8_SYM and INT4_SYM write. Kernels for compressed weights exist for products
of matrices only: OpenVINO's convolutions are left dense for int4, and ours, which the package holds compressed, are expanded when it is loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GROUP = 32
# Smaller weights gain nothing.
MINIMUM_ELEMENTS = 4096


def compile_options(bits: int) -> tuple[dict[str, Any], str]:
    """Arguments of CoreMLBackend.generate_compile_specs(), and the deployment target that they need."""
    config: dict[str, Any] = {"mode": "linear_symmetric", "dtype": f"int{bits}", "weight_threshold": MINIMUM_ELEMENTS}
    if bits == 4:
        config |= {"granularity": "per_block", "block_size": GROUP}
    return {"op_linear_quantizer_config": config}, "iOS18" if bits == 4 else "iOS16"


def compress_openvino(model: Any, bits: int) -> int:
    """Replaces the weights of an ov.Model by compressed ones; returns how many."""
    import openvino as ov
    from openvino import opset13 as op

    weighted = {"MatMul": (bits, 1), "Convolution": (8, 1)} if bits == 8 else {"MatMul": (bits, 1)}
    replaced = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() not in weighted:
            continue
        source = node.input(weighted[node.get_type_name()][1]).get_source_output()
        constant = source.get_node()
        if constant.get_type_name() == "Convert":
            constant = constant.input_value(0).get_node()
        if constant.get_type_name() != "Constant" or np.prod(constant.shape) < MINIMUM_ELEMENTS:
            continue
        values = constant.get_data().astype(np.float32)
        if node.get_type_name() == "MatMul":
            if values.ndim != 2:
                continue
            if not node.get_attributes()["transpose_b"]:
                values = np.ascontiguousarray(values.T)
        compressed = _decompressed(values, bits)
        if compressed is None:
            continue
        weight = compressed.output(0)
        if node.get_type_name() == "MatMul":
            new = op.matmul(node.input_value(0), weight, node.get_attributes()["transpose_a"], True)
            new.set_friendly_name(node.get_friendly_name())
            ov.utils.replace_node(node, new) if hasattr(ov.utils, "replace_node") else node.output(0).replace(new.output(0))
        else:
            node.input(1).replace_source_output(weight)
        replaced += 1
    model.validate_nodes_and_infer_types()
    return replaced


def _decompressed(values: np.ndarray, bits: int) -> Any:
    """Nodes that give back `values` from their compressed form; None where rows are no multiple of the group."""
    import openvino as ov
    from openvino import opset13 as op

    rows = values.shape[0]
    grouped = values.reshape(rows, -1)
    if bits == 4:
        if grouped.shape[1] % GROUP:
            return None
        grouped = grouped.reshape(rows, -1, GROUP)
    limit = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(grouped).max(axis=-1, keepdims=True), 1e-8) / limit
    quantized = np.clip(np.rint(grouped / scale), -limit - 1, limit).astype(np.int8)
    if bits == 4:
        flat = quantized.reshape(-1).view(np.uint8) & 15
        packed = (flat[0::2] | flat[1::2] << 4).astype(np.uint8)
        # A copy: the tensor borrows the array, and the constant would borrow it on.
        data = op.constant(ov.Tensor(packed, list(quantized.shape), ov.Type.i4), shared_memory=False)
    else:
        shape = values.shape
        quantized, scale = quantized.reshape(shape), scale.reshape(rows, *[1] * (len(shape) - 1))
        data = op.constant(quantized)
    result = op.multiply(op.convert(data, np.float32), op.constant(scale.astype(np.float32)))
    return op.reshape(result, list(values.shape), False) if bits == 4 else result
