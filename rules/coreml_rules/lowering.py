"""Lowering the models of a coreml_program: exported programs, a .pte, and what the partitioner says."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import coremltools as ct
import torch
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from executorch.export import ExportRecipe, StageType
from executorch.export import export as export_with_recipe
from executorch_coreml.compiler import CoreMLBackend
from executorch_coreml.partition import CoreMLPartitioner
from executorch_coreml.partition.report import PartitionReport
from executorch_coreml.quantizer import CoreMLQuantizer
from executorch_coreml.recipes import CoreMLRecipeProvider, CoreMLRecipeType
from torch.export import ExportedProgram

from coreml_rules import model
from coreml_rules.errors import ActionError, place, sentence

# What generate_compile_specs() and the recipes take by name, as members of enumerations.
_ENUMERATIONS: dict[str, Any] = {
    "compute_precision": ct.precision,
    "compute_unit": ct.ComputeUnit,
    "minimum_deployment_target": ct.target,
    "model_type": CoreMLBackend.MODEL_TYPE,
    "blob_format": CoreMLBackend.BLOB_FORMAT,
}
# A frame of a stack, up to the folder that holds the runfiles of each repository; the current folder is that of the main one.
_IN_RUNFILES = re.compile(r'File "[^"\n]*\.runfiles/')
_SPECS = tuple(inspect.signature(CoreMLBackend.generate_compile_specs).parameters)


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a coreml_program asks for, as its rule writes it.

    methods: method -> MODULE:FUNCTION. arguments: of each function. inputs, dynamic_shapes: of the only method. compile_specs: arguments of generate_compile_specs().
    recipe, recipe_arguments: of CoreMLRecipeType; excludes compile_specs. quantization: LinearQuantizerConfig as JSON, with calibration, a
    MODULE:FUNCTION. skip_ops, take_over_mutable_buffer, lower_full_graph: of CoreMLPartitioner.
    """

    methods: Mapping[str, str]
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inputs: Sequence[str] = ()
    dynamic_shapes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    compile_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    recipe: str = ""
    recipe_arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    quantization: str = ""
    calibration: str = ""
    skip_ops: Sequence[str] = ()
    lower_full_graph: bool = False
    take_over_mutable_buffer: bool = True


@dataclasses.dataclass(frozen=True)
class _Exported:
    programs: dict[str, ExportedProgram]
    partitioners: list[Any]
    edge_compile_config: EdgeCompileConfig | None

    def reports(self) -> list[PartitionReport]:
        return [report for partitioner in self.partitioners for report in partitioner.reports]


def value_of(name: str, text: str) -> Any:
    """An argument of lowering as its own type: a member of an enumeration by its name ("iOS17"), or JSON; a word is itself."""
    if name in _ENUMERATIONS:
        members = {member.name.upper(): member for member in _ENUMERATIONS[name]}
        if text.upper() not in members:
            raise ActionError(
                f"{name}: there is no {text!r}; it must be one of {', '.join(member.name for member in members.values())}"
            )
        return members[text.upper()]
    try:
        return json.loads(text)
    except ValueError:
        if text[:1] in '{["':
            raise ActionError(f"{name}: {text!r} is not JSON") from None
        return text


def export(spec: Spec, folder: str) -> _Exported:
    """The exported program of each method, quantized where that is asked for, and how they are to be lowered.

    Raises:
        ActionError: the user's function or torch.export refuses, or the options do not go together.
    """
    models = {
        name: model.load(function, spec.inputs, spec.dynamic_shapes, folder, spec.arguments)
        for name, function in spec.methods.items()
    }
    if spec.recipe:
        return _by_recipe(spec, models, folder)
    unknown = sorted(set(spec.compile_specs) - set(_SPECS))
    if unknown:
        raise ActionError(f"compile_specs: there is no {unknown[0]!r}; the arguments are {', '.join(sorted(_SPECS))}")
    try:
        specs = CoreMLBackend.generate_compile_specs(**{name: value_of(name, text) for name, text in spec.compile_specs.items()})
        partitioner = CoreMLPartitioner(
            compile_specs=specs,
            skip_ops_for_coreml_delegation=list(spec.skip_ops),
            lower_full_graph=spec.lower_full_graph,
            take_over_mutable_buffer=spec.take_over_mutable_buffer,
        )
    except (ValueError, AssertionError, TypeError) as error:
        raise ActionError(f"compile_specs: {error}") from error
    programs = {name: _exported(name, found, folder) for name, found in models.items()}
    if spec.quantization:
        programs = {name: _quantized(spec, name, program, models[name], folder) for name, program in programs.items()}
    # As the recipes have it: what is no core ATen op is the partitioner's to judge.
    return _Exported(programs, [partitioner], EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=False))


def _exported(method: str, found: model.Model, folder: str) -> ExportedProgram:
    try:
        with torch.no_grad():
            return torch.export.export(found.module, found.inputs, dynamic_shapes=found.dynamic_shapes)
    except Exception as error:
        raise ActionError(f"torch.export cannot export the method {method}: {sentence(error)}{place(error, folder)}") from error


