"""Faults of OpenVINO that the portable engine works around, in OpenVINO alone. A test that fails says that the fault is gone, and that its row
of tools/workarounds.toml and the code named there may go, too."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

# As the engine computes: where a processor has AMX or VNNI, OpenVINO's own choice is bfloat16, and bytes for compressed weights.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


def _compiled(result: Any, parameters: list[Any], **properties: Any) -> Any:
    return ov.Core().compile_model(ov.Model([op.result(result)], parameters, "fault"), "CPU", {**_EXACT, **properties})


def test_an_input_that_is_an_output_is_not_written_to_the_callers_buffer() -> None:
    x = op.parameter([4], np.float32)
    request = _compiled(x, [x]).create_infer_request()
    given, result = np.arange(4, dtype=np.float32), np.full(4, -1, np.float32)
    request.set_input_tensor(0, ov.Tensor(given, shared_memory=True))
    request.set_output_tensor(0, ov.Tensor(result, shared_memory=True))
    request.infer()
    assert not np.array_equal(result, given)


def test_infer_of_one_thread_loses_exceptions_and_wait_has_them() -> None:
    x, y = (op.parameter(ov.PartialShape([-1]), np.float32) for _ in range(2))
    request = _compiled(op.add(x, y), [x, y], INFERENCE_NUM_THREADS=1).create_infer_request()
    for index, count in enumerate((4, 3)):  # Cannot be added.
        request.set_input_tensor(index, ov.Tensor(np.zeros(count, np.float32)))
    request.infer()
    request.start_async()
    with pytest.raises(RuntimeError, match="mismatch"):
        request.wait()


def test_a_slice_of_a_bounded_extent_is_inferred_empty() -> None:
    """x[-3:5] of 4 elements has 3."""
    x = op.parameter(ov.PartialShape([ov.Dimension(0, 8)]), np.float32)
    sliced = op.slice(x, np.array([-3]), np.array([5]), np.array([1]), np.array([0]))
    assert sliced.output(0).partial_shape == ov.PartialShape([0])


def test_shuffles_of_channels_are_looked_for_where_an_extent_is_unknown() -> None:
    """A reshape, transposition and reshape, as torch splits the projections of an attention: the pass asks for an extent that nobody knows."""
    x = op.parameter(ov.PartialShape([-1, 2, 3, 16]), np.float32)
    split = op.transpose(op.reshape(x, np.array([1, -1, 3, 16]), False), np.array([0, 2, 1, 3]))
    with pytest.raises(RuntimeError, match=r"\[ShuffleChannelsFusion\][\s\S]*Cannot get length of dynamic dimension"):
        _compiled(op.reshape(split, np.array([1, 3, -1, 16]), False), [x])


_SLICE_SCATTER = """
import sys, numpy as np, openvino as ov
from openvino import opset15 as op
x, update = op.parameter([8, 4], np.float32), op.parameter([2, 4], np.float32)
start = op.parameter([1], np.int64)
begin = start if sys.argv[1] == "unknown" else op.constant(np.array([3]))
written = op.slice_scatter(x, update, begin, op.add(begin, np.array([2])), np.array([1]), np.array([0]))
results = [op.result(written), op.result(start)]
compiled = ov.Core().compile_model(ov.Model(results, [x, update, start], "fault"), "CPU")
print(list(compiled([np.zeros((8, 4), np.float32), np.ones((2, 4), np.float32), np.array([3])])[0][:, 0]) == [0, 0, 0, 1, 1, 0, 0, 0])
"""


@pytest.mark.parametrize("start", ["known", "unknown"])
def test_slice_scatter_writes_elsewhere_than_where_only_a_run_knows(start: str) -> None:
    """Or crashes, as it reads memory that is not its own: in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _SLICE_SCATTER, start], capture_output=True, text=True, check=False)
    assert (done.returncode == 0 and done.stdout == "True\n") == (start == "known"), done.stderr


def test_the_mean_of_nothing_is_zero() -> None:
    x = op.parameter(ov.PartialShape([-1]), np.float32)
    assert _compiled(op.reduce_mean(x, np.array([0]), False), [x])(np.zeros(0, np.float32))[0] == 0.0


def test_a_square_weight_that_is_read_in_two_ways_is_packed_once() -> None:
    """x W and x W^T of one constant: one of them is the other."""
    generator = np.random.default_rng(0)
    weight, given = (generator.integers(-8, 8, (64, 64)).astype(np.float32) for _ in range(2))
    x, constant = op.parameter([64, 64], np.float32), op.constant(weight)
    results = [op.result(op.matmul(x, constant, False, transposed)) for transposed in (False, True)]
    compiled = ov.Core().compile_model(ov.Model(results, [x], "fault"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    computed = compiled(given)
    right = [np.array_equal(computed[0], given @ weight), np.array_equal(computed[1], given @ weight.T)]
    assert sorted(right) == [False, True]


def test_compressed_weights_with_scales_along_the_summed_axis_are_wrong() -> None:
    """x W^T of a weight of bytes: right with a scale for each row of W, wrong with one for each column."""
    generator = np.random.default_rng(0)
    weight, given = generator.integers(0, 255, (64, 64)).astype(np.uint8), generator.random((4, 64), np.float32)
    differences = []
    for shape in ((64, 1), (1, 64)):
        scales = generator.random(shape, np.float32)
        x = op.parameter([4, 64], np.float32)
        wide = op.multiply(op.convert(op.constant(weight), np.float32), op.constant(scales))
        computed = _compiled(op.matmul(x, wide, False, True), [x])(given)[0]
        expected = given @ (weight * scales).T
        differences.append(float(np.abs(computed - expected).max() / np.abs(expected).max()))
    assert differences[0] < 1e-5
    assert differences[1] > 1e-2


def test_headers_declare_no_class_for_some_attributes() -> None:
    """Which is why the engine sets them by their keys."""
    headers = list((pathlib.Path(ov.__file__).parent / "include").rglob("*.hpp"))
    assert len(headers) > 100
    text = "\n".join(header.read_text(errors="replace") for header in headers)
    assert "OPENVINO_RTTI(" in text
    for key in ('"decompression"', "nonconvertable_divide", "originalLayersNames"):
        assert key not in text
    assert not re.search(r"class \w+ (Decompression|DisableDivideConversion|NonconvertibleDivide)\b", text)


_TOP_K = """
import numpy as np, openvino as ov
from openvino import opset13 as op
x = op.parameter([1, 64], np.float32)
largest = op.topk(x, np.array(3), 1, "max", "value")
print(ov.Core().compile_model(ov.Model([op.result(largest.output(0))], [x], "fault"), "CPU")(np.ones((1, 64), np.float32))[0])
"""


@pytest.mark.parametrize("limit", ["SSE41", None])
def test_a_limit_for_onednn_is_none_for_the_nodes(limit: str | None) -> None:
    """top-k asks the processor for its vectors, and oneDNN for a kernel of them, which the limit forbids."""
    if limit and "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
        return  # The two cannot disagree.
    environ = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    if limit:
        environ["ONEDNN_MAX_CPU_ISA"] = limit
    done = subprocess.run([sys.executable, "-c", _TOP_K], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is (limit is None), done.stderr
