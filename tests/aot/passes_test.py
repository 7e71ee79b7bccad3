"""MIL passes change how a program computes, and not what: each fault of coremltools' passes, with ours and with coremltools'.

A row is a MIL program; it is run by the portable engine without any pass, which is what it means, and with the default pipeline. With coremltools' own
pass in the place of ours something goes wrong, or the replacement may go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import mil
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types
from executorch.backends.apple.coreml.compiler import cast_passes, coremltools_driver, exact_passes, passes
from executorch.backends.apple.coreml.runtime import MLModel

FLOAT32, FLOAT16 = ct.precision.FLOAT32, ct.precision.FLOAT16
INF = float("inf")
LARGE = np.array([70000, 3, 16777217, -100000], np.int32)
REALS = np.array([1.0, -2.0, 3.0, 0.5], np.float32)
WEIGHT = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)
BIAS = np.array([10, 20], np.float32)
TINY = np.concatenate([np.zeros(150, np.float32), np.full(50, 1e-13, np.float32)])


@dataclasses.dataclass(frozen=True)
class Row:
    """make: from the inputs to the results. replaced: the pass of ours that is needed, by its class; None for one that is left out.

    precision: of the conversion. target: from which the fault is there.
    """

    name: str
    make: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    replaced: type | str
    precision: ct.precision = FLOAT32
    target: ct.target = ct.target.iOS18


def casts(*names: str) -> Callable[..., Any]:
    def make(x):
        for name in names:
            x = mb.cast(x=x, dtype=name)
        return mb.mul(x=x, y=np.int32(3))

    return make


def gelu_tanh(x, cubed: float):
    inner = mb.mul(x=mb.add(x=x, y=mb.mul(x=mb.pow(x=x, y=3.0), y=cubed)), y=0.7978845608)
    return mb.mul(x=mb.mul(x=0.5, y=mb.add(x=1.0, y=mb.tanh(x=inner))), y=x)


def gelu_exact(x, root: float):
    return mb.mul(x=mb.mul(x=mb.add(x=mb.erf(x=mb.real_div(x=x, y=root)), y=1.0), y=0.5), y=x)


def prelu(x, minus: float):
    slopes = np.array([0.25, 0.5], np.float32).reshape(2, 1, 1)
    return mb.add(x=mb.relu(x=x), y=mb.mul(x=mb.relu(x=mb.mul(x=x, y=minus)), y=slopes))


def stack_half(x, y):
    first, _ = mb.split(x=mb.stack(values=[x, y], axis=0), num_splits=2, axis=0)
    return mb.squeeze(x=first, axes=[0])


def two_paddings(x):
    first = mb.pad(x=x, pad=[1, 1], mode="constant", constant_val=0.0)
    return first, mb.pad(x=first, pad=[1, 1], mode="constant", constant_val=0.0)


def stacked(x, y):
    both = mb.stack(values=[x, y], axis=1)
    return both, mb.reshape(x=both, shape=[8])


def norm_of_integers(x):
    factors = np.arange(3, dtype=np.int32).reshape(3, 1, 1)
    return mb.add(x=mb.mul(x=x, y=factors), y=factors + np.int32(1))


def tiny_constants(x):
    first = mb.reduce_sum(x=mb.mul(x=x, y=TINY), axes=[0])
    second = mb.reduce_sum(x=mb.mul(x=x, y=3 * TINY), axes=[0])
    return mb.sub(x=mb.mul(x=first, y=1e13), y=mb.mul(x=second, y=1e13))


def mean_or_not(x, factor: float):
    return mb.mul(x=mb.reduce_sum(x=x, axes=[0], keep_dims=True), y=factor)


def topk_of(x):
    values, indices = mb.topk(x=x, k=2, axis=0)
    return values, mb.cast(x=indices, dtype="int32")


def masked(x):
    return mb.select(cond=np.array([True, False, True, False]), a=np.full(4, INF, np.float32), b=x)


def read_both_ways(x):
    there = mb.transpose(x=x, perm=[1, 0])
    back = mb.transpose(x=there, perm=[1, 0])
    return mb.matmul(x=there, y=back), mb.relu(x=back)


ROWS = (
    Row("int to bool to int", casts("int32", "bool", "int32"), (REALS,), cast_passes.cast_optimization),
    Row(
        "gather of large integers", lambda x: mb.gather(x=x, indices=[2, 0], axis=0), (LARGE,), cast_passes.add_int16_cast, FLOAT16
    ),
    Row(
        "gather by computed indices",
        lambda x, i: mb.gather(x=x, indices=i, axis=0),
        (LARGE, np.int32([2, 0])),
        cast_passes.add_int16_cast,
        FLOAT16,
    ),
    Row(
        "gather_along_axis of large integers",
        lambda x: mb.gather_along_axis(x=x, indices=[2, 0, 1, 1], axis=0),
        (LARGE,),
        cast_passes.add_int16_cast,
        FLOAT16,
    ),
    Row(
        "gather_nd of large integers",
        lambda x: mb.gather_nd(x=x, indices=[[2], [0]]),
        (LARGE,),
        cast_passes.add_int16_cast,
        FLOAT16,
    ),
    Row("squeeze of large integers", lambda x: mb.squeeze(x=x, axes=[0]), (LARGE[None],), cast_passes.add_int16_cast, FLOAT16),
    Row("topk of large integers", topk_of, (LARGE,), cast_passes.add_int16_cast, FLOAT16),
    Row(
        "division by 49",
        lambda x: mb.floor(x=mb.real_div(x=x, y=49.0)),
        (49 * np.arange(40, dtype=np.float32),),
        exact_passes.divide_to_multiply,
        FLOAT16,
    ),
    Row("division by a million", lambda x: mb.real_div(x=x, y=1e6), (60000 * REALS,), exact_passes.divide_to_multiply, FLOAT16),
    Row("constant mask of infinities", masked, (np.array([-INF, 1.0, np.nan, 2.0], np.float32),), exact_passes.select_optimization),
    Row("sum times 0.0010009", lambda x: mean_or_not(x, 0.0010009), (np.ones(1000, np.float32),), exact_passes.fuse_reduce_mean),
    Row("sum times 1.25e-6", lambda x: mean_or_not(x, 1.25e-6), (np.ones(2_000_000, np.float32),), exact_passes.fuse_reduce_mean),
    Row("constants that differ by 2e-13", tiny_constants, (np.ones(200, np.float32),), exact_passes.const_deduplication),
    Row(
        "prelu with -0.9995",
        lambda x: prelu(x, -0.9995),
        (np.linspace(-9, 9, 8, dtype=np.float32).reshape(1, 2, 2, 2),),
        exact_passes.fuse_prelu,
    ),
    Row(
        "a bias minus a product",
        lambda x: mb.sub(x=BIAS, y=mb.matmul(x=x, y=WEIGHT)),
        (REALS[None],),
        exact_passes.fuse_matmul_weight_bias,
    ),
    Row(
        "a bias of three dimensions",
        lambda x: mb.add(x=mb.matmul(x=x, y=WEIGHT), y=BIAS[None, None]),
        (REALS[None],),
        exact_passes.fuse_matmul_weight_bias,
    ),
    Row(
        "a linear and a bias of three dimensions",
        lambda x: mb.add(x=mb.linear(x=x, weight=WEIGHT.T.copy()), y=BIAS[None, None]),
        (REALS[None],),
        exact_passes.fuse_linear_bias,
    ),
    Row(
        "a number divided by a convolution",
        lambda x: mb.relu(x=mb.real_div(x=np.float32(2), y=mb.conv(x=x, weight=np.full((2, 1, 1), 4, np.float32)))),
        (REALS[None, None],),
        exact_passes.fuse_conv_scale,
    ),
    Row("leaky relu of integers", lambda x: mb.maximum(x=mb.mul(x=x, y=np.int32(0)), y=x), (LARGE,), exact_passes.fuse_leaky_relu),
    Row("split of which a half is read", stack_half, (REALS, 2 * REALS), exact_passes.fuse_stack_split),
    Row(
        "a matrix that is read both ways",
        read_both_ways,
        (np.arange(9, dtype=np.float32).reshape(3, 3),),
        exact_passes.reduce_transposes,
    ),
    Row(
        "angles of integers",
        lambda i: mb.sin(x=mb.mul(x=mb.cast(x=i, dtype="fp32"), y=np.float32(0.37))),
        (np.int32([0, 3, 1023, 4097, 30000]),),
        cast_passes.add_fp16_cast,
        FLOAT16,
    ),
    Row(
        "scaled integers",
        lambda i: mb.real_div(x=mb.sub(x=mb.cast(x=i, dtype="fp32"), y=np.float32(30000)), y=np.float32(255)),
        (np.int32([0, 3, 29999, 70001, 16000000]),),
        cast_passes.add_fp16_cast,
        FLOAT16,
    ),
    Row("a padding that is a result", two_paddings, (REALS[None],), exact_passes.merge_consecutive_paddings),
    Row(
        "norm of integers",
        norm_of_integers,
        (np.arange(24, dtype=np.int32).reshape(2, 3, 2, 2),),
        exact_passes.fuse_elementwise_to_batchnorm,
    ),
    Row("root of a square", lambda x: mb.add(x=mb.sqrt(x=mb.pow(x=x, y=2.0)), y=1.0), (REALS,), "mil_backend::fuse_pow2_sqrt"),
    Row("a stack that is a result", stacked, (REALS, 2 * REALS), "common::replace_stack_reshape"),
    Row(
        "concat of a thing twice",
        lambda x: mb.concat(values=[x, x, mb.slice_by_index(x=x, begin=[0, 1], end=[1, 2], end_mask=[True, False])], axis=1),
        (REALS[None],),
        "common::use_reflection_padding",
    ),
    Row(
        "one_hot of what is outside",
        lambda i: mb.matmul(
            x=mb.one_hot(indices=i, one_hot_vector_size=4, on_value=np.float32(1), off_value=np.float32(0)),
            y=np.eye(4, dtype=np.float32),
        ),
        (np.int32([0, 3, -2]),),
        "common::fuse_onehot_matmul_to_gather",
    ),
)


def program_of(row: Row) -> mil.Program:
    dtypes = {"f": types.fp32, "i": types.int32}
    specs = [mb.TensorSpec(shape=x.shape, dtype=dtypes[x.dtype.kind]) for x in row.inputs]
    # mb.program goes by the names of the parameters.
    names = ("x", "y")[: len(specs)]
    made: dict[str, Any] = {"make": row.make}
    exec(f"def main({', '.join(names)}):\n    return make({', '.join(names)})", made)
    return mb.program(input_specs=specs, opset_version=row.target)(made["main"])


def results(row: Row, pipeline: list[str], folder: Path, mode: str) -> list[np.ndarray]:
    with coremltools_driver.exclusive():
        program = program_of(row)
        made = [*pipeline, *passes.exact(ct.PassPipeline.get_pipeline("backend_mlprogram").passes)]
        coremltools_driver._run(program, "test", made, {})
        model = coremltools_driver._write(program, folder, row.target, description=None, source="milinternal")
    loaded = MLModel(model.package, numeric_mode=mode)
    outputs = loaded.predict_tensors({spec.name: value for spec, value in zip(loaded.inputs, row.inputs)})
    return [outputs[spec.name] for spec in loaded.outputs]


def wrong(actual: list[np.ndarray], expected: list[np.ndarray], precision: ct.precision) -> str | None:
    """What is wrong with results; integers, and values of programs that are not narrowed, are compared bit by bit."""
    for a, e in zip(actual, expected, strict=True):
        if a.shape != e.shape or a.dtype.kind != e.dtype.kind:
            return f"{a.dtype}{a.shape}, not {e.dtype}{e.shape}"
        # One rounding to float16 of inputs, and one of the result.
        tolerance = 2 * 2.0**-11 if precision == FLOAT16 and e.dtype.kind == "f" else 0.0
        if not np.allclose(a.astype(np.float64), e.astype(np.float64), rtol=tolerance, atol=tolerance * 2.0**-13, equal_nan=True):
            return f"{a.flatten()[:8]}, not {e.flatten()[:8]}"
    return None


def default(row: Row) -> list[str]:
    return list(passes.pipeline(None, row.precision).passes)


def with_coremltools_own(row: Row) -> list[str]:
    """The default pipeline with coremltools' own pass in the place of the replacement, or with the pass that is left out."""
    if isinstance(row.replaced, str):
        made = ["common::dead_code_elimination", row.replaced]
        return [*made, *default(row)]
    name = row.replaced.__name__
    return [f"common::{name}" if made == f"executorch::{name}" else made for made in default(row)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_pipeline_computes_what_the_program_says(row: Row, tmp_path: Path) -> None:
    mode = "float16" if row.precision == FLOAT16 else "float32"
    expected = results(row, [], tmp_path / "plain.mlpackage", "float32")
    assert wrong(results(row, default(row), tmp_path / "default.mlpackage", mode), expected, row.precision) is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_pipeline_of_coremltools_does_not(row: Row, tmp_path: Path) -> None:
    """A row that passes with coremltools' own pass says that the replacement may go."""
    mode = "float16" if row.precision == FLOAT16 else "float32"
    expected = results(row, [], tmp_path / "plain.mlpackage", "float32")
    try:
        actual = results(row, with_coremltools_own(row), tmp_path / "theirs.mlpackage", mode)
    except (IndexError, ValueError):
        return
    assert wrong(actual, expected, row.precision) is not None


FUSED = {
    "gelu_exact": (lambda x: gelu_exact(x, 2**0.5), (REALS,), "gelu"),
    "gelu_tanh": (lambda x: gelu_tanh(x, 0.044715), (REALS[None, None],), "gelu"),
    "linear": (lambda x: mb.sub(x=mb.matmul(x=x, y=WEIGHT), y=BIAS), (REALS[None],), "linear"),
    "conv": (lambda x: mb.real_div(x=mb.conv(x=x, weight=np.ones((2, 1, 1), np.float32)), y=3.0), (REALS[None, None],), "conv"),
    "reduce_mean": (lambda x: mean_or_not(x, 1 / 1000), (np.ones(1000, np.float32),), "reduce_mean"),
    "prelu": (lambda x: prelu(x, -1.0), (np.ones((1, 2, 2, 2), np.float32),), "prelu"),
    "division by 4": (lambda x: mb.real_div(x=x, y=4.0), (REALS,), "mul"),
    "leaky_relu": (lambda x: mb.maximum(x=mb.mul(x=x, y=0.25), y=x), (REALS,), "leaky_relu"),
    "padding": (lambda x: mb.relu(x=two_paddings(x)[1]), (REALS[None],), "pad"),
}


@pytest.mark.parametrize("name", FUSED)
def test_what_means_a_fused_operation_still_becomes_one(name: str) -> None:
    make, inputs, operation = FUSED[name]
    with coremltools_driver.exclusive():
        program = program_of(Row(name, make, inputs, ""))
        coremltools_driver._run(program, "test", list(passes.pipeline(None, FLOAT32).passes), {})
    operations = [op.op_type for op in program.functions["main"].operations if op.op_type != "const"]
    assert operations in ([operation], [operation, "relu"])


@pytest.mark.parametrize("make", [lambda x: gelu_tanh(x, 0.0452), lambda x: gelu_exact(x, 1.4149)])
def test_a_gelu_of_other_constants_is_none(make: Callable[..., Any]) -> None:
    """Not run: the engine's own fusions take these constants too."""
    with coremltools_driver.exclusive():
        program = program_of(Row("", make, (REALS[None, None],), ""))
        coremltools_driver._run(program, "test", list(passes.pipeline(None, FLOAT32).passes), {})
    assert not any(op.op_type == "gelu" for op in program.functions["main"].operations)


def _by_the_largest(x: Any) -> Any:
    return mb.real_div(x=x, y=mb.reduce_max(x=x, axes=[0], keep_dims=True))


def _as_float(bools: Any) -> Any:
    return mb.cast(x=mb.cast(x=bools, dtype="int32"), dtype="fp32")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda x, i: mb.sin(x=mb.mul(x=mb.cast(x=i, dtype="fp32"), y=np.float32(0.1))), ["fp32"]),
        (lambda x, i: mb.sin(x=mb.mul(x=x, y=np.float32(0.1))), ["fp16"]),
        (lambda x, i: mb.sin(x=mb.mul(x=x, y=mb.cast(x=i, dtype="fp32"))), ["fp16"]),
        (lambda x, i: mb.mul(x=x, y=mb.cos(x=mb.cast(x=i, dtype="fp32"))), ["fp32", "fp16"]),
        (lambda x, i: mb.mul(x=x, y=mb.mul(x=mb.cast(x=i, dtype="fp32"), y=np.float32(0.5))), ["fp32", "fp16"]),
        (lambda x, i: mb.mul(x=x, y=_by_the_largest(mb.mul(x=mb.cast(x=i, dtype="fp32"), y=np.float32(1.5)))), ["fp32", "fp16"]),
        (lambda x, i: mb.mul(x=x, y=mb.mul(x=mb.cast(x=i, dtype="fp32"), y=np.float32(1.5))), ["fp16", "fp16"]),
        (lambda x, i: mb.mul(x=x, y=mb.mul(x=_as_float(mb.greater(x=i, y=2)), y=np.float32(0.5))), ["fp16", "fp16"]),
    ],
    ids=["integers", "floats", "both", "floats behind", "scaled down", "scaled by the largest", "scaled up", "scaled bools"],
)
def test_what_is_computed_from_integers_is_float32(make: Callable[..., Any], expected: list[str]) -> None:
    row = Row("", make, (REALS, np.int32([1, 2, 3, 4])), "", FLOAT16)
    with coremltools_driver.exclusive():
        program = program_of(row)
        coremltools_driver._run(program, "test", default(row), {})
    computed = [op for op in program.functions["main"].operations if op.op_type in ("sin", "cos", "mul")]
    kinds = [types.builtin_to_string(op.outputs[0].dtype) for op in computed if op.op_type != "mul" or expected[-1] == "fp16"]
    assert kinds[-len(expected) :] == expected


