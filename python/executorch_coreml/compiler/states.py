"""Mutable buffers as Core ML states: their dtype on the device, and the value they start from.

A Core ML state starts at zero and holds float16; coremltools drops the buffer's initial value. The blob carries it instead, and the
runtime writes it into the state before the first prediction.
"""

from __future__ import annotations

import numpy as np
import torch
from coremltools.proto import Model_pb2
from torch.export.exported_program import ExportedProgram

from executorch_coreml import blob

# Where initial values lie among the blob's files.
FOLDER = "Data/executorch/states"


def mutated_buffers(program: ExportedProgram) -> dict[str, torch.Tensor]:
    """Name and initial value of every buffer that the program changes."""
    mutated = set(program.graph_signature.buffers_to_mutate.values())
    return {name: value for name, value in zip(program.graph_signature.buffers, program.buffers(), strict=True) if name in mutated}


def _model_name(buffer: str) -> str:
    """The name coremltools gives to the state of a buffer."""
    return buffer.replace(".", "_")


def separate_names(program: ExportedProgram) -> None:
    """Gives nodes that are called like a state other names: coremltools knows values by name, and a state is called like its buffer."""
    signature = program.graph_signature
    states = {_model_name(buffer) for buffer in mutated_buffers(program)}
    own = {name for name, buffer in signature.inputs_to_buffers.items() if _model_name(buffer) == name}
    for node in program.graph.nodes:
        if node.name in states and node.name not in own:
            old = node.name
            node._rename(f"{old}_value")
            signature.replace_all_uses(old, node.name)


def read_as_declared(program: ExportedProgram) -> None:
    """Casts what is read of float16 buffers to float16: coremltools gives float32 of every state, and float16 calls behind it would not convert."""
    graph = program.graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    mutated = mutated_buffers(program)
    for node in placeholders:
        buffer = program.graph_signature.inputs_to_buffers.get(node.name)
        if buffer not in mutated or mutated[buffer].dtype != torch.float16:
            continue
        with graph.inserting_after(placeholders[-1]):
            read = graph.call_function(torch.ops.aten._to_copy.default, (node,), {"dtype": torch.float16})
        read.meta = dict(node.meta)
        node.replace_all_uses_with(read, delete_user_cb=lambda user, read=read: user is not read)


def initial_value(buffer: str, value: torch.Tensor) -> np.ndarray | None:
    """A buffer's value in the dtype of a state; None when it is zero.

    Raises ValueError for a value that float16 cannot hold.
    """
    array = value.detach().cpu().contiguous().numpy()
    if not np.any(array):
        return None
    with np.errstate(over="ignore"):
        converted = array.astype("<f2")
    if np.any(np.isinf(converted) & np.isfinite(array)):
        raise ValueError(
            f"The mutable buffer {buffer!r} starts with a value beyond float16's range ({float(np.abs(array).max()):g}), and Core ML states "
            "are float16. Scale it, or keep mutable buffers outside with CoreMLPartitioner(take_over_mutable_buffer=False)."
        )
    return converted


def describe_states(
    program: ExportedProgram, descriptions: list[Model_pb2.FeatureDescription]
) -> tuple[list[blob.State], list[blob.File]]:
    """The states of a function, and the files with the values that are not zero.

    Raises ValueError when a state belongs to no buffer or its value does not fit.
    """
    buffers = {_model_name(name): (name, value) for name, value in mutated_buffers(program).items()}
    states, files = [], []
    for description in descriptions:
        if description.name not in buffers:
            raise ValueError(f"The state {description.name!r} is not a mutable buffer of the partition: {sorted(buffers)}")
        name, value = buffers[description.name]
        tensor = blob.Tensor(
            description.name,
            blob.DataType.FLOAT16,
            tuple(blob.Dimension.fixed(int(extent)) for extent in description.type.stateType.arrayType.shape),
        )
        array = initial_value(name, value)
        path = ""
        if array is not None:
            path = f"{FOLDER}/{description.name}.bin"
            files.append(blob.File(path, blob.InlineBytes(array.tobytes())))
        states.append(blob.State(tensor, path))
    return states, files
