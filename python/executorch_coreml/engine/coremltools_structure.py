"""The structure of an ML Program in the classes of coremltools.models.compute_plan."""

from __future__ import annotations

import pathlib
from typing import Any

from coremltools.models import compute_plan
from coremltools.models import utils as model_utils

from executorch_coreml import mil_program


def model_structure(package: pathlib.Path) -> compute_plan.MLModelStructure:
    """What MLModelStructure.load_from_path gives, read from the package's specification. RuntimeError for other kinds of models."""
    specification = model_utils.load_spec(str(package))
    kind = specification.WhichOneof("Type")
    if kind != "mlProgram":
        raise RuntimeError(f"{package} is a model of the kind {kind}; only the structure of ML Programs can be read here")
    functions = {name: _function(function) for name, function in specification.mlProgram.functions.items()}
    return compute_plan.MLModelStructure(
        neuralnetwork=None, program=compute_plan.MLModelStructureProgram(functions=functions), pipeline=None
    )


def _function(function: Any) -> compute_plan.MLModelStructureProgramFunction:
    block = _block(mil_program.body(function))
    return compute_plan.MLModelStructureProgramFunction(inputs=_named_types(function.inputs), block=block)


def _block(block: Any) -> compute_plan.MLModelStructureProgramBlock:
    return compute_plan.MLModelStructureProgramBlock(
        inputs=_named_types(block.inputs),
        operations=[_operation(operation) for operation in block.operations],
        output_names=list(block.outputs),
    )


def _operation(operation: Any) -> compute_plan.MLModelStructureProgramOperation:
    return compute_plan.MLModelStructureProgramOperation(
        inputs={name: _argument(argument) for name, argument in operation.inputs.items()},
        operator_name=operation.type,
        outputs=_named_types(operation.outputs),
        blocks=[_block(block) for block in operation.blocks],
        __proxy__=None,
    )


def _argument(argument: Any) -> compute_plan.MLModelStructureProgramArgument:
    bindings = []
    for binding in argument.arguments:
        is_name = binding.WhichOneof("binding") == "name"
        bindings.append(
            compute_plan.MLModelStructureProgramBinding(
                name=binding.name if is_name else None,
                value=None if is_name else compute_plan.MLModelStructureProgramValue(),
            )
        )
    return compute_plan.MLModelStructureProgramArgument(bindings=bindings)


def _named_types(types: Any) -> list[compute_plan.MLModelStructureProgramNamedValueType]:
    value_type = compute_plan.MLModelStructureProgramValueType()
    return [compute_plan.MLModelStructureProgramNamedValueType(name=named.name, type=value_type) for named in types]