def _quantized(spec: Spec, method: str, program: ExportedProgram, found: model.Model, folder: str) -> ExportedProgram:
    from coremltools.optimize.torch.quantization import LinearQuantizerConfig
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    try:
        config = LinearQuantizerConfig.from_dict(json.loads(spec.quantization))
    except Exception as error:
        raise ActionError(f"quantization: the value is not a LinearQuantizerConfig of coremltools: {sentence(error)}") from error
    inputs = model.samples(spec.calibration, folder, spec.arguments) if spec.calibration else [found.inputs]
    try:
        with torch.no_grad():
            prepared = prepare_pt2e(program.module(), CoreMLQuantizer(config))
            for sample in inputs:
                prepared(*sample)
            return torch.export.export(convert_pt2e(prepared), found.inputs, dynamic_shapes=found.dynamic_shapes)
    except Exception as error:
        raise ActionError(f"the method {method} cannot be quantized: {sentence(error)}{place(error, folder)}") from error


def _by_recipe(spec: Spec, models: Mapping[str, model.Model], folder: str) -> _Exported:
    known = {recipe.value: recipe for recipe in CoreMLRecipeType}
    if spec.recipe not in known:
        raise ActionError(f"recipe: there is no {spec.recipe!r}; the recipes are {', '.join(sorted(known))}")
    arguments = {name: value_of(name, text) for name, text in spec.recipe_arguments.items()}
    if spec.skip_ops:
        arguments["skip_ops_for_coreml_delegation"] = list(spec.skip_ops)
    if spec.lower_full_graph:
        arguments["lower_full_graph"] = True
    try:
        recipe: ExportRecipe | None = CoreMLRecipeProvider().create_recipe(known[spec.recipe], **arguments)
    except (ValueError, AssertionError, TypeError) as error:
        raise ActionError(f"recipe: {error}") from error
    assert recipe is not None
    assert recipe.lowering_recipe is not None
    recipe.pipeline_stages = [StageType.SOURCE_TRANSFORM, StageType.QUANTIZE, StageType.TORCH_EXPORT]
    inputs = {
        name: model.samples(spec.calibration, folder, spec.arguments) if spec.calibration else [found.inputs]
        for name, found in models.items()
    }
    try:
        with torch.no_grad():
            session = export_with_recipe(
                {name: found.module for name, found in models.items()},
                inputs,
                recipe,
                dynamic_shapes={name: found.dynamic_shapes for name, found in models.items()},
            )
    except Exception as error:
        raise ActionError(f"the recipe {spec.recipe} cannot export the model: {sentence(error)}{place(error, folder)}") from error
    programs = {name: session.get_exported_program(name) for name in models}
    lowering = recipe.lowering_recipe
    return _Exported(programs, list(lowering.partitioners or []), lowering.edge_compile_config)


def lower(spec: Spec, folder: str, pte: Path) -> dict[str, list[PartitionReport]]:
    """Writes the .pte and returns the partitioner's reports of each method, the whole program's first.

    Raises:
        ActionError: as of export(), or with the partitioner's own sentences.
    """
    exported = export(spec, folder)
    try:
        edge = to_edge_transform_and_lower(
            exported.programs,
            partitioner={name: exported.partitioners for name in exported.programs},
            compile_config=exported.edge_compile_config,
        )
        program = edge.to_executorch()
        with pte.open("wb") as file:
            program.write_to_file(file)
    except (NotImplementedError, ValueError, AssertionError) as error:
        raise ActionError(str(error) or sentence(error)) from error
    except Exception as error:
        # The partitioner may have seen it coming.
        warnings = [line for report in exported.reports() for line in report.warnings()]
        raise ActionError("\n".join(warnings) or f"lowering failed: {sentence(error)}") from error
    return dict(zip(exported.programs, ([report] for report in exported.reports()), strict=True))


def save_references(spec: Spec, folder: str, targets: Mapping[str, Path]) -> None:
    """Writes the exported program of each method to targets[method], a .pt2 with its example inputs. ActionError as of export()."""
    exported = export(spec, folder)
    for name, path in targets.items():
        _forget_folders(exported.programs[name])
        try:
            torch.export.save(exported.programs[name], str(path))
        except Exception as error:
            raise ActionError(f"torch.export.save cannot write the method {name}: {sentence(error)}") from error


def _forget_folders(program: ExportedProgram) -> None:
    """Names the files of torch and other packages in what a .pt2 records of each call by their place in the runfiles, as the request's own are
    (request.py): where the build keeps those is another folder in every checkout and every sandbox."""
    for module in program.graph_module.modules():
        if not isinstance(module, torch.fx.GraphModule):
            continue
        for node in module.graph.nodes:
            if trace := node.meta.get("stack_trace"):
                node.meta["stack_trace"] = _IN_RUNFILES.sub('File "../', trace)
