"""Tries the conversion of one call, before anything is promised.

The partitioner's yes rests on it: a call is converted alone, given MIL values of the types that the exported program says, and what comes out is
held to the type that the program says of the result (node_conversion.py). Since the same is asserted of every node when the partition is
converted, what a call is given there is what it was given here, and a composition of calls that were taken converts too.

Only coremltools' frontend runs, for one call of each kind, shape and literal arguments: some milliseconds each.
"""

from __future__ import annotations

import collections
import hashlib
import operator
import threading
from collections.abc import Callable, Mapping
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.frontend.torch.converter import TranscriptionContext
from coremltools.converters.mil.frontend.torch.internal_graph import InternalTorchIRNode
from coremltools.converters.mil.frontend.torch.ops import convert_single_node
from coremltools.converters.mil.frontend.torch.utils import TorchFrontend
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, get_new_symbol, types

from executorch_coreml.compiler import constants, coremltools_state, high_rank, node_conversion
from executorch_coreml.compiler.correction_table import EVERYWHERE, OnDevices
from executorch_coreml.compiler.high_rank_forms import MAXIMUM_RANK
from executorch_coreml.compiler.mil_types import mil_dtype
from executorch_coreml.compiler.rewrites import rewrite

# Constants of more elements are not looked at: their first element stands for all, which takes no memory.
_SMALL = 256
# Calls behind one that only compute constants or extents, which coremltools folds, and which are tried with it.
_MOST_CALLS = 64
_REMEMBERED = 20_000

# Gives the value of a placeholder or of a get_attr node that is known ahead of time, else None.
_Constants = Callable[[torch.fx.Node], torch.Tensor | None]


# What these make depends on the shape of a tensor alone: where that is fixed, coremltools knows the result.
_OF_A_SHAPE = frozenset({"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"})


class _NotTried(Exception):
    """A call that cannot be looked at alone."""


def _has_converter(node: torch.fx.Node) -> bool:
    return node_conversion.converter_of(node_conversion.kind_of(node.target)) is not None


