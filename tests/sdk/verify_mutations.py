"""Planting a fault in the model package inside a .pte, as in MIL a converter or a pass could have made it.

A mutation changes one constant that one operation reads (others that read it keep what they had), or puts two multiplications behind an
operation that cancel unless their intermediate value overflows float16.
"""

from __future__ import annotations

import copy
import dataclasses
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from coremltools.proto import MIL_pb2, Model_pb2
from executorch.backends.apple.coreml import blob
from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

KINDS = ("constant", "weight", "axis", "epsilon", "overflow")
_SPECIFICATION = "Data/com.apple.CoreML/model.mlmodel"
_AXES = ("axis", "axes", "perm")
_DTYPES = {
    MIL_pb2.FLOAT16: np.dtype(np.float16),
    MIL_pb2.FLOAT32: np.dtype(np.float32),
    MIL_pb2.INT32: np.dtype(np.int32),
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A program with a fault. operation: type and output of the mutated operation; consumers: outputs of those that read it."""

    program: bytes
    kind: str
    operation: tuple[str, str]
    # For people.
    what: str
    names: frozenset[str]
    consumers: frozenset[str]


class Victim:
    """A .pte of this exporter with one delegate, to be mutated."""

    def __init__(self, program: bytes) -> None:
        self._file = deserialize_pte_binary(program)
        (self._data,) = self._file.program.backend_delegate_data
        named = self._file.named_data
        found = {key: bytes(named.buffers[entry.buffer_index]) for key, entry in named.pte_data.items()} if named else {}
        self._blob, _ = blob.open_delegate_call(bytes(self._data.data), named_data=found.get)
        self._files = {file.path: b"".join(bytes(c) for c in file.content.chunks()) for file in self._blob.files}
        self._specification = Model_pb2.Model.FromString(self._files[_SPECIFICATION])

    def sites(self) -> list[tuple[str, int, str]]:
        """(kind, index of the operation, its parameter) of all that may be mutated, in the order of the program."""
        operations = _body(self._specification).operations
        constants = {op.outputs[0].name: op for op in operations if op.type == "const"}
        returned = set(_body(self._specification).outputs)
        found = []
        for index, operation in enumerate(operations):
            if operation.type in ("const", "cast"):
                continue
            for parameter, argument in sorted(operation.inputs.items()):
                names = [a.name for a in argument.arguments]
                if len(names) == 1 and names[0] in constants:
                    kind = _kind(parameter, constants[names[0]].outputs[0].type.tensorType)
                    if kind:
                        found.append((kind, index, parameter))
            output = operation.outputs[0]
            if len(operation.outputs) == 1 and output.type.tensorType.dataType == MIL_pb2.FLOAT16 and output.name not in returned:
                found.append(("overflow", index, ""))
        return found

    def mutate(self, site: tuple[str, int, str], generator: random.Random) -> Mutant | None:
        """The program with a fault at a site; None where the site allows no change."""
        kind, index, parameter = site
        specification = copy.deepcopy(self._specification)
        body = _body(specification)
        operation = body.operations[index]
        if kind == "overflow":
            names, what = _plant_overflow(body, index)
        else:
            constant = next(op for op in body.operations if op.outputs[0].name == operation.inputs[parameter].arguments[0].name)
            value = self._value(constant)
            changed, what = _change(kind, value, generator)
            if changed is None or np.array_equal(changed, value):
                return None
            _insert_constant(body, index, parameter, changed, constant.outputs[0].type)
            names = frozenset(output.name for output in operation.outputs)
            what = f"{parameter} {what}"
        described = (operation.type, operation.outputs[0].name)
        consumers = frozenset(o.name for op in _readers(body, names) for o in op.outputs) - names
        return Mutant(self._program(specification), kind, described, what, names, consumers)

    def _value(self, constant: Any) -> np.ndarray:
        value, tensor = constant.attributes["val"], constant.outputs[0].type.tensorType
        dtype = _DTYPES[tensor.dataType]
        shape = [d.constant.size for d in tensor.dimensions]
        if value.WhichOneof("value") == "blobFileValue":
            file = next(
                data for path, data in self._files.items() if path.endswith(value.blobFileValue.fileName.rpartition("/")[2])
            )
            _, _, size, offset = struct.unpack_from("<IIQQ", file, value.blobFileValue.offset)
            return np.frombuffer(file[offset : offset + size], dtype).reshape(shape)
        immediate = value.immediateValue.tensor
        kind = immediate.WhichOneof("value")
        if kind == "bytes":
            return np.frombuffer(immediate.bytes.values, dtype).reshape(shape)
        return np.array(getattr(immediate, kind).values, dtype).reshape(shape)

    def _program(self, specification: Any) -> bytes:
        files = tuple(
            blob.File(path, blob.InlineBytes(specification.SerializeToString() if path == _SPECIFICATION else data))
            for path, data in self._files.items()
        )
        # Everything inline: what the named data of the program holds stays, unused.
        file = copy.copy(self._file)
        file.program = copy.deepcopy(self._file.program)
        file.program.backend_delegate_data[0].data = blob.to_bytes(dataclasses.replace(self._blob, files=files))
        return bytes(serialize_pte_binary(file, extract_delegate_segments=True))


def _body(specification: Any) -> Any:
    (function,) = specification.mlProgram.functions.values()
    return function.block_specializations[function.opset]


def _kind(parameter: str, tensor: Any) -> str | None:
    if tensor.dataType not in _DTYPES:
        return None
    is_float = tensor.dataType in (MIL_pb2.FLOAT16, MIL_pb2.FLOAT32)
    if parameter in _AXES:
        return None if is_float else "axis"
    if not is_float:
        return None
    if parameter == "epsilon":
        return "epsilon"
    extents = [d.constant.size for d in tensor.dimensions]
    return "weight" if np.prod(extents, dtype=int) > 1 else "constant"


def _change(kind: str, value: np.ndarray, generator: random.Random) -> tuple[np.ndarray | None, str]:
    if kind == "epsilon":
        return np.full_like(value, 0.25), f"{value.item():.3g} -> 0.25"
    if kind == "constant":
        changed = (value * 1.5 if value.any() else value + 0.5).astype(value.dtype)
        return changed, f"{value.item():.3g} -> {changed.item():.3g}"
    if kind == "axis":
        changed = value.copy()
        flat = changed.reshape(-1)
        if flat.size > 1:
            first, second = generator.sample(range(flat.size), 2)
            flat[first], flat[second] = flat[second], flat[first]
        else:
            flat[0] = flat[0] - 1 if flat[0] != 0 else 1
        return changed, f"{value.tolist()} -> {changed.tolist()}"
    changed = value.copy()
    way = generator.choice(("scaled", "one row doubled", "rows rolled"))
    if way == "scaled":
        changed = (changed * 1.25).astype(value.dtype)
    elif way == "one row doubled":
        changed[generator.randrange(value.shape[0])] *= 2
    else:
        changed = np.roll(changed, 1, axis=0)
    return changed, way


def _tensor_value(array: np.ndarray, of_type: Any) -> Any:
    value = MIL_pb2.Value()
    value.type.CopyFrom(of_type)
    if array.dtype == np.float16:
        value.immediateValue.tensor.bytes.values = array.tobytes()
    elif array.dtype == np.float32:
        value.immediateValue.tensor.floats.values.extend(array.reshape(-1).tolist())
    else:
        value.immediateValue.tensor.ints.values.extend(array.reshape(-1).tolist())
    return value


def _constant(name: str, array: np.ndarray, of_type: Any) -> Any:
    operation = MIL_pb2.Operation(type="const")
    output = operation.outputs.add()
    output.name = name
    output.type.CopyFrom(of_type)
    operation.attributes["val"].CopyFrom(_tensor_value(array, of_type))
    label = operation.attributes["name"]
    label.type.tensorType.dataType = MIL_pb2.STRING
    label.immediateValue.tensor.strings.values.append(name)
    return operation


def _insert_constant(body: Any, index: int, parameter: str, array: np.ndarray, of_type: Any) -> None:
    operations = list(body.operations)
    operations[index].inputs[parameter].arguments[0].name = "planted"
    operations.insert(index, _constant("planted", array, of_type))
    _set_operations(body, operations)


def _plant_overflow(body: Any, index: int) -> tuple[frozenset[str], str]:
    """v -> v * 2^15 * 2^-15: the first product is beyond float16 wherever |v| >= 2, and nothing changes with more bits."""
    operations = list(body.operations)
    operation = operations[index]
    name, kind = operation.outputs[0].name, operation.outputs[0].type
    scalar = copy.deepcopy(kind)
    del scalar.tensorType.dimensions[:]
    scalar.tensorType.rank = 0
    up, down = np.float16(32768), np.float16(1 / 32768)
    planted = [_constant("planted_up", np.array(up), scalar), _constant("planted_down", np.array(down), scalar)]
    source = f"{name}_before"
    for factor, output in (("planted_up", "planted_product"), ("planted_down", name)):
        product = MIL_pb2.Operation(type="mul")
        product.inputs["x"].arguments.add().name = source
        product.inputs["y"].arguments.add().name = factor
        made = product.outputs.add()
        made.name = output
        made.type.CopyFrom(kind)
        planted.append(product)
        source = output
    operation.outputs[0].name = f"{name}_before"
    operations[index + 1 : index + 1] = planted
    _set_operations(body, operations)
    return frozenset({"planted_product"}), f"{name} * 32768 / 32768"


def _set_operations(body: Any, operations: list[Any]) -> None:
    copies = [copy.deepcopy(operation) for operation in operations]
    del body.operations[:]
    body.operations.extend(copies)


def _readers(body: Any, names: frozenset[str]) -> Iterator[Any]:
    for operation in body.operations:
        if any(a.name in names for argument in operation.inputs.values() for a in argument.arguments):
            yield operation
