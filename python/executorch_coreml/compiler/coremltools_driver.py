"""coremltools' steps of a conversion, driven from here: frontend, passes, weights and specification.

`ct.convert` and functions like it do the same with what belongs to the whole process: they keep temporary folders below tempfile's, which outlive an
exception, and run passes of their own choice. Here every file is where the caller says, the passes are those of passes.py at every stage, and nothing
of another module is replaced.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import coremltools as ct
import numpy as np
from coremltools.converters.mil import mil
from coremltools.converters.mil._deployment_compatibility import check_deployment_compatibility
from coremltools.converters.mil.backend.mil import helper
from coremltools.converters.mil.backend.mil import load as backend
from coremltools.converters.mil.frontend import milproto
from coremltools.converters.mil.mil import Operation, Var
from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass, PassOption
from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
from coremltools.models.utils import _multifunction_program_append_unifunction_program
from coremltools.proto import MIL_pb2, Model_pb2
from torch.export.exported_program import ExportedProgram

from executorch_coreml.compiler import coremltools_state, frontend, known_elements, passes, progress, typed_defaults
from executorch_coreml.compiler.compressed_weights import Compressions
from executorch_coreml.compiler.exact_passes import const_deduplication
from executorch_coreml.compiler.package import manifest

_DATA = Path("Data") / "com.apple.CoreML"
_DEFAULT_TARGET = ct.target.iOS15


@dataclasses.dataclass(frozen=True)
class Model:
    """A model: its specification and MIL program in memory, and the package on disk that has its weights.

    The package is complete, with the specification as it was when it was written.
    """

    spec: Model_pb2.Model
    program: mil.Program
    package: Path

    @property
    def weights(self) -> Path:
        return self.package / _DATA / "weights"


# coremltools renames what has a name that MIL does not take; the delegate goes by position.
warnings.filterwarnings("ignore", message=r".*of the source model, has been renamed to", module=r"coremltools\.")


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Within it, this thread alone converts. What NumPy says about constants that become infinite or 0 is kept quiet: it is as in PyTorch."""
    with coremltools_state.exclusive(), np.errstate(all="ignore"):
        yield


def _run(program: mil.Program, title: str, names: Iterable[str], options: Mapping[str, list[PassOption]]) -> None:
    program.validate()
    for name in progress.bar(list(names), f"Running MIL {title} pipeline", "passes"):
        graph_pass: AbstractGraphPass = PASS_REGISTRY[name]
        graph_pass.set_options(options.get(name))
        try:
            graph_pass(program)
        except Exception as error:
            error.add_note(
                f"The MIL pass {name} failed. The argument pass_names of CoreMLBackend.generate_compile_specs chooses the passes."
            )
            raise
        known_elements.forget_all(program)
        program.validate(check_essential_scope=name == "common::dead_code_elimination")


def _stages(source: str, chosen: ct.PassPipeline | None) -> tuple[list[str], list[str]]:
    """The passes before and after those chosen. What the chosen leave out of coremltools' default runs in neither."""
    default = passes.exact(ct.PassPipeline.DEFAULT.passes)
    left_out = set() if chosen is None else set(default) - set(chosen.passes) - passes.NARROWING
    before, after = (
        passes.exact(ct.PassPipeline.get_pipeline(name).passes) for name in (f"frontend_{source}", "backend_mlprogram")
    )
    return [name for name in before if name not in left_out], [name for name in after if name not in left_out]


class _Exporter(backend.MILProtoExporter):
    """MIL as protobuf. Weights of float16 are written without the two copies of each that coremltools makes."""

    def create_file_value(self, var: Var) -> MIL_pb2.Value:
        value = var.val
        weight = var.op.weight_id or f"{var.op.enclosing_block.name}_{var.name}"
        if getattr(value, "dtype", None) != np.float16 or weight in self.weight_id_to_file_value:
            return super().create_file_value(var)
        path = self.get_weight_path(var.op)
        bits = np.ascontiguousarray(value).reshape(-1).view(np.uint16)
        made = helper.create_file_value_tensor(
            file_name=f"@model_path/weights/{Path(path).name}",
            offset=int(self.get_blob_writer(path).write_fp16_data(bits)),
            dim=value.shape,
            data_type=MIL_pb2.DataType.FLOAT16,
        )
        self.weight_id_to_file_value[weight] = made
        return made


