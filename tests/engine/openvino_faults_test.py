"""Faults of OpenVINO that the portable engine works around, in OpenVINO alone. A test that fails says that the fault is gone, and that its row
of tools/workarounds.toml and the code named there may go, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op


def _compiled(result: Any, parameters: list[Any], **properties: Any) -> Any:
    return ov.Core().compile_model(ov.Model([op.result(result)], parameters, "fault"), "CPU", properties)


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
