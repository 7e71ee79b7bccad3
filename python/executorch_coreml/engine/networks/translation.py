"""A network for inputs of given shapes as an ML Program.

Shapes are those of one prediction, so that everything a network computes of them (reshapeDynamic of getShape, sequences' lengths) is known, and the
program has static shapes. What depends on the inputs' values stays an operation, or is refused where an operation takes constants.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.backend.mil import load as backend
from coremltools.converters.mil.mil import Function, Program, Var, types

from executorch_coreml.engine import refusals
from executorch_coreml.engine.networks import (
    layers_convolution,
    layers_elementwise,
    layers_indexing,
    layers_linear,
    layers_normalization,
    layers_shape,
)
from executorch_coreml.engine.networks.layer import ARITY, HANDLERS, Layer, ValueNeededError, extents, mb

__all__ = ["FAMILIES", "ValueNeededError", "translate", "unknown_layers"]

FAMILIES = (layers_convolution, layers_elementwise, layers_indexing, layers_linear, layers_normalization, layers_shape)

_OPSET = ct.target.iOS16
# Layers that the translation itself has: their networks share its values.
_CONTROL = ("branch", "loop")
_MAX_DEPTH = 16
# Rounds of a loop, which is unrolled.
_MAX_ROUNDS = 256


class _Budget:
    """Layers that a network may have with its loops unrolled."""

    def __init__(self) -> None:
        self.left = 200_000


def unknown_layers(layers: Sequence[Any], depth: int = 0) -> list[str]:
    """What of these layers, and of those inside of them, is not translated: "NAME (KIND)", with the class of a custom layer."""
    found = []
    for layer in layers:
        kind = layer.WhichOneof("layer")
        if kind == "custom":
            found.append(f"{layer.name} (custom: {layer.custom.className})")
        elif kind == "loop" and (layer.loop.HasField("conditionNetwork") or layer.input):
            found.append(f"{layer.name} (loop with a condition)")
        elif kind in _CONTROL and depth < _MAX_DEPTH:
            for network in _networks_of(getattr(layer, kind)):
                found += unknown_layers(network.layers, depth + 1)
        elif kind not in HANDLERS:
            found.append(f"{layer.name} ({kind})")
    return found


def _networks_of(params: Any) -> list[Any]:
    return [network for field, network in params.ListFields() if field.message_type is not None]


def translate(
    layers: Sequence[Any],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Sequence[str],
    folder: pathlib.Path,
    artifact: str,
    known: Mapping[str, np.ndarray] | None = None,
) -> Any:
    """The Model message of an ML Program.

    Args:
        layers: NeuralNetworkLayer messages.
        inputs: Shapes by name, of float32; in the program they are in0, in1, ... in this order.
        outputs: Names of what is asked for; in the program out0, out1, ...
        folder: Of the weight file.
        artifact: What errors call the model.
        known: Of inputs, values that the program is for alone: what takes a shape from them is translated then.

    Raises:
        EngineError: for a layer that cannot be translated; it says which and why.
        ValueNeededError: for a layer that takes a shape, an axis or a threshold from inputs that are not known.
    """
    program = Program()
    placeholders = {f"in{index}": mb.placeholder(shape=shape, dtype=types.fp32) for index, shape in enumerate(inputs.values())}
    with Function(placeholders, opset_version=_OPSET) as function:
        values = {name: function.inputs[f"in{index}"] for index, name in enumerate(inputs)}
        values.update({name: mb.const(val=value) for name, value in (known or {}).items()})
        _run(layers, values, artifact, 0, _Budget())
        results = []
        for index, name in enumerate(outputs):
            if name not in values:
                raise refusals.corrupt("the network computes no such output", f"{name} of {artifact}")
            results.append(mb.identity(x=values[name], name=f"out{index}"))
        function.set_outputs(results)
    program.add_function("main", function)
    return backend.load(program, str(folder), specification_version=_OPSET.value)


def _run(layers: Sequence[Any], values: dict[str, Var], artifact: str, depth: int, budget: _Budget) -> None:
    """Adds what layers compute to the values."""
    for message in layers:
        budget.left -= 1
        if budget.left < 0:
            raise refusals.exhausted("the network has too many layers with its loops unrolled", artifact)
        kind = message.WhichOneof("layer")
        where = f"the layer {message.name} ({kind}) of {artifact}"
        missing = [name for name in message.input if name not in values]
        if missing:
            raise refusals.corrupt(f"the layer reads {missing[0]}, which nothing before it computes", where)
        if kind in _CONTROL:
            if depth >= _MAX_DEPTH:
                raise refusals.unsupported(f"networks are nested more than {_MAX_DEPTH} deep", where)
            (_branch if kind == "branch" else _loop)(message, values, artifact, depth, budget)
            continue
        if kind not in HANDLERS:
            raise refusals.unsupported("layers of this kind cannot be translated", where)
        fewest, most = ARITY[kind]
        if not fewest <= len(message.input) <= most:
            raise refusals.corrupt(f"the layer has {len(message.input)} inputs", where)
        layer = Layer(message.name, kind, getattr(message, kind), [values[name] for name in message.input], len(message.output))
        try:
            made = HANDLERS[kind](layer)
        except ValueNeededError as error:
            raise ValueNeededError(f"{error} [{where}]") from error
        except Exception as error:
            # coremltools' checks of types and shapes end with exceptions of every kind.
            raise refusals.unsupported(f"the layer cannot be translated: {error or type(error).__name__}"[:600], where) from error
        results = made if isinstance(made, list) else [made]
        if len(message.output) > len(results) or not message.output:
            raise refusals.corrupt(f"the layer has {len(message.output)} outputs where its kind has {len(results)}", where)
        for name, value in zip(message.output, results, strict=False):
            values[name] = value


def _branch(message: Any, values: dict[str, Var], artifact: str, depth: int, budget: _Budget) -> None:
    """What both networks give is visible after it; where there is no second one, what was there before stays."""
    params = message.branch
    where = f"the layer {message.name} (branch) of {artifact}"
    if len(message.input) != 1:
        raise refusals.corrupt(f"the layer has {len(message.input)} conditions", where)
    condition = values[message.input[0]]
    if condition.val is not None:
        is_true = abs(float(np.asarray(condition.val).reshape(-1)[0])) > 1e-6
        _run((params.ifBranch if is_true else params.elseBranch).layers, values, artifact, depth + 1, budget)
        return
    scopes: list[dict[str, Var]] = []
    written: list[str] = []

    def within(network: Any, names: list[str]) -> tuple[Var, ...]:
        scope = dict(values)
        _run(network.layers, scope, artifact, depth + 1, budget)
        scopes.append(scope)
        return tuple(mb.identity(x=scope[name]) for name in names)

    # Which names both have is known without translating them.
    sides = [{name for layer in network.layers for name in layer.output} for network in (params.ifBranch, params.elseBranch)]
    written = sorted((sides[0] & sides[1]) | ((sides[0] ^ sides[1]) & set(values)))
    if not written:
        return
    if int(np.prod(extents(condition))) != 1:
        raise refusals.corrupt(f"the condition has the shape {list(extents(condition))}", where)
    try:
        flag = mb.greater(x=mb.abs(x=mb.reshape(x=condition, shape=[1])), y=np.float32(1e-6))
        made = mb.cond(
            pred=mb.squeeze(x=flag, axes=[0]),
            _true_fn=lambda: within(params.ifBranch, written),
            _false_fn=lambda: within(params.elseBranch, written),
        )
    except ValueNeededError:
        raise
    except (ValueError, TypeError, AttributeError, AssertionError) as error:
        raise refusals.unsupported(f"the layer cannot be translated: {error}"[:600], where) from error
    for name, value in zip(written, made if isinstance(made, (tuple, list)) else [made], strict=True):
        values[name] = value


def _loop(message: Any, values: dict[str, Var], artifact: str, depth: int, budget: _Budget) -> None:
    params = message.loop
    where = f"the layer {message.name} (loop) of {artifact}"
    if params.HasField("conditionNetwork") or message.input:
        raise refusals.unsupported("loops with a condition, or with a computed number of rounds, cannot be translated", where)
    if params.maxLoopIterations > _MAX_ROUNDS:
        raise refusals.unsupported(
            f"loops are unrolled up to {_MAX_ROUNDS} rounds, and this one has {params.maxLoopIterations}", where
        )
    for _ in range(params.maxLoopIterations):
        _run(params.bodyNetwork.layers, values, artifact, depth + 1, budget)
