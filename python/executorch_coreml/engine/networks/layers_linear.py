"""Matrix products, embeddings, and the recurrent layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Var

from executorch_coreml.engine.networks import weights
from executorch_coreml.engine.networks.layer import Layer, extents, integers, mb, rank_of, reshaped, translates
from executorch_coreml.engine.networks.layers_elementwise import activate


@translates("innerProduct")
def _inner_product(layer: Layer) -> Var:
    params = layer.params
    if params.int8DynamicQuantize:
        raise ValueError("products that are quantized while they run (int8DynamicQuantize) cannot be translated")
    shape = extents(layer.x)
    rank = rank_of(layer.x, 1)
    weight = layer.weights("weights", (params.outputChannels, params.inputChannels))
    options = {"bias": layer.weights("bias", [params.outputChannels])} if params.hasBias else {}
    images = rank >= 4
    lead = shape[:-3] if images else shape[:-1]
    size = math.prod(shape[-3:]) if images else shape[-1]
    if size != params.inputChannels:
        raise ValueError(f"{list(shape)} has vectors of {size}, not {params.inputChannels}")
    y = mb.linear(x=reshaped(layer.x, (max(1, math.prod(lead)), size)), weight=weight, **options)
    return reshaped(y, (*lead, params.outputChannels, 1, 1) if images else (*lead, params.outputChannels))


@translates("embedding", "embeddingND")
def _embedding(layer: Layer) -> Var:
    params = layer.params
    shape = extents(layer.x)
    is_nd = layer.kind == "embeddingND"
    words, size = (params.vocabSize, params.embeddingSize) if is_nd else (params.inputDim, params.outputChannels)
    trailing = 1 if is_nd else 3
    rank_of(layer.x, 2 if is_nd else 4)
    if set(shape[-trailing:]) != {1}:
        raise ValueError(f"{list(shape)} does not end with {trailing} times 1")
    table = np.ascontiguousarray(layer.weights("weights", (size, words)).T)
    if params.hasBias:
        table = table + layer.weights("bias", [size])
    lead = shape[:-trailing]
    y = mb.gather(x=table, indices=integers(reshaped(layer.x, (math.prod(lead),))), axis=0)
    return reshaped(y, (*lead, size, *([] if is_nd else [1, 1])))


@translates("batchedMatmul", inputs=(1, 2))
def _batched_matmul(layer: Layer) -> Var:
    params = layer.params
    if params.int8DynamicQuantize:
        raise ValueError("products that are quantized while they run (int8DynamicQuantize) cannot be translated")
    if len(layer.inputs) == 2:
        a, b = layer.inputs
        if a.rank == 1:
            a = mb.expand_dims(x=a, axes=[0])
        if b.rank == 1:
            b = mb.expand_dims(x=b, axes=[1])
        return mb.matmul(x=a, y=b, transpose_x=params.transposeA, transpose_y=params.transposeB)
    rows, columns = int(params.weightMatrixFirstDimension), int(params.weightMatrixSecondDimension)
    # Stored column by column, unlike other weights.
    weight = np.ascontiguousarray(layer.weights("weights", (columns, rows)).T)
    y = mb.matmul(x=layer.x, y=weight) if layer.x.rank > 1 else mb.matmul(x=mb.expand_dims(x=layer.x, axes=[0]), y=weight)
    if params.hasBias:
        y = mb.add(x=y, y=layer.weights("bias", [columns]))
    return y if layer.x.rank > 1 else reshaped(y, (columns,))


# --- Recurrent layers: unrolled by the engine's operations of one step, for sequences as long as they are ---

# What gates are clipped to before their activation, and a cell where nothing else is said.
_CLIP = np.float32(50)
_MAX_STEPS = 4096


class _Recurrence:
    """The input [Seq, Batch, size, 1, 1] of a recurrent layer, step by step."""

    def __init__(self, layer: Layer, size: int, output: int, is_reversed: bool) -> None:
        shape = extents(layer.x)
        if len(shape) != 5 or shape[2:] != (size, 1, 1):
            raise ValueError(f"{list(shape)} is not a sequence [sequence, batch, {size}, 1, 1]")
        if shape[0] > _MAX_STEPS:
            raise ValueError(f"a sequence of {shape[0]} steps; the limit is {_MAX_STEPS}")
        self.batch, self.output, self.is_reversed = shape[1], output, is_reversed
        self._x = reshaped(layer.x, shape[:3])
        self.steps = list(range(shape[0]))[:: -1 if is_reversed else 1]

    def projected(self, matrix: np.ndarray, bias: np.ndarray | None) -> list[Var]:
        """W x + b of every step, in the order of the steps: [batch, rows]."""
        options = {} if bias is None else {"bias": bias}
        whole = mb.linear(x=reshaped(self._x, (len(self.steps) * self.batch, self._x.shape[2])), weight=matrix, **options)
        parts = reshaped(whole, (len(self.steps), self.batch, matrix.shape[0]))
        if len(self.steps) == 1:
            return [reshaped(parts, (self.batch, matrix.shape[0]))]
        each = mb.split(x=parts, num_splits=len(self.steps), axis=0)
        return [reshaped(each[step], (self.batch, matrix.shape[0])) for step in self.steps]

    def state(self, x: Var | None) -> Var:
        """A given state as [batch, output], or zeros."""
        if x is None:
            return mb.const(val=np.zeros((self.batch, self.output), np.float32))
        return reshaped(x, (self.batch, self.output))

    def result(self, outputs: list[Var], is_sequence: bool) -> Var:
        """[Seq or 1, Batch, output, 1, 1] of the outputs by step."""
        if not is_sequence:
            return reshaped(outputs[-1], (1, self.batch, self.output, 1, 1))
        ordered = outputs[::-1] if self.is_reversed else outputs
        return reshaped(mb.stack(values=ordered, axis=0), (len(ordered), self.batch, self.output, 1, 1))


def _clipped(x: Var, limit: np.float32 = _CLIP) -> Var:
    return mb.clip(x=x, alpha=np.float32(-limit), beta=np.float32(limit))


def _gates(params: Any, gates: tuple[str, ...], suffix: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of the gates one under the other."""
    return np.concatenate([weights.read(getattr(params, f"{gate}{suffix}"), shape) for gate in gates])


