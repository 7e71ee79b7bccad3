"""`torch.cond` and `torch.while_loop` as MIL's `cond` and `while_loop`.

coremltools reads neither in an exported program, nor an attribute that is a graph. `prepare` puts the graphs of such a call into its metadata and
gives it a target of ours, whose converter builds the graphs as blocks of the operation. Constants of the surrounding program are constants in
the blocks, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.frontend.torch.converter import TranscriptionContext
from coremltools.converters.mil.frontend.torch.internal_graph import InternalTorchIRNode
from coremltools.converters.mil.frontend.torch.ops import convert_single_node
from coremltools.converters.mil.frontend.torch.utils import TorchFrontend
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Var, get_new_symbol, types
from torch._subclasses.fake_tensor import FakeTensor

from executorch_coreml.compiler import constants, coremltools_state, node_conversion
from executorch_coreml.compiler.correction_table import EVERYWHERE, OnDevices, correction
from executorch_coreml.compiler.mil_types import mil_dtype
from executorch_coreml.compiler.rewrites import rewrite

COND = torch.ops.higher_order.cond
WHILE_LOOP = torch.ops.higher_order.while_loop

# Key of a prepared call's meta: its graphs, as modules.
_GRAPHS = "coreml_delegate_graphs"


class _Target:
    """The target of a prepared call, which is converted and not run."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def name(self) -> str:
        return self.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a prepared graph can be converted, but not run")


_COND = _Target("coreml_delegate_cond")
_WHILE_LOOP = _Target("coreml_delegate_while_loop")


def _attribute(node: torch.fx.Node) -> Any:
    """What a `get_attr` node reads. ExecuTorch partitions a program without its values, but for numbers that it made tensors of."""
    value = getattr(node.graph.owning_module, str(node.target))
    if not isinstance(value, FakeTensor):
        return value
    return torch.ones((), dtype=value.dtype).expand(tuple(value.shape)) if value.constant is None else value.constant


def _prepare_graph(module: torch.fx.GraphModule, prefix: str, guarded: frozenset[OnDevices]) -> None:
    """Prepares a graph inside a call: its nodes' names become unlike all others, since they name MIL operations of one function."""
    for node in module.graph.nodes:
        if node.op != "output":
            node._rename(f"{prefix}_{node.name}")
    prepare(module, guarded)
    rewrite(module.graph)
    node_conversion.prepare(module.graph, guarded)


def prepare(module: torch.fx.GraphModule, guarded: frozenset[OnDevices]) -> None:
    """Makes the calls of control flow of a graph that is about to be converted convertible. The graph and those inside it change."""
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in (COND, WHILE_LOOP):
            continue
        if node.target is COND:
            predicate, first, second, operands = node.args
            target, arguments = _COND, (predicate, list(operands))
        else:
            first, second, carried, more = node.args
            target, arguments = _WHILE_LOOP, (list(carried), list(more))
        graphs = [_attribute(first), _attribute(second)]
        for index, graph in enumerate(graphs):
            _prepare_graph(graph, f"{node.name}_{index}", guarded)
        node.meta = {**node.meta, _GRAPHS: graphs}
        node.target, node.args = target, arguments
        for attribute in (first, second):
            if not attribute.users:
                module.graph.erase_node(attribute)


def _constant(value: torch.Tensor, name: str) -> Var:
    """A constant. One without dimensions has the type of a number, as the results of MIL operations have: a loop compares types."""
    return mb.const(val=value.detach().numpy()[()], name=name)


def _build(context: Any, graph: torch.fx.GraphModule, values: Sequence[Var]) -> list[Var]:
    """Builds a prepared graph, given the values of its inputs, and returns its results, each of which is made within it."""
    placeholders = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    context.push((placeholders, list(values)))
    try:
        results = []
        for node in graph.graph.nodes:
            if node.op == "get_attr":
                value = constants.widened(_attribute(node), next(iter(node.users)))
                context.add(_constant(value, node.name), torch_name=node.name)
            elif node.op == "call_function":
                convert_single_node(context, InternalTorchIRNode.from_exir_node(node=node))
            elif node.op == "output":
                # One that is handed on as it is, or twice, has to be a value of its own.
                results = [mb.identity(x=context[result.name]) for result in _flat(node.args[0])]
        return results
    finally:
        context.pop()