def _is_of_a_fixed_shape(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    is_fixed = isinstance(value, torch.Tensor) and all(isinstance(extent, int) for extent in value.shape)
    return is_fixed and node_conversion.kind_of(node.target) in _OF_A_SHAPE


class _Closure:
    """A call with what has to be converted with it: the calls that compute its constants, and extents of its tensors."""

    def __init__(self, node: torch.fx.Node, known: _Constants) -> None:
        self._value_of = known
        self.calls: dict[torch.fx.Node, None] = {}
        self.inputs: dict[torch.fx.Node, torch.Tensor | None] = {}
        self._known: dict[torch.fx.Node, bool] = {}
        self._add_call(node)

    def _is_constant(self, node: torch.fx.Node) -> bool:
        """Whether coremltools will know the value of a node when it converts its users."""
        if node not in self._known:
            if node.op in ("placeholder", "get_attr"):
                self._known[node] = self._value_of(node) is not None
            elif len(self._known) > _MOST_CALLS or node.op != "call_function" or not _has_converter(node):
                self._known[node] = False  # What has no converter stays outside: its result arrives as an input.
            else:
                self._known[node] = False  # Ends the walk through a cycle, which a graph does not have.
                self._known[node] = _is_of_a_fixed_shape(node) or all(self._is_constant(source) for source in node.all_input_nodes)
        return self._known[node]

    def _add_call(self, node: torch.fx.Node) -> None:
        for source in node.all_input_nodes:
            if source in self.calls or source in self.inputs:
                continue
            value = source.meta.get("val")
            if source.op in ("placeholder", "get_attr") or (isinstance(value, torch.Tensor) and not self._is_constant(source)):
                if not isinstance(value, torch.Tensor):
                    raise _NotTried
                self.inputs[source] = self._value_of(source) if source.op != "call_function" else None
            else:
                self._add_call(source)
        if len(self.calls) >= _MOST_CALLS:
            raise _NotTried
        self.calls[node] = None


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{[str(extent) for extent in value.shape]}"
    if isinstance(value, (list, tuple)):
        return f"({','.join(map(_described, value))})"
    return str(value)


def _key(closure: _Closure, target: ct.target, guarded: frozenset[OnDevices]) -> str:
    """The same for calls that convert alike."""
    names = {node: f"%{index}" for index, node in enumerate((*closure.inputs, *closure.calls))}
    lines = [str(target), str(sorted(device.value for device in guarded))]
    for node, constant in closure.inputs.items():
        lines.append(f"{names[node]}: {_described(node.meta.get('val'))}")
        if constant is not None:
            content = constant.detach() if constant.numel() <= _SMALL else constant.detach().reshape(-1)[:1]
            lines.append(f"= {content.float().flatten().tolist()} {content.flatten().tolist()}")
    for node in closure.calls:
        arguments = torch.fx.node.map_arg((node.args, node.kwargs), lambda source: names[source])
        read = sorted(int(str(user.args[1])) for user in node.users if user.target is operator.getitem)
        lines.append(f"{names[node]}: {_described(node.meta.get('val'))} = {node.target}{arguments} {read}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _reshaped(graph: torch.fx.Graph, source: torch.fx.Node, call: torch.fx.Node, shape: list[int]) -> torch.fx.Node:
    view = graph.call_function(high_rank.operator_of(call, "view_copy"), (source, shape))
    view.meta = {"val": source.meta["val"].new_empty(shape)}
    return view


def _graph(closure: _Closure) -> torch.fx.Graph:
    """The calls, between inputs and a result of at most five dimensions: others come and go as their elements in a row, as high_rank.py has them."""
    graph = torch.fx.Graph()
    copies: dict[torch.fx.Node, torch.fx.Node] = {}
    high = [node for node in closure.inputs if node.meta["val"].dim() > MAXIMUM_RANK]
    for node in closure.inputs:
        copies[node] = graph.placeholder(node.name)
        copies[node].meta = dict(node.meta)
        if node in high:
            copies[node].meta = {"val": node.meta["val"].new_empty([node.meta["val"].numel()])}
    for node in high:
        copies[node] = _reshaped(graph, copies[node], next(iter(closure.calls)), list(node.meta["val"].shape))
    for node in closure.calls:
        copies[node] = graph.node_copy(node, lambda source: copies[source])
        copies[node].meta = dict(node.meta)
    result = copies[node]
    value = result.meta.get("val")
    if isinstance(value, torch.Tensor) and value.dim() > MAXIMUM_RANK:
        result = _reshaped(graph, result, node, [value.numel()])
    graph.output(result)
    return graph


class _Symbols:
    """MIL's symbols for torch's."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def extent(self, extent: int | torch.SymInt) -> Any:
        """A number, or one symbol for each expression: a partition's inputs have no expressions either."""
        if isinstance(extent, int):
            return extent
        expression = extent.node.expr
        return int(expression) if expression.is_Integer else self._made.setdefault(str(expression), get_new_symbol())


def _array(tensor: torch.Tensor) -> np.ndarray:
    """What coremltools is given of a constant: its own values where there are few, else as many of the first."""
    tensor = tensor.detach()
    if tensor.numel() > _SMALL:
        return np.broadcast_to(tensor.reshape(-1)[:1].numpy(), tuple(tensor.shape))
    return tensor.contiguous().numpy()


def _placeholder(tensor: torch.Tensor, symbols: _Symbols) -> Any:
    dtype = mil_dtype(tensor.dtype)
    if dtype is None or tensor.dim() > MAXIMUM_RANK:
        raise _NotTried
    # A function has no inputs of rank 0: those are squeezed.
    return mb.placeholder([symbols.extent(extent) for extent in tensor.shape] or [1], dtype=types.string_to_builtin(dtype))


def _convert(closure: _Closure, target: ct.target, guarded: frozenset[OnDevices]) -> None:
    graph = _graph(closure)
    # By the names of the copies: torch.fx gives no node the name of something in Python, such as `input`.
    placeholders = [node.name for node in graph.nodes if node.op == "placeholder"]
    given = list(zip(placeholders, closure.inputs.items(), strict=True))
    rewrite(graph)
    node_conversion.prepare(graph, guarded)
    symbols = _Symbols()
    computed = {name: node.meta["val"] for name, (node, constant) in given if constant is None}
    context = TranscriptionContext(frontend=TorchFrontend.EXECUTORCH)
    inputs = {name: _placeholder(value, symbols) for name, value in computed.items()}
    with Function(inputs, opset_version=target) as function:
        for name, value in computed.items():
            context.add(function.inputs[name] if value.dim() else mb.squeeze(x=function.inputs[name]), torch_name=name)
        for name, (source, constant) in given:
            if constant is not None:
                user = next(user for user in source.users if user in closure.calls)
                context.add(mb.const(val=_array(constants.widened(constant, user)), name=name), torch_name=name)
        for node in graph.nodes:
            if node.op == "call_function":
                convert_single_node(context, InternalTorchIRNode.from_exir_node(node=node))


_results: collections.OrderedDict[str, str | None] = collections.OrderedDict()
_results_lock = threading.Lock()


def _first_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text if isinstance(error, node_conversion.ConversionError) else f"{type(error).__name__}: {text}"[:200]


def why_not_converted(
    node: torch.fx.Node,
    known: Mapping[torch.fx.Node, torch.Tensor],
    target: ct.target | None,
    guarded: frozenset[OnDevices] = EVERYWHERE,
) -> str | None:
    """Why the conversion of a call fails, or what else than torch's result it gives, in words; None where it is right.

    Args:
        node: a call of an edge or an ATen program, with `meta["val"]`. What cannot be looked at alone is None, too.
        known: the placeholders and attributes whose values are known.
        target: the deployment target; None is coremltools' default.
        guarded: which rows about devices hold.
    """
    target = target or ct.target.iOS15
    try:
        closure = _Closure(node, known.get)
        key = _key(closure, target, guarded)
    except _NotTried:
        return None
    with _results_lock:
        if key in _results:
            _results.move_to_end(key)
            return _results[key]
    result = None
    with coremltools_state.exclusive(trying=True), np.errstate(all="ignore"):
        try:
            _convert(closure, target, guarded)
        except _NotTried:
            pass
        except Exception as error:  # Whatever a converter raises is its answer.
            result = _first_line(error)
    with _results_lock:
        _results[key] = result
        if len(_results) > _REMEMBERED:
            _results.popitem(last=False)
    return result
