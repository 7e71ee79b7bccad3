"""The same weights compressed in a Core ML package and in an OpenVINO graph, to int8 or 4 bits.

Symmetric, rounded to nearest: int8 with a scale for each output channel, of every convolution and linear layer; int4 with a scale for each
32 elements of a row, of linear layers only (GPT-2's are matmul in MIL), as kernels for others do not exist on either side. It is what
coremltools.optimize writes, and what nncf.compress_weights' INT8_SYM and INT4_SYM write.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import model_zoo
import numpy as np
import torch

GROUP = 32
# Smaller weights gain nothing.
MINIMUM_ELEMENTS = 4096


def ours(entry: model_zoo.Entry, bits: int) -> Callable[[int], Callable[[], Any]]:
    """The portable engine on the package that coremltools compresses, to be loaded for a number of threads."""
    import coremltools as ct
    from coremltools.optimize import coreml as cto
    from executorch.backends.apple.coreml.runtime import _engine

    module, inputs = entry.build()
    program = torch.export.export(module, inputs).run_decompositions()
    model = ct.convert(program, minimum_deployment_target=ct.target.iOS18, skip_model_load=True)
    if bits == 8:
        config = cto.OptimizationConfig(
            global_config=cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", weight_threshold=MINIMUM_ELEMENTS)
        )
    else:
        four = cto.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=GROUP, weight_threshold=MINIMUM_ELEMENTS
        )
        config = cto.OptimizationConfig(op_type_configs={"linear": four, "matmul": four})
    model = cto.linear_quantize_weights(model, config)

    def load(threads: int) -> Callable[[], Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "compressed.mlpackage"
            model.save(str(path))
            loaded = _engine.load(str(path), threads=threads)
        feed = {
            spec["name"]: np.ascontiguousarray(x.numpy().astype(spec["dtype"]))
            for spec, x in zip(loaded.description["inputs"], inputs, strict=True)
        }
        return lambda: loaded.predict(feed)

    return load


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
