"""coremltools' frontend for exported programs, with a progress bar on terminals alone.

coremltools converts all nodes in one loop, which draws a bar on standard error whether or not that is a terminal, and which no option quiets. The
steps around that loop are therefore taken here, for exported programs only: name the inputs, read the states, make the constants, convert the nodes,
write the states, return the outputs. How a constant or a node is converted stays coremltools' affair.
"""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil import mil
from coremltools.converters.mil.frontend.torch.converter import CompressionInfo, TorchConverter
from coremltools.converters.mil.frontend.torch.exir_utils import WRAPPED_SCALAR_INPUT_SUFFIX
from coremltools.converters.mil.frontend.torch.ops import convert_single_node
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Var, types
from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource
from torch.export.exported_program import ExportedProgram

from executorch_coreml.compiler import compressed_weights, progress
from executorch_coreml.compiler.compressed_weights import Compressions


def load(
    program: ExportedProgram,
    target: ct.target,
    *,
    inputs: list[ct.TensorType] | None,
    outputs: list[ct.TensorType] | None,
    float16_borders: bool,
    compressions: Compressions = MappingProxyType({}),
) -> mil.Program:
    """Makes a MIL program of an exported one; no pass has run on it. For a thread that holds coremltools' lock.

    Args:
        inputs, outputs: as of ct.convert.
        compressions: Of the parameters that were compressed, how: compressed_weights.of().
        float16_borders: Whether float32 inputs and outputs become float16 where `inputs` and `outputs` give no dtype.

    Raises:
        NotImplementedError: if there is no conversion of an operation.
        ValueError: if the program has what the target has not, such as states before iOS 18.
    """
    converter = _Converter(program, inputs, outputs, opset_version=target, use_default_fp16_io=float16_borders, states=[])
    converter.param_to_compression_info = dict(compressions)
    made: mil.Program = converter.convert()
    return made


def _origin(trace: Any) -> tuple[ScopeInfo, ScopeInfo]:
    """Where operations come from that belong to no node: MIL passes want the two to be said of each operation."""
    return (
        ScopeInfo(source=ScopeSource.EXIR_STACK_TRACE, data=trace),
        ScopeInfo(source=ScopeSource.EXIR_DEBUG_HANDLE, data=[None]),
    )


class _Converter(TorchConverter):
    """coremltools' converter, of which `convert` alone is another, for exported programs."""

    def convert(self) -> mil.Program:
        parameters = OrderedDict((spec.name, self._create_placeholder(spec)) for spec in self.inputs)
        with Function(parameters, opset_version=self.opset_version) as function:
            self._name_inputs(function)
            self._read_states()
            self.convert_const()
            self._convert_nodes()
            self._write_states()
            self._return_outputs(function)
        self._prog._add_essential_scope_source([ScopeSource.EXIR_STACK_TRACE, ScopeSource.EXIR_DEBUG_HANDLE])
        self._prog.validate(check_essential_scope=True)
        return self._prog

    def _name_inputs(self, function: Function) -> None:
        """Makes the function's parameters known by the graph's names, in the dtypes and with the rank that the graph has. Behind the inputs come
        the states, by their own names."""
        graph_names = list(self.graph.inputs)
        names = list(function.inputs)
        for graph_name, name in zip([*graph_names, *names[len(graph_names) :]], names, strict=True):
            var = function.inputs[name]
            if types.is_tensor(var.sym_type) or types.is_scalar(var.sym_type):
                var = self._in_dtype_of_graph(var, graph_name)
            scalar_name = graph_name.removesuffix(WRAPPED_SCALAR_INPUT_SUFFIX)
            if scalar_name != graph_name:
                # Core ML has no scalar inputs: coremltools declares a vector of one element.
                with mb.scope(*_origin(f"unwrap_scalar_input_{scalar_name}")):
                    var = mb.squeeze(x=var, name=scalar_name)
            self.context.add(var, torch_name=scalar_name)

    def _in_dtype_of_graph(self, var: Var, graph_name: str) -> Var:
        if var.dtype == types.fp16 and self.opset_version < ct.target.iOS16:
            raise ValueError("float16 inputs need minimum_deployment_target iOS16 or newer")
        dtype = self.graph.inputs[graph_name].dtype
        if var.dtype == dtype:
            return var
        with mb.scope(*_origin(graph_name)):
            return mb.cast(x=var, dtype=types.builtin_to_string(dtype))

    def _read_states(self) -> None:
        """The value of each state, as the input that the buffer is in the graph. States are float16, and the frontend computes in float32."""
        for input_name, buffer_name in self.graph.input_name_to_source_buffer_name.items():
            state = self.context[buffer_name]
            with mb.scope(*_origin(f"read_{buffer_name}")):
                self.context.add(mb.cast(x=mb.read_state(input=state), dtype="fp32", name=input_name))
            self.context.name_to_source_state[input_name] = state

    @staticmethod
    def _construct_sparsification_op(
        weight: np.ndarray, compression_info: CompressionInfo, name: str, compressed_var: Var | None = None
    ) -> Var:
        """The weights that are not 0. coremltools leaves out whatever float16's epsilon, 0.001, is above."""
        return compressed_weights.sparse(weight, name)

    def _add_const(self, name: str, val: Any) -> None:
        """A constant; a weight that was compressed in PyTorch as that form of it."""
        compressed = None
        if self._has_compression_info(name):
            compressed = compressed_weights.made(self, name, val)
            del self.param_to_compression_info[name]
        if compressed is None:
            super()._add_const(name, val)
        else:
            self.context.add(compressed, torch_name=name)

    def _convert_nodes(self) -> None:
        """Converts the nodes. Those behind the last output matter only where there are states, which they may write."""
        for node in progress.bar(self.graph.nodes, "Converting PyTorch Frontend ==> MIL Ops", "ops"):
            convert_single_node(self.context, node)
            if not self.states and self._has_outputs():
                break

    def _has_outputs(self) -> bool:
        try:
            for name in self.graph.outputs:
                self.context[name]
        except ValueError:  # How the context says that it does not know a name.
            return False
        return True

    def _write_states(self) -> None:
        for output_name, buffer_name in self.graph.output_name_to_target_buffer_name.items():
            state = self.context[buffer_name]
            with mb.scope(*_origin(f"write_{buffer_name}")):
                value = mb.cast(x=self.context[output_name], dtype=types.builtin_to_string(state.dtype))
                mb.coreml_update_state(state=state, value=value)

    def _return_outputs(self, function: Function) -> None:
        found = [self.context[name] for name in self.graph.outputs]
        returned = [var for var in found if var is not None]  # A program may return None, which a model cannot.
        if self.outputs is not None and len(self.outputs) != len(returned):
            raise ValueError(f"{len(self.outputs)} outputs are described, and the program has {len(returned)}")
        for var, name in zip(returned, self.output_names or [None] * len(returned), strict=True):
            if name is not None:
                var.name = name
        function.set_outputs(returned)
        self._prog.add_function("main", function)
        if self.use_default_fp16_io:
            self._adjust_default_output_to_fp16(returned)
        if self.outputs is not None:
            function.set_output_types(self.outputs)
        function.set_input_types(tuple(self.inputs))