def _write(
    program: mil.Program, package: Path, target: ct.target, *, description: Model_pb2.ModelDescription | None, source: str
) -> Model:
    """Writes a package, whose folder must not be there yet."""
    program._check_early_error_out_for_invalid_program()
    weights = package / _DATA / "weights"
    weights.mkdir(parents=True)
    exported = _Exporter(program, str(weights), target).export()
    if description is None:
        exporter = backend.CoreMLProtoExporter(
            program,
            exported,
            None,
            None,
            classifier_config=None,
            convert_to="mlprogram",
            convert_from=source,
            specification_version=target,
        )
        spec = exporter.export(target)
    else:
        spec = Model_pb2.Model(description=description, specificationVersion=target)
        spec.mlProgram.CopyFrom(exported)
    (package / _DATA / "model.mlmodel").write_bytes(spec.SerializeToString(deterministic=True))
    (package / "Manifest.json").write_bytes(manifest(has_weights=True))
    coremltools_state.forget_names()
    return Model(spec, program, package)


def convert(
    program: ExportedProgram,
    package: Path,
    *,
    pipeline: ct.PassPipeline,
    target: ct.target | None,
    inputs: list[ct.TensorType] | None = None,
    outputs: list[ct.TensorType] | None = None,
    in_float16: Callable[[Operation], bool] | None = None,
    compressions: Compressions = MappingProxyType({}),
) -> Model:
    """Converts a program and writes `package`, a folder named .mlpackage that must not be there. Within exclusive().

    Args:
        pipeline: of passes.pipeline(); a conversion to float16 when it has the cast.
        inputs, outputs: as of ct.convert.
        compressions: Of the parameters that were compressed in PyTorch, how.
        in_float16: Whether an operation is to be computed in float16, for pipelines that cast.

    Raises:
        ValueError: for a program that Core ML cannot have, such as an input without an upper bound.
        NotImplementedError: if there is no conversion of an operation.
    """
    narrows = passes.CAST in pipeline.passes
    options = dict(pipeline.get_all_options())
    if in_float16 is not None:
        options[passes.CAST] = [PassOption("op_selector", in_float16)]
    version = target or _DEFAULT_TARGET
    float16_borders = narrows and version >= ct.target.iOS16
    made = frontend.load(
        program, version, inputs=inputs, outputs=outputs, float16_borders=float16_borders, compressions=compressions
    )
    typed_defaults.align()(made)
    before, after = _stages("pytorch", pipeline)
    _run(made, "frontend_pytorch", before, options)
    _run(made, str(pipeline), pipeline.passes, options)
    _run(made, "backend_mlprogram", after, options)
    model = _write(made, package, version, description=None, source="pytorch")
    for described in model.spec.description.input:
        if any(extent.upperBound == -1 for extent in described.type.multiArrayType.shapeRange.sizeRanges):
            raise ValueError(
                f"The input {described.name} has an extent without an upper bound: pass Dim(..., max=...) to torch.export"
            )
    if target is not None:
        check_deployment_compatibility(spec=model.spec, representation="mlprogram", deployment_target=target)
    return model


def compress(model: Model, compression: Callable[[mil.Program], AbstractGraphPass], package: Path) -> Model:
    """Applies a pass that replaces weights, made for the program, and writes `package`. The model's own goes. Within exclusive()."""
    version = ct.target(max(model.spec.specificationVersion, ct.target.iOS16))
    program = milproto.load.load(model.spec, version, str(model.weights))
    compression(program).apply(program)
    before, after = _stages("milinternal", None)
    _run(program, "frontend_milinternal", before, {})
    _run(program, "default", passes.pipeline(None, ct.precision.FLOAT32).passes, {})
    _run(program, "backend_mlprogram", after, {})
    made = _write(program, package, version, description=model.spec.description, source="milinternal")
    shutil.rmtree(model.package)
    return made


def combine(models: Mapping[str, tuple[Model_pb2.Model, Path]], default: str, package: Path) -> Model:
    """Writes `package` with one function of each model, whose equal constants are stored once. Within exclusive().

    Args:
        models: Function name -> the specification of a model with the function `main`, and the folder of its weights.
    """
    version = ct.target(max(ct.target.iOS18, *(spec.specificationVersion for spec, _ in models.values())))
    program = mil.Program()
    functions = []
    for name, (spec, weights) in models.items():
        loaded = milproto.load.load(spec, version, str(weights))
        _multifunction_program_append_unifunction_program(program, loaded, "main", name)
        described = spec.description
        functions.append(
            Model_pb2.FunctionDescription(name=name, input=described.input, output=described.output, state=described.state)
        )
    const_deduplication()._deduplicate_const_across_functions(program)
    program.default_function_name = default
    program.skip_all_passes = program.export_as_multifunction = True
    description = Model_pb2.ModelDescription(functions=functions, defaultFunctionName=default)
    return _write(program, package, version, description=description, source="milinternal")
