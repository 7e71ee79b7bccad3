"""What is in a model package, from its specification alone."""

from __future__ import annotations

import collections
import dataclasses
import math
from pathlib import Path
from typing import Any

from executorch_coreml import mil_program
from executorch_coreml.sdk.errors import ToolError

# Specification version -> the oldest system that runs it.
_TARGETS = {4: "iOS 13", 5: "iOS 14", 6: "iOS 15", 7: "iOS 16", 8: "iOS 17", 9: "iOS 18", 10: "iOS 26"}


@dataclasses.dataclass(frozen=True)
class FunctionFacts:
    name: str
    opset: str
    inputs: tuple[str, ...]  # "x: float32[1, 3, 224, 224]"
    outputs: tuple[str, ...]
    states: tuple[str, ...]
    # Operation -> how often; constants left out.
    operations: dict[str, int]


@dataclasses.dataclass(frozen=True)
class PackageFacts:
    path: str
    kind: str
    specification_version: int
    oldest_system: str
    size: int
    # MIL type -> bytes of constants of it, in the weight file and in the program.
    constant_bytes: dict[str, int]
    functions: tuple[FunctionFacts, ...]
    metadata: dict[str, str]


def load_specification(path: Path, what: str) -> Any:
    """The specification of a package, or of a .mlmodel file, as coremltools' Model message. ToolError, which begins with `what`, where it
    cannot be read."""
    from coremltools.models import utils

    try:
        return utils.load_spec(str(path))
    except Exception as error:  # coremltools raises whatever its parts do.
        raise ToolError(f"{what} cannot be read as a model package: {type(error).__name__}: {error}") from error


def read_package(path: Path) -> PackageFacts:
    """Reads a .mlpackage folder. ToolError where the folder is no package, or is damaged."""
    if not (path / "Manifest.json").is_file():
        raise ToolError(f"{path} is not a model package: it has no Manifest.json")
    specification = load_specification(path, f"{path}")
    kind = specification.WhichOneof("Type")
    if kind is None:
        raise ToolError(f"{path} is damaged, because its model is empty: copy or export it again")
    constants: collections.Counter[str] = collections.Counter()
    functions = []
    if kind == "mlProgram":
        for name, function in specification.mlProgram.functions.items():
            functions.append(_function(name, function, mil_program.description(specification, name), constants))
    return PackageFacts(
        path=str(path),
        kind=kind,
        specification_version=specification.specificationVersion,
        oldest_system=_TARGETS.get(specification.specificationVersion, "unknown"),
        size=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        constant_bytes=dict(constants.most_common()),
        functions=tuple(functions),
        metadata=dict(sorted(specification.description.metadata.userDefined.items())),
    )


def operation_types(path: Path) -> dict[str, str]:
    """Name of each output -> MIL's name of the operation that gives it, over all functions and nested blocks."""
    return {
        output.name: operation.type
        for function in load_specification(path, f"{path}").mlProgram.functions.values()
        for operation in mil_program.operations(mil_program.body(function))
        for output in operation.outputs
    }


def _function(name: str, function: Any, description: Any, constants: collections.Counter[str]) -> FunctionFacts:
    operations: collections.Counter[str] = collections.Counter()
    for operation in mil_program.operations(mil_program.body(function)):
        if operation.type == "const":
            _add_constant(operation.outputs[0].type, constants)
        else:
            operations[operation.type] += 1
        if operation.type.startswith("constexpr_"):
            for value in operation.attributes.values():
                _add_constant(value.type, constants)
    return FunctionFacts(
        name=name,
        opset=function.opset,
        inputs=tuple(_feature(feature) for feature in description.input),
        outputs=tuple(_feature(feature) for feature in description.output),
        states=tuple(_feature(feature) for feature in description.state),
        operations=dict(operations.most_common()),
    )


def _add_constant(value_type: Any, constants: collections.Counter[str]) -> None:
    if not mil_program.is_tensor(value_type):
        return
    dtype = mil_program.dtype_name(value_type.tensorType)
    bits = mil_program.bits(dtype)
    if bits:
        elements = math.prod(extent or 0 for extent in mil_program.extents(value_type.tensorType))
        constants[dtype.lower()] += -(-elements * bits // 8)


def _feature(feature: Any) -> str:
    kind = feature.type.WhichOneof("Type")
    array = feature.type.stateType.arrayType if kind == "stateType" else feature.type.multiArrayType
    if kind not in ("multiArrayType", "stateType"):
        return f"{feature.name}: {kind}"
    from coremltools.proto import FeatureTypes_pb2

    dtype = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(array.dataType).lower()
    flexibility = array.WhichOneof("ShapeFlexibility")
    if flexibility == "shapeRange":
        shape = ", ".join(_range(r) for r in array.shapeRange.sizeRanges)
    else:
        shape = ", ".join(map(str, array.shape))
    more = f" of {len(array.enumeratedShapes.shapes)} shapes" if flexibility == "enumeratedShapes" else ""
    return f"{feature.name}: {dtype}[{shape}]{more}"


def _range(size_range: Any) -> str:
    low, high = size_range.lowerBound, size_range.upperBound
    return str(low) if low == high else f"{low}..{high if high >= 0 else ''}"
