"""Which mutable buffers become Core ML states, and why the others stay ExecuTorch's.

A buffer that stays outside is an input and an output of the delegate, and ExecuTorch copies the result back: slower, and right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import coremltools as ct
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.export.exported_program import ExportedProgram

from executorch_coreml.compiler.compile_options import Options

_STATE_DTYPES = (torch.float16, torch.float32)


def mutated_placeholders(program: ExportedProgram) -> dict[torch.fx.Node, tuple[str, torch.fx.Node]]:
    """Placeholder of every mutable buffer -> the buffer's name, and the node whose result is written to it."""
    signature = program.graph_signature
    nodes = {node.name: node for node in program.graph.nodes}
    written = {buffer: nodes[result] for result, buffer in signature.buffers_to_mutate.items()}
    return {nodes[name]: (buffer, written[buffer]) for name, buffer in signature.inputs_to_buffers.items() if buffer in written}


def drop(program: ExportedProgram, placeholders: Collection[str]) -> None:
    """Takes constants that no call reads out of a program, by the names of their placeholders. ExecuTorch would write each into the .pte."""
    graph, signature = program.graph_module.graph, program.graph_signature
    for node in [node for node in graph.nodes if node.op == "placeholder" and node.name in placeholders]:
        graph.erase_node(node)
    program.graph_module.recompile()
    gone = {spec.target for spec in signature.input_specs if spec.arg.name in placeholders}
    signature.input_specs = [spec for spec in signature.input_specs if spec.arg.name not in placeholders]
    program._state_dict = {name: value for name, value in program.state_dict.items() if name not in gone}
    program._constants = {name: value for name, value in program.constants.items() if name not in gone}


def by_initial_value(program: ExportedProgram) -> tuple[set[str], set[str]]:
    """The mutable buffers that start as zeros, and those that do not, or of which it is not known."""
    mutable = set(program.graph_signature.buffers_to_mutate.values())
    values = {name: value for name, value in program.named_buffers() if name in mutable}
    zeros = {name for name, value in values.items() if not isinstance(value, FakeTensor) and not bool(torch.any(value != 0))}
    return zeros, mutable - zeros


def keep_initial_values(program: ExportedProgram, *, but: Collection[str]) -> None:
    """Has ExecuTorch write the initial values of mutable buffers into its program, which otherwise start from fresh memory.

    Args:
        but: Those that need none: they are states of Core ML, or start as zeros.
    """
    for placeholder, (name, _) in mutated_placeholders(program).items():
        if name not in but:
            placeholder.meta["et_init_buffer"] = True


def why_not_a_state(
    placeholder: torch.fx.Node,
    written: torch.fx.Node,
    tags: Mapping[torch.fx.Node, object],
    options: Options,
) -> str | None:
    """Why a buffer cannot become a state; None when it can.

    `tags` are the partitions of the nodes. The buffer's value is not known here, because ExecuTorch partitions a program without its weights;
    one that float16 cannot hold is refused by the compiler.
    """
    value = placeholder.meta["val"]
    if not options.targets(ct.target.iOS18):
        return "states need minimum_deployment_target iOS18"
    if value.dtype not in _STATE_DTYPES:
        return f"Core ML states are float16, and its dtype is {value.dtype}"
    if any(not isinstance(extent, int) for extent in value.shape) or value.numel() == 0:
        return f"its shape {tuple(value.shape)} is dynamic or empty"
    users = {tags.get(user) for user in placeholder.users if user.op != "output"} | {tags.get(written)}
    if None in users:
        return "an op that stays outside Core ML uses it"
    if len(users) > 1:
        return f"{len(users)} partitions use it"
    results: Any = written.graph.output_node().args[0]
    if results.count(written) > 1:
        return "its new value is also a result of the program, which ExecuTorch cannot delegate; return a computed copy, such as buffer + 0"
    return None
