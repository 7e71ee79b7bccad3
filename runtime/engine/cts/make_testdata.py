"""Writes the packages of testdata/: tiny models for the conformance suite and for the fuzz target of runtime/model.

    tools/bazel run //runtime/engine/cts:make_testdata

Each package is what coremltools makes of a few MIL operations, with a fixed Manifest.json in place of its random identifiers; running
this again gives the same bytes. `fake_model.txt` beside it says the same for the fake engine (runtime/engine/fake).
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import tempfile

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types

_IOS15 = ct.target.iOS15
_IOS16 = ct.target.iOS16
_IOS18 = ct.target.iOS18


def _manifest(has_weights: bool) -> str:
    entries = {
        "00000000-0000-0000-0000-000000000001": {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": "com.apple.CoreML/model.mlmodel",
        }
    }
    if has_weights:
        entries["00000000-0000-0000-0000-000000000002"] = {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Weights",
            "name": "weights",
            "path": "com.apple.CoreML/weights",
        }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": "00000000-0000-0000-0000-000000000001",
    }
    return json.dumps(manifest, indent=4) + "\n"


def _convert(program, target, **options):
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
        **options,
    )


class _Writer:
    def __init__(self, root: str):
        self._root = root

    def write(self, name: str, model, fake: str | None = None, edit=None) -> None:
        """The package `name` from a coremltools model; `edit` changes its specification."""
        folder = os.path.join(self._root, name + ".mlpackage")
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory() as temporary:
            saved = os.path.join(temporary, "saved.mlpackage")
            if isinstance(model, str):
                shutil.copytree(model, saved)
            else:
                model.save(saved)
            data = os.path.join(saved, "Data", "com.apple.CoreML")
            with open(os.path.join(data, "model.mlmodel"), "rb") as file:
                spec = ct.proto.Model_pb2.Model.FromString(file.read())
            # The versions of the tools that made it.
            spec.description.metadata.userDefined.clear()
            if edit is not None:
                edit(spec)
            target = os.path.join(folder, "Data", "com.apple.CoreML")
            os.makedirs(target)
            with open(os.path.join(target, "model.mlmodel"), "wb") as file:
                file.write(spec.SerializeToString(deterministic=True))
            weights = os.path.join(data, "weights", "weight.bin")
            has_weights = os.path.exists(weights) and os.path.getsize(weights) > 64
            if has_weights:
                os.makedirs(os.path.join(target, "weights"))
                shutil.copyfile(weights, os.path.join(target, "weights", "weight.bin"))
            with open(os.path.join(folder, "Manifest.json"), "w", encoding="utf-8") as file:
                file.write(_manifest(has_weights))
            if fake is not None:
                with open(os.path.join(folder, "fake_model.txt"), "w", encoding="utf-8") as file:
                    file.write(fake)


def _add(writer: _Writer) -> None:
    @mb.program(input_specs=[mb.TensorSpec((2, 3)), mb.TensorSpec((2, 3))], opset_version=_IOS15)
    def program(x, y):
        return mb.add(x=x, y=y, name="sum")

    writer.write(
        "add",
        _convert(program, _IOS15),
        "function main\ninput x float32 [2, 3]\ninput y float32 [2, 3]\noutput sum float32 [2, 3] = add x y\n",
    )


def _types(writer: _Writer) -> None:
    @mb.program(
        input_specs=[
            mb.TensorSpec((4,), types.fp16),
            mb.TensorSpec((4,), types.fp32),
            mb.TensorSpec((4,), types.int32),
            mb.TensorSpec((4,), types.fp32),
        ],
        opset_version=_IOS16,
    )
    def program(half, single, whole, wide):
        return (
            mb.identity(x=half, name="half_out"),
            mb.identity(x=single, name="single_out"),
            mb.identity(x=whole, name="whole_out"),
            mb.identity(x=wide, name="wide_out"),
        )

    def declare_double(spec):
        # Callers may hand over float64 for a float32 of the program.
        double = ct.proto.FeatureTypes_pb2.ArrayFeatureType.DOUBLE
        for feature in list(spec.description.input) + list(spec.description.output):
            if feature.name.startswith("wide"):
                feature.type.multiArrayType.dataType = double

    lines = ["function main"]
    names = (("half", "float16"), ("single", "float32"), ("whole", "int32"), ("wide", "float64"))
    lines += [f"input {name} {dtype} [4]" for name, dtype in names]
    lines += [f"output {name}_out {dtype} [4] = identity {name}" for name, dtype in names]
    writer.write("types", _convert(program, _IOS16), "\n".join(lines) + "\n", declare_double)


def _range(writer: _Writer) -> None:
    shape = ct.Shape((ct.RangeDim(1, 8, default=2, symbol="n"), 3))
    symbol = shape.symbolic_shape[0]

    @mb.program(input_specs=[mb.TensorSpec((symbol, 3)), mb.TensorSpec((symbol, 3))], opset_version=_IOS16)
    def program(x, y):
        return mb.add(x=x, y=y, name="sum")

    model = _convert(program, _IOS16, inputs=[ct.TensorType("x", shape), ct.TensorType("y", shape)])
    writer.write(
        "range",
        model,
        "function main\ninput x float32 [1..8, 3]\ninput y float32 [1..8, 3]\noutput sum float32 [0.., 3] = add x y\n",
    )


def _enumerated(writer: _Writer) -> None:
    shapes = ct.EnumeratedShapes([(2, 3), (4, 3)])

    @mb.program(input_specs=[mb.TensorSpec((shapes.symbolic_shape[0], 3))], opset_version=_IOS16)
    def program(x):
        return mb.add(x=x, y=1.0, name="y")

    writer.write("enumerated", _convert(program, _IOS16, inputs=[ct.TensorType("x", shapes)]))


def _nonzero(writer: _Writer) -> None:
    @mb.program(input_specs=[mb.TensorSpec((16,))], opset_version=_IOS16)
    def program(x):
        return mb.squeeze(x=mb.non_zero(x=x), axes=[1], name="n")

    writer.write("nonzero", _convert(program, _IOS16))


def _scalar(writer: _Writer) -> None:
    @mb.program(input_specs=[mb.TensorSpec((1,)), mb.TensorSpec((3,))], opset_version=_IOS16)
    def program(a, x):
        product = mb.mul(x=x, y=a, name="product")
        return product, mb.reduce_sum(x=product, axes=[0], keep_dims=False, name="total")

    def make_rank_0(spec):
        # The builder makes no inputs of rank 0; other converters do.
        tensor = spec.mlProgram.functions["main"].inputs[0].type.tensorType
        tensor.rank = 0
        del tensor.dimensions[:]

    writer.write("scalar", _convert(program, _IOS16), edit=make_rank_0)


def _weights(writer: _Writer) -> None:
    weight = (np.arange(64 * 4, dtype=np.float32).reshape(64, 4) % 7) - 3

    @mb.program(input_specs=[mb.TensorSpec((1, 4))], opset_version=_IOS16)
    def program(x):
        return mb.linear(x=x, weight=weight, bias=np.arange(64, dtype=np.float32), name="y")

    writer.write("weights", _convert(program, _IOS16))


def _unsupported(writer: _Writer) -> None:
    @mb.program(input_specs=[mb.TensorSpec((2,))], opset_version=_IOS16)
    def program(x):
        return mb.relu(x=x, name="y")

    def rename(spec):
        for function in spec.mlProgram.functions.values():
            for block in function.block_specializations.values():
                for operation in block.operations:
                    if operation.type == "relu":
                        operation.type = "no_such_operation"

    writer.write("unsupported", _convert(program, _IOS16), edit=rename)


_STATE = "function {name}\ninput x float16 [4]\nstate acc float16 [4]\noutput total float16 [4] = accumulate acc x\n"


def _accumulate(x, acc, extra=1.0):
    value = mb.add(x=mb.read_state(input=acc), y=mb.mul(x=x, y=np.float16(extra)))
    return mb.coreml_update_state(state=acc, value=value)


def _state(writer: _Writer) -> None:
    @mb.program(input_specs=[mb.TensorSpec((4,), types.fp16), mb.StateTensorSpec((4,), types.fp16)], opset_version=_IOS18)
    def program(x, acc):
        return mb.identity(x=_accumulate(x, acc), name="total")

    writer.write("state", _convert(program, _IOS18), _STATE.format(name="main"))


def _state_range(writer: _Writer) -> None:
    shape = ct.Shape((ct.RangeDim(1, 8, default=2, symbol="m"),))

    @mb.program(
        input_specs=[
            mb.TensorSpec((4,), types.fp16),
            mb.TensorSpec((shape.symbolic_shape[0],)),
            mb.StateTensorSpec((4,), types.fp16),
        ],
        opset_version=_IOS18,
    )
    def program(x, z, acc):
        return mb.identity(x=_accumulate(x, acc), name="total"), mb.add(x=z, y=z, name="twice")

    inputs = [ct.TensorType("x", (4,), np.float16), ct.TensorType("z", shape)]
    writer.write(
        "state_range",
        _convert(program, _IOS18, inputs=inputs),
        _STATE.format(name="main").replace("state acc", "input z float32 [1..8]\nstate acc")
        + "output twice float32 [0..] = add z z\n",
    )


def _functions(writer: _Writer) -> None:
    """Two functions that share a state: `push` adds x to it, `push_twice` adds 2 x."""
    with tempfile.TemporaryDirectory() as temporary:
        description = ct.utils.MultiFunctionDescriptor()
        for name, factor in (("push", 1.0), ("push_twice", 2.0)):

            @mb.program(
                input_specs=[mb.TensorSpec((4,), types.fp16), mb.StateTensorSpec((4,), types.fp16)],
                opset_version=_IOS18,
            )
            def program(x, acc):
                return mb.identity(x=_accumulate(x, acc, factor), name="total")

            path = os.path.join(temporary, name + ".mlpackage")
            _convert(program, _IOS18).save(path)
            description.add_function(path, "main", name)
        description.default_function_name = "push_twice"
        merged = os.path.join(temporary, "merged.mlpackage")
        ct.utils.save_multifunction(description, merged)
        writer.write("functions", merged)


def _large(writer: _Writer) -> None:
    """A chain that takes a while to compile and to execute: what is cancelled and what overlaps."""

    @mb.program(input_specs=[mb.TensorSpec((1, 64))], opset_version=_IOS15)
    def program(x):
        for i in range(64):
            x = mb.tanh(x=mb.add(x=x, y=np.float32(i)))
        return mb.identity(x=x, name="y")

    writer.write("chain", _convert(program, _IOS15))


def _write_fuzz_corpus(root: str, corpus: str) -> None:
    """A file for each package: the size of model.mlmodel, model.mlmodel, weight.bin."""
    os.makedirs(corpus, exist_ok=True)
    for name in sorted(os.listdir(root)):
        data = os.path.join(root, name, "Data", "com.apple.CoreML")
        with open(os.path.join(data, "model.mlmodel"), "rb") as file:
            model = file.read()
        weights = b""
        path = os.path.join(data, "weights", "weight.bin")
        if os.path.exists(path):
            with open(path, "rb") as file:
                weights = file.read()
        with open(os.path.join(corpus, name.split(".")[0] + ".bin"), "wb") as file:
            file.write(struct.pack("<I", len(model)) + model + weights)


def main() -> None:
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY", sys.argv[1] if len(sys.argv) > 1 else ".")
    root = os.path.join(workspace, "runtime", "engine", "cts", "testdata")
    os.makedirs(root, exist_ok=True)
    writer = _Writer(root)
    for write in (
        _add,
        _types,
        _range,
        _enumerated,
        _nonzero,
        _scalar,
        _weights,
        _unsupported,
        _state,
        _state_range,
        _functions,
        _large,
    ):
        write(writer)
    _write_fuzz_corpus(root, os.path.join(workspace, "runtime", "model", "testdata", "fuzz"))
    for name in sorted(os.listdir(root)):
        print(name)


if __name__ == "__main__":
    main()