@translates("simpleRecurrent", inputs=(1, 2))
def _simple_recurrent(layer: Layer) -> list[Var]:
    params = layer.params
    size, output = int(params.inputVectorSize), int(params.outputVectorSize)
    run = _Recurrence(layer, size, output, params.reverseInput)
    bias = layer.weights("biasVector", [output]) if params.hasBiasVector else None
    recursion = layer.weights("recursionMatrix", (output, output))
    y = run.state(layer.inputs[1] if len(layer.inputs) == 2 else None)
    outputs = []
    for step in run.projected(layer.weights("weightMatrix", (output, size)), bias):
        y = activate(params.activation, _clipped(mb.add(x=step, y=mb.linear(x=y, weight=recursion))))
        outputs.append(y)
    return [run.result(outputs, params.sequenceOutput), run.result([y], False)]


@translates("gru", inputs=(1, 2))
def _gru(layer: Layer) -> list[Var]:
    params = layer.params
    size, output = int(params.inputVectorSize), int(params.outputVectorSize)
    run = _Recurrence(layer, size, output, params.reverseInput)
    gates = ("updateGate", "resetGate", "outputGate")
    matrix = _gates(params, gates, "WeightMatrix", (output, size))
    recursions = [weights.read(getattr(params, f"{gate}RecursionMatrix"), (output, output)) for gate in gates]
    bias = _gates(params, gates, "BiasVector", (output,)) if params.hasBiasVectors else None
    if len(params.activations) != 2:
        raise ValueError(f"a GRU has {len(params.activations)} activations where it has two")
    f, g = params.activations
    y = run.state(layer.inputs[1] if len(layer.inputs) == 2 else None)
    outputs = []
    for step in run.projected(matrix, bias):
        update, reset, out = mb.split(x=step, num_splits=3, axis=1)
        update = activate(f, _clipped(mb.add(x=update, y=mb.linear(x=y, weight=recursions[0]))))
        reset = activate(f, _clipped(mb.add(x=reset, y=mb.linear(x=y, weight=recursions[1]))))
        out = activate(g, _clipped(mb.add(x=out, y=mb.linear(x=mb.mul(x=y, y=reset), weight=recursions[2]))))
        # (1 - z) o + z y
        y = mb.add(x=mb.mul(x=mb.sub(x=np.float32(1), y=update), y=out), y=mb.mul(x=update, y=y))
        outputs.append(y)
    return [run.result(outputs, params.sequenceOutput), run.result([y], False)]


