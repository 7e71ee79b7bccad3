"""The model packages that a program runs, and the values inside them while the engine executes them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml import mil_program
from executorch_coreml.sdk import package_facts, payload, program_file
from executorch_coreml.sdk.errors import ToolError

_SPECIFICATION = Path("Data/com.apple.CoreML/model.mlmodel")
# iOS 16's.
_FLOAT16_OUTPUTS = 7


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of the body of a function; constants are none."""

    # In the order of the program.
    index: int
    type: str
    # Its output's name, and the dtype and extents it is declared with (None: dynamic).
    name: str
    dtype: str
    shape: tuple[int | None, ...]
    # Names of the values it reads, constants left out.
    reads: tuple[str, ...]
    # Of quantize and dequantize with one constant scale.
    scale: float | None = None

    @property
    def size(self) -> int:
        """Bytes of the output, dynamic extents counted as one."""
        return math.prod(extent or 1 for extent in self.shape) * mil_program.bits(self.dtype) // 8


@dataclasses.dataclass(frozen=True)
class Package:
    """One function of a model package."""

    path: Path
    # For messages: "the delegate forward/0 of model.pte".
    what: str
    # Empty for the package's default.
    function: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    # Name of an operation's output -> ExecuTorch's debug handles.
    handles: Mapping[str, tuple[int, ...]]
    # What was asked for at lowering: a delegate's compile specs; empty for a package of its own.
    lowered_with: Mapping[str, bytes]
    # Whether this project's exporter is known to have made it.
    is_ours: bool
    # The deployment target that the blob names, such as "iOS18"; empty where that is not known.
    target: str
    # An operation with several outputs is there once for each.
    operations: tuple[Operation, ...]
    has_states: bool
    # Whether it is a delegate's: its inputs then are values of the edge program by name.
    is_delegate: bool

    @property
    def is_float16(self) -> bool:
        return any(operation.dtype == "FLOAT16" for operation in self.operations)

    @property
    def is_compressed(self) -> bool:
        """Whether weights are quantized, palettized or sparse."""
        return any(operation.type.startswith("constexpr_") for operation in self.operations)

    def values(
        self, inputs: Mapping[str, np.ndarray], *, numeric_mode: str, names: Collection[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Executes once from the initial states: the values of operations by the name of their output, of all or those in `names`.

        Float16 values are rounded on reading even in numeric mode float32, where they are computed with more bits.

        Raises:
            ToolError: when the engine refuses the package or the inputs.
        """
        with contextlib.ExitStack() as stack:
            path = self.path if names is None else stack.enter_context(self._with_outputs(names))
            return self._execute(path, inputs, numeric_mode, all_values=names is None)

    def _execute(self, path: Path, inputs: Mapping[str, np.ndarray], numeric_mode: str, all_values: bool) -> dict[str, np.ndarray]:
        from executorch_coreml.engine import ml_model

        try:
            model = ml_model.MLModel(path, function_name=self.function or None, numeric_mode=numeric_mode)
            state = model.make_state() if model.states else None
            if not all_values:
                return model.predict_tensors(inputs, state)
            return model.intermediate_values(inputs, state)
        except (ml_model.EngineError, ValueError) as error:
            raise ToolError(f"{self.what} cannot be run: {error}") from error

    def specification_with_outputs(self, names: Collection[str]) -> bytes:
        """The package's specification, with the values of operations as the outputs of its function, in the order of `names`."""
        from coremltools.proto import FeatureTypes_pb2

        specification = package_facts.load_specification(self.path, self.what)
        name, function = _function(specification, self.function)
        block = mil_program.body(function)
        del block.outputs[:]
        block.outputs.extend(names)
        described = mil_program.description(specification, name)
        del described.output[:]
        by_name = {operation.name: operation for operation in self.operations}
        for output in names:
            feature = described.output.add()
            feature.name = output
            operation = by_name[output]
            kinds = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
            feature.type.multiArrayType.dataType = {
                "FLOAT16": kinds.FLOAT16,
                "FLOAT32": kinds.FLOAT32,
            }.get(operation.dtype, kinds.INT32)
            if operation.dtype == "FLOAT16":
                # Core ML has had outputs of that dtype since this version.
                specification.specificationVersion = max(specification.specificationVersion, _FLOAT16_OUTPUTS)
        return bytes(specification.SerializeToString())

    @contextlib.contextmanager
    def _with_outputs(self, names: Collection[str]) -> Iterator[Path]:
        """The package with other outputs, which makes the engine leave out what they do not need. Weights are links where possible."""
        with tempfile.TemporaryDirectory(prefix="coreml_verify_") as folder:
            copied = Path(folder) / "probe.mlpackage"
            shutil.copytree(self.path, copied, copy_function=_link)
            (copied / _SPECIFICATION).unlink()
            (copied / _SPECIFICATION).write_bytes(self.specification_with_outputs(names))
            yield copied


@contextlib.contextmanager
def open_packages(path: Path, method: str) -> Iterator[list[Package]]:
    """The packages that a method of a .pte runs, in order, or the one that `path` is, whose function is `method` where it has several.

    Raises:
        ToolError: for what cannot be read.
    """
    if path.is_dir():
        yield [_read(path, str(path), "" if method == "forward" else method, (), (), {}, lowered_with=None)]
        return
    program = program_file.open_program(path)
    with tempfile.TemporaryDirectory(prefix="coreml_verify_") as folder:
        found = []
        for delegate in program.delegates():
            if delegate.method != method:
                continue
            contents = payload.open_payload(program, delegate)
            written = contents.write(Path(folder) / f"delegate_{delegate.index}")
            if written.suffix != ".mlpackage":
                raise ToolError(f"the delegate {delegate.label} of {path} holds a compiled model, which only Core ML runs")
            what = f"the delegate {delegate.label} of {path}"
            names = (contents.input_names, contents.output_names)
            found.append(
                _read(written, what, contents.function, *names, contents.debug_handles(), delegate.compile_specs, contents)
            )
        yield found


def _read(
    path: Path,
    what: str,
    function_name: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    handles: Mapping[str, Any],
    lowered_with: Mapping[str, bytes] | None,
    contents: payload.Payload | None = None,
) -> Package:
    package_facts.read_package(path)  # Says what is wrong with it.
    specification = package_facts.load_specification(path, what)
    if specification.WhichOneof("Type") != "mlProgram":
        raise ToolError(f"{what} is not an ML Program, but a {specification.WhichOneof('Type')}")
    name, function = _function(specification, function_name)
    described = mil_program.description(specification, name)
    return Package(
        path=path,
        what=what,
        function=function_name if len(specification.mlProgram.functions) > 1 else "",
        input_names=inputs or tuple(feature.name for feature in described.input),
        output_names=outputs or tuple(feature.name for feature in described.output),
        handles=handles,
        lowered_with=lowered_with or {},
        is_ours=contents is not None and contents.blob is not None,
        target=contents.request.deployment_target if contents else "",
        operations=tuple(_operations(mil_program.body(function))),
        has_states=len(described.state) > 0,
        is_delegate=lowered_with is not None,
    )


def _function(specification: Any, name: str) -> tuple[str, Any]:
    functions = specification.mlProgram.functions
    if name in functions:
        return name, functions[name]
    default = mil_program.default_function(specification)
    if name or default not in functions:
        raise ToolError(f"the package has no function {name or default!r}; it has {', '.join(sorted(functions))}")
    return default, functions[default]


def _operations(block: Any) -> Iterator[Operation]:
    constants = {}
    for index, operation in enumerate(block.operations):
        if operation.type == "const":
            constants[operation.outputs[0].name] = operation.attributes["val"]
            continue
        reads = [a.name for argument in operation.inputs.values() for a in argument.arguments if a.name and a.name not in constants]
        for output in operation.outputs:
            if not mil_program.is_tensor(output.type):
                continue
            dtype, shape = mil_program.dtype_name(output.type.tensorType), mil_program.extents(output.type.tensorType)
            yield Operation(index, operation.type, output.name, dtype, shape, tuple(reads), _scale(operation, constants))


def _scale(operation: Any, constants: Mapping[str, Any]) -> float | None:
    """The constant scale of a quantize or dequantize, where it is one number that stands in the specification."""
    arguments: Any = operation.inputs["scale"].arguments if "scale" in operation.inputs else ()
    if operation.type not in ("quantize", "dequantize") or len(arguments) != 1:
        return None
    value = arguments[0].value if arguments[0].WhichOneof("binding") == "value" else constants.get(arguments[0].name)
    if value is None or value.type.tensorType.rank != 0 or value.WhichOneof("value") != "immediateValue":
        return None
    tensor = value.immediateValue.tensor
    if tensor.floats.values:
        return float(tensor.floats.values[0])
    stored = tensor.bytes.values
    return float(np.frombuffer(stored, np.float16)[0]) if len(stored) == 2 else None


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