def narrowed(row: Row) -> list[str]:
    with coremltools_driver.exclusive():
        program = program_of(row)
        coremltools_driver._run(program, "test", default(row), {})
    (op,) = program.functions["main"].find_ops(op_type="gather")
    return [types.builtin_to_string(op.inputs[name].dtype) for name in ("x", "indices")]


@pytest.mark.parametrize(
    ("extent", "index", "expected"),
    [
        (32767, "dynamic", ["int32", "int16"]),
        (32769, "dynamic", ["int32", "int32"]),
        (70000, [65535], ["int32", "uint16"]),
        (70000, [65536], ["int32", "int32"]),
    ],
)
def test_indices_are_narrowed_where_16_bits_hold_them(extent: int, index: Any, expected: list[str]) -> None:
    x = np.zeros(extent, np.int32)
    if index == "dynamic":
        row = Row("", lambda x, i: mb.gather(x=x, indices=i, axis=0), (x, np.int32([1])), "", FLOAT16)
    else:
        row = Row("", lambda x: mb.gather(x=x, indices=index, axis=0), (x,), "", FLOAT16)
    assert narrowed(row) == expected


def test_data_that_is_known_to_be_small_is_narrowed() -> None:
    def make(x):
        small = mb.cast(x=mb.cast(x=x, dtype="bool"), dtype="int32")
        return mb.gather(x=mb.reshape(x=small, shape=[2, 2]), indices=[1, 0], axis=0)

    assert narrowed(Row("", make, (REALS,), "", FLOAT16)) == ["uint16", "uint16"]


def test_every_pass_that_is_replaced_is_in_coremltools_pipelines() -> None:
    """A pass of another name in a new coremltools would run as it is."""
    theirs = {
        name
        for pipeline in ("default", "cleanup", "frontend_pytorch", "backend_mlprogram")
        for name in ct.PassPipeline.get_pipeline(pipeline).passes
    }
    assert set(passes.EXACT) <= theirs
    assert theirs >= passes.DROPPED
