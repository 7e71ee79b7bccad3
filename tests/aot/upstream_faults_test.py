"""Faults of ExecuTorch and coremltools that are worked around, in these alone. A test that fails says that the fault is gone, and that its row of
tools/workarounds.toml and the code named there may go, too."""

from __future__ import annotations

import copy
import gc
import pathlib
import tracemalloc
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from aot_lowering import export
from coremltools.converters.mil.backend.mil import load as backend
from coremltools.converters.mil.mil import Builder as mb
from executorch.backends.apple.coreml.compiler import coremltools_driver
from executorch.backends.apple.coreml.partition import CoreMLPartitioner, unbacked_symbols
from executorch.exir import to_edge_transform_and_lower
from executorch.exir._serialize._cord import FileBackedData
from torch.fx.experimental.symbolic_shapes import PendingUnbackedSymbolNotFound


def test_a_copy_of_file_backed_data_is_left_without_its_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"weights")
    data = FileBackedData(str(path), cleanup=True)
    copied = copy.copy(data)
    assert copied.to_bytes() == b"weights"
    del data
    gc.collect()
    assert not path.exists()


def test_coremltools_copies_each_float16_weight_twice(tmp_path: pathlib.Path) -> None:
    weight = np.ones((2048, 1024), np.float16)

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 1024))], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        return mb.linear(x=mb.cast(x=x, dtype="fp16"), weight=weight)

    def peak(exporter: type, folder: str) -> int:
        (tmp_path / folder).mkdir()
        tracemalloc.start()
        try:
            exporter(program, str(tmp_path / folder), ct.target.iOS17).export()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(backend.MILProtoExporter, "theirs") > 1.5 * weight.nbytes
    assert peak(coremltools_driver._Exporter, "ours") < 0.5 * weight.nbytes


def test_coremltools_computes_with_arrays_of_objects() -> None:
    """Of what is joined of a few unknown elements and known ones, a part that has only known ones."""

    def program(x: Any) -> Any:
        joined = mb.concat(values=[x, np.zeros((2, 31), np.float32)], axis=1)
        return mb.sigmoid(x=mb.split(x=joined, num_splits=2, axis=1)[1])

    with pytest.raises(TypeError, match="exp method"):
        mb.program(input_specs=[mb.TensorSpec(shape=(2, 1))], opset_version=ct.target.iOS15)(program)


def test_coremltools_leaves_defaults_of_another_dtype() -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 4))], opset_version=ct.target.iOS16)
    def program(x: Any) -> Any:
        return mb.pad(x=mb.cast(x=x, dtype="fp16"), pad=[1, 1], mode="reflect")

    (pad,) = program.functions["main"].find_ops(op_type="pad")
    assert pad.constant_val.dtype != pad.x.dtype


def test_executorch_leaves_symbols_waiting_in_the_program_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def lower_twice() -> None:
        exported = export(lambda x: torch.where(x > 0.5), (torch.zeros(2, 3),))
        for _ in range(2):
            to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner()])

    lower_twice()
    monkeypatch.setattr(unbacked_symbols, "forget_pending", lambda program: None)
    with pytest.raises(PendingUnbackedSymbolNotFound):
        lower_twice()


def test_executorch_empties_the_constants_of_the_program_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    known = torch.tensor([1.0, 2.0])

    def lower_twice() -> None:
        exported = export(lambda x: x + known.relu(), (torch.zeros(2),))
        for _ in range(2):
            to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner()])

    lower_twice()
    ask = CoreMLPartitioner.ops_to_not_decompose

    def sharing(self: CoreMLPartitioner, program: torch.export.ExportedProgram) -> Any:
        shared = program._constants
        answer = ask(self, program)
        program._constants = shared
        return answer

    monkeypatch.setattr(CoreMLPartitioner, "ops_to_not_decompose", sharing)
    with pytest.raises(KeyError):
        lower_twice()