_LSTM_GATES = ("inputGate", "forgetGate", "blockInput", "outputGate")


def _lstm(layer: Layer, message: Any, activations: Any, states: list[Var | None], is_reversed: bool) -> list[Any]:
    """[the output, the last output, the last cell] of one direction."""
    params, options = layer.params, layer.params.params
    size, output = int(params.inputVectorSize), int(params.outputVectorSize)
    run = _Recurrence(layer, size, output, is_reversed)
    if len(activations) != 3:
        raise ValueError(f"an LSTM has {len(activations)} activations where it has three")
    f, g, h = activations
    matrix = _gates(message, _LSTM_GATES, "WeightMatrix", (output, size))
    recursion = _gates(message, _LSTM_GATES, "RecursionMatrix", (output, output))
    bias = _gates(message, _LSTM_GATES, "BiasVector", (output,)) if options.hasBiasVectors else np.zeros(4 * output, np.float32)
    if options.forgetBias:
        bias[output : 2 * output] += 1
    peepholes = None
    if options.hasPeepholeVectors:
        peepholes = [
            weights.read(getattr(message, f"{gate}PeepholeVector"), [output]) for gate in ("inputGate", "forgetGate", "outputGate")
        ]
    limit = np.float32(options.cellClipThreshold or 50)
    y, cell = run.state(states[0]), run.state(states[1])
    outputs = []
    for step in run.projected(matrix, bias):
        i, forget, z, o = mb.split(x=mb.add(x=step, y=mb.linear(x=y, weight=recursion)), num_splits=4, axis=1)
        if peepholes is not None:
            i, forget = mb.add(x=i, y=mb.mul(x=cell, y=peepholes[0])), mb.add(x=forget, y=mb.mul(x=cell, y=peepholes[1]))
        i, z = activate(f, _clipped(i)), activate(g, _clipped(z))
        if options.coupledInputAndForgetGate:
            kept = mb.mul(x=cell, y=mb.sub(x=np.float32(1), y=i))
        else:
            kept = mb.mul(x=cell, y=activate(f, _clipped(forget)))
        cell = _clipped(mb.add(x=kept, y=mb.mul(x=i, y=z)), limit)
        if peepholes is not None:
            o = mb.add(x=o, y=mb.mul(x=cell, y=peepholes[2]))
        y = mb.mul(x=activate(h, cell), y=activate(f, _clipped(o)))
        outputs.append(y)
    return [run.result(outputs, options.sequenceOutput), run.result([y], False), run.result([cell], False)]


@translates("uniDirectionalLSTM", inputs=(1, 3))
def _unidirectional(layer: Layer) -> list[Var]:
    states: list[Var | None] = [*layer.inputs[1:], None, None][:2]
    return _lstm(layer, layer.params.weightParams, layer.params.activations, states, layer.params.reverseInput)


@translates("biDirectionalLSTM", inputs=(1, 5))
def _bidirectional(layer: Layer) -> list[Var]:
    params = layer.params
    if len(params.weightParams) != 2:
        raise ValueError(f"there are weights of {len(params.weightParams)} directions")
    states: list[Var | None] = [*layer.inputs[1:], None, None, None, None][:4]
    forward = _lstm(layer, params.weightParams[0], params.activationsForwardLSTM, states[:2], False)
    backward = _lstm(layer, params.weightParams[1], params.activationsBackwardLSTM, states[2:], True)
    return [mb.concat(values=[forward[0], backward[0]], axis=2), *forward[1:], *backward[1:]]