def _flat(results: Any) -> list[torch.fx.Node]:
    return [results] if isinstance(results, torch.fx.Node) else list(results)


def _scalar(predicate: Var) -> Var:
    return predicate if predicate.rank == 0 else mb.squeeze(x=predicate)


@correction(node_conversion.kind_of(_COND), reason="coremltools does not read graphs inside an exported program")
def _cond(context: Any, node: Any) -> None:
    predicate, operands = node.inputs
    values = [context[name] for name in operands]
    predicate = _scalar(context[predicate])
    true_graph, false_graph = node.meta[_GRAPHS]
    if predicate.val is not None:
        results = _build(context, true_graph if predicate.val else false_graph, values)
    else:
        made = mb.cond(
            pred=predicate,
            _true_fn=lambda: tuple(_build(context, true_graph, values)),
            _false_fn=lambda: tuple(_build(context, false_graph, values)),
            name=node.name,
        )
        results = list(made) if isinstance(made, (tuple, list)) else [made]
    context.add(tuple(results), node.name)


@correction(node_conversion.kind_of(_WHILE_LOOP), reason="coremltools does not read graphs inside an exported program")
def _while_loop(context: Any, node: Any) -> None:
    carried, more = ([context[name] for name in names] for names in node.inputs)
    condition, body = node.meta[_GRAPHS]
    made = mb.while_loop(
        _cond=lambda *values: _scalar(_build(context, condition, [*values, *more])[0]),
        _body=lambda *values: tuple(_build(context, body, [*values, *more])),
        loop_vars=tuple(carried),
        name=node.name,
    )
    context.add(tuple(made) if isinstance(made, (tuple, list)) else (made,), node.name)


def _input(value: torch.Tensor, symbol_of: Callable[[Any], Any]) -> Any:
    shape = [extent if isinstance(extent, int) else symbol_of(extent) for extent in value.shape]
    return mb.placeholder(shape or [1], dtype=types.string_to_builtin(mil_dtype(value.dtype)))


def why_not_converted(
    call: torch.fx.Node,
    known: Mapping[torch.fx.Node, torch.Tensor],
    target: ct.target | None,
    guarded: frozenset[OnDevices] = EVERYWHERE,
) -> str | None:
    """Why a call of `torch.cond` or `torch.while_loop` cannot be converted, in words; None where it can.

    Args:
        call: its operands are tensors of dtypes that MIL has, and every call in its graphs can be converted alone.
        known: the nodes whose values are constants.
        target: the deployment target; None is coremltools' default.
        guarded: which rows about devices hold.
    """
    module = torch.fx.GraphModule(torch.nn.Module(), torch.fx.Graph())
    copies: dict[torch.fx.Node, torch.fx.Node] = {}
    for source in call.all_input_nodes:
        if source.op == "get_attr":
            setattr(module, source.name, copy.deepcopy(_attribute(source)))
            copies[source] = module.graph.get_attr(source.name)
        else:
            copies[source] = module.graph.placeholder(source.name)
        copies[source].meta = dict(source.meta)
    copied = module.graph.node_copy(call, lambda source: copies[source])
    module.graph.output(copied)
    symbols: dict[str, Any] = {}
    with coremltools_state.exclusive(trying=True), np.errstate(all="ignore"):
        try:
            prepare(module, guarded)
            node_conversion.prepare(module.graph, guarded)
            given = {copies[node].name: node for node in copies if node.op != "get_attr"}
            placeholders = {
                name: _input(node.meta["val"], lambda extent: symbols.setdefault(str(extent), get_new_symbol()))
                for name, node in given.items()
                if node not in known
            }
            context = TranscriptionContext(frontend=TorchFrontend.EXECUTORCH)
            with Function(placeholders, opset_version=target or ct.target.iOS15) as function:
                for name, node in given.items():
                    if node in known:
                        value = _constant(known[node], name)
                    else:
                        value = function.inputs[name]
                        value = value if node.meta["val"].dim() else mb.squeeze(x=value)
                    context.add(value, torch_name=name)
                convert_single_node(context, InternalTorchIRNode.from_exir_node(node=copied))
        except Exception as error:  # Whatever a converter raises is its answer.
            return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    return None
